// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/endian.hpp>
#include <nkv/target/identify_pages.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>

using namespace nkv;

TEST_SUITE("target/identify_pages") {
  TEST_CASE("controller: the fields at their offsets") {
    target::subsystem_options s;
    s.serial = "S1";
    s.model = std::string(50, 'm');
    s.subnqn = "nqn.test";
    target::controller_identity c;
    c.cntlid = 0x1234;
    c.mdts = 16;
    c.pci_vendor = 0xabcd;
    identify_controller page;
    std::memset(static_cast<void*>(&page), 0xff, sizeof page);
    target::identify_page::controller(page, s, c);
    const auto* const b = reinterpret_cast<const std::byte*>(&page);
    const auto u8 = [&](std::size_t at) { return static_cast<unsigned>(b[at]); };
    const auto text = [&](std::size_t at, std::size_t n) {
      return std::string(reinterpret_cast<const char*>(b) + at, n);
    };
    CHECK(load_le<std::uint16_t>(b) == 0xabcd);
    CHECK(text(4, 20) == "S1" + std::string(18, ' '));
    CHECK(text(24, 40) == std::string(40, 'm'));
    CHECK(text(64, 8) == "0.1.0   ");
    CHECK(u8(77) == 16);
    CHECK(load_le<std::uint16_t>(b + 78) == 0x1234);
    CHECK(load_le<std::uint32_t>(b + 80) == 0x20000);
    CHECK(u8(111) == 1);
    CHECK(load_le<std::uint16_t>(b + 256) == 0);  // no doorbell buffer, no namespace management
    CHECK(u8(259) == 3);                          // AERL
    CHECK(load_le<std::uint16_t>(b + 320) != 0);  // KAS
    CHECK(u8(512) == 0x66);
    CHECK(u8(513) == 0x44);
    CHECK(load_le<std::uint32_t>(b + 516) == 1024);
    CHECK((load_le<std::uint32_t>(b + 536) & 3) == 1);  // SGLs, any alignment
    CHECK(text(768, 9) == std::string("nqn.test\0", 9));
    CHECK(load_le<std::uint32_t>(b + 1792) == 4);
    CHECK(load_le<std::uint32_t>(b + 1796) == 1);
    c.sgl = false;
    target::identify_page::controller(page, s, c);
    CHECK(load_le<std::uint32_t>(b + 536) == 0);  // PRPs alone
    s.subnqn = std::string(400, 'q');
    target::identify_page::controller(page, s, c);
    CHECK(text(768, 256) == std::string(255, 'q') + '\0');
  }

  TEST_CASE("namespace: format, limits, use, and the mark of times to live in inline_cdw alone") {
    auto store = std::make_shared<target::memory_store>();
    target::namespace_options o;
    o.max_value_bytes = 0x12345;
    o.max_keys = 99;
    o.optimal_granularity_bytes = 512;
    o.read_only = true;
    identify_kv_namespace page;
    target::identify_page::kv_namespace_page(page, {}, target::kv_namespace(o, store));
    const auto* const b = reinterpret_cast<const std::byte*>(&page);
    CHECK(static_cast<unsigned>(b[25]) == 0);
    CHECK(load_le<std::uint32_t>(b + 32) == 512);
    CHECK(static_cast<unsigned>(b[43]) == 1);
    CHECK(load_le<std::uint16_t>(b + 72) == 16);
    CHECK(load_le<std::uint32_t>(b + 76) == 0x12345);
    CHECK(load_le<std::uint32_t>(b + 80) == 99);
    CHECK(static_cast<unsigned>(b[3840]) == 1);
    CHECK(page.active_format().kvkml == 16);
    o.key_encoding = key_encoding::payload_head;
    target::identify_page::kv_namespace_page(page, {}, target::kv_namespace(o, store));
    CHECK(load_le<std::uint16_t>(b + 72) == 255);
    CHECK(static_cast<unsigned>(b[3840]) == 0);
  }

  TEST_CASE("nguid: as configured; else not zero, the same every time, another for another nsid or subsystem") {
    std::uint8_t a[16], b[16];
    target::subsystem_options s;
    target::namespace_options o;
    target::identify_page::nguid(a, s, o);
    target::identify_page::nguid(b, s, o);
    CHECK(std::memcmp(a, b, 16) == 0);
    o.nsid = 2;
    target::identify_page::nguid(b, s, o);
    CHECK(std::memcmp(a, b, 16) != 0);
    o.nsid = 1;
    s.subnqn += "x";
    target::identify_page::nguid(b, s, o);
    CHECK(std::memcmp(a, b, 16) != 0);
    o.nguid[5] = 9;
    target::identify_page::nguid(b, s, o);
    CHECK(b[5] == 9);
    CHECK(b[0] == 0);
  }

  TEST_CASE("descriptors: NGUID, then the command set; read by the library's own reader") {
    std::byte list[4096] = {};
    target::identify_page::namespace_descriptors(list, {},
                                                 target::kv_namespace({}, std::make_shared<target::memory_store>()));
    CHECK(static_cast<unsigned>(list[0]) == 2);
    CHECK(static_cast<unsigned>(list[1]) == 16);
    CHECK(static_cast<unsigned>(list[20]) == 4);
    CHECK(static_cast<unsigned>(list[21]) == 1);
    CHECK(static_cast<unsigned>(list[24]) == 1);
    CHECK(csi_of_namespace_descriptors(list) == 1);
  }
}
