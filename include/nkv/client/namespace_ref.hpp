// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/encode.hpp>
#include <nkv/client/key_walk.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/client/plain_path.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// Whether submit() rings, or leaves that to ring().
enum class submit_mode : bool { ring, defer };

/// Which commands a namespace_ref makes: all that there are, chosen at run time by what the namespace and the operation
/// need.
struct all_commands {
  static constexpr bool plain_only = false;
};
/// Only those of plain_path: inline keys, one SGL block for the value, no Store options, no List or Execute. Whoever
/// needs no others has less code in a kernel, and fewer registers.
struct plain_commands {
  static constexpr bool plain_only = true;
};

template <class Queue>
class batch;

/// One KV namespace over one queue: the six operations as blocking calls, as tickets, and asked of many keys at once.
///
/// The queue's thread rule is this class's too: with an exclusive queue one thread at a time calls, with a shared one
/// any number do. Memory named by a value_ref belongs to a command from its submission until its outcome was taken;
/// after cancel() or a timed out call, until quiesced(). A trivially copyable value that outlives neither the queue nor
/// the registered memory. Host and device.
///
/// @tparam Commands all_commands, or plain_commands for a ref that plain() gave: what those do not make is refused with
///                  client/unsupported, before anything is sent
template <class Queue, class Commands = all_commands>
class namespace_ref {
  template <class>
  friend class batch;
  template <class, class>
  friend class namespace_ref;

 public:
  using queue_type = Queue;

  constexpr namespace_ref() noexcept = default;
  NKV_HD namespace_ref(const Queue& queue, const namespace_profile& profile) noexcept
      : queue_(queue), plain_(profile), profile_(profile) {}

  [[nodiscard]] NKV_HD const namespace_profile& profile() const noexcept { return profile_; }
  [[nodiscard]] NKV_HD const Queue& queue() const noexcept { return queue_; }

  /// The same namespace for the plain commands alone, which is less code: for kernels.
  /// @return it, or client/unsupported where the namespace carries keys or values otherwise (payload_head, PRP only)
  [[nodiscard]] NKV_HD result<namespace_ref<Queue, plain_commands>> plain() const noexcept {
    if (!plain_.usable()) return status(client_status::unsupported);
    return namespace_ref<Queue, plain_commands>(queue_, profile_);
  }

  // ---- Blocking ----

  /// `value` is stored under `key`, whole or not at all.
  /// @return success, or
  ///         - 87h, 89h (either type)  must_exist and the key is absent; must_not_exist and it is there
  ///         - 0/81h                   the namespace is full
  ///         - 1/82h                   the namespace is read-only
  ///         - client/outcome_unknown  the deadline passed or the controller was lost after the command went out
  ///         - client/queue_full       the deadline passed before there was room; nothing was sent
  ///         - client/disconnected     the controller was lost before; nothing was sent
  ///         - client/bad_argument, value_too_large, unsupported: see validate(); nothing was sent
  ///         - any other status of the controller
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome store(key_view key, const value_ref& value, deadline<Clock> until,
                                     const store_options& options = {}) const noexcept {
    return run(operation::store(key, value, options), until);
  }

  /// The value of `key` is in `buffer`, from its start.
  /// @return success with the value's length, or
  ///         - 87h                     no such key
  ///         - client/value_too_large  the buffer holds the value's beginning or nothing; length_bytes says how long it
  ///         is,
  ///                                   where length_known (some targets never tell)
  ///         - client/timed_out        the deadline passed; the buffer is not to be reused until
  ///         quiesced(outcome.ticket)
  ///         - the others of store()
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome retrieve(key_view key, const value_ref& buffer, deadline<Clock> until,
                                        const retrieve_options& options = {}) const noexcept {
    return run(operation::retrieve(key, buffer, options), until);
  }

  /// `key` does not exist any more.
  /// @return as store(); 87h for an absent key only where the namespace is set to say so (feature 20h)
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome remove(key_view key, deadline<Clock> until) const noexcept {
    return run(operation::remove(key), until);
  }

  /// @return success where `key` exists, with the value's length where the target tells it; 87h where not;
  /// client/timed_out;
  ///         the others of store()
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome exist(key_view key, deadline<Clock> until) const noexcept {
    return run(operation::exist(key), until);
  }

  /// `buffer` holds a page of keys from `start` on, itself included, to be read with page().
  /// @param local the buffer as this code reaches it
  /// @return success; client/value_too_large where the target tells that the whole listing is longer, with its length,
  /// and
  ///         the page is good as far as it goes; the others of retrieve()
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome list(key_view start, const value_ref& buffer, std::byte* local,
                                    deadline<Clock> until) const noexcept {
    return run(operation::list(start, buffer, local), until);
  }

