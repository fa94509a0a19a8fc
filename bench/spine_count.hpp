// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Instructions of one operation on the client's side, by callgrind.
struct instruction_count {
  std::string operation;         ///< exist, retrieve or store
  std::uint32_t batch_size = 1;  ///< operations posted before the ring and looked at after it
  double submit = 0;             ///< to submit one
  double complete = 0;           ///< to take its outcome, its completion being there
};
struct instruction_counts {
  std::vector<instruction_count> rows;
  double empty_poll = 0;  ///< of a look that finds nothing
  std::string skipped;    ///< why there are none
};

/// Runs this program's subcommand spine-count under valgrind.
[[nodiscard]] instruction_counts count_instructions();

}  // namespace bench
