// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/quirks.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// All that a namespace_ref consults of its namespace. A plain value, passed to kernels; filled at open on the host.
struct namespace_profile {
  std::uint32_t nsid = 1;
  bool read_only = false;  ///< Store and Delete are refused; set by the caller or learnt from 1/82h
  nkv::quirks quirks{};
  nkv::limits limits{};

  /// The longest key that this namespace takes: its own limit or the encoding's, whichever is less.
  [[nodiscard]] NKV_HD constexpr std::uint32_t longest_key_bytes() const noexcept {
    const std::uint32_t carried = nkv::longest_key_bytes(quirks.encoding);
    return limits.max_key_bytes < carried ? limits.max_key_bytes : carried;
  }

  /// @return success, or client bad_argument for a key that is empty or longer than the namespace or its encoding takes
  [[nodiscard]] NKV_HD constexpr status check_key(key_view key) const noexcept {
    return key.check(longest_key_bytes());
  }

  /// Bytes in front of the value in a command's data: the head of `key`, or nothing.
  [[nodiscard]] NKV_HD constexpr std::uint64_t head_bytes(key_view key) const noexcept {
    return quirks.encoding == key_encoding::payload_head ? nkv::head_bytes(key) : 0;
  }

  /// Whether one command carries a value of `length_bytes` bytes under `key`.
  /// @return success, or client value_too_large
  [[nodiscard]] NKV_HD constexpr status check_value(key_view key, std::uint64_t length_bytes) const noexcept {
    // Compared first, so that the sum with the head cannot wrap.
    if (length_bytes > limits.max_value_bytes || length_bytes > 0xffffffffu) return client_status::value_too_large;
    if (!limits.takes_transfer(head_bytes(key) + length_bytes)) return client_status::value_too_large;
    return {};
  }
};
static_assert(std::is_trivially_copyable_v<namespace_profile>);

}  // namespace nkv::inline NKV_ABI
