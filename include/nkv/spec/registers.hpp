// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Controller register offsets in BAR0 (NVMe Base 2.0, Figure 33).
namespace reg {
inline constexpr std::uint32_t cap = 0x00;  ///< 8 bytes
inline constexpr std::uint32_t vs = 0x08;
inline constexpr std::uint32_t intms = 0x0c;
inline constexpr std::uint32_t intmc = 0x10;
inline constexpr std::uint32_t cc = 0x14;
inline constexpr std::uint32_t csts = 0x1c;
inline constexpr std::uint32_t nssr = 0x20;
inline constexpr std::uint32_t aqa = 0x24;
inline constexpr std::uint32_t asq = 0x28;  ///< 8 bytes
inline constexpr std::uint32_t acq = 0x30;  ///< 8 bytes
inline constexpr std::uint32_t doorbells = 0x1000;
}  // namespace reg

/// Byte offset in BAR0 of the tail doorbell of submission queue `qid` (NVMe over PCIe 1.0, Figure 3).
[[nodiscard]] NKV_HD constexpr std::uint32_t sq_tail_doorbell(std::uint16_t qid, std::uint32_t stride_bytes) noexcept {
  return reg::doorbells + (2u * qid) * stride_bytes;
}
/// Byte offset in BAR0 of the head doorbell of completion queue `qid`.
[[nodiscard]] NKV_HD constexpr std::uint32_t cq_head_doorbell(std::uint16_t qid, std::uint32_t stride_bytes) noexcept {
  return reg::doorbells + (2u * qid + 1u) * stride_bytes;
}

/// CAP, controller capabilities (NVMe Base 2.0, Figure 36). Counts are given as counts, not 0's-based.
struct controller_capabilities {
  std::uint64_t raw = 0;

  [[nodiscard]] NKV_HD constexpr std::uint32_t max_queue_entries() const noexcept { return (raw & 0xffffu) + 1u; }
  [[nodiscard]] NKV_HD constexpr bool contiguous_queues_required() const noexcept { return (raw >> 16) & 1u; }
  /// How long CSTS.RDY may take to follow CC.EN.
  [[nodiscard]] NKV_HD constexpr std::uint32_t ready_timeout_ms() const noexcept {
    return ((raw >> 24) & 0xffu) * 500u;
  }
  [[nodiscard]] NKV_HD constexpr std::uint32_t doorbell_stride_bytes() const noexcept {
    return 4u << ((raw >> 32) & 0xfu);
  }
  [[nodiscard]] NKV_HD constexpr bool supports_nvm_command_set() const noexcept { return (raw >> 37) & 1u; }
  /// CAP.CSS bit 6: one or more I/O command sets, chosen with CC.CSS 110b.
  [[nodiscard]] NKV_HD constexpr bool supports_io_command_sets() const noexcept { return (raw >> 43) & 1u; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t min_page_bytes() const noexcept { return 4096u << ((raw >> 48) & 0xfu); }
  [[nodiscard]] NKV_HD constexpr std::uint64_t max_page_bytes() const noexcept {
    return 4096ull << ((raw >> 52) & 0xfu);
  }
};

/// CC, controller configuration (NVMe Base 2.0, Figure 46).
struct controller_configuration {
  std::uint32_t raw = 0;

  [[nodiscard]] NKV_HD constexpr bool enabled() const noexcept { return raw & 1u; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t command_sets() const noexcept { return (raw >> 4) & 7u; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t page_bytes() const noexcept { return 4096u << ((raw >> 7) & 0xfu); }
  /// 0 none, 1 normal, 2 abrupt
  [[nodiscard]] NKV_HD constexpr std::uint32_t shutdown() const noexcept { return (raw >> 14) & 3u; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t sq_entry_bytes() const noexcept { return 1u << ((raw >> 16) & 0xfu); }
  [[nodiscard]] NKV_HD constexpr std::uint32_t cq_entry_bytes() const noexcept { return 1u << ((raw >> 20) & 0xfu); }

  /// An enabling value: 64-byte SQEs, 16-byte CQEs.
  /// @param command_sets CC.CSS: 6 for all supported I/O command sets, 0 for NVM
  /// @param page_shift_from_4k CC.MPS
  [[nodiscard]] NKV_HD static constexpr controller_configuration enable(std::uint32_t command_sets,
                                                                        std::uint32_t page_shift_from_4k) noexcept {
    return {1u | (command_sets << 4) | (page_shift_from_4k << 7) | (6u << 16) | (4u << 20)};
  }
  [[nodiscard]] NKV_HD constexpr controller_configuration with_shutdown(std::uint32_t how) const noexcept {
    return {(raw & ~(3u << 14)) | (how << 14)};
  }
  [[nodiscard]] NKV_HD constexpr controller_configuration disabled() const noexcept { return {raw & ~1u}; }
};

/// CSTS, controller status (NVMe Base 2.0, Figure 47).
struct controller_status {
  std::uint32_t raw = 0;

  [[nodiscard]] NKV_HD constexpr bool ready() const noexcept { return raw & 1u; }
  [[nodiscard]] NKV_HD constexpr bool fatal() const noexcept { return raw & 2u; }
  /// 0 normal operation, 1 shutting down, 2 done
  [[nodiscard]] NKV_HD constexpr std::uint32_t shutdown() const noexcept { return (raw >> 2) & 3u; }
};

/// AQA, admin queue sizes, from entry counts (NVMe Base 2.0, Figure 49).
[[nodiscard]] NKV_HD constexpr std::uint32_t admin_queue_attributes(std::uint32_t sq_entries,
                                                                    std::uint32_t cq_entries) noexcept {
  return (sq_entries - 1u) | ((cq_entries - 1u) << 16);
}

}  // namespace nkv::inline NKV_ABI