  /// Runs operation `op_id` on the value of `key`, see operation::execute. A truncated result is reported with its
  /// length; the operation is not run again for the rest.
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome execute(std::uint32_t op_id, key_view key, const value_ref& buffer, std::byte* local,
                                       std::uint32_t input_bytes, std::uint32_t result_bytes,
                                       deadline<Clock> until) const noexcept {
    return run(operation::execute(op_id, key, buffer, local, input_bytes, result_bytes), until);
  }

  /// Any operation, to its end or the deadline.
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD NKV_INLINE outcome run(const operation& op, deadline<Clock> until) const noexcept {
    if (plain_.takes(op)) [[likely]] {
      nkv::ticket t;
      completion c;
      if (queue_.run(plain_path::command(op, profile_.nsid), until, t, c)) [[likely]]
        return read_outcome({t, op.opcode, false, op.value.length_bytes, op.user_tag}, profile_, c);
    }
    if constexpr (Commands::plain_only)
      return plain_.takes(op) ? run_with_room(op, until) : refused(plain_.refusal(op), op);
    else
      return run_checked(apart(op), until);
  }

  // ---- Tickets ----

  /// Sends `op` and returns at once. With `defer` its doorbell may be left to ring().
  /// @return the ticket, valid until poll() or wait() gave its outcome or cancel() was called, or what validate() and
  /// the
  ///         queue's reserve() return; nothing was sent then
  [[nodiscard]] NKV_HD NKV_INLINE result<kv_ticket> submit(const operation& op,
                                                           submit_mode mode = submit_mode::ring) const noexcept {
    if (!plain_.takes(op)) [[unlikely]] {
      if constexpr (Commands::plain_only)
        return plain_.refusal(op);
      else
        return submit_checked(apart(op), mode);
    }
    const typename Queue::reservation r = queue_.try_reserve();
    if (r.index == nkv::ticket::none) [[unlikely]]
      return queue_.refusal();
    const sqe command = plain_path::command(op, profile_.nsid);
    const nkv::ticket t = mode == submit_mode::ring ? queue_.post_and_ring(r, command) : queue_.post(r, command);
    return kv_ticket{t, op.opcode, false, op.value.length_bytes, op.user_tag};
  }

  /// Publishes what was submitted with `defer`: one doorbell.
  NKV_HD void ring() const noexcept { queue_.ring(); }

  /// Looks once. An outcome is given once: the ticket is stale afterwards.
  /// @return the outcome; client/would_block while there is none; client/stale_ticket. Of a lost controller
  ///         client/disconnected, or outcome_unknown where the operation changes what is stored: the ticket stays then,
  ///         for quiesced()
  [[nodiscard]] NKV_HD NKV_INLINE outcome poll(const kv_ticket& t) const noexcept {
    return read_outcome(t, profile_, queue_.take(t.ticket));
  }

  /// Polls until there is an outcome or the deadline has passed.
  /// @return as poll(); client/timed_out instead of would_block: the operation is still under way
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD outcome wait(const kv_ticket& t, deadline<Clock> until) const noexcept {
    const completion c = queue_.wait_and_take(t.ticket, until);
    if (c.status == status(client_status::timed_out)) {
      outcome o;
      o.status = c.status;
      o.ticket = t.ticket;
      o.user_tag = t.user_tag;
      return o;
    }
    return read_outcome(t, profile_, c);
  }

  /// Lets go of an operation at once; no outcome will be given. Its buffer stays the controller's until quiesced().
  /// @return success, or client/stale_ticket
  NKV_HD status cancel(const kv_ticket& t) const noexcept { return queue_.cancel(t.ticket); }

  /// Whether no DMA of the operation can follow.
  [[nodiscard]] NKV_HD bool quiesced(const kv_ticket& t) const noexcept { return queue_.quiesced(t.ticket); }
  [[nodiscard]] NKV_HD bool quiesced(nkv::ticket t) const noexcept { return queue_.quiesced(t); }

  // ---- Steps, for groups of threads that submit together ----

