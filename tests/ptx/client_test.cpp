// SPDX-License-Identifier: BSD-3-Clause
//
// The client in kernels, as nvcc compiles it, against the model controller: what the processor would be given is what
// runs here. Run by tests/ptx/run.py.
#include "ptx/kernels/client.hpp"
#include "ptx/guest_queue.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <deque>
#include <string>

using nkv_test::guest_queue;
using nkv_test::kernel_run;
using nkv_test::nvme_model_options;
using nkv_test::ptx_result;
using nkv_test::ptx_schedule;

namespace {

const std::string& text() {
  static const std::string t = kernel_run::read_file(kernel_run::compiled("client"));
  return t;
}

struct shape {
  std::uint32_t threads;
  std::uint32_t depth;
  bool lazy;
  bool out_of_order;
  bool torn;
  std::uint32_t cq_entries;  ///< as a multiple of the depth
  bool payload_head = false;
  std::uint32_t value_bytes = 64;
  bool sgl = true;
};

std::string name(const shape& s) {
  return std::to_string(s.threads) + " threads, depth " + std::to_string(s.depth) + (s.lazy ? ", lazy" : ", eager") +
         (s.out_of_order ? ", out of order" : ", in order") + (s.torn ? ", torn" : "") +
         (s.payload_head ? ", head" : "") + (s.sgl ? ", SGL" : ", PRP");
}

template <class Sharing>
void store_and_retrieve(const shape& s, ptx_schedule schedule, std::uint64_t seed) {
  CAPTURE(name(s));
  CAPTURE(seed);
  kernel_run run(text());
  run.options.schedule = schedule;
  run.options.seed = seed;
  run.options.most_steps = 50'000'000;
  nvme_model_options model;
  model.sq_entries = s.depth;
  model.payload_head = s.payload_head;
  model.cq_entries = s.depth * s.cq_entries;
  model.latency_ticks = 40;
  model.out_of_order = s.out_of_order;
  model.torn = s.torn;
  model.fetch_every_ticks = s.lazy ? 97 : 0;
  model.seed = seed;

  const std::uint32_t queues = Sharing::is_shared ? 1 : s.threads;
  std::deque<guest_queue<Sharing>> all;
  using ref_type = decltype(all.front().ref());
  auto* refs = run.memory().allocate_array<ref_type>("refs", queues);
  for (std::uint32_t q = 0; q < queues; ++q) {
    guest_queue<Sharing>& made = all.emplace_back(run, model);
    made.profile.limits.sgl = s.sgl;
    refs[q] = made.ref();
  }

  nkv_test::client_job job;
  job.per_thread = 3;
  job.value_bytes = s.value_bytes;
  job.timeout_ns = 1'000'000'000;
  job.values = run.memory().allocate_array<std::uint32_t>("values", s.threads * job.value_bytes / 4);
  job.failures = run.memory().allocate_array<std::uint32_t>("failures", s.threads);
  job.statuses = run.memory().allocate_array<std::uint32_t>("statuses", s.threads);
  for (std::uint32_t t = 0; t < s.threads; ++t) job.failures[t] = 99;

  ptx_result r;
  if constexpr (Sharing::is_shared) {
    r = run.run("client_shared", {1, 1, 1}, {s.threads, 1, 1}, refs[0], job);
  } else {
    r = run.run("client_exclusive", {1, 1, 1}, {s.threads, 1, 1}, refs, job);
  }
  CHECK_MESSAGE(r.finished(), r.error);
  std::uint64_t done = 0;
  for (auto& q : all) {
    CHECK(q.model.error_text() == "");
    CHECK(q.model.outstanding() == 0);
    CHECK(q.model.most_outstanding() <= s.depth - 1);
    done += q.model.completed();
  }
  CHECK(done == 6u * s.threads);
  for (std::uint32_t t = 0; t < s.threads; ++t) {
    CAPTURE(t);
    CAPTURE(job.statuses[t]);
    CHECK(job.failures[t] == 0);
  }
}

struct cost {
  std::uint64_t instructions, loads, stores, local, atomics, fences, system_order, divisions;
};
cost of(const ptx_result& r) {
  namespace c = nkv_test::ptx_class;
  return {r.instructions,
          r.of(c::load),
          r.of(c::store),
          r.of(c::local),
          r.of(c::atomic),
          r.of(c::fence),
          r.of(c::system_acquire | c::system_release),
          r.of(c::division)};
}

/// What one Retrieve executes: n + 1 of them less n, with completions at once.
template <class Sharing>
cost cost_of_retrieve(const char* entry, std::uint32_t times) {
  const auto count = [&](std::uint32_t n) {
    kernel_run run(text());
    run.options.schedule = ptx_schedule::round_robin;
    guest_queue<Sharing> q(run, nvme_model_options{});
    nkv_test::cost_job job;
    job.times = n;
    job.value_bytes = 64;
    auto* key = run.memory().allocate("key", 16);
    key[0] = std::byte{1};
    q.model.values()[std::string(reinterpret_cast<const char*>(key), 16)] = std::string(64, 'v');
    job.key = key;
    job.value = reinterpret_cast<std::uint64_t>(run.memory().allocate("value", 64));
    job.failures = run.memory().allocate_array<std::uint32_t>("failures", 1);
    *job.failures = 99;
    const ptx_result r = run.run(entry, {1, 1, 1}, {1, 1, 1}, q.ref(), job);
    REQUIRE_MESSAGE(r.finished(), r.error);
    REQUIRE(q.model.error_text() == "");
    REQUIRE(*job.failures == 0);
    REQUIRE(q.model.completed() == n);
    return of(r);
  };
  const cost more = count(times + 1);
  const cost less = count(times);
  return {more.instructions - less.instructions,
          more.loads - less.loads,
          more.stores - less.stores,
          more.local - less.local,
          more.atomics - less.atomics,
          more.fences - less.fences,
          more.system_order - less.system_order,
          more.divisions - less.divisions};
}

void print(const char* name, const cost& c) {
  std::printf(
      "one Retrieve, %s: %u PTX instructions, of them %u loads, %u stores, %u local, %u atomics, %u fences, %u "
      "of system order, %u divisions\n",
      name, static_cast<unsigned>(c.instructions), static_cast<unsigned>(c.loads), static_cast<unsigned>(c.stores),
      static_cast<unsigned>(c.local), static_cast<unsigned>(c.atomics), static_cast<unsigned>(c.fences),
      static_cast<unsigned>(c.system_order), static_cast<unsigned>(c.divisions));
}

}  // namespace

