// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/proxy/command_filter.hpp>
#include <nkv/host/proxy/proxy_layout.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// What a proxy has done so far. A snapshot; any thread.
struct proxy_statistics {
  std::uint64_t forwarded = 0;      ///< commands handed to the controller below
  std::uint64_t refused = 0;        ///< commands that the filter ended
  std::uint64_t bad_doorbells = 0;  ///< looks at a doorbell word that held what no user of the queue writes; ignored
};

/// The controller's side of a queue pair in plain memory, whose commands a queue below carries out.
///
/// Each entry is copied once, checked, and posted below under a CID of that queue; its completion comes back under the
/// CID that it had, with status and DW0 as they are. Many are in flight, and end in any order. An entry stays in the
/// ring until there is room below, and until the completion queue has room for its answer: nothing is ever waited for
/// in here. No allocation, lock or system call, save what ringing the doorbell below costs.
///
/// Where the controller below is lost nothing is answered: a completion would say that the command's memory is free,
/// and a lost controller may write there. The queue's liveness says it instead, as it does to the users of any queue:
/// commands under way end as disconnected, those that change something as outcome_unknown, their memory is quiesced
/// when the controller is fenced, and new ones are refused.
///
/// @tparam Lower a queue_pair_ref<exclusive, ...> that nobody else uses meanwhile
/// One thread at a time, but for statistics().
template <class Lower>
class proxy_queue {
 public:
  /// @param memory proxy_layout::queue_bytes, in which the queue is made anew; it outlives this
  proxy_queue(const proxy_layout& layout, std::byte* memory, std::uint16_t qid, const Lower& lower,
              command_filter filter)
      : sq_(reinterpret_cast<const sqe*>(memory)),
        cq_(reinterpret_cast<cqe*>(memory + layout.cq_offset)),
        sq_tail_word_(layout.sq_tail(memory)),
        cq_head_word_(layout.cq_head(memory)),
        counters_(reinterpret_cast<queue_counters*>(memory + layout.control_offset)),
        sq_entries_(layout.shape.sq_entries),
        cq_entries_(layout.shape.cq_entries),
        qid_(qid),
        lower_(lower),
        filter_(std::move(filter)),
        slots_(lower.capacity()) {
    std::memset(memory, 0, layout.control_offset);
  }

  /// Takes what has come, from both sides, once.
  /// @return how many commands moved: were fetched or completed
  std::uint32_t poll() noexcept {
    const queue_liveness before = lower_.liveness();
    // A child after fork() has neither a queue below nor a right to write here.
    if (before == queue_liveness::wiped) return 0;
    std::uint32_t moved = lower_.reap_each(lower_.capacity(), [this](std::uint32_t index) noexcept { finish(index); });
    if (before != queue_liveness::open) [[unlikely]] {
      pass_on(before);
      return moved;
    }
    if (!draining_) moved += fetch();
    return moved;
  }

  /// From now on nothing is fetched; what is in flight still ends.
  void drain() noexcept { draining_ = true; }
  /// Commands that the controller below has and has not completed.
  [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }

  /// Ends the queue for its users. @param l lost, or fenced where nothing below writes any more
  void pass_on(queue_liveness l) noexcept {
    // Release: a fence that was made below comes before anybody sees the queue as fenced and reuses a buffer.
    native_atomics::store_release(&counters_->liveness, static_cast<std::uint32_t>(l), system_scope);
  }

  [[nodiscard]] proxy_statistics statistics() const noexcept {
    return {forwarded_.load(std::memory_order_relaxed), refused_.load(std::memory_order_relaxed),
            bad_doorbells_.load(std::memory_order_relaxed)};
  }

 private:
  /// A command below.
  struct slot {
    ticket lower{};
    std::uint16_t cid = 0;  ///< of the command as it came
  };

