// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/clock.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace bench {

/// Time in the processor's own ticks, and how long one is: on x86 the time stamp counter, read behind all loads before
/// it; elsewhere the steady clock's nanoseconds.
class tick_clock {
 public:
  /// Compares both clocks for 20 ms.
  tick_clock() noexcept {
    const std::uint64_t ns0 = nkv::host::steady_clock::now_ns();
    const std::uint64_t ticks0 = now();
    std::uint64_t ns1 = ns0;
    while (ns1 - ns0 < 20'000'000) ns1 = nkv::host::steady_clock::now_ns();
    ns_per_tick_ = static_cast<double>(ns1 - ns0) / static_cast<double>(now() - ticks0);
    std::array<std::uint64_t, 1001> cost{};
    for (std::uint64_t& c : cost) {
      const std::uint64_t before = now();
      c = now() - before;
    }
    std::nth_element(cost.begin(), cost.begin() + cost.size() / 2, cost.end());
    read_ticks_ = cost[cost.size() / 2];
  }

  [[nodiscard]] static std::uint64_t now() noexcept {
#if NKV_ON_X86
    unsigned processor = 0;
    return __builtin_ia32_rdtscp(&processor);
#else
    return nkv::host::steady_clock::now_ns();
#endif
  }

  [[nodiscard]] double ns(std::uint64_t ticks) const noexcept { return static_cast<double>(ticks) * ns_per_tick_; }
  [[nodiscard]] std::uint64_t ticks(double ns) const noexcept { return static_cast<std::uint64_t>(ns / ns_per_tick_); }
  /// What a look at the clock costs: the median of many.
  [[nodiscard]] std::uint64_t read_ticks() const noexcept { return read_ticks_; }

 private:
  double ns_per_tick_ = 1;
  std::uint64_t read_ticks_ = 0;
};

}  // namespace bench
