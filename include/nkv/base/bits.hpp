// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <bit>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How many bits of `x` are set. Host and device (where <bit> is not callable without a compiler flag).
[[nodiscard]] NKV_HD constexpr std::uint32_t count_ones(std::uint32_t x) noexcept {
#if NKV_ON_CUDA
  if (!__builtin_is_constant_evaluated()) {
    std::uint32_t n = 0;
    __asm__("popc.b32 %0, %1;" : "=r"(n) : "r"(x));
    return n;
  }
  x = x - ((x >> 1) & 0x55555555u);
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  return ((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
#elif NKV_ON_HIP
  return static_cast<std::uint32_t>(__builtin_popcount(x));
#else
  return static_cast<std::uint32_t>(std::popcount(x));
#endif
}

/// The number of the lowest set bit of `x`; 32 for 0.
[[nodiscard]] NKV_HD constexpr std::uint32_t count_trailing_zeros(std::uint32_t x) noexcept {
#if NKV_ON_GPU
  return count_ones((x & (0u - x)) - 1u);
#else
  return static_cast<std::uint32_t>(std::countr_zero(x));
#endif
}

/// 0, of which AMD's compiler does not know that it is: what is worked out with it is worked out where it is used. From
/// what does not change in a caller's loop it would otherwise work out everything before the loop and hold it in scalar
/// registers, of which a wave of 64 lanes has too few. Elsewhere a constant.
[[nodiscard]] NKV_HD NKV_INLINE constexpr std::uint32_t opaque_zero() noexcept {
#if NKV_ON_HIP
  if (!__builtin_is_constant_evaluated()) {
    std::uint32_t zero = 0;
    __asm__ volatile("s_mov_b32 %0, 0" : "=s"(zero));
    return zero;
  }
#endif
  return 0;
}

}  // namespace nkv::inline NKV_ABI
