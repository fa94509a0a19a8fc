// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/key_walk.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/command/store.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/controller/namespace_info.hpp>
#include <nkv/host/controller/namespace_probe.hpp>
#include <nkv/host/controller/queue_pair.hpp>
#include <nkv/host/deadline_lock.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/list_padding.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/kv/quirks.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// A KV namespace of a controller and a queue pair to use it with.
///
/// Two ways to use it. ref() is the fast one: registered memory, tickets, batches; nothing is copied or allocated. The
/// calls of this class take plain memory and copy values through a buffer that is registered here (staged, and counted
/// as such); they look at the connection while they wait, so that a lost one does not use up the deadline.
///
/// Moves only. The calls of this class: any thread, one at a time goes through. ref(): with `exclusive` one thread at a
/// time, and not while such a call is under way; with `shared` any number at any time.
template <class Sharing = exclusive>
class kv_namespace {
 public:
  using ref_type = namespace_ref<typename queue_pair<Sharing>::ref_type>;

  kv_namespace(kv_namespace&&) noexcept = default;
  kv_namespace& operator=(kv_namespace&&) noexcept = default;
  ~kv_namespace() = default;

  /// @see controller::open_namespace
  [[nodiscard]] static host::result<kv_namespace> open(std::shared_ptr<controller_core> core, std::uint32_t nsid,
                                                       const namespace_options& options, deadline until) {
    if (options.queue.place != memory_place::host_memory) return status{client_status::unsupported};
    const nkv::result<namespace_info> info = core->identify_namespace(nsid, until);
    if (!info) return info.error();
    if (!info->is_kv()) return status{client_status::wrong_command_set};
    if (info->format.kvkml == 0) return status{client_status::protocol_error};

    namespace_profile profile;
    profile.nsid = nsid;
    profile.read_only = options.read_only;
    profile.limits.page_bytes = core->page_bytes();
    profile.limits.set_sgls(core->identity().sgls);
    profile.limits.set_mdts(core->identity().mdts, core->capabilities().min_page_bytes());
    profile.limits.find_prp_list();
    profile.limits.set_format(info->format);

    queue_options how = options.queue;
    if (how.max_value_bytes == 0) how.max_value_bytes = profile.limits.max_value_bytes;
    host::result<queue_pair<Sharing>> queue = queue_pair<Sharing>::create(core, how, profile.limits, until);
    if (!queue) return queue.error();

    if (options.quirks) {
      profile.quirks = *options.quirks;
      if (options.encoding) profile.quirks.encoding = *options.encoding;
    } else if (const status s = find_quirks(*core, *info, *queue, options, profile, until); !s.ok()) {
      return s;
    }
    kv_namespace ns;
    ns.ref_ = ref_type(queue->ref(), profile);
    ns.info_ = *info;
    ns.self_ = std::make_unique<state>();
    ns.self_->queue = *std::move(queue);
    ns.self_->core = std::move(core);
    ns.self_->most_staged = options.staging_bytes != 0 ? options.staging_bytes : most_staged_bytes;
    return ns;
  }

  /// What operations are sent with; it does not outlive the owner, nor registrations outlive its commands.
  [[nodiscard]] const ref_type& ref() const noexcept { return ref_; }
  [[nodiscard]] const namespace_profile& profile() const noexcept { return ref_.profile(); }
  [[nodiscard]] const namespace_info& info() const noexcept { return info_; }
  [[nodiscard]] std::uint32_t nsid() const noexcept { return profile().nsid; }
  [[nodiscard]] const queue_pair<Sharing>& queue() const noexcept { return self_->queue; }

  /// Looks whether the connection is still there, without waiting, and tells the queues. For who uses ref() and waits
  /// long. Any thread. @return what has become of the controller
  queue_liveness look() const noexcept { return self_->core->attached()->look(); }

  /// Any operation of namespace_ref, over registered memory, to its end or the deadline.
  /// @return as namespace_ref::run(); a lost connection is noticed within 20 ms
  [[nodiscard]] outcome run(const operation& op, deadline until = default_deadline()) const {
    const turn mine(*self_, until);
    if (!mine) return failed(mine.why());
    return run_locked(op, until);
  }

