// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/admin_queue.hpp>
#include <support/attach_scripted.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>

using namespace nkv;
using namespace nkv_test;

TEST_SUITE("host/controller/admin_queue") {
  TEST_CASE("admin: a command that timed out keeps its page; a late answer is nobody else's") {
    const auto s = std::make_shared<script>();
    auto c = attach(s);
    REQUIRE(c);
    std::uint64_t page = 0;
    s->on_command = [&](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (!is_admin(a, admin_opcode::get_features)) return std::nullopt;
      page = a.dptr().low;
      return script::answer{{}, 0, true};
    };
    std::byte data[64];
    sqe ask;
    ask.set_opc(admin_opcode::get_features);
    CHECK(c->admin(ask, {data, sizeof data}, soon(30)).status == status(client_status::timed_out));
    const std::uint64_t kept = page;
    for (int i = 0; i < 40; ++i) {
      CHECK(c->admin(ask, {data, sizeof data}, soon(1)).status.is_client());
      CHECK((page == kept) == (i < 0));
    }
    // Every CID is in quarantine, bar those of event requests.
    CHECK(c->admin(ask, {data, sizeof data}, soon(1)).status == status(client_status::queue_full));
    s->release({}, 5);
    s->on_command = nullptr;
    const completion again = c->admin(ask, {data, sizeof data}, soon());
    CHECK(again.status == status(status_code_type::generic, generic_status::invalid_opcode));
  }

  TEST_CASE("admin: more data than a command's page holds -> bad_argument, nothing is sent") {
    const auto s = std::make_shared<script>();
    const auto c = attach(s);
    REQUIRE(c);
    bool sent = false;
    s->on_command = [&](std::uint16_t, const sqe&) -> std::optional<script::answer> {
      sent = true;
      return std::nullopt;
    };
    std::byte data[4097];
    sqe ask;
    ask.set_opc(admin_opcode::get_features);
    CHECK(c->admin(ask, {data, sizeof data}, soon()).status == status(client_status::bad_argument));
    CHECK(!sent);
    s->on_command = nullptr;
  }
}
