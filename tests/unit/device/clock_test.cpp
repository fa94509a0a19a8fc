// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/clock.hpp>

TEST_SUITE("device/clock") {
  TEST_CASE("never backwards, and in nanoseconds") {
    const std::uint64_t before = nkv::device::clock::now_ns();
    const auto until = nkv::device::deadline::after_ms(2);
    std::uint64_t last = before;
    std::uint32_t spins = 0;
    while (!until.expired()) {
      const std::uint64_t now = nkv::device::clock::now_ns();
      REQUIRE(now >= last);
      last = now;
      nkv::device::clock::relax(spins++);
    }
    CHECK(nkv::device::clock::now_ns() - before >= 2'000'000);
  }

  TEST_CASE("a deadline of 0 has passed") { CHECK(nkv::device::deadline{}.expired()); }
}
