// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <concepts>
#include <cstddef>

namespace nkv::inline NKV_ABI {

/// Reads a little-endian integer at `p`, which needs no alignment. Host and device, usable in constant expressions.
template <std::unsigned_integral T>
[[nodiscard]] NKV_HD constexpr T load_le(const std::byte* p) noexcept {
  T value = 0;
  if (!__builtin_is_constant_evaluated()) {
    __builtin_memcpy(&value, p, sizeof(T));
    return value;
  }
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(p[i]) << (8 * i)));
  return value;
}

/// Writes `value` little-endian at `p`, which needs no alignment.
template <std::unsigned_integral T>
NKV_HD constexpr void store_le(std::byte* p, T value) noexcept {
  if (!__builtin_is_constant_evaluated()) {
    __builtin_memcpy(p, &value, sizeof(T));
    return;
  }
  for (std::size_t i = 0; i < sizeof(T); ++i) p[i] = static_cast<std::byte>(static_cast<T>(value >> (8 * i)) & 0xff);
}

/// Writes `value` big-endian at `p`, which needs no alignment.
template <std::unsigned_integral T>
NKV_HD constexpr void store_be(std::byte* p, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    p[i] = static_cast<std::byte>(static_cast<T>(value >> (8 * (sizeof(T) - 1 - i))) & 0xff);
}

}  // namespace nkv::inline NKV_ABI
