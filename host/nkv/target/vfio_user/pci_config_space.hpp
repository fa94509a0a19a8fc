// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

/// Who the device says it is.
struct pci_identity {
  /// The identifiers that SPDK's vfio-user target uses: no driver has a quirk for them, and drivers bind by class.
  std::uint16_t vendor_id = 0x4e58;
  std::uint16_t device_id = 0x0001;
  std::uint8_t revision = 0;
};

/// Sizes of what the header describes. Powers of two, 4 KiB at the least.
struct pci_layout {
  std::uint32_t bar0_bytes = 0x2000;
  std::uint32_t msix_table_bytes = 0x1000;    ///< BAR 4
  std::uint32_t msix_pending_bytes = 0x1000;  ///< BAR 5
  std::uint16_t msix_vectors = 65;
};

/// The configuration space of an NVMe controller: a type 0 header, then power management, MSI-X and PCI Express
/// capabilities, as a guest's driver expects them (PCI Express Base 5.0, 7.5.1, 7.5.2, 7.7.2, 7.5.3). Bits that a
/// driver may write keep what it wrote; all others keep their value.
class pci_config_space {
 public:
  static constexpr std::size_t size_bytes = 0x1000;

  explicit pci_config_space(const pci_identity& who = {}, const pci_layout& layout = {}) noexcept {
    set16(0x00, who.vendor_id);
    set16(0x02, who.device_id);
    writable16(0x04, memory_space | bus_master | parity_response | serr_enable | interrupt_disable);
    set16(0x06, capabilities_list);
    set8(0x08, who.revision);
    set8(0x09, 0x02);  // NVM Express
    set8(0x0a, 0x08);  // non-volatile memory
    set8(0x0b, 0x01);  // mass storage
    writable8(0x0c, 0xff);
    bar(0, layout.bar0_bytes, true);
    bar(4, layout.msix_table_bytes, false);
    bar(5, layout.msix_pending_bytes, false);
    set16(0x2c, who.vendor_id);
    set16(0x2e, who.device_id);
    set8(0x34, power_at);
    writable8(0x3c, 0xff);
    set8(0x3d, 1);  // INTA

    set8(power_at, 0x01);
    set8(power_at + 1, msix_at);
    set16(power_at + 2, 0x0003);
    set16(power_at + 4, 0x0008);  // no soft reset
    writable16(power_at + 4, 0x0003);

    set8(msix_at, 0x11);
    set8(msix_at + 1, express_at);
    set16(msix_at + 2, static_cast<std::uint16_t>(layout.msix_vectors - 1));
    writable16(msix_at + 2, 0xc000);
    set32(msix_at + 4, 4);  // table: BAR 4, offset 0
    set32(msix_at + 8, 5);  // pending bits: BAR 5, offset 0

    set8(express_at, 0x10);
    set8(express_at + 1, 0);
    set16(express_at + 2, 0x0002);      // version 2, endpoint
    set32(express_at + 4, 0x10008000);  // function level reset, role-based error reporting
    writable16(device_control_at, static_cast<std::uint16_t>(~function_level_reset));
    set16(express_at + 12, 0x0011);  // link: one lane, 2.5 GT/s
    set16(express_at + 18, 0x0011);
    set32(express_at + 36, 0x00000010);  // completion timeout disable
  }

  /// @return whether [offset, offset + into.size()) lies in the space; `into` is unchanged if not
  [[nodiscard]] bool read(std::uint64_t offset, mutable_byte_span into) const noexcept {
    if (offset > size_bytes || into.size() > size_bytes - offset) return false;
    for (std::size_t i = 0; i < into.size(); ++i) {
      const std::size_t at = static_cast<std::size_t>(offset) + i;
      into[i] = static_cast<std::byte>(at < value_.size() ? value_[at] : std::uint8_t{0});
    }
    return true;
  }

  enum class written { outside, done, reset };

  /// @return outside where the range is not in the space; reset where the driver asks for a function level reset
  [[nodiscard]] written write(std::uint64_t offset, byte_span from) noexcept {
    if (offset > size_bytes || from.size() > size_bytes - offset) return written::outside;
    bool reset = false;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::size_t at = static_cast<std::size_t>(offset) + i;
      if (at >= value_.size()) break;
      const auto byte = static_cast<std::uint8_t>(from[i]);
      value_[at] = static_cast<std::uint8_t>((value_[at] & ~writable_[at]) | (byte & writable_[at]));
      if (at == device_control_at + 1 && (byte & (function_level_reset >> 8)) != 0) reset = true;
    }
    return reset ? written::reset : written::done;
  }

 private:
  static constexpr std::size_t power_at = 0x40;
  static constexpr std::size_t msix_at = 0x50;
  static constexpr std::size_t express_at = 0x60;
  static constexpr std::size_t device_control_at = express_at + 8;
  static constexpr std::uint16_t memory_space = 0x2;
  static constexpr std::uint16_t bus_master = 0x4;
  static constexpr std::uint16_t parity_response = 0x40;
  static constexpr std::uint16_t serr_enable = 0x100;
  static constexpr std::uint16_t interrupt_disable = 0x400;
  static constexpr std::uint16_t capabilities_list = 0x10;
  static constexpr std::uint16_t function_level_reset = 0x8000;

  void set8(std::size_t at, std::size_t v) noexcept { value_[at] = static_cast<std::uint8_t>(v); }
  void set16(std::size_t at, std::uint16_t v) noexcept { std::memcpy(&value_[at], &v, sizeof(v)); }
  void set32(std::size_t at, std::uint32_t v) noexcept { std::memcpy(&value_[at], &v, sizeof(v)); }
  void writable8(std::size_t at, std::uint8_t v) noexcept { writable_[at] = v; }
  void writable16(std::size_t at, std::uint16_t v) noexcept { std::memcpy(&writable_[at], &v, sizeof(v)); }
  /// A memory BAR: the address bits above its size can be written, so that a driver finds the size.
  void bar(std::size_t index, std::uint32_t bytes, bool wide) noexcept {
    const std::size_t at = 0x10 + index * 4;
    const std::uint32_t mask = ~(bytes - 1);
    std::memcpy(&writable_[at], &mask, sizeof(mask));
    if (!wide) return;
    set32(at, 0x4);
    std::fill_n(writable_.begin() + static_cast<std::ptrdiff_t>(at) + 4, 4, std::uint8_t{0xff});
  }

  std::array<std::uint8_t, 256> value_{};
  std::array<std::uint8_t, 256> writable_{};
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
