// SPDX-License-Identifier: BSD-3-Clause
//
// Threads that use a namespace together, as nvcc compiles them, against the model controller. Run by tests/ptx/run.py.
#include "ptx/kernels/collective.hpp"
#include "ptx/guest_queue.hpp"

#include <doctest/doctest.h>
#include <nkv/device/queue_pair.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using nkv::client_status;
using nkv::status;
using nkv::device::bar_doorbell;
using nkv::device::shared_doorbell;
using nkv_test::collective_job;
using nkv_test::collective_record;
using nkv_test::guest_queue;
using nkv_test::kernel_run;
using nkv_test::nvme_model_options;
using nkv_test::ptx_result;
using nkv_test::ptx_schedule;

namespace {

const std::string& text_of(const std::string& entry) {
  static std::map<std::string, std::string> made;
  std::string& out = made[entry];
  if (!out.empty()) return out;
  return out = kernel_run::read_entry(kernel_run::compiled("collective"), entry);
}

template <class Sharing, class Doorbell, class Commands = nkv::plain_commands>
nkv::device::namespace_ref<Sharing, Doorbell, Commands> ref_of(const guest_queue<Sharing>& q) {
  return {{q.parts, Doorbell{q.model.sq_doorbell(), q.model.cq_doorbell()}}, q.profile};
}

/// A job with its memory, for so many threads.
struct work {
  work(kernel_run& run, std::uint32_t of, std::uint32_t rounds, std::uint32_t key_bytes = 16,
       std::uint32_t value_words = 9)
      : threads(of) {
    job.rounds = rounds;
    job.value_words = value_words;
    job.key_bytes = key_bytes;
    job.timeout_ns = 1'000'000'000;
    const std::size_t each = std::size_t{threads} * rounds;
    std::byte* keys = run.memory().allocate("keys", each * collective_job::key_room);
    for (std::uint32_t t = 0; t < threads; ++t) {
      for (std::uint32_t n = 0; n < rounds; ++n) {
        std::byte* key = keys + (std::size_t{t} * rounds + n) * collective_job::key_room;
        for (std::uint32_t i = 0; i < key_bytes; ++i) key[i] = static_cast<std::byte>(0x41 + i);
        std::memcpy(key, &t, 4);
        std::memcpy(key + 4, &n, 4);
      }
    }
    job.keys = keys;
    job.values = run.memory().allocate_array<std::uint32_t>("values", each * value_words);
    job.buffers = run.memory().allocate_array<std::uint32_t>("buffers", each * value_words);
    job.records = run.memory().allocate_array<collective_record>("records", each * collective_job::steps);
    for (std::size_t i = 0; i < each * collective_job::steps; ++i) job.records[i].status = 0xffffffffu;
    job.prefix_result = run.memory().allocate_array<std::uint64_t>("prefixes", threads);
  }

