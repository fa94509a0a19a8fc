// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace bench {

/// What a result file says of where it came from: machine, processors used, compiler and its flags, commit, date and
/// command line. Columns of numbers carry their unit in the name.
[[nodiscard]] nlohmann::ordered_json provenance(const std::vector<std::string>& arguments,
                                                const std::vector<int>& processors);

/// The load average of the last minute; below zero where it is not known.
[[nodiscard]] double load_average();

}  // namespace bench
