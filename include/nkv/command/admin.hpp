// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The admin commands that a KV host needs, as functions from arguments to a fresh entry. Data goes by PRP: SGLs are
/// not for admin commands on memory-based transports (NVMe Base 2.0, section 4.1). Counts are counts, not 0's-based.
/// The CID is the queue's. Host and device.

/// Identify (NVMe Base 2.0, Figures 272 and 273).
/// @param data 4096 bytes
/// @param csi  which command set, for the CNS values that ask
[[nodiscard]] NKV_HD constexpr sqe admin_identify(identify_cns cns, std::uint32_t nsid, const data_pointer& data,
                                                  command_set_id csi = command_set_id::nvm,
                                                  std::uint16_t cntid = 0) noexcept {
  sqe c;
  c.set_opc(admin_opcode::identify);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, static_cast<std::uint32_t>(cns) | (static_cast<std::uint32_t>(cntid) << 16));
  c.set_cdw(11, static_cast<std::uint32_t>(csi) << 24);
  return c;
}

/// Create I/O Completion Queue, physically contiguous (NVMe Base 2.0, Figures 155 to 157).
/// @param entries 1 to 65536, no more than CAP.MQES + 1
[[nodiscard]] NKV_HD constexpr sqe admin_create_cq(std::uint16_t qid, std::uint32_t entries, std::uint64_t address,
                                                   bool interrupts = false, std::uint16_t vector = 0) noexcept {
  sqe c;
  c.set_opc(admin_opcode::create_cq);
  c.set_dptr(data_pointer::prp(address));
  c.set_cdw(10, qid | ((entries - 1) << 16));
  c.set_cdw(11, 1u | (interrupts ? 2u : 0u) | (static_cast<std::uint32_t>(vector) << 16));
  return c;
}

/// Create I/O Submission Queue, physically contiguous (NVMe Base 2.0, Figures 159 to 161).
[[nodiscard]] NKV_HD constexpr sqe admin_create_sq(std::uint16_t qid, std::uint32_t entries, std::uint64_t address,
                                                   std::uint16_t cqid) noexcept {
  sqe c;
  c.set_opc(admin_opcode::create_sq);
  c.set_dptr(data_pointer::prp(address));
  c.set_cdw(10, qid | ((entries - 1) << 16));
  c.set_cdw(11, 1u | (static_cast<std::uint32_t>(cqid) << 16));
  return c;
}

/// Delete I/O Submission Queue (NVMe Base 2.0, Figure 167).
[[nodiscard]] NKV_HD constexpr sqe admin_delete_sq(std::uint16_t qid) noexcept {
  sqe c;
  c.set_opc(admin_opcode::delete_sq);
  c.set_cdw(10, qid);
  return c;
}

/// Delete I/O Completion Queue, after the submission queues that use it (NVMe Base 2.0, Figure 165).
[[nodiscard]] NKV_HD constexpr sqe admin_delete_cq(std::uint16_t qid) noexcept {
  sqe c;
  c.set_opc(admin_opcode::delete_cq);
  c.set_cdw(10, qid);
  return c;
}

/// Set Features (NVMe Base 2.0, Figures 315 and 316).
/// @param value CDW11
[[nodiscard]] NKV_HD constexpr sqe admin_set_features(feature_id fid, std::uint32_t value, std::uint32_t nsid = 0,
                                                      bool save = false, const data_pointer& data = {}) noexcept {
  sqe c;
  c.set_opc(admin_opcode::set_features);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, static_cast<std::uint32_t>(fid) | (save ? 0x80000000u : 0u));
  c.set_cdw(11, value);
  return c;
}

/// Get Features (NVMe Base 2.0, Figures 194 to 196).
/// @param select 0 current, 1 default, 2 saved, 3 supported capabilities
[[nodiscard]] NKV_HD constexpr sqe admin_get_features(feature_id fid, std::uint32_t nsid = 0, std::uint32_t select = 0,
                                                      const data_pointer& data = {}) noexcept {
  sqe c;
  c.set_opc(admin_opcode::get_features);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, static_cast<std::uint32_t>(fid) | ((select & 7u) << 8));
  return c;
}

/// CDW11 of Number of Queues, from counts (NVMe Base 2.0, Figure 321).
[[nodiscard]] NKV_HD constexpr std::uint32_t number_of_queues(std::uint32_t sqs, std::uint32_t cqs) noexcept {
  return (sqs - 1) | ((cqs - 1) << 16);
}

/// Abort (NVMe Base 2.0, Figure 141).
/// @param cid the CID on the wire of the command to abort
[[nodiscard]] NKV_HD constexpr sqe admin_abort(std::uint16_t sqid, std::uint16_t cid) noexcept {
  sqe c;
  c.set_opc(admin_opcode::abort);
  c.set_cdw(10, sqid | (static_cast<std::uint32_t>(cid) << 16));
  return c;
}

/// Get Log Page (NVMe Base 2.0, Figures 197 to 201).
/// @param length_bytes a multiple of 4, at least 4
[[nodiscard]] NKV_HD constexpr sqe admin_get_log_page(log_page_id lid, std::uint32_t nsid, std::uint32_t length_bytes,
                                                      const data_pointer& data, std::uint64_t offset_bytes = 0,
                                                      command_set_id csi = command_set_id::nvm) noexcept {
  sqe c;
  const std::uint32_t dwords = length_bytes / 4 - 1;
  c.set_opc(admin_opcode::get_log_page);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, static_cast<std::uint32_t>(lid) | (dwords << 16));
  c.set_cdw(11, dwords >> 16);
  c.set_cdw(12, static_cast<std::uint32_t>(offset_bytes));
  c.set_cdw(13, static_cast<std::uint32_t>(offset_bytes >> 32));
  c.set_cdw(14, static_cast<std::uint32_t>(csi) << 24);
  return c;
}

/// Asynchronous Event Request: completes when the controller has something to say (NVMe Base 2.0, section 5.2).
[[nodiscard]] NKV_HD constexpr sqe admin_async_event_request() noexcept {
  sqe c;
  c.set_opc(admin_opcode::async_event_request);
  return c;
}

/// Keep Alive (NVMe Base 2.0, section 5.18).
[[nodiscard]] NKV_HD constexpr sqe admin_keep_alive() noexcept {
  sqe c;
  c.set_opc(admin_opcode::keep_alive);
  return c;
}

/// Doorbell Buffer Config (NVMe Base 2.0, Figure 169).
/// @param shadow_address  a page for doorbell values
/// @param eventidx_address another page, for event indices
[[nodiscard]] NKV_HD constexpr sqe admin_doorbell_buffer_config(std::uint64_t shadow_address,
                                                                std::uint64_t eventidx_address) noexcept {
  sqe c;
  c.set_opc(admin_opcode::doorbell_buffer_config);
  c.set_dptr(data_pointer::prp(shadow_address, eventidx_address));
  return c;
}

}  // namespace nkv::inline NKV_ABI
