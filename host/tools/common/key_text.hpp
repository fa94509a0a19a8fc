// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/kv/key.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace tools {

/// Hexadecimal digits, lower case.
[[nodiscard]] inline std::string hex_of(nkv::key_view key) {
  std::string text(2 * key.size(), '0');
  key.to_hex(text.data());
  return text;
}

/// Whether a key reads as text: printable ASCII without blanks, and not like hexadecimal digits after 0x.
[[nodiscard]] inline bool is_text(nkv::key_view key) {
  for (std::size_t i = 0; i < key.size(); ++i) {
    const auto c = static_cast<unsigned>(key[i]);
    if (c <= 0x20 || c > 0x7e) return false;
  }
  return !(key.size() >= 2 && key[0] == std::byte{'0'} && key[1] == std::byte{'x'});
}

[[nodiscard]] inline std::string_view characters(nkv::key_view key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

/// A key for a terminal or a script: its characters where it is_text(), else its digits after 0x.
[[nodiscard]] inline std::string text_of(nkv::key_view key) {
  return is_text(key) ? std::string(characters(key)) : "0x" + hex_of(key);
}

/// The key that somebody typed.
/// @param hex whether they are hexadecimal digits, with or without 0x in front, or the key's own characters
/// @return client bad_argument for what is no key
[[nodiscard]] inline nkv::result<nkv::key> key_from(std::string_view typed, bool hex) {
  if (!hex) return nkv::key::from_text({typed.data(), typed.size()});
  if (typed.substr(0, 2) == "0x") typed.remove_prefix(2);
  return nkv::key::from_hex({typed.data(), typed.size()});
}

}  // namespace tools
