// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The commands that most operations come to, with what decides about them worked out once: inline keys, and values
/// that one SGL block in the command names, so that no scratch memory is needed. A short way through validate() and
/// encode(), never another answer than theirs. A plain value; host and device.
class plain_path {
 public:
  constexpr plain_path() noexcept = default;
  NKV_HD explicit constexpr plain_path(const namespace_profile& p) noexcept {
    if (p.quirks.encoding != key_encoding::inline_cdw) return;
    longest_key_ = p.longest_key_bytes();
    writable_ = !p.read_only;
    if (!p.limits.sgl || (p.limits.sgl_dword_granular && !p.quirks.sgl_ignores_granularity)) return;
    std::uint64_t most = p.limits.max_transfer_bytes;
    if (most == 0 || most > 0xffffffffu) most = 0xffffffffu;
    most_retrieved_ = most + 1;
    most_stored_ = p.read_only ? 0 : (p.limits.max_value_bytes < most ? p.limits.max_value_bytes : most) + 1;
  }

  /// Whether `op` is one of them. Where not, validate() tells whether it is anything.
  [[nodiscard]] NKV_HD NKV_INLINE constexpr bool takes(const operation& op) const noexcept {
    // A length of 0 becomes the largest number.
    if (op.key.size() - 1 >= longest_key_) return false;
    switch (op.opcode) {
      case kv_opcode::store: return op.value.length_bytes < most_stored_ && op.store_opts.bits() == 0;
      case kv_opcode::retrieve: return op.value.length_bytes < most_retrieved_;
      case kv_opcode::remove: return writable_;
      case kv_opcode::exist: return true;
      default: return false;
    }
  }

  /// Whether the namespace carries keys and values so that it takes any of them.
  [[nodiscard]] NKV_HD constexpr bool usable() const noexcept { return most_retrieved_ != 0; }

  /// Why it does not take `op`: client/bad_argument for the key, value_too_large for the value, the namespace's being
  /// read-only, and else unsupported.
  [[nodiscard]] NKV_HD constexpr status refusal(const operation& op) const noexcept {
    if (op.key.size() - 1 >= longest_key_) return client_status::bad_argument;
    if (!writable_ && op.mutates()) return {status_code_type::command_specific, command_status::namespace_read_only};
    const bool retrieves = op.opcode == kv_opcode::retrieve;
    if ((retrieves || op.opcode == kv_opcode::store) &&
        op.value.length_bytes >= (retrieves ? most_retrieved_ : most_stored_))
      return client_status::value_too_large;
    return client_status::unsupported;
  }

  /// The command of an operation that it takes: byte for byte what encode() makes.
  [[nodiscard]] NKV_HD NKV_INLINE static constexpr sqe command(const operation& op, std::uint32_t nsid) noexcept {
    sqe c;
    c.set_opc(op.opcode);
    c.set_nsid(nsid);
    if (op.opcode == kv_opcode::store || op.opcode == kv_opcode::retrieve) {
      const auto length = static_cast<std::uint32_t>(op.value.length_bytes) + opaque_zero();
      if (length != 0) c.set_dptr(data_pointer::sgl(sgl_descriptor::data_block(op.value.address, length)));
      c.set_cdw(10, length);
      if (op.opcode == kv_opcode::retrieve && op.retrieve_opts.raw) c.set_cdw(11, 0x100);
    }
    set_inline_key(c, op.key);
    return c;
  }

 private:
  std::uint64_t most_stored_ = 0;  ///< one more than that, so that 0 takes none
  std::uint64_t most_retrieved_ = 0;
  std::uint32_t longest_key_ = 0;
  bool writable_ = false;
};

}  // namespace nkv::inline NKV_ABI
