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
  c.set_cdw(11, (c.cdw(11) & ~0xffu) | static_cast<std::uint32_t>(key.size()));
  const auto put = [&c](std::uint32_t a, std::uint32_t b, std::uint32_t d, std::uint32_t e) noexcept {
    c.set_cdw(2, a);
    c.set_cdw(3, b);
    c.set_cdw(14, d);
    c.set_cdw(15, e);
  };
  if (key.size() == max_inline_key_bytes) {
#if NKV_ON_GPU
    // A GPU loads nothing unaligned: a key that may lie anywhere costs it 28 instructions, one that is aligned one.
    if (!__builtin_is_constant_evaluated() && (reinterpret_cast<std::uintptr_t>(key.data()) & 15u) == 0) {
      struct alignas(16) quad {
        std::uint32_t dw[4];
      };
      quad q;
      __builtin_memcpy(&q, __builtin_assume_aligned(key.data(), 16), sizeof q);
      put(q.dw[0], q.dw[1], q.dw[2], q.dw[3]);
      return;
    }
#else
    put(load_le<std::uint32_t>(key.data()), load_le<std::uint32_t>(key.data() + 4),
        load_le<std::uint32_t>(key.data() + 8), load_le<std::uint32_t>(key.data() + 12));
    return;
#endif
  }
  // Two words and no array, which a kernel would put on its stack to index it.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const auto byte = static_cast<std::uint64_t>(key[i]) << (8 * (i % 8));
    if (i < 8)
      low |= byte;
    else
      high |= byte;
  }
  put(static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32), static_cast<std::uint32_t>(high),
      static_cast<std::uint32_t>(high >> 32));
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
