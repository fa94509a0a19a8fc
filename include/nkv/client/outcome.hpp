// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Names a submitted operation until its outcome was taken, with what is needed to read its completion. A plain value.
struct kv_ticket {
  nkv::ticket ticket{};
  kv_opcode opcode = kv_opcode::exist;
  bool exist_by_retrieve = false;  ///< an Exist that went out as a Retrieve
  std::uint64_t buffer_bytes = 0;
  std::uint64_t user_tag = 0;

  [[nodiscard]] NKV_HD constexpr bool valid() const noexcept { return ticket.valid(); }
};

/// How an operation ended.
struct outcome {
  nkv::status status{};
  /// Retrieve: the value's whole length, also where the buffer was shorter. Exist: the value's length. List: of the
  /// listing. Execute: of the whole result. Only where length_known.
  std::uint64_t length_bytes = 0;
  bool length_known = false;
  std::uint64_t user_tag = 0;
  /// Where the operation timed out: names it for quiesced().
  nkv::ticket ticket{};

  [[nodiscard]] NKV_HD constexpr bool ok() const noexcept { return status.ok(); }
  [[nodiscard]] NKV_HD constexpr explicit operator bool() const noexcept { return ok(); }
};

/// Reads a completion as the operation's outcome, through the namespace's quirks: misses are 87h under either status
/// code type, and a short buffer is value_too_large however the target reports it.
[[nodiscard]] NKV_HD NKV_INLINE constexpr outcome read_outcome(const kv_ticket& t, const namespace_profile& profile,
                                                               const completion& c) noexcept {
  outcome o;
  o.status = c.status;
  o.user_tag = t.user_tag;
  o.ticket = t.ticket;
  const quirks& q = profile.quirks;
  if (c.status.ok() && !t.exist_by_retrieve) [[likely]] {
    if (t.opcode == kv_opcode::retrieve) {
      o.length_known = q.reports_true_length;
      o.length_bytes = o.length_known ? c.dw0 : t.buffer_bytes;
      if (o.length_bytes > t.buffer_bytes) o.status = status(client_status::value_too_large);
      return o;
    }
    if (t.opcode == kv_opcode::exist) {
      o.length_known = q.exist_reports_length;
      o.length_bytes = o.length_known ? c.dw0 : 0;
      return o;
    }
    if (t.opcode == kv_opcode::store || t.opcode == kv_opcode::remove) return o;
  }
  if (c.status.is_client()) {
    // No completion will come, or none was waited for: what a changing command did is not known.
    if (operation::opcode_mutates(t.opcode) &&
        (c.status == status(client_status::disconnected) || c.status == status(client_status::timed_out)))
      o.status = status(client_status::outcome_unknown);
    return o;
  }
  if (c.status == status(status_code_type::vendor, vendor_status::outcome_unknown) &&
      operation::opcode_mutates(t.opcode)) {
    o.status = status(client_status::outcome_unknown);
    return o;
  }
  const bool truncated = c.status == status(status_code_type::command_specific, command_status::value_truncated);
  if (t.exist_by_retrieve) {
    if (truncated) o.status = status();
    if (o.status.ok() && q.reports_true_length) {
      o.length_bytes = c.dw0;
      o.length_known = true;
    }
    return o;
  }
  switch (t.opcode) {
    case kv_opcode::retrieve:
    case kv_opcode::execute: {
      const bool has_length = t.opcode == kv_opcode::execute || q.reports_true_length;
      if (c.status.ok()) {  // Execute
        o.length_known = has_length;
        o.length_bytes = has_length ? c.dw0 : t.buffer_bytes;
        if (has_length && c.dw0 > t.buffer_bytes) o.status = status(client_status::value_too_large);
      } else if (truncated) {
        o.status = status(client_status::value_too_large);
        o.length_known = has_length;
        o.length_bytes = has_length ? c.dw0 : 0;
      } else if (t.opcode == kv_opcode::retrieve && c.status.sct() <= status_code_type::command_specific &&
                 c.status.sc() == generic_status::invalid_value_size) {
        // Some targets answer a short buffer so; the length is in DW0 where it is more than what the buffer holds.
        o.status = status(client_status::value_too_large);
        o.length_known = has_length && c.dw0 > t.buffer_bytes;
        o.length_bytes = o.length_known ? c.dw0 : 0;
      }
      break;
    }
    case kv_opcode::list:
      o.length_known = (c.status.ok() || truncated) && q.list_reports_length;
      o.length_bytes = o.length_known ? c.dw0 : 0;
      if (truncated || (o.length_known && c.dw0 > t.buffer_bytes)) o.status = status(client_status::value_too_large);
      break;
    default: break;
  }
  return o;
}

}  // namespace nkv::inline NKV_ABI
