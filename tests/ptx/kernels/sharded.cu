// SPDX-License-Identifier: BSD-3-Clause
//
// Values beyond one command by a warp and by a block, to be run by the interpreter against a model controller.
#include "sharded.hpp"

#if defined(__HIP__)
#include <hip/hip_runtime.h>
#endif
#include <nkv/device/device.hpp>

namespace {

using nkv::device::deadline;
using nkv_test::sharded_job;

template <class Group, class Namespace>
__device__ void work(const Group& threads, const Namespace& ns, const sharded_job& job) {
  const nkv::device::shard_team team(threads);
  const deadline until = deadline::after_ns(job.timeout_ns);
  nkv::shard_slot slots[4];
  std::uint32_t* const statuses = job.statuses + std::size_t{threadIdx.x} * 4;
  nkv::sharded_writer_memory writer_memory = job.writer;
  writer_memory.slots = slots;
  nkv::sharded_writer writer(ns, writer_memory, team);
  if (job.puts) {
    nkv::sharded_put_options how;
    how.nonce = nkv::shard_nonce::from_words(job.nonce, 1);
    how.shard_bytes = job.shard_bytes;
    statuses[0] = writer.put(job.key, {&job.source, 1}, how, until).status.bits();
  }
  if (job.reads) {
    nkv::sharded_reader_memory reader_memory = job.reader;
    reader_memory.slots = slots;
    nkv::sharded_reader reader(ns, reader_memory, team);
    statuses[1] = reader.open(job.key, until).bits();
    job.lengths[threadIdx.x] = reader.length_bytes();
    statuses[2] = reader.read(job.from_bytes, {&job.destination, 1}, until).bits();
  }
  if (job.removes) statuses[3] = writer.remove(job.key, until).status.bits();
}

}  // namespace

extern "C" __global__ void by_warp(nkv::device::namespace_ref<nkv::exclusive> ns, const sharded_job* job) {
  work(nkv::device::warp_group::whole(), ns, *job);
}
extern "C" __global__ void by_block(nkv::device::namespace_ref<nkv::block_shared> ns, const sharded_job* job) {
  __shared__ nkv::device::block_group_memory memory;
  work(nkv::device::block_group(memory), ns, *job);
}
