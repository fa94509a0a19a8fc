// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Where a command carries its key. A property of a namespace.
enum class key_encoding : std::uint8_t {
  inline_cdw,    ///< CDW2, 3, 14 and 15, length in CDW11: 1 to 16 bytes (KV Command Set 1.0c)
  payload_head,  ///< `[u16 LE length][key]` at the head of the data: 1 to 255 bytes (RADOS-NKV)
};

/// Room that a head can take.
inline constexpr std::size_t max_head_bytes = 2 + max_key_bytes;

/// The longest key that an encoding carries.
[[nodiscard]] NKV_HD constexpr std::uint32_t longest_key_bytes(key_encoding encoding) noexcept {
  return encoding == key_encoding::inline_cdw ? max_inline_key_bytes : max_key_bytes;
}

/// Whether an encoding carries keys of `key_bytes` bytes.
[[nodiscard]] NKV_HD constexpr bool carries(key_encoding encoding, std::size_t key_bytes) noexcept {
  return key_bytes >= 1 && key_bytes <= longest_key_bytes(encoding);
}

/// Bytes of the head of `key`: its length field and itself.
[[nodiscard]] NKV_HD constexpr std::size_t head_bytes(key_view key) noexcept { return 2 + key.size(); }

/// Writes `[u16 LE length][key]`. The empty view gives two zero bytes, with which List begins at the first key.
/// @param[out] out head_bytes(key) bytes
/// @return the bytes written; 0, and nothing written, for a view longer than max_key_bytes
NKV_HD constexpr std::size_t write_head(std::byte* out, key_view key) noexcept {
  if (key.size() > max_key_bytes) return 0;
  store_le(out, static_cast<std::uint16_t>(key.size()));
  for (std::size_t i = 0; i < key.size(); ++i) out[2 + i] = key[i];
  return head_bytes(key);
}

/// The key in the head of `data`, which lives as long as `data` does.
/// @return the key; client truncated where `data` ends before it does; client protocol_error for a length of 0 or above
///         max_key_bytes
[[nodiscard]] NKV_HD constexpr result<key_view> read_head(byte_span data) noexcept {
  if (data.size() < 2) return status{client_status::truncated};
  const std::size_t length = load_le<std::uint16_t>(data.data());
  if (length == 0 || length > max_key_bytes) return status{client_status::protocol_error};
  if (length > data.size() - 2) return status{client_status::truncated};
  return key_view{data.data() + 2, length};
}

}  // namespace nkv::inline NKV_ABI