  [[nodiscard]] std::string key(std::uint32_t t, std::uint32_t n) const {
    return {reinterpret_cast<const char*>(job.keys + (std::size_t{t} * job.rounds + n) * collective_job::key_room),
            job.key_bytes};
  }
  [[nodiscard]] std::string value(std::uint32_t t, std::uint32_t n) const {
    std::string bytes;
    for (std::uint32_t w = 0; w < job.value_words; ++w) {
      const std::uint32_t word = collective_job::value_word(t, n, w);
      bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return bytes;
  }
  [[nodiscard]] std::string buffer(std::uint32_t t, std::uint32_t n) const {
    return {reinterpret_cast<const char*>(job.buffers + (std::size_t{t} * job.rounds + n) * job.value_words),
            std::size_t{job.value_words} * 4};
  }
  [[nodiscard]] const collective_record& record(std::uint32_t t, std::uint32_t n, std::uint32_t step) const {
    return job.records[(std::size_t{t} * job.rounds + n) * collective_job::steps + step];
  }

  /// What thread t's operation ended otherwise than it must; empty where all are right.
  [[nodiscard]] std::string wrong(std::uint32_t t) const {
    for (std::uint32_t n = 0; n < job.rounds; ++n) {
      for (std::uint32_t step = 0; step < collective_job::steps; ++step) {
        const collective_record& r = record(t, n, step);
        const status s = status::from_bits(r.status);
        const bool deleted = collective_job::deletes(t, n);
        bool right = s.ok();
        if (step == 2 && !deleted) right = s == status(client_status::would_block);
        if (step == 3 && deleted) right = s.is_key_does_not_exist();
        if (r.tag != t * 65536u + n * 16u + step) right = false;
        if (step == 1 && (r.length != job.value_words * 4 || buffer(t, n) != value(t, n))) right = false;
        if (!right)
          return "thread " + std::to_string(t) + ", round " + std::to_string(n) + ", step " + std::to_string(step) +
                 ": status " + std::to_string(r.status) + ", length " + std::to_string(r.length);
      }
    }
    return {};
  }

  /// What the controller holds when the threads from `first` to `end` are done.
  [[nodiscard]] std::map<std::string, std::string> expected(std::uint32_t first, std::uint32_t end) const {
    std::map<std::string, std::string> all;
    for (std::uint32_t t = first; t < end; ++t) {
      for (std::uint32_t n = 0; n < job.rounds; ++n) {
        if (!collective_job::deletes(t, n)) all[key(t, n)] = value(t, n);
      }
    }
    return all;
  }
  /// Commands that thread t sends.
  [[nodiscard]] std::uint64_t commands(std::uint32_t t) const {
    std::uint64_t count = 0;
    for (std::uint32_t n = 0; n < job.rounds; ++n) count += collective_job::deletes(t, n) ? 4u : 3u;
    return count;
  }

  std::uint32_t threads;
  collective_job job{};
};

enum kind : std::uint32_t {
  thread_shared,
  warp_shared,
  side_shared,
  block_shared,
  warp_block,
  block_block,
  warp_all,
  alone_memory,
  alone_bar,
  kinds
};
constexpr std::array<const char*, kinds> entries{"each_thread_shared", "each_warp_shared", "each_side_shared",
                                                 "each_block_shared",  "each_warp_block",  "each_block_block",
                                                 "each_warp_all",      "alone_memory",     "alone_bar"};

constexpr std::array<std::uint32_t, 5> thread_counts{1, 32, 48, 128, 256};
constexpr std::array<std::uint32_t, 4> depths{2, 4, 64, 1024};

struct shape {
  kind how;
  std::uint32_t threads;
  std::uint32_t depth;
  bool lazy;
  bool out_of_order;
  bool torn;
  bool long_cq;
  ptx_schedule schedule;
  std::uint64_t seed = 1;
  std::uint32_t rounds = 1;
  std::uint32_t blocks = 1;  ///< with `threads` each

  [[nodiscard]] std::uint32_t all_threads() const { return threads * blocks; }
};

std::string name(const shape& s) {
  return std::string(entries[s.how]) + ", " + std::to_string(s.blocks) + " blocks of " + std::to_string(s.threads) +
         " threads, depth " + std::to_string(s.depth) + (s.lazy ? ", lazy" : ", eager") +
         (s.out_of_order ? ", out of order" : ", in order") + (s.torn ? ", torn" : "") +
         (s.long_cq ? ", long CQ" : "") + ", schedule " + std::to_string(static_cast<unsigned>(s.schedule)) +
         ", seed " + std::to_string(s.seed) + ", " + std::to_string(s.rounds) + " rounds";
}

nvme_model_options options_of(const shape& s) {
  nvme_model_options model;
  model.sq_entries = s.depth;
  model.cq_entries = s.depth * (s.long_cq ? 2 : 1);
  model.latency_ticks = 40;
  model.out_of_order = s.out_of_order;
  model.torn = s.torn;
  model.fetch_every_ticks = s.lazy ? 97 : 0;
  model.payload_head = s.how == warp_all;
  model.seed = s.seed;
  return model;
}

template <class Sharing>
void check_queue(const guest_queue<Sharing>& q, std::uint64_t commands) {
  CHECK(q.model.error_text() == "");
  CHECK(q.model.outstanding() == 0);
  CHECK(q.queue.outstanding() == 0);
  CHECK(q.queue.counters().stray_completions == 0);
  CHECK(q.queue.counters().late_completions == 0);
  CHECK(q.model.most_outstanding() <= q.parts.shape.cids());
  CHECK(q.model.fetched() == commands);
  CHECK(q.model.completed() == commands);
}

void check_outcomes(const work& w) {
  for (std::uint32_t t = 0; t < w.threads; ++t) CHECK(w.wrong(t) == "");
}

void set_up(kernel_run& run, const shape& s) {
  run.options.schedule = s.schedule;
  run.options.seed = s.seed;
  run.options.most_steps = 60'000'000;
}

template <class Sharing, class Doorbell, class Commands = nkv::plain_commands>
std::uint64_t one_queue(const shape& s) {
  kernel_run run(text_of(entries[s.how]));
  set_up(run, s);
  guest_queue<Sharing> q(run, options_of(s));
  work w(run, s.all_threads(), s.rounds, s.how == warp_all ? 24 : 16);
  const ptx_result r =
      run.run(entries[s.how], {s.blocks, 1, 1}, {s.threads, 1, 1}, ref_of<Sharing, Doorbell, Commands>(q), w.job);
  CHECK_MESSAGE(r.finished(), r.error);
  std::uint64_t commands = 0;
  for (std::uint32_t t = 0; t < s.all_threads(); ++t) commands += w.commands(t);
  check_queue(q, commands);
  check_outcomes(w);
  CHECK(q.model.values() == w.expected(0, s.all_threads()));
  return r.instructions;
}

template <class Doorbell>
std::uint64_t a_queue_each(const shape& s) {
  kernel_run run(text_of(entries[s.how]));
  set_up(run, s);
  std::deque<guest_queue<nkv::exclusive>> queues;
  using ref_type = nkv::device::namespace_ref<nkv::exclusive, Doorbell, nkv::plain_commands>;
  auto* refs = run.memory().allocate_array<ref_type>("refs", s.threads);
  for (std::uint32_t t = 0; t < s.threads; ++t)
    refs[t] = ref_of<nkv::exclusive, Doorbell>(queues.emplace_back(run, options_of(s)));
  work w(run, s.threads, s.rounds);
  const ptx_result r = run.run(entries[s.how], {1, 1, 1}, {s.threads, 1, 1}, refs, w.job);
  CHECK_MESSAGE(r.finished(), r.error);
  for (std::uint32_t t = 0; t < s.threads; ++t) {
    check_queue(queues[t], w.commands(t));
    CHECK(queues[t].model.values() == w.expected(t, t + 1));
  }
  check_outcomes(w);
  return r.instructions;
}

std::uint64_t all_four(const shape& s) {
  CAPTURE(name(s));
  switch (s.how) {
    case warp_shared:
    case block_shared: return one_queue<nkv::shared, bar_doorbell>(s);
    case warp_block:
    case block_block: return one_queue<nkv::block_shared, shared_doorbell>(s);
    case warp_all: return one_queue<nkv::shared, bar_doorbell, nkv::all_commands>(s);
    case alone_memory: return a_queue_each<shared_doorbell>(s);
    case alone_bar: return a_queue_each<bar_doorbell>(s);
    default: return one_queue<nkv::shared, shared_doorbell>(s);
  }
}

/// Shapes such that every two values of two properties meet in one of them; none that takes too long.
class pairwise {
 public:
  static constexpr std::array<std::uint32_t, 8> sizes{kinds, thread_counts.size(), depths.size(), 2, 2, 2, 2, 3};
  using row = std::array<std::uint32_t, sizes.size()>;

