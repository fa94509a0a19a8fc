// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace nkv::inline NKV_ABI {
namespace host {

/// A key for people: its characters in quotes where all of them can be printed, else hexadecimal digits after 0x.
/// Quotes and backslashes make it hexadecimal too, so that what stands in quotes is the key.
[[nodiscard]] inline std::string describe(key_view key) {
  bool text = !key.empty();
  for (const std::byte b : key.bytes()) {
    const auto c = static_cast<unsigned>(b);
    if (c < 0x20 || c > 0x7e || c == '\'' || c == '\\') text = false;
  }
  if (text) return "'" + std::string(reinterpret_cast<const char*>(key.data()), key.size()) + "'";
  std::string hex(2 * key.size(), '0');
  key.to_hex(hex.data());
  return "0x" + hex;
}

/// A status for people: what it means, and its numbers where a controller gave it, e.g. "key does not exist (sct 0h, sc
/// 87h)". A system_error has the text of its errno.
[[nodiscard]] inline std::string describe(status s) {
  std::string text = status_text(s.sct(), s.sc());
  if (s.is_client()) {
    if (s == status(client_status::system_error)) {
      text += ": " + std::generic_category().message(s.detail()) + " (errno " + std::to_string(s.detail()) + ")";
    } else if (s == status(client_status::driver_error)) {
      text += " (code " + std::to_string(s.detail()) + ")";  // gpu_driver::describe() knows its name
    }
    return text;
  }
  constexpr const char* digits = "0123456789abcdef";
  const unsigned sc = s.sc();
  text += " (sct ";
  text += digits[static_cast<unsigned>(s.sct()) & 15u];
  text += "h, sc ";
  text += digits[sc >> 4];
  text += digits[sc & 15u];
  text += "h";
  if (s.dnr()) text += ", do not retry";
  return text + ")";
}

/// What happened to an operation, for people: opcode, nsid, key and status, e.g. "Retrieve nsid 1 key 'abc': key does
/// not exist (sct 0h, sc 87h)".
[[nodiscard]] inline std::string describe(status s, kv_opcode opcode, std::uint32_t nsid, key_view key) {
  std::string text = opcode_text(opcode);
  text += " nsid " + std::to_string(nsid);
  if (!key.empty()) text += " key " + describe(key);
  return text + ": " + describe(s);
}
[[nodiscard]] inline std::string describe(status s, const operation& op, std::uint32_t nsid) {
  return describe(s, op.opcode, nsid, op.key);
}
/// The same with the value's length where the outcome has one that explains it.
[[nodiscard]] inline std::string describe(const outcome& o, const operation& op, std::uint32_t nsid) {
  std::string text = describe(o.status, op, nsid);
  if (o.length_known && o.status == status(client_status::value_too_large))
    text += " (" + std::to_string(o.length_bytes) + " bytes, room for " + std::to_string(op.value.length_bytes) + ")";
  return text;
}
/// What happened to an admin command.
[[nodiscard]] inline std::string describe(status s, admin_opcode opcode) {
  std::string text(opcode_text(opcode));
  text += ": ";
  return text += describe(s);
}

}  // namespace host
}  // namespace nkv::inline NKV_ABI
