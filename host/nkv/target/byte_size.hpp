// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// A number of bytes as people write it: decimal digits, then optionally one blank and a unit. B, KiB, MiB, GiB, TiB
/// are powers of 1024; kB, MB, GB, TB powers of 1000. Upper and lower case matter, and there are no fractions.
/// @return nothing for other text, and for what does not fit 64 bits
[[nodiscard]] constexpr std::optional<std::uint64_t> parse_byte_size(std::string_view text) noexcept {
  constexpr std::uint64_t most = ~std::uint64_t{0};
  std::size_t at = 0;
  std::uint64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    if (value > (most - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  if (at == 0) return std::nullopt;
  std::string_view unit = text.substr(at);
  if (unit.empty()) return value;
  if (unit.front() == ' ') unit.remove_prefix(1);
  struct scale {
    std::string_view name;
    std::uint64_t bytes;
  };
  constexpr scale scales[] = {
      {"B", 1},
      {"KiB", std::uint64_t{1} << 10},
      {"MiB", std::uint64_t{1} << 20},
      {"GiB", std::uint64_t{1} << 30},
      {"TiB", std::uint64_t{1} << 40},
      {"kB", 1'000},
      {"MB", 1'000'000},
      {"GB", 1'000'000'000},
      {"TB", 1'000'000'000'000},
  };
  for (const scale& s : scales) {
    if (unit != s.name) continue;
    if (value > most / s.bytes) return std::nullopt;
    return value * s.bytes;
  }
  return std::nullopt;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
