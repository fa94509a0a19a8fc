// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/clock.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>

using namespace nkv;

TEST_SUITE("host/clock") {
  TEST_CASE("now_ns: never backwards, and in nanoseconds") {
    std::uint64_t last = host::steady_clock::now_ns();
    for (int i = 0; i < 10000; ++i) {
      const std::uint64_t now = host::steady_clock::now_ns();
      REQUIRE(now >= last);
      last = now;
    }
    const host::deadline d = host::deadline::after_ms(3);
    const std::uint64_t from = host::steady_clock::now_ns();
    std::uint32_t spins = 0;
    while (!d.expired()) host::steady_clock::relax(spins++);
    CHECK(host::steady_clock::now_ns() - from >= 1'000'000);
    CHECK(d.left_ns() == 0);
  }

  TEST_CASE("relax: returns, spinning or giving the processor away") {
    for (const std::uint32_t spins : {0u, 1u, 1999u, 2000u, 0xffffffffu}) host::steady_clock::relax(spins);
    CHECK(waiting_clock<host::steady_clock>);
  }
}
