// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <explore/explorer.hpp>
#include <explore/exploring_atomics.hpp>

#include <nkv/queue/queue_pair_ref.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

namespace nkv_test {

/// A queue pair in explored memory, with a model controller as one more thread and client threads that the test adds.
/// Commands have numbers, 1 to max_commands, each used once in an execution.
///
/// The controller is written from the NVMe specification. It fetches in order, completes in any, and reports a tail
/// that is no new one within room, an SQE that is not the command's, a CID that is outstanding, and a buffer or scratch
/// word that was not written before the command. A command's data are ordinary words: its buffer, which the controller
/// reads and then writes before it completes the command, and its CID's scratch, which it reads then. What is reused
/// too early is a data race.
template <class Sharing>
class explored_queue {
 public:
  using ref_type = nkv::queue_pair_ref<Sharing, nkv::mapped_doorbell<exploring_atomics>, exploring_atomics>;
  static constexpr unsigned max_commands = 7, max_entries = 4;

  struct controller_plan {
    unsigned commands = 0;  ///< it ends after so many
    bool lazy = true;       ///< fetches, looks and completes in any order; else it takes what it sees at once
    bool out_of_order = true;
    bool torn = false;  ///< writes the CID and status of an entry before its phase
  };

  /// @param start so many commands have gone through the queue before
  explicit explored_queue(nkv::queue_shape shape, std::uint32_t start = 0) : shape_(shape), start_(start) {
    nkv::queue_pair_parts parts;
    parts.sq = memory_.sq;
    parts.cq = memory_.cq;
    parts.control = memory_.control;
    parts.shape = shape;
    parts.qid = qid;
    ref = ref_type(parts, {&memory_.sq_tail, &memory_.cq_head});
    watch();
    search.reset = [this] { reset(); };
    search.at_end = [this] { return wrong_at_end(); };
  }

  explorer search;
  ref_type ref;
  /// After the queue's own checks: what else is wrong, or nothing.
  std::function<std::string()> at_end = [] { return std::string(); };
  unsigned late_completions = 0;  ///< at most so many

  void client(std::string name, std::function<void()> body) { search.thread(std::move(name), std::move(body)); }
  void controller(const controller_plan& plan) {
    plan_ = plan;
    search.thread("controller", [this] { control(); });
  }

  // Steps of a client.

  [[nodiscard]] static nkv::sqe command(unsigned n) {
    nkv::sqe c;
    c.dw[0] = n;
    for (unsigned d = 1; d < 16; ++d) c.dw[d] = n << 8 | d;
    return c;
  }
  /// Waits for room; `reaping`: reads the completion queue meanwhile.
  nkv::ticket post(unsigned n, bool reaping = false) {
    for (;;) {
      const auto r = ref.try_reserve();
      if (r.index != nkv::ticket::none) {
        search.settle({1, n, r.index});
        search.expect(r.index < shape_.cids(), "a CID beyond the table");
        search.store_ordinary(&memory_.scratch[r.index], n);
        search.store_ordinary(&memory_.buffer[n], n);
        const nkv::ticket t = ref.post(r, command(n));
        search.settle({3, n, t.index, t.generation});
        return t;
      }
      if (reaping) ref.reap(ref.capacity());
      search.pause({2, n});
    }
  }
  nkv::ticket submit(unsigned n, bool reaping = false) {
    const nkv::ticket t = post(n, reaping);
    ref.ring();
    search.settle({4, n, t.index, t.generation});
    return t;
  }
  /// Two commands in one turn, published together.
  std::array<nkv::ticket, 2> submit_pair(unsigned n) {
    std::array<nkv::ticket, 2> t{};
    typename ref_type::reservation r[2];
    for (unsigned i = 0; i < 2; ++i) {
      while ((r[i] = ref.try_reserve()).index == nkv::ticket::none) search.pause();
      search.store_ordinary(&memory_.scratch[r[i].index], n + i);
      search.store_ordinary(&memory_.buffer[n + i], n + i);
    }
    const auto mine = ref.take_entries(2);
    for (unsigned i = 0; i < 2; ++i) t[i] = ref.write_at(mine.position + i, r[i], command(n + i));
    ref.publish(mine, 2, true);
    search.settle({7, n, t[0].index, t[0].generation, t[1].index, t[1].generation});
    return t;
  }
  /// Command `n` to its end in one step, without scratch.
  void run(unsigned n) {
    search.store_ordinary(&memory_.buffer[n], n);
    nkv::ticket t;
    nkv::completion c;
    while (!ref.run(command(n), nkv::deadline<pausing_clock>(1), t, c)) search.pause({8, n});
    expect_outcome(c, n);
    search.expect(ref.take(t).status == nkv::status(nkv::client_status::stale_ticket), "an outcome is given twice");
    search.settle({9, n});
  }
  unsigned without_scratch = 0;  ///< a bit for each command that run() sends

