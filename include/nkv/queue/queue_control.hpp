// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/queue/queue_shape.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Whether the other side of a queue is still there.
enum class queue_liveness : std::uint32_t {
  wiped = 0,  ///< the control block reads as zero: this process is a child of the queue's, which has none of it
  open = 1,
  lost = 2,    ///< no completion will come; the controller may still write into memory
  fenced = 3,  ///< no completion will come and nothing is written any more
};

/// One CID's record: who uses it and how its command ended. `word` is `generation << 2 | cid_state`.
struct cid_record {
  std::uint32_t word = 0;
  std::uint32_t dw0 = 0;
  std::uint32_t status_field = 0;
  std::uint32_t next_free = 0;  ///< exclusive, of a free CID: the next one, or ticket::none
};
static_assert(sizeof(cid_record) == 16);

/// The counters of a queue pair. They live in memory that every user of the queue reaches and that the controller does
/// not; those that different threads write are in cache lines of their own.
struct queue_counters {
  // The submitting side.
  alignas(64) std::uint32_t sq_next = 0;  ///< the next position to hand out; shared: and who publishes
  std::uint32_t first_free = 0;           ///< exclusive: the CID to claim next, or ticket::none
  alignas(64) std::uint32_t sq_rung = 0;  ///< positions below it were published
  // The completing side.
  alignas(64) std::uint32_t cq_head = 0;  ///< the next position to look at
  std::uint32_t reaping = 0;              ///< shared: 1 while a thread reads the ring
  std::uint32_t spare_cid = 0;            ///< shared: a free CID that is not in the bitmap, or ticket::none
  // Read by all, written seldom.
  alignas(64) std::uint32_t liveness = 0;  ///< a queue_liveness
  std::uint32_t late_completions = 0;      ///< of commands that had been cancelled
  std::uint32_t stray_completions = 0;     ///< for CIDs that no command uses, or of another queue; ignored
  std::uint32_t queue_full = 0;            ///< reservations that were refused for want of room
  std::uint32_t sq_doorbells = 0;          ///< SQ tail doorbells rung by a host
  std::uint32_t cq_doorbells = 0;          ///< CQ head doorbells rung by a host
};

/// Where the parts of a queue's control block stand. One block holds them all.
struct queue_control_layout {
  std::size_t records_offset = 0;  ///< cid_record[cids]
  std::size_t marks_offset = 0;    ///< shared: uint32_t[sq_entries], see submission_queue
  std::size_t free_offset = 0;     ///< shared: uint32_t[(cids + 31) / 32], a bitmap
  std::size_t size_bytes = 0;      ///< of the block; it is to be aligned to 64 bytes

  [[nodiscard]] NKV_HD static constexpr queue_control_layout of(const queue_shape& shape) noexcept {
    queue_control_layout l;
    l.records_offset = sizeof(queue_counters);
    l.marks_offset = l.records_offset + sizeof(cid_record) * shape.sq_entries;
    l.free_offset = l.marks_offset + sizeof(std::uint32_t) * shape.sq_entries;
    l.size_bytes = (l.free_offset + sizeof(std::uint32_t) * shape.sq_entries + 63) / 64 * 64;
    return l;
  }
};

}  // namespace nkv::inline NKV_ABI