  std::vector<row> rows() {
    for (std::size_t a = 0; a < sizes.size(); ++a) {
      for (std::size_t b = a + 1; b < sizes.size(); ++b) {
        for (std::uint32_t x = 0; x < sizes[a]; ++x) {
          for (std::uint32_t y = 0; y < sizes[b]; ++y) open_.insert({a, x, b, y});
        }
      }
    }
    std::vector<row> out;
    while (!open_.empty()) {
      row best{};
      std::size_t most = 0;
      for (int draws = 0; draws < 400; ++draws) {
        row r;
        for (std::size_t i = 0; i < sizes.size(); ++i) r[i] = draw() % sizes[i];
        // Each draw takes one of the pairs that are left.
        auto pair = open_.begin();
        std::advance(pair, draw() % open_.size());
        r[(*pair)[0]] = static_cast<std::uint32_t>((*pair)[1]);
        r[(*pair)[2]] = static_cast<std::uint32_t>((*pair)[3]);
        if (too_long(r)) continue;
        const std::size_t covered = cover(r, false);
        if (covered > most) {
          most = covered;
          best = r;
        }
      }
      if (most == 0) throw std::runtime_error("no shape with the pairs that are left is short enough");
      cover(best, true);
      out.push_back(best);
    }
    return out;
  }

 private:
  /// A group that goes round a hundred times for the few CIDs that there are.
  static bool too_long(const row& r) {
    const bool grouped = r[0] != thread_shared && r[0] != alone_memory && r[0] != alone_bar;
    return grouped && thread_counts[r[1]] > 32 * (depths[r[2]] - 1);
  }
  std::size_t cover(const row& r, bool erase) {
    std::size_t n = 0;
    for (std::size_t a = 0; a < sizes.size(); ++a) {
      for (std::size_t b = a + 1; b < sizes.size(); ++b) {
        const std::array<std::size_t, 4> pair{a, r[a], b, r[b]};
        n += erase ? open_.erase(pair) : open_.count(pair);
      }
    }
    return n;
  }
  std::uint32_t draw() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>(state_ >> 20);
  }

