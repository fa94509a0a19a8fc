// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Run operation `op_id` on the value of `key`: RADOS-NKV's vendor command 83h, alike in both key encodings.
/// @param data          `[u16 LE key length][key][input]`, and room for the result
/// @param input_bytes   of the input alone
/// @param result_bytes  most bytes of result wanted
/// @return the entry, without a CID, or client/bad_argument: a key of 0 or more than 255 bytes, or a payload beyond 32
/// bits The key goes in the payload only; CDW2, 3, 11, 14 and 15 stay zero. CDW10 is the payload, 2 + key + input.
[[nodiscard]] NKV_HD NKV_INLINE constexpr result<sqe> kv_execute(std::uint32_t nsid, key_view key, std::uint32_t op_id,
                                                                 const data_pointer& data, std::uint32_t input_bytes,
                                                                 std::uint32_t result_bytes) noexcept {
  if (!key.check()) return status(client_status::bad_argument);
  const auto head = static_cast<std::uint32_t>(2 + key.size());
  if (input_bytes > 0xffffffffu - head) return status(client_status::bad_argument);
  // One object from here to the ring: what is returned is never copied.
  result<sqe> command = sqe{};
  sqe& c = *command;
  c.set_opc(kv_opcode::execute);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, head + input_bytes);
  c.set_cdw(12, result_bytes);
  c.set_cdw(13, op_id);
  return command;
}

}  // namespace nkv::inline NKV_ABI
