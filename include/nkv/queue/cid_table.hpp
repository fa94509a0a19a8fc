// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// What a CID is doing.
enum class cid_state : std::uint32_t {
  free = 0,
  in_flight = 1,
  done = 2,       ///< completed; the record holds how, until it is consumed
  abandoned = 3,  ///< cancelled; quarantined until the controller completes it
};

/// The CIDs of one queue: claimed from a free list, each use with a generation of its own, given back by whoever
/// consumes the completion.
///
/// A view: copies are the same table. With `shared` any thread may call anything at any time; with `exclusive` one
/// thread at a time. Host and device.
template <class Sharing, class Atomics = native_atomics>
class cid_table {
  static constexpr auto scope_ = Sharing::state_scope;

 public:
  constexpr cid_table() noexcept = default;
  /// @param control a block laid out by queue_control_layout::of(shape); it outlives the table
  NKV_HD NKV_INLINE cid_table(std::byte* control, const queue_masks& masks) noexcept
      : counters_(reinterpret_cast<queue_counters*>(control)),
        records_(reinterpret_cast<cid_record*>(control + queue_control_layout::of(masks.shape()).records_offset)),
        free_(control + queue_control_layout::of(masks.shape()).free_offset),
        cids_(masks.shape().cids()),
        index_bits_(masks.cid_index_bits) {}

  /// Makes every CID free. Generations go on from where they were, so that tickets from before are stale; on a fresh
  /// block, which is zeroed, they start from 0. Nobody else uses the table meanwhile.
  NKV_HD void initialize() const noexcept {
    for (std::uint32_t i = 0; i < cids_; ++i)
      records_[i].word = word(generation_of(records_[i].word) + 1, cid_state::free);
    if constexpr (Sharing::is_shared) {
      counters_->spare_cid = ticket::none;
      for (std::uint32_t w = 0; w * 32 < cids_; ++w)
        bitmap()[w] = cids_ - w * 32 >= 32 ? ~0u : (1u << (cids_ - w * 32)) - 1u;
    } else {
      counters_->first_free = ticket::none;
      for (std::uint32_t i = cids_; i-- != 0;) put_back(i);
    }
  }

  /// Takes a free CID.
  /// @return its index, or ticket::none where all are in use or in quarantine
  [[nodiscard]] NKV_HD NKV_INLINE std::uint32_t claim() const noexcept {
    if constexpr (Sharing::is_shared) {
      if (const std::uint32_t spare = claim_spare(); spare != ticket::none) return spare;
      const std::uint32_t words = (cids_ + 31) / 32;
      // Neighbouring claims start at the same word, so that hot records stay in cache; a contended word is left to
      // whoever won it.
      std::uint32_t w = first_word(words);
      std::uint32_t turn = 0;
      for (std::uint32_t tried = 0; tried < words; ++tried, w = w + 1 == words ? 0 : w + 1) {
        std::uint32_t free_bits = Atomics::load_relaxed(&bitmap()[w], scope_);
        while (free_bits != 0) {
          const std::uint32_t above = free_bits & ~0u << turn;
          const std::uint32_t candidates = above != 0 ? above : free_bits;
          const std::uint32_t bit = candidates & (0u - candidates);
          // Acquire: the record's last use by its previous owner, before release(), comes before ours.
          const std::uint32_t before = Atomics::fetch_and(&bitmap()[w], ~bit, scope_);
          if ((before & bit) != 0) return w * 32 + count_trailing_zeros(bit);
          free_bits = before & ~bit;
          // Somebody else was quicker: many ask at once, and each begins elsewhere from here on.
          turn = Atomics::turn() & 31u;
        }
      }
      return ticket::none;
    } else {
      const std::uint32_t index = counters_->first_free;
      if (index != ticket::none) counters_->first_free = records_[index].next_free;
      return index;
    }
  }

  /// What claim() would give, without taking it.
  [[nodiscard]] NKV_HD NKV_INLINE std::uint32_t next() const noexcept {
    static_assert(!Sharing::is_shared);
    return counters_->first_free;
  }
  /// The ticket that begin() would give.
  [[nodiscard]] NKV_HD NKV_INLINE ticket next_use(std::uint32_t index) const noexcept {
    return {index, generation_of(records_[index].word)};
  }
  /// Ends a use that next() and next_use() named, without claim() and begin(): the CID's next one is of another
  /// generation.
  /// @pre nothing was claimed or given back since
  NKV_HD NKV_INLINE void pass(ticket t) const noexcept {
    records_[t.index].word = word(t.generation + 1, cid_state::free);
  }

