// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/device/world.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// The clock of deadlines in device code, in nanoseconds: `%globaltimer` on NVIDIA's GPUs, the 100 MHz counter on
/// AMD's, the steady clock on a host. None of them wraps. Their starts differ, so a deadline is made where it is used.
struct clock {
  NKV_HD static std::uint64_t now_ns() noexcept { return detail::world::now_ns(); }
  /// Naps, the longer the more looks were fruitless: a small part of what was waited already, up to a microsecond. Of
  /// many that wait one reads the completions for all, and the looks of the others are in its way.
  NKV_HD static void relax(std::uint32_t spins) noexcept {
    detail::world::nap(spins < longest_shift ? 32u << spins / 2 : 1024u);
  }

 private:
  static constexpr std::uint32_t longest_shift = 10;
};
static_assert(waiting_clock<clock>);

/// A moment on the device's clock.
using deadline = nkv::deadline<clock>;

}  // namespace device
}  // namespace nkv::inline NKV_ABI
