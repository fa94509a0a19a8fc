// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/vfio_user/protocol.hpp>

#include <doctest/doctest.h>
#include <linux/vfio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wire = nkv::host::vfio_user;

namespace {

// What is shared with VFIO is compared with the kernel's own header, which nobody here wrote.
static_assert(sizeof(wire::device_info) == 16 &&
              offsetof(vfio_device_info, num_regions) == offsetof(wire::device_info, region_count) &&
              offsetof(vfio_device_info, num_irqs) == offsetof(wire::device_info, irq_count));
static_assert(wire::device_info::resettable == VFIO_DEVICE_FLAGS_RESET &&
              wire::device_info::pci == VFIO_DEVICE_FLAGS_PCI);
static_assert(sizeof(vfio_region_info) == sizeof(wire::region_info) &&
              offsetof(vfio_region_info, cap_offset) == offsetof(wire::region_info, capability_offset) &&
              offsetof(vfio_region_info, size) == offsetof(wire::region_info, size) &&
              offsetof(vfio_region_info, offset) == offsetof(wire::region_info, offset));
static_assert(wire::region_info::readable == VFIO_REGION_INFO_FLAG_READ &&
              wire::region_info::writable == VFIO_REGION_INFO_FLAG_WRITE &&
              wire::region_info::mappable == VFIO_REGION_INFO_FLAG_MMAP &&
              wire::region_info::has_capabilities == VFIO_REGION_INFO_FLAG_CAPS);
static_assert(sizeof(vfio_info_cap_header) == sizeof(wire::capability_header) &&
              offsetof(vfio_info_cap_header, next) == offsetof(wire::capability_header, next) &&
              wire::capability_header::sparse_mmap == VFIO_REGION_INFO_CAP_SPARSE_MMAP);
static_assert(offsetof(vfio_region_info_cap_sparse_mmap, areas) ==
                  sizeof(wire::capability_header) + sizeof(wire::sparse_mmap) &&
              sizeof(vfio_region_sparse_mmap_area) == sizeof(wire::sparse_area));
static_assert(sizeof(vfio_irq_info) == sizeof(wire::irq_info) &&
              offsetof(vfio_irq_info, count) == offsetof(wire::irq_info, count));
static_assert(wire::irq_info::eventfd == VFIO_IRQ_INFO_EVENTFD && wire::irq_info::maskable == VFIO_IRQ_INFO_MASKABLE &&
              wire::irq_info::automasked == VFIO_IRQ_INFO_AUTOMASKED &&
              wire::irq_info::noresize == VFIO_IRQ_INFO_NORESIZE);
static_assert(offsetof(vfio_irq_set, data) == sizeof(wire::irq_set) &&
              offsetof(vfio_irq_set, start) == offsetof(wire::irq_set, start));
static_assert(wire::irq_set::data_none == VFIO_IRQ_SET_DATA_NONE &&
              wire::irq_set::data_bool == VFIO_IRQ_SET_DATA_BOOL &&
              wire::irq_set::data_eventfd == VFIO_IRQ_SET_DATA_EVENTFD &&
              wire::irq_set::action_mask == VFIO_IRQ_SET_ACTION_MASK &&
              wire::irq_set::action_unmask == VFIO_IRQ_SET_ACTION_UNMASK &&
              wire::irq_set::action_trigger == VFIO_IRQ_SET_ACTION_TRIGGER);
static_assert(wire::dma_map::readable == VFIO_DMA_MAP_FLAG_READ && wire::dma_map::writable == VFIO_DMA_MAP_FLAG_WRITE);
static_assert(static_cast<unsigned>(wire::region_index::config) == VFIO_PCI_CONFIG_REGION_INDEX &&
              static_cast<unsigned>(wire::region_index::bar5) == VFIO_PCI_BAR5_REGION_INDEX &&
              wire::region_count == VFIO_PCI_NUM_REGIONS);
static_assert(static_cast<unsigned>(wire::irq_index::msix) == VFIO_PCI_MSIX_IRQ_INDEX &&
              static_cast<unsigned>(wire::irq_index::request) == VFIO_PCI_REQ_IRQ_INDEX &&
              wire::irq_index_count == VFIO_PCI_NUM_IRQS);

// And what is vfio-user's own, with its specification's table.
static_assert(static_cast<unsigned>(wire::command::version) == 1 &&
              static_cast<unsigned>(wire::command::dma_map) == 2 &&
              static_cast<unsigned>(wire::command::dma_unmap) == 3 &&
              static_cast<unsigned>(wire::command::device_get_info) == 4 &&
              static_cast<unsigned>(wire::command::device_get_region_info) == 5 &&
              static_cast<unsigned>(wire::command::device_get_region_io_fds) == 6 &&
              static_cast<unsigned>(wire::command::device_get_irq_info) == 7 &&
              static_cast<unsigned>(wire::command::device_set_irqs) == 8 &&
              static_cast<unsigned>(wire::command::region_read) == 9 &&
              static_cast<unsigned>(wire::command::region_write) == 10 &&
              static_cast<unsigned>(wire::command::dma_read) == 11 &&
              static_cast<unsigned>(wire::command::dma_write) == 12 &&
              static_cast<unsigned>(wire::command::device_reset) == 13);

struct reply_builder {
  std::vector<std::byte> bytes;

