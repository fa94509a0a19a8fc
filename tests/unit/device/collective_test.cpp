// SPDX-License-Identifier: BSD-3-Clause
#include <unit/client/model_namespace.hpp>

#include <doctest/doctest.h>
#include <nkv/device/collective.hpp>
#include <nkv/device/host_group.hpp>

#include <cstdio>

using namespace nkv_test;
using nkv::client_status;
using nkv::key_encoding;
using nkv::key_view;
using nkv::kv_ticket;
using nkv::operation;
using nkv::outcome;
using nkv::status;

namespace {

nkv::device::deadline device_soon() { return nkv::device::deadline::after_ms(20000); }

/// Runs `lane(group)` on that many threads and waits for them.
template <class Lane>
void on_lanes(std::uint32_t count, const Lane& lane) {
  nkv::device::host_lanes lanes(count);
  std::vector<std::thread> threads;
  for (std::uint32_t rank = 0; rank < count; ++rank)
    threads.emplace_back([&, rank] { lane(nkv::device::host_group(lanes, rank)); });
  for (std::thread& t : threads) t.join();
}

struct lane_key {
  explicit lane_key(std::uint32_t n) { size = static_cast<std::size_t>(std::snprintf(text, sizeof text, "lane%u", n)); }
  [[nodiscard]] key_view view() const { return key_view::from_text(text, size); }
  char text[16];
  std::size_t size;
};

}  // namespace

