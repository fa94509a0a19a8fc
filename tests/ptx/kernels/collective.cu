// SPDX-License-Identifier: BSD-3-Clause
//
// Threads that use a namespace together, to be run by the interpreter against a model controller.
#include "collective.hpp"

#include <nkv/device/device.hpp>

namespace {

using nkv::kv_ticket;
using nkv::operation;
using nkv::outcome;
using nkv::device::bar_doorbell;
using nkv::device::block_group;
using nkv::device::deadline;
using nkv::device::shared_doorbell;
using nkv::device::thread_group;
using nkv::device::warp_group;
using nkv_test::collective_job;
using nkv_test::collective_record;

template <class Sharing, class Doorbell, class Commands = nkv::plain_commands>
using ref = nkv::device::namespace_ref<Sharing, Doorbell, Commands>;

__device__ std::uint32_t me() { return blockIdx.x * blockDim.x + threadIdx.x; }

/// The lanes that this thread's warp has.
__device__ std::uint64_t whole_warp() {
  const std::uint32_t left = blockDim.x - threadIdx.x / 32 * 32;
  return left >= 32 ? 0xffffffffu : (1u << left) - 1;
}

__device__ nkv::key_view key_of(const collective_job& job, std::uint32_t round) {
  return {job.keys + static_cast<std::size_t>(me() * job.rounds + round) * collective_job::key_room, job.key_bytes};
}
__device__ nkv::value_ref value_at(const collective_job& job, std::uint32_t* memory, std::uint32_t round) {
  const std::size_t at = static_cast<std::size_t>(me() * job.rounds + round) * job.value_words;
  return {reinterpret_cast<std::uint64_t>(memory + at), job.value_words * std::uint64_t{4}, 0};
}

__device__ operation operation_of(const collective_job& job, std::uint32_t round, std::uint32_t step) {
  const nkv::key_view key = key_of(job, round);
  operation op = operation::exist(key);
  if (step == 0) op = operation::store(key, value_at(job, job.values, round));
  if (step == 1) op = operation::retrieve(key, value_at(job, job.buffers, round));
  if (step == 2) op = operation::remove(key);
  op.user_tag = me() * 65536 + round * 16 + step;
  return op;
}

__device__ void record(const collective_job& job, std::uint32_t round, std::uint32_t step, const outcome& o,
                       std::uint64_t began_ns) {
  collective_record& r = job.records[(me() * job.rounds + round) * collective_job::steps + step];
  r.status = o.status.bits();
  r.length = o.length_known ? static_cast<std::uint32_t>(o.length_bytes) : 0xffffffffu;
  r.tag = o.user_tag;
  r.took_ns = nkv::device::clock::now_ns() - began_ns;
  r.ticket = o.ticket;
}

/// @param run (operation, deadline, takes_part) -> outcome
template <class Run>
__device__ void rounds(const collective_job& job, const Run& run) {
  for (std::uint32_t round = 0; round < job.rounds; ++round) {
    auto* const value = reinterpret_cast<std::uint32_t*>(value_at(job, job.values, round).address);
    for (std::uint32_t w = 0; w < job.value_words; ++w) value[w] = collective_job::value_word(me(), round, w);
    for (std::uint32_t step = 0; step < collective_job::steps; ++step) {
      const bool takes_part = step != 2 || collective_job::deletes(me(), round);
      const std::uint64_t began = nkv::device::clock::now_ns();
      const deadline until = deadline::after_ns(job.timeout_ns + threadIdx.x % 32 * job.skew_ns);
      const outcome o = run(operation_of(job, round, step), until, takes_part);
      record(job, round, step, o, began);
    }
  }
}

template <class Group, class Namespace>
__device__ void each(const Group& threads, const Namespace& ns, const collective_job& job) {
  rounds(job, [&](const operation& op, deadline until, bool takes_part) {
    return nkv::device::run_each(threads, ns, op, until, takes_part);
  });
}

template <class Namespace>
__device__ void alone(const Namespace& ns, const collective_job& job) {
  rounds(job, [&](const operation& op, deadline until, bool takes_part) {
    outcome o;
    o.status = nkv::client_status::would_block;
    o.user_tag = op.user_tag;
    return takes_part ? ns.run(op, until) : o;
  });
}

/// Tickets: a Retrieve each and perhaps an Exist, and their outcomes in the other order.
template <class Group, class Namespace>
__device__ void tickets(const Group& threads, const Namespace& ns, const collective_job& job) {
  for (std::uint32_t round = 0; round < job.rounds; ++round) {
    nkv::result<kv_ticket> sent[2] = {nkv::status(nkv::client_status::would_block),
                                      nkv::status(nkv::client_status::would_block)};
    const std::uint64_t began = nkv::device::clock::now_ns();
    const std::uint32_t count = job.second != 0 ? 2 : 1;
    for (std::uint32_t i = 0; i < count; ++i)
      sent[i] = submit_each(threads, ns, operation_of(job, round, i == 0 ? 1 : 3));
    while (nkv::device::clock::now_ns() - began < job.nap_ns) nkv::device::clock::relax(100);
    for (std::uint32_t i = count; i-- != 0;) {
      const deadline until = job.nap_ns != 0 ? deadline{} : deadline::after_ns(job.timeout_ns);
      outcome o = wait_each(threads, ns, sent[i].value_or(kv_ticket{}), until);
      if (!sent[i]) o.status = sent[i].error();
      record(job, round, i == 0 ? 1 : 3, o, began);
    }
  }
}

/// Values that all threads of the group made, stored and retrieved by its leader; then a prefix.
template <class Group, class Namespace>
__device__ void together(const Group& threads, const Namespace& ns, const collective_job& job) {
  const std::uint32_t first = me() - threads.rank();
  const nkv::key_view key{job.keys + static_cast<std::size_t>(first) * collective_job::key_room, job.key_bytes};
  const std::uint64_t bytes = threads.size() * std::uint64_t{4};
  // The leader is there long before the others' part of the value.
  if (threads.rank() != 0) nkv::device::clock::relax(100);
  job.values[me()] = collective_job::value_word(me(), 0, 0);
  const deadline until = deadline::after_ns(job.timeout_ns);
  const std::uint64_t began = nkv::device::clock::now_ns();
  record(job, 0, 0,
         run_together(threads, ns,
                      operation::store(key, {reinterpret_cast<std::uint64_t>(job.values + first), bytes, 0}, {}, me()),
                      until),
         began);
  record(
      job, 0, 1,
      run_together(threads, ns,
                   operation::retrieve(key, {reinterpret_cast<std::uint64_t>(job.buffers + first), bytes, 0}, {}, me()),
                   until),
      began);
  // What another's place holds is there for this thread too.
  const std::uint32_t other = first + (threads.rank() + 1) % threads.size();
  if (job.buffers[other] != collective_job::value_word(other, 0, 0)) job.records[me() * 4 + 2].status = 1;
}
template <class Group, class Namespace>
__device__ void prefix(const Group& threads, const Namespace& ns, const collective_job& job) {
  const auto length = nkv::device::longest_prefix(
      threads, ns, nkv::span<const nkv::key_view>(job.prefix, job.prefix_keys), deadline::after_ns(job.timeout_ns));
  job.prefix_result[me()] = length ? *length : (std::uint64_t{1} << 32) + length.error().bits();
}

template <class Group, class Namespace>
__device__ void all(const Group& threads, const Namespace& ns, const collective_job& job) {
  job.prefix_result[me()] =
      nkv::device::run_all(threads, ns, nkv::span<const operation>(job.operations, job.operation_count),
                           nkv::span<outcome>(job.outcomes, job.operation_count), deadline::after_ns(job.timeout_ns));
}

/// What a group says of numbers that everybody can work out; how often it was wrong.
template <class Group>
__device__ void words(const Group& threads, const collective_job& job) {
  std::uint32_t wrong = 0;
  for (std::uint32_t n = 0; n < job.rounds; ++n) {
    const auto flag = [n](std::uint32_t rank) { return (rank * 7 + n * 3) % 5 == 0; };
    std::uint32_t below = 0;
    std::uint32_t all = 0;
    std::uint32_t lowest = threads.size();
    for (std::uint32_t r = threads.size(); r-- != 0;) {
      if (!flag(r)) continue;
      ++all;
      if (r < threads.rank()) ++below;
      lowest = r;
    }
    const std::uint32_t from = (n * 11) % threads.size();
    // Twice each without anything between: what the first left behind is not the second's.
    std::uint32_t total = 0;
    if (threads.before(flag(threads.rank()), total) != below || total != all) ++wrong;
    if (threads.before(!flag(threads.rank()), total) != threads.rank() - below || total != threads.size() - all)
      ++wrong;
    if (threads.lowest(flag(threads.rank())) != lowest) ++wrong;
    if (threads.lowest(false) != threads.size()) ++wrong;
    if (threads.lowest(true) != 0) ++wrong;
    if (threads.broadcast(threads.rank() * 3 + n, from) != from * 3 + n) ++wrong;
    if (threads.broadcast(threads.rank() * 5 + n) != n) ++wrong;
  }
  job.records[me()].status = wrong;
}

/// One Retrieve of the thread's first key again and again, to be counted.
/// @param ns a copy, so that it is in registers and not read from the kernel's parameters again for each
template <class Namespace, class Run>
__device__ void again(const collective_job& job, const Namespace ns, const Run& run) {
  const deadline until = deadline::after_ns(job.timeout_ns);
  const auto* const key = static_cast<const std::byte*>(
      __builtin_assume_aligned(job.keys + static_cast<std::size_t>(me()) * collective_job::key_room, 16));
  const nkv::value_ref memory{reinterpret_cast<std::uint64_t>(job.buffers) + me() * job.value_words * std::uint64_t{4},
                              job.value_words * std::uint64_t{4}, 0};
  // Success, and the length asked for, is 0 here.
  std::uint64_t wrong = 0;
  for (std::uint32_t n = 0; n < job.rounds; ++n) {
    const outcome o = run(ns, operation::retrieve({key, 16}, memory), until);
    wrong |= o.status.bits() | (o.length_bytes ^ memory.length_bytes);
  }
  job.records[me()].status = wrong == 0 ? 0 : 1;
}

}  // namespace

