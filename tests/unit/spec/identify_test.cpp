// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/identify.hpp>

#include <support/guarded_bytes.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <type_traits>

using nkv::csi_of_namespace_descriptors;
using nkv::identify_bytes;

namespace {

struct descriptors {
  std::byte bytes[identify_bytes] = {};
  std::size_t at = 0;

  constexpr descriptors& add(unsigned type, unsigned length, unsigned first = 0) {
    put(at, type);
    put(at + 1, length);
    if (length != 0) put(at + 4, first);
    at += 4 + length;
    return *this;
  }
  constexpr void put(std::size_t where, unsigned value) {
    if (where < identify_bytes) bytes[where] = static_cast<std::byte>(value);
  }
  constexpr unsigned csi() const { return csi_of_namespace_descriptors(bytes); }
};

constexpr unsigned none = 256;

}  // namespace

TEST_SUITE("spec/identify") {
  using nkv::identify_controller;
  using nkv::identify_kv_namespace;

  static_assert(std::is_trivially_copyable_v<identify_controller>);

  TEST_CASE("Identify Controller: every field -> at the offset of the specification") {
    CHECK(offsetof(identify_controller, vid) == 0);
    CHECK(offsetof(identify_controller, ssvid) == 2);
    CHECK(offsetof(identify_controller, sn) == 4);
    CHECK(offsetof(identify_controller, mn) == 24);
    CHECK(offsetof(identify_controller, fr) == 64);
    CHECK(offsetof(identify_controller, rab) == 72);
    CHECK(offsetof(identify_controller, ieee) == 73);
    CHECK(offsetof(identify_controller, cmic) == 76);
    CHECK(offsetof(identify_controller, mdts) == 77);
    CHECK(offsetof(identify_controller, cntlid) == 78);
    CHECK(offsetof(identify_controller, ver) == 80);
    CHECK(offsetof(identify_controller, rtd3r) == 84);
    CHECK(offsetof(identify_controller, rtd3e) == 88);
    CHECK(offsetof(identify_controller, oaes) == 92);
    CHECK(offsetof(identify_controller, ctratt) == 96);
    CHECK(offsetof(identify_controller, cntrltype) == 111);
    CHECK(offsetof(identify_controller, fguid) == 112);
    CHECK(offsetof(identify_controller, oacs) == 256);
    CHECK(offsetof(identify_controller, acl) == 258);
    CHECK(offsetof(identify_controller, aerl) == 259);
    CHECK(offsetof(identify_controller, frmw) == 260);
    CHECK(offsetof(identify_controller, lpa) == 261);
    CHECK(offsetof(identify_controller, elpe) == 262);
    CHECK(offsetof(identify_controller, npss) == 263);
    CHECK(offsetof(identify_controller, wctemp) == 266);
    CHECK(offsetof(identify_controller, cctemp) == 268);
    CHECK(offsetof(identify_controller, kas) == 320);
    CHECK(offsetof(identify_controller, sqes) == 512);
    CHECK(offsetof(identify_controller, cqes) == 513);
    CHECK(offsetof(identify_controller, maxcmd) == 514);
    CHECK(offsetof(identify_controller, nn) == 516);
    CHECK(offsetof(identify_controller, oncs) == 520);
    CHECK(offsetof(identify_controller, fuses) == 522);
    CHECK(offsetof(identify_controller, fna) == 524);
    CHECK(offsetof(identify_controller, vwc) == 525);
    CHECK(offsetof(identify_controller, awun) == 526);
    CHECK(offsetof(identify_controller, awupf) == 528);
    CHECK(offsetof(identify_controller, icsvscc) == 530);
    CHECK(offsetof(identify_controller, nwpc) == 531);
    CHECK(offsetof(identify_controller, acwu) == 532);
    CHECK(offsetof(identify_controller, sgls) == 536);
    CHECK(offsetof(identify_controller, mnan) == 540);
    CHECK(offsetof(identify_controller, subnqn) == 768);
    CHECK(offsetof(identify_controller, ioccsz) == 1792);
    CHECK(offsetof(identify_controller, iorcsz) == 1796);
    CHECK(offsetof(identify_controller, icdoff) == 1800);
    CHECK(offsetof(identify_controller, fcatt) == 1802);
    CHECK(offsetof(identify_controller, msdbd) == 1803);
    CHECK(offsetof(identify_controller, ofcs) == 1804);
    CHECK(offsetof(identify_controller, psd) == 2048);
    CHECK(offsetof(identify_controller, vendor) == 3072);
  }

  TEST_CASE("Identify Namespace, KV: every field -> at the offset of the specification") {
    CHECK(offsetof(identify_kv_namespace, nsze) == 0);
    CHECK(offsetof(identify_kv_namespace, nuse) == 16);
    CHECK(offsetof(identify_kv_namespace, nsfeat) == 24);
    CHECK(offsetof(identify_kv_namespace, nkvf) == 25);
    CHECK(offsetof(identify_kv_namespace, nmic) == 26);
    CHECK(offsetof(identify_kv_namespace, rescap) == 27);
    CHECK(offsetof(identify_kv_namespace, fpi) == 28);
    CHECK(offsetof(identify_kv_namespace, kvfc) == 29);
    CHECK(offsetof(identify_kv_namespace, novg) == 32);
    CHECK(offsetof(identify_kv_namespace, anagrpid) == 36);
    CHECK(offsetof(identify_kv_namespace, nsattr) == 43);
    CHECK(offsetof(identify_kv_namespace, nvmsetid) == 44);
    CHECK(offsetof(identify_kv_namespace, endgid) == 46);
    CHECK(offsetof(identify_kv_namespace, nguid) == 48);
    CHECK(offsetof(identify_kv_namespace, eui64) == 64);
    CHECK(offsetof(identify_kv_namespace, kvf) == 72);
    CHECK(offsetof(identify_kv_namespace, vendor) == 3840);
    CHECK(sizeof(nkv::kv_format) == 16);
    CHECK(offsetof(nkv::kv_format, kvkml) == 0);
    CHECK(offsetof(nkv::kv_format, afo) == 3);
    CHECK(offsetof(nkv::kv_format, kvvml) == 4);
    CHECK(offsetof(nkv::kv_format, mnks) == 8);
  }

  TEST_CASE("Identify, the others: sizes, offsets and CNS values") {
    CHECK(sizeof(nkv::identify_kv_controller) == 4096);
    CHECK(sizeof(nkv::identify_active_namespaces) == 4096);
    CHECK(sizeof(nkv::identify_command_set_vector) == 4096);
    CHECK(offsetof(nkv::identify_independent_namespace, anagrpid) == 4);
    CHECK(offsetof(nkv::identify_independent_namespace, nsattr) == 8);
    CHECK(offsetof(nkv::identify_independent_namespace, nvmsetid) == 10);
    CHECK(offsetof(nkv::identify_independent_namespace, endgid) == 12);
    CHECK(offsetof(nkv::identify_independent_namespace, nstat) == 14);
    CHECK(static_cast<unsigned>(nkv::identify_cns::controller) == 0x01);
    CHECK(static_cast<unsigned>(nkv::identify_cns::active_namespaces) == 0x02);
    CHECK(static_cast<unsigned>(nkv::identify_cns::namespace_descriptors) == 0x03);
    CHECK(static_cast<unsigned>(nkv::identify_cns::csi_namespace) == 0x05);
    CHECK(static_cast<unsigned>(nkv::identify_cns::csi_controller) == 0x06);
    CHECK(static_cast<unsigned>(nkv::identify_cns::csi_active_namespaces) == 0x07);
    CHECK(static_cast<unsigned>(nkv::identify_cns::csi_independent_namespace) == 0x08);
    CHECK(static_cast<unsigned>(nkv::identify_cns::command_set_vector) == 0x1c);
    CHECK(nkv::sgls::byte_granular == 1);
    CHECK(nkv::sgls::dword_granular == 2);
    CHECK(nkv::oacs_doorbell_buffer == 0x100);
  }

  TEST_CASE("counts_formats_from_1: the last format's place by NKVF is there or empty") {
    nkv::identify_kv_namespace ns;
    ns.kvf[0].kvkml = 16;
    CHECK_FALSE(ns.counts_formats_from_1());
    ns.nkvf = 1;
    CHECK(ns.counts_formats_from_1());
    ns.kvf[1].kvkml = 8;
    CHECK_FALSE(ns.counts_formats_from_1());
    for (nkv::kv_format& f : ns.kvf) f.kvkml = 16;
    ns.nkvf = 15;
    CHECK_FALSE(ns.counts_formats_from_1());
    ns.nkvf = 255;
    CHECK_FALSE(ns.counts_formats_from_1());
  }

  TEST_CASE("active_format: the index in use, else the first that is there, else none") {
    identify_kv_namespace ns;
    CHECK(ns.active_format().kvkml == 0);
    ns.kvf[2].kvkml = 16;
    ns.kvf[2].kvvml = 4096;
    ns.kvf[5].kvkml = 255;
    ns.kvf[15].kvkml = 8;
    CHECK(ns.active_format().kvvml == 4096);
    ns.kvfc = 5;
    CHECK(ns.active_format().kvkml == 255);
    // Bits 7:4 are reserved and do not choose.
    ns.kvfc = 0xf5;
    CHECK(ns.active_format().kvkml == 255);
    ns.kvfc = 0x0f;
    CHECK(ns.active_format().kvkml == 8);
    ns.kvfc = 9;
    CHECK(ns.active_format().kvkml == 16);
  }

  TEST_CASE("csi_of_namespace_descriptors: well-formed lists -> the CSI, wherever it stands") {
    static_assert(descriptors{}.add(4, 1, 1).csi() == 1);
    CHECK(descriptors{}.csi() == none);
    CHECK(descriptors{}.add(4, 1, 0).csi() == 0);
    CHECK(descriptors{}.add(3, 16).add(4, 1, 1).csi() == 1);
    CHECK(descriptors{}.add(1, 8).add(2, 16).add(3, 16).add(4, 1, 2).csi() == 2);
    CHECK(descriptors{}.add(1, 8).add(2, 16).csi() == none);
    // A type of the future is passed over; what follows the end of the list is not looked at.
    CHECK(descriptors{}.add(0x77, 30).add(4, 1, 1).csi() == 1);
    CHECK(descriptors{}.add(1, 8).add(0, 0).add(4, 1, 1).csi() == none);
  }

  TEST_CASE("csi_of_namespace_descriptors: hostile lists -> an end, and no CSI out of thin air") {
    // No progress: a length of zero.
    CHECK(descriptors{}.add(3, 0).add(4, 1, 1).csi() == none);
    CHECK(descriptors{}.add(4, 0).csi() == none);
    // The last descriptor goes beyond the end, by one byte and by many.
    descriptors to_the_end;
    while (to_the_end.at + 4 + 255 <= identify_bytes - 5) to_the_end.add(0x77, 255);
    const std::size_t left = identify_bytes - to_the_end.at;
    REQUIRE(left >= 5 + 5);
    descriptors fits = to_the_end;
    fits.add(0x77, static_cast<unsigned>(left - 4 - 5)).add(4, 1, 1);
    REQUIRE(fits.at == identify_bytes);
    CHECK(fits.csi() == 1);
    descriptors over = to_the_end;
    over.add(0x77, static_cast<unsigned>(left - 4 - 4)).add(4, 1, 1);
    CHECK(over.csi() == none);
    descriptors header_only = to_the_end;
    header_only.add(0x77, static_cast<unsigned>(left - 4 - 3)).add(4, 1, 1);
    CHECK(header_only.csi() == none);
    descriptors all_ones;
    std::memset(all_ones.bytes, 0xff, identify_bytes);
    CHECK(all_ones.csi() == none);
    // The list is full of the shortest descriptors and ends with the page.
    descriptors full;
    while (full.at + 5 <= identify_bytes) full.add(1, 1);
    CHECK(full.csi() == none);
  }

  TEST_CASE("csi_of_namespace_descriptors: random bytes -> never a byte beyond the page") {
    std::mt19937_64 random(7);
    nkv_test::guarded_bytes memory(identify_bytes);
    const nkv::mutable_byte_span page = memory.last(identify_bytes);
    for (unsigned round = 0; round < 3000; ++round) {
      for (std::size_t i = 0; i < identify_bytes; i += 8) {
        const std::uint64_t word = random();
        std::memcpy(page.data() + i, &word, 8);
      }
      // Lengths that are small lead the walk through the page, to its end.
      if (round % 3 != 0) {
        const unsigned step = 1 + round % 61;
        for (std::size_t at = 0; at + 1 < identify_bytes; at += 4 + step) {
          page[at] = std::byte{3};
          page[at + 1] = static_cast<std::byte>(step);
        }
      }
      CHECK(csi_of_namespace_descriptors(page.data()) <= none);
    }
  }
}