TEST_SUITE("device/collective") {
  TEST_CASE("each lane its own operation: one doorbell for all, each its own outcome") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      constexpr std::uint32_t count = 24;
      model_namespace<nkv::shared> ns(encoding);
      for (std::uint32_t i = 0; i < count; i += 2) ns.values()[lane_key(i).text] = std::string(i + 1, 'v');
      std::vector<outcome> outcomes(count);
      std::vector<kv_ticket> tickets(count);
      std::vector<std::vector<std::byte>> buffers(count, std::vector<std::byte>(64));
      const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
      on_lanes(count, [&](const auto& threads) {
        const std::uint32_t i = threads.rank();
        const lane_key key(i);
        const auto t = nkv::device::submit_each(threads, ns.ref,
                                                operation::retrieve(key.view(), ns.memory(buffers[i]), {}, 1000 + i));
        if (t) tickets[i] = *t;
        outcomes[i] = nkv::device::wait_each(threads, ns.ref, tickets[i], device_soon());
      });
      CHECK(ns.ref.queue().counters().sq_doorbells == rung + 1);
      std::set<std::uint32_t> cids;
      for (std::uint32_t i = 0; i < count; ++i) {
        CAPTURE(i);
        CHECK(cids.insert(tickets[i].ticket.index).second);
        CHECK(outcomes[i].user_tag == 1000 + i);
        if (i % 2 == 0) {
          CHECK(outcomes[i].ok());
          CHECK(outcomes[i].length_bytes == i + 1);
          CHECK(buffers[i][i] == static_cast<std::byte>('v'));
        } else {
          CHECK(outcomes[i].status.is_key_does_not_exist());
        }
      }
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("lanes without an operation, and one whose key cannot be: the others are sent") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.values()["there"] = "v";
    std::vector<nkv::result<kv_ticket>> sent(6, nkv::result<kv_ticket>(status(client_status::stale_ticket)));
    on_lanes(6, [&](const auto& threads) {
      const std::uint32_t i = threads.rank();
      const key_view key = i == 4 ? key_view() : text_key("there");
      sent[i] = nkv::device::submit_each(threads, ns.ref, operation::exist(key), i % 2 == 0);
      const outcome o = nkv::device::wait_each(threads, ns.ref, sent[i].value_or(kv_ticket{}), device_soon());
      if (o.ok() != (i == 0 || i == 2)) sent[i] = status(client_status::protocol_error);
    });
    for (std::uint32_t i = 0; i < 6; ++i) {
      CAPTURE(i);
      if (i == 0 || i == 2) {
        CHECK(sent[i].has_value());
      } else {
        CHECK(sent[i].error() == status(i == 4 ? client_status::bad_argument : client_status::would_block));
      }
    }
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("a full queue: who finds no room is told, and nothing of it was sent") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.hold = true;
    constexpr std::uint32_t count = 80;
    const std::uint32_t room = ns.ref.queue().capacity();
    REQUIRE(room < count);
    std::atomic<std::uint32_t> with_ticket{0};
    std::atomic<std::uint32_t> full{0};
    std::atomic<std::uint32_t> ended{0};
    on_lanes(count, [&](const auto& threads) {
      const lane_key key(threads.rank());
      const auto t = nkv::device::submit_each(threads, ns.ref, operation::exist(key.view()));
      if (t) with_ticket.fetch_add(1);
      if (!t && t.error() == status(client_status::queue_full)) full.fetch_add(1);
      threads.sync();
      ns.hold = false;
      const outcome o = nkv::device::wait_each(threads, ns.ref, t.value_or(kv_ticket{}), device_soon());
      if (o.status.is_key_does_not_exist()) ended.fetch_add(1);
    });
    CHECK(with_ticket == room);
    CHECK(full == count - room);
    CHECK(ended == room);
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("more lanes than room: run_each goes round until all have ended") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    constexpr std::uint32_t count = 150;
    for (std::uint32_t i = 0; i < count; i += 3) ns.values()[lane_key(i).text] = "v";
    std::vector<outcome> outcomes(count);
    on_lanes(count, [&](const auto& threads) {
      const lane_key key(threads.rank());
      outcomes[threads.rank()] =
          nkv::device::run_each(threads, ns.ref, operation::exist(key.view()), device_soon(), threads.rank() != 7);
    });
    for (std::uint32_t i = 0; i < count; ++i) {
      CAPTURE(i);
      if (i == 7)
        CHECK(outcomes[i].status == status(client_status::would_block));
      else
        CHECK((i % 3 == 0 ? outcomes[i].ok() : outcomes[i].status.is_key_does_not_exist()));
    }
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("a deadline: tickets stay with wait_each, run_each puts the commands into quarantine") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.hold = true;
    std::vector<outcome> first(4), second(4), third(4);
    std::vector<std::byte> value(8);
    on_lanes(4, [&](const auto& threads) {
      const std::uint32_t i = threads.rank();
      const lane_key key(i);
      const auto t = nkv::device::submit_each(threads, ns.ref, operation::exist(key.view()));
      const auto late = nkv::device::deadline::after_ms(i == 0 ? 3 : 100000);  // the leader's counts
      first[i] = nkv::device::wait_each(threads, ns.ref, t.value_or(kv_ticket{}), late);
      const auto later = nkv::device::deadline::after_ms(i == 0 ? 3 : 100000);
      const lane_key other(100 + i);
      second[i] = nkv::device::run_each(threads, ns.ref, operation::store(other.view(), ns.memory(value)), later);
      threads.sync();
      if (i == 0) ns.hold = false;
      third[i] = nkv::device::wait_each(threads, ns.ref, t.value_or(kv_ticket{}), device_soon());
    });
    for (std::uint32_t i = 0; i < 4; ++i) {
      CAPTURE(i);
      CHECK(first[i].status == status(client_status::timed_out));
      CHECK(first[i].ticket.valid());
      CHECK(second[i].status == status(client_status::outcome_unknown));
      CHECK(third[i].status.is_key_does_not_exist());
    }
    for (std::uint32_t i = 0; i < 4; ++i)
      while (!ns.ref.quiesced(second[i].ticket)) std::this_thread::yield();
    CHECK(ns.ref.queue().outstanding() == 0);
    CHECK(ns.ref.queue().counters().late_completions == 4);
  }

  TEST_CASE("a lost controller: everybody is told, nobody waits") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.hold = true;
    std::vector<outcome> under_way(5), after(5);
    on_lanes(5, [&](const auto& threads) {
      const lane_key key(threads.rank());
      const auto t = nkv::device::submit_each(threads, ns.ref, operation::remove(key.view()));
      threads.sync();
      if (threads.rank() == 2) ns.fence();
      threads.sync();
      under_way[threads.rank()] = nkv::device::wait_each(threads, ns.ref, t.value_or(kv_ticket{}), device_soon());
      after[threads.rank()] = nkv::device::run_each(threads, ns.ref, operation::exist(key.view()), device_soon());
    });
    for (const outcome& o : under_way) CHECK(o.status == status(client_status::outcome_unknown));
    for (const outcome& o : after) CHECK(o.status == status(client_status::disconnected));
  }

  TEST_CASE("one operation of all: the leader's outcome is everybody's, over an exclusive queue too") {
    model_namespace<nkv::exclusive> ns(key_encoding::inline_cdw);
    ns.values()["k"] = std::string(5000, 'x');
    std::vector<std::byte> buffer(6000);
    std::vector<outcome> outcomes(6);
    std::atomic<std::uint32_t> right{0};
    on_lanes(6, [&](const auto& threads) {
      outcomes[threads.rank()] = nkv::device::run_together(
          threads, ns.ref, operation::retrieve(text_key("k"), ns.memory(buffer), {}, 77), device_soon());
      if (buffer[4999] == static_cast<std::byte>('x')) right.fetch_add(1);
      threads.sync();
      const outcome missing =
          nkv::device::run_together(threads, ns.ref, operation::exist(text_key("none")), device_soon());
      if (missing.status.is_key_does_not_exist()) right.fetch_add(1);
    });
    for (const outcome& o : outcomes) {
      CHECK(o.ok());
      CHECK(o.length_known);
      CHECK(o.length_bytes == 5000);
      CHECK(o.user_tag == 77);
    }
    CHECK(right == 12);
  }

  TEST_CASE("many operations in rounds, with how many failed") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    constexpr std::size_t count = 100;
    std::vector<lane_key> keys;
    for (std::uint32_t i = 0; i < count; ++i) keys.emplace_back(i);
    for (std::size_t i = 0; i < count; ++i)
      if (i % 10 != 0) ns.values()[keys[i].text] = "v";
    std::vector<operation> operations;
    for (const lane_key& k : keys) operations.push_back(operation::exist(k.view()));
    std::vector<outcome> outcomes(count);
    std::atomic<std::size_t> failed{0};
    on_lanes(8, [&](const auto& threads) {
      failed += nkv::device::run_all(threads, ns.ref, nkv::span<const operation>(operations.data(), count),
                                     nkv::span<outcome>(outcomes.data(), count), device_soon());
    });
    CHECK(failed == 8 * 10);
    for (std::size_t i = 0; i < count; ++i) CHECK(outcomes[i].ok() == (i % 10 != 0));
  }

  TEST_CASE("the longest prefix, over every length; and an error in it") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    std::vector<lane_key> names;
    for (std::uint32_t i = 0; i < 20; ++i) names.emplace_back(i);
    std::vector<key_view> keys;
    for (const lane_key& n : names) keys.push_back(n.view());
    const nkv::span<const key_view> all(keys.data(), keys.size());
    for (std::size_t there = 0; there <= keys.size(); ++there) {
      ns.values().clear();
      for (std::size_t i = 0; i < there; ++i) ns.values()[names[i].text] = "v";
      if (there + 2 < keys.size()) ns.values()[names[there + 2].text] = "beyond the gap";
      std::atomic<std::size_t> sum{0};
      on_lanes(8, [&](const auto& threads) {
        const auto n = nkv::device::longest_prefix(threads, ns.ref, all, device_soon());
        sum += n ? *n : 1000;
      });
      CHECK(sum == 8 * there);
    }
    keys[13] = key_view();
    std::atomic<std::uint32_t> told{0};
    for (std::size_t i = 0; i < keys.size(); ++i) ns.values()[names[i].text] = "v";
    on_lanes(8, [&](const auto& threads) {
      const auto n = nkv::device::longest_prefix(threads, ns.ref, all, device_soon());
      if (!n && n.error() == status(client_status::bad_argument)) told.fetch_add(1);
    });
    CHECK(told == 8);
  }
}
