// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// What a Store asks for beyond storing: CDW11 bits 15:8 and CDW12 (KV Command Set 1.0c, Figure 34; bits 3 to 5 are
/// RADOS-NKV's).
struct store_options {
  bool must_exist = false;      ///< only replace: 87h where the key is absent (bit 0, SIKE)
  bool must_not_exist = false;  ///< only create: 89h where the key is there (bit 1, SINKE)
  bool no_compress = false;     ///< bit 2
  bool ephemeral = false;       ///< the value may be evicted and need not survive the target (bit 4)
  bool touch = false;           ///< no data: restart the time to live of a value that stays as it is (bit 5)
  std::uint32_t ttl_s = 0;      ///< seconds after which the key does not exist; 0: no time to live (bit 3 and CDW12)

  [[nodiscard]] NKV_HD constexpr std::uint32_t bits() const noexcept {
    return (must_exist ? 1u : 0u) | (must_not_exist ? 2u : 0u) | (no_compress ? 4u : 0u) | (ttl_s != 0 ? 8u : 0u) |
           (ephemeral ? 16u : 0u) | (touch ? 32u : 0u);
  }
};

/// Store `value_bytes` bytes under `key`.
/// @param key   copied into the entry (inline_cdw), or already in the head that `data` begins with (payload_head)
/// @param data  the value, in payload_head behind the head; nothing for an empty value in inline_cdw
/// @return the entry, without a CID, or client/bad_argument: a key that the encoding does not carry, must_exist
/// together
///         with must_not_exist, or touch with a value
/// @see KV Command Set 1.0c, Figures 31 to 34
[[nodiscard]] NKV_HD NKV_INLINE constexpr result<sqe> kv_store(std::uint32_t nsid, key_view key, key_encoding encoding,
                                                               const data_pointer& data, std::uint32_t value_bytes,
                                                               const store_options& options = {}) noexcept {
  if ((options.must_exist && options.must_not_exist) || (options.touch && value_bytes != 0))
    return status(client_status::bad_argument);
  // One object from here to the ring: what is returned is never copied.
  result<sqe> command = sqe{};
  sqe& c = *command;
  c.set_opc(kv_opcode::store);
  c.set_nsid(nsid);
  c.set_dptr(data);
  c.set_cdw(10, value_bytes);
  c.set_cdw(11, options.bits() << 8);
  c.set_cdw(12, options.ttl_s);
  if (const status s = set_data_key(c, key, encoding); !s) command = s;
  return command;
}

}  // namespace nkv::inline NKV_ABI
