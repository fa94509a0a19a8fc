// SPDX-License-Identifier: BSD-3-Clause
//
// The six operations in kernels, as nvcc compiles them, against the model controller: by threads alone and in groups,
// over every kind of queue. Run by tests/ptx/run.py.
#include "ptx/guest_queue.hpp"
#include "ptx/operations_work.hpp"

#include <doctest/doctest.h>
#include <nkv/device/queue_pair.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

using nkv::client_status;
using nkv::operation;
using nkv::outcome;
using nkv::status;
using nkv_test::guest_queue;
using nkv_test::kernel_run;
using nkv_test::nvme_model_options;
using nkv_test::operations_job;
using nkv_test::ptx_result;
using nkv_test::ptx_schedule;

namespace {

std::string text_of(const std::string& entry) {
  return kernel_run::read_entry(kernel_run::compiled("operations"), entry);
}

template <class Sharing>
using ref = nkv::device::namespace_ref<Sharing>;

template <class Sharing>
ref<Sharing> ref_of(const guest_queue<Sharing>& q) {
  return {{q.parts, nkv::device::shared_doorbell{q.model.sq_doorbell(), q.model.cq_doorbell()}}, q.profile};
}

// ---- The matrix ----

enum user : std::uint8_t {
  exclusive,   ///< each thread alone, on a queue of its own
  block,       ///< each thread alone, on the block's queue
  shared,      ///< each thread alone, on the queue that the map gives its warp, of two
  each_warp,   ///< a warp with an operation a lane, on one queue for all
  each_side,   ///< whichever lanes are there, on three sides of a branch, with an operation a lane
  each_block,  ///< the block with an operation a thread, on the block's queue
  together,    ///< a warp with one operation, on a queue of its own
  users
};
enum encoding : std::uint8_t { inlined, head };
enum fetching : std::uint8_t { eager, lazy };
enum ordering : std::uint8_t { in_order, any_order };
enum writing : std::uint8_t { whole, torn };
enum cq_length : std::uint8_t { short_cq, long_cq };
enum schedule : std::uint8_t { in_turn, random, bursts };
enum trouble : std::uint8_t {
  none,
  stalls,    ///< some commands are answered long after the others
  failures,  ///< some fail
  timeouts,  ///< some are never answered
};

struct shape {
  user who;
  std::uint32_t threads;
  std::uint32_t depth;
  encoding keys;
  fetching fetch;
  ordering order;
  writing cqe;
  cq_length cq;
  schedule how;
  trouble what;
};

constexpr std::array<std::uint32_t, 5> thread_counts{1, 7, 32, 48, 256};
constexpr std::array<std::uint32_t, 4> depths{2, 4, 32, 1024};

// Every two values of two columns stand in one row, but for the pairs of is_left_out(): see the first test.
constexpr shape matrix[] = {
    {shared, 256, 32, head, lazy, in_order, whole, long_cq, random, stalls},
    {each_block, 7, 32, inlined, eager, any_order, torn, short_cq, bursts, timeouts},
    {together, 32, 1024, inlined, eager, in_order, whole, short_cq, in_turn, failures},
    {exclusive, 1, 2, head, eager, any_order, torn, long_cq, in_turn, none},
    {each_warp, 48, 4, inlined, lazy, any_order, whole, short_cq, random, none},
    {block, 32, 4, head, lazy, in_order, torn, long_cq, bursts, timeouts},
    {each_side, 7, 1024, head, lazy, any_order, torn, long_cq, random, failures},
    {block, 1, 2, inlined, lazy, any_order, whole, short_cq, bursts, stalls},
    {each_side, 48, 4, inlined, eager, in_order, torn, long_cq, in_turn, stalls},
    {shared, 256, 4, head, eager, any_order, torn, short_cq, bursts, failures},
    {exclusive, 7, 32, inlined, lazy, in_order, whole, short_cq, in_turn, timeouts},
    {each_warp, 48, 1024, head, eager, in_order, torn, long_cq, bursts, timeouts},
    {each_block, 1, 2, inlined, eager, in_order, whole, long_cq, random, failures},
    {together, 32, 32, head, lazy, in_order, torn, long_cq, bursts, none},
    {block, 256, 1024, inlined, eager, any_order, whole, short_cq, in_turn, none},
    {each_block, 32, 1024, head, lazy, in_order, torn, long_cq, random, stalls},
    {together, 1, 4, head, eager, any_order, torn, long_cq, random, timeouts},
    {shared, 7, 2, inlined, eager, any_order, torn, short_cq, in_turn, none},
    {block, 48, 32, inlined, eager, any_order, whole, short_cq, random, failures},
    {each_side, 32, 32, head, eager, any_order, whole, short_cq, bursts, none},
    {exclusive, 7, 4, head, lazy, in_order, torn, short_cq, bursts, stalls},
    {each_warp, 32, 2, inlined, lazy, in_order, whole, short_cq, in_turn, failures},
    {each_block, 256, 4, inlined, eager, any_order, torn, long_cq, in_turn, timeouts},
    {exclusive, 1, 1024, head, eager, in_order, whole, long_cq, random, failures},
    {together, 48, 2, inlined, lazy, in_order, torn, long_cq, random, stalls},
    {each_warp, 1, 32, inlined, eager, in_order, torn, long_cq, bursts, stalls},
    {shared, 1, 1024, head, eager, in_order, whole, short_cq, bursts, timeouts},
    {each_side, 256, 1024, head, eager, in_order, whole, short_cq, bursts, timeouts},
    {each_side, 1, 2, head, lazy, any_order, whole, short_cq, random, failures},
    {each_block, 48, 4, head, eager, in_order, whole, short_cq, random, none},
    {each_warp, 256, 4, head, lazy, in_order, whole, short_cq, in_turn, stalls},
    {together, 7, 1024, inlined, lazy, any_order, whole, long_cq, random, stalls},
    {block, 7, 32, inlined, lazy, any_order, whole, short_cq, bursts, failures},
    {exclusive, 32, 1024, inlined, eager, any_order, whole, short_cq, random, stalls},
    {each_warp, 7, 4, inlined, lazy, in_order, torn, short_cq, bursts, failures},
    {shared, 48, 1024, inlined, lazy, any_order, torn, long_cq, bursts, stalls},
    {exclusive, 48, 4, inlined, lazy, in_order, torn, short_cq, bursts, timeouts},
    {exclusive, 256, 4, inlined, eager, in_order, whole, long_cq, in_turn, none},
    {shared, 32, 1024, inlined, eager, any_order, torn, short_cq, bursts, failures},
    {together, 256, 1024, head, eager, in_order, torn, long_cq, bursts, none},
};

constexpr std::array<std::size_t, 10> values_of{users, thread_counts.size(), depths.size(), 2, 2, 2, 2, 2, 3, 4};

std::array<std::size_t, 10> columns(const shape& s) {
  const auto index = [](const auto& all, std::uint32_t value) {
    return static_cast<std::size_t>(std::find(all.begin(), all.end(), value) - all.begin());
  };
  return {s.who, index(thread_counts, s.threads), index(depths, s.depth), s.keys, s.fetch, s.order, s.cqe, s.cq, s.how,
          s.what};
}

bool is_left_out(std::size_t a, std::size_t x, std::size_t b, std::size_t y) {
  // The one CID of a queue of depth 2 never comes back; and hundreds of threads that pass it on take minutes.
  return (a == 2 && depths[x] == 2 && b == 9 && y == timeouts) ||
         (a == 1 && thread_counts[x] == 256 && b == 2 && depths[y] == 2);
}

std::string name(const shape& s) {
  std::string text;
  for (const std::size_t c : columns(s)) text += std::to_string(c) + " ";
  return text + ": user " + std::to_string(s.who) + ", " + std::to_string(s.threads) + " threads, depth " +
         std::to_string(s.depth) + ", trouble " + std::to_string(s.what);
}

// ---- A row ----

constexpr std::uint64_t timeout_ns = 600'000;

/// Makes so many queues, runs, and looks at everything.
/// @param queue_of which queue a user has
/// @param launch   (kernel_run, refs, job) -> how it ended
template <class Sharing, class QueueOf, class Launch>
void run_row(const shape& s, const char* entry, std::uint32_t queue_count, std::uint32_t user_count,
             const QueueOf& queue_of, const Launch& launch) {
  kernel_run run(text_of(entry));
  run.options.schedule = static_cast<ptx_schedule>(s.how);
  run.options.seed = s.threads * 1024 + s.depth;
  run.options.most_steps = 200'000'000;
  nvme_model_options model;
  model.sq_entries = s.depth;
  model.cq_entries = s.depth * (s.cq == long_cq ? 2 : 1);
  model.payload_head = s.keys == head;
  model.latency_ticks = 40;
  model.out_of_order = s.order == any_order;
  model.torn = s.cqe == torn;
  model.fetch_every_ticks = s.fetch == lazy ? 97 : 0;
  std::deque<guest_queue<Sharing>> queues;
  auto* refs = run.memory().allocate_array<ref<Sharing>>("refs", queue_count);
  for (std::uint32_t q = 0; q < queue_count; ++q) {
    model.seed = s.depth + q;
    guest_queue<Sharing>& made = queues.emplace_back(run, model);
    refs[q] = ref_of(made);
    // The second command, and where more than one CID may be lost, some later ones.
    for (const std::uint64_t n : {1u, 9u, 20u}) {
      if (n != 1 && s.depth < 32 && s.what == timeouts) continue;
      nkv_test::nvme_fate& fate = made.model.fates[n];
      if (s.what == stalls) fate.not_before = 9'000;
      if (s.what == failures) fate.status = {{0, nkv::generic_status::internal_error}};
      if (s.what == timeouts) fate.never = true;
    }
  }
  const std::uint32_t rounds = s.threads < 32 ? 5 : s.threads < 256 ? 2 : 1;
  const nkv_test::operations_work w(run.memory(), user_count, rounds, s.keys == head);
  const ptx_result r = launch(run, nkv::span<const ref<Sharing>>(refs, queue_count), w.job(timeout_ns));
  CHECK_MESSAGE(r.finished(), r.error);

  std::vector<std::map<std::string, std::string>> stored(queue_count);
  std::vector<std::uint64_t> commands(queue_count, 0);
  std::uint64_t struck = 0;
  const auto strikes = [&s](const operation& op, status is) {
    const status lost = op.mutates() ? status(client_status::outcome_unknown) : status(client_status::timed_out);
    const status failed{nkv::status_code_type::generic, nkv::generic_status::internal_error};
    return (s.what == failures && is == failed) || (s.what == timeouts && is == lost);
  };
  for (std::uint32_t u = 0; u < user_count; ++u) {
    CHECK(w.wrong(u, strikes, struck, stored[queue_of(u)]) == "");
    commands[queue_of(u)] += w.commands_of(u);
  }
  for (std::uint32_t q = 0; q < queue_count; ++q) {
    CAPTURE(q);
    const guest_queue<Sharing>& one = queues[q];
    std::uint64_t fated = 0;
    for (const auto& [n, fate] : one.model.fates) fated += n < one.model.fetched() ? 1u : 0u;
    const std::uint64_t lost = s.what == timeouts ? fated : 0;
    CHECK(one.model.error_text() == "");
    CHECK(one.model.fetched() == commands[q]);
    CHECK(one.model.completed() == commands[q] - lost);
    CHECK(one.model.outstanding() == lost);
    CHECK(one.queue.outstanding() == lost);
    CHECK(one.model.most_outstanding() <= one.parts.shape.cids());
    CHECK(one.queue.counters().stray_completions == 0);
    CHECK(one.queue.counters().late_completions == 0);
    CHECK(queues[q].model.values() == stored[q]);
    if (s.what == failures || s.what == timeouts) struck -= std::min(struck, fated);
  }
  // Each of the commands that something became of is one operation's, and no other operation failed.
  CHECK(struck == 0);
}

void run_shape(const shape& s) {
  CAPTURE(name(s));
  const std::uint32_t warps = (s.threads + 31) / 32;
  const auto first = [](std::uint32_t) { return 0u; };
  const auto own = [](std::uint32_t u) { return u; };
  const auto one_queue = [&s](const char* entry) {
    return [&s, entry](kernel_run& run, auto refs, const operations_job& job) {
      return run.run(entry, {1, 1, 1}, {s.threads, 1, 1}, refs[0], job);
    };
  };
  const auto many = [&s](const char* entry) {
    return [&s, entry](kernel_run& run, auto refs, const operations_job& job) {
      return run.run(entry, {1, 1, 1}, {s.threads, 1, 1}, refs, job);
    };
  };
  switch (s.who) {
    case exclusive:
      return run_row<nkv::exclusive>(s, "six_exclusive", s.threads, s.threads, own, many("six_exclusive"));
    case block: return run_row<nkv::block_shared>(s, "six_block", 1, s.threads, first, one_queue("six_block"));
    case shared: {
      const std::uint32_t queues = std::min(warps, 2u);
      const auto of_warp = [queues](std::uint32_t u) { return u / 32 % queues; };
      return run_row<nkv::shared>(s, "six_shared", queues, s.threads, of_warp, many("six_shared"));
    }
    case each_warp: return run_row<nkv::shared>(s, "six_each_warp", 1, s.threads, first, one_queue("six_each_warp"));
    case each_side: return run_row<nkv::shared>(s, "six_each_side", 1, s.threads, first, one_queue("six_each_side"));
    case each_block:
      return run_row<nkv::block_shared>(s, "six_each_block", 1, s.threads, first, one_queue("six_each_block"));
    case together: return run_row<nkv::exclusive>(s, "six_together", warps, warps, own, many("six_together"));
    default: return;
  }
}

// ---- What groups ask ----

template <class Sharing>
struct asked {
  asked(kernel_run& run, std::uint32_t threads, std::uint32_t group, std::uint32_t queues)
      : work(run.memory(), threads, group, 10'000'000) {
    nvme_model_options model;
    model.sq_entries = 256;
    model.cq_entries = 512;
    model.latency_ticks = 60;
    model.out_of_order = true;
    model.torn = true;
    model.seed = threads;
    refs = run.memory().template allocate_array<ref<Sharing>>("refs", queues);
    for (std::uint32_t q = 0; q < queues; ++q) {
      refs[q] = ref_of(made.emplace_back(run, model));
      for (std::uint32_t i = 0; i < work.keys; ++i) {
        const nkv::key_view key = work.job.keys[i];
        if (work.there(i)) made.back().model.values()[{reinterpret_cast<const char*>(key.data()), key.size()}] = "v";
      }
    }
  }

