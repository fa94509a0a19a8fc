// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/shard_ranges.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

using nkv::client_status;
using nkv::local_range;
using nkv::shard_ranges;
using nkv::status;
using nkv::value_ref;

TEST_SUITE("kv/shard_ranges") {
  static_assert(std::is_trivially_copyable_v<local_range<std::byte>> &&
                std::is_trivially_copyable_v<shard_ranges<const std::byte>>);

  TEST_CASE("for_each_piece: every part of a row with empty ranges -> its bytes in order, from any place before") {
    // Each byte's address is told from all others'; where the row is, is another matter.
    const std::uint64_t lengths[] = {0, 3, 0, 0, 1, 5, 2, 0};
    std::vector<std::byte> memory(1000);
    std::vector<local_range<std::byte>> ranges;
    std::vector<std::uint64_t> row;
    std::uint64_t at = 900;
    for (const std::uint64_t n : lengths) {
      at -= n + 7;
      ranges.push_back({value_ref{at + 0x1000, n, 9}, memory.data() + at});
      for (std::uint64_t i = 0; i < n; ++i) row.push_back(at + i);
    }
    const shard_ranges<std::byte> r{nkv::span<const local_range<std::byte>>(ranges)};
    REQUIRE(*r.length_bytes() == row.size());
    for (std::uint64_t from = 0; from <= row.size(); ++from) {
      for (std::uint64_t n = 0; from + n <= row.size(); ++n) {
        for (std::uint64_t before = 0; before <= from; ++before) {
          std::uint64_t done = 0;
          std::size_t calls = 0;
          const std::size_t pieces =
              r.for_each_piece(from, n, r.find(before), [&](const local_range<std::byte>& p, std::uint64_t offset) {
                ++calls;
                REQUIRE(offset == done);
                REQUIRE(!p.value.empty());
                REQUIRE(p.value.remote_key == 9);
                for (std::uint64_t i = 0; i < p.value.length_bytes; ++i) {
                  REQUIRE(p.value.address + i == row[from + done] + 0x1000);
                  REQUIRE(p.local + i == memory.data() + row[from + done]);
                  ++done;
                }
              });
          REQUIRE(done == n);
          REQUIRE(pieces == calls);
        }
      }
    }
  }

  TEST_CASE("length_bytes: a sum beyond 64 bits -> refused") {
    const local_range<std::byte> two[] = {{value_ref{0, ~std::uint64_t{0}, 0}, nullptr}, {value_ref{0, 1, 0}, nullptr}};
    CHECK(shard_ranges<std::byte>(two).length_bytes().error() == status(client_status::bad_argument));
    CHECK(*shard_ranges<std::byte>(nkv::span<const local_range<std::byte>>(two, 1)).length_bytes() ==
          ~std::uint64_t{0});
  }

  TEST_CASE("part: of memory that this code does not reach -> its address alone") {
    std::byte b[2] = {};
    const local_range<std::byte> near{value_ref{1, 2, 7}, b}, far{value_ref{1, 2, 7}, nullptr};
    CHECK(near.part(1, 1).local == b + 1);
    CHECK(far.part(1, 1).local == nullptr);
    CHECK(far.part(1, 1).value.address == 2);
    CHECK(far.part(1, 1).value.length_bytes == 1);
  }
}
