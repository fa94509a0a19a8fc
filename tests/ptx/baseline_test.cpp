// SPDX-License-Identifier: BSD-3-Clause
//
// The queue that nkv-bench device-cost measures ours against does what a queue must, so that its numbers mean
// something. Run by tests/ptx/run.py.
#include "device/baseline_setup.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

using bench::baseline_job;
using bench::baseline_setup;
using bench::baseline_word;
using nkv_test::kernel_run;
using nkv_test::nvme_model_options;
using nkv_test::ptx_result;
using nkv_test::ptx_schedule;

namespace {

const std::string& text() {
  static const std::string whole = kernel_run::read_file(kernel_run::compiled("baseline"));
  return whole;
}

std::uint32_t set(const baseline_word* words, std::uint32_t count) {
  return static_cast<std::uint32_t>(
      std::count_if(words, words + count, [](const baseline_word& w) { return w.value != 0; }));
}

/// Each thread stores a value under a key of its own and retrieves it twice.
void check(std::uint32_t threads, const nvme_model_options& options, ptx_schedule schedule) {
  CAPTURE(threads);
  CAPTURE(options.sq_entries);
  CAPTURE(options.seed);
  constexpr std::uint32_t rounds = 2;
  constexpr std::uint32_t words = 9;
  kernel_run run(text());
  run.options.schedule = schedule;
  run.options.seed = options.seed;
  baseline_setup q(run, options);
  baseline_job job;
  job.rounds = rounds;
  job.value_words = words;
  std::byte* const keys = run.memory().allocate("keys", std::size_t{threads} * 16, 16);
  auto* const sources = run.memory().allocate_array<std::uint32_t>("sources", std::size_t{threads} * words);
  job.keys = keys;
  job.sources = sources;
  job.buffers = run.memory().allocate_array<std::uint32_t>("buffers", std::size_t{threads} * words);
  std::map<std::string, std::string> expected;
  for (std::uint32_t t = 0; t < threads; ++t) {
    std::memset(keys + std::size_t{t} * 16, 0x41, 16);
    std::memcpy(keys + std::size_t{t} * 16, &t, sizeof t);
    for (std::uint32_t w = 0; w < words; ++w) sources[t * words + w] = 0x5000'0001u + (t << 12) + w;
    expected[{reinterpret_cast<const char*>(keys) + std::size_t{t} * 16, 16}] = {
        reinterpret_cast<const char*>(sources + t * words), words * 4};
  }
  const ptx_result r = run.run("baseline_store_and_retrieve", {1, 1, 1}, {threads, 1, 1}, q.queue, job);
  CHECK_MESSAGE(r.finished(), r.error);
  CHECK(q.model.error_text() == "");
  CHECK(q.model.values() == expected);
  CHECK(std::memcmp(job.buffers, sources, std::size_t{threads} * words * 4) == 0);

  const std::uint32_t operations = threads * (rounds + 1);
  CHECK(q.model.completed() == operations);
  CHECK(q.model.outstanding() == 0);
  CHECK(q.queue->in_ticket.value == operations);
  CHECK(q.queue->sq_tail.value == operations);
  CHECK(q.queue->sq_head.value == operations);
  CHECK(q.queue->cq_head.value == operations);
  CHECK(set(q.queue->cid_locks, bench::baseline_queue::cids) == 0);
  CHECK(set(q.queue->tail_marks, options.sq_entries) == 0);
  CHECK(set(q.queue->head_marks, options.cq_entries) == 0);
  CHECK(set(q.queue->pos_locks, options.cq_entries) == 0);
  // Every entry is free for its next lap.
  for (std::uint32_t i = 0; i < options.sq_entries; ++i) {
    const std::uint32_t laps = operations / options.sq_entries + (i < operations % options.sq_entries ? 1 : 0);
    CHECK(q.queue->generations[i].value == 2 * laps);
  }
}

}  // namespace

TEST_CASE("baseline: every key and byte is right and nothing is left over, over rings of all sizes") {
  for (const std::uint32_t threads : {1u, 32u, 128u, 256u}) {
    for (const std::uint32_t entries : {4u, 64u, 1024u}) {
      // A ring far too small for all of them is slow.
      if (threads > 16 * entries) continue;
      nvme_model_options options;
      options.sq_entries = entries;
      options.cq_entries = entries * 2;
      options.latency_ticks = 40;
      options.out_of_order = true;
      options.torn = entries == 64;
      options.seed = threads + entries;
      check(threads, options, ptx_schedule::round_robin);
      options.fetch_every_ticks = 97;
      check(threads, options, ptx_schedule::random);
      options.cq_entries = entries;
      check(threads, options, ptx_schedule::bursts);
    }
  }
}

TEST_CASE("baseline: small rings go round and round, in many orders") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    nvme_model_options options;
    options.sq_entries = seed % 2 == 0 ? 2 : 8;
    options.cq_entries = 8;
    options.latency_ticks = 20;
    options.out_of_order = true;
    options.fetch_every_ticks = seed % 3 == 0 ? 0 : 31;
    options.seed = seed;
    check(24, options, seed % 2 == 0 ? ptx_schedule::random : ptx_schedule::bursts);
  }
}
