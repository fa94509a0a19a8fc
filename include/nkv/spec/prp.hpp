// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// A Physical Region Page entry: a page address whose low bits may be an offset in the first entry of a transfer only
/// (NVMe Base 2.0, Figure 104).
using prp_entry = std::uint64_t;

/// Pages that `length_bytes` bytes at `address` touch. `page_bytes` is a power of two (CC.MPS).
[[nodiscard]] NKV_HD constexpr std::uint64_t prp_page_count(std::uint64_t address, std::uint64_t length_bytes,
                                                            std::uint32_t page_bytes) noexcept {
  if (length_bytes == 0) return 0;
  const std::uint64_t offset = address & (page_bytes - 1u);
  const std::uint64_t whole = length_bytes / page_bytes;
  const std::uint64_t rest = length_bytes % page_bytes + offset;
  return whole + (rest + page_bytes - 1u) / page_bytes;
}

}  // namespace nkv::inline NKV_ABI
