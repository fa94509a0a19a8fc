// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/limits.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::limits;

TEST_SUITE("kv/limits") {
  static_assert(std::is_aggregate_v<limits> && std::is_trivially_copyable_v<limits>);
  static_assert(limits{}.max_key_bytes == 16 && limits{}.page_bytes == 4096 && !limits{}.sgl && limits{}.prp_list);

  TEST_CASE("takes_transfer: MDTS and the 32-bit fields -> at the limit and one beyond") {
    limits l;
    CHECK(l.takes_transfer(0));
    CHECK(l.takes_transfer(0xffffffff));
    CHECK_FALSE(l.takes_transfer(0x100000000));
    CHECK_FALSE(l.takes_transfer(~std::uint64_t{0}));
    l.max_transfer_bytes = 8192;
    CHECK(l.takes_transfer(8192));
    CHECK_FALSE(l.takes_transfer(8193));
    l.max_transfer_bytes = std::uint64_t{1} << 40;
    CHECK_FALSE(l.takes_transfer(0x100000000));
  }

  TEST_CASE("set_mdts: powers of two of pages -> bytes; 0 and beyond reason -> no limit") {
    limits l;
    l.set_mdts(5, 4096);
    CHECK(l.max_transfer_bytes == 128 * 1024);
    l.set_mdts(1, 4096);
    CHECK(l.max_transfer_bytes == 8192);
    l.set_mdts(1, 65536);
    CHECK(l.max_transfer_bytes == 131072);
    l.set_mdts(0, 4096);
    CHECK(l.max_transfer_bytes == 0);
    l.set_mdts(31, 4096u << 15);
    CHECK(l.max_transfer_bytes == std::uint64_t{1} << 58);
    l.set_mdts(32, 4096);
    CHECK(l.max_transfer_bytes == 0);
    l.set_mdts(255, 4096);
    CHECK(l.max_transfer_bytes == 0);
  }

  TEST_CASE("find_prp_list: two pages at most and no SGLs -> none is relied on") {
    const auto found = [](std::uint8_t mdts, std::uint32_t sgls, std::uint32_t page = 4096) {
      limits l;
      l.page_bytes = page;
      l.set_sgls(sgls);
      l.set_mdts(mdts, page);
      l.find_prp_list();
      return l.prp_list;
    };
    CHECK_FALSE(found(1, 0));
    CHECK_FALSE(found(1, 0, 65536));
    CHECK(found(2, 0));
    CHECK(found(0, 0));
    CHECK(found(1, 1));
    CHECK(found(1, 2));
  }

  TEST_CASE("set_sgls: what controllers in the field say -> taken or not, by bytes or dwords") {
    limits l;
    l.set_sgls(0);
    CHECK_FALSE(l.sgl);
    l.set_sgls(1);
    CHECK(l.sgl);
    CHECK_FALSE(l.sgl_dword_granular);
    l.set_sgls(2);
    CHECK(l.sgl);
    CHECK(l.sgl_dword_granular);
    l.set_sgls(3);
    CHECK_FALSE(l.sgl);
    CHECK_FALSE(l.sgl_dword_granular);
    l.set_sgls(0xfffffffc);
    CHECK_FALSE(l.sgl);
    l.set_sgls(0x00050001);
    CHECK(l.sgl);
  }

  TEST_CASE("set_format: key and value lengths -> taken over, never beyond what can be carried") {
    limits l;
    nkv::kv_format f;
    f.kvkml = 16;
    f.kvvml = 1u << 20;
    l.set_format(f);
    CHECK(l.max_key_bytes == 16);
    CHECK(l.max_value_bytes == 1u << 20);
    f.kvkml = 255;
    f.kvvml = 0xffffffff;
    l.set_format(f);
    CHECK(l.max_key_bytes == 255);
    CHECK(l.max_value_bytes == 0xffffffff);
    f.kvkml = 0xffff;
    f.kvvml = 0;
    l.set_format(f);
    CHECK(l.max_key_bytes == 255);
    CHECK(l.max_value_bytes == 0xffffffff);
  }
}
