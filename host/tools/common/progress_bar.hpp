// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "common/human.hpp"

#include <nkv/host/clock.hpp>

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

namespace tools {

/// How far something has come, on standard error: a bar that is drawn over itself, or a line now and then, or nothing.
/// Cheap to call often: the clock is all that is looked at in between.
class progress_bar {
 public:
  enum class style { none, bar, lines };

  /// A bar on a terminal; elsewhere what is asked for.
  [[nodiscard]] static style on_terminal(style elsewhere = style::none) {
    return ::isatty(STDERR_FILENO) != 0 ? style::bar : elsewhere;
  }

  /// @param total what update() counts up to; 0: not known
  progress_bar(style how, std::string label, std::uint64_t total)
      : style_(how), label_(std::move(label)), total_(total), started_ns_(now()), drawn_ns_(started_ns_) {}
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;
  ~progress_bar() { clear(); }

  /// @param bytes moved so far, for a rate; 0: none is shown
  void update(std::uint64_t done, std::uint64_t bytes = 0) {
    if (style_ == style::none) return;
    const std::uint64_t at = now();
    if (at - drawn_ns_ < (style_ == style::bar ? bar_interval_ns : line_interval_ns)) return;
    drawn_ns_ = at;
    const double seconds = static_cast<double>(at - started_ns_) / 1e9;
    std::string numbers =
        total_ != 0 ? fmt::format("{} of {}", human_count(done), human_count(total_)) : human_count(done);
    if (bytes != 0) numbers += "  " + human_rate(bytes, seconds);
    if (total_ != 0 && done != 0 && done < total_ && seconds > 1)
      numbers +=
          fmt::format("  {:.0f} s left", seconds * static_cast<double>(total_ - done) / static_cast<double>(done));
    if (style_ == style::lines) {
      fmt::print(stderr, "{}  {}\n", label_, numbers);
      return;
    }
    const std::size_t width = columns();
    const std::size_t taken = label_.size() + numbers.size() + 10;
    std::string line = label_ + "  ";
    if (total_ != 0 && width > taken + 8) {
      const std::size_t cells = std::min<std::size_t>(40, width - taken);
      const auto full = static_cast<std::size_t>(
          static_cast<double>(cells) * static_cast<double>(std::min(done, total_)) / static_cast<double>(total_));
      line += '[' + std::string(full, '#') + std::string(cells - full, '.') + "]  ";
    }
    line += numbers;
    if (line.size() >= width) line.resize(width - 1);
    fmt::print(stderr, "\r\x1b[K{}", line);
    std::fflush(stderr);
    shown_ = true;
  }

  /// Takes a bar off the screen again.
  void clear() {
    if (!shown_) return;
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    shown_ = false;
  }

 private:
  static constexpr std::uint64_t bar_interval_ns = 100'000'000;
  static constexpr std::uint64_t line_interval_ns = 10'000'000'000;

  static std::uint64_t now() { return nkv::host::steady_clock::now_ns(); }
  static std::size_t columns() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
  }

  style style_;
  std::string label_;
  std::uint64_t total_;
  std::uint64_t started_ns_;
  std::uint64_t drawn_ns_;
  bool shown_ = false;
};

}  // namespace tools