  /// Stores a copy of `value` under `key`. @return as namespace_ref::store(); client/system_error without memory
  [[nodiscard]] outcome store(key_view key, byte_span value, deadline until = default_deadline(),
                              const store_options& options = {}) const {
    const turn mine(*self_, until);
    if (!mine) return failed(mine.why());
    if (const status s = validate_length(key, value.size()); !s.ok()) return failed(s);
    if (const status s = stage(value.size(), until); !s.ok()) return failed(s);
    if (!value.empty()) std::memcpy(self_->staging.data(), value.data(), value.size());
    self_->core->attached()->count().staged_in.fetch_add(value.size(), std::memory_order_relaxed);
    return run_staged(operation::store(key, *self_->staging.value(0, value.size()), options), until);
  }

  /// Copies the value of `key` to the start of `buffer`.
  /// @return as namespace_ref::retrieve(). `buffer` is written on success alone, and not after the call. From a target
  ///         that gives no lengths all of it is, with zeros behind the value
  [[nodiscard]] outcome retrieve(key_view key, mutable_byte_span buffer, deadline until = default_deadline()) const {
    const turn mine(*self_, until);
    if (!mine) return failed(mine.why());
    return retrieve_locked(key, buffer.size(), until, [&](const std::byte* from, std::size_t n) {
      std::memcpy(buffer.data(), from, std::min(n, buffer.size()));
    });
  }

  /// The value of `key`, whatever its length: asked for again with more room where the first answer says that it needs
  /// it.
  /// @return it; client/value_too_large for a value above the staging limit, or where the target does not tell its
  /// length;
  ///         the statuses of namespace_ref::retrieve()
  [[nodiscard]] host::result<std::vector<std::byte>> retrieve_all(key_view key,
                                                                  deadline until = default_deadline()) const {
    const turn mine(*self_, until);
    if (!mine) return mine.why();
    std::vector<std::byte> value;
    std::uint64_t room = std::min<std::uint64_t>(first_room_bytes, longest_transfer(key));
    for (;;) {
      const outcome o = retrieve_locked(key, room, until,
                                        [&](const std::byte* from, std::size_t n) { value.assign(from, from + n); });
      if (o.ok()) {
        if (o.length_known) value.resize(o.length_bytes);
        return value;
      }
      if (!(o.status == status(client_status::value_too_large))) return o.status;
      // A value that grows between two Retrieves is asked for once more; each time there is more room.
      const std::uint64_t needed = o.length_known ? o.length_bytes : room * 4;
      const std::uint64_t most = std::min(longest_transfer(key), self_->most_staged);
      if (room >= most || (o.length_known && needed > most)) return o.status;
      room = std::min(std::max(needed, room + 1), most);
      if (until.expired()) return status{client_status::timed_out};
      retried();
    }
  }

  /// @return as namespace_ref::remove()
  [[nodiscard]] outcome remove(key_view key, deadline until = default_deadline()) const {
    return run(operation::remove(key), until);
  }
  /// @return as namespace_ref::exist()
  [[nodiscard]] outcome exist(key_view key, deadline until = default_deadline()) const {
    return run(operation::exist(key), until);
  }

  /// Calls `each(key_view)` for every key from `start` on (all of them from the empty view) until it returns false. The
  /// view lives until `each` returns. `each` does not call this object.
  /// @return as namespace_ref::for_each_key()
  template <class Each>
  [[nodiscard]] outcome for_each_key(key_view start, Each&& each, deadline until = default_deadline()) const {
    const turn mine(*self_, until);
    if (!mine) return failed(mine.why());
    std::uint64_t room = std::min<std::uint64_t>(list_page_bytes, longest_transfer({}));
    key_walk walk(profile(), start);
    for (;;) {
      if (const status s = stage(room, until); !s.ok()) return failed(s);
      outcome o = run_staged(
          operation::list(walk.start(), *self_->staging.value(0, room), self_->staging.controller_side(0)), until);
      if (o.status == status(client_status::value_too_large) && !profile().quirks.list_continues) {
        // A listing in one piece: again, with the room that it needs.
        const std::uint64_t most = std::min(longest_transfer({}), self_->most_staged);
        if (!o.length_known || o.length_bytes > most || o.length_bytes <= room) return o;
        room = o.length_bytes;
        retried();
        continue;
      }
      // Nothing may be read from a page that was put aside, nor is there one.
      if (self_->staging.data() == nullptr) return o;
      const walk_step step = walk.take(o, {self_->staging.data(), static_cast<std::size_t>(room)}, each);
      if (step == walk_step::next_page) {
        // A target that never comes to an end does not keep us here.
        if (until.expired()) return failed(client_status::timed_out);
        continue;
      }
      o.status = walk.error();
      return o;
    }
  }

