// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/data_pointer_reader.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

using namespace nkv;
using target::data_pointer_reader;
using target::dma_access;
using target::dma_map;
using target::scatter_list;

namespace {

constexpr std::uint64_t base = 0x7000'0000'0000;
constexpr std::size_t page = 4096;

status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }

struct fixture {
  std::vector<std::byte> memory = std::vector<std::byte>(64 * page);
  dma_map map;
  scatter_list list;
  std::byte* at(std::size_t offset) { return memory.data() + offset; }

  explicit fixture(bool whole = true) {
    if (whole) REQUIRE(map.add({base, memory.size(), memory.data(), true, true}).ok());
  }
  void entry(std::size_t offset, std::uint64_t value) { std::memcpy(at(offset), &value, 8); }
  void descriptor(std::size_t offset, const sgl_descriptor& d) { std::memcpy(at(offset), &d, 16); }

  status take(const data_pointer& p, std::uint64_t bytes, dma_access want = dma_access::read,
              std::uint32_t page_bytes = page, std::uint32_t max_descriptors = 65536) {
    data_pointer_reader r(map, max_descriptors);
    r.set_page_bytes(page_bytes);
    r.open(p);
    list.clear();
    r.expect(bytes);
    return r.take(bytes, want, list);
  }
  /// The pieces as offsets into the memory, "offset+length ...".
  std::string pieces() {
    std::string s;
    for (const mutable_byte_span& p : list.spans())
      s += (s.empty() ? "" : " ") + std::to_string(p.data() - memory.data()) + "+" + std::to_string(p.size());
    return s;
  }
};

data_pointer prp(std::uint64_t prp1, std::uint64_t prp2 = 0) { return data_pointer::prp(prp1, prp2); }
data_pointer sgl(const sgl_descriptor& d) { return data_pointer::sgl(d); }
sgl_descriptor block(std::uint64_t address, std::uint32_t length) {
  return sgl_descriptor::data_block(address, length);
}

}  // namespace

