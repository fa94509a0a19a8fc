// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>
#include <nkv/device/world.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// native_atomics, with a submission queue entry written in four stores of 16 bytes on every GPU, and a completion
/// queue entry read with one load where a GPU has one whose words are relaxed.
struct atomics : native_atomics {
  using native_atomics::store_plain;
  /// The lane.
  [[nodiscard]] NKV_HD NKV_INLINE static std::uint32_t turn() noexcept { return detail::world::lane(); }
  /// @param p aligned to 16 bytes
  NKV_HD NKV_INLINE static void store_plain(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    detail::world::store_wide(p, dw);
  }
  /// @param last the fourth word; the first is aligned to 16 bytes
  NKV_HD NKV_INLINE static void load_relaxed_up_to(const std::uint32_t* last, std::uint32_t (&out)[4],
                                                   scope_constant<scope::system>) noexcept {
    detail::world::load_system_up_to(last, out);
  }
};

}  // namespace device
}  // namespace nkv::inline NKV_ABI
