// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test::foreign {

/// Keys and values of the one namespace. They outlive connections and resets.
struct store {
  struct entry {
    std::string value;
    std::uint64_t slot = 0;
  };
  std::map<std::string, entry> entries;
  std::uint64_t next_slot = 0;

  void set(const std::string& key, std::string value) {
    const auto [at, made] = entries.try_emplace(key);
    if (made) at->second.slot = next_slot++;
    at->second.value = std::move(value);
  }

  enum class order { of_bytes, of_slots, of_hashes };

  /// All keys from `start` on, which may be empty for all.
  [[nodiscard]] std::vector<std::string> keys(const std::string& start, order how) const {
    std::vector<std::string> all;
    for (const auto& [key, unused] : entries) all.push_back(key);
    auto from = all.begin();
    switch (how) {
      case order::of_bytes: from = std::lower_bound(all.begin(), all.end(), start); break;
      case order::of_slots:
        std::sort(all.begin(), all.end(), [this](const std::string& a, const std::string& b) {
          return entries.at(a).slot < entries.at(b).slot;
        });
        from = std::find(all.begin(), all.end(), start);
        if (from == all.end()) from = all.begin();
        break;
      case order::of_hashes:
        // As RADOS lists objects: in no order that the keys tell of, and skipping to the first that is not less.
        std::sort(all.begin(), all.end(), [](const std::string& a, const std::string& b) {
          return std::hash<std::string>{}(a) < std::hash<std::string>{}(b);
        });
        from = std::find_if(all.begin(), all.end(), [&start](const std::string& k) { return k >= start; });
        break;
    }
    return {from, all.end()};
  }
};

}  // namespace nkv_test::foreign
