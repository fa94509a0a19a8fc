// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How a target pads the entries `{u16 length, key}` of a List page. Targets in the field disagree.
enum class list_padding : std::uint8_t {
  whole_entry,  ///< length and key together to a multiple of 4 bytes, as the specification has it
  key_only,     ///< the key alone to a multiple of 4 bytes: a 16-byte key takes 18 bytes
  remainder,    ///< (2 + key length) mod 4 bytes after the entry, which aligns nothing where that is odd
  as_found,     ///< not known: each page is read in the way that it fits, see find_list_padding()
};

/// Bytes from one entry to the next, padding included; of a padding that is not known, the most that it can be.
[[nodiscard]] NKV_HD constexpr std::size_t list_entry_bytes(list_padding padding, std::size_t key_bytes) noexcept {
  const std::size_t entry = 2 + key_bytes;
  switch (padding) {
    case list_padding::key_only: return 2 + (key_bytes + 3) / 4 * 4;
    case list_padding::remainder: return entry + entry % 4;
    case list_padding::as_found: {
      const std::size_t whole = list_entry_bytes(list_padding::whole_entry, key_bytes);
      const std::size_t key_only = list_entry_bytes(list_padding::key_only, key_bytes);
      const std::size_t remainder = list_entry_bytes(list_padding::remainder, key_bytes);
      const std::size_t most = whole > key_only ? whole : key_only;
      return most > remainder ? most : remainder;
    }
    default: return (entry + 3) / 4 * 4;
  }
}

}  // namespace nkv::inline NKV_ABI
