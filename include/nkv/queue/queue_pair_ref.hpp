// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/queue/cid_table.hpp>
#include <nkv/queue/completion_queue.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/scratch.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/submission_queue.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// The memory and numbers of a queue pair, as its owner hands them out. Everything outlives every ref.
struct queue_pair_parts {
  sqe* sq = nullptr;             ///< shape.sq_entries entries, reachable by the controller
  const cqe* cq = nullptr;       ///< shape.cq_entries entries, reachable by the controller, zero at the start
  std::byte* control = nullptr;  ///< queue_control_layout::of(shape).size_bytes, 64-byte aligned, not the controller's
  scratch_arena arena{};         ///< one slot for each of shape.cids() CIDs
  queue_shape shape{};
  std::uint16_t qid = 0;
};

/// A submission queue and its completion queue, used by anybody who holds a copy of this ref.
///
/// Steps: reserve() takes a CID, scratch_of() is the memory that goes with it, post() writes the SQE, ring() publishes,
/// poll() looks once, wait() has a deadline, consume() frees the CID. Completions come in any order and are kept in a
/// record a CID; whoever polls reads the completion queue for all.
///
/// @tparam Sharing  exclusive: one thread at a time calls anything here. shared: any number do, without a mutex
/// @tparam Doorbell how head and tail are published, see queue/doorbell.hpp
/// @tparam Atomics  the world's own accesses, or an exploring policy
/// A trivially copyable value. Host and device.
template <class Sharing, doorbell Doorbell, class Atomics = native_atomics>
class queue_pair_ref {
 public:
  using sharing_type = Sharing;

  /// A CID in hand, before a command is made with it.
  struct reservation {
    std::uint32_t index = ticket::none;
  };

  constexpr queue_pair_ref() noexcept = default;
  NKV_HD queue_pair_ref(const queue_pair_parts& parts, const Doorbell& doorbell) noexcept
      : sq_(parts.sq),
        cq_(parts.cq),
        control_(parts.control),
        masks_(parts.shape),
        arena_(parts.arena),
        doorbell_(doorbell),
        qid_(parts.qid) {}

  /// Makes the queue empty, as it is right after Create I/O Submission Queue; tickets from before are stale. The owner
  /// calls it once, before anybody else has a copy.
  NKV_HD void initialize() const noexcept {
    sq().initialize();
    cq().initialize();
    cids().initialize();
    shared_counters()->liveness = static_cast<std::uint32_t>(queue_liveness::open);
  }

  /// Takes a CID, and with it the right to one entry of the ring.
  /// @return it, or
  ///         - client/queue_full    queue_shape::cids() commands are outstanding or in quarantine; nothing was written
  ///         - client/disconnected  the owner declared the controller lost
  ///         - client/forked        this process is a child of the queue's
  [[nodiscard]] NKV_HD NKV_INLINE result<reservation> reserve() const noexcept {
    const reservation r = try_reserve();
    if (r.index == ticket::none) [[unlikely]]
      return refusal();
    return r;
  }
  /// The same without the reason, for the shortest way: the index is ticket::none where there is none, and refusal()
  /// says why.
  [[nodiscard]] NKV_HD NKV_INLINE reservation try_reserve() const noexcept {
    if (!open()) [[unlikely]]
      return {};
    return {cids().claim()};
  }
  /// Up to `most` reservations at once, 1 to 32, for a group that posts together: the CIDs `first` + i, for every bit i
  /// of `bits`. None of them where there is no room or the queue is not open; refusal() says why. Shared queues.
  using cid_run = typename cid_table<Sharing, Atomics>::cid_run;
  [[nodiscard]] NKV_HD NKV_INLINE cid_run try_reserve_some(std::uint32_t most) const noexcept {
    if (!open()) [[unlikely]]
      return {};
    return cids().claim_some(most);
  }
  /// Hands out `count` entries of the ring that follow one another, for as many reservations; each is to be written,
  /// and then all published, at once. Shared queues.
  using turn = typename submission_queue<Sharing, Atomics>::turn;
  [[nodiscard]] NKV_HD NKV_INLINE turn take_entries(std::uint32_t count) const noexcept { return sq().take(count); }
  /// Writes `command` under the reservation's CID into the entry at `position`. @return as post()
  NKV_HD NKV_INLINE ticket write_at(std::uint32_t position, reservation r, const sqe& command) const noexcept {
    const ticket t = cids().begin(r.index);
    sq().write_at(position, command, cids().wire_cid(t));
    return t;
  }
  /// Publishes a turn of `count` entries. Of a group one thread does, behind a barrier that all come to when they have
  /// written theirs. @param rings without it the doorbell may be left to ring()
  NKV_HD NKV_INLINE void publish(const turn& mine, std::uint32_t count, bool rings) const noexcept {
    sq().publish(mine, count, doorbell_, rings);
  }