  /// Waits for command `n` and takes its outcome, which is its own and given once.
  void finish(nkv::ticket t, unsigned n) {
    nkv::completion c = ref.take(t);
    while (c.status == nkv::status(nkv::client_status::would_block)) {
      search.pause({5, n, t.index, t.generation});
      c = ref.take(t);
    }
    expect_outcome(c, n);
    search.expect(ref.take(t).status == nkv::status(nkv::client_status::stale_ticket), "an outcome is given twice");
    search.settle({6, n});
  }
  void expect_outcome(const nkv::completion& c, unsigned n) {
    search.expect(c.status == answer(n), "not the command's own status");
    search.expect(c.dw0 == result(n), "not the command's own DW0");
    search.expect(search.load_ordinary(&memory_.buffer[n]) == result(n), "the value is not in the buffer");
  }
  /// Writes to the buffer of command `n`, as who reuses it does.
  void reuse_buffer(unsigned n) { search.store_ordinary(&memory_.buffer[n], 0); }

  static constexpr std::uint16_t qid = 3;

 private:
  static constexpr std::uint32_t poison = 0xeeeeeeee;
  /// A wait without an end.
  struct pausing_clock {
    static std::uint64_t now_ns() noexcept { return 0; }
    static void relax(std::uint32_t) noexcept { explorer::current()->pause(); }
  };
  static constexpr nkv::queue_shape largest{max_entries, 2 * max_entries};

  struct alignas(4096) block {
    nkv::sqe sq[max_entries];
    nkv::cqe cq[2 * max_entries];
    alignas(64) std::byte control[nkv::queue_control_layout::of(largest).size_bytes];
    std::uint32_t sq_tail, cq_head;
    std::uint32_t scratch[max_entries], buffer[max_commands + 1];
  };
  /// The controller's own state.
  struct controller_state {
    std::uint32_t tail, head;        ///< of the submission queue: as last read, and what it has fetched
    std::uint32_t cq_tail, cq_head;  ///< positions: what it has written, and as last read
    std::array<std::uint16_t, max_commands> cid;
    std::array<unsigned, max_commands> number;
    unsigned pending, fetched, completed;
    std::array<unsigned, max_commands + 1> seen;
  };

  [[nodiscard]] static nkv::status answer(unsigned n) {
    return n % 2 == 1 ? nkv::status()
                      : nkv::status(nkv::status_code_type::generic, static_cast<std::uint8_t>(0x80 + n));
  }
  [[nodiscard]] static std::uint32_t result(unsigned n) { return 0x500 + n; }

  [[nodiscard]] nkv::queue_counters& counters() { return *reinterpret_cast<nkv::queue_counters*>(memory_.control); }
  [[nodiscard]] std::uint32_t* word_at(std::size_t offset) {
    return reinterpret_cast<std::uint32_t*>(memory_.control + offset);
  }

  void watch() {
    weak_memory& m = search.memory;
    nkv::queue_counters& c = counters();
    const auto layout = nkv::queue_control_layout::of(shape_);
    m.fences = false;
    const auto watch_all = [&](const char* name, std::uint32_t* first, unsigned n) {
      for (unsigned i = 0; i < n; ++i) m.watch(first + i, std::string(name) + "[" + std::to_string(i) + "]");
    };
    if constexpr (Sharing::is_shared) {
      m.watch(&c.sq_next, "sq_next");
      m.watch_ordinary(&c.sq_rung, "sq_rung");
      m.watch_ordinary(&c.cq_head, "cq_head");
      m.watch(&c.reaping, "reaping");
      m.watch(&c.spare_cid, "spare_cid");
      m.watch(&c.liveness, "liveness");
      m.watch(&c.late_completions, "late_completions");
      m.watch(&c.stray_completions, "stray_completions");
      m.watch(&c.queue_full, "queue_full");
      m.watch(&c.sq_doorbells, "sq_doorbells");
      m.watch(&c.cq_doorbells, "cq_doorbells");
      for (unsigned i = 0; i < shape_.cids(); ++i) {
        nkv::cid_record& r = reinterpret_cast<nkv::cid_record*>(memory_.control + layout.records_offset)[i];
        const std::string name = "record[" + std::to_string(i) + "].";
        m.watch(&r.word, name + "word");
        m.watch_ordinary(&r.dw0, name + "dw0");
        m.watch_ordinary(&r.status_field, name + "status_field");
      }
      watch_all("mark", word_at(layout.marks_offset), shape_.sq_entries);
      watch_all("free", word_at(layout.free_offset), 1);
    } else {
      m.leave_alone(memory_.control, sizeof memory_.control);
    }
    m.watch(&memory_.sq_tail, "SQ tail doorbell", true);
    m.watch(&memory_.cq_head, "CQ head doorbell", true);
    for (unsigned i = 0; i < shape_.cq_entries; ++i)
      watch_all(("CQE " + std::to_string(i) + " DW").c_str(), memory_.cq[i].dw, 4);
    const auto ordinary = [&](const std::string& name, std::uint32_t* first, unsigned n) {
      for (unsigned i = 0; i < n; ++i) m.watch_ordinary(first + i, name + "[" + std::to_string(i) + "]");
    };
    for (unsigned i = 0; i < shape_.sq_entries; ++i) ordinary("SQE " + std::to_string(i) + " DW", memory_.sq[i].dw, 16);
    ordinary("scratch", memory_.scratch, max_entries);
    ordinary("buffer", memory_.buffer, max_commands + 1);
  }