  std::set<std::array<std::size_t, 4>> open_;
  std::uint64_t state_ = 88172645463325252u;
};

/// Values that the controller has from the start.
template <class Sharing>
void preload(guest_queue<Sharing>& q, const work& w) {
  for (std::uint32_t t = 0; t < w.threads; ++t) {
    for (std::uint32_t n = 0; n < w.job.rounds; ++n) q.model.values()[w.key(t, n)] = w.value(t, n);
  }
}

struct cost {
  std::uint64_t instructions = 0;
  std::uint64_t static_instructions = 0;
  std::uint64_t registers = 0;
  std::uint64_t sq_doorbells = 0;
  std::uint64_t cq_doorbells = 0;
  std::uint64_t ticks = 0;
  std::map<std::string, std::uint64_t> ordering;  ///< atomics and fences and the like, by opcode
};

/// @param latency_ticks 0: at once, in order
template <class Sharing, class Doorbell>
cost cost_of(const char* entry, std::uint32_t threads, std::uint32_t depth, std::uint32_t times,
             std::uint64_t latency_ticks, ptx_schedule schedule) {
  kernel_run run(text_of(entry));
  run.options.schedule = schedule;
  nvme_model_options model;
  model.sq_entries = depth;
  model.cq_entries = depth * 2;
  model.latency_ticks = latency_ticks;
  model.out_of_order = latency_ticks != 0;
  guest_queue<Sharing> q(run, model);
  work w(run, threads, times);
  for (std::uint32_t t = 0; t < threads; ++t) {
    // The kernel takes the first key of `threads` ones that stand side by side.
    q.model.values()[std::string(reinterpret_cast<const char*>(w.job.keys) + t * collective_job::key_room, 16)] =
        std::string(w.job.value_words * 4, 'v');
  }
  const ptx_result r = run.run(entry, {1, 1, 1}, {threads, 1, 1}, ref_of<Sharing, Doorbell>(q), w.job);
  REQUIRE_MESSAGE(r.finished(), r.error);
  check_queue(q, std::uint64_t{threads} * times);
  for (std::uint32_t t = 0; t < threads; ++t) CHECK(w.job.records[t].status == 0);
  cost c;
  c.instructions = r.instructions;
  c.static_instructions = r.static_instructions;
  c.registers = r.registers;
  c.sq_doorbells = q.model.sq_doorbells();
  c.cq_doorbells = q.model.cq_doorbells();
  c.ticks = r.ticks;
  for (const auto& [opcode, count] : r.opcodes) {
    for (const char* begin : {"atom", "red", "fence", "membar", "ld.acquire", "ld.relaxed", "st.release", "st.relaxed",
                              "st.mmio", "bar", "shfl", "vote", "nanosleep"}) {
      if (opcode.compare(0, std::strlen(begin), begin) == 0) {
        c.ordering[opcode] += count;
        break;
      }
    }
  }
  return c;
}

}  // namespace

TEST_CASE("collective kernels: four operations each, by groups and alone, over pairs of all properties") {
  pairwise all;
  const auto rows = all.rows();
  std::uint64_t instructions = 0;
  constexpr std::uint64_t seeds = 3;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    std::uint64_t n = 0;
    for (const auto& r : rows) {
      shape s{
          static_cast<kind>(r[0]),        thread_counts[r[1]], depths[r[2]], r[3] != 0, r[4] != 0, r[5] != 0, r[6] != 0,
          static_cast<ptx_schedule>(r[7])};
      s.seed = seed * 1000 + n++;
      s.rounds = s.threads == 1 ? 12 : s.threads < 128 ? 2 : 1;
      instructions += all_four(s);
    }
  }
  std::printf("%u shapes, which hold every pair, by %u seeds; %.1f million instructions\n",
              static_cast<unsigned>(rows.size()), static_cast<unsigned>(seeds),
              static_cast<double>(instructions) / 1e6);
  CHECK(rows.size() >= kinds * thread_counts.size());
}

TEST_CASE("collective kernels: small rings go round and round, in many orders") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const bool odd = seed % 2 != 0;
    for (const kind k : {thread_shared, warp_shared, side_shared, block_block, alone_bar}) {
      shape s{k, k == alone_bar ? 4u : 32u, odd ? 4u : 16u, odd, true, true, odd, ptx_schedule::random, seed, 6};
      if (seed > 3) s.schedule = ptx_schedule::bursts;
      all_four(s);
    }
  }
}

TEST_CASE("collective kernels: several blocks on one queue") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const bool odd = seed % 2 != 0;
    for (const kind k : {thread_shared, warp_shared, side_shared, block_shared, warp_all}) {
      shape s{k, 48, odd ? 16u : 64u, odd, true, odd, !odd, ptx_schedule::random, seed, 2, 3};
      if (seed > 2) s.schedule = ptx_schedule::bursts;
      all_four(s);
    }
  }
}

