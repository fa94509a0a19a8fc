// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/lone_thread.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/client/shard_window.hpp>
#include <nkv/command/store.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/shard_checksum.hpp>
#include <nkv/kv/shard_key.hpp>
#include <nkv/kv/shard_layout.hpp>
#include <nkv/kv/shard_manifest.hpp>
#include <nkv/kv/shard_ranges.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The shards of one writing of an object.
struct shard_set {
  shard_nonce nonce{};
  std::uint32_t shards = 0;  ///< numbers 0 to shards - 1; 0: none
};

/// How a sharded_writer's task ended.
struct sharded_outcome {
  nkv::status status{};
  /// What a put stores its shards as.
  shard_set written{};
  /// Shards of `written` that may be stored although no manifest names them. With outcome_unknown all of them, as it is
  /// not known whether a manifest does.
  std::uint32_t orphans = 0;
  /// The writing that the put replaced, or that was removed or swept.
  shard_set previous{};
  /// Shards of `previous` that may still be stored.
  std::uint32_t previous_left = 0;
  /// The put replaced something that may have been a manifest whose shards are still stored: of another version, or the
  /// target gave nothing of it as it is longer than the room for its head.
  bool previous_unknown = false;

  [[nodiscard]] NKV_HD constexpr bool ok() const noexcept { return status.ok(); }
  [[nodiscard]] NKV_HD constexpr explicit operator bool() const noexcept { return ok(); }
};

struct sharded_put_options {
  shard_nonce nonce{};            ///< needed, a new one for every put; see shard_nonce
  std::uint64_t shard_bytes = 0;  ///< 0: the largest power of two that a command carries, at most 32 MiB
  bool checksums = true;          ///< without them this code need not reach the sources that are not cut across
  bool must_not_exist = false;    ///< 89h where anything has the object's key
  /// For every Store, as it is (must_exist and must_not_exist are not for this). A time to live ends shards before
  /// their manifest: a reader then sees a damaged object for a moment.
  store_options store{};
};

/// The memory that a sharded_writer works with, registered and the caller's; it outlives the writer, and what
/// quiesced() says.
struct sharded_writer_memory {
  /// Room for a manifest: sharded_writer::manifest_bytes() of the longest object.
  local_range<std::byte> manifest{};
  /// Room for the head of the manifest that is there already, shard_manifest::head_bytes or more; a target that returns
  /// nothing at all for a short buffer needs room for all of it. May be none for a writer that never replaces nor
  /// removes: a put then leaves the shards of what it replaces.
  local_range<std::byte> head{};
  /// Shards of which the source is in more than one range are gathered here: shard_bytes for each of them that is to be
  /// in flight at once. May be none where no shard is cut across ranges.
  local_range<std::byte> staging{};
  /// As many commands are in flight at once, one at least.
  span<shard_slot> slots{};
};

/// Stores, replaces and removes objects of any length, as shards that one command carries each and a manifest, stored
/// last, that makes them an object (see shard_manifest).
///
/// An object is there whole or not at all, at any moment and whatever fails: readers go by the manifest, and every
/// writing has keys of its own (see shard_keys). Replacing leaves the old object whole until the new manifest is
/// stored; its shards are deleted then, and a reader that is in the midst of them is told so (see sharded_reader).
///
/// What a writer that dies leaves behind are shards that no manifest names. Whoever wants them collected writes the
/// nonce down before the put, and calls sweep() afterwards; it does nothing to an object that is visible.
///
/// One writer at a time for one object, a put, remove or sweep: the key/value commands have no compare and swap. Of two
/// puts at once the last manifest wins and stays whole, and shards of the other may be left. Any number of readers.
///
/// Two ways to run a task: put(), remove() and sweep() to the end or a deadline; begin_ and then poll() or wait() by
/// whoever has other things to do. A call of poll() may gather and hash up to bytes_per_poll, or one shard. One thread
/// at a time; the queue's thread rule applies. A plain value, copied only while nothing is under way. Host and device.
///
///     // work: registered memory, here of the host; value: the object's bytes, registered too
///     const auto range = [](const auto& r, std::size_t at, std::size_t n) {
///       return nkv::local_range<std::byte>{*r.value(at, n), r.controller_side(at)};
///     };
///     std::array<nkv::shard_slot, 4> slots;
///     nkv::sharded_writer_memory m;
///     m.manifest = range(work, 0, 4096);
///     m.head = range(work, 4096, 4096);
///     m.slots = slots;
///     nkv::sharded_writer writer(ns.ref(), m);
///     nkv::sharded_put_options how;
///     how.nonce = nkv::shard_nonce::from_words(random_bits(), random_bits());
///     const nkv::local_range<const std::byte> whole[] = {{*value.value(0, size), value.controller_side(0)}};
///     const auto done = writer.put(key, whole, how, nkv::host::deadline::after_ms(10'000));
///     // done.ok(): visible. Else the object is as it was, or done.status is outcome_unknown.
///
/// @tparam Team lone_thread, or threads that write together, see there
template <class Queue, class Team = lone_thread>
class sharded_writer {
 public:
  static constexpr std::uint64_t default_shard_bytes = std::uint64_t{32} << 20;
  static constexpr std::uint64_t bytes_per_poll = std::uint64_t{4} << 20;

