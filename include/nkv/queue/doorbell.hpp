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

/// Two doorbell words in memory that the controller polls: a mapped BAR page of a vfio-user target, or of an emulated
/// one in this process. One 32-bit store each, never torn. Host and device.
///
/// Not for the BAR of a PCIe device on arm64: a store-release orders normal memory there, and device memory needs the
/// outer-shareable barrier of an I/O write.
template <class Atomics = native_atomics>
struct mapped_doorbell {
  std::uint32_t* sq_tail = nullptr;
  std::uint32_t* cq_head = nullptr;

  /// Orders the SQE stores of this queue before the tail store (release, system scope).
  NKV_HD void ring_sq_tail(std::uint32_t value) const noexcept { Atomics::store_release(sq_tail, value, system_scope); }
  /// Orders the CQE loads before the head store, so that the controller reuses no entry that is still being read.
  NKV_HD void ring_cq_head(std::uint32_t value) const noexcept { Atomics::store_release(cq_head, value, system_scope); }
};
static_assert(doorbell<mapped_doorbell<>>);

}  // namespace nkv::inline NKV_ABI
