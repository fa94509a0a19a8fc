// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/bytes.hpp>

#include <cstdint>

/// The 64 bytes of every admin command that the library sends, written out from NVMe Base 2.0, never by an encoder.
/// Sixteen groups of four bytes, one a dword: CDW0 | NSID | CDW2 | CDW3 | MPTR, 2 | PRP1, 2 | PRP2, 2 | CDW10 to CDW15.
namespace nkv_test::golden {

using admin_vector = block<64>;

// ---- Identify, 06h: CDW10 CNS and, above, CNTID; CDW11 bits 31:24 CSI ----

inline constexpr admin_vector identify_controller = hex<64>(
    "06000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "01000000 -------- -------- -------- -------- --------");
inline constexpr admin_vector identify_active_namespaces = hex<64>(
    "06000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "02000000 -------- -------- -------- -------- --------");
inline constexpr admin_vector identify_namespace_descriptors = hex<64>(
    "06000000 0d0c0b0a -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "03000000 -------- -------- -------- -------- --------");
inline constexpr admin_vector identify_kv_namespace = hex<64>(
    "06000000 0d0c0b0a -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "05000000 00000001 -------- -------- -------- --------");
inline constexpr admin_vector identify_kv_controller = hex<64>(
    "06000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "06000000 00000001 -------- -------- -------- --------");
inline constexpr admin_vector identify_kv_active_namespaces = hex<64>(
    "06000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "07000000 00000001 -------- -------- -------- --------");
// The vector of this controller: CNTID 1234h.
inline constexpr admin_vector identify_command_set_vector = hex<64>(
    "06000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "1c003412 -------- -------- -------- -------- --------");

// ---- I/O queues: CDW10 QID and, above, size as 0's based; CDW11 bit 0 physically contiguous ----

// QID 3, 1024 entries, polled (IEN 0).
inline constexpr admin_vector create_cq = hex<64>(
    "05000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "0300ff03 01000000 -------- -------- -------- --------");
// IEN bit 1, vector 0102h above.
inline constexpr admin_vector create_cq_interrupts = hex<64>(
    "05000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "0300ff03 03000201 -------- -------- -------- --------");
inline constexpr admin_vector create_cq_smallest = hex<64>(
    "05000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "01000100 01000000 -------- -------- -------- --------");
inline constexpr admin_vector create_cq_greatest = hex<64>(
    "05000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "ffffffff 01000000 -------- -------- -------- --------");
// QID 3, 1024 entries, completing on CQ 0405h; QPRIO 0.
inline constexpr admin_vector create_sq = hex<64>(
    "01000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "0300ff03 01000504 -------- -------- -------- --------");
inline constexpr admin_vector create_sq_greatest = hex<64>(
    "01000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "ffffffff 0100ffff -------- -------- -------- --------");
inline constexpr admin_vector delete_sq = hex<64>(
    "00000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "03020000 -------- -------- -------- -------- --------");
inline constexpr admin_vector delete_cq = hex<64>(
    "04000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "03020000 -------- -------- -------- -------- --------");

// ---- Features: CDW10 identifier, bit 31 save, bits 10:8 select; CDW11 value ----

// 64 submission and 32 completion queues.
inline constexpr admin_vector set_number_of_queues = hex<64>(
    "09000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "07000000 3f001f00 -------- -------- -------- --------");
// EDNEK of one namespace, saved.
inline constexpr admin_vector set_key_value_configuration = hex<64>(
    "09000000 0d0c0b0a -------- -------- -------- -------- -------- -------- -------- --------"
    "20000080 01000000 -------- -------- -------- --------");
inline constexpr admin_vector set_with_data = hex<64>(
    "09000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "16000000 -------- -------- -------- -------- --------");
inline constexpr admin_vector get_number_of_queues = hex<64>(
    "0a000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "07000000 -------- -------- -------- -------- --------");
// What of it is supported: select 3.
inline constexpr admin_vector get_key_value_configuration = hex<64>(
    "0a000000 0d0c0b0a -------- -------- -------- -------- -------- -------- -------- --------"
    "20030000 -------- -------- -------- -------- --------");

// ---- the others ----

// Abort: SQID 0203h, the CID 0405h above.
inline constexpr admin_vector abort = hex<64>(
    "08000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "03020504 -------- -------- -------- -------- --------");
// Get Log Page 05h of the KV command set: 4096 bytes are 03ffh dwords, 0's based; CDW14 bits 31:24 CSI.
inline constexpr admin_vector get_log_commands = hex<64>(
    "02000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "0500ff03 -------- -------- -------- 00000001 --------");
// 1 MiB of log 02h from byte 1122334455667788h on, all namespaces: 3ffffh dwords, NUMDL and NUMDU.
inline constexpr admin_vector get_log_far = hex<64>(
    "02000000 ffffffff -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "0200ffff 03000000 88776655 44332211 -------- --------");
inline constexpr admin_vector get_log_shortest = hex<64>(
    "02000000 -------- -------- -------- -------- -------- 00706655 44332211 -------- --------"
    "01000000 -------- -------- -------- -------- --------");
inline constexpr admin_vector async_event_request = hex<64>(
    "0c000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "-------- -------- -------- -------- -------- --------");
inline constexpr admin_vector keep_alive = hex<64>(
    "18000000 -------- -------- -------- -------- -------- -------- -------- -------- --------"
    "-------- -------- -------- -------- -------- --------");
// Shadow doorbells in PRP1, event indices in PRP2.
inline constexpr admin_vector doorbell_buffer_config = hex<64>(
    "7c000000 -------- -------- -------- -------- -------- 00706655 44332211 00f0eedd ccbbaa99"
    "-------- -------- -------- -------- -------- --------");

}  // namespace nkv_test::golden