 private:
  static constexpr std::uint64_t most_staged_bytes = std::uint64_t{128} << 20;
  static constexpr std::uint64_t least_staged_bytes = std::uint64_t{1} << 20;
  static constexpr std::uint64_t first_room_bytes = std::uint64_t{1} << 20;
  static constexpr std::uint64_t list_page_bytes = std::uint64_t{64} << 10;
  static constexpr std::uint64_t look_interval_ms = 20;
  static constexpr std::size_t probe_bytes = 512;
  static constexpr char unlikely_value[] = "\xf5nkv\xa9not stored\x8e";

  /// Staging memory of an operation that timed out.
  struct parked {
    registration memory;
    nkv::ticket ticket;
  };
  struct state {
    mutable std::mutex mutex;
    std::shared_ptr<controller_core> core;
    std::uint64_t most_staged = 0;
    // In this order: the queue goes first, with whatever commands use the memory.
    std::vector<parked> held;
    registration staging;
    queue_pair<Sharing> queue;
  };

  kv_namespace() = default;

  static status find_quirks(const controller_core& core, const namespace_info& info, const queue_pair<Sharing>& queue,
                            const namespace_options& options, namespace_profile& profile, deadline until) {
    nkv::result<key_encoding> encoding = options.encoding.value_or(key_encoding::inline_cdw);
    if (!options.encoding) {
      encoding = probe_key_encoding(queue.ref(), profile, queue.spare_value(probe_bytes), queue.spare(), until);
      if (!encoding) return encoding.error();
    }
    // SPDK's vendor id is borrowed by others, its model name is not.
    constexpr std::uint16_t spdk_vendor = 0x4e58;
    const bool spdk = core.identity().vid == spdk_vendor && std::memcmp(core.identity().mn, "SPDK", 4) == 0;
    profile.quirks = quirks::of(*encoding);
    if (*encoding == key_encoding::payload_head && spdk) {
      profile.quirks = quirks::rados_nkv_forwarder();
      // As SPDK has it where nobody changed it: 33 pieces of memory, and a PRP list is one array.
      profile.limits.max_sgl_descriptors = 33;
      profile.limits.prp_list_chain = false;
    } else if (*encoding == key_encoding::inline_cdw && !profile.limits.prp_list && info.counts_formats_from_1) {
      // No name of its own, but nobody else has both.
      profile.quirks = quirks::vfio_user_kvssd();
      profile.quirks.list_padding = list_padding::as_found;
    }
    // To a target of the KV Command Set alone the options that came with TTL are reserved bits, which it may overlook;
    // vs_cap bit 0 says that it does not. (With payload_head they come from the same source as the encoding.)
    constexpr std::uint8_t ttl_ephemeral_touch = 0x38;
    if (*encoding == key_encoding::inline_cdw && (info.vendor_capabilities & 1u) == 0)
      profile.quirks.dropped_store_options = ttl_ephemeral_touch;
    if (*encoding == key_encoding::payload_head && profile.limits.sgl && info.format.kvkml > max_inline_key_bytes) {
      const nkv::result<bool> reads_head = probe_long_keys(queue.ref(), profile, until);
      if (!reads_head) return reads_head.error();
      profile.quirks.reads_head_without_data_direction = *reads_head;
    }
    return {};
  }

  void retried() const noexcept { self_->core->attached()->count().retries.fetch_add(1, std::memory_order_relaxed); }

  /// The right to use the staging buffer and the queue, for the time of a call. A child after fork() never has it: the
  /// buffer is its parent's, and the mutex may be held for ever by a thread that is not there.
  class turn {
   public:
    turn(const state& of, deadline until) noexcept
        : forked_(of.core->attached()->forked()), lock_(of.mutex, until, !forked_) {}
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(lock_); }
    [[nodiscard]] status why() const noexcept { return forked_ ? client_status::forked : client_status::timed_out; }

