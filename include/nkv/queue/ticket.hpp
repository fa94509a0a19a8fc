// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Names one submitted command of one queue until it is consumed; afterwards it is stale and stays so (until 2^30 more
/// commands have used the same CID). A plain value; host and device.
struct ticket {
  static constexpr std::uint32_t none = 0xffffffffu;

  std::uint32_t index = none;    ///< which record of the queue's CID table
  std::uint32_t generation = 0;  ///< which use of it

  [[nodiscard]] NKV_HD constexpr bool valid() const noexcept { return index != none; }
  [[nodiscard]] NKV_HD friend constexpr bool operator==(ticket, ticket) noexcept = default;
};

/// What a completion said, or why there is none.
struct completion {
  nkv::status status{};   ///< would_block while there is none
  std::uint32_t dw0 = 0;  ///< command specific result, valid once the controller completed the command
};

}  // namespace nkv::inline NKV_ABI
