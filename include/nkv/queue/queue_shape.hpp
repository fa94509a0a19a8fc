// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How many entries a queue pair's rings have, and what follows from it. Both counts are powers of two, so that a
/// position that only ever counts up is an entry by masking.
struct queue_shape {
  std::uint32_t sq_entries = 0;  ///< 2 to 32768
  std::uint32_t cq_entries = 0;  ///< sq_entries or more, to 65536

  [[nodiscard]] NKV_HD constexpr bool valid() const noexcept {
    return sq_entries >= 2 && sq_entries <= 32768 && (sq_entries & (sq_entries - 1)) == 0 && cq_entries >= sq_entries &&
           cq_entries <= 65536 && (cq_entries & (cq_entries - 1)) == 0;
  }

  /// Commands that may be outstanding at once, and so the number of CIDs. One less than the ring has entries: a full
  /// ring would have tail == head, which a controller reads as empty (NVMe Base 2.0, section 3.3.1.5). Bounding what is
  /// outstanding, and not what is unfetched, by it also means that a slow command holds a CID and never a ring entry.
  [[nodiscard]] NKV_HD constexpr std::uint32_t cids() const noexcept { return sq_entries - 1; }

  /// The CQ head doorbell is rung whenever the head passes a multiple of this: half a ring. With a completion queue
  /// longer than the submission queue the controller always has room for everything outstanding; with equal lengths it
  /// may wait for the doorbell.
  [[nodiscard]] NKV_HD constexpr std::uint32_t cq_head_interval() const noexcept { return cq_entries / 2; }

  /// Bits of a CID that hold the record's index; the rest hold the low bits of its generation. The index never has all
  /// bits set, so no CID is FFFFh, which NVMe reserves (NVMe Base 2.0, Figure 86).
  [[nodiscard]] NKV_HD constexpr std::uint32_t cid_index_bits() const noexcept {
    return count_trailing_zeros(sq_entries);
  }

  /// The largest shape with at most `entries` SQ entries on a controller whose queues have at most `max_entries`; the
  /// completion queue is twice as long where that is allowed. Less than 2 of either gives an invalid shape.
  [[nodiscard]] NKV_HD static constexpr queue_shape fitting(std::uint32_t entries, std::uint32_t max_entries) noexcept {
    if (entries < 2 || max_entries < 2) return {};
    std::uint32_t n = 2;
    while (n * 2 <= entries && n * 2 <= max_entries && n < 32768) n *= 2;
    return {n, n * 2 <= max_entries ? n * 2 : n};
  }

  [[nodiscard]] NKV_HD friend constexpr bool operator==(queue_shape, queue_shape) noexcept = default;
};

/// What of a shape each operation needs, worked out once.
struct queue_masks {
  std::uint32_t sq = 0;  ///< of a position in the submission queue; the number of CIDs too
  std::uint32_t cq = 0;
  std::uint16_t cid_index_bits = 0;
  std::uint16_t phase_shift = 0;  ///< brings the bit of a CQ position that counts laps to where a CQE has its phase

  constexpr queue_masks() noexcept = default;
  NKV_HD constexpr queue_masks(const queue_shape& s) noexcept
      : sq(s.sq_entries - 1),
        cq(s.cq_entries - 1),
        cid_index_bits(static_cast<std::uint16_t>(s.cid_index_bits())),
        phase_shift(static_cast<std::uint16_t>(16 - count_trailing_zeros(s.cq_entries))) {}

  [[nodiscard]] NKV_HD constexpr queue_shape shape() const noexcept { return {sq + 1, cq + 1}; }
};

}  // namespace nkv::inline NKV_ABI
