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

/// The memory that a sharded_reader works with, registered and the caller's; it outlives the reader, and what
/// quiesced() says.
struct sharded_reader_memory {
  /// Room for the manifest of an object, see sharded_writer::manifest_bytes().
  local_range<std::byte> manifest{};
  /// Shards of which not everything is wanted in one piece pass through here: the object's shard length for each of
  /// them that is to be in flight at once. May be none where every read takes whole shards, each in one range.
  local_range<std::byte> bounce{};
  /// As many commands are in flight at once, one at least.
  span<shard_slot> slots{};
};

struct sharded_read_options {
  /// Shards are checked as they come, in the caller's memory or before they are copied there. Without it a range needs
  /// no `local` where shards come straight into it, and a shard that is damaged in place is not noticed.
  bool verify = true;
};

/// Reads objects that a sharded_writer stored, in whole or in part.
///
/// What a read gives is of one writing of the object, the one that was opened, or the read fails: every writing has
/// keys of its own, and a checksum fits one shard of one writing only. Where an object is replaced or removed in the
/// midst of a read, the read ends as client/busy or 87h; once replaced the object is open anew, and its length may be
/// another.
///
/// A Retrieve has no offset: a shard comes whole. It comes straight into the caller's memory where all of it is wanted
/// in one range, and otherwise through the bounce memory. Ranges that begin and end where shards do are read without a
/// copy.
///
/// One thread at a time; the queue's thread rule applies. A call of poll() may check or copy a shard for each command
/// in flight. A plain value, copied only while nothing is under way. Host and device.
///
///     // work and value: registered memory; range: see sharded_writer
///     std::array<nkv::shard_slot, 4> slots;
///     nkv::sharded_reader_memory m;
///     m.manifest = range(work, 0, 4096);
///     m.slots = slots;
///     nkv::sharded_reader reader(ns.ref(), m);
///     const auto until = nkv::host::deadline::after_ms(10'000);
///     if (reader.open(key, until).ok()) {
///       const nkv::local_range<std::byte> whole[] = {range(value, 0, reader.length_bytes())};
///       const nkv::status s = reader.read(0, whole, until);  // success: it is there, and is what was written
///     }
///
/// @tparam Team lone_thread, or threads that read together, see there
template <class Queue, class Team = lone_thread>
class sharded_reader {
 public:
  using destination = local_range<std::byte>;

  NKV_HD sharded_reader(const namespace_ref<Queue>& ns, const sharded_reader_memory& memory,
                        const Team& team = Team()) noexcept
      : window_(ns, memory.slots, team), memory_(memory) {}

  // ---- To the end or a deadline ----

  /// The object's manifest is known, see manifest().
  /// @param object 1 to 255 bytes; copied
  /// @return success, or
  ///         - 87h                     no such object
  ///         - client/protocol_error   what has the key is not a manifest of this object: damaged, or something else
  ///         - client/unsupported      it is a manifest of another version; or keys of 16 bytes are not taken
  ///         - client/value_too_large  it is longer than the room for it; needed_bytes() says how long, where known
  ///         - client/timed_out        the deadline passed; the memory is the controller's until quiesced()
  ///         - client/busy             the last task has not ended or not quiesced
  ///         - client/bad_argument     a key of no or too many bytes, no slots, or no room for any manifest
  ///         - the others of a Retrieve
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD status open(key_view object, deadline<Clock> until) noexcept {
    if (const status s = begin_open(object); !s) return s;
    return finish(until);
  }

  /// The bytes of the object from `offset_bytes` on are in the ranges of `to`, one behind the other.
  /// @param to registered memory, as long as the part that is wanted; nothing else is written to. Its content is
  ///           unspecified unless this succeeds
  /// @return success, or
  ///         - client/busy             the object has been replaced meanwhile, and is open anew: look at manifest() and
  ///                                   read again. Also where the last task has not ended or not quiesced: then
  ///                                   nothing was sent
  ///         - 87h                     the object has been removed meanwhile; it is not open any more
  ///         - client/protocol_error   the object is damaged: shard failed_shard() is missing, of another length, or
  ///                                   not what its checksum says
  ///         - client/timed_out        the deadline passed; the memory is the controller's until quiesced()
  ///         - client/bad_argument     not open; a part that is not within the object; no bounce memory for a shard
  ///                                   that is cut; a range that this code has to reach and does not: nothing was sent
  ///         - client/value_too_large, unsupported: a shard is more than a command carries; nothing was sent
  ///         - the others of a Retrieve, and those of open() where the object had to be opened anew
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD status read(std::uint64_t offset_bytes, span<const destination> to, deadline<Clock> until,
                                   const sharded_read_options& options = {}) noexcept {
    if (const status s = begin_read(offset_bytes, to, options); !s) return s;
    return finish(until);
  }

