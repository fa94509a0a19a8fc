// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

#if NKV_ON_CUDA
namespace nkv::inline NKV_ABI {
namespace device::detail {

/// What an NVIDIA GPU has of its own. Seen by the pass that compiles for one.
struct world {
  /// Nanoseconds; the same for all of the device, 64 bits wide.
  NKV_HD static std::uint64_t now_ns() noexcept {
    std::uint64_t ns;
    __asm__ volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
    return ns;
  }
  NKV_HD static void nap(std::uint32_t ns) noexcept { __asm__ volatile("nanosleep.u32 %0;" ::"r"(ns)); }

  /// Orders everything before it, of this thread and of those it synchronised with, before what this thread stores
  /// after it, for every agent of the system. By hand: the compiler's builtin makes the dearer fence.sc.
  NKV_HD static void fence_release_system() noexcept { __asm__ volatile("fence.release.sys;" ::: "memory"); }
  NKV_HD static void store_system(std::uint32_t* p, std::uint32_t value) noexcept {
    __asm__ volatile("st.relaxed.sys.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
  }
  /// A store that is carried out once, in its width, and not merged with others: for the registers of a PCIe device.
  NKV_HD static void store_mmio(std::uint32_t* p, std::uint32_t value) noexcept {
    __asm__ volatile("st.mmio.relaxed.sys.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
  }
  NKV_HD static void store_wide(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    __asm__ volatile(
        "st.v4.u32 [%0], {%1, %2, %3, %4};\n\t"
        "st.v4.u32 [%0+16], {%5, %6, %7, %8};\n\t"
        "st.v4.u32 [%0+32], {%9, %10, %11, %12};\n\t"
        "st.v4.u32 [%0+48], {%13, %14, %15, %16};" ::"l"(p),
        "r"(dw[0]), "r"(dw[1]), "r"(dw[2]), "r"(dw[3]), "r"(dw[4]), "r"(dw[5]), "r"(dw[6]), "r"(dw[7]), "r"(dw[8]),
        "r"(dw[9]), "r"(dw[10]), "r"(dw[11]), "r"(dw[12]), "r"(dw[13]), "r"(dw[14]), "r"(dw[15])
        : "memory");
  }
  /// Four words with one access, each of them a relaxed load.
  NKV_HD static void load_system_up_to(const std::uint32_t* last, std::uint32_t (&out)[4]) noexcept {
    __asm__ volatile("ld.relaxed.sys.v4.u32 {%0, %1, %2, %3}, [%4+-12];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "l"(last)
                     : "memory");
  }

  /// The lanes of this warp that are here now.
  NKV_HD static std::uint64_t active_lanes() noexcept {
    std::uint32_t mask;
    __asm__ volatile("activemask.b32 %0;" : "=r"(mask));
    return mask;
  }
  NKV_HD static std::uint32_t lane() noexcept {
    std::uint32_t lane;
    __asm__("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
  }
  /// Everything that a lane of `lanes` did before is visible to all of them after.
  NKV_HD static void sync_lanes(std::uint64_t lanes) noexcept {
    __asm__ volatile("bar.warp.sync %0;" ::"r"(static_cast<std::uint32_t>(lanes)) : "memory");
  }
  NKV_HD static std::uint64_t ballot(std::uint64_t lanes, bool value) noexcept {
    std::uint32_t votes;
    __asm__ volatile("{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.ballot.b32 %0, p, %2; }"
                     : "=r"(votes)
                     : "r"(static_cast<std::uint32_t>(value)), "r"(static_cast<std::uint32_t>(lanes))
                     : "memory");
    return votes;
  }
  NKV_HD static std::uint32_t read_lane(std::uint64_t lanes, std::uint32_t value, std::uint32_t from) noexcept {
    std::uint32_t out;
    __asm__ volatile("shfl.sync.idx.b32 %0, %1, %2, 31, %3;"
                     : "=r"(out)
                     : "r"(value), "r"(from), "r"(static_cast<std::uint32_t>(lanes))
                     : "memory");
    return out;
  }

  NKV_HD static std::uint32_t thread_in_block() noexcept {
    std::uint32_t x, y, z, nx, ny;
    __asm__("mov.u32 %0, %%tid.x;" : "=r"(x));
    __asm__("mov.u32 %0, %%tid.y;" : "=r"(y));
    __asm__("mov.u32 %0, %%tid.z;" : "=r"(z));
    __asm__("mov.u32 %0, %%ntid.x;" : "=r"(nx));
    __asm__("mov.u32 %0, %%ntid.y;" : "=r"(ny));
    return x + nx * (y + ny * z);
  }
  NKV_HD static std::uint32_t threads_of_block() noexcept {
    std::uint32_t nx, ny, nz;
    __asm__("mov.u32 %0, %%ntid.x;" : "=r"(nx));
    __asm__("mov.u32 %0, %%ntid.y;" : "=r"(ny));
    __asm__("mov.u32 %0, %%ntid.z;" : "=r"(nz));
    return nx * ny * nz;
  }
  NKV_HD static std::uint32_t block_in_grid() noexcept {
    std::uint32_t x, y, z, nx, ny;
    __asm__("mov.u32 %0, %%ctaid.x;" : "=r"(x));
    __asm__("mov.u32 %0, %%ctaid.y;" : "=r"(y));
    __asm__("mov.u32 %0, %%ctaid.z;" : "=r"(z));
    __asm__("mov.u32 %0, %%nctaid.x;" : "=r"(nx));
    __asm__("mov.u32 %0, %%nctaid.y;" : "=r"(ny));
    return x + nx * (y + ny * z);
  }
  NKV_HD static void sync_block() noexcept { __asm__ volatile("barrier.sync 0;" ::: "memory"); }

  /// Whether a barrier of the block also counts.
  static constexpr bool counts_in_block = true;
  /// sync_block(); how many of the block's threads pass true.
  NKV_HD static std::uint32_t count_in_block(bool value) noexcept {
    std::uint32_t total;
    __asm__ volatile("{ .reg .pred p; setp.ne.u32 p, %1, 0; barrier.red.popc.u32 %0, 0, p; }"
                     : "=r"(total)
                     : "r"(static_cast<std::uint32_t>(value))
                     : "memory");
    return total;
  }

  static constexpr std::uint32_t lanes_of_warp = 32;
};

}  // namespace device::detail
}  // namespace nkv::inline NKV_ABI
#endif
