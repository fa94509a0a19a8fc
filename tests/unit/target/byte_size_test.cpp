// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/byte_size.hpp>

#include <doctest/doctest.h>

#include <cstdint>

TEST_SUITE("target/byte_size") {
  using nkv::target::parse_byte_size;
  constexpr std::uint64_t most = ~std::uint64_t{0};

  TEST_CASE("parse_byte_size: digits alone -> bytes") {
    CHECK(parse_byte_size("0") == 0u);
    CHECK(parse_byte_size("4096") == 4096u);
    CHECK(parse_byte_size("007") == 7u);
    CHECK(parse_byte_size("18446744073709551615") == most);
  }

  TEST_CASE("parse_byte_size: units, with and without a blank -> bytes") {
    CHECK(parse_byte_size("5B") == 5u);
    CHECK(parse_byte_size("3KiB") == 3u * 1024u);
    CHECK(parse_byte_size("64 MiB") == std::uint64_t{64} << 20);
    CHECK(parse_byte_size("2GiB") == std::uint64_t{2} << 30);
    CHECK(parse_byte_size("1TiB") == std::uint64_t{1} << 40);
    CHECK(parse_byte_size("3kB") == 3'000u);
    CHECK(parse_byte_size("64MB") == 64'000'000u);
    CHECK(parse_byte_size("2 GB") == 2'000'000'000u);
    CHECK(parse_byte_size("1TB") == 1'000'000'000'000u);
    CHECK(parse_byte_size("16777215TiB") == std::uint64_t{16777215} << 40);
  }

  TEST_CASE("parse_byte_size: what is no size -> nothing") {
    for (const char* text : {"", " ", "abc", "MiB", "-1", "+1", "1.5GiB", "1 ", "1  MiB", " 1", "1mib", "1KB", "1K",
                             "1M", "0x10", "1MiB ", "1MiBs", "1,000"}) {
      CAPTURE(text);
      CHECK_FALSE(parse_byte_size(text));
    }
  }

  TEST_CASE("parse_byte_size: beyond 64 bits -> nothing") {
    CHECK_FALSE(parse_byte_size("18446744073709551616"));
    CHECK_FALSE(parse_byte_size("99999999999999999999999999"));
    CHECK_FALSE(parse_byte_size("16777216TiB"));
    CHECK_FALSE(parse_byte_size("18446744073709551615kB"));
  }
}
