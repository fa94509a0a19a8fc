// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <explore/fiber.hpp>
#include <explore/weak_memory.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace nkv_test {

/// Runs a few threads over a weak_memory in every order that makes a difference, or in many random ones.
///
/// The threads are fibers; a body takes its accesses from exploring_atomics. An execution is a list of choices (who
/// goes on, what a load reads, where a store goes); the next one repeats it up to the last choice that has another
/// outcome. An execution that comes to a state where another one has been ends there. What makes the number of orders
/// small enough, without losing an outcome:
///
/// - Ordinary accesses are no points of change: either they race, which is found in any order, or they commute.
/// - A load can be put off until its thread's next store, since a thread may read what is old, and a store be made
///   right after its thread's last one, since it may take any later place in the modification order. So threads change
///   only where a load, a read-modify-write or a fence follows a store, a read-modify-write or a fence.
///
/// A body that looks in vain calls pause(): it goes on when a word that it looked at has another value that it can see,
/// and will then see that. So every value comes through in the end, and an execution in which nobody can move is an
/// error. A word that the body itself stored to last (a lock taken and given back) does not count.
///
/// A body must be a function of what its accesses and choose() return, keep nothing on its stack that needs a
/// destructor across them, and share nothing with another body but watched memory.
class explorer {
 public:
  struct options {
    unsigned preemptions = ~0u;  ///< at most so many changes away from a thread that could go on, in an execution
    unsigned stale_reads = ~0u;  ///< at most so many reads of what is not the newest value, and stores not behind it
    std::uint64_t seed = 0;      ///< not 0: `executions` random executions, from this seed
    std::uint64_t executions = ~std::uint64_t{0};
    double seconds = 100;  ///< of processor time; gives up after that, and exhausted is false
  };
  struct report {
    std::uint64_t executions = 0;
    std::uint64_t states = 0;  ///< different ones, at points of change
    bool exhausted = false;    ///< every order, within the bounds of the options
    double seconds = 0;
    std::string failure;  ///< the first; empty where there was none
    std::string trace;    ///< what the threads did in that execution
  };

  explorer() = default;
  explorer(const explorer&) = delete;
  explorer& operator=(const explorer&) = delete;

  weak_memory memory;

  void thread(std::string name, std::function<void()> body) {
    threads_.emplace_back();
    threads_.back().name = std::move(name);
    threads_.back().body = std::move(body);
  }
  /// Before each execution, to make the watched memory what it is at the start.
  std::function<void()> reset = [] {};
  /// After each execution that came to its end, or to where nobody can go on: what is wrong, or nothing.
  std::function<std::string()> at_end = [] { return std::string(); };

