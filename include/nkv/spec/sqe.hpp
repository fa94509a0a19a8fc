// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/opcode.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// A submission queue entry: 16 little-endian dwords (NVMe Base 2.0, Figures 86 to 88).
///
/// All zero when made. Host and device, usable in constant expressions.
struct alignas(64) sqe {
  std::uint32_t dw[16] = {};

  [[nodiscard]] NKV_HD constexpr std::uint8_t opc() const noexcept { return static_cast<std::uint8_t>(dw[0]); }
  [[nodiscard]] NKV_HD constexpr std::uint8_t fuse() const noexcept {
    return static_cast<std::uint8_t>((dw[0] >> 8) & 3u);
  }
  [[nodiscard]] NKV_HD constexpr psdt data_format() const noexcept { return static_cast<psdt>((dw[0] >> 14) & 3u); }
  [[nodiscard]] NKV_HD constexpr std::uint16_t cid() const noexcept { return static_cast<std::uint16_t>(dw[0] >> 16); }
  [[nodiscard]] NKV_HD constexpr std::uint32_t nsid() const noexcept { return dw[1]; }
  [[nodiscard]] NKV_HD constexpr std::uint64_t mptr() const noexcept { return dword_pair(4); }
  [[nodiscard]] NKV_HD constexpr data_pointer dptr() const noexcept {
    return {dword_pair(6), dword_pair(8), data_format()};
  }
  /// CDW `n`, 2 to 15.
  [[nodiscard]] NKV_HD constexpr std::uint32_t cdw(unsigned n) const noexcept { return dw[n]; }

  NKV_HD constexpr void set_opc(std::uint8_t opc) noexcept { dw[0] = (dw[0] & ~0xffu) | opc; }
  NKV_HD constexpr void set_opc(kv_opcode opc) noexcept { set_opc(static_cast<std::uint8_t>(opc)); }
  NKV_HD constexpr void set_opc(admin_opcode opc) noexcept { set_opc(static_cast<std::uint8_t>(opc)); }
  NKV_HD constexpr void set_cid(std::uint16_t cid) noexcept {
    dw[0] = (dw[0] & 0xffffu) | (static_cast<std::uint32_t>(cid) << 16);
  }
  NKV_HD constexpr void set_nsid(std::uint32_t nsid) noexcept { dw[1] = nsid; }
  NKV_HD constexpr void set_dptr(const data_pointer& p) noexcept {
    dw[0] = (dw[0] & ~0xc000u) | (static_cast<std::uint32_t>(p.format) << 14);
    dw[6] = static_cast<std::uint32_t>(p.low);
    dw[7] = static_cast<std::uint32_t>(p.low >> 32);
    dw[8] = static_cast<std::uint32_t>(p.high);
    dw[9] = static_cast<std::uint32_t>(p.high >> 32);
  }
  NKV_HD constexpr void set_cdw(unsigned n, std::uint32_t value) noexcept { dw[n] = value; }

 private:
  [[nodiscard]] NKV_HD constexpr std::uint64_t dword_pair(unsigned n) const noexcept {
    return dw[n] | (static_cast<std::uint64_t>(dw[n + 1]) << 32);
  }
};
static_assert(sizeof(sqe) == 64 && alignof(sqe) == 64);

}  // namespace nkv::inline NKV_ABI
