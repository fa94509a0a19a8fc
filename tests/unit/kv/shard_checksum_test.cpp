// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/shard_checksum.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

using nkv::shard_checksum;
using nkv_test::span_of;

namespace {

constexpr std::uint64_t seed = 0x0123456789abcdefu;

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>((i * 7 + i / 251) & 0xffu);
  return out;
}

}  // namespace

TEST_SUITE("kv/shard_checksum") {
  static_assert(std::is_trivially_copyable_v<shard_checksum>);
  static_assert(shard_checksum::of({}, seed) == 0x51e24c0e9077a48cu);

  // The expected values are those of the expression in the header, with the author's xxHash under Python.
  TEST_CASE("of: lengths around the block -> the values of an independent implementation") {
    const std::vector<std::byte> data = pattern(50000);
    const std::pair<std::size_t, std::uint64_t> expected[] = {
        {0, 0x51e24c0e9077a48cu},     {1, 0x60a67279bbc55a1eu},     {16383, 0x7b8656b7e571e482u},
        {16384, 0x7a27efb4fe48a75eu}, {16385, 0x45b994beac2565cfu}, {50000, 0x4194d91e2db3865au},
    };
    for (const auto& [size, sum] : expected) {
      CAPTURE(size);
      CHECK(shard_checksum::of(span_of(data).subspan(0, size), seed) == sum);
    }
  }

  TEST_CASE("update: pieces of any length -> the checksum of the whole") {
    const std::vector<std::byte> data = pattern(50000);
    for (const std::size_t piece : {1u, 1000u, 16383u, 16384u, 16385u, 40000u}) {
      shard_checksum c(seed);
      for (std::size_t at = 0; at < data.size(); at += piece) c.update(span_of(data).subspan(at, piece));
      CHECK(c.finish() == 0x4194d91e2db3865au);
    }
  }

  TEST_CASE("join: leaves made in any order -> the checksum of the whole") {
    const std::vector<std::byte> data = pattern(50000);
    std::vector<std::uint64_t> leaves((data.size() + shard_checksum::block_bytes - 1) / shard_checksum::block_bytes);
    for (std::size_t i = leaves.size(); i-- > 0;)
      leaves[i] = shard_checksum::leaf(
          span_of(data).subspan(i * shard_checksum::block_bytes, shard_checksum::block_bytes), seed);
    CHECK(shard_checksum::join(leaves, seed) == 0x4194d91e2db3865au);
    shard_checksum one_by_one(seed);
    for (const std::uint64_t leaf : leaves) one_by_one.append(leaf);
    CHECK(one_by_one.finish() == 0x4194d91e2db3865au);
    std::swap(leaves[0], leaves[1]);
    CHECK(shard_checksum::join(leaves, seed) != 0x4194d91e2db3865au);
  }

  TEST_CASE("another seed -> another checksum") {
    const std::vector<std::byte> data = pattern(1000);
    CHECK(shard_checksum::of(span_of(data), seed) != shard_checksum::of(span_of(data), seed + 1));
  }
}
