// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/scratch.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

/// Where the parts of a proxy's queue pair stand in the two blocks of memory that it is given: the queue, which the
/// controller below has no part in, and the scratch, which that one reads. A plain value.
struct proxy_layout {
  static constexpr std::size_t line_bytes = 64;

  std::size_t cq_offset = 0;       ///< behind the SQ, which stands at 0
  std::size_t sq_tail_offset = 0;  ///< each doorbell word in a cache line of its own
  std::size_t cq_head_offset = 0;
  std::size_t control_offset = 0;
  std::size_t queue_bytes = 0;  ///< of the first block; it is to be aligned to line_bytes

  std::size_t lists_offset = 0;   ///< behind the key heads, which stand at 0; aligned to the page
  std::size_t scratch_bytes = 0;  ///< of the second block; it is to be aligned to the page
  std::uint32_t list_bytes = 0;
  queue_shape shape{};

  /// @param list_bytes of a CID's PRP list, a power of two from 64 on
  /// @param page_bytes CC.MPS of the controller below
  /// @pre shape.valid()
  [[nodiscard]] static constexpr proxy_layout of(queue_shape shape, std::uint32_t list_bytes,
                                                 std::uint32_t page_bytes) noexcept {
    proxy_layout l;
    l.shape = shape;
    l.list_bytes = list_bytes;
    l.cq_offset = sizeof(sqe) * shape.sq_entries;
    l.sq_tail_offset = up(l.cq_offset + sizeof(cqe) * shape.cq_entries, line_bytes);
    l.cq_head_offset = l.sq_tail_offset + line_bytes;
    l.control_offset = l.cq_head_offset + line_bytes;
    l.queue_bytes = l.control_offset + queue_control_layout::of(shape).size_bytes;
    l.lists_offset = up(std::size_t{scratch::head_bytes} * shape.cids(), page_bytes);
    l.scratch_bytes = l.lists_offset + up(std::size_t{list_bytes} * shape.cids(), page_bytes);
    return l;
  }

  /// What a queue_pair_ref is made of, by the addresses at which its user reaches the two blocks.
  /// @param scratch_address of the second block as the controller below sees it
  [[nodiscard]] queue_pair_parts parts(std::byte* queue, std::byte* scratch, std::uint64_t scratch_address,
                                       std::uint16_t qid) const noexcept {
    queue_pair_parts p;
    p.sq = reinterpret_cast<sqe*>(queue);
    p.cq = reinterpret_cast<const cqe*>(queue + cq_offset);
    p.control = queue + control_offset;
    p.arena = {scratch, scratch_address, scratch + lists_offset, scratch_address + lists_offset, list_bytes};
    p.shape = shape;
    p.qid = qid;
    return p;
  }
  [[nodiscard]] std::uint32_t* sq_tail(std::byte* queue) const noexcept {
    return reinterpret_cast<std::uint32_t*>(queue + sq_tail_offset);
  }
  [[nodiscard]] std::uint32_t* cq_head(std::byte* queue) const noexcept {
    return reinterpret_cast<std::uint32_t*>(queue + cq_head_offset);
  }

 private:
  static constexpr std::size_t up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
