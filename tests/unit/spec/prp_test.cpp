// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/prp.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using nkv::prp_page_count;

TEST_SUITE("spec/prp") {
  static_assert(sizeof(nkv::prp_entry) == 8);

  TEST_CASE("prp_page_count: at page boundaries -> the pages that are touched") {
    static_assert(prp_page_count(0x1000, 0, 4096) == 0);
    CHECK(prp_page_count(0x1234, 0, 4096) == 0);
    CHECK(prp_page_count(0x1000, 1, 4096) == 1);
    CHECK(prp_page_count(0x1000, 4096, 4096) == 1);
    CHECK(prp_page_count(0x1000, 4097, 4096) == 2);
    CHECK(prp_page_count(0x1fff, 1, 4096) == 1);
    CHECK(prp_page_count(0x1fff, 2, 4096) == 2);
    CHECK(prp_page_count(0x1fff, 4097, 4096) == 2);
    CHECK(prp_page_count(0x1fff, 4098, 4096) == 3);
    CHECK(prp_page_count(0x1001, 8192, 4096) == 3);
    CHECK(prp_page_count(0x1004, 2 * 4096 - 4, 4096) == 2);
    CHECK(prp_page_count(0x1004, 2 * 4096 - 3, 4096) == 3);
  }

  TEST_CASE("prp_page_count: other pages and great lengths -> no overflow") {
    CHECK(prp_page_count(0x1000, 4097, 65536) == 1);
    CHECK(prp_page_count(0xf000, 4097, 65536) == 2);
    CHECK(prp_page_count(0, 128ull << 20, 4096) == 32768);
    CHECK(prp_page_count(1, 128ull << 20, 4096) == 32769);
    CHECK(prp_page_count(0xfff, ~std::uint64_t{0}, 4096) == (std::uint64_t{1} << 52) + 1);
  }

  TEST_CASE("prp_page_count: against counting page by page") {
    for (std::uint64_t address = 0; address < 300; ++address)
      for (std::uint64_t length = 1; length < 300; ++length) {
        const std::uint64_t expected = (address + length - 1) / 64 - address / 64 + 1;
        if (prp_page_count(address, length, 64) != expected) FAIL(address << " + " << length);
      }
  }
}