  void check() const {
    CHECK(work.wrong() == "");
    for (const auto& q : made) {
      CHECK(q.model.error_text() == "");
      CHECK(q.queue.outstanding() == 0);
    }
  }

  nkv_test::asking_work work;
  std::deque<guest_queue<Sharing>> made;
  ref<Sharing>* refs = nullptr;
};

}  // namespace

TEST_CASE("operations: every two values of two columns stand in one row of the matrix") {
  std::set<std::array<std::size_t, 4>> pairs;
  for (const shape& s : matrix) {
    const auto row = columns(s);
    for (std::size_t a = 0; a < row.size(); ++a) {
      REQUIRE(row[a] < values_of[a]);
      for (std::size_t b = a + 1; b < row.size(); ++b) {
        CHECK_FALSE(is_left_out(a, row[a], b, row[b]));
        pairs.insert({a, row[a], b, row[b]});
      }
    }
  }
  std::size_t left_out = 0;
  for (std::size_t a = 0; a < values_of.size(); ++a) {
    for (std::size_t b = a + 1; b < values_of.size(); ++b) {
      for (std::size_t x = 0; x < values_of[a]; ++x) {
        for (std::size_t y = 0; y < values_of[b]; ++y) {
          CAPTURE(a);
          CAPTURE(x);
          CAPTURE(b);
          CAPTURE(y);
          CHECK((pairs.count({a, x, b, y}) != 0) != is_left_out(a, x, b, y));
          left_out += is_left_out(a, x, b, y) ? 1u : 0u;
        }
      }
    }
  }
  CHECK(left_out == 2);
}

