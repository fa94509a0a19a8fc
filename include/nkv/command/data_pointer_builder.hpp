// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/command/list_memory.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/prp.hpp>
#include <nkv/spec/sgl.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Entries of the PRP list that goes with `pages` pages, the pointers from one page of it to the next included; 0 where
/// the command itself has room for them.
[[nodiscard]] NKV_HD constexpr std::uint64_t prp_list_entries(std::uint64_t pages, std::uint32_t page_bytes) noexcept {
  if (pages <= 2) return 0;
  const std::uint64_t a_page = page_bytes / sizeof(prp_entry);
  const std::uint64_t listed = pages - 1;
  return listed <= a_page ? listed : listed + (listed - a_page + a_page - 2) / (a_page - 1);
}

/// Whether value_data_pointer() can name a value of this place and length.
/// @param list_bytes the room that its list_memory will have
/// @return success, or
///         - client/unsupported      more than two pages, and the controller takes no list, or none of this length
///         - client/value_too_large  the list does not fit
[[nodiscard]] NKV_HD constexpr status check_prp_list(const limits& limits, std::uint32_t list_bytes,
                                                     const value_ref& value) noexcept {
  const std::uint64_t entries =
      prp_list_entries(prp_page_count(value.address, value.length_bytes, limits.page_bytes), limits.page_bytes);
  if (entries == 0) return {};
  if (!limits.prp_list) return client_status::unsupported;
  if (entries * sizeof(prp_entry) > limits.page_bytes && !limits.prp_list_chain) return client_status::unsupported;
  if (entries * sizeof(prp_entry) > list_bytes) return client_status::value_too_large;
  return {};
}

/// Whether the controller takes `value` as one SGL block.
[[nodiscard]] NKV_HD NKV_INLINE constexpr bool takes_sgl_block(const limits& limits, bool any_granularity,
                                                               const value_ref& value) noexcept {
  return limits.sgl &&
         (any_granularity || !limits.sgl_dword_granular || ((value.address | value.length_bytes) & 3u) == 0);
}

/// Names `value` by PRPs: two entries in the command, or a list, chained where it is longer than a page.
/// @pre check_prp_list(limits, memory.length_bytes, value)
/// @see NVMe Base 2.0, section 4.1.1
[[nodiscard]] NKV_HD inline data_pointer prp_data_pointer(const limits& limits, const list_memory& memory,
                                                          const value_ref& value) noexcept {
  const std::uint64_t page = limits.page_bytes;
  const std::uint64_t pages = prp_page_count(value.address, value.length_bytes, limits.page_bytes);
  if (pages <= 1) return data_pointer::prp(value.address);
  std::uint64_t next = (value.address & ~(page - 1)) + page;
  if (pages == 2) return data_pointer::prp(value.address, next);
  auto* const list = reinterpret_cast<prp_entry*>(memory.local);
  const std::uint64_t last_of_page = page / sizeof(prp_entry) - 1;
  std::uint64_t at = 0;
  for (std::uint64_t left = pages - 1; left != 0; ++at) {
    // The last entry of a page of the list points to the next page of it, unless the list ends there.
    if ((at & last_of_page) == last_of_page && left > 1) {
      list[at] = memory.address + (at + 1) * sizeof(prp_entry);
    } else {
      list[at] = next;
      next += page;
      --left;
    }
  }
  return data_pointer::prp(value.address, memory.address);
}

/// Names `value` as the controller takes it: one SGL block in the command itself where it takes SGLs, else PRPs.
/// @param memory for a PRP list; not touched by an SGL block
/// @pre takes_sgl_block() or check_prp_list()
[[nodiscard]] NKV_HD NKV_INLINE data_pointer value_data_pointer(const limits& limits, bool any_granularity,
                                                                const list_memory& memory,
                                                                const value_ref& value) noexcept {
  if (value.empty()) return data_pointer{};
  if (takes_sgl_block(limits, any_granularity, value))
    return data_pointer::sgl(sgl_descriptor::data_block(value.address, static_cast<std::uint32_t>(value.length_bytes)));
  return prp_data_pointer(limits, memory, value);
}

/// Names a key's head and a value behind it as two SGL blocks, so that the value stays where it is, aligned as it is.
/// The head's own length keeps to no granularity (the targets that read heads take any).
/// @param head  `[u16][key]`, in memory that the controller reaches
/// @pre limits.sgl, and `memory` has room for two descriptors
[[nodiscard]] NKV_HD NKV_INLINE data_pointer head_data_pointer(const list_memory& memory, const value_ref& head,
                                                               const value_ref& value) noexcept {
  const sgl_descriptor first = sgl_descriptor::data_block(head.address, static_cast<std::uint32_t>(head.length_bytes));
  if (value.empty()) return data_pointer::sgl(first);
  auto* const list = reinterpret_cast<sgl_descriptor*>(memory.local);
  list[0] = first;
  list[1] = sgl_descriptor::data_block(value.address, static_cast<std::uint32_t>(value.length_bytes));
  return data_pointer::sgl(sgl_descriptor::last_segment(memory.address, 2));
}

}  // namespace nkv::inline NKV_ABI
