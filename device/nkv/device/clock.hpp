// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/device/world.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// The clock of deadlines in device code, in nanoseconds: `%globaltimer` on NVIDIA's GPUs, the 100 MHz counter on AMD's,
/// the steady clock on a host. None of them wraps. Their starts differ, so a deadline is made where it is used.
struct clock {
  NKV_HD static std::uint64_t now_ns() noexcept { return detail::world::now_ns(); }
  /// Naps, the longer the more looks were fruitless, up to about a microsecond.
  NKV_HD static void relax(std::uint32_t spins) noexcept {
    detail::world::nap(spins < 16 ? 32u : spins < 64 ? 128u : 1000u);
  }
};
static_assert(waiting_clock<clock>);

/// A moment on the device's clock.
using deadline = nkv::deadline<clock>;

}  // namespace device
}  // namespace nkv::inline NKV_ABI