TEST_CASE("client kernels: what threads store is what they retrieve, over every kind of queue") {
  std::uint64_t seed = 1;
  for (const std::uint32_t threads : {1u, 32u, 64u}) {
    for (const std::uint32_t depth : {2u, 4u, 64u}) {
      for (const bool lazy : {false, true}) {
        for (const bool out_of_order : {false, true}) {
          const shape s{threads,
                        depth,
                        lazy,
                        out_of_order,
                        (seed & 1) != 0,
                        (seed & 2) != 0 ? 2u : 1u,
                        (seed & 4) != 0,
                        (seed & 8) != 0 ? 64u : 4u};
          const auto schedule = static_cast<ptx_schedule>(seed % 3);
          store_and_retrieve<nkv::shared>(s, schedule, seed);
          store_and_retrieve<nkv::exclusive>(s, schedule, seed);
          ++seed;
        }
      }
    }
  }
}

TEST_CASE("client kernels: hundreds of threads share a queue") {
  store_and_retrieve<nkv::shared>({256, 64, false, true, true, 1}, ptx_schedule::random, 5);
  store_and_retrieve<nkv::shared>({256, 16, true, true, false, 2}, ptx_schedule::bursts, 6);
}

TEST_CASE("client kernels: values of several pages go by PRP lists") {
  for (const std::uint32_t bytes : {4096u, 9000u, 17000u}) {
    const shape s{2, 4, false, true, true, 2, false, bytes, false};
    store_and_retrieve<nkv::shared>(s, ptx_schedule::bursts, bytes);
  }
}