  void reset() {
    std::memset(static_cast<void*>(&memory_), 0, sizeof memory_);
    for (nkv::sqe& e : memory_.sq)
      for (std::uint32_t& d : e.dw) d = poison;
    ref.initialize();
    nkv::queue_counters& c = counters();
    c.sq_next = Sharing::is_shared ? start_ << 16 : start_;
    c.sq_rung = c.cq_head = start_;
    memory_.sq_tail = start_ & (shape_.sq_entries - 1);
    memory_.cq_head = start_ & (shape_.cq_entries - 1);
    for (std::uint32_t p = 0; p < start_; ++p)
      memory_.cq[p & (shape_.cq_entries - 1)] = nkv::cqe::make(poison, 0, qid, 0, {}, phase(p));
    controller_ = {};
    controller_.tail = controller_.head = memory_.sq_tail;
    controller_.cq_tail = controller_.cq_head = start_;
  }
  [[nodiscard]] bool phase(std::uint32_t position) const { return position / shape_.cq_entries % 2 == 0; }

  void control() {
    controller_state& c = controller_;
    enum { fetch_one, look_at_tail, look_at_head, complete_first };
    bool tail_seen = false, head_seen = false;
    while (c.completed < plan_.commands) {
      if (!tail_seen && !head_seen) search.settle({all()});
      // A completion queue with one free entry is full.
      const bool room = c.cq_tail - c.cq_head < shape_.cq_entries - 1;
      const bool fetchable = c.head != c.tail;
      const std::uint32_t unfetched = (c.tail - c.head) & (shape_.sq_entries - 1);
      std::array<unsigned, 3 + max_commands> action{};
      unsigned n = 0;
      if (fetchable) action[n++] = fetch_one;
      if (c.fetched + unfetched < plan_.commands && !tail_seen && (plan_.lazy || !fetchable))
        action[n++] = look_at_tail;
      if (plan_.lazy || n == 0) {
        if (c.pending != 0 && !room && !head_seen) action[n++] = look_at_head;
        for (unsigned i = 0; room && i < (plan_.out_of_order ? c.pending : c.pending != 0); ++i)
          action[n++] = complete_first + i;
      }
      if (n == 0) {
        search.pause({all(), tail_seen, head_seen});
        tail_seen = head_seen = false;
        continue;
      }
      const unsigned chosen = action[search.choose(n)];
      if (chosen == look_at_tail) {
        look();
        tail_seen = true;
        continue;
      }
      if (chosen == look_at_head) {
        look_head();
        head_seen = true;
        continue;
      }
      tail_seen = head_seen = false;
      if (chosen == fetch_one)
        fetch();
      else
        complete(chosen - complete_first);
    }
  }
  [[nodiscard]] std::uint64_t all() const {
    const controller_state& c = controller_;
    std::uint64_t h = mix(mix(mix(mix(c.tail, c.head), c.cq_tail), c.cq_head), c.completed);
    for (unsigned i = 0; i < c.pending; ++i) h = mix(h, std::uint64_t{c.number[i]} << 16 | c.cid[i]);
    for (const unsigned n : c.seen) h = mix(h, n);
    return h;
  }
  void look() {
    controller_state& c = controller_;
    const std::uint32_t mask = shape_.sq_entries - 1;
    const std::uint32_t tail = search.load(&memory_.sq_tail, true);
    search.expect(tail <= mask, "the tail is beyond the ring");
    search.expect(((tail - c.tail) & mask) + ((c.tail - c.head) & mask) <= mask, "the tail moved beyond the room");
    c.tail = tail;
  }
  void look_head() {
    controller_state& c = controller_;
    const std::uint32_t mask = shape_.cq_entries - 1;
    const std::uint32_t head = search.load(&memory_.cq_head, true);
    search.expect(head <= mask, "the completion queue's head is beyond the ring");
    const std::uint32_t moved = (head - c.cq_head) & mask;
    search.expect(moved <= c.cq_tail - c.cq_head, "the completion queue's head moved beyond its tail");
    c.cq_head += moved;
  }
  void fetch() {
    controller_state& c = controller_;
    const nkv::sqe& e = memory_.sq[c.head];
    const std::uint32_t first = search.load_ordinary(&e.dw[0]);
    const unsigned n = first & 0xffffu;
    const std::uint16_t cid = static_cast<std::uint16_t>(first >> 16);
    search.expect(n >= 1 && n <= max_commands, "fetched what is no command");
    for (unsigned d = 1; d < 16; ++d)
      search.expect(search.load_ordinary(&e.dw[d]) == (n << 8 | d), "fetched another command's dword");
    search.expect(c.seen[n]++ == 0, "fetched a command twice");
    for (unsigned i = 0; i < c.pending; ++i) search.expect(c.cid[i] != cid, "the CID is outstanding already");
    search.expect(search.load_ordinary(&memory_.buffer[n]) == n, "the buffer was not written before the command");
    check_scratch(cid, n);
    c.cid[c.pending] = cid;
    c.number[c.pending++] = n;
    ++c.fetched;
    c.head = (c.head + 1) & (shape_.sq_entries - 1);
    search.expect(c.pending < shape_.sq_entries, "more commands than may be outstanding");
  }
  void check_scratch(std::uint16_t cid, unsigned n) {
    if ((without_scratch >> n & 1u) != 0) return;
    search.expect(search.load_ordinary(&memory_.scratch[cid & (shape_.sq_entries - 1)]) == n,
                  "the scratch is another command's");
  }
  void complete(unsigned i) {
    controller_state& c = controller_;
    const std::uint16_t cid = c.cid[i];
    const unsigned n = c.number[i];
    for (unsigned k = i + 1; k < c.pending; ++k) {
      c.cid[k - 1] = c.cid[k];
      c.number[k - 1] = c.number[k];
    }
    --c.pending;
    ++c.completed;
    check_scratch(cid, n);
    search.store_ordinary(&memory_.buffer[n], result(n));
    const bool new_phase = phase(c.cq_tail);
    const nkv::cqe e = nkv::cqe::make(result(n), static_cast<std::uint16_t>(c.head), qid, cid, answer(n), new_phase);
    nkv::cqe& slot = memory_.cq[c.cq_tail & (shape_.cq_entries - 1)];
    ++c.cq_tail;
    if (plan_.torn) search.store(&slot.dw[3], e.dw[3] ^ 0x10000u, false);
    for (unsigned d = 0; d < 3; ++d) search.store(&slot.dw[d], e.dw[d], false);
    search.store(&slot.dw[3], e.dw[3], true);
  }