#define NKV_KERNEL extern "C" __global__ void

// ---- run_each ----
NKV_KERNEL each_thread_shared(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  each(thread_group{}, ns, job);
}
NKV_KERNEL each_warp_shared(ref<nkv::shared, bar_doorbell> ns, collective_job job) {
  each(warp_group::whole(), ns, job);
}
/// The two sides of a branch, each a group of its own.
NKV_KERNEL each_side_shared(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  if (threadIdx.x % 2 != 0) {
    each(warp_group(whole_warp() & 0xaaaaaaaau), ns, job);
  } else {
    each(warp_group(whole_warp() & 0x55555555u), ns, job);
  }
}
NKV_KERNEL each_block_shared(ref<nkv::shared, bar_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  each(block_group(memory), ns, job);
}
NKV_KERNEL each_warp_block(ref<nkv::block_shared, shared_doorbell> ns, collective_job job) {
  each(warp_group::whole(), ns, job);
}
NKV_KERNEL each_block_block(ref<nkv::block_shared, shared_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  each(block_group(memory), ns, job);
}
NKV_KERNEL each_warp_all(ref<nkv::shared, bar_doorbell, nkv::all_commands> ns, collective_job job) {
  each(warp_group::whole(), ns, job);
}

// ---- A queue a thread ----
NKV_KERNEL alone_memory(const ref<nkv::exclusive, shared_doorbell>* refs, collective_job job) {
  alone(refs[me()], job);
}
NKV_KERNEL alone_bar(const ref<nkv::exclusive, bar_doorbell>* refs, collective_job job) { alone(refs[me()], job); }