  /// Why try_reserve() just gave nothing.
  [[nodiscard]] NKV_HD status refusal() const noexcept {
    if (liveness() != queue_liveness::open) return dead();
    Atomics::fetch_add(&shared_counters()->queue_full, std::uint32_t{1}, Sharing::state_scope);
    return client_status::queue_full;
  }
  /// Whether a reservation would be given now. A snapshot.
  [[nodiscard]] NKV_HD bool has_room() const noexcept { return cids().has_free(); }

  /// Gives a reservation back unused.
  NKV_HD void cancel(reservation r) const noexcept { cids().unclaim(r.index); }

  /// The scratch memory that goes with a reservation, until its command is complete.
  [[nodiscard]] NKV_HD NKV_INLINE scratch scratch_of(reservation r) const noexcept { return arena_.of(r.index); }
  /// The room that each command has for a PRP list.
  [[nodiscard]] NKV_HD std::uint32_t list_bytes() const noexcept { return arena_.list_bytes; }

  /// Writes `command` into the ring under the reservation's CID. Its doorbell may be left to ring().
  /// @return the ticket that names the command until it is consumed
  NKV_HD NKV_INLINE ticket post(reservation r, const sqe& command) const noexcept {
    const ticket t = cids().begin(r.index);
    sq().post(command, cids().wire_cid(t), doorbell_);
    return t;
  }

  /// post() and ring() in one step.
  NKV_HD NKV_INLINE ticket post_and_ring(reservation r, const sqe& command) const noexcept {
    const ticket t = cids().begin(r.index);
    sq().post_and_ring(command, cids().wire_cid(t), doorbell_);
    return t;
  }

  /// Publishes everything posted with one doorbell; nothing to publish is nothing done.
  NKV_HD NKV_INLINE void ring() const noexcept { sq().ring(doorbell_); }

  /// post() and ring() of a command that needs no scratch memory.
  /// @return the ticket, or what reserve() returns
  [[nodiscard]] NKV_HD result<ticket> submit(const sqe& command) const noexcept {
    const result<reservation> r = reserve();
    if (!r) return r.error();
    const ticket t = post(*r, command);
    ring();
    return t;
  }

  /// Looks at the command's record alone; the completion queue is not read. Returns as poll() does.
  [[nodiscard]] NKV_HD NKV_INLINE completion peek(ticket t) const noexcept { return cids().peek(t); }

  /// Looks once. A completed command stays until consume().
  /// @return how the command ended, or
  ///         - client/would_block   it has not yet
  ///         - client/disconnected  it never will: the controller is lost
  ///         - client/cancelled     it was cancelled
  ///         - client/stale_ticket  it was consumed
  ///         - client/forked        this process is a child of the queue's, and the command its parent's
  [[nodiscard]] NKV_HD NKV_INLINE completion poll(ticket t) const noexcept {
    completion c = cids().peek(t);
    if (c.status == status(client_status::would_block)) {
      reap(cids().size());
      c = cids().peek(t);
    }
    if (c.status.is_client()) [[unlikely]]
      c.status = with_liveness(c.status);
    return c;
  }

