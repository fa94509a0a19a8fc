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
/// fails: whoever takes a position publishes it, and no deadline can leave a hole. With a shared ring any thread may
/// call anything at any time. Host and device.
///
/// How a shared ring is published without a lock: one thread at a time is the leader, who alone moves the tail. To take
/// positions is to become the leader where nobody is. Who is not leaves a mark at its first position and goes; the
/// leader goes on over such marks, and where it comes to a position that is taken and not written yet, it leaves the
/// lead there, to that position's writer. So nobody waits, and one doorbell is for all that is there. What a leader has
/// to do is what others post meanwhile, a doorbell for what it finds at once: somebody always gets on, and it leads as
/// long as they are ahead of it.
template <class Sharing, class Atomics = native_atomics>
class submission_queue {
  static constexpr auto scope_ = Sharing::state_scope;

 public:
  constexpr submission_queue() noexcept = default;
  /// @param ring    shape.sq_entries entries that the controller reads
  /// @param control a block laid out by queue_control_layout::of(shape); both outlive the view
  NKV_HD NKV_INLINE submission_queue(sqe* ring, std::byte* control, const queue_masks& masks) noexcept
      : ring_(ring),
        counters_(reinterpret_cast<queue_counters*>(control)),
        marks_(reinterpret_cast<std::uint32_t*>(control + queue_control_layout::of(masks.shape()).marks_offset)),
        mask_(masks.sq) {}

  /// Starts from an empty ring, as the controller has it after Create I/O Submission Queue. Nobody else uses it
  /// meanwhile.
  NKV_HD void initialize() const noexcept {
    counters_->sq_next = 0;
    counters_->sq_rung = 0;
    for (std::uint32_t i = 0; i <= mask_; ++i) marks_[i] = 0;
  }

  /// Positions that follow one another, of one thread or of a group of threads. Shared rings.
  struct turn {
    std::uint32_t position = 0;  ///< the first
    bool leads = false;
  };

  /// Hands out `count` positions, 1 or more: each is to be written, and then all to be published, at once.
  /// @pre the caller holds as many CIDs that are in no other entry
  [[nodiscard]] NKV_HD NKV_INLINE turn take(std::uint32_t count) const noexcept {
    static_assert(Sharing::is_shared);
    // Acquire-release: what the last leader did comes before what the next one does.
    const std::uint32_t before = Atomics::fetch_add(&counters_->sq_next, count << position_shift | count, scope_);
    return {before >> position_shift, (before & (busy_mask | asked)) == 0};
  }
  /// Writes `command` under `cid` as the entry at a position that take() gave, all 16 dwords.
  NKV_HD NKV_INLINE void write_at(std::uint32_t position, const sqe& command, std::uint16_t cid) const noexcept {
    write(ring_[position & mask_], command, cid);
  }
  /// Publishes the positions of a turn; of a group, one thread does, after all have written and after a barrier.
  /// @param rings without it the doorbell may be left to the next who rings, or to ring()
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void publish(const turn& mine, std::uint32_t count, const Doorbell& doorbell,
                                 bool rings = true) const noexcept {
    if (!mine.leads) {
      std::uint32_t& mark = marks_[mine.position & mask_];
      // Release: the entries come before the leader's acquire of this mark, and so before its doorbell. Acquire, where
      // the lead was left here: that leader's sq_rung and doorbell come before ours.
      if (Atomics::exchange(&mark, count, scope_) != lead_is_yours) return;
      Atomics::store_relaxed(&mark, std::uint32_t{0}, scope_);
    }
    lead(mine.position + count, count, doorbell, rings);
  }

  /// Writes `command` under `cid` as the next entry, all 16 dwords. Its doorbell may be left to ring().
  /// @pre the caller holds a CID of this queue that is in no other entry
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void post(const sqe& command, std::uint16_t cid, const Doorbell& doorbell) const noexcept {
    if constexpr (Sharing::is_shared) {
      const turn mine = take(1);
      write_at(mine.position, command, cid);
      publish(mine, 1, doorbell, false);
    } else {
      write(ring_[counters_->sq_next++ & mask_], command, cid);
    }
  }

