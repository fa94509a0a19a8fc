// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/encode.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// One operation's state in a batch.
struct batch_entry {
  kv_ticket ticket{};
  outcome result{};
};

/// Many operations as one: validated as a whole before any is sent, sent with one doorbell for as many as the queue
/// takes, each with an outcome of its own. May be submitted again and again once it has ended.
///
/// Holds no memory: operations, keys and entries are the caller's and live as long as the batch is used. Results stand
/// in the order of the operations, whatever the order of completions. The queue's thread rule applies; one thread at a
/// time uses one batch. Host and device.
template <class Queue>
class batch {
 public:
  /// @param operations what to do; may change between two submissions, not during one
  /// @param entries    as many as operations, for tickets and results
  NKV_HD batch(const namespace_ref<Queue>& ns, span<const operation> operations, span<batch_entry> entries) noexcept
      : ns_(ns), operations_(operations), entries_(entries) {}

  /// Whether every operation can be sent; see nkv::validate.
  /// @param[out] first_bad the index of the first that cannot, where given
  [[nodiscard]] NKV_HD status validate(std::size_t* first_bad = nullptr) const noexcept {
    if (entries_.size() < operations_.size()) return client_status::bad_argument;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if (const status s = nkv::validate(operations_[i], ns_.profile(), ns_.queue().list_bytes()); !s) {
        if (first_bad != nullptr) *first_bad = i;
        return s;
      }
    }
    return {};
  }

  /// Validates, then sends as many as there is room for; poll() and wait() send the rest.
  /// @return success, or with nothing sent
  ///         - client/busy  an earlier submission has not ended
  ///         - what validate() returns
  [[nodiscard]] NKV_HD status submit(std::size_t* first_bad = nullptr) noexcept {
    if (!ended()) return client_status::busy;
    if (const status s = validate(first_bad); !s) return s;
    sent_ = 0;
    oldest_ = 0;
    ended_ = 0;
    total_ = operations_.size();
    cancelled_ = false;
    for (std::size_t i = 0; i < total_; ++i) entries_[i] = {};
    send_more();
    return {};
  }

  /// Looks once: takes what has completed, sends what there is room for.
  /// @return whether every operation has ended
  NKV_HD bool poll() noexcept {
    if (ended()) return true;
    ns_.queue().reap(ns_.queue().capacity());
    const bool lost = ns_.queue().liveness() != queue_liveness::open;
    for (std::size_t i = oldest_; i < sent_; ++i) {
      batch_entry& e = entries_[i];
      if (!e.ticket.valid()) continue;
      completion c = ns_.queue().peek(e.ticket.ticket);
      if (c.status == status(client_status::would_block)) {
        if (!lost) continue;
        c.status = status(client_status::disconnected);
      }
      end(i, ns_.take(e.ticket, c));
    }
    while (oldest_ < sent_ && !entries_[oldest_].ticket.valid()) ++oldest_;
    send_more();
    return ended();
  }

  /// Polls until every operation has ended or the deadline has passed.
  /// @return success when all have ended, however each did; client/timed_out, and the batch is still under way
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD status wait(deadline<Clock> until) noexcept {
    for (std::uint32_t spins = 0; !poll(); ++spins) {
      if ((spins & 15u) == 15u && until.expired()) return client_status::timed_out;
      Clock::relax(spins);
    }
    return {};
  }

  /// Lets go of everything under way, and sends nothing more. What has not ended ends as client/cancelled; its buffer
  /// stays the controller's until quiesced().
  NKV_HD void cancel() noexcept {
    cancelled_ = true;
    for (std::size_t i = oldest_; i < total_; ++i) {
      batch_entry& e = entries_[i];
      if (i < sent_ && !e.ticket.valid()) continue;
      outcome o;
      o.status = status(client_status::cancelled);
      o.user_tag = operations_[i].user_tag;
      if (i < sent_) {
        static_cast<void>(ns_.cancel(e.ticket));
        o.ticket = e.ticket.ticket;
      }
      end(i, o);
    }
    sent_ = total_;
    oldest_ = total_;
  }

  /// Whether no DMA of any of the operations can follow.
  [[nodiscard]] NKV_HD bool quiesced() const noexcept {
    for (std::size_t i = 0; i < total_; ++i) {
      const batch_entry& e = entries_[i];
      const nkv::ticket t = e.ticket.valid() ? e.ticket.ticket : e.result.ticket;
      if (t.valid() && !ns_.quiesced(t)) return false;
    }
    return true;
  }

  /// Whether nothing is under way.
  [[nodiscard]] NKV_HD bool ended() const noexcept { return ended_ == total_; }
  /// Operations that have ended.
  [[nodiscard]] NKV_HD std::size_t ended_count() const noexcept { return ended_; }
  [[nodiscard]] NKV_HD std::size_t size() const noexcept { return operations_.size(); }
  /// The outcome of operation `i`, once it has ended; client/would_block before.
  [[nodiscard]] NKV_HD const outcome& result_of(std::size_t i) const noexcept { return entries_[i].result; }

 private:
  NKV_HD void end(std::size_t i, const outcome& o) noexcept {
    entries_[i].result = o;
    entries_[i].ticket = {};
    ++ended_;
  }

  NKV_HD void send_more() noexcept {
    if (cancelled_) return;
    bool posted = false;
    for (; sent_ < total_; ++sent_) {
      const result<kv_ticket> t = ns_.send(operations_[sent_]);
      if (t) {
        entries_[sent_].ticket = *t;
        entries_[sent_].result.status = status(client_status::would_block);
        entries_[sent_].result.user_tag = operations_[sent_].user_tag;
        posted = true;
      } else if (t.error() == status(client_status::queue_full)) {
        break;
      } else {
        outcome o;
        o.status = t.error();
        o.user_tag = operations_[sent_].user_tag;
        end(sent_, o);
      }
    }
    if (posted) ns_.ring();
  }

  namespace_ref<Queue> ns_;
  span<const operation> operations_;
  span<batch_entry> entries_;
  std::size_t total_ = 0;
  std::size_t sent_ = 0;
  std::size_t oldest_ = 0;  ///< below it everything sent has ended
  std::size_t ended_ = 0;
  bool cancelled_ = false;
};

}  // namespace nkv::inline NKV_ABI
