// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "spine_count.hpp"
#include "spine_idle.hpp"
#include "spine_load.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// A middle value and where the middle half of the windows lie.
struct spread {
  double low = 0;     ///< the lower quartile
  double middle = 0;  ///< the median
  double high = 0;    ///< the upper quartile
};
[[nodiscard]] spread spread_of(const std::vector<double>& values);

/// What is known of one load over one transport. Rates and ratios are taken window by window, each beside its own
/// floors, and the middle of those is given.
struct spine_row {
  std::string transport;
  load what;
  double operations_per_s = 0;
  double latency_avg_ns = 0;
  double latency_p50_ns = 0;
  double latency_p90_ns = 0;
  double latency_p99_ns = 0;
  double allocations_per_op = 0;
  std::optional<double> syscalls_per_op;  ///< neither yields nor wakes
  std::optional<double> yields_per_op;
  std::optional<double> wakes_per_op;
  double sq_doorbells_per_op = 0;
  double cq_doorbells_per_op = 0;
  double staged_bytes_per_op = 0;
  double round_trip_ns = 0;
  spread latency_in_round_trips;  ///< p50
  double skeleton_operations_per_s = 0;
  double skeleton_latency_p50_ns = 0;
  spread ratio_to_skeleton;  ///< of the rates
  std::optional<double> memcpy_gb_per_s;
  std::optional<spread> ratio_to_memcpy;
  unsigned windows = 0;            ///< that the numbers come from
  unsigned disturbed_windows = 0;  ///< that were measured and left out, or kept where there were too few others
  bool disturbed = false;          ///< such windows are among those that the numbers come from

  [[nodiscard]] double bandwidth_gb_per_s() const noexcept {
    return operations_per_s * static_cast<double>(what.moved_bytes()) / 1e9;
  }
};

/// A figure that somebody set, and how far it is.
struct spine_goal {
  std::string text;
  std::string wanted;
  std::string measured;
  bool reached = false;
  std::string missed_by;  ///< empty where it was reached
};

struct spine_result {
  nlohmann::ordered_json origin;
  std::vector<spine_row> rows;
  std::optional<idle_cost> idle;
  instruction_counts instructions;
  std::vector<double> round_trips_ns;  ///< every one that was taken
  std::vector<double> memcpys_gb_per_s;
  double clock_read_ns = 0;
  bool allocations_counted = false;
  std::string syscalls_not_counted;  ///< why
  double seconds = 0;
};

[[nodiscard]] std::vector<spine_goal> goals_of(const spine_result& r);
[[nodiscard]] nlohmann::ordered_json json_of(const spine_result& r);
void print(const spine_result& r);

}  // namespace bench