TEST_CASE("operations: all six, each its own outcome, every key and byte right, over the matrix") {
  for (const shape& s : matrix) run_shape(s);
}

TEST_CASE("operations: keys made of content and of lineage are the host's") {
  constexpr std::uint32_t threads = 5;
  kernel_run run(text_of("make_keys"));
  nkv_test::keys_job job;
  nkv::lineage_fields fields;
  fields.model = nkv::text_view("model");
  job.salt = nkv::lineage_salt(fields);
  job.tokens_each = 3;
  auto* tokens = run.memory().allocate_array<std::uint32_t>("tokens", threads * 2 * job.tokens_each);
  for (std::uint32_t i = 0; i < threads * 2 * job.tokens_each; ++i) tokens[i] = i * 2654435761u;
  job.tokens = tokens;
  job.keys = run.memory().allocate_array<nkv::key>("keys", threads * std::size_t{3});
  const ptx_result r = run.run("make_keys", {1, 1, 1}, {threads, 1, 1}, job);
  CHECK_MESSAGE(r.finished(), r.error);
  std::set<std::string> distinct;
  for (std::uint32_t t = 0; t < threads; ++t) {
    CAPTURE(t);
    nkv::key expected[3];
    nkv_test::make_keys(job, t, expected);
    for (std::uint32_t i = 0; i < 3; ++i) {
      const nkv::key_view made = job.keys[t * 3 + i].view();
      CHECK(made == expected[i].view());
      CHECK(made.size() == 16);
      distinct.insert({reinterpret_cast<const char*>(made.data()), made.size()});
    }
  }
  CHECK(distinct.size() == 3 * threads);
}

TEST_CASE("operations: which keys exist, and which of many tickets ends first, to all of a group") {
  for (const std::uint32_t threads : {1u, 20u, 32u, 70u, 128u, 200u}) {
    CAPTURE(threads);
    {
      kernel_run run(text_of("ask_warp"));
      run.options.seed = threads;
      const asked<nkv::shared> a(run, threads, 32, 2);
      const ptx_result r =
          run.run("ask_warp", {1, 1, 1}, {threads, 1, 1}, nkv::span<const ref<nkv::shared>>(a.refs, 2), a.work.job);
      CHECK_MESSAGE(r.finished(), r.error);
      a.check();
    }
    {
      kernel_run run(text_of("ask_block"));
      run.options.seed = threads;
      const asked<nkv::block_shared> a(run, threads, threads, 1);
      const ptx_result r = run.run("ask_block", {1, 1, 1}, {threads, 1, 1}, a.refs[0], a.work.job);
      CHECK_MESSAGE(r.finished(), r.error);
      a.check();
    }
  }
}