  /// poll(), and consume() of a completed command: its outcome is given once.
  [[nodiscard]] NKV_HD NKV_INLINE completion take(ticket t) const noexcept {
    completion c;
    if constexpr (Sharing::is_shared) {
      // Others may have read this completion: looking at the own record first leaves the ring to those who must.
      c = cids().take(t);
      if (c.status == status(client_status::would_block)) {
        reap(cids().size());
        c = cids().take(t);
      }
    } else {
      // No further than this command's entry: those behind it are read by who asks for them. And no further than as
      // many entries as there can be: a controller may write others without end.
      cqe entry;
      std::uint32_t others = 0;
      while (cids().in_flight(t) && cq().next(doorbell_, entry)) {
        if (answers(entry, t)) [[likely]]
          return cids().finish(t, entry);
        record(entry);
        if (++others == cids().size()) break;
      }
      c = cids().take(t);
    }
    if (c.status.is_client()) [[unlikely]]
      c.status = with_liveness(c.status);
    return c;
  }

  /// take() of what others have read: the completion queue is not looked at. For a group whose leader reaps.
  [[nodiscard]] NKV_HD NKV_INLINE completion take_recorded(ticket t) const noexcept {
    completion c = cids().take(t);
    if (c.status.is_client()) [[unlikely]]
      c.status = with_liveness(c.status);
    return c;
  }

  /// take_recorded() by the only user of the ticket, which costs less.
  [[nodiscard]] NKV_HD NKV_INLINE completion take_own_recorded(ticket t) const noexcept {
    completion c = cids().take_own(t);
    if (c.status.is_client()) [[unlikely]]
      c.status = with_liveness(c.status);
    return c;
  }

  /// Polls until the command has ended or the deadline has passed.
  /// @return as poll(); client/timed_out instead of would_block: the command is still in flight and owns its buffer
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD completion wait(ticket t, deadline<Clock> until) const noexcept {
    return look_until(until, [this, t]() noexcept { return poll(t); });
  }

  /// wait(), and consume() of a completed command: its outcome is given once.
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD NKV_INLINE completion wait_and_take(ticket t, deadline<Clock> until) const noexcept {
    return look_until(until, [this, t]() noexcept { return take(t); });
  }

  /// A command that needs no scratch memory, to its end: reserve(), post(), ring(), wait() and consume() in one step,
  /// and cancel() where it did not complete in time.
  /// @param[out] t names the command
  /// @param[out] c as wait_and_take() returns it
  /// @return whether the command was sent; where not, refusal() says why
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD NKV_INLINE bool run(const sqe& command, deadline<Clock> until, ticket& t,
                                           completion& c) const noexcept {
    if constexpr (Sharing::is_shared) {
      const reservation r = try_reserve();
      if (r.index == ticket::none) [[unlikely]]
        return false;
      t = post_and_ring(r, command);
      // Nobody else knows the ticket.
      c = look_until(until, [this, t]() noexcept { return take_own(t); });
    } else {
      if (!open()) [[unlikely]]
        return false;
      const std::uint32_t index = cids().next();
      if (index == ticket::none) [[unlikely]]
        return false;
      t = cids().next_use(index);
      const std::uint16_t cid = cids().wire_cid(t);
      sq().post_and_ring(command, cid, doorbell_);
      c.status = status();
      // Nobody else uses the queue meanwhile, and mostly the next entry is this command's: then its CID need not be
      // taken from the free ones only to be given back.
      std::uint32_t spins = 0;
      cqe entry;
      const bool there = next_until(until, spins, entry, c);
      if (there && entry.ids() == cqe::ids_of(qid_, cid)) [[likely]] {
        cids().pass(t);
        c.dw0 = entry.dw0();
        if (!entry.succeeded()) [[unlikely]]
          c.status = entry.status();
        return true;
      }
      static_cast<void>(cids().begin(cids().claim()));
      while (there) {
        record(entry);
        // Entries of others end with the deadline too, since a controller may write them without end.
        if (passed(until, spins++)) {
          c.status = status(client_status::timed_out);
          break;
        }
        if (!next_until(until, spins, entry, c)) break;
        if (entry.ids() == cqe::ids_of(qid_, cid)) {
          c = cids().finish(t, entry);
          return true;
        }
      }
    }
    if (c.status.is_client()) [[unlikely]]
      static_cast<void>(cids().cancel(t));
    return true;
  }

