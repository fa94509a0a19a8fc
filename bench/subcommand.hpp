// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

namespace bench {

/// What the command line chose.
struct program {
  std::vector<std::string> arguments;  ///< as typed, without the program's own name
  std::function<int()> run;            ///< set by the subcommand that was given; its exit status
};

void add_spine(CLI::App& app, program& p);
void add_spine_count(CLI::App& app, program& p);
void add_device_cost(CLI::App& app, program& p);
/// In programs with librados and libcrypto.
void add_rados(CLI::App& app, program& p);

}  // namespace bench
