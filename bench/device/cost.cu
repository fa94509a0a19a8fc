// SPDX-License-Identifier: BSD-3-Clause
//
// One operation again and again, a kernel for each way to do it. What is in the loop: the key is read from memory, the
// operation is checked, sent, waited for and decoded, its status and length are added to two registers. The deadline is
// made once, before the loop, and the namespace is copied, so that it is in registers and not read from the kernel's
// parameters each time.
#include "cost.hpp"

#if NKV_CUDA
#define NKV_KERNEL extern "C" __global__ void
#define NKV_SHARED __shared__
#else
#define NKV_KERNEL extern "C" __attribute__((global)) void
#define NKV_SHARED __attribute__((shared))
#endif

namespace {

using bench::cost_job;
using bench::cost_namespace;
using bench::cost_rings;
using bench::cost_sum;
using nkv::operation;
using nkv::outcome;
using nkv::device::bar_doorbell;
using nkv::device::block_group;
using nkv::device::deadline;
using nkv::device::warp_group;

/// No time passes, so that the compiler leaves out every look at the deadline.
struct no_clock {
  NKV_HD static constexpr std::uint64_t now_ns() noexcept { return 0; }
  NKV_HD static void relax(std::uint32_t spins) noexcept { nkv::device::clock::relax(spins); }
};
using never = nkv::deadline<no_clock>;

/// Blocks are of one dimension.
NKV_HD std::uint32_t me() noexcept {
#if NKV_ON_CUDA
  return threadIdx.x;
#elif NKV_ON_HIP
  return __builtin_amdgcn_workitem_id_x();
#else
  return 0;
#endif
}

/// The compiler of AMD's loads a whole argument into scalar registers, and holds there what only the end needs.
template <class T>
NKV_HD T in_vector_register(T value) noexcept {
#if NKV_ON_HIP
  __asm__("" : "+v"(value));
#endif
  return value;
}

enum class kind { retrieve, exist, store };

/// @param run (operation, sum), which adds to the sum
template <class Run>
NKV_HD NKV_INLINE void again(kind k, const cost_job& job, const Run& run) noexcept {
  const auto* const key =
      static_cast<const std::byte*>(__builtin_assume_aligned(job.keys + me() * std::size_t{16}, 16));
  const nkv::value_ref memory{reinterpret_cast<std::uint64_t>(job.buffers) + std::uint64_t{me()} * job.value_bytes,
                              job.value_bytes, 0};
  cost_sum sum;
  cost_sum* const out = in_vector_register(job.sums + me());
#pragma unroll 1
  for (std::uint32_t n = 0; n < job.rounds; ++n) {
    switch (k) {
      case kind::retrieve: run(operation::retrieve({key, 16}, memory), sum); break;
      case kind::exist: run(operation::exist({key, 16}), sum); break;
      case kind::store: run(operation::store({key, 16}, memory), sum); break;
    }
  }
  *out = sum;
}

NKV_HD NKV_INLINE void add(cost_sum& sum, const outcome& o) noexcept {
  sum.status_bits |= o.status.bits();
  sum.length_bytes += o.length_bytes;
}
NKV_HD NKV_INLINE void add(cost_sum& sum, bool completed, std::uint32_t dw0) noexcept {
  sum.status_bits |= completed ? 0u : 1u;
  sum.length_bytes += dw0;
}

template <class Namespace>
NKV_HD NKV_INLINE void each_thread(const Namespace ns, const cost_job& job, kind k) noexcept {
  const deadline until = deadline::after_ns(job.timeout_ns);
  again(k, job, [&](const operation& op, cost_sum& sum) { add(sum, ns.run(op, until)); });
}

template <class Namespace>
NKV_HD NKV_INLINE void each_deadline(const Namespace ns, const cost_job& job) noexcept {
  again(kind::retrieve, job,
        [&](const operation& op, cost_sum& sum) { add(sum, ns.run(op, deadline::after_ns(job.timeout_ns))); });
}

template <class Group, class Namespace>
NKV_HD NKV_INLINE void each_of(const Group& threads, const Namespace ns, const cost_job& job) noexcept {
  const deadline until = deadline::after_ns(job.timeout_ns);
  again(kind::retrieve, job,
        [&](const operation& op, cost_sum& sum) { add(sum, nkv::device::run_each(threads, ns, op, until)); });
}

template <class Namespace>
NKV_HD NKV_INLINE void without_deadline(const Namespace ns, const cost_job& job) noexcept {
  again(kind::retrieve, job, [&](const operation& op, cost_sum& sum) { add(sum, ns.run(op, never(1))); });
}

/// @return whether it was sent and completed
template <class Queue>
NKV_HD NKV_INLINE bool send_and_wait(const Queue& q, const nkv::sqe& command, deadline until,
                                     nkv::completion& c) noexcept {
  nkv::ticket t;
  return q.run(command, until, t, c) && !c.status.is_client();
}

/// What run() does, but that the completion is not looked into.
template <class Namespace>
NKV_HD NKV_INLINE void without_decoding(const Namespace ns, const cost_job& job) noexcept {
  const auto& q = ns.queue();
  const deadline until = deadline::after_ns(job.timeout_ns);
  again(kind::retrieve, job, [&](const operation& op, cost_sum& sum) {
    if (!ns.validate(op).ok()) return add(sum, false, 0);
    nkv::completion c;
    add(sum, send_and_wait(q, ns.command_of({0}, op), until, c), c.dw0);
  });
}

/// Looks until there is an entry with CID 0, which is always the one that is sent. @return whether it came in time
template <class Clock>
NKV_HD NKV_INLINE bool wait_for_entry(const cost_rings& rings, nkv::deadline<Clock> until, nkv::cqe& entry) noexcept {
  for (std::uint32_t spins = 0;; ++spins) {
    if (rings.cq.next(rings.doorbell, entry)) {
      if ((entry.dw[3] & 0xffffu) == 0) return true;
    } else {
      Clock::relax(spins);
    }
    if ((spins & 63u) == 63u && until.expired()) return false;
  }
}

/// Without a CID and so without a look at whether there is room: one is outstanding at most, of one thread.
template <class Clock>
NKV_HD NKV_INLINE void without_reservation(const cost_rings rings, const cost_job& job, nkv::deadline<Clock> until,
                                           bool decoded) noexcept {
  again(kind::retrieve, job, [&](const operation& op, cost_sum& sum) {
    if (decoded && !rings.ns.validate(op).ok()) return add(sum, false, 0);
    rings.sq.post_and_ring(rings.ns.command_of({0}, op), 0, rings.doorbell);
    nkv::cqe entry;
    const bool completed = wait_for_entry(rings, until, entry);
    if (!decoded) return add(sum, completed, entry.dw0());
    nkv::completion c{nkv::client_status::timed_out, 0};
    if (completed) c = {nkv::status::from_cqe(entry.status_field()), entry.dw0()};
    add(sum, rings.ns.outcome_of(rings.ns.ticket_of({0, 0}, op), c));
  });
}

}  // namespace

