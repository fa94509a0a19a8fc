// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>

#include <chrono>
#include <cstdint>
#include <thread>

namespace nkv::inline NKV_ABI {
namespace device::detail {

/// The same on a host, where a thread is a warp of one lane; host_lanes make more of them.
struct world {
  static std::uint64_t now_ns() noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
  }
  static void nap(std::uint32_t) noexcept { std::this_thread::yield(); }

  /// The order lies on the store itself, where ThreadSanitizer sees it; but see mapped_doorbell for arm64.
  static void fence_release_system() noexcept {
#if NKV_ON_ARM64
    __asm__ volatile("dmb osh" ::: "memory");
#endif
  }
  static void store_system(std::uint32_t* p, std::uint32_t value) noexcept {
    native_atomics::store_release(p, value, system_scope);
  }
  static void store_mmio(std::uint32_t* p, std::uint32_t value) noexcept { store_system(p, value); }
  static void store_wide(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    native_atomics::store_plain(p, dw);
  }
  static void load_system_up_to(const std::uint32_t* last, std::uint32_t (&out)[4]) noexcept {
    native_atomics::load_relaxed_up_to(last, out, system_scope);
  }

  /// Whether a barrier of the block also counts.
  static constexpr bool counts_in_block = true;
  static std::uint32_t count_in_block(bool value) noexcept { return value ? 1 : 0; }

  static constexpr std::uint32_t lanes_of_warp = 1;

  static std::uint64_t active_lanes() noexcept { return 1; }
  static std::uint32_t lane() noexcept { return 0; }
  static void sync_lanes(std::uint64_t) noexcept {}
  static std::uint64_t ballot(std::uint64_t, bool value) noexcept { return value ? 1 : 0; }
  static std::uint32_t read_lane(std::uint64_t, std::uint32_t value, std::uint32_t) noexcept { return value; }

  static std::uint32_t thread_in_block() noexcept { return 0; }
  static std::uint32_t threads_of_block() noexcept { return 1; }
  static std::uint32_t block_in_grid() noexcept { return 0; }
  static void sync_block() noexcept {}
};

}  // namespace device::detail
}  // namespace nkv::inline NKV_ABI
