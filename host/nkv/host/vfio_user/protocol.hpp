// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nkv::inline NKV_ABI {
namespace host::vfio_user {

/// @file protocol.hpp
/// vfio-user as it is on the wire (the vfio-user Protocol Specification of the libvfio-user project): what both ends
/// share. All integers are little-endian and naturally aligned in their message; payload offsets count from the end of
/// the 16-byte header.

/// The version spoken here: a peer's major must be the same, the smaller minor is used.
inline constexpr std::uint16_t version_major = 0;
inline constexpr std::uint16_t version_minor = 2;

/// The longest message that either end of ours sends or takes, header included. Larger transfers are refused by the
/// limit on a region access; nothing of what is spoken here needs more.
inline constexpr std::uint32_t max_message_bytes = 64 * 1024;
/// What is announced as max_data_xfer_size: a region access of this size fits a message with room to spare.
inline constexpr std::uint32_t max_transfer_bytes = 32 * 1024;
/// What is announced as max_msg_fds: how many descriptors either end of ours takes with one message.
inline constexpr std::uint32_t max_message_fds = 16;
/// What a peer takes that announces no max_msg_fds.
inline constexpr std::uint32_t default_message_fds = 1;

/// Message commands. 14 was used by earlier drafts.
enum class command : std::uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  device_get_info = 4,
  device_get_region_info = 5,
  device_get_region_io_fds = 6,
  device_get_irq_info = 7,
  device_set_irqs = 8,
  region_read = 9,
  region_write = 10,
  dma_read = 11,   ///< from the server
  dma_write = 12,  ///< from the server
  device_reset = 13,
  region_write_multi = 15,
  device_feature = 16,
  migration_data_read = 17,
  migration_data_write = 18,
};

/// header::flags.
namespace message_flag {
inline constexpr std::uint32_t type_mask = 0xf;
inline constexpr std::uint32_t type_command = 0x0;
inline constexpr std::uint32_t type_reply = 0x1;
inline constexpr std::uint32_t no_reply = 0x10;
inline constexpr std::uint32_t error = 0x20;
}  // namespace message_flag

/// Begins every message ("Header").
struct header {
  std::uint16_t message_id = 0;  ///< chosen by who asks, echoed by who replies
  std::uint16_t command = 0;
  std::uint32_t message_bytes = 0;  ///< this header included
  std::uint32_t flags = 0;
  std::uint32_t error = 0;  ///< errno of a reply with message_flag::error; may be 0 even there

  [[nodiscard]] constexpr bool is_reply() const noexcept {
    return (flags & message_flag::type_mask) == message_flag::type_reply;
  }
  [[nodiscard]] constexpr bool is_command() const noexcept {
    return (flags & message_flag::type_mask) == message_flag::type_command;
  }
};
static_assert(sizeof(header) == 16 && offsetof(header, command) == 2 && offsetof(header, message_bytes) == 4 &&
              offsetof(header, flags) == 8 && offsetof(header, error) == 12);

/// VERSION, request and reply; a NUL-terminated JSON text may follow.
struct version {
  std::uint16_t major = version_major;
  std::uint16_t minor = version_minor;
};
static_assert(sizeof(version) == 4 && offsetof(version, minor) == 2);

/// DMA_MAP, request, with one descriptor. No payload in the reply.
struct dma_map {
  static constexpr std::uint32_t readable = 1;
  static constexpr std::uint32_t writable = 2;

  std::uint32_t argsz = 32;
  std::uint32_t flags = 0;
  std::uint64_t offset = 0;  ///< in the descriptor's file
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
static_assert(sizeof(dma_map) == 32 && offsetof(dma_map, flags) == 4 && offsetof(dma_map, offset) == 8 &&
              offsetof(dma_map, address) == 16 && offsetof(dma_map, size) == 24);

/// DMA_UNMAP, request; the reply repeats it. Address and size are those of one DMA_MAP.
struct dma_unmap {
  std::uint32_t argsz = 24;
  std::uint32_t flags = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
static_assert(sizeof(dma_unmap) == 24 && offsetof(dma_unmap, address) == 8 && offsetof(dma_unmap, size) == 16);

/// DEVICE_GET_INFO, request (argsz alone) and reply.
struct device_info {
  static constexpr std::uint32_t resettable = 1;
  static constexpr std::uint32_t pci = 2;