TEST_CASE("collective kernels: one SQ doorbell for all that a group sends") {
  const auto per_operation = [](const char* entry, std::uint32_t threads, std::uint32_t depth, auto doorbell,
                                std::uint64_t seed) {
    kernel_run run(text_of(entry));
    run.options.seed = seed;
    nvme_model_options model;
    model.sq_entries = depth;
    model.cq_entries = depth * 2;
    model.latency_ticks = 100;
    model.out_of_order = true;
    model.seed = seed;
    guest_queue<nkv::shared> q(run, model);
    work w(run, threads, 4);
    preload(q, w);
    const ptx_result r = run.run(entry, {1, 1, 1}, {threads, 1, 1}, ref_of<nkv::shared, decltype(doorbell)>(q), w.job);
    CHECK_MESSAGE(r.finished(), r.error);
    check_queue(q, threads * 4u);
    for (std::uint32_t t = 0; t < threads; ++t) {
      for (std::uint32_t n = 0; n < 4; ++n) {
        CHECK(status::from_bits(w.record(t, n, 1).status).ok());
        CHECK(w.buffer(t, n) == w.value(t, n));
      }
    }
    const double out = static_cast<double>(q.model.sq_doorbells()) / (threads * 4.0);
    std::printf("%s, %u threads, depth %u: %.4f SQ doorbells an operation\n", entry, threads, depth, out);
    return out;
  };
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    CHECK(per_operation("tickets_warp", 32, 64, shared_doorbell{}, seed) <= 0.04);
    CHECK(per_operation("tickets_block", 256, 1024, bar_doorbell{}, seed) <= 0.01);
  }
}

TEST_CASE("collective kernels: two tickets each, and none for whom there is no room") {
  for (const char* entry : {"tickets_warp", "tickets_block"}) {
    CAPTURE(std::string(entry));
    const bool warp = entry[8] == 'w';
    kernel_run run(text_of(entry));
    nvme_model_options model;
    model.sq_entries = 64;
    model.cq_entries = 64;
    // Nothing completes before everybody has asked twice.
    model.latency_ticks = 4000;
    model.out_of_order = true;
    guest_queue<nkv::shared> q(run, model);
    work w(run, 32, 3);
    w.job.second = 1;
    preload(q, w);
    const ptx_result r = warp ? run.run(entry, {1, 1, 1}, {32, 1, 1}, ref_of<nkv::shared, shared_doorbell>(q), w.job)
                              : run.run(entry, {1, 1, 1}, {32, 1, 1}, ref_of<nkv::shared, bar_doorbell>(q), w.job);
    CHECK_MESSAGE(r.finished(), r.error);
    check_queue(q, 3 * 63);
    CHECK(q.model.sq_doorbells() == 6);
    CHECK(q.queue.counters().queue_full == 3);
    for (std::uint32_t n = 0; n < 3; ++n) {
      for (std::uint32_t t = 0; t < 32; ++t) {
        CHECK(status::from_bits(w.record(t, n, 1).status).ok());
        CHECK(w.buffer(t, n) == w.value(t, n));
        const status second = status::from_bits(w.record(t, n, 3).status);
        CHECK(second == (t == 31 ? status(client_status::queue_full) : status()));
      }
    }
  }
}

TEST_CASE("collective kernels: what has completed is there at the first look, for every thread") {
  for (const char* entry : {"tickets_warp", "tickets_block"}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(std::string(entry));
      const bool warp = entry[8] == 'w';
      const std::uint32_t threads = warp ? 32 : 128;
      kernel_run run(text_of(entry));
      run.options.seed = seed;
      nvme_model_options model;
      model.sq_entries = 256;
      model.cq_entries = 512;
      guest_queue<nkv::shared> q(run, model);
      work w(run, threads, 2);
      w.job.nap_ns = 20'000;
      preload(q, w);
      const ptx_result r =
          warp ? run.run(entry, {1, 1, 1}, {threads, 1, 1}, ref_of<nkv::shared, shared_doorbell>(q), w.job)
               : run.run(entry, {1, 1, 1}, {threads, 1, 1}, ref_of<nkv::shared, bar_doorbell>(q), w.job);
      CHECK_MESSAGE(r.finished(), r.error);
      check_queue(q, threads * 2);
      for (std::uint32_t t = 0; t < threads; ++t) {
        for (std::uint32_t n = 0; n < 2; ++n) {
          CHECK(status::from_bits(w.record(t, n, 1).status).ok());
          CHECK(w.buffer(t, n) == w.value(t, n));
        }
      }
    }
  }
}

