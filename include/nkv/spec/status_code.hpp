// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Status code types of a completion (NVMe Base 2.0, Figure 94), and one of the library's own for what never was on a
/// wire.
enum class status_code_type : std::uint8_t {
  generic = 0,
  command_specific = 1,
  media = 2,
  path = 3,
  vendor = 7,
  client = 8,
};

/// Generic command status values (NVMe Base 2.0, Figure 95; 80h and above: KV Command Set 1.0c, section 3).
namespace generic_status {
inline constexpr std::uint8_t success = 0x00;
inline constexpr std::uint8_t invalid_opcode = 0x01;
inline constexpr std::uint8_t invalid_field = 0x02;
inline constexpr std::uint8_t cid_conflict = 0x03;
inline constexpr std::uint8_t data_transfer_error = 0x04;
inline constexpr std::uint8_t internal_error = 0x06;
inline constexpr std::uint8_t abort_requested = 0x07;
inline constexpr std::uint8_t aborted_sq_deletion = 0x08;
inline constexpr std::uint8_t invalid_nsid = 0x0b;
inline constexpr std::uint8_t command_sequence_error = 0x0c;
inline constexpr std::uint8_t invalid_sgl_segment = 0x0d;
inline constexpr std::uint8_t invalid_sgl_count = 0x0e;
inline constexpr std::uint8_t sgl_length_invalid = 0x0f;
inline constexpr std::uint8_t sgl_type_invalid = 0x11;
inline constexpr std::uint8_t invalid_prp_offset = 0x13;
inline constexpr std::uint8_t namespace_write_protected = 0x20;
inline constexpr std::uint8_t command_interrupted = 0x21;
inline constexpr std::uint8_t transient_transport_error = 0x22;
inline constexpr std::uint8_t command_set_not_enabled = 0x29;
inline constexpr std::uint8_t capacity_exceeded = 0x81;
inline constexpr std::uint8_t namespace_not_ready = 0x82;
inline constexpr std::uint8_t invalid_value_size = 0x85;
inline constexpr std::uint8_t invalid_key_size = 0x86;
inline constexpr std::uint8_t key_does_not_exist = 0x87;
inline constexpr std::uint8_t unrecovered_error = 0x88;
inline constexpr std::uint8_t key_exists = 0x89;
}  // namespace generic_status

/// Command specific status values (NVMe Base 2.0, Figure 96). 81h and 82h on a KV namespace: RADOS-NKV's own use.
namespace command_status {
inline constexpr std::uint8_t invalid_cq = 0x00;
inline constexpr std::uint8_t invalid_qid = 0x01;
inline constexpr std::uint8_t invalid_queue_size = 0x02;
inline constexpr std::uint8_t abort_limit_exceeded = 0x03;
inline constexpr std::uint8_t aer_limit_exceeded = 0x05;
inline constexpr std::uint8_t invalid_interrupt_vector = 0x08;
inline constexpr std::uint8_t invalid_log_page = 0x09;
inline constexpr std::uint8_t invalid_queue_deletion = 0x0c;
inline constexpr std::uint8_t feature_not_saveable = 0x0d;
inline constexpr std::uint8_t feature_not_changeable = 0x0e;
inline constexpr std::uint8_t command_set_combination_rejected = 0x2b;
inline constexpr std::uint8_t value_truncated = 0x81;
inline constexpr std::uint8_t namespace_read_only = 0x82;
}  // namespace command_status

/// Media and data integrity errors (NVMe Base 2.0, Figure 97).
namespace media_status {
inline constexpr std::uint8_t access_denied = 0x86;
}  // namespace media_status

/// Vendor specific status values: this library's target's own.
namespace vendor_status {
/// A Store or Delete that was handed on, to a cluster that has not answered: whether it happened, or will, is not
/// known.
inline constexpr std::uint8_t outcome_unknown = 0x4e;
/// An Execute that is allowed, of an engine that the target could not load.
inline constexpr std::uint8_t no_runtime = 0x4f;
}  // namespace vendor_status

/// What the client library itself reports (status_code_type::client).
enum class client_status : std::uint8_t {
  would_block = 1,    ///< nothing yet; look again
  timed_out,          ///< the deadline passed; the command may still own its buffer
  queue_full,         ///< as many commands are outstanding as the queue takes; nothing was written
  bad_argument,       ///< refused before the doorbell
  disconnected,       ///< the peer is gone
  unsupported,        ///< this target cannot do it, whatever the arguments
  value_too_large,    ///< the buffer is shorter than the value (true length in the completion), or no command fits it
  outcome_unknown,    ///< a command that changes data was sent and its fate is not known
  staged_refused,     ///< the memory could only be staged and the caller does not allow it
  system_error,       ///< a system call failed; detail() is its errno
  protocol_error,     ///< the peer said something that the protocol does not allow
  controller_fatal,   ///< CSTS.CFS is set
  not_found,          ///< no such endpoint, namespace or file
  busy,               ///< the endpoint serves somebody else
  cancelled,          ///< the ticket was cancelled
  stale_ticket,       ///< the ticket was consumed before, or belongs to another queue
  truncated,          ///< a page or message ends before what it announces
  encoding_unknown,   ///< the namespace's key encoding could not be found; say which
  wrong_command_set,  ///< the namespace is not KV
  forked,             ///< this process is a fork of the owner
  driver_error,       ///< the driver of a GPU refused; detail() is its code
};

