// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/registers.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using nkv::controller_capabilities;
using nkv::controller_configuration;
using nkv::controller_status;

TEST_SUITE("spec/registers") {
  TEST_CASE("offsets: registers and doorbells -> those of the specification") {
    CHECK(nkv::reg::cap == 0x00);
    CHECK(nkv::reg::vs == 0x08);
    CHECK(nkv::reg::intms == 0x0c);
    CHECK(nkv::reg::intmc == 0x10);
    CHECK(nkv::reg::cc == 0x14);
    CHECK(nkv::reg::csts == 0x1c);
    CHECK(nkv::reg::nssr == 0x20);
    CHECK(nkv::reg::aqa == 0x24);
    CHECK(nkv::reg::asq == 0x28);
    CHECK(nkv::reg::acq == 0x30);
    for (std::uint16_t qid = 0; qid < 512; ++qid) {
      CHECK(nkv::sq_tail_doorbell(qid, 4) == 0x1000u + 8u * qid);
      CHECK(nkv::cq_head_doorbell(qid, 4) == 0x1004u + 8u * qid);
    }
    CHECK(nkv::sq_tail_doorbell(3, 64) == 0x1000 + 6 * 64);
    CHECK(nkv::cq_head_doorbell(3, 64) == 0x1000 + 7 * 64);
    CHECK(nkv::cq_head_doorbell(0xffff, 4096) == 0x1000u + 0x1ffffu * 4096u);
  }

  TEST_CASE("CAP: a KV target as it answers in the field") {
    constexpr controller_capabilities cap{0x080008001e0100ff};
    CHECK(cap.max_queue_entries() == 256);
    CHECK(cap.contiguous_queues_required());
    CHECK(cap.ready_timeout_ms() == 15000);
    CHECK(cap.doorbell_stride_bytes() == 4);
    CHECK_FALSE(cap.supports_nvm_command_set());
    CHECK(cap.supports_io_command_sets());
    CHECK(cap.min_page_bytes() == 4096);
    CHECK(cap.max_page_bytes() == 4096);
  }

  TEST_CASE("CAP: an NVM target as it answers in the field -> no I/O command sets") {
    constexpr controller_capabilities cap{0x080000201e0100ff};
    CHECK(cap.max_queue_entries() == 256);
    CHECK(cap.supports_nvm_command_set());
    CHECK_FALSE(cap.supports_io_command_sets());
  }

  TEST_CASE("CAP: the greatest of every field -> no overflow") {
    constexpr controller_capabilities cap{~std::uint64_t{0}};
    CHECK(cap.max_queue_entries() == 65536);
    CHECK(cap.ready_timeout_ms() == 127500);
    CHECK(cap.doorbell_stride_bytes() == 4u << 15);
    CHECK(cap.min_page_bytes() == 4096u << 15);
    CHECK(cap.max_page_bytes() == 4096ull << 15);
    constexpr controller_capabilities none{0};
    CHECK(none.max_queue_entries() == 1);
    CHECK_FALSE(none.contiguous_queues_required());
    CHECK(none.ready_timeout_ms() == 0);
  }

  TEST_CASE("CAP: each field alone -> read from its own bits") {
    CHECK(controller_capabilities{std::uint64_t{1} << 16}.contiguous_queues_required());
    CHECK(controller_capabilities{std::uint64_t{1} << 24}.ready_timeout_ms() == 500);
    CHECK(controller_capabilities{std::uint64_t{3} << 32}.doorbell_stride_bytes() == 32);
    CHECK(controller_capabilities{std::uint64_t{1} << 37}.supports_nvm_command_set());
    CHECK(controller_capabilities{std::uint64_t{1} << 43}.supports_io_command_sets());
    CHECK_FALSE(controller_capabilities{std::uint64_t{1} << 44}.supports_io_command_sets());
    CHECK(controller_capabilities{std::uint64_t{2} << 48}.min_page_bytes() == 16384);
    CHECK(controller_capabilities{std::uint64_t{4} << 52}.max_page_bytes() == 65536);
  }

  TEST_CASE("CC: enable -> the values that the Linux kernel writes") {
    constexpr controller_configuration cc = controller_configuration::enable(6, 0);
    static_assert(cc.raw == 0x460061);
    CHECK(cc.disabled().raw == 0x460060);
    CHECK(cc.enabled());
    CHECK_FALSE(cc.disabled().enabled());
    CHECK(cc.command_sets() == 6);
    CHECK(cc.page_bytes() == 4096);
    CHECK(cc.sq_entry_bytes() == 64);
    CHECK(cc.cq_entry_bytes() == 16);
    CHECK(cc.shutdown() == 0);
    CHECK(controller_configuration::enable(0, 0).raw == 0x460001);
    CHECK(controller_configuration::enable(6, 4).page_bytes() == 65536);
  }

  TEST_CASE("CC: with_shutdown -> replaces the field and nothing else") {
    constexpr controller_configuration cc = controller_configuration::enable(6, 0);
    CHECK(cc.with_shutdown(1).raw == 0x464061);
    CHECK(cc.with_shutdown(2).raw == 0x468061);
    CHECK(cc.with_shutdown(2).with_shutdown(1).shutdown() == 1);
    CHECK(cc.with_shutdown(1).with_shutdown(0).raw == cc.raw);
  }

  TEST_CASE("CSTS: ready, fatal, shutdown -> each from its own bits") {
    CHECK(controller_status{1}.ready());
    CHECK_FALSE(controller_status{1}.fatal());
    CHECK(controller_status{2}.fatal());
    CHECK_FALSE(controller_status{2}.ready());
    CHECK(controller_status{4}.shutdown() == 1);
    CHECK(controller_status{8}.shutdown() == 2);
    CHECK(controller_status{0x10}.shutdown() == 0);
    // All ones is what a removed PCI device reads as.
    CHECK(controller_status{0xffffffff}.fatal());
  }

  TEST_CASE("AQA: sizes as counts -> 0's based, completion queue above") {
    CHECK(nkv::admin_queue_attributes(32, 64) == 0x003f001f);
    CHECK(nkv::admin_queue_attributes(4096, 4096) == 0x0fff0fff);
    CHECK(nkv::admin_queue_attributes(2, 2) == 0x00010001);
  }
}