TEST_CASE("collective kernels: a command without an answer ends at the deadline, the others are as ever") {
  struct way {
    kind how;
    std::uint32_t threads;
    std::uint64_t lost;  ///< the command
  };
  for (const bool comes_late : {false, true}) {
    for (const way& y : {way{warp_shared, 32, 7}, way{warp_shared, 32, 40}, way{block_shared, 48, 47},
                         way{block_block, 128, 200}, way{thread_shared, 32, 3}}) {
      CAPTURE(std::string(entries[y.how]));
      CAPTURE(y.lost);
      CAPTURE(comes_late);
      constexpr std::uint64_t timeout = 60'000;
      shape s{y.how, y.threads, 256, false, true, false, true, ptx_schedule::random};
      kernel_run run(text_of(entries[s.how]));
      set_up(run, s);
      const auto go = [&](auto& q, auto ref) {
        q.model.fates[y.lost].never = !comes_late;
        // The status says that it was not carried out, so that what is stored is the same both ways.
        q.model.fates[y.lost].not_before = 40'000'000;
        q.model.fates[y.lost].status = {{0, 0x06}};
        work w(run, s.threads, 1);
        w.job.timeout_ns = timeout;
        // The leader's deadline is everybody's.
        w.job.skew_ns = y.how == thread_shared ? 0 : 1500;
        const ptx_result r = run.run(entries[s.how], {1, 1, 1}, {s.threads, 1, 1}, ref, w.job);
        CHECK_MESSAGE(r.finished(), r.error);
        CHECK(q.model.error_text() == "");
        CHECK(q.model.outstanding() == 1);
        CHECK(q.queue.outstanding() == 1);
        CHECK(q.model.fetched() == q.model.completed() + 1);
        // The key's first dword is the thread's number, the opcode says which step.
        const nkv::sqe& lost = q.model.commands()[y.lost];
        const std::uint32_t thread = lost.dw[2];
        const std::uint8_t opcode = q.model.opcodes()[y.lost];
        const std::uint32_t step = opcode == 0x01 ? 0 : opcode == 0x02 ? 1 : opcode == 0x10 ? 2 : 3;
        for (std::uint32_t t = 0; t < s.threads; ++t) {
          if (t != thread) CHECK(w.wrong(t) == "");
        }
        REQUIRE(thread < s.threads);
        const collective_record& record = w.record(thread, 0, step);
        const bool changes = step == 0 || step == 2;
        CHECK(status::from_bits(record.status) ==
              status(changes ? client_status::outcome_unknown : client_status::timed_out));
        CHECK(record.took_ns >= timeout);
        CHECK(record.took_ns < timeout + 30'000);
        // Out of use: no later command has its CID.
        const std::uint32_t index = record.ticket.index;
        for (std::uint64_t n = y.lost + 1; n < q.model.commands().size(); ++n)
          CHECK((q.model.commands()[n].cid() & q.parts.shape.cids()) != index);
        CHECK_FALSE(q.queue.quiesced(record.ticket));
        if (!comes_late) return;
        q.model.fates.clear();
        while (q.model.outstanding() != 0) q.model.tick();
        CHECK(q.queue.quiesced(record.ticket));
        CHECK(q.queue.outstanding() == 0);
        CHECK(q.queue.counters().late_completions == 1);
        CHECK(q.queue.counters().stray_completions == 0);
      };
      if (y.how == block_block) {
        guest_queue<nkv::block_shared> q(run, options_of(s));
        go(q, ref_of<nkv::block_shared, shared_doorbell>(q));
      } else {
        guest_queue<nkv::shared> q(run, options_of(s));
        if (y.how == thread_shared)
          go(q, ref_of<nkv::shared, shared_doorbell>(q));
        else
          go(q, ref_of<nkv::shared, bar_doorbell>(q));
      }
    }
  }
}

TEST_CASE("collective kernels: one operation of all, made by all and seen by all") {
  const auto check = [](const work& w, std::uint32_t group, std::map<std::string, std::string> values) {
    for (std::uint32_t t = 0; t < w.threads; ++t) {
      CAPTURE(t);
      const std::uint32_t first = t / group * group;
      const std::uint32_t size = std::min(group, w.threads - first);
      CHECK(w.record(t, 0, 0).status == 0);
      CHECK(w.record(t, 0, 1).status == 0);
      CHECK(w.record(t, 0, 0).tag == t);
      CHECK(w.record(t, 0, 1).length == size * 4);
      CHECK(w.record(t, 0, 2).status == 0xffffffffu);
      CHECK(w.job.buffers[t] == collective_job::value_word(t, 0, 0));
      if (t == first) {
        CHECK(values[w.key(t, 0)].size() == size * 4);
        CHECK(std::memcmp(values[w.key(t, 0)].data(), w.job.values + t, size * 4) == 0);
      }
    }
  };
  nvme_model_options model;
  model.sq_entries = 64;
  model.cq_entries = 128;
  model.latency_ticks = 60;
  model.out_of_order = true;
  model.torn = true;
  for (const std::uint32_t threads : {1u, 32u, 48u, 128u}) {
    CAPTURE(threads);
    {
      kernel_run run(text_of("together_warp"));
      run.options.seed = threads;
      std::deque<guest_queue<nkv::exclusive>> queues;
      using ref_type = nkv::device::namespace_ref<nkv::exclusive, bar_doorbell, nkv::plain_commands>;
      const std::uint32_t warps = (threads + 31) / 32;
      auto* refs = run.memory().allocate_array<ref_type>("refs", warps);
      for (std::uint32_t i = 0; i < warps; ++i)
        refs[i] = ref_of<nkv::exclusive, bar_doorbell>(queues.emplace_back(run, model));
      work w(run, threads, 1, 16, 1);
      const ptx_result r = run.run("together_warp", {1, 1, 1}, {threads, 1, 1}, refs, w.job);
      CHECK_MESSAGE(r.finished(), r.error);
      std::map<std::string, std::string> values;
      for (auto& q : queues) {
        check_queue(q, 2);
        values.insert(q.model.values().begin(), q.model.values().end());
      }
      check(w, 32, values);
    }
    // A prefix that ends at a key that is missing, at one that cannot be, and not at all.
    constexpr std::uint32_t keys = 70;
    struct ending {
      std::uint32_t gap;
      std::uint32_t bad;
      std::uint64_t expected;
    };
    const std::uint64_t refused = (std::uint64_t{1} << 32) + status(client_status::bad_argument).bits();
    for (const ending& e : {ending{0, 99, 0}, ending{33, 40, 33}, ending{33, 30, refused}, ending{99, 99, keys}}) {
      CAPTURE(e.gap);
      CAPTURE(e.bad);
      kernel_run run(text_of("together_block"));
      run.options.seed = threads + e.gap;
      guest_queue<nkv::block_shared> q(run, model);
      work w(run, threads, 1, 16, 1);
      auto* prefix = run.memory().allocate_array<nkv::key_view>("prefix", keys);
      std::byte* bytes = run.memory().allocate("prefix keys", std::size_t{keys} * 16);
      for (std::uint32_t i = 0; i < keys; ++i) {
        std::memset(bytes + std::size_t{i} * 16, static_cast<int>(i + 1), 16);
        prefix[i] = nkv::key_view(bytes + std::size_t{i} * 16, i == e.bad ? 0 : 16);
        if (i != e.gap) q.model.values()[std::string(16, static_cast<char>(i + 1))] = "v";
      }
      w.job.prefix = prefix;
      w.job.prefix_keys = keys;
      const ptx_result r =
          run.run("together_block", {1, 1, 1}, {threads, 1, 1}, ref_of<nkv::block_shared, shared_doorbell>(q), w.job);
      CHECK_MESSAGE(r.finished(), r.error);
      check_queue(q, q.model.fetched());
      check(w, threads, q.model.values());
      for (std::uint32_t t = 0; t < threads; ++t) CHECK(w.job.prefix_result[t] == e.expected);
    }
  }
}

TEST_CASE("collective kernels: many operations, and how many of them failed") {
  constexpr std::uint32_t count = 150;
  for (const std::uint32_t threads : {1u, 48u, 128u}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(threads);
      CAPTURE(seed);
      const bool warp = threads == 1 || seed == 3;
      const std::uint32_t used = warp ? std::min(threads, 32u) : threads;
      const char* entry = warp ? "all_warp" : "all_block";
      kernel_run run(text_of(entry));
      run.options.seed = seed;
      nvme_model_options model;
      model.sq_entries = 64;
      model.cq_entries = 64;
      model.latency_ticks = 60;
      model.out_of_order = true;
      model.seed = seed;
      guest_queue<nkv::shared> q(run, model);
      work w(run, used, 1);
      auto* operations = run.memory().allocate_array<nkv::operation>("operations", count);
      auto* outcomes = run.memory().allocate_array<nkv::outcome>("outcomes", count);
      std::byte* keys = run.memory().allocate("keys of the operations", std::size_t{count} * 16);
      std::uint64_t missing = 0;
      for (std::uint32_t i = 0; i < count; ++i) {
        std::byte* key = keys + std::size_t{i} * 16;
        std::memset(key, static_cast<int>(i + 1), 16);
        operations[i] = nkv::operation::exist({key, 16}, i);
        if (i % 7 == seed)
          ++missing;
        else
          q.model.values()[std::string(reinterpret_cast<const char*>(key), 16)] = "v";
      }
      w.job.operations = operations;
      w.job.outcomes = outcomes;
      w.job.operation_count = count;
      const ptx_result r =
          warp ? run.run(entry, {1, 1, 1}, {used, 1, 1}, ref_of<nkv::shared, bar_doorbell>(q), w.job)
               : run.run(entry, {1, 1, 1}, {used, 1, 1}, ref_of<nkv::shared, shared_doorbell>(q), w.job);
      CHECK_MESSAGE(r.finished(), r.error);
      check_queue(q, count);
      for (std::uint32_t t = 0; t < used; ++t) CHECK(w.job.prefix_result[t] == missing);
      for (std::uint32_t i = 0; i < count; ++i) {
        CHECK(outcomes[i].user_tag == i);
        CHECK((i % 7 == seed ? outcomes[i].status.is_key_does_not_exist() : outcomes[i].ok()));
      }
    }
  }
}

