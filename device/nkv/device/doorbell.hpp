// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/device/world.hpp>
#include <nkv/queue/doorbell.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// Doorbells in memory that the controller polls, as the device reaches it: the mapped page of a vfio-user target, or
/// of an emulated controller. A plain value.
struct shared_doorbell {
  std::uint32_t* sq_tail = nullptr;
  std::uint32_t* cq_head = nullptr;

  NKV_HD NKV_INLINE void ring_sq_tail(std::uint32_t value) const noexcept { ring(sq_tail, value); }
  NKV_HD NKV_INLINE void ring_cq_head(std::uint32_t value) const noexcept { ring(cq_head, value); }

 private:
  NKV_HD NKV_INLINE static void ring(std::uint32_t* word, std::uint32_t value) noexcept {
    // The SQE stores of this queue before the tail's store; for the head, the CQE loads before it.
    detail::world::fence_release_system();
    detail::world::store_system(word, value);
  }
};
static_assert(doorbell<shared_doorbell>);

/// Doorbells in the BAR of a PCIe device, mapped for the GPU as I/O memory. A plain value.
struct bar_doorbell {
  static constexpr bool in_bar = true;  ///< no doorbells of a shared page become these, and no BAR's the others

  std::uint32_t* sq_tail = nullptr;
  std::uint32_t* cq_head = nullptr;

  NKV_HD NKV_INLINE void ring_sq_tail(std::uint32_t value) const noexcept { ring(sq_tail, value); }
  NKV_HD NKV_INLINE void ring_cq_head(std::uint32_t value) const noexcept { ring(cq_head, value); }

 private:
  NKV_HD NKV_INLINE static void ring(std::uint32_t* word, std::uint32_t value) noexcept {
    // The SQE stores of this queue before the tail's store; for the head, the CQE loads before it.
    detail::world::fence_release_system();
    detail::world::store_mmio(word, value);
  }
};
static_assert(doorbell<bar_doorbell>);

}  // namespace device
}  // namespace nkv::inline NKV_ABI