  std::uint32_t argsz = 16;
  std::uint32_t flags = 0;
  std::uint32_t region_count = 0;
  std::uint32_t irq_count = 0;
};
static_assert(sizeof(device_info) == 16 && offsetof(device_info, region_count) == 8 &&
              offsetof(device_info, irq_count) == 12);

/// The regions of a PCI device.
enum class region_index : std::uint32_t {
  bar0 = 0,
  bar1,
  bar2,
  bar3,
  bar4,
  bar5,
  rom,
  config,
  vga,
};
inline constexpr std::uint32_t region_count = 9;

/// DEVICE_GET_REGION_INFO, request (argsz, index) and reply; capabilities may follow the reply where argsz of the
/// request leaves room, with one descriptor where flags say mappable.
struct region_info {
  static constexpr std::uint32_t readable = 1;
  static constexpr std::uint32_t writable = 2;
  static constexpr std::uint32_t mappable = 4;
  static constexpr std::uint32_t has_capabilities = 8;

  std::uint32_t argsz = 32;  ///< reply: what the whole reply needs
  std::uint32_t flags = 0;
  std::uint32_t index = 0;
  std::uint32_t capability_offset = 0;  ///< from the start of this structure
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  ///< of the region in the descriptor's file
};
static_assert(sizeof(region_info) == 32 && offsetof(region_info, index) == 8 &&
              offsetof(region_info, capability_offset) == 12 && offsetof(region_info, size) == 16 &&
              offsetof(region_info, offset) == 24);

/// Begins each region capability.
struct capability_header {
  static constexpr std::uint16_t sparse_mmap = 1;

  std::uint16_t id = 0;
  std::uint16_t version = 1;
  std::uint32_t next = 0;  ///< offset of the next one from the start of region_info; 0: none
};
static_assert(sizeof(capability_header) == 8 && offsetof(capability_header, next) == 4);

/// Follows the header of a sparse mmap capability; its areas follow.
struct sparse_mmap {
  std::uint32_t area_count = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(sparse_mmap) == 8);

/// A part of a region that can be mapped.
struct sparse_area {
  std::uint64_t offset = 0;  ///< in the region
  std::uint64_t size = 0;
};
static_assert(sizeof(sparse_area) == 16 && offsetof(sparse_area, size) == 8);

/// DEVICE_GET_REGION_IO_FDS, request (argsz, index) and reply, which `count` io_fd and their descriptors follow.
struct region_io_fds {
  std::uint32_t argsz = 16;
  std::uint32_t flags = 0;
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(region_io_fds) == 16 && offsetof(region_io_fds, index) == 8 &&
              offsetof(region_io_fds, count) == 12);

/// A part of a region whose writes are announced on a descriptor.
struct io_fd {
  static constexpr std::uint32_t ioeventfd = 0;
  static constexpr std::uint32_t ioregionfd = 1;

  std::uint64_t offset = 0;  ///< in the region
  std::uint64_t size = 0;
  std::uint32_t fd_index = 0;
  std::uint32_t type = ioeventfd;
  std::uint32_t flags = 0;
  std::uint32_t reserved = 0;
  std::uint64_t datamatch = 0;
};
static_assert(sizeof(io_fd) == 40 && offsetof(io_fd, fd_index) == 16 && offsetof(io_fd, type) == 20 &&
              offsetof(io_fd, flags) == 24 && offsetof(io_fd, datamatch) == 32);

/// The interrupt types of a PCI device.
enum class irq_index : std::uint32_t { intx = 0, msi, msix, error, request };
inline constexpr std::uint32_t irq_index_count = 5;

/// DEVICE_GET_IRQ_INFO, request (argsz, index) and reply.
struct irq_info {
  static constexpr std::uint32_t eventfd = 1;
  static constexpr std::uint32_t maskable = 2;
  static constexpr std::uint32_t automasked = 4;
  static constexpr std::uint32_t noresize = 8;