  /// Several CIDs of one claim: `first` + i for every bit i of `bits`.
  struct cid_run {
    std::uint32_t first = 0;
    std::uint32_t bits = 0;
  };
  /// Takes up to `most` free CIDs, 1 to 32 of them, in one access. Shared tables.
  /// @return those, or none where all are in use or in quarantine. Fewer than asked for do not mean that no more are
  ///         free
  [[nodiscard]] NKV_HD NKV_INLINE cid_run claim_some(std::uint32_t most) const noexcept {
    static_assert(Sharing::is_shared);
    const std::uint32_t words = (cids_ + 31) / 32;
    std::uint32_t w = first_word(words);
    for (std::uint32_t tried = 0; tried < words; ++tried, w = w + 1 == words ? 0 : w + 1) {
      std::uint32_t free_bits = Atomics::load_relaxed(&bitmap()[w], scope_);
      while (free_bits != 0) {
        const std::uint32_t wanted = lowest_bits(free_bits, most);
        // Acquire: as in claim(), for each of the records.
        const std::uint32_t before = Atomics::fetch_and(&bitmap()[w], ~wanted, scope_);
        if ((before & wanted) != 0) return {w * 32, before & wanted};
        free_bits = before & ~wanted;
      }
    }
    if (const std::uint32_t spare = claim_spare(); spare != ticket::none) return {spare & ~31u, 1u << (spare & 31u)};
    return {};
  }

  /// Marks a claimed CID as in use by a command about to be published.
  /// @return the ticket that names this use
  NKV_HD NKV_INLINE ticket begin(std::uint32_t index) const noexcept {
    const std::uint32_t before = Atomics::load_relaxed(&records_[index].word, scope_);  // free, which is 0
    // Release: pairs with the load in complete(); a waiter's reads of the record's last use, which the claim ordered
    // before this, come before the reaper's writes of the next.
    Atomics::store_release(&records_[index].word, before | static_cast<std::uint32_t>(cid_state::in_flight), scope_);
    return {index, generation_of(before)};
  }

  /// Gives back a claimed CID that no command was made with.
  NKV_HD void unclaim(std::uint32_t index) const noexcept { put_back(index); }

  /// The CID on the wire.
  [[nodiscard]] NKV_HD NKV_INLINE std::uint16_t wire_cid(ticket t) const noexcept {
    return static_cast<std::uint16_t>(t.index | (t.generation << index_bits_));
  }

  /// Records a completion. Called by the one thread that reads the completion queue.
  /// @return whether the CID was one of a command in flight or in quarantine; if not, nothing was changed
  NKV_HD NKV_INLINE bool complete(const cqe& entry) const noexcept {
    const std::uint32_t index = entry.cid() & cids_;  // one less than a power of two, and no index itself
    if (index == cids_) return false;
    cid_record& r = records_[index];
    // Acquire: pairs with begin().
    std::uint32_t seen = Atomics::load_acquire(&r.word, scope_);
    const std::uint32_t generation = generation_of(seen);
    if (wire_cid({index, generation}) != entry.cid()) return false;
    if (state_of(seen) == cid_state::in_flight) {
      Atomics::store_plain(&r.dw0, entry.dw0());
      Atomics::store_plain(&r.status_field, std::uint32_t{entry.status_field()});
      if constexpr (Sharing::is_shared) {
        // Release: dw0 and status_field are written before a waiter's acquire sees `done`. A cancel may come between.
        if (Atomics::compare_exchange(&r.word, seen, word(generation, cid_state::done), scope_)) return true;
      } else {
        r.word = word(generation, cid_state::done);
        return true;
      }
    }
    if (state_of(seen) != cid_state::abandoned) return false;
    count(&counters_->late_completions);
    finish_use(index, generation);
    return true;
  }

  /// @return how the command ended, leaving it to be consumed; would_block while it is in flight; cancelled after
  ///         cancel(); stale_ticket once it was consumed, or for a ticket that is not of this table
  [[nodiscard]] NKV_HD NKV_INLINE completion peek(ticket t) const noexcept {
    if (t.index >= cids_) return {client_status::stale_ticket, 0};
    const cid_record& r = records_[t.index];
    // Acquire: pairs with complete(); dw0 and status_field are read after the state that says they are there.
    const std::uint32_t seen = Atomics::load_acquire(&r.word, scope_);
    if (seen == word(t.generation, cid_state::done)) return result_of(r);
    if (seen == word(t.generation, cid_state::in_flight)) return {client_status::would_block, 0};
    if (seen == word(t.generation, cid_state::abandoned)) return {client_status::cancelled, 0};
    return {client_status::stale_ticket, 0};
  }

