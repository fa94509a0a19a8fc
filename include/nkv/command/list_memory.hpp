// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Memory for a PRP list or an SGL segment, as this code writes it and as the controller reads it. It stays as it is
/// until the command that points to it is complete.
struct list_memory {
  static constexpr std::uint32_t min_bytes = 64;  ///< room for the SGL segment of a head and a value

  std::byte* local =
      nullptr;  ///< aligned to 16 bytes; of a page or less it crosses no page boundary, of more it starts on one
  std::uint64_t address = 0;  ///< of the same bytes, as the controller sees them
  std::uint32_t length_bytes = 0;
};

}  // namespace nkv::inline NKV_ABI