// ---- submit_each and wait_each ----
NKV_KERNEL tickets_warp(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  tickets(warp_group::whole(), ns, job);
}
NKV_KERNEL tickets_block(ref<nkv::shared, bar_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  tickets(block_group(memory), ns, job);
}

// ---- run_together and longest_prefix ----
NKV_KERNEL together_warp(const ref<nkv::exclusive, bar_doorbell>* refs, collective_job job) {
  together(warp_group::whole(), refs[me() / 32], job);
}
NKV_KERNEL together_block(ref<nkv::block_shared, shared_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  together(block_group(memory), ns, job);
  prefix(block_group(memory), ns, job);
}

NKV_KERNEL all_warp(ref<nkv::shared, bar_doorbell> ns, collective_job job) { all(warp_group::whole(), ns, job); }
NKV_KERNEL all_block(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  all(block_group(memory), ns, job);
}

// ---- Groups alone ----
NKV_KERNEL words_warp(collective_job job) { words(warp_group::whole(), job); }
NKV_KERNEL words_side(collective_job job) {
  constexpr std::uint32_t some = 0x8421'fff0u;
  if ((some >> threadIdx.x % 32 & 1u) != 0) {
    words(warp_group(whole_warp() & some), job);
  } else {
    words(warp_group(whole_warp() & ~some), job);
  }
}
NKV_KERNEL words_block(collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  words(block_group(memory), job);
}

// ---- What a Retrieve costs ----
NKV_KERNEL cost_exclusive_memory(ref<nkv::exclusive, shared_doorbell> ns, collective_job job) {
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return ns.run(op, until); });
}
NKV_KERNEL cost_exclusive_bar(ref<nkv::exclusive, bar_doorbell> ns, collective_job job) {
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return ns.run(op, until); });
}
NKV_KERNEL cost_shared_memory(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return ns.run(op, until); });
}
NKV_KERNEL cost_shared_bar(ref<nkv::shared, bar_doorbell> ns, collective_job job) {
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return ns.run(op, until); });
}
NKV_KERNEL cost_warp(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  const warp_group threads = warp_group::whole();
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return run_each(threads, ns, op, until); });
}
NKV_KERNEL cost_block(ref<nkv::shared, shared_doorbell> ns, collective_job job) {
  __shared__ nkv::device::block_group_memory memory;
  const block_group threads(memory);
  again(job, ns, [&](const auto& ns, const operation& op, deadline until) { return run_each(threads, ns, op, until); });
}
