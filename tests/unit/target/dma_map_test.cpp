// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/dma_map.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <vector>

using namespace nkv;
using target::dma_access;
using target::dma_map;
using target::dma_region;

namespace {

constexpr std::uint64_t top = ~std::uint64_t{0};

status error(int e) { return {client_status::system_error, static_cast<std::uint16_t>(e)}; }
bool is_error(status s, int e) { return s == error(e) && s.detail() == e; }

}  // namespace

TEST_SUITE("target/dma_map") {
  std::byte memory[4096];

  TEST_CASE("add: nothing, null, no access, an end beyond the address space -> EINVAL") {
    dma_map m;
    CHECK(is_error(m.add({0x1000, 0, memory, true, true}), EINVAL));
    CHECK(is_error(m.add({0x1000, 16, nullptr, true, true}), EINVAL));
    CHECK(is_error(m.add({0x1000, 16, memory, false, false}), EINVAL));
    CHECK(is_error(m.add({top, 2, memory, true, true}), EINVAL));
    CHECK(is_error(m.add({1, top, memory, true, true}), EINVAL));
    CHECK(m.regions().empty());
    CHECK(m.add({top, 1, memory, true, true}).ok());
    CHECK(m.translate(top, 1, dma_access::read) == memory);
    CHECK(m.translate(top, 2, dma_access::read) == nullptr);
  }

  TEST_CASE("add: an overlap on either side or around -> EEXIST, neighbours are none") {
    dma_map m;
    REQUIRE(m.add({0x1000, 0x100, memory, true, true}).ok());
    CHECK(is_error(m.add({0x10ff, 1, memory, true, true}), EEXIST));
    CHECK(is_error(m.add({0xf00, 0x101, memory, true, true}), EEXIST));
    CHECK(is_error(m.add({0xf00, 0x1000, memory, true, true}), EEXIST));
    CHECK(is_error(m.add({0x1010, 0x10, memory, true, true}), EEXIST));
    CHECK(m.add({0x1100, 0x100, memory, true, true}).ok());
    CHECK(m.add({0xf00, 0x100, memory, true, true}).ok());
    CHECK(m.regions().size() == 3);
  }

  TEST_CASE("add: an identical repeat -> success and one region, other rights or memory -> EEXIST") {
    dma_map m;
    REQUIRE(m.add({0x1000, 0x100, memory, true, true}).ok());
    CHECK(m.add({0x1000, 0x100, memory, true, true}).ok());
    CHECK(is_error(m.add({0x1000, 0x100, memory, true, false}), EEXIST));
    CHECK(is_error(m.add({0x1000, 0x100, memory + 1, true, true}), EEXIST));
    CHECK(m.regions().size() == 1);
  }

  TEST_CASE("add: more than the maximum -> ENOSPC, room after a removal") {
    dma_map m(2);
    REQUIRE(m.add({0x1000, 1, memory, true, true}).ok());
    REQUIRE(m.add({0x2000, 1, memory, true, true}).ok());
    CHECK(is_error(m.add({0x3000, 1, memory, true, true}), ENOSPC));
    REQUIRE(m.remove(0x1000, 1).ok());
    CHECK(m.add({0x3000, 1, memory, true, true}).ok());
  }

  TEST_CASE("remove: only exactly what was added") {
    dma_map m;
    REQUIRE(m.add({0x1000, 0x100, memory, true, true}).ok());
    CHECK(m.remove(0x1000, 0xff) == status{client_status::not_found});
    CHECK(m.remove(0x1001, 0xff) == status{client_status::not_found});
    CHECK(m.remove(0, 0x100) == status{client_status::not_found});
    dma_region removed;
    CHECK(m.remove(0x1000, 0x100, &removed).ok());
    CHECK(removed.local == memory);
    CHECK(m.translate(0x1000, 1, dma_access::read) == nullptr);
  }

  TEST_CASE("translate: every boundary; never across two regions, not even adjoining ones") {
    dma_map m;
    REQUIRE(m.add({0x1000, 0x100, memory, true, true}).ok());
    REQUIRE(m.add({0x1100, 0x100, memory + 0x100, true, true}).ok());
    CHECK(m.translate(0x1000, 0x100, dma_access::read_write) == memory);
    CHECK(m.translate(0x10ff, 1, dma_access::read) == memory + 0xff);
    CHECK(m.translate(0x10ff, 2, dma_access::read) == nullptr);
    CHECK(m.translate(0x0fff, 1, dma_access::read) == nullptr);
    CHECK(m.translate(0x1200, 1, dma_access::read) == nullptr);
    CHECK(m.translate(0x1001, top, dma_access::read) == nullptr);
    CHECK(m.translate(0x10ff, 0, dma_access::read) == memory + 0xff);
    CHECK(m.translate(0x1200, 0, dma_access::read) == nullptr);
  }

  TEST_CASE("translate: only with the rights of the region, also where the last look-up hit it") {
    dma_map m;
    REQUIRE(m.add({0x1000, 0x100, memory, true, false}).ok());
    REQUIRE(m.add({0x2000, 0x100, memory, false, true}).ok());
    CHECK(m.translate(0x1000, 1, dma_access::read) == memory);
    CHECK(m.translate(0x1000, 1, dma_access::write) == nullptr);
    CHECK(m.translate(0x1000, 1, dma_access::read_write) == nullptr);
    CHECK(m.translate(0x2000, 1, dma_access::write) == memory);
    CHECK(m.translate(0x2000, 1, dma_access::read) == nullptr);
    CHECK(m.translate(0x1000, 1, dma_access::write) == nullptr);  // the last hit was another
  }

  TEST_CASE("add, remove, translate: agree with a plain list, at random") {
    std::mt19937 random(1);
    dma_map m;
    std::vector<dma_region> plain;
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t iova = random() % 256;
      const std::uint64_t length = random() % 24;
      switch (random() % 3) {
        case 0: {
          const dma_region r{iova, length, memory + iova, true, true};
          bool overlap = false;
          bool same = false;
          for (const dma_region& p : plain) {
            overlap = overlap || (iova < p.iova + p.length_bytes && p.iova < iova + length);
            same = same || (p.iova == iova && p.length_bytes == length);
          }
          const bool expected = length != 0 && (same || !overlap);
          CHECK(m.add(r).ok() == expected);
          if (expected && !same) plain.push_back(r);
          break;
        }
        case 1: {
          bool there = false;
          for (std::size_t k = 0; k < plain.size(); ++k)
            if (plain[k].iova == iova && plain[k].length_bytes == length) {
              there = true;
              plain.erase(plain.begin() + static_cast<std::ptrdiff_t>(k));
              break;
            }
          CHECK(m.remove(iova, length).ok() == there);
          break;
        }
        default: {
          std::byte* expected = nullptr;
          for (const dma_region& p : plain)
            if (iova >= p.iova && iova < p.iova + p.length_bytes && iova + length <= p.iova + p.length_bytes)
              expected = p.local + (iova - p.iova);
          CHECK(m.translate(iova, length, dma_access::read) == expected);
        }
      }
    }
  }
}