TEST_SUITE("target/data_pointer_reader") {
  TEST_CASE("PRP1: any offset, to the end of its page, and PRP2 is not looked at") {
    fixture f;
    CHECK(f.take(prp(base + 5, 0x123), 10).ok());
    CHECK(f.pieces() == "5+10");
    CHECK(f.take(prp(base + 4095, 0x123), 1).ok());
    CHECK(f.pieces() == "4095+1");
    CHECK(f.take(prp(base, 0x123), page).ok());
    CHECK(f.pieces() == "0+4096");
    CHECK(f.take(prp(base, 0x123), 0).ok());
    CHECK(f.pieces() == "");
  }

  TEST_CASE("PRP2: the second page, of two that need no list") {
    fixture f;
    CHECK(f.take(prp(base + 4095, base + 8 * page), 2).ok());
    CHECK(f.pieces() == "4095+1 32768+1");
    CHECK(f.take(prp(base + 8, base + 8 * page), 2 * page - 8).ok());
    CHECK(f.pieces() == "8+4088 32768+4096");
    CHECK(f.take(prp(base, base + page), 2 * page).ok());
    CHECK(f.pieces() == "0+8192");
    CHECK(f.take(prp(base + 8, base + 8 * page + 4), page) == generic(0x13));
  }

  TEST_CASE("PRP list: from any qword of its page; entries have no offset") {
    fixture f;
    const std::size_t list = 32 * page + 16;
    f.entry(list, base + 4 * page);
    f.entry(list + 8, base + 2 * page);
    CHECK(f.take(prp(base + 1, base + list), 2 * page + 1).ok());
    CHECK(f.pieces() == "1+4095 16384+4096 8192+2");
    CHECK(f.take(prp(base + 1, base + list + 4), 2 * page + 1) == generic(0x13));
    f.entry(list + 8, base + 2 * page + 8);
    CHECK(f.take(prp(base + 1, base + list), 2 * page + 1) == generic(0x13));
  }

  TEST_CASE("PRP list: the last entry of a page leads on, unless it is the last of all") {
    fixture f;
    // Room for two entries at the end of the list's page.
    const std::size_t list = 33 * page - 16;
    f.entry(list, base + 4 * page);
    f.entry(list + 8, base + 6 * page);
    CHECK(f.take(prp(base, base + list), 3 * page).ok());
    CHECK(f.pieces() == "0+4096 16384+4096 24576+4096");
    f.entry(list + 8, base + 40 * page);
    f.entry(40 * page, base + 8 * page);
    f.entry(40 * page + 8, base + 10 * page);
    CHECK(f.take(prp(base, base + list), 4 * page).ok());
    CHECK(f.pieces() == "0+4096 16384+4096 32768+4096 40960+4096");
    f.entry(list + 8, base + 40 * page + 8);
    CHECK(f.take(prp(base, base + list), 4 * page) == generic(0x13));
    // A list that begins with the entry that leads on.
    f.entry(list + 8, base + 40 * page);
    CHECK(f.take(prp(base, base + list + 8), 3 * page).ok());
    CHECK(f.pieces() == "0+4096 32768+4096 40960+4096");
  }

  TEST_CASE("PRP list: a whole page of entries and on, twice over") {
    fixture f;
    // 511 entries and the way on, then 511 and the way on to itself: more entries than a list page has, all the same
    // page.
    const std::size_t first = 20 * page;
    const std::size_t second = 21 * page;
    for (std::size_t i = 0; i < 511; ++i) {
      f.entry(first + 8 * i, base + page);
      f.entry(second + 8 * i, base + 3 * page);
    }
    f.entry(first + 8 * 511, base + second);
    f.entry(second + 8 * 511, base + second);
    const std::size_t pages = 1 + 511 + 511 * 3 + 5;
    CHECK(f.take(prp(base, base + first), pages * page).ok());
    CHECK(f.list.bytes() == pages * page);
    CHECK(f.list.spans().size() == pages - 1);  // the first two pages adjoin
    CHECK(f.list.spans()[1].data() == f.at(page));
    CHECK(f.list.spans()[511].data() == f.at(3 * page));
    // 512 entries of a page where the last is data: not one more.
    CHECK(f.take(prp(base, base + first), 513 * page).ok());
    CHECK(f.list.spans()[f.list.spans().size() - 1].data() == f.at(second));
  }

  TEST_CASE("PRP list: every number of entries up to the end of its page, the last of them data") {
    fixture f;
    for (const std::size_t entries : {2u, 63u, 64u, 65u, 66u, 128u, 129u, 511u, 512u}) {
      const std::size_t list = 33 * page - 8 * entries;
      for (std::size_t i = 0; i < entries; ++i) f.entry(list + 8 * i, base + (i % 2 != 0 ? 2 : 4) * page);
      CHECK(f.take(prp(base, base + list), (1 + entries) * page).ok());
      CHECK(f.list.spans().size() == 1 + entries);
      CHECK(f.list.spans()[entries].data() == f.at((entries % 2 != 0 ? 4 : 2) * page));
    }
  }

  TEST_CASE("PRP: pages of CC.MPS") {
    fixture f;
    CHECK(f.take(prp(base + 8192, base + 32768), 16384, dma_access::read, 16384).ok());
    CHECK(f.pieces() == "8192+8192 32768+8192");
    CHECK(f.take(prp(base + 8192, base + 4096), 16384, dma_access::read, 16384) == generic(0x13));
  }

  TEST_CASE("PRP: what is not the client's -> data transfer error, wherever it stands") {
    fixture f;
    CHECK(f.take(prp(base - page), 1) == generic(0x04));
    CHECK(f.take(prp(0), 1) == generic(0x04));
    CHECK(f.take(prp(base, base + 64 * page), 2 * page) == generic(0x04));
    CHECK(f.take(prp(base, base + 64 * page), 3 * page) == generic(0x04));
    CHECK(f.take(prp(base, ~std::uint64_t{7}), 3 * page) == generic(0x04));
    f.entry(0, base + page);
    f.entry(8, 0xfffffffffffff000u);
    CHECK(f.take(prp(base + 2 * page, base), 3 * page) == generic(0x04));
  }

  TEST_CASE("any: memory without the right that the transfer needs -> data transfer error") {
    fixture f(false);
    REQUIRE(f.map.add({base, page, f.at(0), true, false}).ok());
    REQUIRE(f.map.add({base + page, page, f.at(page), false, true}).ok());
    CHECK(f.take(prp(base), 8, dma_access::read).ok());
    CHECK(f.take(prp(base), 8, dma_access::write) == generic(0x04));
    CHECK(f.take(prp(base + page), 8, dma_access::write).ok());
    CHECK(f.take(prp(base + page), 8, dma_access::read) == generic(0x04));
    // A list has to be readable.
    f.descriptor(page, block(base, 8));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base + page, 1)), 8) == generic(0x04));
    CHECK(f.take(sgl(block(base + page - 4, 8)), 8) == generic(0x04));  // across two regions
  }

  TEST_CASE("SGL data block: as long as the transfer or longer; shorter -> 0/0Fh") {
    fixture f;
    CHECK(f.take(sgl(block(base + 3, 10)), 10).ok());
    CHECK(f.pieces() == "3+10");
    CHECK(f.take(sgl(block(base + 3, 100)), 10).ok());
    CHECK(f.pieces() == "3+10");
    CHECK(f.take(sgl(block(base + 3, 9)), 10) == generic(0x0f));
    CHECK(f.take(sgl(block(base, 0)), 1) == generic(0x0f));
    CHECK(f.take(sgl(block(base, 0)), 0).ok());
    // What lies beyond the transfer need not be there, what is within it must.
    CHECK(f.take(sgl(block(base + 64 * page - 8, 16)), 8).ok());
    CHECK(f.take(sgl(block(base + 64 * page - 8, 16)), 9) == generic(0x04));
    CHECK(f.take(sgl(block(0xfffffffffffffff0u, 0xffffffffu)), 0x100) == generic(0x04));
  }

  TEST_CASE("SGL: types, subtypes and keyed descriptors that are not offered -> 0/11h") {
    fixture f;
    for (unsigned type = 0; type < 16; ++type)
      for (unsigned subtype = 0; subtype < 16; ++subtype) {
        if (subtype == 0 && (type == 0 || type == 2 || type == 3)) continue;
        sgl_descriptor d = block(base, 16);
        d.identifier = static_cast<std::uint8_t>(type << 4 | subtype);
        CHECK(f.take(sgl(d), 16) == generic(0x11));
        f.descriptor(0, d);
        CHECK(f.take(sgl(sgl_descriptor::last_segment(base, 1)), 16) == generic(0x11));
      }
  }

  TEST_CASE("SGL segments: blocks of any size, empty ones too, chained") {
    fixture f;
    f.descriptor(0, block(base + 100, 7));
    f.descriptor(16, block(0, 0));  // empty: its address means nothing
    f.descriptor(32, block(base + 107, 3));
    f.descriptor(48, sgl_descriptor::segment(base + page, 2));
    f.descriptor(page, block(base + 5000, 1));
    f.descriptor(page + 16, sgl_descriptor::last_segment(base + 2 * page, 1));
    f.descriptor(2 * page, block(base + 200, 50));
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 4)), 61).ok());
    CHECK(f.pieces() == "100+10 5000+1 200+50");
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 4)), 62) == generic(0x0f));
    // Where the data is complete the rest is not looked at.
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 4)), 10).ok());
  }

  TEST_CASE("SGL segments: a wrong length or a wrong place -> 0/0Dh") {
    fixture f;
    sgl_descriptor bad = sgl_descriptor::last_segment(base, 1);
    for (const std::uint32_t length : {0u, 1u, 15u, 17u, 0xffffffffu}) {
      bad.length_bytes = length;
      CHECK(f.take(sgl(bad), 16) == generic(0x0d));
    }
    f.descriptor(0, sgl_descriptor::last_segment(base + page, 1));  // leads on, but is not the last of its segment
    f.descriptor(16, block(base, 16));
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 2)), 16) == generic(0x0d));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base, 2)), 16) == generic(0x0d));
    f.descriptor(0, sgl_descriptor::segment(base + page, 1));  // a last segment that leads on
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base, 1)), 16) == generic(0x0d));
    f.descriptor(0, sgl_descriptor::last_segment(base + page, 1));  // the same, to where all would be well
    f.descriptor(page, block(base, 16));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base, 1)), 16) == generic(0x0d));
    f.descriptor(0, block(base, 16));  // a segment that is not the last, but ends with data
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 1)), 16) == generic(0x0d));
  }

  TEST_CASE("SGL segments: loops and endless chains end") {
    fixture f;
    f.descriptor(0, sgl_descriptor::segment(base, 1));
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 1)), 16) == generic(0x0e));
    for (std::size_t i = 0; i < 63; ++i) f.descriptor(16 * i, block(base, 0));
    f.descriptor(16 * 63, sgl_descriptor::segment(base, 64));
    CHECK(f.take(sgl(sgl_descriptor::segment(base, 64)), 16) == generic(0x0e));
  }

  TEST_CASE("SGL: as many descriptors as allowed, and one more -> 0/0Eh") {
    fixture f;
    for (std::size_t i = 0; i < 200; ++i) f.descriptor(16 * i, block(base + 8000 + 2 * i, 1));
    const data_pointer p = sgl(sgl_descriptor::last_segment(base, 200));
    CHECK(f.take(p, 200, dma_access::read, page, 201).ok());
    CHECK(f.list.spans().size() == 200);
    CHECK(f.take(p, 200, dma_access::read, page, 200) == generic(0x0e));
  }

  TEST_CASE("SGL segment: its memory has to be the client's, in one region") {
    fixture f(false);
    REQUIRE(f.map.add({base, page, f.at(0), true, true}).ok());
    REQUIRE(f.map.add({base + page, page, f.at(page), true, true}).ok());
    f.descriptor(page - 16, block(base, 8));
    f.descriptor(page, block(base, 8));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base + page - 16, 1)), 8).ok());
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base + page - 16, 2)), 8) == generic(0x04));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(base + 2 * page, 1)), 8) == generic(0x04));
    CHECK(f.take(sgl(sgl_descriptor::last_segment(~std::uint64_t{0}, 1)), 8) == generic(0x04));
  }

  TEST_CASE("first_byte, then take in parts: with the rights of each part") {
    fixture f;
    f.memory[4095] = std::byte{42};
    for (const data_pointer& p : {prp(base + 4095, base + 8 * page), sgl(block(base + 4095, 100))}) {
      data_pointer_reader r(f.map);
      r.open(p);
      CHECK(r.present());
      std::byte first{};
      CHECK(r.first_byte(first).ok());
      CHECK(first == std::byte{42});
      r.expect(100);
      f.list.clear();
      CHECK(r.take(44, dma_access::read, f.list).ok());
      CHECK(f.list.bytes() == 44);
      CHECK(r.take(56, dma_access::write, f.list).ok());
      CHECK(f.list.bytes() == 100);
      CHECK(r.take(1, dma_access::write, f.list) == generic(0x0f));
    }
    data_pointer_reader r(f.map);
    std::byte first{};
    r.open(prp(0));
    CHECK(!r.present());
    CHECK(r.first_byte(first) == generic(0x04));
    r.open(sgl(block(base, 0)));
    CHECK(r.present());
    CHECK(r.first_byte(first) == generic(0x0f));
  }

  TEST_CASE("take: an SGL is read once, also where it is taken in parts") {
    fixture f;
    f.descriptor(0, block(base + page, 10));
    f.descriptor(16, block(base + 2 * page, 10));
    data_pointer_reader r(f.map);
    r.open(sgl(sgl_descriptor::last_segment(base, 2)));
    std::byte first{};
    REQUIRE(r.first_byte(first).ok());
    // The client changes its mind.
    f.descriptor(0, block(0, 10));
    f.descriptor(16, block(0, 10));
    f.list.clear();
    CHECK(r.take(20, dma_access::read, f.list).ok());
    CHECK(f.pieces() == "4096+10 8192+10");
  }

  TEST_CASE("staged_data: one piece, taken in parts, and no more than there is") {
    std::byte memory[10] = {std::byte{7}};
    target::staged_data d({memory, 10});
    scatter_list list;
    std::byte first{};
    CHECK(d.present());
    CHECK(d.first_byte(first).ok());
    CHECK(first == std::byte{7});
    d.expect(10);
    CHECK(d.take(4, dma_access::read, list).ok());
    CHECK(d.take(6, dma_access::write, list).ok());
    CHECK(list.spans().size() == 1);
    CHECK(d.take(1, dma_access::write, list) == generic(0x0f));
    CHECK(!target::staged_data({}).present());
  }
}
