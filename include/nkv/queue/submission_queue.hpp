// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The ring of submission queue entries: positions are handed out, written, published in order and rung.
///
/// A view: copies are the same ring. It has room for whoever holds a CID (queue_shape::cids), so nothing here waits or
/// fails: whoever takes a position publishes it, and no deadline can leave a hole. With `shared` any thread may call
/// anything at any time. Host and device.
template <class Sharing, class Atomics = native_atomics>
class submission_queue {
  static constexpr auto scope_ = Sharing::state_scope;

 public:
  constexpr submission_queue() noexcept = default;
  /// @param ring    shape.sq_entries entries that the controller reads
  /// @param control a block laid out by queue_control_layout::of(shape); both outlive the view
  NKV_HD submission_queue(sqe* ring, std::byte* control, const queue_shape& shape) noexcept
      : ring_(ring),
        counters_(reinterpret_cast<queue_counters*>(control)),
        ready_(reinterpret_cast<std::uint32_t*>(control + queue_control_layout::of(shape).ready_offset)),
        mask_(shape.sq_entries - 1) {}

  /// Starts from an empty ring, as the controller has it after Create I/O Submission Queue. Nobody else uses it
  /// meanwhile.
  NKV_HD void initialize() const noexcept {
    counters_->sq_next = 0;
    counters_->sq_rung = 0;
    counters_->ring_requests = 0;
    for (std::uint32_t i = 0; i <= mask_; ++i) ready_[i] = 0;
  }

  /// Writes `command` under `cid` as the next entry, all 16 dwords, without ringing.
  /// @pre the caller holds a CID of this queue that is in no other entry
  NKV_HD NKV_INLINE void post(const sqe& command, std::uint16_t cid) const noexcept {
    if constexpr (Sharing::is_shared) {
      post_at(take(1), command, cid);
    } else {
      write(ring_[counters_->sq_next++ & mask_], command, cid);
    }
  }

  /// Hands out `count` positions that follow one another, each to be given to post_at() at once. Shared rings.
  /// @pre the caller holds as many CIDs that are in no other entry
  /// @return the first
  [[nodiscard]] NKV_HD NKV_INLINE std::uint32_t take(std::uint32_t count) const noexcept {
    static_assert(Sharing::is_shared);
    return Atomics::fetch_add(&counters_->sq_next, count, scope_);
  }
  /// post() at a position that take() gave.
  NKV_HD NKV_INLINE void post_at(std::uint32_t position, const sqe& command, std::uint16_t cid) const noexcept {
    write(ring_[position & mask_], command, cid);
    // Release: the SQE stores come before the ringing thread's acquire of this mark, and so before its doorbell.
    Atomics::store_release(&ready_[position & mask_], position + 1, scope_);
  }

  /// Publishes everything posted: one tail doorbell for all of it.
  ///
  /// Shared: whoever finds another thread ringing leaves the work to it, and a thread that rings takes every entry that
  /// is complete, in order, those of others too. Nobody waits. An entry that follows one still being written is rung by
  /// the writer of that one. The tail moves strictly forwards, by no more than the free entries.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void ring(const Doorbell& doorbell) const noexcept {
    if constexpr (Sharing::is_shared) {
      // The thread that moves the count from 0 rings until it has seen every request. Acquire-release: a request that
      // was counted brings its mark with it, and what the last ringing thread wrote to sq_rung is visible to the next.
      if (Atomics::fetch_add(&counters_->ring_requests, std::uint32_t{1}, scope_) != 0) return;
      std::uint32_t requests = 1;
      do {
        ring_ready(doorbell);
      } while (!answered(requests));
    } else {
      if (counters_->sq_next == counters_->sq_rung) return;
      ring_to(doorbell, counters_->sq_next);
    }
  }

  /// post() and ring() in one step.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void post_and_ring(const sqe& command, std::uint16_t cid, const Doorbell& doorbell) const noexcept {
    if constexpr (Sharing::is_shared) {
      post(command, cid);
      ring(doorbell);
    } else {
      const std::uint32_t position = counters_->sq_next;
      write(ring_[position & mask_], command, cid);
      counters_->sq_next = position + 1;
      ring_to(doorbell, position + 1);
    }
  }

 private:
  /// In four wide stores, so that a command made here stays in registers until it is stored, once.
  NKV_HD NKV_INLINE static void write(sqe& entry, const sqe& command, std::uint16_t cid) noexcept {
    const std::uint32_t(&dw)[16] = command.dw;
    Atomics::store_plain(&entry.dw[0], (dw[0] & 0xffffu) | static_cast<std::uint32_t>(cid) << 16, dw[1], dw[2], dw[3]);
    Atomics::store_plain(&entry.dw[4], dw[4], dw[5], dw[6], dw[7]);
    Atomics::store_plain(&entry.dw[8], dw[8], dw[9], dw[10], dw[11]);
    Atomics::store_plain(&entry.dw[12], dw[12], dw[13], dw[14], dw[15]);
  }

  /// Only on a host, where an atomic load may read it at any time; a kernel does not pay for it.
  NKV_HD NKV_INLINE static void count_doorbell(std::uint32_t& counter) noexcept {
    if constexpr (NKV_ON_GPU == 0) Atomics::store_relaxed(&counter, counter + 1u, scope_);
  }

  /// Exclusive: everything below `position` is published.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void ring_to(const Doorbell& doorbell, std::uint32_t position) const noexcept {
    counters_->sq_rung = position;
    count_doorbell(counters_->sq_doorbells);
    doorbell.ring_sq_tail(position & mask_);
  }

  template <doorbell Doorbell>
  NKV_HD void ring_ready(const Doorbell& doorbell) const noexcept {
    std::uint32_t position = Atomics::load_plain(&counters_->sq_rung);
    // Acquire: pairs with post(); the entry is complete before its position is published.
    while (Atomics::load_acquire(&ready_[position & mask_], scope_) == position + 1) ++position;
    if (position == Atomics::load_plain(&counters_->sq_rung)) return;
    Atomics::store_plain(&counters_->sq_rung, position);
    count_doorbell(counters_->sq_doorbells);
    doorbell.ring_sq_tail(position & mask_);
  }

  /// Takes back the requests seen so far; fails, with the new count, where more have come.
  NKV_HD bool answered(std::uint32_t& requests) const noexcept {
    return Atomics::compare_exchange(&counters_->ring_requests, requests, std::uint32_t{0}, scope_);
  }

  sqe* ring_ = nullptr;
  queue_counters* counters_ = nullptr;
  std::uint32_t* ready_ = nullptr;
  std::uint32_t mask_ = 0;
};

}  // namespace nkv::inline NKV_ABI
