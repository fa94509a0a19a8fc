// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/device/clock.hpp>
#include <nkv/device/group.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

/// @file collective.hpp
/// A namespace used by a group of threads at once. Every function is called by every thread of the group, with the same
/// namespace; a thread that has nothing to do passes takes_part = false. No thread of a group ever waits for another
/// but where all of them are: what only one does, the leader does, so that lanes that cannot run independently do not
/// block one another. The queue is `shared` or `block_shared`. Errors are values; every wait has a deadline.

namespace nkv::inline NKV_ABI {
namespace device {

/// Each thread sends an operation of its own: one reservation of ring entries and one doorbell for all of them.
/// @return to each its ticket, or
///         - client/queue_full    no room for this one; nothing of it was sent
///         - client/would_block   takes_part was false
///         - what validate() and the queue's reserve() return
template <group Group, class Namespace>
[[nodiscard]] NKV_HD result<kv_ticket> submit_each(const Group& threads, const Namespace& ns, const operation& op,
                                                   bool takes_part = true) noexcept {
  const auto& queue = ns.queue();
  status refusal = takes_part ? ns.validate(op) : status(client_status::would_block);
  std::uint32_t wanted = 0;
  const std::uint32_t place = threads.before(refusal.ok(), wanted);

  // CIDs, up to 32 with one access. A thread's place among those that send decides which is its own.
  typename Namespace::queue_type::reservation mine{};
  std::uint32_t granted = 0;
  while (granted < wanted) {
    std::uint32_t first = 0;
    std::uint32_t bits = 0;
    if (threads.rank() == 0) {
      const std::uint32_t rest = wanted - granted;
      const auto run = queue.try_reserve_some(rest < 32 ? rest : 32);
      first = run.first;
      bits = run.bits;
    }
    bits = threads.broadcast(bits);
    first = threads.broadcast(first);
    if (bits == 0) break;
    const std::uint32_t count = count_ones(bits);
    if (refusal.ok() && place >= granted && place < granted + count) {
      for (std::uint32_t skip = place - granted; skip != 0; --skip) bits &= bits - 1;
      mine.index = first + count_trailing_zeros(bits);
    }
    granted += count;
  }
  if (granted == 0) {
    if (refusal.ok()) refusal = queue.refusal();
    return refusal;
  }

  std::uint32_t position = threads.rank() == 0 ? queue.take_entries(granted) : 0;
  position = threads.broadcast(position) + place;
  kv_ticket ticket{};
  const bool sends = mine.index != nkv::ticket::none;
  if (sends) ticket = ns.ticket_of(queue.post_at(position, mine, ns.command_of(mine, op)), op);
  // Everybody's entry is there before the leader rings.
  threads.sync();
  if (threads.rank() == 0) queue.ring();
  if (sends) return ticket;
  if (refusal.ok()) refusal = queue.refusal();
  return refusal;
}

/// Each thread that passes a valid ticket waits for its outcome; the leader reads the completion queue for all.
/// @return to each what namespace_ref::wait() returns: client/timed_out leaves the ticket as it is; to those without a
///         ticket client/stale_ticket
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome wait_each(const Group& threads, const Namespace& ns, const kv_ticket& ticket,
                                       deadline until) noexcept {
  const auto& queue = ns.queue();
  outcome o;
  o.status = client_status::stale_ticket;
  bool open = ticket.valid();
  for (std::uint32_t spins = 0;; ++spins) {
    if (threads.rank() == 0) queue.reap(queue.capacity());
    // What the leader read is in the records that the others look at.
    threads.sync();
    if (open) {
      const completion c = queue.take_recorded(ticket.ticket);
      if (!(c.status == status(client_status::would_block))) {
        o = ns.outcome_of(ticket, c);
        open = false;
      }
    }
    if (threads.lowest(open) == threads.size()) return o;
    // One clock for all, so that they go on or leave together.
    if ((spins & 15u) == 15u || until.at_ns() == 0) {
      const std::uint32_t late = threads.rank() == 0 && until.expired() ? 1 : 0;
      if (threads.broadcast(late) != 0) break;
    }
    clock::relax(spins);
  }
  if (open) {
    o = {};
    o.status = client_status::timed_out;
    o.ticket = ticket.ticket;
    o.user_tag = ticket.user_tag;
  }
  return o;
}

/// Each thread's own operation, to its end or the deadline. A queue without room for all is filled as it empties.
/// @return to each what namespace_ref::run() returns; client/would_block where takes_part was false. After a time-out
///         the command is in quarantine and outcome.ticket names it for quiesced()
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome run_each(const Group& threads, const Namespace& ns, const operation& op, deadline until,
                                      bool takes_part = true) noexcept {
  outcome o;
  o.status = takes_part ? status(client_status::queue_full) : status(client_status::would_block);
  o.user_tag = op.user_tag;
  bool waits = takes_part;
  for (std::uint32_t round = 0;; ++round) {
    const result<kv_ticket> sent = submit_each(threads, ns, op, waits);
    const outcome got = wait_each(threads, ns, sent.value_or(kv_ticket{}), until);
    if (sent) {
      waits = false;
      o = got;
      if (o.status == status(client_status::timed_out)) {
        static_cast<void>(ns.cancel(*sent));
        o = ns.outcome_of(*sent, {client_status::timed_out, 0});
      }
    } else if (waits && !(sent.error() == status(client_status::queue_full))) {
      waits = false;
      o.status = sent.error();
    }
    if (threads.lowest(waits) == threads.size()) return o;
    const std::uint32_t late = threads.rank() == 0 && until.expired() ? 1 : 0;
    if (threads.broadcast(late) != 0) return o;
    clock::relax(round);
  }
}

/// One operation of the whole group: the leader runs it, everybody has its outcome, and what it brought into memory is
/// visible to all. The queue may be an exclusive one of the leader's.
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome run_together(const Group& threads, const Namespace& ns, const operation& op,
                                          deadline until) noexcept {
  outcome o;
  // What the others prepared, a value to be stored mostly, comes before the command.
  threads.sync();
  if (threads.rank() == 0) o = ns.run(op, until);
  threads.sync();
  const std::uint32_t bits = threads.broadcast(o.status.bits());
  o.status = status::from_bits(bits);
  const std::uint64_t low = threads.broadcast(static_cast<std::uint32_t>(o.length_bytes));
  const std::uint64_t high = threads.broadcast(static_cast<std::uint32_t>(o.length_bytes >> 32));
  o.length_bytes = low | high << 32;
  o.length_known = threads.broadcast(o.length_known ? 1 : 0) != 0;
  o.ticket.index = threads.broadcast(o.ticket.index);
  o.ticket.generation = threads.broadcast(o.ticket.generation);
  o.user_tag = op.user_tag;
  return o;
}

/// Many operations, a round of the group's size after the other.
/// @param operations every thread passes the same
/// @param outcomes   as many; outcomes[i] is written by one thread and visible to all on return
/// @return how many ended otherwise than with success; the same to all
template <group Group, class Namespace>
[[nodiscard]] NKV_HD std::size_t run_all(const Group& threads, const Namespace& ns, span<const operation> operations,
                                         span<outcome> outcomes, deadline until) noexcept {
  std::size_t failed = 0;
  for (std::size_t at = 0; at < operations.size(); at += threads.size()) {
    const std::size_t i = at + threads.rank();
    const bool mine = i < operations.size() && i < outcomes.size();
    const outcome o = run_each(threads, ns, mine ? operations[i] : operation{}, until, mine);
    if (mine) outcomes[i] = o;
    std::uint32_t bad = 0;
    static_cast<void>(threads.before(mine && !o.ok(), bad));
    failed += bad;
  }
  threads.sync();
  return failed;
}

/// How many of the keys, from the first on, exist without a gap, a round of the group's size after the other. Asking
/// stops after the round that has a miss.
/// @param keys every thread passes the same
/// @return the number, the same to all; or the status of the lowest key that was neither found nor missing
template <group Group, class Namespace>
[[nodiscard]] NKV_HD result<std::size_t> longest_prefix(const Group& threads, const Namespace& ns,
                                                        span<const key_view> keys, deadline until) noexcept {
  for (std::size_t at = 0; at < keys.size(); at += threads.size()) {
    const std::size_t i = at + threads.rank();
    const bool mine = i < keys.size();
    const outcome o = run_each(threads, ns, operation::exist(mine ? keys[i] : key_view{}), until, mine);
    const std::uint32_t gap = threads.lowest(!mine || !o.ok());
    if (gap == threads.size()) continue;
    const bool failed = mine && !o.ok() && !o.status.is_key_does_not_exist();
    if (threads.lowest(failed) == gap) return status::from_bits(threads.broadcast(o.status.bits(), gap));
    return at + gap;
  }
  return keys.size();
}

}  // namespace device
}  // namespace nkv::inline NKV_ABI