  using source = local_range<const std::byte>;

  NKV_HD sharded_writer(const namespace_ref<Queue>& ns, const sharded_writer_memory& memory,
                        const Team& team = Team()) noexcept
      : window_(ns, memory.slots, team), memory_(memory) {}

  /// Bytes of the manifest of an object.
  /// @return as shard_layout::of()
  [[nodiscard]] NKV_HD static result<std::uint64_t> manifest_bytes(std::uint64_t length_bytes,
                                                                   std::uint64_t shard_bytes) noexcept {
    const result<shard_layout> l = shard_layout::of(length_bytes, shard_bytes);
    if (!l) return l.error();
    return shard_manifest(*l, shard_checksum_kind::xxh64_blocks, {}).size_bytes();
  }

  /// The length of the shards of a put that does not say: the largest power of two, at most default_shard_bytes, that
  /// one command of this namespace carries from any address of 4 bytes; 0 where that is less than 512.
  [[nodiscard]] NKV_HD std::uint64_t usual_shard_bytes() const noexcept {
    const shard_key k{};
    for (std::uint64_t n = default_shard_bytes; n >= 512; n /= 2)
      if (window_.check(operation::store(k, value_ref{4092, n, 0})).ok()) return n;
    return 0;
  }

  // ---- To the end or a deadline ----

  /// `value`, the ranges one behind the other, is stored as the object `object`.
  /// @param object 1 to 255 bytes; where the namespace takes no key so long, shard_object_key() stands for it
  /// @param value  registered memory; unchanged until the call returns, and the controller's until quiesced()
  /// @return success: the object is visible, and previous_left says what of the old one could not be deleted; or, the
  ///         object as it was,
  ///         - 89h                     must_not_exist, and something has the key; no shard was sent where there is
  ///                                   room for the head
  ///         - client/bad_argument     the object there has this very nonce; nothing was stored
  ///         - client/timed_out        the deadline passed; `orphans` shards may be left (sweep() deletes them, once
  ///                                   quiesced)
  ///         - client/disconnected     the controller was lost
  ///         - any other status of a Store or of the Retrieve of the head; what was stored of this object has been
  ///           deleted, but for `orphans`
  ///         - before anything was sent: client/busy (an earlier task has not ended or not quiesced), bad_argument (an
  ///           empty nonce, a key of no or too many bytes, a source that this code has to reach and does not, memory
  ///           too small, must_exist), value_too_large (more than max_shards, or a shard or the manifest more than one
  ///           command carries), unsupported (keys of 16 bytes, or must_not_exist, are not taken), 1/82h (read-only)
  ///         or client/outcome_unknown: the deadline passed or the controller was lost after the manifest was sent. To
  ///         know, open the object: it is this writing where the manifest has its nonce, and sweep() is for where not.
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD sharded_outcome put(key_view object, span<const source> value,
                                           const sharded_put_options& options, deadline<Clock> until) noexcept {
    if (const status s = begin_put(object, value, options); !s) return refused(s);
    return finish(until);
  }