  std::string wrong_at_end() {
    // The words as they were written, whatever the controller has read of them.
    const std::uint32_t mask = shape_.sq_entries - 1;
    const auto tails = search.memory.history(&memory_.sq_tail);
    std::uint32_t moved = 0;
    for (std::size_t i = 1; i < tails.size(); ++i) {
      if (tails[i] == tails[i - 1]) return "a tail was rung twice";
      moved += (tails[i] - tails[i - 1]) & mask;
    }
    if (moved != plan_.commands) return "the tail moved by " + std::to_string(moved);
    const auto heads = search.memory.history(&memory_.cq_head);
    std::uint32_t read = 0;
    for (std::size_t i = 1; i < heads.size(); ++i) read += (heads[i] - heads[i - 1]) & (shape_.cq_entries - 1);
    if (read > plan_.commands) return "the completion queue's head moved backwards";
    const nkv::queue_counters& c = counters();
    if (c.sq_doorbells != tails.size() - 1) return "sq_doorbells is " + std::to_string(c.sq_doorbells);
    if (c.cq_doorbells != heads.size() - 1) return "cq_doorbells is " + std::to_string(c.cq_doorbells);
    if (c.stray_completions != 0) return "a completion was taken for a stray one";
    if (c.late_completions > late_completions) return "late_completions is " + std::to_string(c.late_completions);
    if (ref.outstanding() != 0) return "CIDs are in use: " + std::to_string(ref.outstanding());
    return at_end();
  }

  nkv::queue_shape shape_;
  std::uint32_t start_;
  controller_plan plan_;
  controller_state controller_{};
  block memory_{};
};

}  // namespace nkv_test