  /// Publishes everything posted: one tail doorbell for all of it, none for nothing. A shared ring's leader is left to
  /// ring what it has not yet. The tail moves strictly forwards, by no more than the free entries.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void ring(const Doorbell& doorbell) const noexcept {
    if constexpr (Sharing::is_shared) {
      const std::uint32_t before = Atomics::fetch_or(&counters_->sq_next, asked, scope_);
      // A leader that gives up the lead finds that it was asked.
      if ((before & (busy_mask | asked)) != 0) return;
      const std::uint32_t end = before >> position_shift;
      lead(end, asked, doorbell, unrung(end));
    } else {
      if (counters_->sq_next == counters_->sq_rung) return;
      ring_to(doorbell, counters_->sq_next);
    }
  }

  /// post() and ring() in one step.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void post_and_ring(const sqe& command, std::uint16_t cid, const Doorbell& doorbell) const noexcept {
    if constexpr (Sharing::is_shared) {
      const turn mine = take(1);
      write_at(mine.position, command, cid);
      publish(mine, 1, doorbell);
    } else {
      const std::uint32_t position = counters_->sq_next;
      write(ring_[position & mask_], command, cid);
      counters_->sq_next = position + 1;
      ring_to(doorbell, position + 1);
    }
  }

 private:
  // Shared: sq_next is `position << 16 | asked | busy`. Its low half is 0 where nobody leads.
  static constexpr std::uint32_t position_shift = 16;
  static constexpr std::uint32_t position_mask = 0xffff;
  static constexpr std::uint32_t asked = 0x8000;      ///< somebody wants the doorbell rung
  static constexpr std::uint32_t busy_mask = 0x7fff;  ///< positions that are taken and that no leader has gone over
  // A mark is 0, the number of entries that are written from there on, or this:
  static constexpr std::uint32_t lead_is_yours = 0x80000000u;

  /// From registers: a command made here is stored once.
  NKV_HD NKV_INLINE static void write(sqe& entry, const sqe& command, std::uint16_t cid) noexcept {
    sqe whole = command;
    whole.dw[0] = (command.dw[0] & 0xffffu) | static_cast<std::uint32_t>(cid) << 16;
    Atomics::store_plain(entry.dw, whole.dw);
  }

  /// Only on a host, where an atomic load may read it at any time; a kernel does not pay for it.
  NKV_HD NKV_INLINE static void count_doorbell(std::uint32_t& counter) noexcept {
    if constexpr (NKV_ON_GPU == 0) Atomics::store_relaxed(&counter, counter + 1u, scope_);
  }

  /// Everything below `position` is published.
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void ring_to(const Doorbell& doorbell, std::uint32_t position) const noexcept {
    Atomics::store_plain(&counters_->sq_rung, position);
    count_doorbell(counters_->sq_doorbells);
    doorbell.ring_sq_tail(position & mask_);
  }

  /// Whether there are entries below `end` that only wait for a doorbell. The leader's to know.
  NKV_HD bool unrung(std::uint32_t end) const noexcept {
    return ((end ^ Atomics::load_plain(&counters_->sq_rung)) & position_mask) != 0;
  }

  /// What the leader does: publishes, and gives up the lead.
  /// @param end   everything below is written
  /// @param done  what of sq_next that answers
  /// @param rings whether the doorbell is to be rung; end is beyond what it was rung to
  template <doorbell Doorbell>
  NKV_HD NKV_INLINE void lead(std::uint32_t end, std::uint32_t done, const Doorbell& doorbell,
                              bool rings) const noexcept {
    for (;;) {
      std::uint32_t& mark = marks_[end & mask_];
      // Acquire: pairs with publish(); those entries are written before their mark, and before our doorbell.
      std::uint32_t more = Atomics::load_acquire(&mark, scope_);
      if (more == 0) [[likely]] {
        if (rings) ring_to(doorbell, end);
        const std::uint32_t left = Atomics::fetch_add(&counters_->sq_next, 0u - done, scope_) - done;
        if ((left & (busy_mask | asked)) == 0) [[likely]]
          return;
        done = 0;
        if ((left & asked) != 0) {
          done = asked;
          rings = unrung(end);
          continue;
        }
        // The position is taken. Release: sq_rung and the doorbell come before its writer's. Acquire: as above.
        more = Atomics::exchange(&mark, lead_is_yours, scope_);
        if (more == 0) return;
      }
      // Nobody looks at it before the next lap, which begins after this doorbell.
      Atomics::store_relaxed(&mark, std::uint32_t{0}, scope_);
      end += more;
      done += more;
      rings = true;
    }
  }

  sqe* ring_ = nullptr;
  queue_counters* counters_ = nullptr;
  std::uint32_t* marks_ = nullptr;
  std::uint32_t mask_ = 0;
};

}  // namespace nkv::inline NKV_ABI