  /// The object does not exist any more: its manifest is deleted first, then the shards.
  /// @return success, and previous_left says how many shards could not be deleted; or
  ///         - 87h                     no such object
  ///         - client/protocol_error   what has the key is not a manifest of this object, perhaps a value of the
  ///                                   caller's own; it stays
  ///         - client/unsupported      it is a manifest of another version
  ///         - client/value_too_large  it is longer than the room for its head, and the target gave nothing of it
  ///         - client/outcome_unknown  the deadline passed or the controller was lost after the Delete was sent
  ///         - client/timed_out, disconnected, any status of the Retrieve or Delete: the object may still be there
  ///         - client/busy, bad_argument (no room for the head), unsupported (the key is longer than what a Delete of
  ///           this target carries): nothing was sent
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD sharded_outcome remove(key_view object, deadline<Clock> until) noexcept {
    if (const status s = begin_remove(object); !s) return refused(s);
    return finish(until);
  }

  /// No shard of `orphans` is stored any more. Only after the commands of their put are quiesced, or a Store that comes
  /// late brings one back.
  /// @return success where previous_left is 0; client/busy where the object's manifest names this very set: it is
  ///         visible, and nothing was deleted; the status of a Delete that failed; the others of remove()
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD sharded_outcome sweep(key_view object, const shard_set& orphans,
                                             deadline<Clock> until) noexcept {
    if (const status s = begin_sweep(object, orphans); !s) return refused(s);
    return finish(until);
  }

  // ---- In steps ----

  /// Checks everything and begins. `value` and its array live until ended().
  /// @return success, or what put() returns before anything was sent
  [[nodiscard]] NKV_HD status begin_put(key_view object, span<const source> value,
                                        const sharded_put_options& options) noexcept {
    if (const status s = begin(object); !s) return s;
    if (options.nonce.empty() || memory_.manifest.local == nullptr || options.store.must_exist ||
        options.store.must_not_exist || options.store.touch)
      return client_status::bad_argument;
    sources_ = shard_ranges<const std::byte>(value);
    const result<std::uint64_t> length = sources_.length_bytes();
    if (!length) return length.error();
    const std::uint64_t shard_bytes = options.shard_bytes != 0 ? options.shard_bytes : usual_shard_bytes();
    if (shard_bytes == 0) return client_status::value_too_large;
    const result<shard_layout> layout = shard_layout::of(*length, shard_bytes);
    if (!layout) return layout.error();
    manifest_ = shard_manifest(
        *layout, options.checksums ? shard_checksum_kind::xxh64_blocks : shard_checksum_kind::none, options.nonce);
    if (manifest_.size_bytes() > memory_.manifest.value.length_bytes) return client_status::bad_argument;
    store_options_ = options.store;
    must_not_exist_ = options.must_not_exist;
    if (const status s = check_put(); !s) return s;

    keys_ = shard_keys(window_.object(), options.nonce);
    result_.written = {options.nonce, layout->count()};
    task_ = task::put;
    enter(has_head_room() ? step::looking : step::storing);
    return {};
  }

  /// @return success, or what remove() returns before anything was sent
  [[nodiscard]] NKV_HD status begin_remove(key_view object) noexcept {
    if (const status s = begin(object); !s) return s;
    if (!has_head_room()) return client_status::bad_argument;
    if (const status s = window_.check(operation::remove(window_.manifest_key())); !s) return s;
    task_ = task::remove;
    enter(step::looking);
    return {};
  }

  /// @return success, or what sweep() returns before anything was sent
  [[nodiscard]] NKV_HD status begin_sweep(key_view object, const shard_set& orphans) noexcept {
    if (const status s = begin(object); !s) return s;
    if (!has_head_room() || orphans.nonce.empty() || orphans.shards > max_shards) return client_status::bad_argument;
    if (const status s = window_.check(operation::remove(shard_key{})); !s) return s;
    result_.previous = orphans;
    result_.previous_left = orphans.shards;
    task_ = task::sweep;
    enter(step::looking);
    return {};
  }

  /// Looks once: takes what has completed and sends what there is room for.
  /// @return whether the task has ended
  NKV_HD NKV_NOINLINE bool poll() noexcept {
    window_.poll([this](shard_slot&, const outcome& o) noexcept { on_end(o); });
    while (advance()) {
    }
    // Before the leader of a team goes on to write where others still look.
    if (ended()) team().sync();
    return ended();
  }

