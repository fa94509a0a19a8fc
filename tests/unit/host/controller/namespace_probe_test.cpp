// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/namespace_probe.hpp>
#include <support/attach_scripted.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

using namespace nkv;
using namespace nkv_test;

TEST_SUITE("host/controller/namespace_probe") {
  TEST_CASE("the probe: a miss in command dwords, of either type -> inline_cdw, by one Retrieve of a random key") {
    for (const auto sct : {status_code_type::generic, status_code_type::command_specific}) {
      const auto s = std::make_shared<script>();
      s->add_kv(1);
      bool zero = true;
      s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
        if (qid == 0) return std::nullopt;
        const auto* const at = reinterpret_cast<const std::byte*>(a.dptr().low);
        zero = zero && std::all_of(at, at + a.cdw(10), [](std::byte b) { return b == std::byte{0}; });
        return script::answer{{sct, 0x87}, 0, false};
      };
      const auto c = attach(s);
      REQUIRE(c);
      const auto ns = c->open_namespace(1);
      REQUIRE(ns);
      CHECK(ns->profile().quirks.encoding == key_encoding::inline_cdw);
      REQUIRE(s->io_commands.size() == 1);
      const sqe probe = s->io_commands[0];
      CHECK(probe.opc() == 0x02);
      CHECK((probe.cdw(11) & 0xffu) == 16);
      CHECK(probe.cdw(10) >= 4);
      CHECK(zero);
      CHECK((probe.cdw(2) | probe.cdw(3) | probe.cdw(14) | probe.cdw(15)) != 0);
      REQUIRE(c->open_namespace(1));
      CHECK(s->io_commands[1].cdw(2) != probe.cdw(2));
    }
  }

  TEST_CASE("the probe: invalid field, then a miss with the key in a head -> payload_head; long keys by an Exist") {
    for (const bool reads_head : {false, true}) {
      const auto s = std::make_shared<script>();
      s->add_kv(1, 255);
      s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
        if (qid == 0) return std::nullopt;
        if (a.opc() == 0x14) return generic(reads_head ? 0x87 : 0x86);
        REQUIRE(a.opc() == 0x02);
        if ((a.cdw(11) & 0xffu) == 16) return generic(generic_status::invalid_field);
        // An SGL segment of two: the head, then the value.
        CHECK(a.data_format() == psdt::sgl);
        CHECK(a.dptr().sgl1().type() == sgl_type::last_segment);
        const auto* const list = reinterpret_cast<const sgl_descriptor*>(a.dptr().sgl1().address);
        CHECK(list[0].length_bytes == 18);
        const auto* const head = reinterpret_cast<const std::byte*>(list[0].address);
        CHECK(head[0] == std::byte{16});
        CHECK(head[1] == std::byte{0});
        return script::answer{{status_code_type::command_specific, 0x87}, 0, false};
      };
      const auto c = attach(s);
      REQUIRE(c);
      const auto ns = c->open_namespace(1);
      REQUIRE(ns);
      CHECK(ns->profile().quirks.encoding == key_encoding::payload_head);
      CHECK(ns->profile().quirks.reads_head_without_data_direction == reads_head);
      CHECK(ns->profile().longest_key_bytes() == 255);
      REQUIRE(s->io_commands.size() == 3);
      CHECK(s->io_commands[2].opc() == 0x14);
      CHECK((s->io_commands[2].cdw(11) & 0xffu) == 0);
      s->identity.vid = 0x4e58;
      std::memcpy(s->identity.mn, "SPDK bdev Controller", 20);
      const auto spdk = attach(s);
      REQUIRE(spdk);
      const auto forwarder = spdk->open_namespace(1);
      REQUIRE(forwarder);
      CHECK(!forwarder->profile().quirks.list_continues);
      CHECK(forwarder->profile().quirks.dropped_store_options == 0x38);
      CHECK(forwarder->profile().limits.max_sgl_descriptors == 33);
      CHECK_FALSE(forwarder->profile().limits.prp_list_chain);
    }
  }

  TEST_CASE("the probe: anything else -> encoding_unknown, and the caller may say which") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    std::uint8_t first = 0;
    std::uint8_t second = 0;
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      return generic((a.cdw(11) & 0xffu) == 16 ? first : second);
    };
    const auto c = attach(s);
    REQUIRE(c);
    struct row {
      std::uint8_t first, second;
    };
    for (const row r : {row{0x00, 0x87}, row{0x01, 0x87}, row{0x06, 0x87}, row{0x86, 0x87}, row{0x02, 0x00},
                        row{0x02, 0x02}, row{0x02, 0x06}}) {
      first = r.first;
      second = r.second;
      CHECK(c->open_namespace(1).error() == status(client_status::encoding_unknown));
    }
    CHECK(s->queues.size() == 1);  // no queue is left behind
    const std::size_t sent = s->io_commands.size();
    host::namespace_options o;
    o.encoding = key_encoding::payload_head;
    const auto said = c->open_namespace(1, o);
    REQUIRE(said);
    CHECK(said->profile().quirks.encoding == key_encoding::payload_head);
    o.quirks = quirks::vfio_user_kvssd();
    o.encoding.reset();
    const auto known = c->open_namespace(1, o);
    REQUIRE(known);
    CHECK(known->profile().quirks.list_padding == list_padding::remainder);
    CHECK(s->io_commands.size() == sent);
  }

  TEST_CASE("the probe: never answered -> timed_out, and its queue is gone with its memory") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    s->on_command = [](std::uint16_t qid, const sqe&) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      return script::answer{{}, 0, true};
    };
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->open_namespace(1, {}, soon(50)).error() == status(client_status::timed_out));
    CHECK(s->deleted == std::vector<std::uint16_t>{1, 0x8001});
    CHECK(s->mapped.size() == 1);
  }
}
