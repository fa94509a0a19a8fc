// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/cqe.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The ring of completion queue entries, read by one thread at a time: whoever finds nobody reading reads for all.
///
/// A view: copies are the same ring. With `shared` any thread may call reap() at any time. Host and device.
template <class Sharing, class Atomics = native_atomics>
class completion_queue {
  static constexpr auto scope_ = Sharing::state_scope;

 public:
  constexpr completion_queue() noexcept = default;
  /// @param ring    shape.cq_entries entries that the controller writes
  /// @param control a block laid out by queue_control_layout::of(shape); both outlive the view
  NKV_HD NKV_INLINE completion_queue(const cqe* ring, std::byte* control, const queue_masks& masks) noexcept
      : ring_(ring),
        counters_(reinterpret_cast<queue_counters*>(control)),
        mask_(masks.cq),
        phase_shift_(masks.phase_shift),
        last_of_interval_(masks.shape().cq_head_interval() - 1) {}

  /// Starts from an empty ring. The entries must be zero: their phase says which were written. Nobody else uses it
  /// meanwhile.
  NKV_HD void initialize() const noexcept {
    counters_->cq_head = 0;
    counters_->reaping = 0;
  }

  /// Reads up to `budget` new entries, oldest first, and calls `consume(entry)` for each, which says whether to go on.
  /// The head doorbell is rung only when half of the ring was gone through.
  /// @return how many were read; 0 where another thread is reading
  template <doorbell Doorbell, class Consume>
  NKV_HD NKV_INLINE std::uint32_t reap(const Doorbell& doorbell, std::uint32_t budget,
                                       const Consume& consume) const noexcept {
    if constexpr (Sharing::is_shared) {
      // Looking first keeps the line shared among waiters. Acquire: the last reader's counters are visible.
      if (Atomics::load_relaxed(&counters_->reaping, scope_) != 0) return 0;
      if (Atomics::exchange(&counters_->reaping, std::uint32_t{1}, scope_) != 0) return 0;
    }
    std::uint32_t head = Atomics::load_plain(&counters_->cq_head);
    const std::uint32_t start = head;
    cqe entry;
    while (head - start < budget && read(head, entry)) {
      ++head;
      if (!consume(static_cast<const cqe&>(entry))) break;
    }
    if (head != start) advance(doorbell, start, head);
    // Release: the counters are written before the next reader takes over.
    if constexpr (Sharing::is_shared) Atomics::store_release(&counters_->reaping, std::uint32_t{0}, scope_);
    return head - start;
  }

  /// Reads the oldest new entry alone, as reap() with a budget of 1. @return whether there was one
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE bool next(const Doorbell& doorbell, cqe& entry) const noexcept {
    static_assert(!Sharing::is_shared, "who else reads the ring is known to reap() alone");
    const std::uint32_t head = Atomics::load_plain(&counters_->cq_head);
    if (!read(head, entry)) return false;
    advance(doorbell, head, head + 1);
    return true;
  }

 private:
  /// Everything below `head` was read, and below `start` before.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void advance(const Doorbell& doorbell, std::uint32_t start, std::uint32_t head) const noexcept {
    // Both in one interval differ in the bits below it alone.
    bool rings = (start ^ head) > last_of_interval_;
    // In a child after fork() the counters are wiped and the doorbell is the parent's.
    // Atomic: the owner writes the word whenever the controller is lost.
    if (rings) [[unlikely]]
      rings = Atomics::load_relaxed(&counters_->liveness, system_scope) !=
              static_cast<std::uint32_t>(queue_liveness::wiped);
    Atomics::store_plain(&counters_->cq_head, head);
    if (!rings) [[likely]]
      return;
    if constexpr (NKV_ON_GPU == 0)
      Atomics::store_relaxed(&counters_->cq_doorbells, counters_->cq_doorbells + 1u, scope_);
    doorbell.ring_cq_head(head & mask_);
  }

  /// Copies the entry at position `head` if the controller has written it in this lap.
  NKV_HD NKV_INLINE bool read(std::uint32_t head, cqe& entry) const noexcept {
    const cqe& slot = ring_[head & mask_];
    // Acquire: the phase is read before the dwords that it vouches for. All are read after it, those of its own dword
    // again, since a controller may write an entry in pieces.
    const std::uint32_t first = Atomics::load_acquire(&slot.dw[3], system_scope);
    // The phase is 1 in the ring's first lap and changes with each (NVMe Base 2.0, section 3.3.1.2).
    if (((first ^ head << phase_shift_) & 0x10000u) == 0) return false;
    Atomics::load_relaxed_up_to(&slot.dw[3], entry.dw, system_scope);
    return true;
  }

  const cqe* ring_ = nullptr;
  queue_counters* counters_ = nullptr;
  std::uint32_t mask_ = 0;
  std::uint32_t phase_shift_ = 0;
  std::uint32_t last_of_interval_ = 0;
};

}  // namespace nkv::inline NKV_ABI
