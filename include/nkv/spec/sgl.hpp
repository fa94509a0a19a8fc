// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// SGL descriptor types, in bits 7:4 of byte 15 (NVMe Base 2.0, Figure 107).
enum class sgl_type : std::uint8_t {
  data_block = 0,
  bit_bucket = 1,
  segment = 2,
  last_segment = 3,
  keyed_data_block = 4
};

/// One 16-byte SGL descriptor (NVMe Base 2.0, Figures 106 to 112), subtype 0h (address).
struct alignas(16) sgl_descriptor {
  std::uint64_t address = 0;
  std::uint32_t length_bytes = 0;
  std::uint8_t reserved[3] = {};
  std::uint8_t identifier = 0;

  [[nodiscard]] NKV_HD constexpr sgl_type type() const noexcept { return static_cast<sgl_type>(identifier >> 4); }
  [[nodiscard]] NKV_HD constexpr std::uint8_t subtype() const noexcept { return identifier & 0x0fu; }

  /// A descriptor of memory that holds data.
  [[nodiscard]] NKV_HD static constexpr sgl_descriptor data_block(std::uint64_t address,
                                                                  std::uint32_t length_bytes) noexcept {
    return make(address, length_bytes, sgl_type::data_block);
  }
  /// A descriptor of memory that holds `count` descriptors, the last of all.
  [[nodiscard]] NKV_HD static constexpr sgl_descriptor last_segment(std::uint64_t address,
                                                                    std::uint32_t count) noexcept {
    return make(address, count * 16u, sgl_type::last_segment);
  }
  /// A descriptor of memory that holds `count` descriptors, of which the last points on.
  [[nodiscard]] NKV_HD static constexpr sgl_descriptor segment(std::uint64_t address, std::uint32_t count) noexcept {
    return make(address, count * 16u, sgl_type::segment);
  }

 private:
  [[nodiscard]] NKV_HD static constexpr sgl_descriptor make(std::uint64_t address, std::uint32_t length,
                                                            sgl_type type) noexcept {
    sgl_descriptor d;
    d.address = address;
    d.length_bytes = length;
    d.identifier = static_cast<std::uint8_t>(static_cast<unsigned>(type) << 4);
    return d;
  }
};
static_assert(sizeof(sgl_descriptor) == 16);
static_assert(offsetof(sgl_descriptor, length_bytes) == 8);
static_assert(offsetof(sgl_descriptor, identifier) == 15);

}  // namespace nkv::inline NKV_ABI
