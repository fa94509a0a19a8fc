// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/command/list_memory.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Memory that goes with one CID, written by the submitter and read by the controller, busy as long as the CID is: the
/// key's head, a landing place for a byte that nobody wants, and the PRP list or SGL segment.
struct scratch {
  static constexpr std::uint32_t head_bytes = 320;  ///< one slot of the head arena: [u16][255], then the landing place
  static constexpr std::uint32_t landing_offset = 272;

  std::byte* head = nullptr;
  std::uint64_t head_address = 0;  ///< as the controller sees it
  list_memory list{};
};

/// The scratch of all CIDs of a queue, in memory that the controller reaches. A plain value.
struct scratch_arena {
  std::byte* heads = nullptr;  ///< scratch::head_bytes a CID
  std::uint64_t heads_address = 0;
  std::byte* lists = nullptr;  ///< list_bytes a CID; aligned to the page
  std::uint64_t lists_address = 0;
  std::uint32_t list_bytes = 0;  ///< a power of two of 64 or more, so that a list of a page or less stays within one

  [[nodiscard]] NKV_HD constexpr scratch of(std::uint32_t index) const noexcept {
    const std::size_t head_at = std::size_t{scratch::head_bytes} * index;
    const std::size_t list_at = std::size_t{list_bytes} * index;
    return {heads + head_at, heads_address + head_at, {lists + list_at, lists_address + list_at, list_bytes}};
  }
};

}  // namespace nkv::inline NKV_ABI
