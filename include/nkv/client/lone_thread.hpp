// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/kv/shard_checksum.hpp>
#include <nkv/queue/ticket.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// One thread that drives a sharded_reader or a sharded_writer.
///
/// A team of more has the same functions: each of its threads has a reader or writer of its own and takes the same
/// steps with it, since all that a step depends on is told to all by these functions. One thread leads and uses the
/// queue, as building a command is nothing beside the shard that it moves; hashing and copying, which are not, are
/// shared out. Host and device.
struct lone_thread {
  /// Whether this thread writes what one thread has to write.
  NKV_HD static constexpr bool leads() noexcept { return true; }
  /// What each did before is visible to all after.
  NKV_HD static constexpr void sync() noexcept {}

  template <class Namespace>
  [[nodiscard]] NKV_HD static result<kv_ticket> submit(const Namespace& ns, const operation& op) noexcept {
    return ns.submit(op);
  }
  template <class Namespace>
  [[nodiscard]] NKV_HD static outcome poll(const Namespace& ns, const kv_ticket& t) noexcept {
    return ns.poll(t);
  }
  template <class Namespace>
  NKV_HD static void cancel(const Namespace& ns, const kv_ticket& t) noexcept {
    static_cast<void>(ns.cancel(t));
  }
  template <class Namespace>
  [[nodiscard]] NKV_HD static bool quiesced(const Namespace& ns, const kv_ticket& t) noexcept {
    return ns.quiesced(t);
  }
  template <waiting_clock Clock>
  [[nodiscard]] NKV_HD static bool expired(deadline<Clock> until) noexcept {
    return until.expired();
  }
  /// shard_checksum::of()
  [[nodiscard]] NKV_HD static std::uint64_t checksum(byte_span shard, std::uint64_t seed) noexcept {
    return shard_checksum::of(shard, seed);
  }
  NKV_HD static void copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    __builtin_memcpy(to, from, bytes);
  }
};

}  // namespace nkv::inline NKV_ABI