  /// Polls until the task has ended or the deadline has passed.
  /// @return success when it has ended, however it did; client/timed_out, and it is still under way
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD status wait(deadline<Clock> until) noexcept {
    for (std::uint32_t spins = 0; !poll(); ++spins) {
      if (team().expired(until)) return client_status::timed_out;
      Clock::relax(spins);
    }
    return {};
  }

  /// Ends the task at once as client/cancelled, or as outcome_unknown where a manifest or its Delete is on its way; a
  /// task that had done its work, or failed, and was deleting what is left ends as it would have. Nothing more is
  /// deleted, see `orphans` and `previous_left`. The memory stays the controller's until quiesced().
  NKV_HD NKV_NOINLINE void cancel() noexcept {
    if (ended()) return;
    window_.cancel();
    const bool on_its_way = sent_ && (step_ == step::publishing || step_ == step::unpublishing);
    if (on_its_way || step_ == step::confirming) {
      end_unknown();
    } else if (!failed_.ok() || (step_ == step::sweeping && task_ != task::sweep)) {
      end(failed_);
    } else {
      end(client_status::cancelled);
    }
  }

  /// Whether nothing is under way.
  [[nodiscard]] NKV_HD bool ended() const noexcept { return step_ == step::ended; }
  /// How the last task ended.
  /// @pre ended()
  [[nodiscard]] NKV_HD const sharded_outcome& ended_as() const noexcept { return result_; }
  /// Whether no DMA of the last task can follow.
  [[nodiscard]] NKV_HD bool quiesced() noexcept { return window_.quiesced(); }

 private:
  enum class task : std::uint8_t { put, remove, sweep };
  enum class step : std::uint8_t {
    ended,
    looking,       ///< what manifest is there
    storing,       ///< the shards
    publishing,    ///< the manifest
    confirming,    ///< whose manifest is there, after a Store of it that failed
    unpublishing,  ///< Delete of the manifest
    sweeping,      ///< Delete of shards
  };

  NKV_HD static sharded_outcome refused(status s) noexcept {
    sharded_outcome o;
    o.status = s;
    return o;
  }

  template <waiting_clock Clock>
  NKV_HD sharded_outcome finish(deadline<Clock> until) noexcept {
    if (const status s = wait(until); !s) {
      cancel();
      if (result_.status == status(client_status::cancelled)) result_.status = s;
    }
    return result_;
  }

  NKV_HD status begin(key_view object) noexcept {
    if (!ended()) return client_status::busy;
    if (const status s = window_.begin(object); !s) return s;
    result_ = {};
    old_ = {};
    old_unknown_ = false;
    failed_ = {};
    next_ = 0;
    place_ = {};
    pending_ = nullptr;
    return {};
  }

  [[nodiscard]] NKV_HD bool has_head_room() const noexcept {
    return memory_.head.local != nullptr && memory_.head.value.length_bytes >= shard_manifest::head_bytes;
  }

  [[nodiscard]] NKV_HD operation manifest_store() const noexcept {
    store_options o = store_options_;
    o.must_not_exist = must_not_exist_;
    return operation::store(window_.manifest_key(), memory_.manifest.part(0, manifest_.size_bytes()).value, o);
  }

  /// Where shard `i` comes from.
  struct cut {
    std::size_t pieces = 0;
    bool local = true;  ///< whether this code reaches all of them
    source whole{};     ///< the piece, where it is one
  };
  /// @param[in,out] place at or before the shard; at it afterwards
  [[nodiscard]] NKV_HD cut cut_of(std::uint32_t i,
                                  typename shard_ranges<const std::byte>::place& place) const noexcept {
    const shard_layout& l = manifest_.layout();
    place = sources_.find(l.offset_of(i), place);
    cut c;
    c.pieces =
        sources_.for_each_piece(l.offset_of(i), l.length_of(i), place, [&c](const source& p, std::uint64_t) noexcept {
          c.whole = p;
          c.local = c.local && p.local != nullptr;
        });
    return c;
  }

