// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t value) noexcept {
  h = (h ^ value) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

/// Memory as threads with store buffers and stale caches see it: the atomics of C++20 (relaxed, acquire, release,
/// acquire-release read-modify-writes, fences) in the operational form with views.
///
/// A location is the list of the values that were ever stored to it, in its modification order. A thread has a view: of
/// each location the oldest of these values that it may still read. A load reads any value from there on; an acquire
/// takes over the view that the release beside the value had. A store takes any place in the modification order behind
/// the thread's view, a read-modify-write the place right behind the value that it reads, where nothing comes between.
/// Ordinary accesses must be ordered with every conflicting one by vector clocks; otherwise wrong() says where.
///
/// What cannot happen here is load buffering: a load never reads a store that is made later. C++, arm64 and PTX allow
/// it for relaxed accesses; an algorithm that is wrong only then is taken for right.
///
/// All orders of everything come from `choose(n)`, called wherever n > 1 outcomes are possible: 0 is what a machine
/// without any reordering does.
class weak_memory {
 public:
  static constexpr unsigned max_threads = 5;
  static constexpr unsigned max_locations = 192;  ///< watched words
  static constexpr unsigned max_atomic = 64;      ///< of them those that atomic accesses touch
  static constexpr unsigned max_clock = 256;      ///< releases by one thread

  bool fences = true;  ///< whether a fence may come; without, more states are alike

  /// Takes in the word at `p`, which atomic accesses alone touch; `whole`: states that differ in values of it that no
  /// thread can read any more are different.
  void watch(const std::uint32_t* p, std::string name, bool whole = false) {
    add(p, std::move(name), true, false, whole);
  }
  /// Takes in a word that ordinary accesses alone touch.
  void watch_ordinary(const std::uint32_t* p, std::string name) { add(p, std::move(name), false, true, false); }
  /// Takes in a word that both touch.
  void watch_mixed(const std::uint32_t* p, std::string name) { add(p, std::move(name), true, true, false); }
  /// Takes in memory of one thread's own, and which one's is its business.
  void leave_alone(const void* p, std::size_t bytes) {
    alone_ = reinterpret_cast<std::uintptr_t>(p);
    alone_bytes_ = bytes;
  }

  /// Starts over with what the watched words hold now; thread 0 to `threads` - 1 have seen that.
  void begin(unsigned threads) {
    count_ = threads;
    wrong_.clear();
    for (location& x : locations_) {
      x.messages.clear();
      if (x.atomic) x.messages.push_back({*x.word, {}, false});
      x.last = {};
    }
    threads_ = {};
    for (unsigned t = 0; t < threads; ++t) threads_[t].now.clock[t] = 1;
    sequence_ = {};
  }

  template <class Choose>
  std::uint32_t load(unsigned t, const std::uint32_t* p, bool acquire, const Choose& choose) {
    location* x = atomic(t, p);
    if (!x) return *p;
    check(t, *x, false, true);
    const unsigned at = self(*x);
    const unsigned newest = static_cast<unsigned>(x->messages.size()) - 1;
    const unsigned from = newest - choose(newest - threads_[t].now.at[at] + 1);
    see(t, *x, from, acquire);
    return x->messages[from].value;
  }

  template <class Choose>
  void store(unsigned t, std::uint32_t* p, std::uint32_t value, bool release, const Choose& choose) {
    location* x = atomic(t, p);
    if (!x) {
      *p = value;
      return;
    }
    check(t, *x, true, true);
    const unsigned at = self(*x);
    const unsigned end = static_cast<unsigned>(x->messages.size());
    // Every place behind the view, from the end backwards, that does not tear a read-modify-write from what it read.
    unsigned places = 1;
    for (unsigned i = end - 1; i > threads_[t].now.at[at]; --i) places += !x->messages[i].glued;
    unsigned place = end;
    for (unsigned skip = choose(places); skip != 0;) skip -= !x->messages[--place].glued;
    insert(t, *x, place, value, false, release ? threads_[t].now : threads_[t].released);
    if (release) tick(t);
  }

