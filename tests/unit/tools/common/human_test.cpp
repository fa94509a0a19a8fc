// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"

#include <doctest/doctest.h>

TEST_SUITE("tools/common/human") {
  TEST_CASE("human_bytes: three digits that count") {
    CHECK(tools::human_bytes(0) == "0 B");
    CHECK(tools::human_bytes(1023) == "1023 B");
    CHECK(tools::human_bytes(1024) == "1 KiB");
    CHECK(tools::human_bytes(1536) == "1.50 KiB");
    CHECK(tools::human_bytes(10 * 1024 + 512) == "10.5 KiB");
    CHECK(tools::human_bytes(1000 * 1024) == "0.98 MiB");
    CHECK(tools::human_bytes(std::uint64_t{64} << 20) == "64 MiB");
    CHECK(tools::human_bytes((std::uint64_t{1} << 40) - 1) == "1.00 TiB");
    CHECK(tools::human_bytes(~std::uint64_t{0}) == "16 EiB");
  }

  TEST_CASE("human_rate: powers of 1000") {
    CHECK(tools::human_rate(3'210'000'000, 1) == "3.21 GB/s");
    CHECK(tools::human_rate(3'210'000'000, 2) == "1.60 GB/s");
    CHECK(tools::human_rate(5'000'000, 1) == "5.00 MB/s");
    CHECK(tools::human_rate(500, 1) == "0.5 kB/s");
    CHECK(tools::human_rate(500, 0) == "-");
  }

  TEST_CASE("human_time: the unit that fits") {
    CHECK(tools::human_time(0) == "0 ns");
    CHECK(tools::human_time(999) == "999 ns");
    CHECK(tools::human_time(1000) == "1.00 us");
    CHECK(tools::human_time(12'340) == "12.3 us");
    CHECK(tools::human_time(456'000) == "456 us");
    CHECK(tools::human_time(999'600) == "1.00 ms");
    CHECK(tools::human_time(1'200'000'000) == "1.20 s");
  }

  TEST_CASE("human_count: groups of three") {
    CHECK(tools::human_count(0) == "0");
    CHECK(tools::human_count(999) == "999");
    CHECK(tools::human_count(1000) == "1,000");
    CHECK(tools::human_count(1234567) == "1,234,567");
  }
}