TEST_CASE("collective kernels: what a group says to its threads") {
  for (const char* entry : {"words_warp", "words_side", "words_block"}) {
    for (const std::uint32_t threads : {1u, 31u, 32u, 48u, 65u, 256u}) {
      for (const auto schedule : {ptx_schedule::round_robin, ptx_schedule::random, ptx_schedule::bursts}) {
        CAPTURE(std::string(entry));
        CAPTURE(threads);
        kernel_run run(text_of(entry));
        run.options.schedule = schedule;
        run.options.seed = threads;
        work w(run, threads, 6);
        const ptx_result r = run.run(entry, {1, 1, 1}, {threads, 1, 1}, w.job);
        CHECK_MESSAGE(r.finished(), r.error);
        for (std::uint32_t t = 0; t < threads; ++t) CHECK(w.job.records[t].status == 0);
      }
    }
  }
}

TEST_CASE("collective kernels: the instructions of one Retrieve") {
  const auto print = [](const char* text, const cost& more, const cost& less) {
    std::printf("one Retrieve, %s: %u PTX instructions; %u in the kernel, %u registers declared\n", text,
                static_cast<unsigned>(more.instructions - less.instructions),
                static_cast<unsigned>(more.static_instructions), static_cast<unsigned>(more.registers));
    for (const auto& [opcode, count] : more.ordering) {
      const auto other = less.ordering.find(opcode);
      const std::uint64_t n = count - (other == less.ordering.end() ? 0 : other->second);
      if (n != 0) std::printf("  %s: %u\n", opcode.c_str(), static_cast<unsigned>(n));
    }
    return more.instructions - less.instructions;
  };
  constexpr auto in_turn = ptx_schedule::round_robin;
  const auto exclusive = [](const char* entry, auto doorbell, std::uint32_t times) {
    return cost_of<nkv::exclusive, decltype(doorbell)>(entry, 1, 16, times, 0, in_turn);
  };
  const auto shared = [](const char* entry, auto doorbell, std::uint32_t times) {
    return cost_of<nkv::shared, decltype(doorbell)>(entry, 1, 16, times, 0, in_turn);
  };
  const std::uint64_t a = print("exclusive, shared_doorbell", exclusive("cost_exclusive_memory", shared_doorbell{}, 9),
                                exclusive("cost_exclusive_memory", shared_doorbell{}, 8));
  print("exclusive, bar_doorbell", exclusive("cost_exclusive_bar", bar_doorbell{}, 9),
        exclusive("cost_exclusive_bar", bar_doorbell{}, 8));
  const std::uint64_t b = print("shared, shared_doorbell", shared("cost_shared_memory", shared_doorbell{}, 9),
                                shared("cost_shared_memory", shared_doorbell{}, 8));
  print("shared, bar_doorbell", shared("cost_shared_bar", bar_doorbell{}, 9),
        shared("cost_shared_bar", bar_doorbell{}, 8));
  CHECK(a > 50);
  CHECK(a <= 96);
  CHECK(b > a);
}

TEST_CASE("collective kernels: many threads on one queue, alone and in groups") {
  constexpr std::uint32_t times = 4;
  for (const std::uint64_t latency : {200u, 500u}) {
    for (const std::uint32_t threads : {32u, 128u, 256u}) {
      for (const char* entry : {"cost_shared_memory", "cost_warp", "cost_block"}) {
        const cost c =
            cost_of<nkv::shared, shared_doorbell>(entry, threads, 1024, times, latency, ptx_schedule::round_robin);
        const double operations = static_cast<double>(threads) * times;
        std::printf(
            "%s, %u threads, latency %u to %u ticks: %.0f PTX instructions, %.4f SQ and %.4f CQ doorbells an "
            "operation, %.0f ticks a round\n",
            entry, threads, static_cast<unsigned>(latency), static_cast<unsigned>(2 * latency),
            static_cast<double>(c.instructions) / operations, static_cast<double>(c.sq_doorbells) / operations,
            static_cast<double>(c.cq_doorbells) / operations, static_cast<double>(c.ticks) / times);
      }
    }
  }
}
