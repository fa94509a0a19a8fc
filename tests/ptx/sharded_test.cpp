// SPDX-License-Identifier: BSD-3-Clause
//
// Values beyond one command in kernels, as nvcc compiles them, against the model controller. Run by tests/ptx/run.py.
#include "ptx/kernels/sharded.hpp"
#include "ptx/guest_queue.hpp"

#include <doctest/doctest.h>
#include <nkv/device/queue_pair.hpp>

#include <cstring>
#include <string>
#include <type_traits>

using nkv::client_status;
using nkv::status;
using nkv_test::guest_queue;
using nkv_test::kernel_run;
using nkv_test::nvme_model_options;
using nkv_test::ptx_result;
using nkv_test::sharded_job;

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t shard_bytes = 20000;  // more than a thread hashes at a time
constexpr std::size_t object_bytes = 5 * shard_bytes + 123;
constexpr std::size_t shards = 6;

std::string text_of(const std::string& entry) { return kernel_run::read_entry(kernel_run::compiled("sharded"), entry); }

nvme_model_options options_of(std::uint64_t seed) {
  nvme_model_options o;
  o.sq_entries = 4;
  o.cq_entries = 8;
  o.latency_ticks = 300;
  o.out_of_order = true;
  o.seed = seed;
  return o;
}

/// An object's memory, a queue, and a group of threads that work on it.
template <class Sharing>
struct sharded_rig {
  sharded_rig(const char* entry_name, std::uint32_t threads_here, std::uint64_t seed)
      : entry(entry_name), threads(threads_here), run(text_of(entry_name)), queue(run, options_of(seed)) {
    run.options.most_steps = 400'000'000;
    queue.profile.limits.max_value_bytes = shard_bytes;
    source = allocate("source", object_bytes);
    destination = allocate("destination", object_bytes);
    std::byte* const name = allocate("key", 8);
    std::memcpy(name, "an-objec", 8);
    job = run.memory().allocate_array<sharded_job>("job", 1);
    *job = {};
    job->key = {name, 8};
    job->shard_bytes = shard_bytes;
    job->timeout_ns = 1'000'000'000;
    job->writer.manifest = range(allocate("manifest to write", page_bytes), page_bytes);
    job->writer.head = range(allocate("head", page_bytes), page_bytes);
    job->reader.manifest = range(allocate("manifest that is read", page_bytes), page_bytes);
    job->reader.bounce = range(allocate("bounce", shard_bytes), shard_bytes);
    job->source = range<const std::byte>(source, object_bytes);
    job->statuses = run.memory().template allocate_array<std::uint32_t>("statuses", std::size_t{threads} * 4);
    job->lengths = run.memory().template allocate_array<std::uint64_t>("lengths", threads);
  }

  std::byte* allocate(const char* what, std::size_t bytes) { return run.memory().allocate(what, bytes, 4096); }
  template <class Byte = std::byte>
  static nkv::local_range<Byte> range(Byte* at, std::size_t bytes) {
    return {{reinterpret_cast<std::uint64_t>(at), bytes, 0}, at};
  }

  void fill(std::uint8_t n) {
    for (std::size_t i = 0; i < object_bytes; ++i) source[i] = static_cast<std::byte>(i * 7 + i / 253 + n);
  }
  /// From where on the source was read back.
  bool read_back(std::size_t from) const { return std::memcmp(destination, source + from, object_bytes - from) == 0; }

  ptx_result launch() { return launch(threads); }
  ptx_result launch(std::uint32_t threads_now) {
    for (std::size_t i = 0; i < std::size_t{threads} * 4; ++i) job->statuses[i] = 0;
    job->destination = range(destination, object_bytes - job->from_bytes);
    std::memset(destination, 0xee, object_bytes);
    const nkv::device::namespace_ref<Sharing> ns{
        {queue.parts, nkv::device::shared_doorbell{queue.model.sq_doorbell(), queue.model.cq_doorbell()}},
        queue.profile};
    const ptx_result r = run.run(entry, {1, 1, 1}, {threads_now, 1, 1}, ns, job);
    CHECK_MESSAGE(r.finished(), r.error);
    CHECK_MESSAGE(queue.model.errors().empty(), queue.model.error_text());
    CHECK(queue.model.outstanding() == 0);
    return r;
  }
  /// Whether every thread has this status of that step.
  bool all(std::uint32_t step, status s) const {
    for (std::uint32_t t = 0; t < threads; ++t)
      if (job->statuses[std::size_t{t} * 4 + step] != s.bits()) return false;
    return true;
  }

  std::string entry;
  std::uint32_t threads;
  kernel_run run;
  guest_queue<Sharing> queue;
  std::byte* source = nullptr;
  std::byte* destination = nullptr;
  sharded_job* job = nullptr;
};

template <class Sharing>
void put_read_replace_remove(const char* entry, std::uint32_t threads, std::uint64_t seed) {
  CAPTURE(entry);
  CAPTURE(threads);
  sharded_rig<Sharing> rig(entry, threads, seed);
  sharded_job& job = *rig.job;
  rig.fill(1);
  job.puts = job.reads = true;
  job.nonce = 1;
  rig.launch();
  for (std::uint32_t step = 0; step < 3; ++step) CHECK(rig.all(step, status()));
  for (std::uint32_t t = 0; t < threads; ++t) CHECK(job.lengths[t] == object_bytes);
  CHECK(rig.read_back(0));
  CHECK(rig.queue.model.values().size() == shards + 1);

  // By one thread: the checksums are those of the bytes, however many made them.
  job.puts = false;
  rig.launch(1);
  CHECK(job.statuses[2] == status().bits());
  CHECK(rig.read_back(0));

  // Another in its place, read from the midst of a shard on.
  job.puts = true;
  rig.fill(2);
  job.nonce = 2;
  job.from_bytes = shard_bytes + 777;
  rig.launch();
  for (std::uint32_t step = 0; step < 3; ++step) CHECK(rig.all(step, status()));
  CHECK(rig.read_back(job.from_bytes));
  CHECK(rig.queue.model.values().size() == shards + 1);

  // A shard of another content: told to every thread.
  job.puts = false;
  for (auto& [key, value] : rig.queue.model.values())
    if (value.size() == shard_bytes) value[100] = static_cast<char>(value[100] + 1);
  rig.launch();
  CHECK(rig.all(1, status()));
  CHECK(rig.all(2, status(client_status::protocol_error)));

  job.reads = false;
  job.removes = true;
  rig.launch();
  CHECK(rig.all(3, status()));
  CHECK(rig.queue.model.values().empty());
}

}  // namespace

TEST_SUITE("ptx/sharded") {
  TEST_CASE("a warp: put, read, replaced, spoiled, removed") {
    put_read_replace_remove<nkv::exclusive>("by_warp", 32, 1);
    put_read_replace_remove<nkv::exclusive>("by_warp", 5, 2);
  }
  TEST_CASE("a block: put, read, replaced, spoiled, removed") {
    put_read_replace_remove<nkv::block_shared>("by_block", 48, 3);
  }
}