  /// Whether `op` can be sent; see nkv::validate.
  [[nodiscard]] NKV_HD NKV_INLINE status validate(const operation& op) const noexcept {
    return plain_.takes(op) ? status() : check(apart(op));
  }
  /// The command of an operation that can be sent, its scratch memory included.
  [[nodiscard]] NKV_HD NKV_INLINE sqe command_of(typename Queue::reservation r, const operation& op) const noexcept {
    if (Commands::plain_only || plain_.takes(op)) return plain_path::command(op, profile_.nsid);
    if constexpr (!Commands::plain_only) return encode(op, profile_, queue_.scratch_of(r)).value_or(sqe{});
  }
  /// What names the operation, once its command was posted as `t`.
  [[nodiscard]] NKV_HD NKV_INLINE kv_ticket ticket_of(nkv::ticket t, const operation& op) const noexcept {
    const bool by_retrieve =
        !Commands::plain_only && op.opcode == kv_opcode::exist && exists_by_retrieve(profile_, op.key);
    const std::uint64_t buffer = op.opcode == kv_opcode::execute ? op.result_bytes : op.value.length_bytes;
    return kv_ticket{t, op.opcode, by_retrieve, buffer, op.user_tag};
  }
  /// The outcome that `c`, taken from the queue, means for it.
  [[nodiscard]] NKV_HD NKV_INLINE outcome outcome_of(const kv_ticket& t, const completion& c) const noexcept {
    return read_outcome(t, profile_, c);
  }

  // ---- Many keys ----

  /// Asks for all keys at once, as many in flight as the queue takes.
  /// @param[out] found bit i % 64 of word i / 64 says whether keys[i] exists; (keys.size() + 63) / 64 words or more
  /// @return success once every bit is set or cleared; client/bad_argument for a key that cannot be or a bitmap too
  /// short,
  ///         before anything is sent; else the first status that is neither success nor a miss, the bitmap then meaning
  ///         nothing
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD status exist(span<const key_view> keys, span<std::uint64_t> found,
                                    deadline<Clock> until) const noexcept {
    if (found.size() < (keys.size() + 63) / 64) return client_status::bad_argument;
    return exist_each(keys, until, [found](std::size_t i, bool there) noexcept {
      const std::uint64_t bit = std::uint64_t{1} << (i % 64);
      found[i / 64] = there ? found[i / 64] | bit : found[i / 64] & ~bit;
      return true;
    });
  }

  /// How many of the keys, from the first on, exist without a gap. Asking stops at the first miss.
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD result<std::size_t> longest_prefix(span<const key_view> keys,
                                                          deadline<Clock> until) const noexcept {
    std::size_t length = 0;
    const status s = exist_each(keys, until, [&length](std::size_t, bool there) noexcept {
      if (there) ++length;
      return there;
    });
    if (!s) return s;
    return length;
  }

  /// Calls `each(key_view)` for every key from `start` on, page by page, until it returns false or there are no more.
  /// The view lives until `each` returns. Keys come in the target's order; those present throughout come exactly once
  /// where the target continues its listings.
  /// @param buffer room for a page, key_walk::least_page_bytes() or more; `local` is the same memory as this code
  /// reaches it
  /// @return success; client/bad_argument for a shorter page; client/value_too_large where the target lists in one
  /// piece
  ///         only and it does not fit (length_bytes says what would, where known); client/protocol_error or truncated
  ///         for a page that is none; those of list()
  template <waiting_clock Clock, class Each>
  [[nodiscard]] NKV_HD outcome for_each_key(key_view start, const value_ref& buffer, std::byte* local,
                                            deadline<Clock> until, Each&& each) const noexcept {
    outcome o;
    if (buffer.length_bytes < key_walk::least_page_bytes(profile_)) {
      o.status = client_status::bad_argument;
      return o;
    }
    key_walk walk(profile_, start);
    walk_step step = walk_step::next_page;
    while (step == walk_step::next_page) {
      o = list(walk.start(), buffer, local, until);
      step = walk.take(o, {local, static_cast<std::size_t>(buffer.length_bytes)}, each);
      // A target that answers at once and never comes to an end does not keep us here.
      if (step == walk_step::next_page && until.expired()) {
        o.status = client_status::timed_out;
        return o;
      }
    }
    o.status = walk.error();
    return o;
  }

 private:
  static constexpr std::size_t exist_window = 64;

  NKV_HD static outcome refused(status s, const operation& op) noexcept {
    outcome o;
    o.status = s;
    o.user_tag = op.user_tag;
    return o;
  }

  /// Posts a validated operation, without ringing.
  NKV_HD NKV_INLINE result<kv_ticket> send(const operation& op) const noexcept {
    if (Commands::plain_only || plain_.takes(op)) [[likely]]
      return submit(op, submit_mode::defer);
    if constexpr (!Commands::plain_only) {
      const auto r = queue_.reserve();
      if (!r) return r.error();
      return send_encoded(*r, op);
    }
  }

