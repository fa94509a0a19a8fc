// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Delete `key` and its value.
/// @param head payload_head: the key's head, for targets that look there; not looked at in inline_cdw, where the data
///             pointer of a command without data stays zero
/// @return the entry, without a CID, or client/bad_argument for a key that the encoding does not carry
/// @see KV Command Set 1.0c, Figure 15; feature 20h (EDNEK) decides whether an absent key is an error
[[nodiscard]] NKV_HD NKV_INLINE constexpr result<sqe> kv_delete(std::uint32_t nsid, key_view key, key_encoding encoding,
                                                                const data_pointer& head = {}) noexcept {
  // One object from here to the ring: what is returned is never copied.
  result<sqe> command = sqe{};
  sqe& c = *command;
  c.set_opc(kv_opcode::remove);
  c.set_nsid(nsid);
  if (encoding == key_encoding::payload_head) c.set_dptr(head);
  if (const status s = set_bare_key(c, key, encoding); !s) command = s;
  return command;
}

}  // namespace nkv::inline NKV_ABI
