// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// List keys from `start`, itself included, into a buffer of `buffer_bytes`.
/// @param start the empty view lists from the first key. In payload_head the start key is not in the entry: the
/// buffer's
///              first bytes hold its head, `[0][0]` for none, before the controller overwrites them
/// @return the entry, without a CID, or client/bad_argument for a start key that the encoding does not carry
/// @see KV Command Set 1.0c, Figures 18 to 23
[[nodiscard]] NKV_HD NKV_INLINE constexpr result<sqe> kv_list(std::uint32_t nsid, key_view start, key_encoding encoding,
                                                              const data_pointer& data,
                                                              std::uint32_t buffer_bytes) noexcept {
  // One object from here to the ring: what is returned is never copied.
  result<sqe> command = sqe{};
  sqe& c = *command;
  c.set_opc(kv_opcode::list);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, buffer_bytes);
  if (!start.empty()) {
    if (const status s = set_data_key(c, start, encoding); !s) command = s;
  }
  return command;
}

}  // namespace nkv::inline NKV_ABI
