// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/command/data_pointer_builder.hpp>
#include <nkv/command/execute.hpp>
#include <nkv/command/exist.hpp>
#include <nkv/command/list.hpp>
#include <nkv/command/remove.hpp>
#include <nkv/command/retrieve.hpp>
#include <nkv/command/store.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/queue/scratch.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Whether an Exist of this key goes out as a Retrieve of one byte: the namespace stores keys of its length, and its
/// Exist does not reach them.
[[nodiscard]] NKV_HD constexpr bool exists_by_retrieve(const namespace_profile& profile, key_view key) noexcept {
  return profile.quirks.encoding == key_encoding::payload_head && !profile.quirks.exist_and_delete_carry(key.size());
}

/// Where in an Execute buffer the result is found.
[[nodiscard]] NKV_HD constexpr std::size_t execute_result_offset(const namespace_profile& profile,
                                                                 key_view key) noexcept {
  return profile.quirks.execute_result_after_head ? 2 + key.size() : 0;
}

/// Whether the namespace takes `op` at all, so that encode() can make its command. Nothing is touched.
/// @param list_bytes the room for a PRP list that the command will have
/// @return success, or
///         - client/bad_argument      a key of no or too many bytes; options that exclude each other; a buffer too
///         short
///                                    for a List or for an Execute's payload
///         - client/value_too_large   more than a value of this namespace, or a command of this controller, may have
///         - client/unsupported       this target cannot do it: Delete of a long key, a Store option that it drops, a
///                                    value whose pages or head it takes in no form that this command has
///         - 1/82h                    the namespace is known to be read-only
[[nodiscard]] NKV_HD constexpr status validate(const operation& op, const namespace_profile& profile,
                                               std::uint32_t list_bytes) noexcept {
  const quirks& q = profile.quirks;
  const bool head = q.encoding == key_encoding::payload_head;
  if (op.opcode == kv_opcode::execute) {
    if (const status s = op.key.check(); !s) return s;
    const std::uint64_t payload = execute_input_offset(op.key) + std::uint64_t{op.input_bytes};
    const std::uint64_t result = execute_result_offset(profile, op.key) + std::uint64_t{op.result_bytes};
    if (op.local == nullptr || payload > op.value.length_bytes || result > op.value.length_bytes)
      return client_status::bad_argument;
    if (!profile.limits.takes_transfer(op.value.length_bytes)) return client_status::value_too_large;
    if (takes_sgl_block(profile.limits, q.sgl_ignores_granularity, op.value)) return {};
    return check_prp_list(profile.limits, list_bytes, op.value);
  }
  if (!(op.opcode == kv_opcode::list && op.key.empty())) {
    if (const status s = profile.check_key(op.key); !s) return s;
  }
  switch (op.opcode) {
    case kv_opcode::store:
    case kv_opcode::retrieve: {
      if (op.opcode == kv_opcode::store) {
        const store_options& o = op.store_opts;
        if (profile.read_only) return {status_code_type::command_specific, command_status::namespace_read_only};
        if ((o.must_exist && o.must_not_exist) || (o.touch && !op.value.empty())) return client_status::bad_argument;
        if ((o.bits() & q.dropped_store_options) != 0) return client_status::unsupported;
        if (const status s = profile.check_value(op.key, op.value.length_bytes); !s) return s;
      } else if (op.value.length_bytes > 0xffffffffu ||  // first, so that the sum with the head cannot wrap
                 !profile.limits.takes_transfer(profile.head_bytes(op.key) + op.value.length_bytes)) {
        // A buffer longer than any value is no mistake; one longer than a command carries cannot be sent.
        return client_status::value_too_large;
      }
      if (head) {
        if (!profile.limits.sgl || (profile.limits.max_sgl_descriptors == 1 && !op.value.empty()))
          return client_status::unsupported;
        return list_bytes >= list_memory::min_bytes ? status{} : status{client_status::value_too_large};
      }
      if (op.value.empty() || takes_sgl_block(profile.limits, q.sgl_ignores_granularity, op.value)) return {};
      return check_prp_list(profile.limits, list_bytes, op.value);
    }
    case kv_opcode::remove:
      if (profile.read_only) return {status_code_type::command_specific, command_status::namespace_read_only};
      if (!q.exist_and_delete_carry(op.key.size())) return client_status::unsupported;
      return {};
    case kv_opcode::exist:
      if (exists_by_retrieve(profile, op.key) && !profile.limits.sgl) return client_status::unsupported;
      return {};
    case kv_opcode::list: {
      const std::uint64_t least = head ? (head_bytes(op.key) < 4 ? 4 : head_bytes(op.key)) : 4;
      if (op.local == nullptr || op.value.length_bytes < least) return client_status::bad_argument;
      if (!profile.limits.takes_transfer(op.value.length_bytes)) return client_status::value_too_large;
      if (takes_sgl_block(profile.limits, q.sgl_ignores_granularity, op.value)) return {};
      return check_prp_list(profile.limits, list_bytes, op.value);
    }
    default: return client_status::bad_argument;
  }
}

