// SPDX-License-Identifier: BSD-3-Clause
//
// That the model is what C++20 says of relaxed, acquire and release accesses and fences: the known litmus tests, each
// with every outcome that it must show and no other. The one exception is load buffering, which is allowed and which
// this model cannot show.
#include <explore/exploring_atomics.hpp>

#include <nkv/base/scope.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace {

using A = nkv_test::exploring_atomics;
constexpr auto scope = nkv::device_scope;

/// Some words, and what each thread read, in the order of the registers.
struct litmus {
  alignas(64) std::uint32_t word[8] = {};
  std::uint32_t& x = word[0];
  std::uint32_t& y = word[1];
  std::uint32_t r[4] = {};
  nkv_test::explorer explorer;
  std::set<std::string> outcomes;

  explicit litmus(std::vector<std::function<void(litmus&)>> bodies) {
    explorer.memory.watch_mixed(&x, "x");
    explorer.memory.watch(&y, "y");
    for (std::size_t t = 0; t < bodies.size(); ++t)
      explorer.thread("thread " + std::to_string(t), [this, body = bodies[t]] { body(*this); });
    explorer.reset = [this] {
      for (std::uint32_t& w : word) w = 0;
      for (std::uint32_t& v : r) v = 0;
    };
  }
  /// The outcomes `r0 r1 ...` of `registers` registers, then of x and y where `finals`, sorted.
  std::set<std::string> all(unsigned registers, bool finals = false) {
    outcomes.clear();
    explorer.at_end = [this, registers, finals] {
      std::string o;
      for (unsigned i = 0; i < registers; ++i) o += std::to_string(r[i]);
      if (finals) o += std::to_string(x) + std::to_string(y);
      outcomes.insert(o);
      return std::string();
    };
    const auto report = explorer.run({});
    CHECK(report.exhausted);
    CHECK_MESSAGE(report.failure.empty(), report.failure, "\n", report.trace);
    return outcomes;
  }
  std::string failure() {
    explorer.at_end = [] { return std::string(); };
    return explorer.run({}).failure;
  }
};

using outcomes = std::set<std::string>;

void relaxed(std::uint32_t& w, std::uint32_t v) { A::store_relaxed(&w, v, scope); }
void release(std::uint32_t& w, std::uint32_t v) { A::store_release(&w, v, scope); }
std::uint32_t relaxed(const std::uint32_t& w) { return A::load_relaxed(&w, scope); }
std::uint32_t acquire(const std::uint32_t& w) { return A::load_acquire(&w, scope); }
std::uint32_t add(std::uint32_t& w, std::uint32_t v) { return A::fetch_add(&w, v, scope); }

}  // namespace

