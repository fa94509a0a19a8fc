// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/key_encoding.hpp>
#include <nkv/queue/scratch.hpp>

#include <doctest/doctest.h>

using namespace nkv;

TEST_SUITE("queue/scratch") {
  TEST_CASE("of: slots do not overlap, and both sides agree on where they are") {
    std::byte* const heads = reinterpret_cast<std::byte*>(0x10000);
    std::byte* const lists = reinterpret_cast<std::byte*>(0x40000);
    const scratch_arena arena{heads, 0x910000, lists, 0x940000, 512};
    for (std::uint32_t i = 0; i < 100; ++i) {
      const scratch s = arena.of(i);
      CHECK(s.head == heads + i * scratch::head_bytes);
      CHECK(s.head_address - 0x910000 == static_cast<std::uint64_t>(s.head - heads));
      CHECK(s.list.address - 0x940000 == static_cast<std::uint64_t>(s.list.local - lists));
      CHECK(s.list.length_bytes == 512);
      CHECK(s.list.address / 4096 == (s.list.address + 511) / 4096);
      CHECK(s.list.address % 16 == 0);
    }
  }

  TEST_CASE("the landing place is behind the longest head") {
    CHECK(scratch::landing_offset >= max_head_bytes);
    CHECK(scratch::landing_offset < scratch::head_bytes);
  }
}
