// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/identify.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The longest key that any encoding carries.
inline constexpr std::uint32_t max_key_bytes = 255;
/// The longest key that fits the command dwords of the KV Command Set 1.0c.
inline constexpr std::uint32_t max_inline_key_bytes = 16;

/// What a controller and one of its namespaces take in a command, from CAP, CC and Identify. A plain value, filled at
/// open and consulted when a command is built. The defaults are the narrowest that every controller takes, save the
/// value's length. Host and device.
struct limits {
  std::uint64_t max_value_bytes = 0xffffffffu;  ///< kvvml; CDW10 has no more than these 32 bits
  std::uint64_t max_transfer_bytes = 0;  ///< MDTS in bytes, over all data of one command, head included; 0: no limit
  std::uint32_t max_key_bytes = max_inline_key_bytes;  ///< kvkml
  std::uint32_t page_bytes = 4096;                     ///< CC.MPS: the page of PRP entries and PRP lists
  std::uint32_t max_sgl_descriptors = 0;               ///< data blocks of one command; 0: no limit
  bool sgl = false;                                    ///< SGLS: SGLs are taken on I/O commands
  bool sgl_dword_granular = false;                     ///< SGLS: addresses and lengths of blocks are multiples of 4
  bool prp_list = true;        ///< PRP2 may point to a list; without it a command has two pages at most
  bool prp_list_chain = true;  ///< a PRP list may go on in another page

  /// Whether `bytes` of data, head included, are within MDTS and the 32-bit length fields.
  [[nodiscard]] NKV_HD constexpr bool takes_transfer(std::uint64_t bytes) const noexcept {
    return bytes <= 0xffffffffu && (max_transfer_bytes == 0 || bytes <= max_transfer_bytes);
  }

  /// Takes over what Identify Controller says of SGLs: SGLS bits 1:0 (NVMe Base 2.0, Figure 275).
  /// 00b none, 01b any alignment, 10b dwords; 11b is reserved and taken as none.
  NKV_HD constexpr void set_sgls(std::uint32_t sgls_field) noexcept {
    const std::uint32_t kind = sgls_field & sgls::supported_mask;
    sgl = kind == sgls::byte_granular || kind == sgls::dword_granular;
    sgl_dword_granular = kind == sgls::dword_granular;
  }

  /// Takes over MDTS, a power of two of minimum pages (CAP.MPSMIN); 0 is no limit, and so is 32 or more.
  NKV_HD constexpr void set_mdts(std::uint8_t mdts, std::uint32_t min_page_bytes) noexcept {
    max_transfer_bytes = 0;
    if (mdts != 0 && mdts < 32) max_transfer_bytes = static_cast<std::uint64_t>(min_page_bytes) << mdts;
  }

  /// Whether to rely on PRP lists, from what set_sgls(), set_mdts() and page_bytes say. Where a command has two pages
  /// at most and there are no SGLs, data that begins at a page never needs a list, and controllers of this kind take
  /// PRP2 for a page whatever it points to. A third page, of data that begins elsewhere, is then refused before it is
  /// sent.
  NKV_HD constexpr void find_prp_list() noexcept {
    prp_list = sgl || max_transfer_bytes == 0 || max_transfer_bytes > 2 * std::uint64_t{page_bytes};
  }

  /// Takes over the KV format in use. A key length beyond `nkv::max_key_bytes` is cut to it; a value length of 0, which
  /// says nothing, leaves the limit alone.
  NKV_HD constexpr void set_format(const kv_format& format) noexcept {
    max_key_bytes = format.kvkml < nkv::max_key_bytes ? format.kvkml : nkv::max_key_bytes;
    if (format.kvvml != 0) max_value_bytes = format.kvvml;
  }
};

}  // namespace nkv::inline NKV_ABI