  /// An acquire-release read-modify-write: `change(value, result)` gives the new value, or false to leave it at a load
  /// (acquire). @return what was read
  template <class Change, class Choose>
  std::uint32_t modify(unsigned t, std::uint32_t* p, bool& modified, const Change& change, const Choose& choose) {
    location* x = atomic(t, p);
    if (!x) {
      const std::uint32_t before = *p;
      std::uint32_t after = 0;
      modified = change(before, after);
      if (modified) *p = after;
      return before;
    }
    const unsigned at = self(*x);
    const unsigned oldest = threads_[t].now.at[at];
    const auto possible = [&](unsigned i) {
      std::uint32_t result = 0;
      return i + 1 == x->messages.size() || !x->messages[i + 1].glued || !change(x->messages[i].value, result);
    };
    unsigned n = 0;
    for (unsigned i = oldest; i < x->messages.size(); ++i) n += possible(i);
    unsigned from = static_cast<unsigned>(x->messages.size()) - 1;
    for (unsigned skip = choose(n); skip != 0;) skip -= possible(--from);
    const std::uint32_t value = x->messages[from].value;
    std::uint32_t result = 0;
    modified = change(value, result);
    check(t, *x, modified, true);
    // A read-modify-write goes on with the release sequence of what it read.
    const memory_view continued = x->messages[from].released;
    see(t, *x, from, true);
    if (modified) {
      memory_view released = threads_[t].now;
      join(released, continued);
      insert(t, *x, from + 1, result, true, released);
      tick(t);
    }
    return value;
  }

  std::uint32_t load_ordinary(unsigned t, const std::uint32_t* p) {
    location* x = ordinary(t, p);
    if (x) check(t, *x, false, false);
    return *p;
  }
  void store_ordinary(unsigned t, std::uint32_t* p, std::uint32_t value) {
    location* x = ordinary(t, p);
    if (x) check(t, *x, true, false);
    if (x && x->atomic)
      insert(t, *x, static_cast<unsigned>(x->messages.size()), value, false, {});
    else
      *p = value;
  }

  void fence_acquire(unsigned t) {
    if (!fences) wrong_ = "a fence, and `fences` is not set";
    join(threads_[t].now, threads_[t].acquired);
  }
  void fence_release(unsigned t) {
    if (!fences) wrong_ = "a fence, and `fences` is not set";
    threads_[t].released = threads_[t].now;
    tick(t);
  }
  void fence_sequential(unsigned t) {
    fence_acquire(t);
    join(threads_[t].now, sequence_);
    sequence_ = threads_[t].now;
    fence_release(t);
  }

