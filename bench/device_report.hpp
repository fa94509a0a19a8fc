// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// Where the figures of a row come from.
enum class device_source { complete, partial, baseline, published };

/// One way to do one operation. Columns without a figure are not in `values`.
struct device_row {
  std::string name;
  device_source source = device_source::complete;
  std::string cited;    ///< published rows: whose
  std::string missing;  ///< why figures are missing that were asked for; empty where none are
  std::map<std::string, double> values;

  [[nodiscard]] std::optional<double> value(const std::string& column) const {
    const auto found = values.find(column);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  }
};

/// A figure that somebody set; measured where its rows were.
struct device_gate {
  std::string text;
  double at_most = 0;
  std::optional<double> measured;
  [[nodiscard]] bool reached() const { return measured && *measured <= at_most; }
};

/// What a step of an operation executes: the complete operation less the one without it.
struct device_step {
  std::string row;
  std::string step;
  double instructions = 0;
};

struct device_result {
  nlohmann::ordered_json origin;
  nlohmann::ordered_json compilers;
  std::vector<device_row> rows;
  std::vector<std::string> gpus;  ///< AMD's
  double seconds = 0;
};

[[nodiscard]] std::vector<device_row> published_rows();
[[nodiscard]] std::vector<device_gate> gates_of(const device_result& r);
[[nodiscard]] std::vector<device_step> steps_of(const device_result& r);
[[nodiscard]] nlohmann::ordered_json json_of(const device_result& r);
void print(const device_result& r);

}  // namespace bench
