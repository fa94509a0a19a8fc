// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// A completion queue entry: 4 little-endian dwords (NVMe Base 2.0, Figures 90 to 93).
struct alignas(16) cqe {
  std::uint32_t dw[4] = {};

  /// Command specific result: the true length of a Retrieve.
  [[nodiscard]] NKV_HD constexpr std::uint32_t dw0() const noexcept { return dw[0]; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t dw1() const noexcept { return dw[1]; }
  [[nodiscard]] NKV_HD constexpr std::uint16_t sqhd() const noexcept { return static_cast<std::uint16_t>(dw[2]); }
  [[nodiscard]] NKV_HD constexpr std::uint16_t sqid() const noexcept { return static_cast<std::uint16_t>(dw[2] >> 16); }
  [[nodiscard]] NKV_HD constexpr std::uint16_t cid() const noexcept { return static_cast<std::uint16_t>(dw[3]); }
  [[nodiscard]] NKV_HD constexpr std::uint16_t status_field() const noexcept {
    return static_cast<std::uint16_t>(dw[3] >> 16);
  }
  [[nodiscard]] NKV_HD constexpr bool phase() const noexcept { return (dw[3] & 0x10000u) != 0; }
  /// What status().ok() says.
  [[nodiscard]] NKV_HD constexpr bool succeeded() const noexcept { return (dw[3] & 0x0ffe0000u) == 0; }
  [[nodiscard]] NKV_HD constexpr nkv::status status() const noexcept { return nkv::status::from_cqe(status_field()); }

  /// Which command it completes, SQID and CID, as one word: what ids_of() makes of the two.
  [[nodiscard]] NKV_HD constexpr std::uint32_t ids() const noexcept { return dw[3] << 16 | dw[2] >> 16; }
  [[nodiscard]] NKV_HD static constexpr std::uint32_t ids_of(std::uint16_t sqid, std::uint16_t cid) noexcept {
    return static_cast<std::uint32_t>(cid) << 16 | sqid;
  }

  /// An entry as a controller writes it.
  [[nodiscard]] NKV_HD static constexpr cqe make(std::uint32_t dw0, std::uint16_t sqhd, std::uint16_t sqid,
                                                 std::uint16_t cid, nkv::status s, bool phase) noexcept {
    cqe c;
    c.dw[0] = dw0;
    c.dw[2] = sqhd | (static_cast<std::uint32_t>(sqid) << 16);
    const std::uint32_t field = (phase ? 1u : 0u) | (static_cast<std::uint32_t>(s.sc()) << 1) |
                                ((static_cast<std::uint32_t>(s.sct()) & 7u) << 9) | (s.dnr() ? 0x8000u : 0u);
    c.dw[3] = cid | (field << 16);
    return c;
  }
};
static_assert(sizeof(cqe) == 16 && alignof(cqe) == 16);

}  // namespace nkv::inline NKV_ABI
