// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>

#include <cstdint>

#if NKV_ON_HIP
namespace nkv::inline NKV_ABI {
namespace device::detail {

/// What an AMD GPU has of its own. Seen by the pass that compiles for one.
struct world {
  /// Nanoseconds, from the counter of 100 MHz and 64 bits that all of the device shares. Not the cycle counter: that of
  /// gfx11 has 20 bits.
  NKV_HD static std::uint64_t now_ns() noexcept {
#if __has_builtin(__builtin_readsteadycounter)
    return __builtin_readsteadycounter() * 10u;
#else
    return __builtin_amdgcn_s_memrealtime() * 10u;
#endif
  }
  NKV_HD static void nap(std::uint32_t ns) noexcept {
    // 64 cycles each; the argument has to be a constant.
    if (ns < 128)
      __builtin_amdgcn_s_sleep(1);
    else
      __builtin_amdgcn_s_sleep(8);
  }

  /// Orders everything before it before what this thread stores after it, for every agent of the system.
  NKV_HD static void fence_release_system() noexcept { __builtin_amdgcn_fence(__ATOMIC_RELEASE, ""); }
  NKV_HD static void store_system(std::uint32_t* p, std::uint32_t value) noexcept {
    __hip_atomic_store(p, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_SYSTEM);
  }
  NKV_HD static void store_mmio(std::uint32_t* p, std::uint32_t value) noexcept { store_system(p, value); }
  NKV_HD static void store_wide(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    // The vector type keeps the store whole: gfx942's compiler makes pieces of 12, 8 and 4 bytes of four dwords.
    using quad = std::uint32_t __attribute__((ext_vector_type(4)));
    auto* const quads = reinterpret_cast<quad*>(p);
    __builtin_nontemporal_store(quad{dw[0], dw[1], dw[2], dw[3]}, quads);
    __builtin_nontemporal_store(quad{dw[4], dw[5], dw[6], dw[7]}, quads + 1);
    __builtin_nontemporal_store(quad{dw[8], dw[9], dw[10], dw[11]}, quads + 2);
    __builtin_nontemporal_store(quad{dw[12], dw[13], dw[14], dw[15]}, quads + 3);
  }
  NKV_HD static void load_system_up_to(const std::uint32_t* last, std::uint32_t (&out)[4]) noexcept {
    native_atomics::load_relaxed_up_to(last, out, system_scope);
  }

  /// Whether a barrier of the block also counts: none here does, and block_group adds up what its waves say.
  static constexpr bool counts_in_block = false;

  static constexpr std::uint32_t lanes_of_warp = __AMDGCN_WAVEFRONT_SIZE;

  NKV_HD static std::uint64_t active_lanes() noexcept { return ballot(0, true); }
  NKV_HD static std::uint32_t lane() noexcept {
    if constexpr (lanes_of_warp == 32)
      return __builtin_amdgcn_mbcnt_lo(~0u, 0u);
    else
      return __builtin_amdgcn_mbcnt_hi(~0u, __builtin_amdgcn_mbcnt_lo(~0u, 0u));
  }
  /// The lanes of a wave run together: what is left to order is memory.
  NKV_HD static void sync_lanes(std::uint64_t) noexcept {
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
  }
  NKV_HD static std::uint64_t ballot(std::uint64_t, bool value) noexcept {
#if !__has_builtin(__builtin_amdgcn_ballot_w32)
    return __builtin_amdgcn_uicmp(value ? 1u : 0u, 0u, 33);  // clang-15; 33 is "not equal"
#elif __AMDGCN_WAVEFRONT_SIZE == 32
    return __builtin_amdgcn_ballot_w32(value);
#else
    return __builtin_amdgcn_ballot_w64(value);
#endif
  }
  NKV_HD static std::uint32_t read_lane(std::uint64_t, std::uint32_t value, std::uint32_t from) noexcept {
    return static_cast<std::uint32_t>(
        __builtin_amdgcn_ds_bpermute(static_cast<int>(from * 4), static_cast<int>(value)));
  }

  NKV_HD static std::uint32_t thread_in_block() noexcept {
    const std::uint32_t nx = __builtin_amdgcn_workgroup_size_x();
    const std::uint32_t ny = __builtin_amdgcn_workgroup_size_y();
    return __builtin_amdgcn_workitem_id_x() +
           nx * (__builtin_amdgcn_workitem_id_y() + ny * __builtin_amdgcn_workitem_id_z());
  }
  NKV_HD static std::uint32_t threads_of_block() noexcept {
    return static_cast<std::uint32_t>(__builtin_amdgcn_workgroup_size_x()) * __builtin_amdgcn_workgroup_size_y() *
           __builtin_amdgcn_workgroup_size_z();
  }
  NKV_HD static std::uint32_t block_in_grid() noexcept {
    // The grid is counted in threads here.
    const std::uint32_t nx = __builtin_amdgcn_grid_size_x() / __builtin_amdgcn_workgroup_size_x();
    const std::uint32_t ny = __builtin_amdgcn_grid_size_y() / __builtin_amdgcn_workgroup_size_y();
    return __builtin_amdgcn_workgroup_id_x() +
           nx * (__builtin_amdgcn_workgroup_id_y() + ny * __builtin_amdgcn_workgroup_id_z());
  }
  NKV_HD static void sync_block() noexcept {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
  }
};

}  // namespace device::detail
}  // namespace nkv::inline NKV_ABI
#endif
