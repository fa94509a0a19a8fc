// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/data_pointer_builder.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using namespace nkv;

namespace {

struct freer {
  void operator()(std::byte* p) const noexcept { std::free(p); }
};

/// List memory at its true address, filled with a pattern.
struct list_rig {
  explicit list_rig(std::uint32_t bytes)
      : block(static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096))) {
    std::memset(block.get(), 0xee, (bytes + 4095) / 4096 * 4096);
    memory = {block.get(), 0x7000000, bytes};
  }
  [[nodiscard]] std::uint64_t entry(std::size_t i) const {
    std::uint64_t v;
    std::memcpy(&v, block.get() + 8 * i, 8);
    return v;
  }
  std::unique_ptr<std::byte, freer> block;
  list_memory memory;
};

/// The pages that a PRP data pointer names, read back as a controller does (NVMe Base 2.0, section 4.1.1).
std::vector<std::uint64_t> pages_of(const data_pointer& p, const list_rig& rig, std::uint64_t length,
                                    std::uint64_t page) {
  std::vector<std::uint64_t> out{p.low};
  std::uint64_t left = length;
  const std::uint64_t first = page - p.low % page;
  left -= left < first ? left : first;
  if (left == 0) return out;
  if (left <= page) {
    out.push_back(p.high);
    return out;
  }
  std::uint64_t at = (p.high - rig.memory.address) / 8;
  while (left > 0) {
    const bool last_of_page = (rig.memory.address + at * 8) % page == page - 8;
    if (last_of_page && left > page) {
      at = (rig.entry(at) - rig.memory.address) / 8;
      continue;
    }
    out.push_back(rig.entry(at++));
    left -= left < page ? left : page;
  }
  return out;
}

limits prp_only() {
  limits l;
  l.sgl = false;
  return l;
}

}  // namespace