  [[nodiscard]] NKV_HD std::uint64_t pieces_of_staging() const noexcept {
    return memory_.staging.local == nullptr ? 0 : memory_.staging.value.length_bytes / manifest_.layout().shard_bytes();
  }

  /// Whether every command of a put can be sent.
  NKV_HD status check_put() const noexcept {
    if (const status s = window_.check(manifest_store()); !s) return s;
    const shard_layout& l = manifest_.layout();
    typename shard_ranges<const std::byte>::place at{};
    for (std::uint32_t i = 0; i < l.count(); ++i) {
      const cut c = cut_of(i, at);
      if (!c.local && (c.pieces > 1 || manifest_.kind() != shard_checksum_kind::none))
        return client_status::bad_argument;
      if (c.pieces > 1 && pieces_of_staging() == 0) return client_status::bad_argument;
      const value_ref v = c.pieces > 1 ? memory_.staging.part(0, l.length_of(i)).value : c.whole.value;
      if (const status s = window_.check(operation::store(shard_key{}, v, store_options_)); !s) return s;
    }
    return {};
  }

  [[nodiscard]] NKV_HD const Team& team() const noexcept { return window_.team(); }

  NKV_HD void enter(step s) noexcept {
    step_ = s;
    sent_ = false;
  }
  NKV_HD void end(status s) noexcept {
    result_.status = s;
    step_ = step::ended;
  }
  NKV_HD void end_unknown() noexcept {
    report_old();
    end(client_status::outcome_unknown);
  }
  /// What was there has been replaced or removed, or may have been.
  NKV_HD void report_old() noexcept {
    result_.previous = old_;
    result_.previous_left = old_.shards;
    result_.previous_unknown = old_unknown_;
  }
  /// The first failure counts.
  NKV_HD void fail(status s) noexcept {
    // No Store of a shard makes an object: that its fate is not known leaves nothing unknown but the lost controller.
    if (s == status(client_status::outcome_unknown)) s = client_status::disconnected;
    if (failed_.ok()) failed_ = s;
  }

  /// Goes one step further, where nothing has to be waited for. @return whether it did
  NKV_HD bool advance() noexcept {
    switch (step_) {
      case step::looking: return look_at(memory_.head);
      case step::storing: return store_some();
      case step::publishing: return send_one(manifest_store());
      // In all the room that there is: of what is longer a target may give nothing.
      case step::confirming: return look_at(memory_.manifest);
      case step::unpublishing: return send_one(operation::remove(window_.manifest_key()));
      case step::sweeping: return sweep_some();
      default: return false;
    }
  }

  /// Sends the one command of a step, unless it has been.
  NKV_HD NKV_NOINLINE bool send_one(const operation& op) noexcept {
    if (sent_) return false;
    const status s = window_.send_alone(op);
    sent_ = s.ok();
    if (s.ok()) return true;
    if (s == status(client_status::queue_full)) return false;
    if (step_ == step::confirming) {
      end_unknown();
    } else if (step_ == step::publishing) {
      fail(s);
      undo();
    } else {
      end(s);
    }
    return true;
  }

  NKV_HD bool look_at(const local_range<std::byte>& room) noexcept {
    // A target that returns nothing must not leave an earlier manifest there.
    if (!sent_ && team().leads())
      for (std::size_t i = 0; i < shard_manifest::head_bytes; ++i) room.local[i] = std::byte{0};
    return send_one(operation::retrieve(window_.manifest_key(), room.value));
  }

  NKV_HD bool store_some() noexcept {
    std::uint64_t handled = 0;
    while (failed_.ok() && next_ < manifest_.layout().count() && handled < bytes_per_poll && store_next())
      handled += manifest_.layout().shard_bytes();
    if (window_.in_flight() != 0) return false;
    if (!failed_.ok()) {
      undo();
    } else if (next_ < manifest_.layout().count()) {
      return false;
    } else {
      if (team().leads()) manifest_.write_head(memory_.manifest.local, window_.seed());
      enter(step::publishing);
    }
    return true;
  }

