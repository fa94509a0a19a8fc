// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv-target/log.hpp"

#include <nkv/target/target_options.hpp>

#include <string>
#include <variant>

namespace tools {

/// What `nkv-target` exits with. The numbers are part of its interface.
enum target_exit : int {
  target_ok = 0,      ///< stopped by SIGTERM or SIGINT, or nothing to do
  target_failed = 1,  ///< the system refused something while it ran
  target_usage = 2,   ///< the command line or the configuration
  target_listen = 3,  ///< a listener could not be opened
};

/// What the command line, and the configuration file that it names, come to.
struct target_command {
  nkv::target::target_options options;
  event_log log;
  int ready_fd = -1;        ///< told when all listeners are open; -1: standard output
  bool check_only = false;  ///< say whether the configuration is good, and serve nothing
};

/// @return the command, or what to exit with: help was shown, or a mistake named on standard error
[[nodiscard]] std::variant<target_command, int> read_command_line(int argc, char** argv);

}  // namespace tools
