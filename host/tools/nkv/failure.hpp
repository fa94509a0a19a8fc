// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace tools {

/// What `nkv` exits with. The numbers are part of its interface.
enum exit_code : int {
  exit_ok = 0,
  exit_unmet = 1,       ///< the key does not exist, or a condition on it is not met
  exit_usage = 2,       ///< the command line
  exit_connection = 3,  ///< no connection, or it was lost
  exit_refused = 4,     ///< the target or the library refused the operation
  exit_timeout = 5,     ///< the deadline passed
  exit_local = 6,       ///< a file here could not be read or written
  exit_partial = 7,     ///< import or export: some files were left out or failed
};

/// Ends a subcommand: thrown here, reported in main().
struct failure {
  failure(exit_code why, std::string text, nlohmann::json more = nullptr)
      : code(why), message(std::move(text)), details(std::move(more)) {}

  exit_code code;
  std::string message;
  nlohmann::json details;  ///< for --json, beside the message
};

}  // namespace tools
