// SPDX-License-Identifier: BSD-3-Clause
#include "common/latency_histogram.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

TEST_SUITE("tools/common/latency_histogram") {
  using tools::latency_histogram;

  TEST_CASE("percentile_ns: nothing recorded -> 0") {
    const latency_histogram h;
    CHECK(h.count() == 0);
    CHECK(h.percentile_ns(50) == 0);
  }

  TEST_CASE("percentile_ns: one value -> that value, whatever its size") {
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{64},
                                      std::uint64_t{12345}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      latency_histogram h;
      h.record(value);
      CHECK(h.percentile_ns(0) == value);
      CHECK(h.percentile_ns(50) == value);
      CHECK(h.percentile_ns(100) == value);
    }
  }

  TEST_CASE("percentile_ns: small values are exact, ranks rounded up") {
    latency_histogram h;
    for (std::uint64_t i = 1; i <= 50; ++i) h.record(i);
    CHECK(h.percentile_ns(50) == 25);
    CHECK(h.percentile_ns(99) == 50);
    CHECK(h.percentile_ns(2) == 1);
    CHECK(h.percentile_ns(2.1) == 2);
  }

  TEST_CASE("percentile_ns: never below the exact one, and at most 1/32 above") {
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> all;
    latency_histogram h;
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t value = random() >> (random() % 60);
      all.push_back(value);
      h.record(value);
    }
    std::sort(all.begin(), all.end());
    for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const auto rank = static_cast<std::size_t>(percent / 100 * 20000);
      const std::uint64_t exact = all[rank - 1];
      const std::uint64_t found = h.percentile_ns(percent);
      CAPTURE(percent);
      CHECK(found >= exact);
      CHECK(found - exact <= exact / 32);
    }
    CHECK(h.longest_ns() == all.back());
  }
}
