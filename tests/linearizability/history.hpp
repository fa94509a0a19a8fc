// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

/// What a client asked of a key, when, and what it was told. A key's value is a number; 0: there is none.
struct recorded {
  enum class verb : std::uint8_t { store, store_new, store_existing, remove, retrieve, exist };
  enum class answer : std::uint8_t {
    ok,
    absent,
    present,  ///< store_new: there is a value
    unknown,  ///< a changing operation that may happen at any time from then on, or never
    nothing,  ///< it failed, and nothing happened
  };
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t begin = 0;  ///< of one count for all clients
  std::uint64_t end = 0;
  std::uint32_t key = 0;
  verb asked = verb::retrieve;
  answer told = answer::ok;
  std::uint64_t value = 0;  ///< stored, each number once; or found

  [[nodiscard]] bool changes() const noexcept { return asked != verb::retrieve && asked != verb::exist; }
};

/// What is wrong with a history of operations on one key; empty where they could have happened one after another, each
/// at some moment between its begin and its end.
///
/// Goes through the begins and ends in their order, and keeps every state that the key could be in: its value, and
/// which of the operations under way have happened. At an operation's end those states stay, or are made by letting
/// operations under way happen, in which it has. Exact; quick where few operations are under way at a time.
[[nodiscard]] inline std::string not_linearizable(std::vector<recorded> history) {
  constexpr std::size_t most_under_way = 32;
  struct edge {
    std::uint64_t at;
    bool is_end;
    std::size_t of;
  };
  using state = std::pair<std::uint64_t, std::uint32_t>;  // the value; a bit for each operation that has happened

  std::vector<edge> edges;
  for (std::size_t i = 0; i < history.size(); ++i) {
    recorded& r = history[i];
    if (r.told == recorded::answer::nothing) continue;
    if (r.told == recorded::answer::unknown) r.end = recorded::never;
    edges.push_back({r.begin, false, i});
    if (r.end != recorded::never) edges.push_back({r.end, true, i});
  }
  std::sort(edges.begin(), edges.end(), [](const edge& a, const edge& b) { return a.at < b.at; });

  /// Whether it may happen now, and what then is the value.
  const auto happens = [](const recorded& r, std::uint64_t& value) {
    const bool there = value != 0;
    const bool unknown = r.told == recorded::answer::unknown;
    switch (r.asked) {
      case recorded::verb::retrieve: return r.told == recorded::answer::ok ? value == r.value : !there;
      case recorded::verb::exist: return there == (r.told == recorded::answer::ok);
      case recorded::verb::remove: value = 0; return true;
      case recorded::verb::store: value = r.value; return true;
      case recorded::verb::store_new:
      case recorded::verb::store_existing: {
        const bool done = there == (r.asked == recorded::verb::store_existing);
        if (!unknown && done != (r.told == recorded::answer::ok)) return false;
        if (done) value = r.value;
        return true;
      }
    }
    return false;
  };

  std::vector<std::size_t> under_way(most_under_way, history.size());
  std::vector<state> states{{0, 0}};
  for (const edge& e : edges) {
    const auto slot_of = [&](std::size_t i) {
      return static_cast<std::size_t>(std::find(under_way.begin(), under_way.end(), i) - under_way.begin());
    };
    if (!e.is_end) {
      const std::size_t free = slot_of(history.size());
      if (free == most_under_way) return "more operations under way than this looks at";
      under_way[free] = e.of;
      continue;
    }
    const std::size_t ending = slot_of(e.of);
    const std::uint32_t bit = std::uint32_t{1} << ending;
    std::vector<state> seen = states;
    std::vector<state> todo = std::move(states);
    states.clear();
    std::sort(seen.begin(), seen.end());
    while (!todo.empty()) {
      const state now = todo.back();
      todo.pop_back();
      if ((now.second & bit) != 0) {
        states.emplace_back(now.first, now.second & ~bit);
        continue;
      }
      for (std::size_t i = 0; i < most_under_way; ++i) {
        if (under_way[i] == history.size() || (now.second >> i & 1u) != 0) continue;
        state next{now.first, now.second | std::uint32_t{1} << i};
        if (!happens(history[under_way[i]], next.first)) continue;
        const auto at = std::lower_bound(seen.begin(), seen.end(), next);
        if (at != seen.end() && *at == next) continue;
        seen.insert(at, next);
        todo.push_back(next);
      }
    }
    std::sort(states.begin(), states.end());
    states.erase(std::unique(states.begin(), states.end()), states.end());
    under_way[ending] = history.size();
    if (states.empty()) {
      const recorded& r = history[e.of];
      return "no order explains operation " + std::to_string(e.of) + " of key " + std::to_string(r.key) + ", kind " +
             std::to_string(static_cast<int>(r.asked)) + " from " + std::to_string(r.begin) + " to " +
             std::to_string(r.end) + ": told " + std::to_string(static_cast<int>(r.told)) + ", value " +
             std::to_string(r.value);
    }
  }
  return {};
}

}  // namespace nkv_test