TEST_SUITE("command/data_pointer_builder") {
  TEST_CASE("PRP: every page once, in order, at every boundary and offset") {
    list_rig rig(65536);
    for (const std::uint64_t page : {std::uint64_t{4096}, std::uint64_t{8192}}) {
      limits l = prp_only();
      l.page_bytes = static_cast<std::uint32_t>(page);
      for (const std::uint64_t offset :
           {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{4}, page - 4, page - 1})
        for (const std::uint64_t pages :
             {1ull, 2ull, 3ull, 4ull, 511ull, 512ull, 513ull, 514ull, 1023ull, 1024ull, 1025ull, 1537ull, 2049ull})
          for (const int delta : {-1, 0, 1}) {
            const std::uint64_t length = pages * page + static_cast<std::uint64_t>(static_cast<std::int64_t>(delta));
            const value_ref v{0x100000000ull + offset, length, 0};
            REQUIRE(check_prp_list(l, rig.memory.length_bytes, v).ok());
            const data_pointer p = value_data_pointer(l, false, rig.memory, v);
            REQUIRE(p.format == psdt::prp);
            const std::vector<std::uint64_t> got = pages_of(p, rig, length, page);
            REQUIRE(got.size() == (offset + length + page - 1) / page);
            REQUIRE(got[0] == v.address);
            for (std::size_t i = 1; i < got.size(); ++i) REQUIRE(got[i] == 0x100000000ull + i * page);
          }
    }
  }

  TEST_CASE("PRP: one page has no second entry, two pages no list") {
    list_rig rig(64);
    const data_pointer one = value_data_pointer(prp_only(), false, rig.memory, {0x1000, 4096, 0});
    CHECK((one.low == 0x1000 && one.high == 0));
    const data_pointer two = value_data_pointer(prp_only(), false, rig.memory, {0x1ffc, 8, 0});
    CHECK((two.low == 0x1ffc && two.high == 0x2000));
    CHECK(rig.entry(0) == 0xeeeeeeeeeeeeeeeeull);
  }

  TEST_CASE("PRP list: nothing is written beyond what prp_list_entries says") {
    for (std::uint64_t pages = 1; pages < 2000; pages += pages < 600 ? 1 : 101) {
      const std::uint64_t entries = prp_list_entries(pages, 4096);
      if (entries == 0) continue;
      list_rig rig(32768);
      const value_ref v{0x100000000ull, pages * 4096, 0};
      REQUIRE(check_prp_list(prp_only(), static_cast<std::uint32_t>(entries * 8), v).ok());
      REQUIRE(check_prp_list(prp_only(), static_cast<std::uint32_t>(entries * 8 - 8), v) ==
              status(client_status::value_too_large));
      static_cast<void>(prp_data_pointer(prp_only(), rig.memory, v));
      REQUIRE(rig.entry(entries - 1) != 0xeeeeeeeeeeeeeeeeull);
      if (entries < 4096) REQUIRE(rig.entry(entries) == 0xeeeeeeeeeeeeeeeeull);
    }
  }

  TEST_CASE("controllers without lists, or without chained ones -> unsupported") {
    limits l = prp_only();
    l.prp_list = false;
    CHECK(check_prp_list(l, 65536, {0x1000, 8192, 0}).ok());
    CHECK(check_prp_list(l, 65536, {0x1001, 8192, 0}) == status(client_status::unsupported));
    l = prp_only();
    l.prp_list_chain = false;
    CHECK(check_prp_list(l, 65536, {0x1000, 513 * 4096, 0}).ok());
    CHECK(check_prp_list(l, 65536, {0x1000, 514 * 4096, 0}) == status(client_status::unsupported));
  }

  TEST_CASE("SGL: one block in the command, whatever the length; dwords only where the controller asks") {
    list_rig rig(64);
    limits l;
    l.sgl = true;
    const value_ref odd{0x1001, 0x4000001, 0};
    const data_pointer p = value_data_pointer(l, false, rig.memory, odd);
    CHECK(p.format == psdt::sgl);
    CHECK(p.sgl1().type() == sgl_type::data_block);
    CHECK(p.sgl1().address == 0x1001);
    CHECK(p.sgl1().length_bytes == 0x4000001);
    CHECK(p.high == 0x0000000004000001ull);
    CHECK(rig.entry(0) == 0xeeeeeeeeeeeeeeeeull);
    l.sgl_dword_granular = true;
    CHECK_FALSE(takes_sgl_block(l, false, odd));
    CHECK_FALSE(takes_sgl_block(l, false, {0x1000, 6, 0}));
    CHECK(takes_sgl_block(l, false, {0x1004, 8, 0}));
    CHECK(takes_sgl_block(l, true, odd));
    CHECK(value_data_pointer(l, false, rig.memory, {0x1001, 6, 0}).format == psdt::prp);
  }

  TEST_CASE("an empty value has a zero pointer") {
    limits l;
    l.sgl = true;
    const data_pointer p = value_data_pointer(l, true, {}, {0x1234, 0, 0});
    CHECK((p.low == 0 && p.high == 0 && p.format == psdt::prp));
  }

  TEST_CASE("a head and a value: two blocks under one last segment; a head alone: one block") {
    list_rig rig(64);
    const value_ref head{0x5000, 7, 0};
    const data_pointer p = head_data_pointer(rig.memory, head, {0x9001, 33, 0});
    CHECK(p.format == psdt::sgl);
    CHECK(p.sgl1().type() == sgl_type::last_segment);
    CHECK(p.sgl1().address == 0x7000000);
    CHECK(p.sgl1().length_bytes == 32);
    sgl_descriptor d[2];
    std::memcpy(d, rig.block.get(), 32);
    CHECK((d[0].type() == sgl_type::data_block && d[0].address == 0x5000 && d[0].length_bytes == 7));
    CHECK((d[1].type() == sgl_type::data_block && d[1].address == 0x9001 && d[1].length_bytes == 33));
    const data_pointer alone = head_data_pointer(rig.memory, head, {});
    CHECK((alone.sgl1().type() == sgl_type::data_block && alone.sgl1().address == 0x5000 &&
           alone.sgl1().length_bytes == 7));
  }
}
