// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/controller_core.hpp>
#include <support/attach_scripted.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

using namespace nkv;
using namespace nkv_test;
using host::controller_options;

TEST_SUITE("host/controller/controller_core") {
  TEST_CASE("attach: the registers in their order, 64-byte and 16-byte entries, CC.CSS by what CAP offers") {
    struct row {
      std::uint64_t cap_css;
      std::uint32_t css;
    };
    for (const row r : {row{0x40, 6}, row{0x01, 0}, row{0x41, 6}, row{0x80, 0}}) {
      const auto s = std::make_shared<script>();
      s->cap = (s->cap & ~(0xffull << 37)) | (r.cap_css << 37);
      const auto c = attach(s);
      REQUIRE(c);
      CHECK(s->enables == 1);
      CHECK(s->cc == (1u | (r.css << 4) | (6u << 16) | (4u << 20)));
      CHECK(s->aqa == (31u | (63u << 16)));
      CHECK(s->asq % 4096 == 0);
      CHECK(s->acq % 4096 == 0);
      CHECK(s->asq != s->acq);
      CHECK(c->version() == 0x00020000);
      CHECK(c->identity().vid == 0x1234);
      CHECK(c->max_queue_pairs() == 64);
      CHECK(!c->doorbells_mapped());
    }
  }

  TEST_CASE("attach: a controller that is enabled already is disabled first") {
    const auto s = std::make_shared<script>();
    s->cc = 0x00460061;
    s->csts = 1;
    const auto c = attach(s);
    REQUIRE(c);
    REQUIRE(s->cc_written.size() == 2);
    CHECK((s->cc_written[0] & 1u) == 0);
    CHECK((s->cc_written[1] & 1u) == 1);
  }

  TEST_CASE("attach: never ready -> timed_out by the deadline, and not long after") {
    const auto s = std::make_shared<script>();
    s->never_ready = true;
    const std::uint64_t before = host::steady_clock::now_ns();
    CHECK(attach(s, soon(150)).error() == status(client_status::timed_out));
    CHECK(host::steady_clock::now_ns() - before >= 140'000'000);
    CHECK(host::steady_clock::now_ns() - before < 1'500'000'000);
    CHECK((s->cc & 1u) == 0);
    CHECK(s->mapped.empty());
  }

  TEST_CASE("attach: not ready within CAP.TO -> timed_out, whatever the deadline") {
    const auto s = std::make_shared<script>();
    s->never_ready = true;
    s->cap = (s->cap & ~(0xffull << 24)) | (1ull << 24);  // 500 ms
    const std::uint64_t before = host::steady_clock::now_ns();
    CHECK(attach(s, soon(60'000)).error() == status(client_status::timed_out));
    CHECK(host::steady_clock::now_ns() - before < 5'000'000'000);
  }

  TEST_CASE("attach: CSTS.CFS -> controller_fatal") {
    const auto s = std::make_shared<script>();
    s->fatal_on_enable = true;
    CHECK(attach(s).error() == status(client_status::controller_fatal));
  }

  TEST_CASE("attach: registers that make no sense -> refused") {
    const auto error_of = [](std::uint64_t cap) {
      const auto s = std::make_shared<script>();
      s->cap = cap;
      const status e = attach(s, soon(300)).error();
      CHECK(s->enables == 0);
      return e;
    };
    CHECK(error_of(~std::uint64_t{0}) == status(client_status::protocol_error));
    CHECK(error_of(0) == status(client_status::protocol_error));
    CHECK(error_of((std::uint64_t{10} << 48) | 0xff) == status(client_status::unsupported));  // 4 MiB pages
    CHECK(error_of((std::uint64_t{11} << 32) | 0xff) == status(client_status::unsupported));  // 8 KiB between doorbells
  }

  TEST_CASE("attach: the connection is lost -> disconnected, at once") {
    const auto s = std::make_shared<script>();
    SUBCASE("before") { s->lost = true; }
    SUBCASE("at the first admin command") {
      s->on_command = [s = s.get()](std::uint16_t, const sqe&) -> std::optional<script::answer> {
        s->lost = true;
        return script::answer{{}, 0, true};
      };
    }
    const std::uint64_t before = host::steady_clock::now_ns();
    CHECK(attach(s, soon(30'000)).error() == status(client_status::disconnected));
    CHECK(host::steady_clock::now_ns() - before < 5'000'000'000);
  }

  TEST_CASE("attach: Identify is refused, or never answered -> its status, timed_out") {
    const auto s = std::make_shared<script>();
    bool answer = true;
    s->on_command = [&answer](std::uint16_t, const sqe& c) -> std::optional<script::answer> {
      if (!is_admin(c, admin_opcode::identify)) return std::nullopt;
      return answer ? generic(generic_status::internal_error) : script::answer{{}, 0, true};
    };
    CHECK(attach(s).error() == status(status_code_type::generic, generic_status::internal_error));
    answer = false;
    CHECK(attach(s, soon(100)).error() == status(client_status::timed_out));
    CHECK(s->mapped.empty());
  }

  TEST_CASE("attach: pages of 16 KiB, doorbells 16 bytes apart -> CC.MPS, alignment and offsets follow") {
    const auto s = std::make_shared<script>();
    s->cap |= (std::uint64_t{2} << 48) | (std::uint64_t{2} << 52) | (std::uint64_t{2} << 32);
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->page_bytes() == 16384);
    CHECK(((s->cc >> 7) & 0xfu) == 2);
    CHECK(s->asq % 16384 == 0);
    CHECK(s->acq % 16384 == 0);
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    CHECK(reinterpret_cast<std::uintptr_t>(s->queues.at(1).sq) % 16384 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(s->queues.at(1).cq) % 16384 == 0);
    CHECK(ns->profile().limits.page_bytes == 16384);
  }

  TEST_CASE("max_queue_pairs: what was asked for, what is granted, what may be") {
    const auto s = std::make_shared<script>();
    controller_options options;
    options.queue_pairs = 8;
    s->queues_granted = 2;
    auto c = attach(s, soon(), options);
    REQUIRE(c);
    CHECK(c->max_queue_pairs() == 2);
    auto one = c->create_queue_pair();
    auto two = c->create_queue_pair();
    REQUIRE(one);
    REQUIRE(two);
    CHECK(one->qid() != two->qid());
    CHECK(c->create_queue_pair().error() == status(client_status::queue_full));
    *one = host::queue_pair<exclusive>{};
    CHECK(c->create_queue_pair());
    for (const sqe& a : s->admin_commands)
      if (is_admin(a, admin_opcode::set_features)) CHECK(a.cdw(11) == (7u | (7u << 16)));
  }

  TEST_CASE("namespaces: of every command set, each with its own") {
    const auto s = std::make_shared<script>();
    s->namespaces[1] = 0;
    s->add_kv(2, 16, 4096);
    s->namespaces[5] = 2;
    s->add_kv(9, 255, 1u << 27);
    SUBCASE("all lists") {}
    SUBCASE("no CNS 07h") { s->has_cns07 = false; }
    SUBCASE("KV is not in CNS 02h") { s->kv_in_cns02 = false; }
    const auto c = attach(s);
    REQUIRE(c);
    const auto all = c->namespaces();
    REQUIRE(all);
    REQUIRE(all->size() == 4);
    CHECK((*all)[0].nsid == 1);
    CHECK((*all)[0].csi == 0);
    CHECK((*all)[1].nsid == 2);
    CHECK((*all)[1].is_kv());
    CHECK((*all)[1].format.kvkml == 16);
    CHECK((*all)[1].format.kvvml == 4096);
    CHECK((*all)[2].csi == 2);
    CHECK(!(*all)[2].is_kv());
    CHECK((*all)[3].nsid == 9);
    CHECK((*all)[3].format.kvkml == 255);
  }

  TEST_CASE("namespaces: more than one list long") {
    const auto s = std::make_shared<script>();
    for (std::uint32_t n = 1; n <= 1030; ++n) s->namespaces[n * 3] = 0;
    const auto c = attach(s);
    REQUIRE(c);
    const auto all = c->namespaces(soon(20'000));
    REQUIRE(all);
    CHECK(all->size() == 1024);
    CHECK(all->back().nsid == 3072);
  }

  TEST_CASE("namespaces: two lists that are full together give no more than one") {
    const auto s = std::make_shared<script>();
    s->kv_in_cns02 = false;
    for (std::uint32_t n = 1; n <= 1000; ++n) {
      s->namespaces[2 * n] = 0;
      s->add_kv(2 * n + 1);
    }
    const auto c = attach(s);
    REQUIRE(c);
    const auto all = c->namespaces(soon(20'000));
    REQUIRE(all);
    CHECK(all->size() == 1024);
    CHECK(all->back().nsid == 1025);
  }

  TEST_CASE("active_list: one that does not rise ends there") {
    const auto s = std::make_shared<script>();
    const auto core = host::controller_core::create(std::make_unique<scripted_transport>(s), {}, soon());
    REQUIRE(core);
    s->on_command = [](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (!is_admin(a, admin_opcode::identify)) return std::nullopt;
      identify_active_namespaces list{};
      const std::uint32_t nsids[] = {5, 7, 7, 9};
      std::copy(std::begin(nsids), std::end(nsids), std::begin(list.nsid));
      std::memcpy(reinterpret_cast<void*>(a.dptr().low), &list, sizeof list);
      return script::answer{{}, 0, false};
    };
    const auto got = (*core)->active_list(identify_cns::active_namespaces, command_set_id::nvm, 100, soon());
    REQUIRE(got);
    CHECK(*got == std::vector<std::uint32_t>{5, 7});
  }

  TEST_CASE("poll_event: requests are kept outstanding; what the controller says comes out once") {
    const auto s = std::make_shared<script>();
    s->identity.oaes = 0x100;
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(s->events.size() == 4);
    CHECK(c->poll_event().error() == status(client_status::would_block));
    s->raise_event(0x0004'0002);
    CHECK(s->events.size() == 3);
    const auto e = c->poll_event();
    REQUIRE(e);
    CHECK(e->namespaces_changed());
    CHECK(e->log_page == 4);
    CHECK(s->events.size() == 4);
    CHECK(is_admin(s->admin_commands[s->admin_commands.size() - 2], admin_opcode::get_log_page));
    CHECK(c->poll_event().error() == status(client_status::would_block));
    // One that is refused is not asked for again.
    s->raise_event(0, {status_code_type::command_specific, command_status::aer_limit_exceeded});
    CHECK(c->poll_event().error() == status(client_status::would_block));
    CHECK(s->events.size() == 3);
    CHECK(c->reset(soon()).ok());
    CHECK(s->events.size() == 4);
  }
}
