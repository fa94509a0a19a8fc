// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/list_padding.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>

using nkv::list_entry_bytes;
using nkv::list_padding;

TEST_SUITE("kv/list_padding") {
  static_assert(static_cast<unsigned>(list_padding{}) == static_cast<unsigned>(list_padding::whole_entry));

  TEST_CASE("list_entry_bytes: short keys and 16 bytes -> as each target in the field has it") {
    struct row {
      std::size_t key_bytes;
      std::size_t whole_entry;
      std::size_t key_only;
      std::size_t remainder;
    };
    constexpr row table[] = {
        {1, 4, 6, 6},  {2, 4, 6, 4},    {3, 8, 6, 6},    {4, 8, 6, 8},     {5, 8, 10, 10},
        {6, 8, 10, 8}, {7, 12, 10, 10}, {8, 12, 10, 12}, {16, 20, 18, 20}, {255, 260, 258, 258},
    };
    for (const row& r : table) {
      CAPTURE(r.key_bytes);
      CHECK(list_entry_bytes(list_padding::whole_entry, r.key_bytes) == r.whole_entry);
      CHECK(list_entry_bytes(list_padding::key_only, r.key_bytes) == r.key_only);
      CHECK(list_entry_bytes(list_padding::remainder, r.key_bytes) == r.remainder);
      // Of what is not known, room for the longest.
      CHECK(list_entry_bytes(list_padding::as_found, r.key_bytes) ==
            std::max({r.whole_entry, r.key_only, r.remainder}));
    }
  }

  TEST_CASE("list_entry_bytes: any padding -> at least the entry, at most three bytes more") {
    for (unsigned padding = 0; padding < 4; ++padding)
      for (std::size_t n = 1; n <= 255; ++n) {
        const std::size_t bytes = list_entry_bytes(static_cast<list_padding>(padding), n);
        CHECK(bytes >= 2 + n);
        CHECK(bytes <= 2 + n + 3);
      }
  }
}
