// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/prp.hpp>
#include <nkv/spec/sgl.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How a command names its data, CDW0 bits 15:14 (NVMe Base 2.0, Figure 87).
enum class psdt : std::uint8_t { prp = 0, sgl = 1, sgl_metadata_segment = 2 };

/// DPTR, SQE bytes 39:24, and the PSDT that goes with it (NVMe Base 2.0, Figures 87 and 88).
struct data_pointer {
  std::uint64_t low = 0;   ///< bytes 31:24: PRP1, or the first half of SGL1
  std::uint64_t high = 0;  ///< bytes 39:32: PRP2, or the second half of SGL1
  psdt format = psdt::prp;

  [[nodiscard]] NKV_HD static constexpr data_pointer prp(prp_entry prp1, prp_entry prp2 = 0) noexcept {
    return {prp1, prp2, psdt::prp};
  }
  [[nodiscard]] NKV_HD static constexpr data_pointer sgl(const sgl_descriptor& d) noexcept {
    return {d.address, static_cast<std::uint64_t>(d.length_bytes) | (static_cast<std::uint64_t>(d.identifier) << 56),
            psdt::sgl};
  }
  /// The descriptor in an SGL data pointer. @pre format != psdt::prp
  [[nodiscard]] NKV_HD constexpr sgl_descriptor sgl1() const noexcept {
    sgl_descriptor d;
    d.address = low;
    d.length_bytes = static_cast<std::uint32_t>(high);
    d.identifier = static_cast<std::uint8_t>(high >> 56);
    return d;
  }
};

}  // namespace nkv::inline NKV_ABI