/// @return a short English text, e.g. "key does not exist"; "unknown status" for a code without one. Host only in
/// practice (the texts are constants); never null.
[[nodiscard]] constexpr const char* status_text(status_code_type sct, std::uint8_t sc) noexcept {
  switch (sct) {
    case status_code_type::generic:
      switch (sc) {
        case generic_status::success: return "success";
        case generic_status::invalid_opcode: return "invalid command opcode";
        case generic_status::invalid_field: return "invalid field in command";
        case generic_status::cid_conflict: return "command id conflict";
        case generic_status::data_transfer_error: return "data transfer error";
        case 0x05: return "aborted due to power loss";
        case generic_status::internal_error: return "internal error";
        case generic_status::abort_requested: return "command abort requested";
        case generic_status::aborted_sq_deletion: return "aborted due to submission queue deletion";
        case 0x09: return "aborted due to failed fused command";
        case 0x0a: return "aborted due to missing fused command";
        case generic_status::invalid_nsid: return "invalid namespace or format";
        case generic_status::command_sequence_error: return "command sequence error";
        case generic_status::invalid_sgl_segment: return "invalid SGL segment descriptor";
        case generic_status::invalid_sgl_count: return "invalid number of SGL descriptors";
        case generic_status::sgl_length_invalid: return "data SGL length invalid";
        case 0x10: return "metadata SGL length invalid";
        case generic_status::sgl_type_invalid: return "SGL descriptor type invalid";
        case 0x12: return "invalid use of controller memory buffer";
        case generic_status::invalid_prp_offset: return "PRP offset invalid";
        case 0x16: return "SGL offset invalid";
        case 0x18: return "host identifier inconsistent format";
        case 0x1c: return "sanitize failed";
        case 0x1e: return "SGL data block granularity invalid";
        case generic_status::namespace_write_protected: return "namespace is write protected";
        case generic_status::command_interrupted: return "command interrupted: come again";
        case generic_status::transient_transport_error: return "transient transport error";
        case 0x24: return "admin command media not ready";
        case generic_status::command_set_not_enabled: return "I/O command set not enabled";
        case 0x80: return "LBA out of range";
        case generic_status::capacity_exceeded: return "capacity exceeded";
        case generic_status::namespace_not_ready: return "namespace not ready";
        case 0x83: return "reservation conflict";
        case 0x84: return "format in progress";
        case generic_status::invalid_value_size: return "invalid value size";
        case generic_status::invalid_key_size: return "invalid key size";
        case generic_status::key_does_not_exist: return "key does not exist";
        case generic_status::unrecovered_error: return "unrecovered error";
        case generic_status::key_exists: return "key exists";
        default: return "unknown status";
      }
    case status_code_type::command_specific:
      switch (sc) {
        case command_status::invalid_cq: return "completion queue invalid";
        case command_status::invalid_qid: return "invalid queue identifier";
        case command_status::invalid_queue_size: return "invalid queue size";
        case command_status::abort_limit_exceeded: return "abort command limit exceeded";
        case command_status::aer_limit_exceeded: return "asynchronous event request limit exceeded";
        case 0x06: return "invalid firmware slot";
        case command_status::invalid_interrupt_vector: return "invalid interrupt vector";
        case command_status::invalid_log_page: return "invalid log page";
        case 0x0a: return "invalid format";
        case command_status::invalid_queue_deletion: return "invalid queue deletion";
        case command_status::feature_not_saveable: return "feature identifier not saveable";
        case command_status::feature_not_changeable: return "feature not changeable";
        case 0x0f: return "feature not namespace specific";
        case command_status::command_set_combination_rejected: return "I/O command set combination rejected";
        case command_status::value_truncated: return "buffer too small for the value";
        case command_status::namespace_read_only: return "namespace is read-only";
        case generic_status::invalid_value_size: return "invalid value size";
        case generic_status::invalid_key_size: return "invalid key size";
        case generic_status::key_does_not_exist: return "key does not exist";
        case generic_status::unrecovered_error: return "unrecovered error";
        case generic_status::key_exists: return "key exists";
        default: return "unknown status";
      }
    case status_code_type::media:
      switch (sc) {
        case 0x80: return "write fault";
        case 0x81: return "unrecovered read error";
        case media_status::access_denied: return "access denied";
        default: return "unknown media status";
      }
    case status_code_type::path:
      switch (sc) {
        case 0x00: return "internal path error";
        case 0x01: return "asymmetric access persistent loss";
        case 0x02: return "asymmetric access inaccessible";
        case 0x03: return "asymmetric access transition";
        case 0x60: return "controller pathing error";
        case 0x70: return "host pathing error";
        case 0x71: return "command aborted by host";
        default: return "unknown path status";
      }
    case status_code_type::client:
      switch (static_cast<client_status>(sc)) {
        case client_status::would_block: return "not complete yet";
        case client_status::timed_out: return "deadline passed";
        case client_status::queue_full: return "queue full";
        case client_status::bad_argument: return "bad argument";
        case client_status::disconnected: return "disconnected";
        case client_status::unsupported: return "not supported by this target";
        case client_status::value_too_large: return "value too large";
        case client_status::outcome_unknown: return "outcome unknown";
        case client_status::staged_refused: return "memory could only be staged";
        case client_status::system_error: return "system error";
        case client_status::protocol_error: return "protocol error";
        case client_status::controller_fatal: return "controller fatal status";
        case client_status::not_found: return "not found";
        case client_status::busy: return "busy";
        case client_status::cancelled: return "cancelled";
        case client_status::stale_ticket: return "stale ticket";
        case client_status::truncated: return "truncated";
        case client_status::encoding_unknown: return "key encoding unknown: say which";
        case client_status::wrong_command_set: return "namespace is not a KV namespace";
        case client_status::forked: return "used in a forked child";
        case client_status::driver_error: return "the GPU's driver refused";
        default: return "unknown client status";
      }
    case status_code_type::vendor:
      return sc == vendor_status::no_runtime ? "the target has no runtime for the operation" : "vendor specific status";
    default: return "unknown status";
  }
}

}  // namespace nkv::inline NKV_ABI
