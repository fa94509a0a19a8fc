// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/kv_namespace.hpp>
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

TEST_SUITE("host/controller/kv_namespace") {
  TEST_CASE("open_namespace: only KV ones, known by the CSI in CNS 03h") {
    const auto s = std::make_shared<script>();
    s->namespaces[1] = 0;
    s->add_kv(2);
    s->kv[1] = s->kv[2];  // a target that answers CNS 05h for what is not KV
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->open_namespace(1).error() == status(client_status::wrong_command_set));
    CHECK(c->open_namespace(3).error() == status(client_status::not_found));
    CHECK(c->open_namespace(0).error() == status(client_status::not_found));
    CHECK(c->open_namespace(0xffffffff).error() == status(client_status::not_found));
    CHECK(s->io_commands.empty());
    CHECK(s->created.empty());
    const auto ns = c->open_namespace(2);
    REQUIRE(ns);
    CHECK(ns->nsid() == 2);
  }

  TEST_CASE("open_namespace: no CNS 03h -> the KV command set's own list tells; neither -> refused") {
    const auto s = std::make_shared<script>();
    s->namespaces[1] = 0;
    s->add_kv(2);
    s->has_cns03 = false;
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->open_namespace(2));
    CHECK(c->open_namespace(1).error() == status(client_status::wrong_command_set));
    s->has_cns07 = false;
    CHECK(c->open_namespace(2).error() == status(client_status::wrong_command_set));
  }

  TEST_CASE("open_namespace: two pages, no SGLs, formats counted from 1 -> the KV SSD model, and its ways") {
    const auto s = std::make_shared<script>();
    s->add_kv(1, 16, 4096);
    s->identity.mdts = 1;
    s->identity.sgls = 0;
    s->kv[1].nkvf = 1;
    const auto c = attach(s);
    REQUIRE(c);
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    CHECK_FALSE(ns->profile().limits.prp_list);
    CHECK_FALSE(ns->profile().quirks.reports_true_length);
    CHECK_FALSE(ns->profile().quirks.list_continues);
    CHECK(ns->profile().quirks.list_padding == list_padding::as_found);
    CHECK(ns->profile().quirks.dropped_store_options == 0x38);
    // Not by the half of it.
    s->identity.mdts = 2;
    const auto more = attach(s);
    REQUIRE(more);
    const auto other = more->open_namespace(1);
    REQUIRE(other);
    CHECK(other->profile().limits.prp_list);
    CHECK(other->profile().quirks.reports_true_length);
    s->identity.mdts = 1;
    s->kv[1].nkvf = 0;
    const auto counted = attach(s);
    REQUIRE(counted);
    const auto standard = counted->open_namespace(1);
    REQUIRE(standard);
    CHECK_FALSE(standard->profile().limits.prp_list);
    CHECK(standard->profile().quirks.reports_true_length);
  }

  TEST_CASE("open_namespace: the profile is what Identify says") {
    const auto s = std::make_shared<script>();
    s->add_kv(1, 16, 123456);
    s->identity.mdts = 1;
    s->identity.sgls = 0;
    const auto c = attach(s);
    REQUIRE(c);
    auto ns = c->open_namespace(1);
    REQUIRE(ns);
    const namespace_profile& p = ns->profile();
    CHECK(p.nsid == 1);
    CHECK(p.limits.max_value_bytes == 123456);
    CHECK(p.limits.max_transfer_bytes == 8192);
    CHECK(p.limits.max_key_bytes == 16);
    CHECK(!p.limits.sgl);
    CHECK(p.quirks.encoding == key_encoding::inline_cdw);
    CHECK(p.quirks.dropped_store_options == 0x38);
    // Nothing that does not fit is sent.
    const std::size_t sent = s->io_commands.size();
    std::vector<std::byte> value(8193);
    CHECK(ns->store(key_view::from_text("k"), {value.data(), 8193}).status == status(client_status::value_too_large));
    store_options ttl;
    ttl.ttl_s = 5;
    CHECK(ns->store(key_view::from_text("k"), {value.data(), 1}, soon(), ttl).status ==
          status(client_status::unsupported));
    CHECK(s->io_commands.size() == sent);
    s->kv[1].vendor[0] = 1;
    ns = c->open_namespace(1);
    REQUIRE(ns);
    CHECK(ns->profile().quirks.dropped_store_options == 0);
  }

  TEST_CASE("open_namespace: no key format -> protocol_error; the format that counts is the one in use") {
    const auto s = std::make_shared<script>();
    s->add_kv(1, 0);
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->open_namespace(1).error() == status(client_status::protocol_error));
    s->kv[1].kvfc = 3;
    s->kv[1].kvf[3] = {8, 0, 0, 77, 0, {}};
    s->kv[1].kvf[0] = {16, 0, 0, 99, 0, {}};
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    CHECK(ns->profile().limits.max_key_bytes == 8);
    CHECK(ns->profile().limits.max_value_bytes == 77);
  }

  TEST_CASE("a late completion: the buffer given back stays as the caller left it, the CID comes home") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    auto ns = c->open_namespace(1);
    REQUIRE(ns);
    std::uint64_t target_buffer = 0;
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      target_buffer = a.dptr().low;
      return script::answer{{}, 0, true};
    };
    std::byte mine[64];
    std::memset(mine, 0x11, sizeof mine);
    const key_view k = key_view::from_text("k");
    const outcome o = ns->retrieve(k, {mine, sizeof mine}, soon(30));
    CHECK(o.status == status(client_status::timed_out));
    const std::uint64_t first_buffer = target_buffer;
    // The next operation does not meet the memory that the first may still write.
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      target_buffer = a.dptr().low;
      std::memset(reinterpret_cast<void*>(a.dptr().low), 0x22, 8);
      return script::answer{{}, 8, false};
    };
    const outcome second = ns->retrieve(k, {mine, sizeof mine}, soon());
    CHECK(second.ok());
    CHECK(second.length_bytes == 8);
    CHECK(target_buffer != first_buffer);
    CHECK(mine[0] == std::byte{0x22});
    CHECK(mine[7] == std::byte{0x22});
    CHECK(mine[8] == std::byte{0x11});
    // Now the target writes what it owed.
    std::memset(reinterpret_cast<void*>(first_buffer), 0x33, 64);
    s->release({}, 64);
    for (const std::byte b : mine) CHECK(b != std::byte{0x33});
    CHECK(ns->queue().ref().outstanding() == 1);
    CHECK(ns->retrieve(k, {mine, sizeof mine}, soon()).ok());
    CHECK(ns->queue().ref().outstanding() == 0);
    CHECK(ns->queue().ref().counters().late_completions == 1);
    CHECK(s->mapped.size() == 3);  // admin, queue, staging: the first staging buffer was given back
    CHECK(mine[0] == std::byte{0x22});
  }

  TEST_CASE("a Store that timed out -> outcome_unknown; one that was never sent is not") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    s->on_command = [](std::uint16_t qid, const sqe&) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      return script::answer{{}, 0, true};
    };
    const std::byte v[4]{};
    const key_view k = key_view::from_text("k");
    CHECK(ns->store(k, {v, 4}, soon(30)).status == status(client_status::outcome_unknown));
    CHECK(ns->remove(k, soon(30)).status == status(client_status::outcome_unknown));
    CHECK(ns->exist(k, soon(30)).status == status(client_status::timed_out));
    s->lost = true;
    CHECK(c->check() == status(client_status::disconnected));
    CHECK(ns->store(k, {v, 4}, soon(30)).status == status(client_status::disconnected));
  }

  TEST_CASE("plain memory: more than may be staged -> value_too_large") {
    const auto s = std::make_shared<script>();
    s->add_kv(1, 16, 8u << 20);
    const auto c = attach(s);
    REQUIRE(c);
    host::namespace_options options;
    options.staging_bytes = 8192;
    const auto ns = c->open_namespace(1, options);
    REQUIRE(ns);
    const std::vector<std::byte> value(8193);
    CHECK(ns->store(key_view::from_text("k"), {value.data(), value.size()}).status ==
          status(client_status::value_too_large));
    CHECK(c->statistics().staged_in_bytes == 0);
  }

  TEST_CASE("plain memory: values are copied, counted, and of any length that fits") {
    const auto s = std::make_shared<script>();
    s->add_kv(1, 16, 8u << 20);
    const auto c = attach(s);
    REQUIRE(c);
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    std::vector<std::byte> stored;
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      const sgl_descriptor block = a.dptr().sgl1();
      if (a.opc() == 1) {
        const auto* const from = reinterpret_cast<const std::byte*>(block.address);
        stored.assign(from, from + a.cdw(10));
        return script::answer{};
      }
      if (!stored.empty() && a.cdw(10) != 0)
        std::memcpy(reinterpret_cast<void*>(block.address), stored.data(),
                    std::min<std::size_t>(a.cdw(10), stored.size()));
      return script::answer{{}, static_cast<std::uint32_t>(stored.size()), false};
    };
    const key_view k = key_view::from_text("k");
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, std::size_t{3} << 20}) {
      std::vector<std::byte> value(n);
      for (std::size_t i = 0; i < n; ++i) value[i] = static_cast<std::byte>(i * 7);
      const auto before = c->statistics();
      CHECK(ns->store(k, {value.data(), n}).ok());
      CHECK(stored == value);
      const auto all = ns->retrieve_all(k);
      REQUIRE(all);
      CHECK(*all == value);
      const auto after = c->statistics();
      CHECK(after.staged_in_bytes - before.staged_in_bytes == n);
      CHECK(after.staged_out_bytes - before.staged_out_bytes == n);
      CHECK(after.retries - before.retries == (n > (1 << 20) ? 1 : 0));
      std::vector<std::byte> shorter(n / 2, std::byte{0xee});
      const outcome o = ns->retrieve(k, {shorter.data(), shorter.size()});
      CHECK(o.length_bytes == n);
      if (n > 1) {
        CHECK(o.status == status(client_status::value_too_large));
        CHECK(std::all_of(shorter.begin(), shorter.end(), [](std::byte b) { return b == std::byte{0xee}; }));
      }
    }
    std::vector<std::byte> big((8u << 20) + 1);
    CHECK(ns->store(k, {big.data(), big.size()}).status == status(client_status::value_too_large));
    CHECK(ns->store(key_view{}, {big.data(), 1}).status == status(client_status::bad_argument));
    CHECK(ns->retrieve(key_view::from_text("seventeen bytes!!"), {big.data(), 1}).status ==
          status(client_status::bad_argument));
  }

  TEST_CASE(
      "for_each_key: a listing that never ends -> timed_out; one in one piece is asked for again with more room") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    host::namespace_options o;
    o.encoding = key_encoding::inline_cdw;
    const auto endless = c->open_namespace(1, o);
    REQUIRE(endless);
    std::uint32_t next = 0;
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0 || a.opc() != 0x06) return std::nullopt;
      const std::uint32_t page[] = {2, 4u | (next << 16), next, 4u | ((next + 1) << 16), next + 1};
      next += 2;
      std::memcpy(reinterpret_cast<void*>(a.dptr().low), page, sizeof page);
      return script::answer{};
    };
    unsigned seen = 0;
    const auto each = [&seen](key_view) { return ++seen != 0; };
    CHECK(endless->for_each_key({}, each, soon(50)).status == status(client_status::timed_out));
    CHECK(seen > 2);

    o.quirks = quirks::rados_nkv_forwarder();
    o.quirks->encoding = key_encoding::inline_cdw;
    const auto whole = c->open_namespace(1, o);
    REQUIRE(whole);
    std::vector<std::uint32_t> rooms;
    s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
      if (qid == 0 || a.opc() != 0x06) return std::nullopt;
      rooms.push_back(a.cdw(10));
      const std::uint32_t page[] = {1, 2u | ('a' << 16) | ('b' << 24)};
      std::memcpy(reinterpret_cast<void*>(a.dptr().low), page, sizeof page);
      return script::answer{{}, 100'000, false};
    };
    seen = 0;
    CHECK(whole->for_each_key({}, each, soon()).ok());
    CHECK(seen == 1);
    CHECK(rooms == std::vector<std::uint32_t>{65536, 100'000});
  }
}
