// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/bits.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using nkv::count_ones;
using nkv::count_trailing_zeros;

TEST_SUITE("base/bits") {
  static_assert(count_ones(0) == 0 && count_ones(0xffffffff) == 32 && count_ones(0x80000001) == 2);
  static_assert(count_trailing_zeros(0) == 32 && count_trailing_zeros(1) == 0 &&
                count_trailing_zeros(0x80000000) == 31);

  TEST_CASE("count_ones and count_trailing_zeros: many numbers -> what counting bit by bit gives") {
    std::uint32_t x = 1;
    for (unsigned round = 0; round < 20000; ++round) {
      x = x * 1664525u + 1013904223u;
      // Sparse and dense numbers as well as even ones.
      const std::uint32_t n = round % 3 == 0 ? x : round % 3 == 1 ? x & (x << 7) & (x << 13) : x << (x >> 27);
      std::uint32_t ones = 0;
      std::uint32_t zeros = 32;
      for (std::uint32_t i = 0; i < 32; ++i)
        if (((n >> i) & 1u) != 0) {
          if (ones == 0) zeros = i;
          ++ones;
        }
      if (count_ones(n) != ones || count_trailing_zeros(n) != zeros) FAIL("number " << n);
    }
  }

  TEST_CASE("opaque_zero: 0, in a constant expression too") {
    static_assert(nkv::opaque_zero() == 0);
    CHECK(nkv::opaque_zero() == 0);
  }
}