  /// Frees a completed command's CID; the ticket is stale afterwards.
  /// @return success, or client/stale_ticket where the ticket does not name a completed command; nothing was changed
  NKV_HD NKV_INLINE status consume(ticket t) const noexcept {
    return cids().consume(t) ? status() : status(client_status::stale_ticket);
  }

  /// Lets go of a command at once. One still in flight keeps its CID and scratch in quarantine, and its buffer must not
  /// be reused, until quiesced().
  /// @return success, or client/stale_ticket
  NKV_HD status cancel(ticket t) const noexcept {
    return cids().cancel(t) ? status() : status(client_status::stale_ticket);
  }

  /// Whether the controller can no longer touch the command's buffer: it completed the command, or the owner has seen
  /// to it that nothing is written any more. Looks once at the completion queue. Never in a child of the queue's
  /// process.
  [[nodiscard]] NKV_HD bool quiesced(ticket t) const noexcept {
    if (liveness() == queue_liveness::wiped) return false;
    if (cids().completed(t)) return true;
    reap(cids().size());
    return cids().completed(t) || liveness() == queue_liveness::fenced;
  }

  /// Reads up to `budget` completions into the records of their CIDs.
  /// @return how many were read
  NKV_HD NKV_INLINE std::uint32_t reap(std::uint32_t budget) const noexcept {
    return cq().reap(doorbell_, budget, [this](const cqe& entry) noexcept {
      record(entry);
      return true;
    });
  }
  /// The same, and calls `each(index)` with ticket::index of every command that was completed, which may be taken
  /// there.
  template <class Each>
  NKV_HD NKV_INLINE std::uint32_t reap_each(std::uint32_t budget, const Each& each) const noexcept {
    return cq().reap(doorbell_, budget, [this, &each](const cqe& entry) noexcept {
      if (record(entry)) each(entry.cid() & cids().size());
      return true;
    });
  }

  /// Declares the controller lost or fenced: pending commands end as disconnected, new ones are refused. Called by the
  /// owner; any thread.
  NKV_HD void set_liveness(queue_liveness l) const noexcept {
    // Release: a fence the owner made comes before anybody sees the queue as fenced and reuses a buffer.
    Atomics::store_release(&shared_counters()->liveness, static_cast<std::uint32_t>(l), system_scope);
  }
  [[nodiscard]] NKV_HD queue_liveness liveness() const noexcept {
    // Acquire: pairs with set_liveness().
    return static_cast<queue_liveness>(Atomics::load_acquire(&shared_counters()->liveness, system_scope));
  }

  /// Commands outstanding or in quarantine. A snapshot.
  [[nodiscard]] NKV_HD std::uint32_t outstanding() const noexcept { return cids().size() - cids().free_count(); }
  /// Commands that may be outstanding at once.
  [[nodiscard]] NKV_HD std::uint32_t capacity() const noexcept { return cids().size(); }
  [[nodiscard]] NKV_HD std::uint16_t qid() const noexcept { return qid_; }
  /// The queue's counters; each is written by the thread that holds the work it counts. Read with a relaxed load.
  [[nodiscard]] NKV_HD const queue_counters& counters() const noexcept { return *shared_counters(); }

 private:
  /// A power of two. A kernel's waiters nap between looks, so that fewer of them pass in the same time.
  static constexpr std::uint32_t looks_per_clock_read = NKV_ON_GPU ? 16 : 64;

  template <waiting_clock Clock, class Look>
  NKV_HD NKV_INLINE static completion look_until(deadline<Clock> until, const Look& look) noexcept {
    for (std::uint32_t spins = 0;; ++spins) {
      completion c = look();
      if (!(c.status == status(client_status::would_block))) return c;
      if (passed(until, spins)) {
        c.status = status(client_status::timed_out);
        return c;
      }
      Clock::relax(spins);
    }
  }

  /// Whether the deadline has passed, looked at now and then: the clock costs more than a look at the ring.
  template <waiting_clock Clock>
  NKV_HD NKV_INLINE static bool passed(deadline<Clock> until, std::uint32_t spins) noexcept {
    if ((spins & (looks_per_clock_read - 1)) != looks_per_clock_read - 1 && until.at_ns() != 0) return false;
    return until.expired();
  }