  /// Frees the CID of a completed command; the ticket is stale afterwards.
  /// @return false, and nothing changed, where the ticket does not name a completed command
  NKV_HD NKV_INLINE bool consume(ticket t) const noexcept {
    if (t.index >= cids_) return false;
    std::uint32_t expected = word(t.generation, cid_state::done);
    if constexpr (Sharing::is_shared) {
      // Two threads with one ticket: one alone frees the CID.
      if (!Atomics::compare_exchange(&records_[t.index].word, expected, word(t.generation + 1, cid_state::free),
                                     scope_))
        return false;
    } else {
      if (records_[t.index].word != expected) return false;
      records_[t.index].word = word(t.generation + 1, cid_state::free);
    }
    put_back(t.index);
    return true;
  }

  /// peek(), and consume() of what it found completed, in one step.
  [[nodiscard]] NKV_HD NKV_INLINE completion take(ticket t) const noexcept {
    if constexpr (Sharing::is_shared) {
      const completion c = peek(t);
      // Of two threads with one ticket one alone has the outcome.
      if (!c.status.is_client() && !consume(t)) return {client_status::stale_ticket, 0};
      return c;
    } else {
      if (t.index >= cids_) return {client_status::stale_ticket, 0};
      cid_record& r = records_[t.index];
      if (r.word != word(t.generation, cid_state::done)) return peek(t);
      const completion c = result_of(r);
      r.word = word(t.generation + 1, cid_state::free);
      put_back(t.index);
      return c;
    }
  }

  /// Whether the ticket's command is in flight, as far as the completions that were read tell.
  [[nodiscard]] NKV_HD NKV_INLINE bool in_flight(ticket t) const noexcept {
    return t.index < cids_ &&
           Atomics::load_relaxed(&records_[t.index].word, scope_) == word(t.generation, cid_state::in_flight);
  }

  /// complete() and take() of a command in flight in one step, past its record. Called by the one thread that reads the
  /// completion queue.
  /// @pre in_flight(t), `entry` has its wire_cid(), and nobody else uses the ticket
  NKV_HD NKV_INLINE completion finish(ticket t, const cqe& entry) const noexcept {
    Atomics::store_relaxed(&records_[t.index].word, word(t.generation + 1, cid_state::free), scope_);
    if constexpr (Sharing::is_shared) {
      put_back_while_reaping(t.index);
    } else {
      put_back(t.index);
    }
    return {status::from_cqe(entry.status_field()), entry.dw0()};
  }
  /// take() by the only user of the ticket.
  [[nodiscard]] NKV_HD NKV_INLINE completion take_own(ticket t) const noexcept {
    const completion c = peek(t);
    if (!c.status.is_client()) finish_use(t.index, t.generation);
    return c;
  }

  /// Lets go of a command: one in flight goes into quarantine until its completion arrives, a completed one is
  /// consumed. Returns at once.
  /// @return false where the ticket was stale
  NKV_HD bool cancel(ticket t) const noexcept {
    if (t.index >= cids_) return false;
    std::uint32_t expected = word(t.generation, cid_state::in_flight);
    if constexpr (Sharing::is_shared) {
      if (Atomics::compare_exchange(&records_[t.index].word, expected, word(t.generation, cid_state::abandoned),
                                    scope_))
        return true;
    } else {
      if (records_[t.index].word == expected) {
        records_[t.index].word = word(t.generation, cid_state::abandoned);
        return true;
      }
    }
    return consume(t);
  }

  /// Whether the controller has completed the command, whoever consumed it.
  [[nodiscard]] NKV_HD bool completed(ticket t) const noexcept {
    if (t.index >= cids_) return true;
    // Acquire: what the controller wrote before the completion is visible to whoever reuses the buffer.
    const std::uint32_t seen = Atomics::load_acquire(&records_[t.index].word, scope_);
    return generation_of(seen) != (t.generation & generation_mask) || state_of(seen) == cid_state::done ||
           state_of(seen) == cid_state::free;
  }