/// Makes the command of `op`, its scratch memory included.
/// @param memory the scratch of the CID that the command will have; busy until the command is complete
/// @pre validate(op, profile, memory.list.length_bytes)
/// @return the entry, without a CID; the error is that of the command's own check and does not occur after validate()
[[nodiscard]] NKV_HD inline result<sqe> encode(const operation& op, const namespace_profile& profile,
                                               const scratch& memory) noexcept {
  const quirks& q = profile.quirks;
  const std::uint32_t nsid = profile.nsid;
  const auto length = static_cast<std::uint32_t>(op.value.length_bytes);
  const auto head_ref = [&]() noexcept {
    return value_ref{memory.head_address, static_cast<std::uint64_t>(write_head(memory.head, op.key)), 0};
  };
  const auto value_pointer = [&]() noexcept {
    return value_data_pointer(profile.limits, q.sgl_ignores_granularity, memory.list, op.value);
  };
  const auto data = [&]() noexcept {
    if (q.encoding == key_encoding::inline_cdw) return value_pointer();
    return head_data_pointer(memory.list, head_ref(), op.value);
  };
  // The head of a command without a value, where the controller can be told of it.
  const auto bare_head = [&]() noexcept {
    if (q.encoding == key_encoding::inline_cdw || !profile.limits.sgl) return data_pointer{};
    return head_data_pointer(memory.list, head_ref(), value_ref{});
  };
  switch (op.opcode) {
    case kv_opcode::store: return kv_store(nsid, op.key, q.encoding, data(), length, op.store_opts);
    case kv_opcode::retrieve: return kv_retrieve(nsid, op.key, q.encoding, data(), length, op.retrieve_opts);
    case kv_opcode::remove: return kv_delete(nsid, op.key, q.encoding, bare_head());
    case kv_opcode::exist:
      if (exists_by_retrieve(profile, op.key)) {
        const value_ref landing{memory.head_address + scratch::landing_offset, 1, 0};
        return kv_retrieve(nsid, op.key, q.encoding, head_data_pointer(memory.list, head_ref(), landing), 1);
      }
      return kv_exist(nsid, op.key, q.encoding, bare_head());
    case kv_opcode::list:
      // A target that writes nothing leaves an empty page, and in payload_head the start key is read from here.
      store_le(op.local, std::uint32_t{0});
      if (q.encoding == key_encoding::payload_head) write_head(op.local, op.key);
      return kv_list(nsid, op.key, q.encoding, value_pointer(), length);
    case kv_opcode::execute:
      write_head(op.local, op.key);
      return kv_execute(nsid, op.key, op.op_id, value_pointer(), op.input_bytes, op.result_bytes);
    default: return status(client_status::bad_argument);
  }
}

}  // namespace nkv::inline NKV_ABI