  /// Whether an object is open.
  [[nodiscard]] NKV_HD bool is_open() const noexcept { return is_open_; }
  /// Of the object that is open: length, shards and nonce.
  [[nodiscard]] NKV_HD const shard_manifest& manifest() const noexcept { return manifest_; }
  [[nodiscard]] NKV_HD std::uint64_t length_bytes() const noexcept { return manifest_.layout().length_bytes(); }
  /// The room that a manifest needs which was too long; 0 where that is not known.
  [[nodiscard]] NKV_HD std::uint64_t needed_bytes() const noexcept { return needed_bytes_; }
  /// Which shard ended the last read.
  [[nodiscard]] NKV_HD std::uint32_t failed_shard() const noexcept { return failed_shard_; }

  // ---- In steps ----

  /// @return success, or what open() returns before anything was sent
  [[nodiscard]] NKV_HD status begin_open(key_view object) noexcept {
    if (!ended()) return client_status::busy;
    if (memory_.manifest.local == nullptr || memory_.manifest.value.length_bytes < shard_manifest::head_bytes)
      return client_status::bad_argument;
    if (const status s = window_.begin(object); !s) return s;
    is_open_ = false;
    manifest_ = {};
    if (const status s = window_.check(manifest_retrieve()); !s) return s;
    failed_ = {};
    enter(step::opening);
    return {};
  }

  /// Checks everything and begins. `to` and its array live until ended().
  /// @return success, or what read() returns before anything was sent
  [[nodiscard]] NKV_HD status begin_read(std::uint64_t offset_bytes, span<const destination> to,
                                         const sharded_read_options& options = {}) noexcept {
    if (!ended() || !window_.quiesced()) return client_status::busy;
    if (!is_open_) return client_status::bad_argument;
    destinations_ = shard_ranges<std::byte>(to);
    const result<std::uint64_t> wanted = destinations_.length_bytes();
    if (!wanted) return wanted.error();
    if (offset_bytes > length_bytes() || *wanted > length_bytes() - offset_bytes) return client_status::bad_argument;
    begin_bytes_ = offset_bytes;
    end_bytes_ = offset_bytes + *wanted;
    verify_ = options.verify && manifest_.kind() != shard_checksum_kind::none;
    next_ = *wanted == 0 ? 0 : manifest_.layout().shard_at(begin_bytes_);
    last_ = *wanted == 0 ? 0 : manifest_.layout().shard_at(end_bytes_ - 1) + 1;
    failed_ = {};
    damaged_ = false;
    place_ = {};
    if (const status s = check_read(); !s) return s;
    enter(step::reading);
    return {};
  }

