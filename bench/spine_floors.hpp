// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "far_side.hpp"
#include "spine_load.hpp"
#include "statistics.hpp"
#include "tick_clock.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace bench {

/// The floor under every operation: one line of the cache goes to another thread and comes back.
class round_trip_floor {
 public:
  round_trip_floor(far_side& far, bool alone) : far_(far), alone_(alone), line_(std::make_unique<line>()) {}

  /// @return nanoseconds of one round trip: the median over `pieces` of the mean over 64 in a row
  [[nodiscard]] double measure(const tick_clock& clock, unsigned pieces) {
    constexpr unsigned trips = 64;
    line_->word.store(0);
    const far_work answering(far_, [this](const std::atomic<bool>& stop) { answer(stop); });
    std::uint32_t turn = 1;
    std::vector<double> took;
    took.reserve(pieces);
    // The first ones wait for the other thread to wake up.
    for (unsigned p = 0; p < pieces + 2; ++p) {
      const std::uint64_t start = tick_clock::now();
      for (unsigned i = 0; i < trips; ++i, turn += 2) {
        // Release and acquire as a doorbell and a phase have them.
        line_->word.store(turn, std::memory_order_release);
        for (std::uint32_t looks = 0; line_->word.load(std::memory_order_acquire) != turn + 1; ++looks)
          between_looks(alone_, looks);
      }
      const std::uint64_t ticks = tick_clock::now() - start;
      if (p >= 2) took.push_back(clock.ns(ticks - clock.read_ticks()) / trips);
    }
    return median(std::move(took));
  }

 private:
  struct alignas(128) line {
    std::atomic<std::uint32_t> word{0};
  };

  void answer(const std::atomic<bool>& stop) const noexcept {
    for (std::uint32_t turn = 1;; turn += 2) {
      for (std::uint32_t looks = 0; line_->word.load(std::memory_order_acquire) != turn; ++looks) {
        if (looks > 1000 && stop.load(std::memory_order_relaxed)) return;
        between_looks(alone_, looks);
      }
      line_->word.store(turn + 1, std::memory_order_release);
    }
  }

  far_side& far_;
  bool alone_;
  std::unique_ptr<line> line_;
};

}  // namespace bench