   private:
    bool forked_;
    deadline_lock lock_;
  };

  static outcome failed(status s) noexcept {
    outcome o;
    o.status = s;
    return o;
  }

  [[nodiscard]] std::uint64_t longest_transfer(key_view key) const noexcept {
    const limits& l = profile().limits;
    const std::uint64_t head = profile().head_bytes(key);
    std::uint64_t most = 0xffffffffu - head;
    if (l.max_transfer_bytes > head) most = std::min(most, l.max_transfer_bytes - head);
    return most & ~std::uint64_t{3};
  }

  [[nodiscard]] status validate_length(key_view key, std::size_t size) const noexcept {
    if (const status s = profile().check_key(key); !s.ok()) return s;
    return profile().check_value(key, size);
  }

  /// Sees to a staging buffer of at least `bytes` that no command uses.
  status stage(std::uint64_t bytes, deadline until) const {
    state& s = *self_;
    s.held.erase(
        std::remove_if(s.held.begin(), s.held.end(), [&](const parked& p) { return s.queue.ref().quiesced(p.ticket); }),
        s.held.end());
    if (bytes > s.most_staged) return client_status::value_too_large;
    if (s.staging.data() != nullptr && s.staging.size_bytes() >= bytes) return {};
    std::uint64_t size = std::min(least_staged_bytes, s.most_staged);
    while (size < bytes) size = std::min(size * 2, s.most_staged);
    s.staging = registration{};
    host::result<registration> more = registration::allocate(s.core->attached(), size, {}, until);
    if (!more) return more.error();
    s.staging = *std::move(more);
    return {};
  }

  template <class Take>
  outcome retrieve_locked(key_view key, std::uint64_t room, deadline until, Take&& take) const {
    // More room than a command carries is no mistake: the value is shorter than that, or refused by its length.
    const std::uint64_t asked = std::min({room, longest_transfer(key), self_->most_staged});
    if (const status s = profile().check_key(key); !s.ok()) return failed(s);
    if (const status s = stage(asked, until); !s.ok()) return failed(s);
    const operation op = operation::retrieve(key, *self_->staging.value(0, asked));
    const auto room_bytes = static_cast<std::size_t>(asked);
    // What a target that gives no lengths leaves unwritten is not to be the rest of another value.
    const auto over_zeros = [&] {
      if (room_bytes != 0) std::memset(self_->staging.data(), 0, room_bytes);
      return run_staged(op, until);
    };
    outcome o;
    if (!profile().quirks.reports_true_length) {
      o = over_zeros();
    } else {
      const std::size_t marked = std::min(room_bytes, sizeof unlikely_value);
      if (marked != 0) std::memcpy(self_->staging.data(), unlikely_value, marked);
      o = run_staged(op, until);
      // It says that the value is empty, and wrote one: a target that gives no lengths, and that nothing told from one
      // that does.
      if (o.ok() && o.length_known && o.length_bytes == 0 && marked != 0 &&
          std::memcmp(self_->staging.data(), unlikely_value, marked) != 0) {
        o = over_zeros();
        o.length_known = false;
        o.length_bytes = asked;
      }
    }
    const std::uint64_t there = !o.ok() ? 0 : o.length_known ? std::min(o.length_bytes, asked) : asked;
    if (there != 0) {
      take(self_->staging.data(), static_cast<std::size_t>(there));
      self_->core->attached()->count().staged_out.fetch_add(there, std::memory_order_relaxed);
    }
    return o;
  }

  /// run_locked() over the staging buffer, which is put aside where the controller may still use it.
  outcome run_staged(const operation& op, deadline until) const {
    const outcome o = run_locked(op, until);
    if (o.ticket.valid() && !self_->queue.ref().quiesced(o.ticket))
      self_->held.push_back({std::exchange(self_->staging, registration{}), o.ticket});
    return o;
  }

  outcome run_locked(const operation& op, deadline until) const {
    attachment& connection = *self_->core->attached();
    if (const status s = connection.usable(); !s.ok()) return failed(s);
    nkv::result<kv_ticket> t = ref_.submit(op);
    for (std::uint32_t spins = 0; !t; ++spins) {
      if (!(t.error() == status(client_status::queue_full)) || until.expired()) return failed(t.error());
      ref_.queue().reap(ref_.queue().capacity());
      steady_clock::relax(spins);
      // A queue that is lost never has room: submit() says so.
      if (ref_.queue().has_room() || ref_.queue().liveness() != queue_liveness::open || until.expired())
        t = ref_.submit(op);
    }
    for (;;) {
      const deadline slice = deadline::after_ms(look_interval_ms);
      const outcome o = ref_.wait(*t, slice.at_ns() < until.at_ns() ? slice : until);
      if (o.status == status(client_status::timed_out) && !until.expired()) {
        connection.look();
        continue;
      }
      if (!o.status.is_client() || (o.ok() || o.status == status(client_status::value_too_large))) {
        outcome done = o;
        done.ticket = {};
        return done;
      }
      static_cast<void>(ref_.cancel(*t).ok());
      outcome late = read_outcome(*t, profile(),
                                  {o.status == status(client_status::timed_out) ? status(client_status::timed_out)
                                                                                : status(client_status::disconnected),
                                   0});
      return late;
    }
  }

  ref_type ref_{};
  namespace_info info_{};
  std::unique_ptr<state> self_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
