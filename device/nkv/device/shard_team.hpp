// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/device/collective.hpp>
#include <nkv/device/group.hpp>
#include <nkv/kv/shard_checksum.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// A group that drives a sharded_reader or a sharded_writer together, see lone_thread. Every thread of the group makes
/// a reader or writer of its own, with shard_slots of its own and otherwise the same memory, and calls the same of its
/// functions with the same arguments; each gets the same answers. The leader's deadline counts, and the queue may be an
/// exclusive one of the leader's. Copied and hashed is by all: a block of 16 KiB a thread at a time.
///
///     nkv::shard_slot slots[4];
///     memory.slots = slots;
///     nkv::sharded_reader reader(ns, memory, nkv::device::shard_team(nkv::device::warp_group()));
///     if (reader.open(key, until).ok()) status = reader.read(0, whole, until);
template <group Group>
class shard_team {
 public:
  NKV_HD explicit shard_team(const Group& threads) noexcept : threads_(threads) {}

  [[nodiscard]] NKV_HD bool leads() const noexcept { return threads_.rank() == 0; }
  NKV_HD void sync() const noexcept { threads_.sync(); }

  template <class Namespace>
  [[nodiscard]] NKV_HD result<kv_ticket> submit(const Namespace& ns, const operation& op) const noexcept {
    result<kv_ticket> mine = status(client_status::would_block);
    // What the others wrote of it or still read where it goes, before the command.
    threads_.sync();
    if (leads()) mine = ns.submit(op);
    const status s = status::from_bits(threads_.broadcast(mine ? 0 : mine.error().bits()));
    if (!s) return s;
    // No other thread asks the queue about it: that it is valid is all they know of the ticket.
    kv_ticket t = mine.value_or(kv_ticket{});
    t.ticket.index = threads_.broadcast(t.ticket.index);
    t.ticket.generation = threads_.broadcast(t.ticket.generation);
    return t;
  }
  template <class Namespace>
  [[nodiscard]] NKV_HD outcome poll(const Namespace& ns, const kv_ticket& t) const noexcept {
    outcome o;
    if (leads()) o = ns.poll(t);
    const status s = status::from_bits(threads_.broadcast(o.status.bits()));
    // The most frequent answer, and the only one that brings nothing.
    if (s == status(client_status::would_block)) {
      o.status = s;
      return o;
    }
    // What the command brought, before anybody looks at it.
    threads_.sync();
    return detail::broadcast(threads_, o);
  }
  template <class Namespace>
  NKV_HD void cancel(const Namespace& ns, const kv_ticket& t) const noexcept {
    if (leads()) static_cast<void>(ns.cancel(t));
  }
  template <class Namespace>
  [[nodiscard]] NKV_HD bool quiesced(const Namespace& ns, const kv_ticket& t) const noexcept {
    return threads_.broadcast(leads() && ns.quiesced(t) ? 1 : 0) != 0;
  }
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD bool expired(nkv::deadline<Clock> until) const noexcept {
    return threads_.broadcast(leads() && until.expired() ? 1 : 0) != 0;
  }

  [[nodiscard]] NKV_HD std::uint64_t checksum(byte_span shard, std::uint64_t seed) const noexcept {
    constexpr std::size_t block = shard_checksum::block_bytes;
    // What others copied there.
    threads_.sync();
    shard_checksum all(seed);
    for (std::size_t at = 0; at < shard.size(); at += block * threads_.size()) {
      const std::size_t mine = at + block * threads_.rank();
      const std::uint64_t leaf = mine < shard.size() ? shard_checksum::leaf(shard.subspan(mine, block), seed) : 0;
      for (std::uint32_t rank = 0; rank < threads_.size() && at + block * rank < shard.size(); ++rank) {
        const std::uint64_t low = threads_.broadcast(static_cast<std::uint32_t>(leaf), rank);
        const std::uint64_t high = threads_.broadcast(static_cast<std::uint32_t>(leaf >> 32), rank);
        all.append(low | high << 32);
      }
    }
    return all.finish();
  }
  NKV_HD void copy(std::byte* to, const std::byte* from, std::size_t bytes) const noexcept {
    // Neighbours copy what lies side by side.
    constexpr std::size_t piece = 16;
    for (std::size_t at = piece * threads_.rank(); at < bytes; at += piece * threads_.size()) {
      const std::size_t n = bytes - at < piece ? bytes - at : piece;
      for (std::size_t i = 0; i < n; ++i) to[at + i] = from[at + i];
    }
  }

 private:
  Group threads_;
};

}  // namespace device
}  // namespace nkv::inline NKV_ABI