  /// take() by the only user of the ticket: a completion that this thread reads goes past its record. Shared queues.
  NKV_HD NKV_INLINE completion take_own(ticket t) const noexcept {
    completion c{client_status::would_block, 0};
    cq().reap(doorbell_, cids().size(), [this, t, &c](const cqe& entry) noexcept {
      // In flight still: another thread may have recorded the completion, and a controller that completes a command
      // twice is believed the first time.
      if (!answers(entry, t) || !cids().in_flight(t)) [[unlikely]] {
        record(entry);
        return true;
      }
      c = cids().finish(t, entry);
      return false;
    });
    return c.status == status(client_status::would_block) ? take_own_recorded(t) : c;
  }

  /// The next entry of the completion queue, whosever it is, waited for where there is none yet. Exclusive queues.
  /// @param spins fruitless looks so far
  /// @param[out] c why there is none: client/timed_out, or the queue is not open
  template <waiting_clock Clock>
  NKV_HD NKV_INLINE bool next_until(deadline<Clock> until, std::uint32_t& spins, cqe& entry,
                                    completion& c) const noexcept {
    while (!cq().next(doorbell_, entry)) {
      if (!open()) [[unlikely]] {
        c.status = dead();
        return false;
      }
      Clock::relax(spins);
      if (passed(until, spins++)) {
        c.status = status(client_status::timed_out);
        return false;
      }
    }
    return true;
  }

  /// Whether the entry completes the command.
  NKV_HD NKV_INLINE bool answers(const cqe& entry, ticket t) const noexcept {
    return entry.ids() == cqe::ids_of(qid_, cids().wire_cid(t));
  }

  NKV_HD NKV_INLINE bool open() const noexcept {
    return Atomics::load_relaxed(&shared_counters()->liveness, system_scope) ==
           static_cast<std::uint32_t>(queue_liveness::open);
  }

  /// @return whether it was for a command of this queue
  NKV_HD NKV_INLINE bool record(const cqe& entry) const noexcept {
    if (entry.sqid() == qid_ && cids().complete(entry)) return true;
    cids().count(&shared_counters()->stray_completions);
    return false;
  }

  /// Why a queue that is not open takes no commands.
  NKV_HD status dead() const noexcept {
    return liveness() == queue_liveness::wiped ? status(client_status::forked) : status(client_status::disconnected);
  }
  /// What a command without a completion has come to: nothing is awaited of a queue that is not open, and one that was
  /// wiped knows no tickets.
  NKV_HD status with_liveness(status s) const noexcept {
    if (liveness() == queue_liveness::open) return s;
    if (liveness() == queue_liveness::wiped || s == status(client_status::would_block)) return dead();
    return s;
  }

  // Made where they are used: a kernel has few registers for what does not change.
  NKV_HD NKV_INLINE submission_queue<Sharing, Atomics> sq() const noexcept { return {sq_, control_, masks_}; }
  NKV_HD NKV_INLINE completion_queue<Sharing, Atomics> cq() const noexcept { return {cq_, control_, masks_}; }
  NKV_HD NKV_INLINE cid_table<Sharing, Atomics> cids() const noexcept {
    queue_masks masks = masks_;
    masks.sq += opaque_zero();
    return {control_, masks};
  }
  NKV_HD NKV_INLINE queue_counters* shared_counters() const noexcept {
    return reinterpret_cast<queue_counters*>(control_);
  }

  sqe* sq_ = nullptr;
  const cqe* cq_ = nullptr;
  std::byte* control_ = nullptr;
  queue_masks masks_{};
  scratch_arena arena_{};
  Doorbell doorbell_{};
  std::uint16_t qid_ = 0;
};

static_assert(std::is_trivially_copyable_v<queue_pair_ref<exclusive, mapped_doorbell<>>>);
static_assert(std::is_trivially_copyable_v<queue_pair_ref<shared, mapped_doorbell<>>>);

}  // namespace nkv::inline NKV_ABI
