// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <istream>
#include <string>
#include <vector>

namespace nkv_test {

/// What a target is expected to skip: a name a line; empty lines, and those that begin with #, say nothing.
inline std::vector<std::string> read_skip_list(std::istream& in) {
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line.front() != '#') names.push_back(line);
  return names;
}

/// @return a line for each name that is in one list and not in the other; nothing where both are the same
inline std::vector<std::string> compare_skips(const std::vector<std::string>& skipped,
                                              const std::vector<std::string>& expected) {
  std::vector<std::string> lines;
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  for (const std::string& name : expected)
    if (!has(skipped, name)) lines.push_back("expected to be skipped, and was not: " + name);
  for (const std::string& name : skipped)
    if (!has(expected, name)) lines.push_back("not expected to be skipped: " + name);
  return lines;
}

}  // namespace nkv_test
