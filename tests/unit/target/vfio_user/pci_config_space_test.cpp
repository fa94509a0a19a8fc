// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/pci_config_space.hpp>

#include <doctest/doctest.h>
#include <linux/pci_regs.h>

#include <array>
#include <cstring>

using nkv::target::vfio_user::pci_config_space;

namespace {

template <class T>
T read(const pci_config_space& c, std::uint64_t at) {
  T value{};
  REQUIRE(c.read(at, {reinterpret_cast<std::byte*>(&value), sizeof(value)}));
  return value;
}
template <class T>
pci_config_space::written write(pci_config_space& c, std::uint64_t at, T value) {
  return c.write(at, {reinterpret_cast<const std::byte*>(&value), sizeof(value)});
}

}  // namespace

// The offsets and bits are those of the kernel's header.
TEST_SUITE("target/vfio_user/pci_config_space") {
  TEST_CASE("an NVM Express controller with a type 0 header") {
    const pci_config_space c;
    CHECK(read<std::uint16_t>(c, PCI_VENDOR_ID) == 0x4e58);
    CHECK(read<std::uint16_t>(c, PCI_DEVICE_ID) == 1);
    CHECK((read<std::uint32_t>(c, PCI_CLASS_REVISION) >> 8) == 0x010802);
    CHECK(read<std::uint8_t>(c, PCI_HEADER_TYPE) == 0);
    CHECK((read<std::uint16_t>(c, PCI_STATUS) & PCI_STATUS_CAP_LIST) != 0);
    CHECK((read<std::uint32_t>(c, PCI_BASE_ADDRESS_0) & 0xf) == PCI_BASE_ADDRESS_MEM_TYPE_64);
    CHECK(read<std::uint8_t>(c, PCI_INTERRUPT_PIN) == 1);
  }

  TEST_CASE("the chain of capabilities: power management, MSI-X, express, and an end") {
    const pci_config_space c;
    std::array<bool, 256> seen{};
    unsigned count = 0;
    for (std::uint8_t at = read<std::uint8_t>(c, PCI_CAPABILITY_LIST); at != 0; at = read<std::uint8_t>(c, at + 1u)) {
      REQUIRE(at >= 0x40);
      REQUIRE(at % 4 == 0);
      REQUIRE(++count < 10);
      seen[read<std::uint8_t>(c, at)] = true;
      if (read<std::uint8_t>(c, at) == PCI_CAP_ID_MSIX) {
        CHECK((read<std::uint16_t>(c, at + PCI_MSIX_FLAGS + 0u) & PCI_MSIX_FLAGS_QSIZE) == 64);
        CHECK(read<std::uint32_t>(c, at + PCI_MSIX_TABLE + 0u) == 4);
        CHECK(read<std::uint32_t>(c, at + PCI_MSIX_PBA + 0u) == 5);
      }
      if (read<std::uint8_t>(c, at) == PCI_CAP_ID_EXP) {
        CHECK((read<std::uint16_t>(c, at + PCI_EXP_FLAGS + 0u) & PCI_EXP_FLAGS_VERS) == 2);
        CHECK((read<std::uint32_t>(c, at + PCI_EXP_DEVCAP + 0u) & PCI_EXP_DEVCAP_FLR) != 0);
      }
    }
    CHECK(count == 3);
    CHECK(seen[PCI_CAP_ID_PM]);
    CHECK(seen[PCI_CAP_ID_MSIX]);
    CHECK(seen[PCI_CAP_ID_EXP]);
  }

  TEST_CASE("write: command bits that exist stay, others do not; identifiers never change") {
    pci_config_space c;
    CHECK(write<std::uint16_t>(c, PCI_COMMAND, 0xffff) == pci_config_space::written::done);
    CHECK(read<std::uint16_t>(c, PCI_COMMAND) ==
          (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE));
    CHECK(write<std::uint32_t>(c, PCI_VENDOR_ID, 0) == pci_config_space::written::done);
    CHECK(read<std::uint16_t>(c, PCI_VENDOR_ID) == 0x4e58);
  }

  TEST_CASE("write: a BAR tells its size") {
    pci_config_space c;
    write<std::uint32_t>(c, PCI_BASE_ADDRESS_0, 0xffffffff);
    write<std::uint32_t>(c, PCI_BASE_ADDRESS_1, 0xffffffff);
    write<std::uint32_t>(c, PCI_BASE_ADDRESS_2, 0xffffffff);
    write<std::uint32_t>(c, PCI_BASE_ADDRESS_4, 0xffffffff);
    CHECK((read<std::uint32_t>(c, PCI_BASE_ADDRESS_0) & ~0xfu) == ~0x1fffu);
    CHECK(read<std::uint32_t>(c, PCI_BASE_ADDRESS_1) == 0xffffffff);
    CHECK(read<std::uint32_t>(c, PCI_BASE_ADDRESS_2) == 0);
    CHECK(read<std::uint32_t>(c, PCI_BASE_ADDRESS_4) == ~0xfffu);
  }

  TEST_CASE("write: a function level reset is told, and reads back as 0") {
    pci_config_space c;
    std::uint8_t at = read<std::uint8_t>(c, PCI_CAPABILITY_LIST);
    while (read<std::uint8_t>(c, at) != PCI_CAP_ID_EXP) at = read<std::uint8_t>(c, at + 1u);
    const std::uint64_t control = at + PCI_EXP_DEVCTL + 0u;
    CHECK(write<std::uint16_t>(c, control, 0x10) == pci_config_space::written::done);
    CHECK(write<std::uint16_t>(c, control, PCI_EXP_DEVCTL_BCR_FLR) == pci_config_space::written::reset);
    CHECK((read<std::uint16_t>(c, control) & PCI_EXP_DEVCTL_BCR_FLR) == 0);
  }

  TEST_CASE("ranges: any size within the space, nothing beyond it") {
    pci_config_space c;
    std::array<std::byte, 4096> all{};
    all.fill(std::byte{7});
    CHECK(c.read(0, {all.data(), all.size()}));
    CHECK(all[4095] == std::byte{0});
    CHECK(c.read(4096, {all.data(), 0}));
    CHECK_FALSE(c.read(1, {all.data(), 4096}));
    CHECK_FALSE(c.read(4096, {all.data(), 1}));
    CHECK_FALSE(c.read(~std::uint64_t{0}, {all.data(), 2}));
    CHECK(c.write(0, {all.data(), 4096}) != pci_config_space::written::outside);
    CHECK(c.write(4095, {all.data(), 2}) == pci_config_space::written::outside);
    CHECK(c.write(~std::uint64_t{0}, {all.data(), 2}) == pci_config_space::written::outside);
  }
}
