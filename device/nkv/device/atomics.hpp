// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/device/world.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// native_atomics, with a submission queue entry written in four stores of 16 bytes on every GPU.
struct atomics : native_atomics {
  using native_atomics::store_plain;
  /// @param p aligned to 16 bytes
  NKV_HD NKV_INLINE static void store_plain(std::uint32_t* p, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                            std::uint32_t d) noexcept {
    detail::world::store_wide(p, a, b, c, d);
  }
};

}  // namespace device
}  // namespace nkv::inline NKV_ABI
