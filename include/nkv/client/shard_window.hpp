// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
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

/// A number of commands in flight at once, each for one shard. Holds no memory. One thread at a time; the queue's
/// thread rule applies. Host and device.
template <class Queue>
class shard_window {
 public:
  NKV_HD shard_window(const namespace_ref<Queue>& ns, span<shard_slot> slots) noexcept : ns_(ns), slots_(slots) {}

  [[nodiscard]] NKV_HD const namespace_ref<Queue>& ns() const noexcept { return ns_; }
  [[nodiscard]] NKV_HD std::size_t size() const noexcept { return slots_.size(); }
  [[nodiscard]] NKV_HD std::size_t in_flight() const noexcept { return in_flight_; }

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
  /// @return success; client/queue_full, and the slot is `prepared`; what namespace_ref::submit() returns, and it is
  ///         idle
  [[nodiscard]] NKV_HD status send(shard_slot& s, const operation& op) noexcept {
    const result<kv_ticket> t = ns_.submit(op);
    if (t) {
      s.ticket = *t;
      s.state = shard_slot::state_type::in_flight;
      ++in_flight_;
    } else {
      s.state = t.error() == status(client_status::queue_full) ? shard_slot::state_type::prepared
                                                               : shard_slot::state_type::idle;
    }
    return t.error();
  }

  /// Looks once at everything in flight and calls `on_end(shard_slot&, const outcome&)` for what has ended.
  /// @return how many have
  template <class OnEnd>
  NKV_HD std::size_t poll(OnEnd&& on_end) noexcept {
    if (in_flight_ == 0) return 0;
    std::size_t ended = 0;
    for (shard_slot& s : slots_) {
      if (s.state != shard_slot::state_type::in_flight) continue;
      const outcome o = ns_.poll(s.ticket);
      if (o.status == status(client_status::would_block)) continue;
      --in_flight_;
      ++ended;
      on_end(s, o);
      // Without a controller's word on it a command may still reach for its buffer.
      const bool silent = o.status == status(client_status::disconnected) ||
                          o.status == status(client_status::outcome_unknown) ||
                          o.status == status(client_status::timed_out);
      s.state = silent ? shard_slot::state_type::let_go : shard_slot::state_type::idle;
    }
    return ended;
  }

  /// Lets go of everything at once.
  NKV_HD void cancel() noexcept {
    for (shard_slot& s : slots_) {
      if (s.state == shard_slot::state_type::in_flight) {
        static_cast<void>(ns_.cancel(s.ticket));
        s.state = shard_slot::state_type::let_go;
      } else if (s.state == shard_slot::state_type::prepared) {
        s.state = shard_slot::state_type::idle;
      }
    }
    in_flight_ = 0;
  }

  /// Whether no command that was let go of can touch its buffer any more.
  [[nodiscard]] NKV_HD bool quiesced() noexcept {
    bool all = true;
    for (shard_slot& s : slots_) {
      if (s.state != shard_slot::state_type::let_go) continue;
      if (ns_.quiesced(s.ticket)) {
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
  std::size_t in_flight_ = 0;
};

}  // namespace nkv::inline NKV_ABI
