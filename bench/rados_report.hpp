// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "rados_load.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace bench::rados {

/// A load, by nkv and by others.
struct row {
  load what;
  double nkv_per_s = 0, native_per_s = 0, rados_bench_per_s = 0;
  double ratio = 0;  ///< of the rates, round by round; the median
  double nkv_p50_ns = 0, native_p50_ns = 0, nkv_p99_ns = 0, native_p99_ns = 0;
  double added_ns = 0;  ///< by p50, round by round; the median
};

/// A figure that somebody set, and what it is.
struct goal {
  std::string text, wanted, measured;
  bool reached = false;
};

[[nodiscard]] std::vector<goal> goals_of(const std::vector<row>& rows);
/// @param beside what else was measured, by name
void print(const std::vector<row>& rows, const std::vector<goal>& goals, const nlohmann::ordered_json& beside);
[[nodiscard]] nlohmann::ordered_json json_of(const nlohmann::ordered_json& origin, const std::vector<row>& rows,
                                             const std::vector<goal>& goals, const nlohmann::ordered_json& beside);

}  // namespace bench::rados