  // The ways that are not plain take a copy, made member by member, so that elsewhere an operation need not be in
  // memory at all: g++ keeps one there that is copied as a whole, however seldom.
  NKV_HD NKV_INLINE static operation apart(const operation& op) noexcept {
    return {op.opcode, op.store_opts, op.retrieve_opts, op.key,          op.value,
            op.local,  op.op_id,      op.input_bytes,   op.result_bytes, op.user_tag};
  }
  NKV_HD NKV_COLD status check(operation op) const noexcept {
    if constexpr (Commands::plain_only)
      return plain_.takes(op) ? status() : plain_.refusal(op);
    else
      return nkv::validate(op, profile_, queue_.list_bytes());
  }

  NKV_HD NKV_COLD result<kv_ticket> submit_checked(operation op, submit_mode mode) const noexcept {
    if (const status s = check(op); !s) return s;
    const auto r = queue_.reserve();
    if (!r) return r.error();
    const result<kv_ticket> t = send_encoded(*r, op);
    if (t && mode == submit_mode::ring) queue_.ring();
    return t;
  }

  template <waiting_clock Clock>
  NKV_HD NKV_COLD outcome run_checked(operation op, deadline<Clock> until) const noexcept {
    if (const status s = check(op); !s) return refused(s, op);
    return run_with_room(op, until);
  }

  /// Runs a validated operation, once the queue has room for it.
  template <waiting_clock Clock>
  NKV_HD NKV_INLINE outcome run_with_room(const operation& op, deadline<Clock> until) const noexcept {
    for (std::uint32_t spins = 0;; ++spins) {
      const result<kv_ticket> t = send(op);
      if (t) {
        queue_.ring();
        return finish(*t, until);
      }
      // Only a full queue is worth waiting for: somebody's completion makes room. A lost one never has any.
      if (!(t.error() == status(client_status::queue_full)) || until.expired()) return refused(t.error(), op);
      do {
        queue_.reap(queue_.capacity());
        Clock::relax(spins++);
      } while (!queue_.has_room() && queue_.liveness() == queue_liveness::open && !until.expired());
    }
  }

  NKV_HD result<kv_ticket> send_encoded(typename Queue::reservation r, operation op) const noexcept {
    const result<sqe> command = encode(op, profile_, queue_.scratch_of(r));
    if (!command) {
      queue_.cancel(r);
      return command.error();
    }
    return ticket_of(queue_.post(r, *command), op);
  }

  /// Turns what the queue says into an outcome, and frees the CID of a completed command.
  NKV_HD NKV_INLINE outcome take(const kv_ticket& t, const completion& c) const noexcept {
    if (!c.status.is_client()) static_cast<void>(queue_.consume(t.ticket));
    return read_outcome(t, profile_, c);
  }

  template <waiting_clock Clock>
  NKV_HD outcome finish(const kv_ticket& t, deadline<Clock> until) const noexcept {
    const completion c = queue_.wait_and_take(t.ticket, until);
    if (c.status.is_client()) static_cast<void>(queue_.cancel(t.ticket));
    return read_outcome(t, profile_, c);
  }

  template <waiting_clock Clock, class OnAnswer>
  NKV_HD status exist_each(span<const key_view> keys, deadline<Clock> until, OnAnswer&& on_answer) const noexcept {
    for (const key_view& k : keys) {
      if (const status s = check(operation::exist(k)); !s) return s;
    }
    kv_ticket window[exist_window];
    std::size_t sent = 0;
    std::size_t answered = 0;
    bool go_on = true;
    status failed{};
    while (answered < sent || (go_on && sent < keys.size())) {
      if (go_on && sent - answered <= exist_window / 2) {
        bool posted = false;
        while (sent < keys.size() && sent - answered < exist_window) {
          const result<kv_ticket> t = send(operation::exist(keys[sent]));
          if (!t) {
            // With something under way a full queue is only a reason to wait for it.
            if (t.error() == status(client_status::queue_full) && (sent != answered || !until.expired())) break;
            failed = t.error();
            go_on = false;
            break;
          }
          window[sent % exist_window] = *t;
          ++sent;
          posted = true;
        }
        if (posted) queue_.ring();
      }
      if (answered == sent) {
        queue_.reap(queue_.capacity());
        Clock::relax(0);
        continue;
      }
      const outcome o = finish(window[answered % exist_window], until);
      const bool miss = o.status.is_key_does_not_exist();
      if (o.status.ok() || miss) {
        if (go_on && !on_answer(answered, !miss)) go_on = false;
      } else if (failed.ok()) {
        failed = o.status;
        go_on = false;
      }
      ++answered;
    }
    return failed;
  }

  Queue queue_{};
  plain_path plain_{};
  namespace_profile profile_{};
};

}  // namespace nkv::inline NKV_ABI
