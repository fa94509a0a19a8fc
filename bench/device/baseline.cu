// SPDX-License-Identifier: BSD-3-Clause
//
// What a queue like BaM's costs in the same interpreter, with the same controller. The steps, of every operation:
//   CID         a ticket says which of many locked CIDs to try; the next one where it is in use
//   entry       a ticket says which entry; wait for its generation, write the SQE, mark it
//   doorbell    whoever gets tail_lock goes over the marks from the tail on and rings once for all of them; every other
//               looks at its own mark until somebody has cleared it
//   completion  every waiter goes over the CQ from its head for its own CID
//   head        a mark at the entry; whoever gets head_lock clears the marks from the head on, hands the entries that
//               the controller has fetched to their next generation and rings once
//   no deadline, no look at the status, no fence of the system's scope, no acquire between a completion's phase and
//   the value: what is not there is not paid for
// Waits nap for 8 ns at first, twice as long each time and up to a microsecond, which is as long as the library's
// longest: of the ways tried the cheapest for this queue where many threads wait. What one thread does to a word that
// others wait for is acquire or release at the GPU's scope, all else relaxed.
#include "baseline.hpp"

#include <nkv/command/command_key.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/sgl.hpp>

namespace {

using bench::baseline_job;
using bench::baseline_queue;
using bench::baseline_word;

__device__ std::uint32_t load(const baseline_word& w) {
  return __nv_atomic_load_n(const_cast<std::uint32_t*>(&w.value), __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE);
}
__device__ void store_release(baseline_word& w, std::uint32_t value) {
  __nv_atomic_store_n(&w.value, value, __NV_ATOMIC_RELEASE, __NV_THREAD_SCOPE_DEVICE);
}
/// Acquire.
__device__ std::uint32_t exchange(baseline_word& w, std::uint32_t value) {
  return __nv_atomic_exchange_n(&w.value, value, __NV_ATOMIC_ACQUIRE, __NV_THREAD_SCOPE_DEVICE);
}
__device__ std::uint32_t take_ticket(baseline_word& w) {
  return __nv_atomic_fetch_add(&w.value, 1u, __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE);
}
__device__ void next_generation(baseline_word& w) {
  __nv_atomic_fetch_add(&w.value, 1u, __NV_ATOMIC_ACQ_REL, __NV_THREAD_SCOPE_DEVICE);
}
__device__ std::uint32_t load_system(const std::uint32_t* p) { return *const_cast<const volatile std::uint32_t*>(p); }
__device__ void ring(std::uint32_t* doorbell, std::uint32_t value) {
  asm volatile("st.mmio.relaxed.sys.u32 [%0], %1;" ::"l"(doorbell), "r"(value) : "memory");
}
__device__ void nap(std::uint32_t& ns) {
  asm volatile("nanosleep.u32 %0;" ::"r"(ns));
  if (ns < 1024) ns *= 2;
}

__device__ std::uint32_t take_cid(baseline_queue& q) {
  std::uint32_t ns = 8;
  for (;;) {
    const std::uint32_t cid = take_ticket(q.cid_ticket) & (baseline_queue::cids - 1);
    if (exchange(q.cid_locks[cid], 1) == 0) return cid;
    nap(ns);
  }
}

/// Under tail_lock: publishes the entries that are marked without a gap, one short of a full ring.
__device__ void move_tail(baseline_queue& q) {
  const std::uint32_t mask = q.sq_entries - 1;
  const std::uint32_t tail = load(q.sq_tail);
  std::uint32_t end = tail;
  while (((end + 1) & mask) != (load(q.sq_head) & mask) && exchange(q.tail_marks[end & mask], 0) != 0) ++end;
  if (end == tail) return;
  ring(q.sq_doorbell, end & mask);
  store_release(q.sq_tail, end);
}

__device__ void enqueue(baseline_queue& q, const nkv::sqe& command) {
  const std::uint32_t ticket = take_ticket(q.in_ticket);
  const std::uint32_t slot = ticket & (q.sq_entries - 1);
  const std::uint32_t generation = (ticket >> q.sq_entries_log2) * 2;
  for (std::uint32_t ns = 8; load(q.generations[slot]) != generation;) nap(ns);
  auto* const from = reinterpret_cast<const uint4*>(command.dw);
  auto* const to = reinterpret_cast<uint4*>(q.sq[slot].dw);
  for (int i = 0; i < 4; ++i) to[i] = from[i];
  store_release(q.tail_marks[slot], 1);
  std::uint32_t ns = 8;
  while (load(q.tail_marks[slot]) != 0) {
    if (load(q.tail_lock) == 0 && exchange(q.tail_lock, 1) == 0) {
      move_tail(q);
      store_release(q.tail_lock, 0);
    } else {
      nap(ns);
    }
  }
  next_generation(q.generations[slot]);
}

/// @return the position of the completion
__device__ std::uint32_t find(const baseline_queue& q, std::uint32_t cid) {
  const std::uint32_t mask = q.cq_entries - 1;
  for (std::uint32_t ns = 8;; nap(ns)) {
    const std::uint32_t head = load(q.cq_head);
    for (std::uint32_t i = 0; i <= mask; ++i) {
      const std::uint32_t position = head + i;
      const std::uint32_t dw3 = load_system(&q.cq[position & mask].dw[3]);
      const std::uint32_t phase = ~(position >> q.cq_entries_log2) & 1u;
      if (((dw3 >> 16) & 1u) != phase) break;
      if ((dw3 & 0xffffu) == cid) return position;
    }
  }
}

/// Under head_lock: gives back the entries that are marked without a gap.
__device__ void move_head(baseline_queue& q) {
  const std::uint32_t mask = q.cq_entries - 1;
  const std::uint32_t head = load(q.cq_head);
  std::uint32_t end = head;
  while (exchange(q.head_marks[end & mask], 0) != 0) ++end;
  if (end == head) return;
  // The last of them says how far the controller has fetched.
  const std::uint32_t fetched = load_system(&q.cq[(end - 1) & mask].dw[2]) & 0xffffu;
  const std::uint32_t sq_mask = q.sq_entries - 1;
  std::uint32_t sq_head = load(q.sq_head);
  for (; (sq_head & sq_mask) != fetched; ++sq_head) next_generation(q.generations[sq_head & sq_mask]);
  store_release(q.sq_head, sq_head);
  ring(q.cq_doorbell, end & mask);
  store_release(q.cq_head, end);
}

__device__ void dequeue(baseline_queue& q, std::uint32_t position) {
  const std::uint32_t at = position & (q.cq_entries - 1);
  std::uint32_t ns = 8;
  // Until the thread that had this entry a lap before is done with it.
  while (exchange(q.pos_locks[at], 1) != 0) nap(ns);
  store_release(q.head_marks[at], 1);
  ns = 8;
  while (load(q.head_marks[at]) != 0) {
    if (load(q.head_lock) == 0 && exchange(q.head_lock, 1) == 0) {
      move_head(q);
      store_release(q.head_lock, 0);
    } else {
      nap(ns);
    }
  }
  store_release(q.pos_locks[at], 0);
}

__device__ void run(baseline_queue& q, nkv::kv_opcode opcode, const std::byte* key, const void* value,
                    std::uint32_t bytes) {
  const std::uint32_t cid = take_cid(q);
  nkv::sqe command;
  command.set_opc(opcode);
  command.set_cid(static_cast<std::uint16_t>(cid));
  command.set_nsid(q.nsid);
  command.set_dptr(
      nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(reinterpret_cast<std::uint64_t>(value), bytes)));
  command.set_cdw(10, bytes);
  nkv::set_inline_key(command, {key, 16});
  enqueue(q, command);
  dequeue(q, find(q, cid));
  store_release(q.cid_locks[cid], 0);
}

__device__ const std::byte* key_of(const baseline_job& job) {
  return static_cast<const std::byte*>(__builtin_assume_aligned(job.keys + threadIdx.x * std::size_t{16}, 16));
}

}  // namespace

/// One Retrieve again and again, to be counted.
extern "C" __global__ void baseline_retrieve(baseline_queue* q, baseline_job job) {
  const std::byte* const key = key_of(job);
  std::uint32_t* const buffer = job.buffers + threadIdx.x * std::size_t{job.value_words};
#pragma unroll 1
  for (std::uint32_t n = 0; n < job.rounds; ++n) run(*q, nkv::kv_opcode::retrieve, key, buffer, job.value_words * 4);
}

/// A Store and then Retrieves of the same key.
extern "C" __global__ void baseline_store_and_retrieve(baseline_queue* q, baseline_job job) {
  const std::byte* const key = key_of(job);
  const std::size_t at = threadIdx.x * std::size_t{job.value_words};
  run(*q, nkv::kv_opcode::store, key, job.sources + at, job.value_words * 4);
#pragma unroll 1
  for (std::uint32_t n = 0; n < job.rounds; ++n)
    run(*q, nkv::kv_opcode::retrieve, key, job.buffers + at, job.value_words * 4);
}