TEST_SUITE("explore/litmus") {
  TEST_CASE("store buffering: both may miss the other's store, whatever the order") {
    litmus plain({[](litmus& l) { relaxed(l.x, 1), l.r[0] = relaxed(l.y); },
                  [](litmus& l) { relaxed(l.y, 1), l.r[1] = relaxed(l.x); }});
    CHECK(plain.all(2) == outcomes{"00", "01", "10", "11"});
    litmus ordered({[](litmus& l) { release(l.x, 1), l.r[0] = acquire(l.y); },
                    [](litmus& l) { release(l.y, 1), l.r[1] = acquire(l.x); }});
    CHECK(ordered.all(2) == outcomes{"00", "01", "10", "11"});
    // An acquire-release exchange in the place of the store is no barrier for the load behind it.
    litmus exchanged({[](litmus& l) { A::exchange(&l.x, 1u, scope), l.r[0] = acquire(l.y); },
                      [](litmus& l) { A::exchange(&l.y, 1u, scope), l.r[1] = acquire(l.x); }});
    CHECK(exchanged.all(2) == outcomes{"00", "01", "10", "11"});
  }
  TEST_CASE("store buffering: not with sequentially consistent fences, nor with read-modify-writes throughout") {
    litmus fenced({[](litmus& l) { relaxed(l.x, 1), A::fence_sequential(scope), l.r[0] = relaxed(l.y); },
                   [](litmus& l) { relaxed(l.y, 1), A::fence_sequential(scope), l.r[1] = relaxed(l.x); }});
    CHECK(fenced.all(2) == outcomes{"01", "10", "11"});
    litmus half(
        {[](litmus& l) { relaxed(l.x, 1), A::fence_sequential(scope), l.r[0] = relaxed(l.y); },
         [](litmus& l) { relaxed(l.y, 1), A::fence_release(scope), A::fence_acquire(scope), l.r[1] = relaxed(l.x); }});
    CHECK(half.all(2) == outcomes{"00", "01", "10", "11"});
    litmus modified(
        {[](litmus& l) { add(l.x, 1), l.r[0] = add(l.y, 0); }, [](litmus& l) { add(l.y, 1), l.r[1] = add(l.x, 0); }});
    CHECK(modified.all(2) == outcomes{"01", "10", "11"});
  }

  TEST_CASE("message passing: stale data under relaxed accesses, not under release and acquire") {
    litmus plain({[](litmus& l) { relaxed(l.x, 1), relaxed(l.y, 1); },
                  [](litmus& l) { l.r[0] = relaxed(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(plain.all(2) == outcomes{"00", "01", "10", "11"});
    litmus no_acquire({[](litmus& l) { relaxed(l.x, 1), release(l.y, 1); },
                       [](litmus& l) { l.r[0] = relaxed(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(no_acquire.all(2) == outcomes{"00", "01", "10", "11"});
    litmus no_release({[](litmus& l) { relaxed(l.x, 1), relaxed(l.y, 1); },
                       [](litmus& l) { l.r[0] = acquire(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(no_release.all(2) == outcomes{"00", "01", "10", "11"});
    litmus ordered({[](litmus& l) { relaxed(l.x, 1), release(l.y, 1); },
                    [](litmus& l) { l.r[0] = acquire(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(ordered.all(2) == outcomes{"00", "01", "11"});
  }
  TEST_CASE("message passing: a release fence before the store, an acquire fence behind the load") {
    litmus both({[](litmus& l) { relaxed(l.x, 1), A::fence_release(scope), relaxed(l.y, 1); },
                 [](litmus& l) { l.r[0] = relaxed(l.y), A::fence_acquire(scope), l.r[1] = relaxed(l.x); }});
    CHECK(both.all(2) == outcomes{"00", "01", "11"});
    litmus mixed({[](litmus& l) { relaxed(l.x, 1), A::fence_release(scope), relaxed(l.y, 1); },
                  [](litmus& l) { l.r[0] = acquire(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(mixed.all(2) == outcomes{"00", "01", "11"});
    litmus too_late({[](litmus& l) { relaxed(l.x, 1), relaxed(l.y, 1), A::fence_release(scope); },
                     [](litmus& l) { l.r[0] = relaxed(l.y), A::fence_acquire(scope), l.r[1] = relaxed(l.x); }});
    CHECK(too_late.all(2) == outcomes{"00", "01", "10", "11"});
  }

  TEST_CASE("load buffering: allowed, and not shown: the limit of the model") {
    litmus plain({[](litmus& l) { l.r[0] = relaxed(l.y), relaxed(l.x, 1); },
                  [](litmus& l) { l.r[1] = relaxed(l.x), relaxed(l.y, 1); }});
    CHECK(plain.all(2) == outcomes{"00", "01", "10"});  // C++20: and 11
    litmus ordered({[](litmus& l) { l.r[0] = acquire(l.y), release(l.x, 1); },
                    [](litmus& l) { l.r[1] = acquire(l.x), release(l.y, 1); }});
    CHECK(ordered.all(2) == outcomes{"00", "01", "10"});
  }

  TEST_CASE("coherence: one word is never read backwards") {
    litmus l({[](litmus& w) { relaxed(w.x, 1), relaxed(w.x, 2); },
              [](litmus& w) { w.r[0] = relaxed(w.x), w.r[1] = relaxed(w.x); }});
    CHECK(l.all(2) == outcomes{"00", "01", "02", "11", "12", "22"});
    // Nor does a thread read what is older than its own store.
    litmus own({[](litmus& w) { relaxed(w.x, 1), w.r[0] = relaxed(w.x); }, [](litmus& w) { relaxed(w.x, 2); }});
    CHECK(own.all(1) == outcomes{"1", "2"});
  }
  TEST_CASE("2+2W: the first stores may both end up last") {
    litmus plain(
        {[](litmus& l) { release(l.x, 1), release(l.y, 2); }, [](litmus& l) { release(l.y, 1), release(l.x, 2); }});
    CHECK(plain.all(0, true) == outcomes{"11", "12", "21", "22"});
    litmus fenced({[](litmus& l) { relaxed(l.x, 1), A::fence_sequential(scope), relaxed(l.y, 2); },
                   [](litmus& l) { relaxed(l.y, 1), A::fence_sequential(scope), relaxed(l.x, 2); }});
    CHECK(fenced.all(0, true) == outcomes{"12", "21", "22"});
  }
  TEST_CASE("independent reads of independent writes: two readers may disagree, but for fences") {
    litmus ordered({[](litmus& l) { release(l.x, 1); }, [](litmus& l) { release(l.y, 1); },
                    [](litmus& l) { l.r[0] = acquire(l.x), l.r[1] = acquire(l.y); },
                    [](litmus& l) { l.r[2] = acquire(l.y), l.r[3] = acquire(l.x); }});
    outcomes every;
    for (unsigned i = 0; i < 16; ++i)
      every.insert({static_cast<char>('0' + (i >> 3)), static_cast<char>('0' + (i >> 2 & 1)),
                    static_cast<char>('0' + (i >> 1 & 1)), static_cast<char>('0' + (i & 1))});
    CHECK(ordered.all(4) == every);
    litmus fenced({[](litmus& l) { release(l.x, 1); }, [](litmus& l) { release(l.y, 1); },
                   [](litmus& l) { l.r[0] = acquire(l.x), A::fence_sequential(scope), l.r[1] = acquire(l.y); },
                   [](litmus& l) { l.r[2] = acquire(l.y), A::fence_sequential(scope), l.r[3] = acquire(l.x); }});
    every.erase("1010");
    CHECK(fenced.all(4) == every);
  }

  TEST_CASE("release sequence: goes on through read-modify-writes, not through a store") {
    litmus modified({[](litmus& l) { relaxed(l.x, 1), release(l.y, 1); }, [](litmus& l) { add(l.y, 2); },
                     [](litmus& l) { l.r[0] = acquire(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(modified.all(2) == outcomes{"00", "01", "11", "20", "21", "31"});
    litmus stored({[](litmus& l) { relaxed(l.x, 1), release(l.y, 1), relaxed(l.y, 3); },
                   [](litmus& l) { l.r[0] = acquire(l.y), l.r[1] = relaxed(l.x); }});
    CHECK(stored.all(2) == outcomes{"00", "01", "11", "30", "31"});
  }
  TEST_CASE("read-modify-writes: none is lost, and only one of two compare-exchanges wins") {
    litmus sum({[](litmus& l) { l.r[0] = add(l.x, 1); }, [](litmus& l) { l.r[1] = add(l.x, 1); },
                [](litmus& l) { relaxed(l.y, add(l.x, 1)); }});
    for (const std::string& o : sum.all(2, true)) CHECK(o.substr(2, 1) == "3");
    litmus race({[](litmus& l) {
                   std::uint32_t e = 0;
                   l.r[0] = A::compare_exchange(&l.x, e, 1u, scope);
                 },
                 [](litmus& l) {
                   std::uint32_t e = 0;
                   l.r[1] = A::compare_exchange(&l.x, e, 2u, scope);
                 }});
    CHECK(race.all(2) == outcomes{"01", "10"});
  }

  TEST_CASE("ordinary accesses: ordered by release and acquire, else a data race") {
    const auto writer = [](litmus& l) { A::store_plain(&l.x, 1u), release(l.y, 1); };
    litmus ordered({writer, [](litmus& l) {
                      if (acquire(l.y) == 1) l.r[0] = A::load_plain(&l.x);
                    }});
    CHECK(ordered.all(1) == outcomes{"0", "1"});
    const std::string race = "data race: x: ";
    litmus no_acquire({writer, [](litmus& l) {
                         if (relaxed(l.y) == 1) l.r[0] = A::load_plain(&l.x);
                       }});
    CHECK(no_acquire.failure().find(race) != std::string::npos);
    litmus no_release({[](litmus& l) { A::store_plain(&l.x, 1u), relaxed(l.y, 1); },
                       [](litmus& l) {
                         if (acquire(l.y) == 1) l.r[0] = A::load_plain(&l.x);
                       }});
    CHECK(no_release.failure().find(race) != std::string::npos);
    litmus two_writers({[](litmus& l) { A::store_plain(&l.x, 1u); }, [](litmus& l) { A::store_plain(&l.x, 1u); }});
    CHECK(two_writers.failure().find(race) != std::string::npos);
    // A store after another's load must be ordered as well.
    litmus load_first({[](litmus& l) { l.r[0] = A::load_plain(&l.x), relaxed(l.y, 1); },
                       [](litmus& l) {
                         if (acquire(l.y) == 1) A::store_plain(&l.x, 1u);
                       }});
    CHECK(load_first.failure().find(race) != std::string::npos);
    litmus given_back({[](litmus& l) { l.r[0] = A::load_plain(&l.x), release(l.y, 1); },
                       [](litmus& l) {
                         if (acquire(l.y) == 1) A::store_plain(&l.x, 1u);
                       }});
    CHECK(given_back.all(1) == outcomes{"0"});
    litmus half_atomic({[](litmus& l) { A::store_plain(&l.x, 1u); }, [](litmus& l) { l.r[0] = relaxed(l.x); }});
    CHECK(half_atomic.failure().find(race) != std::string::npos);
    litmus loads({[](litmus& l) { l.r[0] = A::load_plain(&l.x); }, [](litmus& l) { l.r[1] = A::load_plain(&l.x); }});
    CHECK(loads.all(2) == outcomes{"00"});
  }

  TEST_CASE("pause: a loop ends when what it waits for comes, and waiting for what never comes is reported") {
    const auto wait = [](litmus& l) {
      while (acquire(l.y) == 0) nkv_test::explorer::current()->pause();
      l.r[0] = relaxed(l.x);
    };
    litmus comes({[](litmus& l) { relaxed(l.x, 1), release(l.y, 1); }, wait});
    CHECK(comes.all(1) == outcomes{"1"});
    litmus never({[](litmus& l) { relaxed(l.x, 1); }, wait});
    CHECK(never.failure() == "nobody can go on: thread 1");
    // Each waits for the other, and each may take the lock in between without waking the other for ever.
    const auto locked = [](litmus& l) {
      for (;;) {
        if (A::exchange(&l.y, 1u, scope) == 0) {
          const bool come = relaxed(l.x) != 0;
          release(l.y, 0);
          if (come) return;
        }
        nkv_test::explorer::current()->pause();
      }
    };
    litmus two({locked, locked, [](litmus& l) { relaxed(l.x, 1); }});
    CHECK(two.all(0) == outcomes{""});
    litmus nobody({locked, locked});
    CHECK(nobody.failure() == "nobody can go on: thread 0, thread 1");
  }

  TEST_CASE("bounds and seeds: fewer executions, the same kind of outcome") {
    litmus plain({[](litmus& l) { relaxed(l.x, 1), l.r[0] = relaxed(l.y); },
                  [](litmus& l) { relaxed(l.y, 1), l.r[1] = relaxed(l.x); }});
    const auto seen = [&](const nkv_test::explorer::options& o) {
      plain.all(2);
      plain.outcomes.clear();
      const auto report = plain.explorer.run(o);
      CHECK(report.failure.empty());
      CHECK(report.exhausted == (o.seed == 0));
      return plain.outcomes;
    };
    CHECK(seen({.stale_reads = 0}) == outcomes{"01", "10", "11"});
    CHECK(seen({.preemptions = 0, .stale_reads = 0}) == outcomes{"01", "10"});
    CHECK(seen({.seed = 7, .executions = 200}) == outcomes{"00", "01", "10", "11"});
  }
}
