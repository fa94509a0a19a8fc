// SPDX-License-Identifier: BSD-3-Clause
//
// Every operation by every kind of user, to be run by the interpreter against a model controller.
#include "operations.hpp"

#if defined(__HIP__)
#include <hip/hip_runtime.h>
#endif
#include <nkv/device/device.hpp>

using nkv::operation;
using nkv::outcome;
using nkv::device::block_group;
using nkv::device::deadline;
using nkv::device::grid_place;
using nkv::device::warp_group;
using nkv_test::asking_job;
using nkv_test::operations_job;

namespace {

template <class Sharing>
using device_ref = nkv::device::namespace_ref<Sharing>;

/// @param run    (operation, deadline, takes_part) -> outcome
/// @param writes whether this thread writes the outcomes down
template <class Run>
__device__ void operations(const operations_job& job, std::uint32_t user, const Run& run, bool writes = true) {
  for (std::uint32_t n = 0; n < job.per_user; ++n) {
    const std::size_t i = std::size_t{user} * job.per_user + n;
    const outcome o = run(job.operations[i], deadline::after_ns(job.timeout_ns), job.takes_part[i] != 0);
    if (writes) job.outcomes[i] = o;
  }
}
__device__ outcome left_out(const operation& op) {
  outcome o;
  o.status = nkv::client_status::would_block;
  o.user_tag = op.user_tag;
  return o;
}
template <class Namespace>
__device__ void by_thread(const Namespace& ns, const operations_job& job) {
  operations(job, grid_place::here().thread, [&](const operation& op, deadline until, bool takes_part) {
    return takes_part ? ns.run(op, until) : left_out(op);
  });
}
template <class Group, class Namespace>
__device__ void by_group(const Group& threads, const Namespace& ns, const operations_job& job) {
  operations(job, grid_place::here().thread, [&](const operation& op, deadline until, bool takes_part) {
    return run_each(threads, ns, op, until, takes_part);
  });
}

/// Which keys exist; then a ticket for each, and the order in which they end.
template <class Group, class Namespace>
__device__ void ask(const Group& threads, const Namespace& ns, std::uint32_t number, const asking_job& job) {
  const std::uint32_t me = grid_place::here().thread;
  const nkv::span<const nkv::key_view> keys(job.keys, job.key_count);
  const nkv::span<std::uint64_t> found(job.found + number * job.words, job.words);
  const auto count = exist_all(threads, ns, keys, found, deadline::after_ns(job.timeout_ns));
  job.counted[me] = count ? *count : (std::uint64_t{1} << 32) + count.error().bits();

  const nkv::span<nkv::kv_ticket> tickets(job.tickets + number * job.key_count, job.key_count);
  for (std::size_t at = 0; at < keys.size(); at += threads.size()) {
    const std::size_t i = at + threads.rank();
    const bool mine = i < keys.size();
    const auto t =
        submit_each(threads, ns, operation::exist(mine ? keys[i] : nkv::key_view{}, i), mine, nkv::submit_mode::defer);
    if (t) tickets[i] = *t;
  }
  ring(threads, ns);
  for (std::size_t n = 0; n < keys.size(); ++n) {
    const nkv::any_outcome any = wait_any(threads, ns, tickets, deadline::after_ns(job.timeout_ns));
    job.ended[me * job.key_count + n] = static_cast<std::uint32_t>(any.index);
    job.statuses[me * job.key_count + n] = any.value.user_tag == any.index ? any.value.status.bits() : 0xffffffffu;
  }
}

}  // namespace

#define NKV_KERNEL extern "C" __global__ void

NKV_KERNEL six_exclusive(nkv::span<const device_ref<nkv::exclusive>> refs, operations_job job) {
  by_thread(*queue_of(refs, grid_place::here().thread), job);
}
NKV_KERNEL six_block(device_ref<nkv::block_shared> ns, operations_job job) { by_thread(ns, job); }
/// As many queues as there are, each for the warps that the map gives it.
NKV_KERNEL six_shared(nkv::span<const device_ref<nkv::shared>> refs, operations_job job) {
  by_thread(*queue_of(refs, grid_place::here().warp), job);
}
NKV_KERNEL six_each_warp(device_ref<nkv::shared> ns, operations_job job) { by_group(warp_group::whole(), ns, job); }
/// The lanes that happen to be there, on the sides of a branch.
NKV_KERNEL six_each_side(device_ref<nkv::shared> ns, operations_job job) {
#pragma unroll 1
  for (std::uint32_t side = 0; side < 3; ++side) {
    if (threadIdx.x % 3 == side) by_group(warp_group(), ns, job);
  }
}
NKV_KERNEL six_each_block(device_ref<nkv::block_shared> ns, operations_job job) {
  __shared__ nkv::device::block_group_memory memory;
  by_group(block_group(memory), ns, job);
}
/// A warp is one user, and its queue its own; the last lane writes down what all were told.
NKV_KERNEL six_together(nkv::span<const device_ref<nkv::exclusive>> refs, operations_job job) {
  const warp_group threads = warp_group::whole();
  const std::uint32_t warp = grid_place::here().warp;
  operations(
      job, warp,
      [&](const operation& op, deadline until, bool takes_part) {
        return takes_part ? run_together(threads, *queue_of(refs, warp), op, until) : left_out(op);
      },
      threads.rank() + 1 == threads.size());
}

NKV_KERNEL ask_warp(nkv::span<const device_ref<nkv::shared>> refs, asking_job job) {
  const std::uint32_t warp = grid_place::here().warp;
  ask(warp_group::whole(), *queue_of(refs, warp), warp, job);
}
NKV_KERNEL ask_block(device_ref<nkv::block_shared> ns, asking_job job) {
  __shared__ nkv::device::block_group_memory memory;
  ask(block_group(memory), ns, 0, job);
}

NKV_KERNEL lanes_of_warp(std::uint32_t* out) { *out = nkv::device::detail::world::lanes_of_warp; }

NKV_KERNEL make_keys(nkv_test::keys_job job) {
  const std::uint32_t me = grid_place::here().thread;
  nkv_test::make_keys(job, me, job.keys + std::size_t{me} * 3);
}