  /// Sends shard next_. @return whether it did
  NKV_HD bool store_next() noexcept {
    if (pending_ == nullptr) pending_ = prepared_next();
    if (pending_ == nullptr) return false;
    const status s = window_.send(*pending_, operation::store(pending_->key, pending_->value, store_options_));
    if (s == status(client_status::queue_full)) {
      pending_->state = shard_slot::state_type::prepared;
      return false;
    }
    pending_ = nullptr;
    if (!s.ok()) {
      fail(s);
      return false;
    }
    result_.orphans = ++next_;
    return true;
  }

  /// Gathers and hashes shard next_. @return its slot, or null where there is no slot or no staging memory for it
  NKV_HD NKV_NOINLINE shard_slot* prepared_next() noexcept {
    const shard_layout& l = manifest_.layout();
    shard_slot* s = window_.idle_slot();
    if (s == nullptr) return nullptr;
    cut c = cut_of(next_, place_);
    s->piece = shard_slot::no_piece;
    if (c.pieces > 1) {
      s->piece = window_.idle_piece(pieces_of_staging());
      if (s->piece == shard_slot::no_piece) return nullptr;
      const local_range<std::byte> to = memory_.staging.part(s->piece * l.shard_bytes(), l.length_of(next_));
      static_cast<void>(sources_.for_each_piece(
          l.offset_of(next_), l.length_of(next_), place_, [&](const source& p, std::uint64_t at) noexcept {
            team().copy(to.local + at, p.local, static_cast<std::size_t>(p.value.length_bytes));
          }));
      c.whole = {to.value, to.local};
    }
    s->key = keys_.of(next_);
    s->value = c.whole.value;
    if (manifest_.kind() != shard_checksum_kind::none) {
      const byte_span bytes{c.whole.local, static_cast<std::size_t>(l.length_of(next_))};
      const std::uint64_t checksum = team().checksum(bytes, s->key.seed());
      if (team().leads()) shard_manifest::write_entry(memory_.manifest.local, next_, checksum);
    }
    return s;
  }

  /// Deletes what a put has stored, and ends it as failed_.
  NKV_HD void undo() noexcept {
    if (pending_ != nullptr) pending_->state = shard_slot::state_type::idle;
    pending_ = nullptr;
    begin_deletes({result_.written.nonce, next_});
  }

  /// Deletes what was replaced or removed.
  NKV_HD void delete_old() noexcept {
    failed_ = {};
    result_.orphans = 0;
    report_old();
    begin_deletes(old_);
  }

  NKV_HD NKV_NOINLINE void begin_deletes(const shard_set& set) noexcept {
    keys_ = shard_keys(window_.object(), set.nonce);
    next_ = 0;
    sweep_count_ = set.shards;
    enter(step::sweeping);
  }

  /// What counts down as shards are deleted: of the put's own where it failed.
  [[nodiscard]] NKV_HD std::uint32_t& left() noexcept {
    return task_ == task::put && !failed_.ok() ? result_.orphans : result_.previous_left;
  }

  NKV_HD bool sweep_some() noexcept {
    while (next_ < sweep_count_) {
      shard_slot* s = window_.idle_slot();
      if (s == nullptr) break;
      s->piece = shard_slot::no_piece;
      s->key = keys_.of(next_);
      const status sent = window_.send(*s, operation::remove(s->key));
      if (sent == status(client_status::queue_full)) break;
      ++next_;
      if (!sent.ok() && task_ == task::sweep) fail(sent);
      // Without a controller there is nothing more to be had.
      if (sent == status(client_status::disconnected)) next_ = sweep_count_;
    }
    if (window_.in_flight() != 0) return false;
    // Slots that were let go of when the controller was lost do not come back.
    if (next_ < sweep_count_ && window_.idle_slot() != nullptr) return false;
    if (task_ == task::sweep && left() != 0) fail(client_status::disconnected);
    end(failed_);
    return true;
  }

  NKV_HD void on_end(const outcome& o) noexcept {
    switch (step_) {
      case step::looking: looked(o); break;
      case step::storing:
        if (!o.ok()) fail(o.status);
        break;
      case step::publishing: published(o); break;
      case step::confirming: confirmed(o); break;
      case step::unpublishing:
        if (o.ok() || o.status.is_key_does_not_exist()) {
          delete_old();
        } else {
          report_old();
          end(o.status);
        }
        break;
      case step::sweeping:
        if (o.ok() || o.status.is_key_does_not_exist()) {
          --left();
        } else if (task_ == task::sweep) {
          fail(o.status);
        }
        break;
      default: break;
    }
  }

