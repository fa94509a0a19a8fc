// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/rados/expiry.hpp>

#include <doctest/doctest.h>

#include <string>

using nkv::target::expiry;

TEST_SUITE("target/rados/expiry") {
  TEST_CASE("a time to live -> passed after so many seconds and not before; as text and back") {
    const expiry e = expiry::after(3, 1'000'000);
    CHECK_FALSE(e.passed(1'002'999));
    CHECK(e.passed(1'003'000));
    CHECK(e.text() == "00000000000f4df800000003");
    const expiry back = expiry::of(e.text());
    CHECK(back.text() == e.text());
    CHECK(back.ttl_s() == 3);
    CHECK(back.passed(1'003'000));
  }

  TEST_CASE("none, and what is none of ours -> stays") {
    CHECK(expiry::after(0, 5).text() == "ffffffffffffffff00000000");
    for (const char* text : {"", "0", "00000000000f4df80000000", "00000000000f4df8000000033",
                             "00000000000F4DF800000003", "00000000000f4df80000000g", "ffffffffffffffff00000000"}) {
      CAPTURE(text);
      CHECK_FALSE(expiry::of(text).passed(~std::uint64_t{0} - 1));
      CHECK(expiry::of(text).ttl_s() == 0);
    }
    CHECK(expiry::after(0xffffffff, expiry::now_ms()).ttl_s() == 0xffffffff);
  }
}
