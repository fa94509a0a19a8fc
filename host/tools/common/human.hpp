// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace tools {

/// "17 B", "1.5 KiB", "64 MiB": three digits that count, powers of 1024.
[[nodiscard]] inline std::string human_bytes(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // Not up to 1024: "1000 KiB" would be rounded from 999.9.
  while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
    value /= 1024;
    ++unit;
  }
  const bool whole = value == static_cast<double>(static_cast<std::uint64_t>(value));
  const int digits = whole || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, digits, units[unit]);
}

/// "3.21 GB/s": powers of 1000, as rates are given. "-" where no time has passed.
[[nodiscard]] inline std::string human_rate(std::uint64_t bytes, double seconds) {
  if (seconds <= 0) return "-";
  const double rate = static_cast<double>(bytes) / seconds;
  if (rate >= 1e8) return fmt::format("{:.2f} GB/s", rate / 1e9);
  if (rate >= 1e5) return fmt::format("{:.2f} MB/s", rate / 1e6);
  return fmt::format("{:.1f} kB/s", rate / 1e3);
}

/// "850 ns", "12.3 us", "4.56 ms", "1.20 s".
[[nodiscard]] inline std::string human_time(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  const auto scaled = [](double v, const char* unit) {
    return fmt::format("{:.{}f} {}", v, v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, unit);
  };
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (value < 999.5e3) return scaled(value / 1e3, "us");
  if (value < 999.5e6) return scaled(value / 1e6, "ms");
  return scaled(value / 1e9, "s");
}

/// "1,234,567".
[[nodiscard]] inline std::string human_count(std::uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace tools
