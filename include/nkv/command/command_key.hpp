// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Puts a key of 1 to 16 bytes into CDW2, 3, 14 and 15, unused bytes zero, and its length into CDW11 bits 7:0 (KV
/// Command Set 1.0c, section 3.1). @pre key.size() <= max_inline_key_bytes
NKV_HD NKV_INLINE constexpr void set_inline_key(sqe& c, key_view key) noexcept {
  if (key.size() == max_inline_key_bytes) {
    c.set_cdw(2, load_le<std::uint32_t>(key.data()));
    c.set_cdw(3, load_le<std::uint32_t>(key.data() + 4));
    c.set_cdw(14, load_le<std::uint32_t>(key.data() + 8));
    c.set_cdw(15, load_le<std::uint32_t>(key.data() + 12));
  } else {
    std::uint32_t dword[4] = {};
    for (std::size_t i = 0; i < key.size(); ++i) dword[i / 4] |= static_cast<std::uint32_t>(key[i]) << (8 * (i % 4));
    c.set_cdw(2, dword[0]);
    c.set_cdw(3, dword[1]);
    c.set_cdw(14, dword[2]);
    c.set_cdw(15, dword[3]);
  }
  c.set_cdw(11, (c.cdw(11) & ~0xffu) | static_cast<std::uint32_t>(key.size()));
}

/// Puts the key of a command that carries data where its encoding wants it. In payload_head that is the head of the
/// data, which the data pointer names; the command dwords stay zero.
/// @return success, or client/bad_argument for a key that the encoding does not carry
[[nodiscard]] NKV_HD NKV_INLINE constexpr status set_data_key(sqe& c, key_view key, key_encoding encoding) noexcept {
  if (!carries(encoding, key.size())) return client_status::bad_argument;
  if (encoding == key_encoding::inline_cdw) set_inline_key(c, key);
  return {};
}

/// Puts the key of a command that carries no value, Delete or Exist. In payload_head, targets differ in where they
/// look: a key of up to 16 bytes goes into the dwords and, by the data pointer, into the head; a longer one into the
/// head alone.
/// @return success, or client/bad_argument for a key that the encoding does not carry
[[nodiscard]] NKV_HD NKV_INLINE constexpr status set_bare_key(sqe& c, key_view key, key_encoding encoding) noexcept {
  if (!carries(encoding, key.size())) return client_status::bad_argument;
  if (key.size() <= max_inline_key_bytes) set_inline_key(c, key);
  return {};
}

}  // namespace nkv::inline NKV_ABI
