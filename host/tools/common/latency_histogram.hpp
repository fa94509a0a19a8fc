// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tools {

/// Counts durations in cells whose width grows with them, so that any number of them takes the same memory and a
/// percentile is off by less than 1/32.
class latency_histogram {
 public:
  void record(std::uint64_t ns) noexcept {
    ++counts_[cell_of(ns)];
    ++count_;
    if (ns > longest_) longest_ = ns;
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t longest_ns() const noexcept { return longest_; }

  /// The duration that `percent` of all recorded ones do not exceed, from above; 0 where nothing was recorded.
  [[nodiscard]] std::uint64_t percentile_ns(double percent) const noexcept {
    if (count_ == 0) return 0;
    // The rank is rounded up: with few durations a high percentile is the longest.
    const double exact = percent / 100 * static_cast<double>(count_);
    auto rank = static_cast<std::uint64_t>(exact);
    if (static_cast<double>(rank) < exact) ++rank;
    if (rank == 0) rank = 1;
    std::uint64_t seen = 0;
    for (std::size_t cell = 0; cell < counts_.size(); ++cell) {
      seen += counts_[cell];
      if (seen >= rank) return last_of(cell) < longest_ ? last_of(cell) : longest_;
    }
    return longest_;
  }

 private:
  // Below 64 each value has a cell; above, each power of two has 32.
  static constexpr unsigned exact_bits = 6;
  static constexpr std::uint64_t steps = 32;
  static constexpr std::size_t cells = 64 + (64 - exact_bits) * steps;

  static constexpr std::size_t cell_of(std::uint64_t ns) noexcept {
    if (ns < 64) return static_cast<std::size_t>(ns);
    const auto power = static_cast<unsigned>(std::bit_width(ns)) - 1;
    const std::uint64_t step = (ns >> (power - 5)) & (steps - 1);
    return static_cast<std::size_t>(64 + (power - exact_bits) * steps + step);
  }
  static constexpr std::uint64_t last_of(std::size_t cell) noexcept {
    if (cell < 64) return cell;
    const auto power = static_cast<unsigned>((cell - 64) / steps) + exact_bits;
    const std::uint64_t step = (cell - 64) % steps;
    return ((steps + step + 1) << (power - 5)) - 1;
  }

  std::array<std::uint64_t, cells> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t longest_ = 0;
};

}  // namespace tools