TEST_CASE("client kernels: a command that is not answered ends at the deadline, its CID stays out of use") {
  for (const bool comes_late : {false, true}) {
    CAPTURE(comes_late);
    kernel_run run(text());
    nvme_model_options model;
    model.sq_entries = 4;
    model.cq_entries = 8;
    guest_queue<nkv::shared> q(run, model);
    nkv_test::nvme_fate& fate = q.model.fates[1];
    fate.never = !comes_late;
    fate.not_before = 40'000;
    nkv_test::client_job job;
    job.per_thread = 4;
    job.value_bytes = 8;
    job.timeout_ns = 20'000;
    job.values = run.memory().allocate_array<std::uint32_t>("values", 2);
    job.failures = run.memory().allocate_array<std::uint32_t>("failures", 1);
    job.statuses = run.memory().allocate_array<std::uint32_t>("statuses", 1);
    const ptx_result r = run.run("client_shared", {1, 1, 1}, {1, 1, 1}, q.ref(), job);
    CHECK_MESSAGE(r.finished(), r.error);
    CHECK(r.ticks >= 20'000);
    CHECK(q.model.error_text() == "");
    // The second Store, and nobody knows whether it was done.
    const nkv::status unknown(nkv::client_status::outcome_unknown);
    CHECK(job.failures[0] == 1);
    CHECK(job.statuses[0] == (static_cast<std::uint32_t>(unknown.sct()) << 8 | unknown.sc()));
    CHECK(q.queue.outstanding() == 1);
    CHECK(q.model.fetched() == 8);
    for (std::uint64_t n = 2; n < 8; ++n) CHECK(q.model.commands()[n].cid() != q.model.commands()[1].cid());
    if (!comes_late) continue;
    while (q.model.outstanding() != 0) q.model.tick();
    CHECK(q.queue.reap(8) == 1);
    CHECK(q.queue.outstanding() == 0);
  }
}

TEST_CASE("client kernels: a failure is reported as the controller gave it") {
  kernel_run run(text());
  guest_queue<nkv::exclusive> q(run, nvme_model_options{});
  auto* refs = run.memory().allocate_array<decltype(q.ref())>("refs", 1);
  refs[0] = q.ref();
  q.model.fates[0].status = {{0, 0x81}};
  nkv_test::client_job job;
  job.per_thread = 1;
  job.value_bytes = 8;
  job.timeout_ns = 1'000'000;
  job.values = run.memory().allocate_array<std::uint32_t>("values", 2);
  job.failures = run.memory().allocate_array<std::uint32_t>("failures", 1);
  job.statuses = run.memory().allocate_array<std::uint32_t>("statuses", 1);
  const ptx_result r = run.run("client_exclusive", {1, 1, 1}, {1, 1, 1}, refs, job);
  CHECK_MESSAGE(r.finished(), r.error);
  CHECK(job.failures[0] == 1);
  CHECK(job.statuses[0] == 0x81);
}

TEST_CASE("client kernels: the instructions of one Retrieve") {
  const cost exclusive = cost_of_retrieve<nkv::exclusive>("cost_exclusive", 8);
  const cost shared = cost_of_retrieve<nkv::shared>("cost_shared", 8);
  print("exclusive", exclusive);
  print("shared", shared);
  CHECK(exclusive.instructions > 50);
  CHECK(exclusive.instructions < 400);
  CHECK(exclusive.atomics == 0);
  CHECK(shared.instructions > exclusive.instructions);
  CHECK(shared.instructions < 600);
  CHECK(shared.atomics > 0);
}
