// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// What a Retrieve asks for: CDW11 bits 15:8 (KV Command Set 1.0c, Figure 28).
struct retrieve_options {
  bool raw = false;  ///< as it is stored, not decompressed (bit 0)
};

/// Retrieve the value of `key` into a buffer of `buffer_bytes`.
/// @param data the buffer; in payload_head the key's head in front of it
/// @return the entry, without a CID, or client/bad_argument for a key that the encoding does not carry
/// @see KV Command Set 1.0c, Figures 25 to 30: DW0 of the completion is the value's whole length
[[nodiscard]] NKV_HD NKV_INLINE constexpr result<sqe> kv_retrieve(std::uint32_t nsid, key_view key,
                                                                  key_encoding encoding, const data_pointer& data,
                                                                  std::uint32_t buffer_bytes,
                                                                  const retrieve_options& options = {}) noexcept {
  // One object from here to the ring: what is returned is never copied.
  result<sqe> command = sqe{};
  sqe& c = *command;
  c.set_opc(kv_opcode::retrieve);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, buffer_bytes);
  c.set_cdw(11, options.raw ? 0x100u : 0u);
  if (const status s = set_data_key(c, key, encoding); !s) command = s;
  return command;
}

}  // namespace nkv::inline NKV_ABI
