// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/encode.hpp>
#include <nkv/client/lone_thread.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/shard_key.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The state of one command of a shard_window. Memory that the caller gives; of no other use to it.
struct shard_slot {
  enum class state_type : std::uint8_t {
    idle,
    prepared,  ///< an operation that waits for room in the queue
    in_flight,
    let_go,  ///< without an outcome, and perhaps still on its way to its buffer
  };

  static constexpr std::uint32_t no_piece = 0xffffffffu;

  shard_key key{};                 ///< of the shard
  value_ref value{};               ///< what the command stores or where it retrieves to
  std::byte* local = nullptr;      ///< the same as this code reaches it
  std::uint32_t item = 0;          ///< which shard
  std::uint32_t piece = no_piece;  ///< which part of the staging memory, if any
  std::size_t range = 0;           ///< where the caller's ranges that it belongs to begin
  std::uint64_t range_start_bytes = 0;
  kv_ticket ticket{};
  state_type state = state_type::idle;
};

/// One object at a time, and a number of commands in flight at once for it: what a sharded_writer and a sharded_reader
/// have in common. Holds no memory. One thread at a time; the queue's thread rule applies. Host and device.
/// @tparam Team lone_thread, or threads that do it together
template <class Queue, class Team = lone_thread>
class shard_window {
 public:
  NKV_HD shard_window(const namespace_ref<Queue>& ns, span<shard_slot> slots, const Team& team = Team()) noexcept
      : ns_(ns), slots_(slots), team_(team) {}

  /// Takes up an object.
  /// @return success; client/busy while a command is in flight or not quiesced; client/bad_argument for a key of no or
  ///         too many bytes, or where there are no slots; client/unsupported where keys of 16 bytes are not taken
  [[nodiscard]] NKV_HD NKV_NOINLINE status begin(key_view object) noexcept {
    if (!quiesced()) return client_status::busy;
    const result<key> k = key::from(object);
    if (!k || slots_.empty()) return client_status::bad_argument;
    if (!ns_.profile().check_key(shard_key{}).ok()) return client_status::unsupported;
    object_ = *k;
    stand_in_ = shard_object_key(object);
    seed_ = stand_in_.seed();
    own_key_ = ns_.profile().check_key(object).ok();
    return {};
  }
  [[nodiscard]] NKV_HD key_view object() const noexcept { return object_.view(); }
  /// What the manifest is stored under: the object's own key, or what stands for it where the namespace takes no key so
  /// long. The view dies with this object.
  [[nodiscard]] NKV_HD key_view manifest_key() const noexcept { return own_key_ ? object_.view() : stand_in_.view(); }
  /// shard_manifest::seed_of() the object.
  [[nodiscard]] NKV_HD std::uint64_t seed() const noexcept { return seed_; }

  /// Whether the namespace takes `op` at all, see nkv::validate.
  [[nodiscard]] NKV_HD NKV_NOINLINE status check(const operation& op) const noexcept {
    return validate(op, ns_.profile(), ns_.queue().list_bytes());
  }

  [[nodiscard]] NKV_HD std::size_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] NKV_HD const Team& team() const noexcept { return team_; }

  /// A slot that nothing uses, or null.
  [[nodiscard]] NKV_HD shard_slot* idle_slot() const noexcept {
    for (shard_slot& s : slots_)
      if (s.state == shard_slot::state_type::idle) return &s;
    return nullptr;
  }

  /// The first of `count` pieces of staging memory that no slot uses; shard_slot::no_piece where there is none.
  [[nodiscard]] NKV_HD std::uint32_t idle_piece(std::uint64_t count) const noexcept {
    // One of as many pieces as there are slots is free while one of the slots is.
    for (std::uint32_t p = 0; p < count && p < slots_.size(); ++p) {
      bool used = false;
      for (const shard_slot& s : slots_) used = used || (s.state != shard_slot::state_type::idle && s.piece == p);
      if (!used) return p;
    }
    return shard_slot::no_piece;
  }

  /// Sends the slot's operation.
  /// @return success; what namespace_ref::submit() returns, and the slot is idle
  [[nodiscard]] NKV_HD NKV_NOINLINE status send(shard_slot& s, const operation& op) noexcept {
    const result<kv_ticket> t = team_.submit(ns_, op);
    s.state = shard_slot::state_type::idle;
    if (!t) return t.error();
    s.ticket = *t;
    s.state = shard_slot::state_type::in_flight;
    ++in_flight_;
    return {};
  }

  /// Sends an operation that needs no staging memory.
  /// @return as send(); client/disconnected where every slot was let go of: only a lost controller does that
  /// @pre nothing is in flight
  [[nodiscard]] NKV_HD status send_alone(const operation& op) noexcept {
    shard_slot* s = idle_slot();
    if (s == nullptr) return client_status::disconnected;
    s->piece = shard_slot::no_piece;
    return send(*s, op);
  }

  /// Looks once at everything in flight and calls `on_end(shard_slot&, const outcome&)` for what has ended.
  template <class OnEnd>
  NKV_HD void poll(OnEnd&& on_end) noexcept {
    if (in_flight_ == 0) return;
    for (shard_slot& s : slots_) {
      if (s.state != shard_slot::state_type::in_flight) continue;
      const outcome o = team_.poll(ns_, s.ticket);
      if (o.status == status(client_status::would_block)) continue;
      --in_flight_;
      on_end(s, o);
      // A client's own status is not the controller's word on the command, which may still reach for its buffer. A
      // value_too_large is one.
      const bool silent = o.status.is_client() && !(o.status == status(client_status::value_too_large));
      s.state = silent ? shard_slot::state_type::let_go : shard_slot::state_type::idle;
    }
  }

  /// Lets go of everything at once.
  NKV_HD void cancel() noexcept {
    for (shard_slot& s : slots_) {
      if (s.state == shard_slot::state_type::in_flight) {
        team_.cancel(ns_, s.ticket);
        s.state = shard_slot::state_type::let_go;
      } else if (s.state == shard_slot::state_type::prepared) {
        s.state = shard_slot::state_type::idle;
      }
    }
    in_flight_ = 0;
  }

  /// Whether no command can touch its buffer any more.
  [[nodiscard]] NKV_HD bool quiesced() noexcept {
    bool all = true;
    for (shard_slot& s : slots_) {
      if (s.state != shard_slot::state_type::let_go) continue;
      if (team_.quiesced(ns_, s.ticket)) {
        s.state = shard_slot::state_type::idle;
      } else {
        all = false;
      }
    }
    return all && in_flight_ == 0;
  }

 private:
  namespace_ref<Queue> ns_;
  span<shard_slot> slots_;
  Team team_;
  std::size_t in_flight_ = 0;
  key object_{};
  shard_key stand_in_{};
  std::uint64_t seed_ = 0;
  bool own_key_ = true;
};

}  // namespace nkv::inline NKV_ABI
