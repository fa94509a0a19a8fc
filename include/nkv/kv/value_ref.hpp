// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// A value's bytes as the controller reaches them. Does not own: the memory stays registered and alive until the
/// command that uses it has completed or is known to be quiesced.
///
/// A length of zero is an empty value; its address is then not looked at. Host and device.
struct value_ref {
  std::uint64_t address = 0;  ///< as the controller sees it: an I/O virtual address, or a remote address
  std::uint64_t length_bytes = 0;
  std::uint32_t remote_key = 0;  ///< fabrics: the key that goes with the address; 0 elsewhere

  [[nodiscard]] NKV_HD constexpr bool empty() const noexcept { return length_bytes == 0; }

  /// The bytes [offset_bytes, offset_bytes + count_bytes) of this value, under the same remote key.
  /// @return the part, or client bad_argument where it does not lie inside (nothing is cut)
  [[nodiscard]] NKV_HD constexpr result<value_ref> part(std::uint64_t offset_bytes,
                                                        std::uint64_t count_bytes) const noexcept {
    if (offset_bytes > length_bytes || count_bytes > length_bytes - offset_bytes)
      return status{client_status::bad_argument};
    return value_ref{address + offset_bytes, count_bytes, remote_key};
  }

  [[nodiscard]] NKV_HD friend constexpr bool operator==(const value_ref& a, const value_ref& b) noexcept {
    return a.address == b.address && a.length_bytes == b.length_bytes && a.remote_key == b.remote_key;
  }
};

}  // namespace nkv::inline NKV_ABI
