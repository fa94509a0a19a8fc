// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

/// What Identify says of a namespace. A plain value.
struct namespace_info {
  static constexpr unsigned unknown_command_set = 256;

  std::uint32_t nsid = 0;
  unsigned csi = unknown_command_set;    ///< a command_set_id, or unknown
  kv_format format{};                    ///< KV: longest key, longest value, most keys
  std::uint64_t used = 0;                ///< KV: NUSE, as the target counts
  bool counts_formats_from_1 = false;    ///< KV: NKVF is the number of formats, not one less
  std::uint8_t vendor_capabilities = 0;  ///< KV: byte 3840, RADOS-NKV's vs_cap; bit 0 TTL

  [[nodiscard]] constexpr bool is_kv() const noexcept { return csi == static_cast<unsigned>(command_set_id::kv); }
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
