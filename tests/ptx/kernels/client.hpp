// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/nkv.hpp>

#include <cstdint>

namespace nkv_test {

/// What a thread of the client kernels does: stores `per_thread` keys of its own, retrieves them, and counts what went
/// wrong. In guest memory; the same layout on both sides.
struct client_job {
  std::uint32_t per_thread = 0;
  std::uint32_t value_bytes = 0;  ///< of each value; a multiple of 4
  std::uint64_t timeout_ns = 0;
  std::uint32_t* values = nullptr;    ///< value_bytes a thread, that the controller reaches
  std::uint32_t* failures = nullptr;  ///< one a thread: 0, or the first thing that went wrong
  std::uint32_t* statuses = nullptr;  ///< one a thread: the status of that, as nkv::status::raw() has it
};

/// One Retrieve of one key again and again, to be counted.
struct cost_job {
  std::uint32_t times = 0;
  std::uint32_t value_bytes = 0;
  const std::byte* key = nullptr;  ///< 16 bytes
  std::uint64_t value = 0;
  std::uint32_t* failures = nullptr;
};

}  // namespace nkv_test
