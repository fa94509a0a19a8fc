// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/deadline.hpp>

#include <sched.h>
#include <time.h>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

/// The host's waiting clock: CLOCK_MONOTONIC, read without a system call where the vDSO has it.
struct steady_clock {
  [[nodiscard]] static std::uint64_t now_ns() noexcept {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
  }

  /// Spins briefly, then gives the processor away: a peer that shares it would otherwise wait for the end of the slice.
  static void relax(std::uint32_t spins) noexcept {
    if (spins < spins_before_yield) {
#if NKV_ON_X86
      __builtin_ia32_pause();
#elif NKV_ON_ARM64
      __asm__ volatile("yield" ::: "memory");
#endif
    } else {
      sched_yield();
    }
  }

 private:
  static constexpr std::uint32_t spins_before_yield = 2000;
};

/// The deadline that every host call takes.
using deadline = nkv::deadline<steady_clock>;

}  // namespace host
}  // namespace nkv::inline NKV_ABI
