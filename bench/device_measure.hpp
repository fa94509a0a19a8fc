// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>

namespace bench {

/// What one operation of a kernel executes, as the interpreter of PTX counts it.
struct device_cost {
  double instructions = 0;  ///< those that their predicate switched off included
  double atomics = 0;
  double fences_system = 0;
  double fences_device = 0;
  double fences_block = 0;
  double loads = 0;
  double stores = 0;
  double sq_doorbells = 0;
  double cq_doorbells = 0;
};

/// Many threads on one queue, each with a few operations, over several orders of completion.
struct contended_cost {
  device_cost mean;
  double least_instructions = 0;
  double most_instructions = 0;
};

/// A measuring kernel: of bench/device/cost.cu, or of baseline.cu for a name that begins with "baseline".
struct measured_kernel {
  std::string entry;
  std::string text;  ///< the PTX module
};

/// One thread, a controller that answers at once: a run of 9 operations less one of 8.
/// @throws failure where anything goes wrong in the kernel or the controller sees a mistake
[[nodiscard]] device_cost cost_of_one(const measured_kernel& kernel);
/// The same over 64 operations, so that what is done now and then, as the CQ doorbell, is in it.
[[nodiscard]] device_cost cost_of_many(const measured_kernel& kernel);
/// All threads in one block, completions out of order after `latency_ticks` to twice that. The whole kernel is counted,
/// by the operations.
[[nodiscard]] contended_cost cost_contended(const measured_kernel& kernel, std::uint32_t threads,
                                            std::uint64_t latency_ticks);
/// Instructions in the kernel's text.
[[nodiscard]] std::uint64_t static_instructions(const measured_kernel& kernel);

}  // namespace bench