  /// What was accessed in a way that the language calls undefined; empty where nothing was.
  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] std::string name(const std::uint32_t* p) const {
    const std::size_t l = index_of(p);
    return l < locations_.size() ? locations_[l].name : "memory that nobody watches";
  }
  [[nodiscard]] std::uint32_t newest(const std::uint32_t* p) const { return *p; }
  /// All values that the word ever had, in modification order.
  [[nodiscard]] std::vector<std::uint32_t> history(const std::uint32_t* p) const {
    std::vector<std::uint32_t> values;
    for (const message& m : locations_[index_of(p)].messages) values.push_back(m.value);
    return values;
  }
  /// Which of the watched words it is; max_locations where it is none.
  [[nodiscard]] unsigned number(const std::uint32_t* p) const {
    const std::size_t l = index_of(p);
    return l < locations_.size() ? static_cast<unsigned>(l) : max_locations;
  }

  /// Whether thread `t`, which last saw `value` there, could now see another.
  [[nodiscard]] bool has_news(unsigned t, unsigned location_number, std::uint32_t value) const {
    const location& x = locations_[location_number];
    return x.atomic ? news(t, x, value) != 0 : *x.word != value;
  }
  /// From now on thread `t` sees it.
  void take_news(unsigned t, unsigned location_number, std::uint32_t value) {
    const location& x = locations_[location_number];
    if (x.atomic) threads_[t].now.at[x.slot] = static_cast<std::uint8_t>(news(t, x, value));
  }

  /// Equal for states that are alike to the threads that are still `alive`, a bit each: what can be read by whom, and
  /// what would race.
  [[nodiscard]] std::uint64_t hash(unsigned alive) {
    // What every thread has left behind cannot be read any more, and what every thread knows of cannot race any more.
    std::array<std::uint8_t, max_atomic> base{};
    std::array<std::uint16_t, max_threads> known{};
    for (unsigned s = 0; s < slots_; ++s) {
      unsigned least = 255;
      for (unsigned t = 0; t < count_; ++t)
        if ((alive >> t & 1u) != 0 && threads_[t].now.at[s] < least) least = threads_[t].now.at[s];
      base[s] = static_cast<std::uint8_t>(whole_[s] ? 0u : least);
    }
    for (unsigned u = 0; u < count_; ++u) {
      unsigned least = 0xffff;
      for (unsigned t = 0; t < count_; ++t)
        if (t != u && (alive >> t & 1u) != 0 && threads_[t].now.clock[u] < least) least = threads_[t].now.clock[u];
      known[u] = static_cast<std::uint16_t>(least);
    }
    // Of a clock it matters alone which ordinary accesses it comes behind.
    std::array<std::array<std::uint8_t, max_clock>, max_threads> rank{};
    for (const location& x : locations_)
      if (x.ordinary)
        for (const auto& clocks : x.last)
          for (unsigned u = 0; u < count_; ++u)
            if (clocks[u] > known[u]) rank[u][clocks[u]] = 1;
    for (unsigned u = 0; u < count_; ++u)
      for (unsigned c = 1; c < max_clock; ++c) rank[u][c] = static_cast<std::uint8_t>(rank[u][c] + rank[u][c - 1]);
    const auto with = [&](std::uint64_t h, const memory_view& v) {
      std::array<std::uint8_t, max_atomic> at;
      for (unsigned s = 0; s < slots_; ++s)
        at[s] = static_cast<std::uint8_t>(v.at[s] > base[s] ? v.at[s] - base[s] : 0);
      for (unsigned s = slots_; s % 8 != 0; ++s) at[s] = 0;
      for (unsigned s = 0; s < slots_; s += 8) {
        std::uint64_t eight;
        __builtin_memcpy(&eight, &at[s], 8);
        h = mix(h, eight);
      }
      std::uint64_t clocks = 0;
      for (unsigned u = 0; u < count_; ++u) clocks = clocks << 8 | rank[u][v.clock[u]];
      return mix(h, clocks);
    };
    std::uint64_t h = fences ? with(1, sequence_) : 1;
    for (const location& x : locations_) {
      if (x.atomic) {
        h = mix(h, x.messages.size() - base[x.slot]);
        for (std::size_t i = base[x.slot]; i < x.messages.size(); ++i)
          h = with(mix(h, x.messages[i].value * std::uint64_t{2} + x.messages[i].glued), x.messages[i].released);
      } else {
        h = mix(h, *x.word);
      }
      if (x.ordinary) {
        for (const auto& clocks : x.last) {
          std::uint64_t ranks = 0;
          for (unsigned u = 0; u < count_; ++u) ranks = ranks << 8 | (clocks[u] > known[u] ? rank[u][clocks[u]] : 0u);
          h = mix(h, ranks);
        }
      }
    }
    for (unsigned t = 0; t < count_; ++t) {
      if ((alive >> t & 1u) == 0) continue;
      h = with(h, threads_[t].now);
      if (fences) h = with(with(h, threads_[t].acquired), threads_[t].released);
    }
    return h;
  }

 private:
  struct memory_view {
    std::array<std::uint8_t, max_atomic> at{};       ///< the oldest value that may be read
    std::array<std::uint16_t, max_threads> clock{};  ///< how far each thread's accesses come before
  };
  struct message {
    std::uint32_t value;
    memory_view released;
    bool glued;  ///< a read-modify-write of the one before
  };
  enum kind { ordinary_load, ordinary_store, atomic_load, atomic_store, kinds };
  struct location {
    std::uint32_t* word;
    std::string name;
    std::vector<message> messages;
    bool atomic, ordinary;                                           ///< the accesses that may be
    unsigned slot;                                                   ///< in a view
    std::array<std::array<std::uint16_t, max_threads>, kinds> last;  ///< each thread's clock at its last access
  };
  struct thread {
    memory_view now;
    memory_view acquired;  ///< what an acquire fence will bring
    memory_view released;  ///< what a relaxed store gives on: the view at the last release fence
  };

  void add(const std::uint32_t* p, std::string name, bool atomic, bool ordinary, bool whole) {
    // The model writes the newest value through, so that whoever looks without it sees that.
    locations_.push_back({const_cast<std::uint32_t*>(p), std::move(name), {}, atomic, ordinary, slots_, {}});
    if (atomic) whole_[slots_++] = whole;
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(p);
    if (locations_.size() == 1) first_ = address;
    if (address < first_) {
      index_.insert(index_.begin(), (first_ - address) / 4, 0);
      first_ = address;
    }
    const std::size_t i = (address - first_) / 4;
    if (i >= index_.size()) index_.resize(i + 1, 0);
    index_[i] = static_cast<std::uint16_t>(locations_.size());
  }
  [[nodiscard]] std::size_t index_of(const std::uint32_t* p) const {
    const std::size_t i = (reinterpret_cast<std::uintptr_t>(p) - first_) / 4;
    return i < index_.size() && index_[i] != 0 ? index_[i] - 1u : locations_.size();
  }
  location* find(unsigned t, const std::uint32_t* p) {
    const std::size_t l = index_of(p);
    if (l < locations_.size()) return &locations_[l];
    if (reinterpret_cast<std::uintptr_t>(p) - alone_ >= alone_bytes_)
      wrong_ = "thread " + std::to_string(t) + " uses memory that nobody watches";
    return nullptr;
  }
  location* atomic(unsigned t, const std::uint32_t* p) {
    location* x = find(t, p);
    if (!x || x->atomic) return x;
    wrong_ = x->name + ": an atomic access to an ordinary word";
    return nullptr;
  }
  location* ordinary(unsigned t, const std::uint32_t* p) {
    location* x = find(t, p);
    if (!x || x->ordinary) return x;
    wrong_ = x->name + ": an ordinary access to an atomic word";
    return nullptr;
  }
  [[nodiscard]] static unsigned self(const location& x) { return x.slot; }

  void join(memory_view& a, const memory_view& b) const {
    for (unsigned s = 0; s < slots_; ++s) a.at[s] = std::max(a.at[s], b.at[s]);
    for (unsigned u = 0; u < count_; ++u) a.clock[u] = std::max(a.clock[u], b.clock[u]);
  }

  void see(unsigned t, const location& x, unsigned from, bool acquire) {
    thread& s = threads_[t];
    s.now.at[x.slot] = std::max(s.now.at[x.slot], static_cast<std::uint8_t>(from));
    const memory_view& released = x.messages[from].released;
    if (fences) join(s.acquired, released);
    if (acquire) join(s.now, released);
  }
  void tick(unsigned t) {
    if (++threads_[t].now.clock[t] == max_clock - 1) wrong_ = "too many releases by one thread";
  }

  void insert(unsigned t, location& x, unsigned place, std::uint32_t value, bool glued, memory_view released) {
    if (x.messages.size() == 254) {
      wrong_ = x.name + ": stored to 254 times";
      return;
    }
    if (place != x.messages.size()) {
      const auto shift = [&](memory_view& v) {
        v.at[x.slot] = static_cast<std::uint8_t>(v.at[x.slot] + (v.at[x.slot] >= place));
      };
      for (location& l : locations_)
        for (message& m : l.messages) shift(m.released);
      for (thread& s : threads_) {
        shift(s.now);
        shift(s.acquired);
        shift(s.released);
      }
      shift(released);
      shift(sequence_);
    }
    released.at[x.slot] = std::max(released.at[x.slot], static_cast<std::uint8_t>(place));
    threads_[t].now.at[x.slot] = static_cast<std::uint8_t>(place);
    x.messages.insert(x.messages.begin() + place, message{value, released, glued});
    *x.word = x.messages.back().value;
  }

  /// An ordinary access must not meet an unordered conflicting one of any kind, an atomic one no ordinary one.
  void check(unsigned t, location& x, bool store, bool is_atomic) {
    if (!x.ordinary) return;
    const thread& me = threads_[t];
    for (unsigned u = 0; u < count_; ++u) {
      if (u == t) continue;
      for (unsigned k = 0; k < kinds; ++k) {
        const bool other_stores = k == ordinary_store || k == atomic_store;
        const bool other_atomic = k == atomic_load || k == atomic_store;
        if ((is_atomic && other_atomic) || !(store || other_stores) || x.last[k][u] <= me.now.clock[u]) continue;
        if (wrong_.empty())
          wrong_ = "data race: " + x.name + ": " + (store ? "a store" : "a load") + " by thread " + std::to_string(t) +
                   " and " + (other_stores ? "a store" : "a load") + " by thread " + std::to_string(u);
      }
    }
    x.last[(is_atomic ? 2u : 0u) + (store ? 1u : 0u)][t] = me.now.clock[t];
  }

  [[nodiscard]] unsigned news(unsigned t, const location& x, std::uint32_t value) const {
    // What another acquire has brought since counts too.
    for (unsigned i = threads_[t].now.at[x.slot]; i < x.messages.size(); ++i)
      if (x.messages[i].value != value) return i;
    return 0;
  }

  std::vector<location> locations_;
  std::vector<std::uint16_t> index_;  ///< of the word at that distance from first_: its location + 1
  std::uintptr_t first_ = 0, alone_ = 0;
  std::size_t alone_bytes_ = 0;
  std::array<bool, max_atomic> whole_{};
  std::array<thread, max_threads> threads_{};
  memory_view sequence_;  ///< what sequentially consistent fences pass on
  unsigned count_ = 0, slots_ = 0;
  std::string wrong_;
};

}  // namespace nkv_test
