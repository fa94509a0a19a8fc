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
};

/// Bytes from one entry to the next, padding included.
[[nodiscard]] NKV_HD constexpr std::size_t list_entry_bytes(list_padding padding, std::size_t key_bytes) noexcept {
  const std::size_t entry = 2 + key_bytes;
  switch (padding) {
    case list_padding::key_only: return 2 + (key_bytes + 3) / 4 * 4;
    case list_padding::remainder: return entry + entry % 4;
    default: return (entry + 3) / 4 * 4;
  }
}

}  // namespace nkv::inline NKV_ABI
