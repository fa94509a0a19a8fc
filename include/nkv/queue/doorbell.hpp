// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>

#include <concepts>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How a queue pair tells its controller of a new submission queue tail or completion queue head. Both calls publish:
/// what the caller wrote before is visible to whoever reads the doorbell's value.
template <class D>
concept doorbell = requires(const D& d, std::uint32_t value) {
  { d.ring_sq_tail(value) } noexcept;
  { d.ring_cq_head(value) } noexcept;
};

/// Two doorbell words that one 32-bit store each writes, never torn: memory that the controller polls (a mapped BAR
/// page of a vfio-user target, or of an emulated one in this process), or, on a host, the BAR of a PCIe device, mapped
/// as the operating system maps it. Host and device.
///
/// On x86 either is a plain store. On arm64 it is `dmb osh`, then `stlr`: the store-release alone orders for other
/// processors, and a device that fetches entries when its BAR was written is none.
template <class Atomics = native_atomics>
struct mapped_doorbell {
  std::uint32_t* sq_tail = nullptr;
  std::uint32_t* cq_head = nullptr;

  /// Orders the SQE stores of this queue before the tail store (release, system scope).
  NKV_HD void ring_sq_tail(std::uint32_t value) const noexcept { ring(sq_tail, value); }
  /// Orders the CQE loads before the head store, so that the controller reuses no entry that is still being read.
  NKV_HD void ring_cq_head(std::uint32_t value) const noexcept { ring(cq_head, value); }

 private:
  NKV_HD static void ring(std::uint32_t* word, std::uint32_t value) noexcept {
#if NKV_ON_ARM64
    // Everything before (SQE stores, CQE loads) before the doorbell store, for the outer shareable domain, which
    // devices are in. An I/O write's `dmb oshst` would leave out the loads.
    __asm__ volatile("dmb osh" ::: "memory");
#endif
    Atomics::store_release(word, value, system_scope);
  }
};
static_assert(doorbell<mapped_doorbell<>>);

}  // namespace nkv::inline NKV_ABI