  /// CIDs that are free now. A snapshot.
  [[nodiscard]] NKV_HD std::uint32_t free_count() const noexcept {
    if constexpr (Sharing::is_shared) {
      std::uint32_t n = Atomics::load_relaxed(&counters_->spare_cid, scope_) != ticket::none ? 1 : 0;
      for (std::uint32_t w = 0; w * 32 < cids_; ++w) n += count_ones(Atomics::load_relaxed(&bitmap()[w], scope_));
      return n;
    } else {
      std::uint32_t n = 0;
      for (std::uint32_t i = counters_->first_free; i != ticket::none && n < cids_; i = records_[i].next_free) ++n;
      return n;
    }
  }

  /// Whether any is. A snapshot.
  [[nodiscard]] NKV_HD bool has_free() const noexcept {
    if constexpr (Sharing::is_shared)
      return free_count() != 0;
    else
      return counters_->first_free != ticket::none;
  }

  [[nodiscard]] NKV_HD std::uint32_t size() const noexcept { return cids_; }

  /// Adds one to a counter that other threads may only read.
  NKV_HD static void count(std::uint32_t* counter) noexcept {
    Atomics::store_relaxed(counter, Atomics::load_relaxed(counter, scope_) + 1u, scope_);
  }

 private:
  static constexpr std::uint32_t generation_mask = 0x3fffffffu;

  NKV_HD static constexpr std::uint32_t word(std::uint32_t generation, cid_state s) noexcept {
    return generation << 2 | static_cast<std::uint32_t>(s);
  }
  NKV_HD static constexpr std::uint32_t generation_of(std::uint32_t w) noexcept { return w >> 2; }
  NKV_HD static constexpr cid_state state_of(std::uint32_t w) noexcept { return static_cast<cid_state>(w & 3u); }

  NKV_HD NKV_INLINE static completion result_of(const cid_record& r) noexcept {
    return {status::from_cqe(static_cast<std::uint16_t>(Atomics::load_plain(&r.status_field))),
            Atomics::load_plain(&r.dw0)};
  }

  /// The lowest `count` of the set bits.
  NKV_HD static std::uint32_t lowest_bits(std::uint32_t bits, std::uint32_t count) noexcept {
    std::uint32_t rest = bits;
    for (std::uint32_t i = 0; i < count && rest != 0; ++i) rest &= rest - 1;
    return bits & ~rest;
  }

  NKV_HD std::uint32_t* bitmap() const noexcept { return reinterpret_cast<std::uint32_t*>(free_); }

  NKV_HD void finish_use(std::uint32_t index, std::uint32_t generation) const noexcept {
    // Release: pairs with completed(); the controller's last write comes before a buffer is seen as quiesced.
    Atomics::store_release(&records_[index].word, word(generation + 1, cid_state::free), scope_);
    put_back(index);
  }

  /// The word of the bitmap to look at first.
  [[nodiscard]] NKV_HD NKV_INLINE std::uint32_t first_word(std::uint32_t words) const noexcept {
    return (Atomics::load_relaxed(&counters_->sq_next, scope_) >> 21) & (words - 1);  // its position, over 32
  }

  /// The CID that a reader of the completion queue laid aside, or ticket::none.
  [[nodiscard]] NKV_HD NKV_INLINE std::uint32_t claim_spare() const noexcept {
    if (Atomics::load_relaxed(&counters_->spare_cid, scope_) == ticket::none) return ticket::none;
    // Acquire: as in claim().
    return Atomics::exchange(&counters_->spare_cid, ticket::none, scope_);
  }

  /// put_back() by the one thread that reads the completion queue: it alone lays a CID aside, which is no
  /// read-modify-write. Others take it.
  NKV_HD NKV_INLINE void put_back_while_reaping(std::uint32_t index) const noexcept {
    if (Atomics::load_relaxed(&counters_->spare_cid, scope_) != ticket::none) {
      put_back(index);
    } else {
      // Release: as in put_back().
      Atomics::store_release(&counters_->spare_cid, index, scope_);
    }
  }

  NKV_HD NKV_INLINE void put_back(std::uint32_t index) const noexcept {
    if constexpr (Sharing::is_shared) {
      // Release: our last use of the record comes before the next owner's claim().
      Atomics::fetch_or(&bitmap()[index / 32], 1u << (index % 32), scope_);
    } else {
      records_[index].next_free = counters_->first_free;
      counters_->first_free = index;
    }
  }

  queue_counters* counters_ = nullptr;
  cid_record* records_ = nullptr;
  std::byte* free_ = nullptr;
  std::uint32_t cids_ = 0;
  std::uint32_t index_bits_ = 0;
};

}  // namespace nkv::inline NKV_ABI