  std::uint32_t argsz = 16;
  std::uint32_t flags = 0;
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(irq_info) == 16 && offsetof(irq_info, index) == 8 && offsetof(irq_info, count) == 12);

/// DEVICE_SET_IRQS, request; booleans may follow (one byte each) or descriptors come along. No payload in the reply.
struct irq_set {
  static constexpr std::uint32_t data_none = 1;
  static constexpr std::uint32_t data_bool = 2;
  static constexpr std::uint32_t data_eventfd = 4;
  static constexpr std::uint32_t action_mask = 8;
  static constexpr std::uint32_t action_unmask = 16;
  static constexpr std::uint32_t action_trigger = 32;

  std::uint32_t argsz = 20;
  std::uint32_t flags = 0;
  std::uint32_t index = 0;
  std::uint32_t start = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(irq_set) == 20 && offsetof(irq_set, start) == 12 && offsetof(irq_set, count) == 16);

/// REGION_READ and REGION_WRITE, request and reply; data follows in the reply of a read and the request of a write.
struct region_access {
  std::uint64_t offset = 0;
  std::uint32_t region = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(region_access) == 16 && offsetof(region_access, region) == 8 &&
              offsetof(region_access, count) == 12);

/// The bytes of a wire structure.
template <class T>
[[nodiscard]] byte_span bytes_of(const T& value) noexcept {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(T)};
}

/// Reads a wire structure at `offset` of `from`.
/// @return whether it lies there as a whole; `into` is unchanged if not
template <class T>
[[nodiscard]] bool read_at(byte_span from, std::size_t offset, T& into) noexcept {
  if (offset > from.size() || from.size() - offset < sizeof(T)) return false;
  std::memcpy(&into, from.data() + offset, sizeof(T));
  return true;
}

/// What a region's capabilities say of one place in it.
enum class mapping { none, found, malformed };

/// Looks in a DEVICE_GET_REGION_INFO reply for the mappable area that holds `region_offset`.
///
/// Without a sparse mmap capability the whole region is one area. Nothing outside `reply` is read, and a chain of
/// capabilities that runs in a circle ends.
/// @param reply the payload: region_info and what follows it
/// @return malformed where the chain leaves the payload, does not end, or an area leaves the region
[[nodiscard]] inline mapping find_mappable_area(byte_span reply, std::uint64_t region_offset,
                                                sparse_area& area) noexcept {
  region_info info;
  if (!read_at(reply, 0, info)) return mapping::malformed;
  if ((info.flags & region_info::mappable) == 0) return mapping::none;
  bool sparse = false;
  if ((info.flags & region_info::has_capabilities) != 0) {
    constexpr int max_capabilities = 32;
    std::uint32_t at = info.capability_offset;
    for (int seen = 0; at != 0; ++seen) {
      capability_header capability;
      if (seen == max_capabilities || at < sizeof(region_info) || !read_at(reply, at, capability)) {
        return mapping::malformed;
      }
      if (capability.id == capability_header::sparse_mmap) {
        sparse = true;
        sparse_mmap areas;
        const std::size_t first = std::size_t{at} + sizeof(capability) + sizeof(areas);
        if (!read_at(reply, std::size_t{at} + sizeof(capability), areas)) return mapping::malformed;
        if (areas.area_count > (reply.size() - first) / sizeof(sparse_area)) return mapping::malformed;
        for (std::uint32_t i = 0; i < areas.area_count; ++i) {
          sparse_area candidate;
          if (!read_at(reply, first + std::size_t{i} * sizeof(sparse_area), candidate)) return mapping::malformed;
          if (candidate.offset > info.size || candidate.size > info.size - candidate.offset) return mapping::malformed;
          if (region_offset >= candidate.offset && region_offset - candidate.offset < candidate.size) {
            area = candidate;
            return mapping::found;
          }
        }
      }
      at = capability.next;
    }
  }
  if (sparse || region_offset >= info.size) return mapping::none;
  area = {0, info.size};
  return mapping::found;
}

}  // namespace host::vfio_user
}  // namespace nkv::inline NKV_ABI
