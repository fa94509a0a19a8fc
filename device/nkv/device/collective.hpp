// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/key_walk.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/client/wait_any.hpp>
#include <nkv/device/clock.hpp>
#include <nkv/device/group.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

/// @file collective.hpp
/// A namespace used by a group of threads at once. Every function is called by every thread of the group, with the same
/// namespace; a thread that has nothing to do passes takes_part = false. No thread of a group ever waits for another
/// but where all of them are: what only one does, the leader does, so that lanes that cannot run independently do not
/// block one another. The queue is `shared` or `block_shared`. Errors are values; every wait has a deadline.

namespace nkv::inline NKV_ABI {
namespace device {

namespace detail {

/// The outcome that rank `from` passes, to every thread.
template <group Group>
NKV_HD outcome broadcast(const Group& threads, const outcome& o, std::uint32_t from = 0) noexcept {
  const auto wide = [&](std::uint64_t value) noexcept {
    const std::uint64_t low = threads.broadcast(static_cast<std::uint32_t>(value), from);
    const std::uint64_t high = threads.broadcast(static_cast<std::uint32_t>(value >> 32), from);
    return low | high << 32;
  };
  outcome out;
  out.status = status::from_bits(threads.broadcast(o.status.bits(), from));
  out.length_bytes = wide(o.length_bytes);
  out.length_known = threads.broadcast(o.length_known ? 1 : 0, from) != 0;
  out.user_tag = wide(o.user_tag);
  out.ticket.index = threads.broadcast(o.ticket.index, from);
  out.ticket.generation = threads.broadcast(o.ticket.generation, from);
  return out;
}

/// Whether the leader's deadline has passed: one clock for all, so that they go on or leave together.
template <group Group>
NKV_HD bool passed(const Group& threads, deadline until) noexcept {
  return threads.broadcast(threads.rank() == 0 && until.expired() ? 1 : 0) != 0;
}

}  // namespace detail

/// Publishes what the threads submitted with `defer`: one doorbell for all of them.
template <group Group, class Namespace>
NKV_HD void ring(const Group& threads, const Namespace& ns) noexcept {
  // Everybody's entry is there before the leader rings.
  threads.sync();
  if (threads.rank() == 0) ns.ring();
}

namespace detail {

/// Up to 32 CIDs with one access of the leader, for the threads that want one and have none.
/// @param place of this thread among those that want one, from 0; ~0 for others
/// @param[in,out] granted to so many of them a CID was given before
/// @return this thread's CID, or none in this round
template <group Group, class Queue>
NKV_HD typename Queue::reservation claim_round(const Group& threads, const Queue& queue, std::uint32_t place,
                                               std::uint32_t wanted, std::uint32_t& granted) noexcept {
  typename Queue::cid_run run{};
  if (threads.rank() == 0) run = queue.try_reserve_some(wanted - granted < 32 ? wanted - granted : 32);
  std::uint32_t bits = threads.broadcast(run.bits);
  const std::uint32_t first = threads.broadcast(run.first);
  const std::uint32_t count = count_ones(bits);
  std::uint32_t skip = place - granted;
  granted += count;
  if (skip >= count) return {};
  // Mostly they follow one another, and the place says which.
  const std::uint32_t lowest = count_trailing_zeros(bits);
  if (const std::uint32_t row = bits >> lowest; (row & (row + 1)) == 0) return {first + lowest + skip};
  for (; skip != 0; --skip) bits &= bits - 1;
  return {first + count_trailing_zeros(bits)};
}

/// submit_each().
/// @param[out] more whether somebody found no room; the same to all
/// @param[out] sent to how many there is a ticket; the same to all
template <group Group, class Namespace>
[[nodiscard]] NKV_HD result<kv_ticket> submit_each(const Group& threads, const Namespace& ns, const operation& op,
                                                   bool takes_part, submit_mode mode, std::uint32_t& sent,
                                                   bool& more) noexcept {
  const auto& queue = ns.queue();
  status refusal = takes_part ? ns.validate(op) : status(client_status::would_block);

  // CIDs, each part of the group its own. A thread's place among those that send decides which is its own.
  const auto part = threads.part();
  std::uint32_t wanted = 0;
  std::uint32_t place = part.before(refusal.ok(), wanted);
  if (!refusal.ok()) place = ~std::uint32_t{0};
  typename Namespace::queue_type::reservation mine{};
  std::uint32_t granted = 0;
  while (granted < wanted) {
    const std::uint32_t before = granted;
    const auto r = claim_round(part, queue, place, wanted, granted);
    if (r.index != nkv::ticket::none) mine = r;
    if (granted == before) break;
  }

  // Entries, for all of them one turn.
  std::uint32_t total = 0;
  const std::uint32_t base = threads.before_part(granted << 16 | (granted < wanted ? 1u : 0u), total);
  sent = total >> 16;
  more = (total & 0xffffu) != 0;
  if (sent == 0) {
    if (refusal.ok()) refusal = queue.refusal();
    return refusal;
  }
  typename Namespace::queue_type::turn turn{};
  if (threads.rank() == 0) turn = queue.take_entries(sent);
  const std::uint32_t position = threads.broadcast(turn.position) + (base >> 16) + place;
  kv_ticket ticket{};
  const bool sends = mine.index != nkv::ticket::none;
  if (sends) ticket = ns.ticket_of(queue.write_at(position, mine, ns.command_of(mine, op)), op);
  // Everybody's entry is there before the leader publishes it.
  threads.sync();
  if (threads.rank() == 0) queue.publish(turn, sent, mode == submit_mode::ring);
  if (sends) return ticket;
  if (refusal.ok()) refusal = queue.refusal();
  return refusal;
}

}  // namespace detail

/// Each thread sends an operation of its own: one reservation of ring entries and one doorbell for all of them. With
/// `defer` the doorbell may be left to ring().
/// @return to each its ticket, or
///         - client/queue_full    no room for this one; nothing of it was sent
///         - client/would_block   takes_part was false
///         - what validate() and the queue's reserve() return
template <group Group, class Namespace>
[[nodiscard]] NKV_HD result<kv_ticket> submit_each(const Group& threads, const Namespace& ns, const operation& op,
                                                   bool takes_part = true,
                                                   submit_mode mode = submit_mode::ring) noexcept {
  std::uint32_t sent = 0;
  bool more = false;
  return detail::submit_each(threads, ns, op, takes_part, mode, sent, more);
}

/// Each thread that passes a valid ticket looks once for its outcome; the leader reads the completion queue for all.
/// @return to each what namespace_ref::poll() returns; to those without a ticket client/stale_ticket
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome poll_each(const Group& threads, const Namespace& ns, const kv_ticket& ticket) noexcept {
  const auto& queue = ns.queue();
  if (threads.rank() == 0) queue.reap(queue.capacity());
  // What the leader read is in the records that the others look at.
  threads.sync();
  outcome o;
  o.status = client_status::stale_ticket;
  if (ticket.valid()) o = ns.outcome_of(ticket, queue.take_recorded(ticket.ticket));
  return o;
}

namespace detail {

/// The leader reads the completion queue for all: until so many completions have come, or for a few looks. It is as
/// well that the others do not look meanwhile.
template <class Queue>
NKV_HD void reap_for_all(const Queue& queue, std::uint32_t enough, std::uint32_t& spins) noexcept {
  constexpr std::uint32_t looks = 4;  // others may have read what is waited for
  std::uint32_t read = 0;
  NKV_NO_UNROLL
  for (std::uint32_t n = 0; n < looks; ++n) {
    const std::uint32_t now = queue.reap(queue.capacity());
    read += now;
    if (read >= enough) return;
    if (now == 0) clock::relax(spins++);
  }
}

/// wait_each(). Where `hungry`, which is the same to all, it comes back as soon as there is room again that is worth a
/// doorbell: half of the commands have ended, or one has and the others take their time.
/// @param left how many threads' tickets are valid; the same to all
/// @param take (ticket) -> completion, as queue_pair_ref::take_recorded()
/// @return as wait_each(); client/would_block to those whose command has not ended then
template <group Group, class Namespace, class Take>
[[nodiscard]] NKV_HD outcome wait_each(const Group& threads, const Namespace& ns, const kv_ticket& ticket,
                                       std::uint32_t left, deadline until, bool hungry, const Take& take) noexcept {
  constexpr std::uint32_t patience = 16;
  const auto& queue = ns.queue();
  outcome o;
  o.status = client_status::stale_ticket;
  bool open = ticket.valid();
  const std::uint32_t began = left;
  client_status ended_as = client_status::timed_out;
  std::uint32_t spins = 0;
  for (std::uint32_t round = 0;; ++round) {
    if (threads.rank() == 0) reap_for_all(queue, hungry ? left - began / 2 : left, spins);
    // What the leader read is in the records that the others look at.
    threads.sync();
    if (open) {
      const completion c = take(ticket.ticket);
      if (!(c.status == status(client_status::would_block))) {
        o = ns.outcome_of(ticket, c);
        open = false;
      }
    }
    left = threads.count(open);
    if (left == 0) return o;
    if (hungry && left != began && (left * 2 <= began || round >= patience)) {
      ended_as = client_status::would_block;
      break;
    }
    if ((round & 3u) == 0 && passed(threads, until)) break;
  }
  if (open) {
    o = {};
    o.status = ended_as;
    o.ticket = ticket.ticket;
    o.user_tag = ticket.user_tag;
  }
  return o;
}

}  // namespace detail

/// Each thread that passes a valid ticket waits for its outcome; the leader reads the completion queue for all.
/// @return to each what namespace_ref::wait() returns: client/timed_out leaves the ticket as it is; to those without a
///         ticket client/stale_ticket
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome wait_each(const Group& threads, const Namespace& ns, const kv_ticket& ticket,
                                       deadline until) noexcept {
  const auto& queue = ns.queue();
  return detail::wait_each(threads, ns, ticket, threads.count(ticket.valid()), until, false,
                           [&queue](nkv::ticket t) noexcept { return queue.take_recorded(t); });
}

/// Each thread's own operation, to its end or the deadline. A queue without room for all is filled as it empties: what
/// is not answered holds up nobody but its thread.
/// @return to each what namespace_ref::run() returns; client/would_block where takes_part was false. After a time-out
///         the command is in quarantine and outcome.ticket names it for quiesced()
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome run_each(const Group& threads, const Namespace& ns, const operation& op, deadline until,
                                      bool takes_part = true) noexcept {
  const auto& queue = ns.queue();
  outcome o;
  o.status = takes_part ? status(client_status::queue_full) : status(client_status::would_block);
  o.user_tag = op.user_tag;
  nkv::ticket under_way{};
  bool waits = takes_part;
  std::uint32_t open = 0;  // tickets of the whole group
  for (std::uint32_t round = 0;; ++round) {
    std::uint32_t sends = 0;
    bool hungry = false;
    const result<kv_ticket> sent = detail::submit_each(threads, ns, op, waits, submit_mode::ring, sends, hungry);
    if (sent) {
      under_way = sent->ticket;
      waits = false;
    } else if (waits && !(sent.error() == status(client_status::queue_full))) {
      waits = false;
      o.status = sent.error();
    }
    open += sends;
    // Told from the operation again, so that what is known of it when compiling is known when its outcome is read.
    const kv_ticket ticket = ns.ticket_of(under_way, op);
    // Nobody else knows the tickets.
    const outcome got = detail::wait_each(threads, ns, ticket, open, until, hungry,
                                          [&queue](nkv::ticket t) noexcept { return queue.take_own_recorded(t); });
    if (ticket.valid() && !(got.status == status(client_status::would_block))) {
      o = got;
      if (o.status == status(client_status::timed_out)) {
        static_cast<void>(ns.cancel(ticket));
        o = ns.outcome_of(ticket, {client_status::timed_out, 0});
      }
      under_way = {};
    }
    if (!hungry) return o;
    open = threads.count(under_way.valid());
    // Nothing more is sent; what is under way is looked at once more.
    if (detail::passed(threads, until)) waits = false;
    clock::relax(round);
  }
}

/// The group waits for the first of many tickets that ends; see nkv::wait_any.
/// @param tickets every thread passes the same, in memory that all reach; what one ended is not valid on return, to all
/// @return the same to all; the leader's deadline counts. Where several have ended, any of them
template <group Group, class Namespace>
[[nodiscard]] NKV_HD any_outcome wait_any(const Group& threads, const Namespace& ns, span<kv_ticket> tickets,
                                          deadline until) noexcept {
  const auto& queue = ns.queue();
  any_outcome none{tickets.size(), {}};
  for (std::uint32_t spins = 0;; ++spins) {
    if (threads.rank() == 0) queue.reap(queue.capacity());
    // What the leader read is in the records that the others look at; and the tickets are there that another prepared.
    threads.sync();
    const bool lost = queue.liveness() != queue_liveness::open;
    std::size_t mine = tickets.size();
    bool open = false;
    for (std::size_t i = threads.rank(); i < tickets.size() && mine == tickets.size(); i += threads.size()) {
      if (!tickets[i].valid()) continue;
      open = true;
      if (lost || !(queue.peek(tickets[i].ticket).status == status(client_status::would_block))) mine = i;
    }
    const std::uint32_t from = threads.lowest(mine != tickets.size());
    if (from != threads.size()) {
      any_outcome out = none;
      if (threads.rank() == from) {
        out.value = ns.outcome_of(tickets[mine], queue.take_recorded(tickets[mine].ticket));
        tickets[mine] = {};
      }
      out.index = threads.broadcast(static_cast<std::uint32_t>(mine), from);
      out.value = detail::broadcast(threads, out.value, from);
      // The ticket that is gone, before anybody looks at the others.
      threads.sync();
      return out;
    }
    if (threads.lowest(open) == threads.size()) {
      none.value.status = client_status::stale_ticket;
      return none;
    }
    if ((spins & 15u) == 0 && detail::passed(threads, until)) {
      none.value.status = client_status::timed_out;
      return none;
    }
    clock::relax(spins);
  }
}

/// One operation of the whole group, any of the six: the leader runs it, everybody has its outcome, and what it brought
/// into memory (a value, a page of keys, a result) is visible to all. The queue may be an exclusive one of the
/// leader's.
/// @param op every thread passes the same, but for the user_tag, which each gets back
template <group Group, class Namespace>
[[nodiscard]] NKV_HD outcome run_together(const Group& threads, const Namespace& ns, const operation& op,
                                          deadline until) noexcept {
  outcome o;
  // What the others prepared, a value to be stored mostly, comes before the command.
  threads.sync();
  if (threads.rank() == 0) o = ns.run(op, until);
  threads.sync();
  outcome out = detail::broadcast(threads, o);
  out.user_tag = op.user_tag;
  return out;
}

/// Calls `each(key_view)` in every thread for every key from `start` on, page by page, as namespace_ref::for_each_key()
/// does for one thread: the leader lists, everybody reads the page.
/// @param buffer every thread passes the same; the keys that `each` gets stand in it
/// @param each   answers the same in every thread: whether to go on
/// @return as namespace_ref::for_each_key(), the same to all
template <group Group, class Namespace, class Each>
[[nodiscard]] NKV_HD outcome for_each_key(const Group& threads, const Namespace& ns, key_view start,
                                          const value_ref& buffer, std::byte* local, deadline until,
                                          Each&& each) noexcept {
  outcome o;
  if (buffer.length_bytes < key_walk::least_page_bytes(ns.profile())) {
    o.status = client_status::bad_argument;
    return o;
  }
  key_walk walk(ns.profile(), start);
  for (;;) {
    o = run_together(threads, ns, operation::list(walk.start(), buffer, local), until);
    const walk_step step = walk.take(o, {local, static_cast<std::size_t>(buffer.length_bytes)}, each);
    // Nobody lists again, or returns, while another reads the page.
    threads.sync();
    o.status = walk.error();
    if (step != walk_step::next_page) return o;
    if (detail::passed(threads, until)) {
      o.status = client_status::timed_out;
      return o;
    }
  }
}

/// Many operations, a round of the group's size after the other.
/// @param make     (std::size_t) -> operation, asked for each index by one thread: of arrays of keys and value_refs,
///                 say, of whatever length each
/// @param outcomes outcomes[i] is written by one thread and visible to all on return
/// @return how many of the outcomes.size() operations ended otherwise than with success; the same to all
template <group Group, class Namespace, class Make>
  requires requires(const Make& make) {
    { make(std::size_t{}) } noexcept -> std::same_as<operation>;
  }
[[nodiscard]] NKV_HD std::size_t run_all(const Group& threads, const Namespace& ns, const Make& make,
                                         span<outcome> outcomes, deadline until) noexcept {
  std::size_t failed = 0;
  for (std::size_t at = 0; at < outcomes.size(); at += threads.size()) {
    const std::size_t i = at + threads.rank();
    const bool mine = i < outcomes.size();
    const outcome o = run_each(threads, ns, mine ? make(i) : operation{}, until, mine);
    if (mine) outcomes[i] = o;
    std::uint32_t bad = 0;
    static_cast<void>(threads.before(mine && !o.ok(), bad));
    failed += bad;
  }
  threads.sync();
  return failed;
}

/// The same for operations that stand in memory.
/// @param operations every thread passes the same
/// @param outcomes   as many
template <group Group, class Namespace>
[[nodiscard]] NKV_HD std::size_t run_all(const Group& threads, const Namespace& ns, span<const operation> operations,
                                         span<outcome> outcomes, deadline until) noexcept {
  const std::size_t count = operations.size() < outcomes.size() ? operations.size() : outcomes.size();
  return run_all(
      threads, ns, [operations](std::size_t i) noexcept { return operations[i]; },
      span<outcome>(outcomes.data(), count), until);
}

/// Which of the keys exist, a round of the group after the other. A thread alone asks namespace_ref::exist(), which
/// keeps many in flight.
/// @param keys  every thread passes the same
/// @param found bit i % 64 of word i / 64 says whether keys[i] exists; (keys.size() + 63) / 64 words or more, in memory
///              that all threads reach; those are written whole, and visible to all on return
/// @return how many exist, the same to all; client/bad_argument for a bitmap too short; or, after the round that has
/// it,
///         the status of the lowest key that was neither found nor missing, the bitmap then meaning nothing
template <group Group, class Namespace>
[[nodiscard]] NKV_HD result<std::size_t> exist_all(const Group& threads, const Namespace& ns, span<const key_view> keys,
                                                   span<std::uint64_t> found, deadline until) noexcept {
  if (found.size() < (keys.size() + 63) / 64) return status(client_status::bad_argument);
  // Rounds of whole words, or of which whole numbers make a word: one thread writes it.
  std::uint32_t most = threads.size() & ~std::uint32_t{63};
  if (most == 0)
    for (most = 1; most * 2 <= threads.size();) most *= 2;
  std::size_t count = 0;
  for (std::size_t at = 0; at < keys.size(); at += most) {
    const std::size_t i = at + threads.rank();
    const bool mine = threads.rank() < most && i < keys.size();
    const outcome o = run_each(threads, ns, operation::exist(mine ? keys[i] : key_view{}), until, mine);
    const bool there = mine && o.ok();
    const std::uint32_t failed = threads.lowest(mine && !o.ok() && !o.status.is_key_does_not_exist());
    if (failed != threads.size()) return status::from_bits(threads.broadcast(o.status.bits(), failed));
    const std::uint64_t bits = threads.ranks(there, threads.rank());
    const std::size_t first = at + threads.rank() * std::size_t{64};
    if (threads.rank() * 64 < most && first < keys.size()) {
      std::uint64_t& word = found[first / 64];
      word = at % 64 == 0 ? bits : word | bits << at % 64;
    }
    std::uint32_t in_round = 0;
    static_cast<void>(threads.before(there, in_round));
    count += in_round;
  }
  threads.sync();
  return count;
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
