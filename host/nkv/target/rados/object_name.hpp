// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>
#include <nkv/kv/limits.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// The name of a key's RADOS object: its bytes in lowercase hexadecimal digits.
/// @param key 1 to 255 bytes, which make 2 to 510 characters
[[nodiscard]] inline std::string object_name(byte_span key) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string name(key.size() * 2, '\0');
  for (std::size_t i = 0; i < key.size(); ++i) {
    name[2 * i] = digits[std::to_integer<std::size_t>(key[i] >> 4)];
    name[2 * i + 1] = digits[std::to_integer<std::size_t>(key[i] & std::byte{15})];
  }
  return name;
}

/// The key of an object: what object_name() makes that name of.
/// @param[out] key room for max_key_bytes
/// @return how many bytes the key has; 0 for a name that is no key's: objects of others in the same RADOS namespace
[[nodiscard]] inline std::size_t key_of_object(std::string_view name, std::byte* key) noexcept {
  if (name.empty() || name.size() % 2 != 0 || name.size() > 2 * max_key_bytes) return 0;
  const auto value = [](char c) noexcept -> unsigned {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    return 16;
  };
  for (std::size_t i = 0; i < name.size(); i += 2) {
    const unsigned high = value(name[i]);
    const unsigned low = value(name[i + 1]);
    if (high > 15 || low > 15) return 0;
    key[i / 2] = static_cast<std::byte>(high * 16 + low);
  }
  return name.size() / 2;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
