// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/shard_layout.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

using nkv::client_status;
using nkv::max_shards;
using nkv::shard_layout;
using nkv::status;

TEST_SUITE("kv/shard_layout") {
  static_assert(std::is_trivially_copyable_v<shard_layout>);
  static_assert(shard_layout{}.count() == 0);

  TEST_CASE("of: lengths around the shard -> every byte in one shard") {
    for (const std::uint64_t shard : {1u, 7u, 1000u}) {
      for (std::uint64_t length = 0; length < 4 * shard; ++length) {
        const auto l = shard_layout::of(length, shard);
        REQUIRE(l);
        CHECK(l->length_bytes() == length);
        std::uint64_t at = 0;
        for (std::uint32_t i = 0; i < l->count(); ++i) {
          REQUIRE(l->offset_of(i) == at);
          REQUIRE(l->length_of(i) >= 1);
          REQUIRE(l->length_of(i) <= shard);
          REQUIRE(l->shard_at(at) == i);
          at += l->length_of(i);
          REQUIRE(l->shard_at(at - 1) == i);
        }
        REQUIRE(at == length);
      }
    }
  }

  TEST_CASE("of: the widest -> no overflow") {
    const auto l = shard_layout::of(std::uint64_t{max_shards} * 0xffffffffu, 0xffffffffu);
    REQUIRE(l);
    CHECK(l->count() == max_shards);
    CHECK(l->offset_of(max_shards - 1) == std::uint64_t{max_shards - 1} * 0xffffffffu);
    CHECK(l->length_of(max_shards - 1) == 0xffffffffu);
  }

  TEST_CASE("of: too many, too long or empty shards -> refused") {
    CHECK(shard_layout::of(1000, 0).error() == status(client_status::bad_argument));
    CHECK(shard_layout::of(1000, 0x100000000u).error() == status(client_status::bad_argument));
    CHECK(shard_layout::of(max_shards, 1).has_value());
    CHECK(shard_layout::of(std::uint64_t{max_shards} + 1, 1).error() == status(client_status::value_too_large));
    CHECK(shard_layout::of(~std::uint64_t{0}, 1).error() == status(client_status::value_too_large));
    CHECK(shard_layout::of(~std::uint64_t{0}, 0xffffffffu).error() == status(client_status::value_too_large));
  }
}