// ---- Complete operations ----
NKV_KERNEL exclusive_retrieve(cost_namespace<nkv::exclusive> ns, cost_job job) { each_thread(ns, job, kind::retrieve); }
NKV_KERNEL exclusive_exist(cost_namespace<nkv::exclusive> ns, cost_job job) { each_thread(ns, job, kind::exist); }
NKV_KERNEL exclusive_store(cost_namespace<nkv::exclusive> ns, cost_job job) { each_thread(ns, job, kind::store); }
NKV_KERNEL exclusive_bar_retrieve(cost_namespace<nkv::exclusive, bar_doorbell> ns, cost_job job) {
  each_thread(ns, job, kind::retrieve);
}
NKV_KERNEL exclusive_each_deadline(cost_namespace<nkv::exclusive> ns, cost_job job) { each_deadline(ns, job); }
NKV_KERNEL shared_retrieve(cost_namespace<nkv::shared> ns, cost_job job) { each_thread(ns, job, kind::retrieve); }
NKV_KERNEL shared_exist(cost_namespace<nkv::shared> ns, cost_job job) { each_thread(ns, job, kind::exist); }
NKV_KERNEL shared_store(cost_namespace<nkv::shared> ns, cost_job job) { each_thread(ns, job, kind::store); }
NKV_KERNEL warp_retrieve(cost_namespace<nkv::shared> ns, cost_job job) { each_of(warp_group::whole(), ns, job); }
NKV_KERNEL block_retrieve(cost_namespace<nkv::block_shared> ns, cost_job job) {
  NKV_SHARED nkv::device::block_group_memory memory;
  each_of(block_group(memory), ns, job);
}

// ---- With steps left out ----
NKV_KERNEL exclusive_no_deadline(cost_namespace<nkv::exclusive> ns, cost_job job) { without_deadline(ns, job); }
NKV_KERNEL exclusive_no_decoding(cost_namespace<nkv::exclusive> ns, cost_job job) { without_decoding(ns, job); }
NKV_KERNEL exclusive_no_occupancy(cost_rings rings, cost_job job) {
  without_reservation(rings, job, deadline::after_ns(job.timeout_ns), true);
}
NKV_KERNEL exclusive_bare(cost_rings rings, cost_job job) { without_reservation(rings, job, never(1), false); }