  template <class T>
  std::size_t add(const T& value) {
    const std::size_t at = bytes.size();
    const nkv::byte_span raw = wire::bytes_of(value);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
    return at;
  }
  template <class T>
  void replace(std::size_t at, const T& value) {
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
  nkv::byte_span span() const { return {bytes.data(), bytes.size()}; }
};

wire::region_info info(std::uint32_t flags, std::uint32_t capability_offset) {
  wire::region_info i;
  i.flags = flags;
  i.capability_offset = capability_offset;
  i.size = 0x4000;
  return i;
}

constexpr std::uint32_t mappable = wire::region_info::mappable;
constexpr std::uint32_t with_caps = wire::region_info::mappable | wire::region_info::has_capabilities;

}  // namespace

TEST_SUITE("host/vfio_user/protocol") {
  TEST_CASE("header: the bytes of a reply, as a reference trace has them") {
    const unsigned char raw[16] = {0x34, 0x12, 9, 0, 0x28, 0, 0, 0, 0x21, 0, 0, 0, 22, 0, 0, 0};
    wire::header h;
    REQUIRE(wire::read_at({reinterpret_cast<const std::byte*>(raw), sizeof(raw)}, 0, h));
    CHECK(h.message_id == 0x1234);
    CHECK(h.command == static_cast<std::uint16_t>(wire::command::region_read));
    CHECK(h.message_bytes == 40);
    CHECK(h.is_reply());
    CHECK_FALSE(h.is_command());
    CHECK((h.flags & wire::message_flag::error) != 0);
    CHECK(h.error == 22);
  }

  TEST_CASE("read_at: nothing beyond the bytes") {
    const std::byte raw[8]{};
    std::uint32_t v = 7;
    CHECK(wire::read_at({raw, 8}, 4, v));
    CHECK(v == 0);
    v = 7;
    CHECK_FALSE(wire::read_at({raw, 8}, 5, v));
    CHECK_FALSE(wire::read_at({raw, 8}, 9, v));
    CHECK_FALSE(wire::read_at({raw, 8}, ~std::size_t{0} - 1, v));
    CHECK(v == 7);
  }

  TEST_CASE("find_mappable_area: a region that cannot be mapped -> none") {
    reply_builder b;
    b.add(info(wire::region_info::readable, 0));
    wire::sparse_area area;
    CHECK(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::none);
  }

  TEST_CASE("find_mappable_area: no sparse capability -> the whole region") {
    reply_builder b;
    b.add(info(mappable, 0));
    wire::sparse_area area;
    CHECK(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::found);
    CHECK(area.offset == 0);
    CHECK(area.size == 0x4000);
    CHECK(wire::find_mappable_area(b.span(), 0x4000, area) == wire::mapping::none);
  }

  TEST_CASE("find_mappable_area: the second area of the second capability") {
    reply_builder b;
    b.add(info(with_caps, 32));
    wire::capability_header other;
    other.id = 2;
    other.next = 48;
    b.add(other);
    b.add(std::uint64_t{0});
    wire::capability_header sparse;
    sparse.id = wire::capability_header::sparse_mmap;
    b.add(sparse);
    b.add(wire::sparse_mmap{2, 0});
    b.add(wire::sparse_area{0x3000, 0x1000});
    b.add(wire::sparse_area{0x1000, 0x2000});
    wire::sparse_area area;
    REQUIRE(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::found);
    CHECK(area.offset == 0x1000);
    CHECK(area.size == 0x2000);
    CHECK(wire::find_mappable_area(b.span(), 0x0fff, area) == wire::mapping::none);
    CHECK(wire::find_mappable_area(b.span(), 0x2fff, area) == wire::mapping::found);
  }

  TEST_CASE("find_mappable_area: cut at every length -> malformed, nothing beyond is read") {
    reply_builder b;
    b.add(info(with_caps, 32));
    wire::capability_header sparse;
    sparse.id = wire::capability_header::sparse_mmap;
    b.add(sparse);
    b.add(wire::sparse_mmap{1, 0});
    b.add(wire::sparse_area{0x1000, 0x1000});
    wire::sparse_area area;
    CHECK(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::found);
    for (std::size_t n = 0; n < b.bytes.size(); ++n) {
      CAPTURE(n);
      // Exactly n bytes on the heap, so that a sanitizer sees a read beyond them.
      const std::vector<std::byte> cut(b.bytes.begin(), b.bytes.begin() + static_cast<std::ptrdiff_t>(n));
      CHECK(wire::find_mappable_area({cut.data(), cut.size()}, 0x1000, area) == wire::mapping::malformed);
    }
  }

  TEST_CASE("find_mappable_area: hostile chains -> malformed") {
    reply_builder b;
    b.add(info(with_caps, 32));
    wire::capability_header c;
    c.id = wire::capability_header::sparse_mmap;
    const std::size_t at = b.add(c);
    const std::size_t areas = b.add(wire::sparse_mmap{1, 0});
    const std::size_t first = b.add(wire::sparse_area{0x3000, 0x1000});
    wire::sparse_area area;
    REQUIRE(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::none);
    SUBCASE("a circle") {
      c.next = 32;
      b.replace(at, c);
    }
    SUBCASE("a chain into the region info itself") {
      c.next = 8;
      b.replace(at, c);
    }
    SUBCASE("a chain beyond the payload") {
      c.next = 0xfffffff8;
      b.replace(at, c);
    }
    SUBCASE("a chain that begins in the region info") { b.replace(0, info(with_caps, 16)); }
    SUBCASE("more areas than there are bytes") {
      b.replace(areas, wire::sparse_mmap{0xffffffff, 0});
      b.replace(first, wire::sparse_area{0x1000, 0x1000});
    }
    SUBCASE("an area that leaves the region") { b.replace(first, wire::sparse_area{0x1000, 0x3001}); }
    SUBCASE("an area whose end wraps") { b.replace(first, wire::sparse_area{0x1000, ~std::uint64_t{0}}); }
    SUBCASE("a first capability beyond the payload") { b.replace(0, info(with_caps, 4096)); }
    CHECK(wire::find_mappable_area(b.span(), 0x1000, area) == wire::mapping::malformed);
  }
}
