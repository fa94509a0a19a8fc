// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/session.hpp"

#include <CLI/CLI.hpp>

#include <functional>

namespace tools {

/// What main() runs once the command line is read.
struct program {
  global_options options;
  std::function<void()> run;
  int result = exit_ok;  ///< what to exit with where run() returns
};

// Each adds one subcommand, whose callback sets program::run. One source file each.
void add_info(CLI::App& app, program& p);
void add_store(CLI::App& app, program& p);
void add_retrieve(CLI::App& app, program& p);
void add_delete(CLI::App& app, program& p);
void add_exist(CLI::App& app, program& p);
void add_list(CLI::App& app, program& p);
void add_import(CLI::App& app, program& p);
void add_export(CLI::App& app, program& p);
void add_execute(CLI::App& app, program& p);
void add_placement(CLI::App& app, program& p);

}  // namespace tools