  /// What a Retrieve of the manifest found.
  struct found {
    status read{};                                   ///< success, 87h, or why there is no answer
    status manifest{client_status::protocol_error};  ///< success, or why it is none; value_too_large: nothing came
    shard_set set{};
  };
  NKV_HD found found_in(const local_range<std::byte>& room, const outcome& o) const noexcept {
    found f;
    const bool in_part = o.status == status(client_status::value_too_large);
    if (!o.ok() && !in_part) {
      f.read = o.status;
      return f;
    }
    const result<shard_manifest> m = shard_manifest::read_head({room.local, shard_manifest::head_bytes}, window_.seed(),
                                                               o.length_known ? o.length_bytes : 0);
    f.manifest = m.error();
    if (m) {
      f.set = {m->nonce(), m->layout().count()};
    } else if (in_part) {
      bool untouched = true;
      for (std::size_t i = 0; i < shard_manifest::head_bytes; ++i)
        untouched = untouched && room.local[i] == std::byte{0};
      if (untouched) f.manifest = client_status::value_too_large;
    }
    return f;
  }

  NKV_HD void looked(const outcome& o) noexcept {
    const found f = found_in(memory_.head, o);
    const bool absent = f.read.is_key_does_not_exist();
    // Of another version, or nothing came of it.
    const bool unreadable = f.read.ok() && !f.manifest.ok() && !(f.manifest == status(client_status::protocol_error));
    if (!f.read.ok() && !(absent && task_ != task::remove)) {
      end(f.read);
    } else if (task_ == task::put) {
      if (must_not_exist_ && !absent) {
        end({status_code_type::generic, generic_status::key_exists});
      } else if (f.manifest.ok() && f.set.nonce == result_.written.nonce) {
        // These shards are visible: storing over them would mix two objects.
        end(client_status::bad_argument);
      } else {
        old_ = f.set;
        old_unknown_ = unreadable;
        enter(step::storing);
      }
    } else if (task_ == task::remove) {
      if (f.manifest.ok()) {
        old_ = f.set;
        enter(step::unpublishing);
      } else {
        end(f.manifest);
      }
    } else if (unreadable) {
      end(f.manifest);
    } else if (f.manifest.ok() && f.set.nonce == result_.previous.nonce) {
      end(client_status::busy);
    } else {
      begin_deletes(result_.previous);
    }
  }

  NKV_HD void published(const outcome& o) noexcept {
    if (o.ok()) {
      delete_old();
    } else if (o.status.is_client() || o.status.sct() == status_code_type::path) {
      // Nobody who would know has said what became of it.
      end_unknown();
    } else {
      // A controller that reports an error may have stored it all the same.
      fail(o.status);
      enter(step::confirming);
    }
  }

  NKV_HD void confirmed(const outcome& o) noexcept {
    const found f = found_in(memory_.manifest, o);
    if (f.manifest.ok() && f.set.nonce == result_.written.nonce) {
      delete_old();
    } else if ((!f.read.ok() && !f.read.is_key_does_not_exist()) ||
               f.manifest == status(client_status::value_too_large)) {
      end_unknown();
    } else {
      undo();
    }
  }

  shard_window<Queue, Team> window_;
  sharded_writer_memory memory_;
  shard_ranges<const std::byte> sources_{};
  typename shard_ranges<const std::byte>::place place_{};  ///< of shard next_, or before
  shard_manifest manifest_{};
  shard_keys keys_{};
  store_options store_options_{};
  sharded_outcome result_{};
  shard_set old_{};  ///< what a put replaces, what a remove removes
  status failed_{};
  shard_slot* pending_ = nullptr;  ///< shard next_, ready to be sent
  std::uint32_t next_ = 0;         ///< shards sent, or Deletes
  std::uint32_t sweep_count_ = 0;
  task task_ = task::put;
  step step_ = step::ended;
  bool old_unknown_ = false;
  bool must_not_exist_ = false;
  bool sent_ = false;
};

}  // namespace nkv::inline NKV_ABI