  /// Looks once: takes what has completed and sends what there is room for.
  /// @return whether the task has ended
  NKV_HD NKV_NOINLINE bool poll() noexcept {
    window_.poll([this](shard_slot& s, const outcome& o) noexcept {
      if (step_ == step::reading) {
        take_shard(s, o);
      } else {
        take_manifest(o);
      }
    });
    while (advance()) {
    }
    // What one of a team copied is the others' too.
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

  /// Ends the task at once as client/cancelled. The memory stays the controller's until quiesced().
  NKV_HD void cancel() noexcept {
    if (ended()) return;
    window_.cancel();
    // The manifest's memory may be written to yet.
    if (step_ != step::reading) is_open_ = false;
    end(client_status::cancelled);
  }

  /// Whether nothing is under way.
  [[nodiscard]] NKV_HD bool ended() const noexcept { return step_ == step::ended; }
  /// How the last task ended, as open() and read() say.
  /// @pre ended()
  [[nodiscard]] NKV_HD status ended_as() const noexcept { return status_; }
  /// Whether no DMA of the last task can follow.
  [[nodiscard]] NKV_HD bool quiesced() noexcept { return window_.quiesced(); }

 private:
  enum class step : std::uint8_t {
    ended,
    opening,
    reading,
    reopening,  ///< what has become of an object of which a shard is missing or wrong
  };

  template <waiting_clock Clock>
  NKV_HD status finish(deadline<Clock> until) noexcept {
    if (const status s = wait(until); !s) {
      cancel();
      status_ = s;
    }
    return status_;
  }

  [[nodiscard]] NKV_HD operation manifest_retrieve() const noexcept {
    return operation::retrieve(window_.manifest_key(), memory_.manifest.value);
  }

  [[nodiscard]] NKV_HD const Team& team() const noexcept { return window_.team(); }

  NKV_HD void enter(step s) noexcept {
    step_ = s;
    sent_ = false;
  }
  NKV_HD void end(status s) noexcept {
    status_ = s;
    step_ = step::ended;
  }

  // What is wanted of shard `i`: where it begins, and how long it is.
  [[nodiscard]] NKV_HD std::uint64_t wanted_from(std::uint32_t i) const noexcept {
    const std::uint64_t from = manifest_.layout().offset_of(i);
    return from < begin_bytes_ ? begin_bytes_ : from;
  }
  [[nodiscard]] NKV_HD std::uint64_t wanted_bytes(std::uint32_t i) const noexcept {
    const std::uint64_t to = manifest_.layout().offset_of(i) + manifest_.layout().length_of(i);
    return (to > end_bytes_ ? end_bytes_ : to) - wanted_from(i);
  }

  /// The range that takes shard `i` as it comes, where there is one.
  /// @param place where the shard's first byte goes, or before
  [[nodiscard]] NKV_HD bool lands_whole(std::uint32_t i, typename shard_ranges<std::byte>::place place,
                                        destination& range, bool& local) const noexcept {
    local = true;
    const std::size_t pieces = destinations_.for_each_piece(wanted_from(i) - begin_bytes_, wanted_bytes(i), place,
                                                            [&](const destination& p, std::uint64_t) noexcept {
                                                              range = p;
                                                              local = local && p.local != nullptr;
                                                            });
    return pieces == 1 && wanted_bytes(i) == manifest_.layout().length_of(i);
  }

  [[nodiscard]] NKV_HD std::uint64_t pieces_of_bounce() const noexcept {
    return memory_.bounce.local == nullptr ? 0 : memory_.bounce.value.length_bytes / manifest_.layout().shard_bytes();
  }

  /// Whether every command of a read can be sent.
  NKV_HD status check_read() const noexcept {
    typename shard_ranges<std::byte>::place at{};
    for (std::uint32_t i = next_; i < last_; ++i) {
      at = destinations_.find(wanted_from(i) - begin_bytes_, at);
      destination to{};
      bool local = false;
      const bool whole = lands_whole(i, at, to, local);
      if ((verify_ || !whole) && !local) return client_status::bad_argument;
      if (!whole) {
        if (pieces_of_bounce() == 0) return client_status::bad_argument;
        to = memory_.bounce.part(0, manifest_.layout().length_of(i));
      }
      if (const status s = window_.check(operation::retrieve(shard_key{}, to.value)); !s) return s;
    }
    return {};
  }

  /// Goes one step further, where nothing has to be waited for. @return whether it did
  NKV_HD bool advance() noexcept {
    if (step_ == step::reading) return read_some();
    if (step_ == step::ended || sent_) return false;
    const status s = window_.send_alone(manifest_retrieve());
    if (s == status(client_status::queue_full)) return false;
    sent_ = s.ok();
    if (!sent_) end(s);
    return true;
  }

  NKV_HD bool read_some() noexcept {
    while (failed_.ok() && next_ < last_ && read_next()) {
    }
    if (window_.in_flight() != 0) return false;
    if (failed_.ok()) {
      if (next_ < last_) return false;
      end({});
    } else if (damaged_) {
      is_open_ = false;
      enter(step::reopening);
    } else {
      end(failed_);
    }
    return true;
  }

  /// Sends the Retrieve of shard next_. @return whether it did
  NKV_HD NKV_NOINLINE bool read_next() noexcept {
    shard_slot* s = window_.idle_slot();
    if (s == nullptr) return false;
    const std::uint64_t length = manifest_.layout().length_of(next_);
    place_ = destinations_.find(wanted_from(next_) - begin_bytes_, place_);
    destination to{};
    bool local = false;
    s->piece = shard_slot::no_piece;
    if (!lands_whole(next_, place_, to, local)) {
      s->piece = window_.idle_piece(pieces_of_bounce());
      if (s->piece == shard_slot::no_piece) return false;
      to = memory_.bounce.part(s->piece * manifest_.layout().shard_bytes(), length);
    }
    s->item = next_;
    s->key = keys_.of(next_);
    s->value = to.value;
    s->local = to.local;
    s->range = place_.range;
    s->range_start_bytes = place_.start_bytes;
    const status sent = window_.send(*s, operation::retrieve(s->key, s->value));
    if (sent == status(client_status::queue_full)) return false;
    if (!sent.ok()) {
      fail(sent, next_);
      return false;
    }
    ++next_;
    return true;
  }

  /// The first failure counts, but for one that says that the object is not what it was.
  NKV_HD void fail(status s, std::uint32_t shard, bool damaged = false) noexcept {
    if (!failed_.ok() && (damaged_ || !damaged)) return;
    failed_ = s;
    damaged_ = damaged;
    failed_shard_ = shard;
  }

  NKV_HD NKV_NOINLINE void take_shard(const shard_slot& s, const outcome& o) noexcept {
    const std::uint64_t length = manifest_.layout().length_of(s.item);
    const bool other_length =
        o.status == status(client_status::value_too_large) || (o.ok() && o.length_known && o.length_bytes != length);
    if (o.status.is_key_does_not_exist() || other_length) {
      fail(client_status::protocol_error, s.item, true);
      return;
    }
    if (!o.ok()) {
      fail(o.status, s.item);
      return;
    }
    if (verify_) {
      const std::uint64_t found = team().checksum({s.local, static_cast<std::size_t>(length)}, s.key.seed());
      if (found != shard_manifest::read_entry(memory_.manifest.local, s.item)) {
        fail(client_status::protocol_error, s.item, true);
        return;
      }
    }
    if (s.piece == shard_slot::no_piece) return;
    const std::uint64_t skipped = wanted_from(s.item) - manifest_.layout().offset_of(s.item);
    static_cast<void>(destinations_.for_each_piece(
        wanted_from(s.item) - begin_bytes_, wanted_bytes(s.item), {s.range, s.range_start_bytes},
        [&](const destination& p, std::uint64_t at) noexcept {
          team().copy(p.local, s.local + skipped + at, static_cast<std::size_t>(p.value.length_bytes));
        }));
  }

  NKV_HD NKV_NOINLINE void take_manifest(const outcome& o) noexcept {
    const std::uint64_t room = memory_.manifest.value.length_bytes;
    needed_bytes_ = o.status == status(client_status::value_too_large) && o.length_known ? o.length_bytes : 0;
    if (!o.ok()) {
      end(o.status);
      return;
    }
    // Where the target does not tell the length, the head does.
    std::uint64_t length = o.length_bytes;
    if (!o.length_known) {
      const result<shard_manifest> head =
          shard_manifest::read_head({memory_.manifest.local, static_cast<std::size_t>(room)}, window_.seed());
      length = head ? head->size_bytes() : room;
      if (length > room) {
        needed_bytes_ = length;
        end(client_status::value_too_large);
        return;
      }
    }
    const result<shard_manifest> m =
        shard_manifest::read({memory_.manifest.local, static_cast<std::size_t>(length)}, window_.seed());
    if (!m) {
      end(m.error());
      return;
    }
    const bool same = step_ == step::reopening && m->nonce() == manifest_.nonce();
    manifest_ = *m;
    keys_ = shard_keys(window_.object(), manifest_.nonce());
    is_open_ = true;
    if (step_ == step::opening) {
      end({});
    } else {
      end(same ? failed_ : status(client_status::busy));
    }
  }

  shard_window<Queue, Team> window_;
  sharded_reader_memory memory_;
  shard_ranges<std::byte> destinations_{};
  typename shard_ranges<std::byte>::place place_{};
  shard_manifest manifest_{};
  shard_keys keys_{};
  std::uint64_t needed_bytes_ = 0;
  std::uint64_t begin_bytes_ = 0;  ///< of the object, what is wanted
  std::uint64_t end_bytes_ = 0;
  std::uint32_t next_ = 0;  ///< shards sent
  std::uint32_t last_ = 0;  ///< the shard after the last one that is wanted
  std::uint32_t failed_shard_ = 0;
  status status_{};
  status failed_{};
  step step_ = step::ended;
  bool is_open_ = false;
  bool verify_ = true;
  bool damaged_ = false;
  bool sent_ = false;
};

}  // namespace nkv::inline NKV_ABI