  report run(const options& chosen) {
    options_ = chosen;
    fibers_ = std::vector<fiber>(threads_.size());
    choices_.clear();
    states_.clear();
    random_ = options_.seed;
    report r;
    // Processor time: beside others on the machine the same number of executions is reached.
    const std::clock_t begin = std::clock();
    for (;;) {
      execute();
      ++r.executions;
      r.seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
      if (!failure_.empty()) {
        r.failure = failure_;
        // The same choices again, written down this time.
        tracing_ = true;
        options_.seed = 0;
        execute();
        tracing_ = false;
        r.trace = trace_;
        break;
      }
      if (options_.seed != 0) {
        choices_.clear();
      } else {
        while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().of) choices_.pop_back();
        if (choices_.empty()) {
          r.exhausted = true;
          break;
        }
        ++choices_.back().taken;
      }
      if (r.executions >= options_.executions || r.seconds > options_.seconds) break;
    }
    r.states = states_.size();
    return r;
  }

  // For bodies and for exploring_atomics, within an execution.

  /// The one that is executing; null outside of an execution.
  [[nodiscard]] static explorer* current() noexcept { return current_; }

  /// Any number below `n`.
  unsigned choose(unsigned n) {
    const unsigned k = take(n);
    note(k);
    if (tracing_ && n > 1) say("chooses " + std::to_string(k) + " of " + std::to_string(n));
    return k;
  }
  /// Ends the execution as wrong.
  [[noreturn]] void fail(const std::string& what) {
    if (tracing_) say("FAILS: " + what);
    failure_ = threads_[at_].name + ": " + what;
    leave();
  }
  void expect(bool holds, const char* what) {
    if (!holds) fail(what);
  }
  /// Looked in vain: goes on when what was looked at since the last pause has changed. `known` as for settle().
  void pause(std::initializer_list<std::uint64_t> known = {}) {
    state& me = threads_[at_].now;
    if (known.size() != 0) me.history = all_of(known);
    me.paused = true;
    if (tracing_) say("pauses");
    change();
    resume();
  }
  /// What the body does from here on depends on where it is and on what it knows, which `known` says, and on nothing
  /// else that it has seen before: states that differ in that alone are alike.
  void settle(std::initializer_list<std::uint64_t> known) {
    threads_[at_].now.history = all_of(known);
    threads_[at_].now.seen = {};
  }

  std::uint32_t load(const std::uint32_t* p, bool acquire) {
    before(false);
    bool stale = false;
    const std::uint32_t value = memory.load(at_, p, acquire, [&](unsigned n) { return take_stale(n, stale); });
    after(p, value);
    if (tracing_)
      say(std::string(acquire ? "load_acquire " : "load_relaxed ") + memory.name(p) + " -> " + text(value) +
          (stale ? " (stale: " + text(memory.newest(p)) + ")" : ""));
    return value;
  }
  void store(std::uint32_t* p, std::uint32_t value, bool release) {
    before(true);
    if (tracing_)
      say(std::string(release ? "store_release " : "store_relaxed ") + memory.name(p) + " = " + text(value));
    memory.store(at_, p, value, release, [&](unsigned n) {
      bool earlier = false;
      return take_stale(n, earlier);
    });
    stored(p);
  }
  template <class Change>
  std::uint32_t modify(const char* what, std::uint32_t* p, bool& modified, const Change& change_value) {
    before(false);
    bool stale = false;
    const std::uint32_t value =
        memory.modify(at_, p, modified, change_value, [&](unsigned n) { return take_stale(n, stale); });
    if (modified) threads_[at_].now.stored = true;
    after(p, value);
    if (tracing_)
      say(std::string(what) + " " + memory.name(p) + ": " + text(value) +
          (modified ? " -> " + text(memory.newest(p)) : " (left)") + (stale ? " (not the newest)" : ""));
    return value;
  }
  std::uint32_t load_ordinary(const std::uint32_t* p) {
    const std::uint32_t value = memory.load_ordinary(at_, p);
    if (tracing_) say("load " + memory.name(p) + " -> " + text(value));
    after(p, value);
    return value;
  }
  void store_ordinary(std::uint32_t* p, std::uint32_t value) {
    if (tracing_) say("store " + memory.name(p) + " = " + text(value));
    memory.store_ordinary(at_, p, value);
    const unsigned l = memory.number(p);
    if (l < weak_memory::max_locations) threads_[at_].now.seen[l] = false;
    note(0);
    verify();
  }
  void fence_acquire() {
    before(true);
    memory.fence_acquire(at_);
    note(0);
    if (tracing_) say("fence_acquire");
  }
  void fence_release() {
    before(true);
    memory.fence_release(at_);
    note(0);
    if (tracing_) say("fence_release");
  }
  void fence_sequential() {
    before(false);
    memory.fence_sequential(at_);
    note(0);
    threads_[at_].now.stored = true;
    if (tracing_) say("fence_sequential");
  }

 private:
  struct choice {
    unsigned taken, of;
  };
  struct state {
    std::array<bool, weak_memory::max_locations> seen{};  ///< looked at since the last pause
    std::array<std::uint32_t, weak_memory::max_locations> value{};
    std::uint64_t history = 0;  ///< of all that its accesses returned: with the program, where it stands
    bool stored = false;        ///< since the last point of change
    bool paused = false, finished = false;
  };
  struct body_thread {
    std::string name;
    std::function<void()> body;
    state now;
  };

  static std::string text(std::uint32_t value) {
    char s[16];
    std::snprintf(s, sizeof s, value < 0x1000 ? "%u" : "%xh", value);
    return s;
  }
  static std::uint64_t all_of(std::initializer_list<std::uint64_t> known) {
    std::uint64_t h = known.size();
    for (const std::uint64_t k : known) h = mix(h, k);
    return h;
  }
  void say(const std::string& what) { trace_ += "  " + threads_[at_].name + ": " + what + "\n"; }

  void execute() {
    reset();
    memory.begin(static_cast<unsigned>(threads_.size()));
    for (std::size_t t = 0; t < threads_.size(); ++t) {
      threads_[t].now = {};
      fibers_[t].restart(&body);
    }
    cursor_ = 0;
    steps_ = 0;
    preemptions_ = options_.preemptions;
    stale_reads_ = options_.stale_reads;
    failure_.clear();
    trace_.clear();
    pruned_ = stuck_ = false;
    current_ = this;
    at_ = take(static_cast<unsigned>(threads_.size()));
    fiber::change(driver_, fibers_[at_]);
    current_ = nullptr;
    if (failure_.empty() && !pruned_) failure_ = at_end();
    // What is wrong then may be why.
    if (std::string also; stuck_ && !(also = at_end()).empty()) failure_ += "; " + also;
  }
  static void body() {
    explorer& e = *current_;
    e.threads_[e.at_].body();
    e.threads_[e.at_].now.finished = true;
    if (e.tracing_) e.say("ends");
    e.change();
    // Nobody changes to a thread that has finished.
    e.leave();
  }
  [[noreturn]] void leave() {
    fiber::change(abandoned_, driver_);
    __builtin_unreachable();
  }

  [[nodiscard]] bool able(unsigned t) const {
    const state& s = threads_[t].now;
    if (s.finished) return false;
    if (!s.paused) return true;
    for (unsigned l = 0; l < weak_memory::max_locations; ++l)
      if (s.seen[l] && memory.has_news(t, l, s.value[l])) return true;
    return false;
  }

  /// A point of change: somebody goes on, perhaps this thread.
  void change() {
    state& me = threads_[at_].now;
    me.stored = false;
    const bool may_stay = !me.paused && !me.finished;
    if (may_stay && preemptions_ == 0) return;
    std::array<unsigned, weak_memory::max_threads> able_ones;
    unsigned n = 0;
    if (may_stay) able_ones[n++] = at_;
    for (unsigned t = 0; t < threads_.size(); ++t)
      if ((t != at_ || me.paused) && able(t)) able_ones[n++] = t;
    if (n == 0) {
      for (const body_thread& t : threads_)
        if (!t.now.finished) failure_ += (failure_.empty() ? "nobody can go on: " : ", ") + t.name;
      stuck_ = !failure_.empty();
      leave();
    }
    if (options_.seed == 0 && cursor_ == choices_.size() && !tracing_ && !states_.insert(hash()).second) {
      pruned_ = true;
      leave();
    }
    const unsigned next = able_ones[take(n)];
    if (next == at_) return;
    if (may_stay) --preemptions_;
    const unsigned before_change = at_;
    at_ = next;
    fiber::change(fibers_[before_change], fibers_[next]);
  }
  /// After a pause: one of the words that changed is seen now.
  void resume() {
    state& me = threads_[at_].now;
    me.paused = false;
    std::array<unsigned, weak_memory::max_locations> changed;
    unsigned n = 0;
    for (unsigned l = 0; l < weak_memory::max_locations; ++l)
      if (me.seen[l] && memory.has_news(at_, l, me.value[l])) changed[n++] = l;
    const unsigned l = changed[take(n)];
    memory.take_news(at_, l, me.value[l]);
    me.seen = {};
    note(0);
  }

  std::uint64_t hash() {
    unsigned alive = 0;
    for (std::size_t t = 0; t < threads_.size(); ++t) alive |= (threads_[t].now.finished ? 0u : 1u) << t;
    std::uint64_t h = mix(memory.hash(alive), alive);
    for (const body_thread& t : threads_) {
      // What a thread that has ended has seen may be what at_end() looks at; settle() says where it is not.
      h = mix(h, t.now.history * 2 + t.now.paused);
      if (!t.now.paused || t.now.finished) continue;
      for (unsigned l = 0; l < weak_memory::max_locations; ++l)
        if (t.now.seen[l]) h = mix(h, std::uint64_t{t.now.value[l]} << 8 | l);
    }
    // What is left of the bounds, and who would be preempted, decides what can still come, where there are bounds.
    if (options_.preemptions != ~0u) h = mix(mix(h, preemptions_), at_);
    if (options_.stale_reads != ~0u) h = mix(h, stale_reads_);
    return h;
  }

  unsigned take(unsigned n) {
    if (n <= 1) return 0;
    if (cursor_ < choices_.size()) return choices_[cursor_++].taken;
    unsigned k = 0;
    if (options_.seed != 0) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      // Half of the time what a strong machine does: longer ways into the program.
      const std::uint32_t drawn = static_cast<std::uint32_t>(random_ >> 33);
      k = (drawn & 1u) != 0 ? 0 : (drawn >> 1) % n;
    }
    choices_.push_back({k, n});
    ++cursor_;
    return k;
  }
  unsigned take_stale(unsigned n, bool& stale) {
    const unsigned k = stale_reads_ == 0 ? 0 : take(n);
    stale = k != 0;
    if (stale && stale_reads_ != ~0u) --stale_reads_;
    return k;
  }

  void before(bool store) {
    if (++steps_ > max_steps) fail("no end in sight");
    if (threads_[at_].now.stored && !store) change();
  }
  void note(std::uint32_t value) {
    state& me = threads_[at_].now;
    me.history = mix(me.history + 1, value);
  }
  void after(const std::uint32_t* p, std::uint32_t value) {
    note(value);
    const unsigned l = memory.number(p);
    if (l < weak_memory::max_locations) {
      threads_[at_].now.seen[l] = true;
      threads_[at_].now.value[l] = value;
    }
    verify();
  }
  void stored(const std::uint32_t* p) {
    threads_[at_].now.stored = true;
    const unsigned l = memory.number(p);
    if (l < weak_memory::max_locations) threads_[at_].now.seen[l] = false;
    note(0);
    verify();
  }
  void verify() {
    if (!memory.wrong().empty()) fail(memory.wrong());
  }

  static constexpr unsigned max_steps = 20000;
  static inline explorer* current_ = nullptr;

  options options_;
  std::vector<body_thread> threads_;
  std::vector<fiber> fibers_;
  fiber driver_, abandoned_;
  std::vector<choice> choices_;
  std::unordered_set<std::uint64_t> states_;
  std::size_t cursor_ = 0;
  std::uint64_t random_ = 0;
  unsigned at_ = 0, steps_ = 0, preemptions_ = 0, stale_reads_ = 0;
  bool tracing_ = false, pruned_ = false, stuck_ = false;
  std::string failure_, trace_;
};

}  // namespace nkv_test