  std::uint32_t fetch() noexcept {
    // Acquire: the entries below the tail were written before it.
    const std::uint32_t tail = native_atomics::load_acquire(sq_tail_word_, system_scope);
    if (tail >= sq_entries_) [[unlikely]] {
      add(bad_doorbells_);
      return 0;
    }
    if (tail == sq_head_) return 0;
    look_at_cq_head();
    std::uint32_t fetched = 0;
    bool posted = false;
    for (; sq_head_ != tail && answers_owed() < cq_entries_ - 1; ++fetched) {
      const sqe command = copy(sq_[sq_head_]);
      if (const status s = filter_.check(command); !s.ok()) [[unlikely]] {
        advance();
        add(refused_);
        answer(command.cid(), s, 0);
        continue;
      }
      const auto room = lower_.try_reserve();
      if (room.index == ticket::none) break;
      advance();
      slots_[room.index] = {lower_.post(room, command), command.cid()};
      ++in_flight_;
      posted = true;
      add(forwarded_);
    }
    if (posted) lower_.ring();
    return fetched;
  }

  /// Once, so that what was checked is what is posted.
  static sqe copy(const sqe& entry) noexcept {
    sqe c;
    for (std::size_t i = 0; i < 16; ++i) c.dw[i] = native_atomics::load_relaxed(&entry.dw[i], system_scope);
    return c;
  }
  void advance() noexcept { sq_head_ = (sq_head_ + 1) & (sq_entries_ - 1); }

  /// Entries of the completion queue that are written and not read, or will be written.
  [[nodiscard]] std::uint32_t answers_owed() const noexcept { return in_flight_ + (cq_tail_ - cq_head_); }

  void look_at_cq_head() noexcept {
    // Acquire: entries below the head were read before it was rung, and may be written anew.
    const std::uint32_t head = native_atomics::load_acquire(cq_head_word_, system_scope);
    const std::uint32_t read = (head - cq_head_) & (cq_entries_ - 1);
    if (head >= cq_entries_ || read > cq_tail_ - cq_head_) [[unlikely]] {
      add(bad_doorbells_);
      return;
    }
    cq_head_ += read;
  }

  void finish(std::uint32_t index) noexcept {
    const completion c = lower_.take_recorded(slots_[index].lower);
    --in_flight_;
    answer(slots_[index].cid, c.status, c.dw0);
  }

  /// @pre answers_owed() < cq_entries_ - 1, in which the command's own entry is counted until now
  void answer(std::uint16_t cid, status s, std::uint32_t dw0) noexcept {
    const bool phase = ((cq_tail_ >> count_trailing_zeros(cq_entries_)) & 1u) == 0;
    const cqe entry = cqe::make(dw0, static_cast<std::uint16_t>(sq_head_), qid_, cid, s, phase);
    cqe& to = cq_[cq_tail_ & (cq_entries_ - 1)];
    for (std::size_t i = 0; i < 3; ++i) native_atomics::store_relaxed(&to.dw[i], entry.dw[i], system_scope);
    // Release: the value that the controller below wrote, and this entry's other dwords, come before the phase.
    native_atomics::store_release(&to.dw[3], entry.dw[3], system_scope);
    ++cq_tail_;
  }

  static void add(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  const sqe* sq_;
  cqe* cq_;
  const std::uint32_t* sq_tail_word_;
  const std::uint32_t* cq_head_word_;
  queue_counters* counters_;
  std::uint32_t sq_entries_;
  std::uint32_t cq_entries_;
  std::uint16_t qid_;
  Lower lower_;
  command_filter filter_;
  std::vector<slot> slots_;      // by the index of the ticket below
  std::uint32_t sq_head_ = 0;    // an entry of the ring
  std::uint32_t cq_tail_ = 0;    // positions, which only count up
  std::uint32_t cq_head_ = 0;    // as far as the users have said
  std::uint32_t in_flight_ = 0;  // below
  bool draining_ = false;
  std::atomic<std::uint64_t> forwarded_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> bad_doorbells_{0};
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
