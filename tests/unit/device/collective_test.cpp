// SPDX-License-Identifier: BSD-3-Clause
#include <unit/client/model_namespace.hpp>
#include <unit/device/on_lanes.hpp>

#include <doctest/doctest.h>
#include <nkv/device/collective.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

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

  TEST_CASE("more lanes than room, and some that are never answered: the others go round them") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.decide = [](nkv::kv_opcode, const std::string& key) {
      return key == "lane3" || key == "lane9" ? model_namespace<nkv::shared>::fate::lost
                                              : model_namespace<nkv::shared>::fate::done;
    };
    constexpr std::uint32_t count = 80;
    std::vector<outcome> outcomes(count);
    std::atomic<std::uint32_t> ended{0};
    on_lanes(count, [&](const auto& threads) {
      const lane_key key(threads.rank());
      const auto until = nkv::device::deadline::after_ms(threads.rank() == 0 ? 1500 : 100000);
      outcomes[threads.rank()] = run_each(threads, ns.ref, operation::exist(key.view()), until);
      if (outcomes[threads.rank()].status.is_key_does_not_exist()) ended.fetch_add(1);
    });
    CHECK(ended == count - 2);
    CHECK(outcomes[3].status == status(client_status::timed_out));
    CHECK(outcomes[9].status == status(client_status::timed_out));
    CHECK(ns.ref.queue().outstanding() == 2);
    ns.answer_lost = true;
    for (const std::uint32_t i : {3u, 9u})
      while (!ns.ref.quiesced(outcomes[i].ticket)) std::this_thread::yield();
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("more lanes than room, and no answer to any: those that were sent time out, the others were not sent") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.hold = true;
    constexpr std::uint32_t count = 80;
    const std::uint32_t room = ns.ref.queue().capacity();
    std::vector<outcome> outcomes(count);
    on_lanes(count, [&](const auto& threads) {
      const lane_key key(threads.rank());
      const auto until = nkv::device::deadline::after_ms(threads.rank() == 0 ? 20 : 100000);
      outcomes[threads.rank()] = run_each(threads, ns.ref, operation::exist(key.view()), until);
    });
    std::uint32_t timed_out = 0;
    std::uint32_t full = 0;
    for (const outcome& o : outcomes) {
      if (o.status == status(client_status::timed_out) && o.ticket.valid()) ++timed_out;
      if (o.status == status(client_status::queue_full)) ++full;
    }
    CHECK(timed_out == room);
    CHECK(full == count - room);
    ns.hold = false;
    for (const outcome& o : outcomes)
      while (o.ticket.valid() && !ns.ref.quiesced(o.ticket)) std::this_thread::yield();
    CHECK(ns.ref.queue().outstanding() == 0);
    CHECK(ns.ref.queue().counters().late_completions == room);
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

  TEST_CASE("which keys exist: every bit, whatever the group's size; and a key that cannot be asked for") {
    for (const std::uint32_t count : {1u, 3u, 8u, 70u, 130u}) {
      CAPTURE(count);
      model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
      constexpr std::size_t keys = 150;
      std::vector<lane_key> names;
      for (std::uint32_t i = 0; i < keys; ++i) names.emplace_back(i);
      std::vector<key_view> asked;
      std::vector<std::uint64_t> expected(3, 0);
      std::size_t there = 0;
      for (std::size_t i = 0; i < keys; ++i) {
        asked.push_back(names[i].view());
        if (i * i % 7 > 2) continue;
        ns.values()[names[i].text] = "v";
        expected[i / 64] |= std::uint64_t{1} << i % 64;
        ++there;
      }
      std::vector<std::uint64_t> found(4, ~std::uint64_t{0});
      std::atomic<std::uint32_t> right{0};
      const auto ask = [&](std::size_t words, auto&& judge) {
        right = 0;
        on_lanes(count, [&](const auto& threads) {
          const auto n = nkv::device::exist_all(threads, ns.ref, nkv::span<const key_view>(asked.data(), keys),
                                                nkv::span<std::uint64_t>(found.data(), words), device_soon());
          if (judge(n)) right.fetch_add(1);
        });
        CHECK(right == count);
      };
      // Everybody sees the whole of it.
      ask(4, [&](const auto& n) {
        return n && *n == there && std::equal(expected.begin(), expected.end(), found.begin());
      });
      CHECK(found[3] == ~std::uint64_t{0});
      ask(2, [](const auto& n) { return !n && n.error() == status(client_status::bad_argument); });
      asked[149] = key_view();
      ask(3, [](const auto& n) { return !n && n.error() == status(client_status::bad_argument); });
      asked[149] = text_key("broken");  // an error of the controller's
      ask(3, [](const auto& n) {
        return !n && n.error() == status(nkv::status_code_type::generic, nkv::generic_status::internal_error);
      });
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("the first of many tickets that ends, to all of the group") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.values()["lane3"] = "v";
    ns.decide = [](nkv::kv_opcode, const std::string& key) {
      return key == "lane5" ? model_namespace<nkv::shared>::fate::lost : model_namespace<nkv::shared>::fate::done;
    };
    constexpr std::uint32_t count = 4;
    constexpr std::size_t tickets = 10;
    std::vector<kv_ticket> shared_tickets(tickets);
    std::atomic<std::uint32_t> wrong{0};
    const auto expect = [&wrong](bool good) {
      if (!good) wrong.fetch_add(1);
    };
    on_lanes(count, [&](const auto& threads) {
      const nkv::span<kv_ticket> all(shared_tickets.data(), tickets);
      for (std::size_t i = threads.rank(); i < tickets; i += count) {
        if (i == 1) continue;  // one that is not valid
        const lane_key key(static_cast<std::uint32_t>(i));
        const auto t = ns.ref.submit(operation::exist(key.view(), i));
        expect(t.has_value());
        if (t) shared_tickets[i] = *t;
      }
      std::uint32_t seen = 0;
      for (std::size_t n = 0; n < tickets - 2; ++n) {
        const nkv::any_outcome a = nkv::device::wait_any(threads, ns.ref, all, device_soon());
        expect(a.index < tickets && a.index != 1 && a.index != 5 && (seen >> a.index & 1u) == 0);
        if (a.index >= tickets) return;
        seen |= 1u << a.index;
        expect(a.value.user_tag == a.index && a.value.ok() == (a.index == 3));
        expect(!shared_tickets[a.index].valid());
      }
      // Only the leader's deadline counts.
      const auto late = nkv::device::deadline::after_ms(threads.rank() == 0 ? 2 : 100000);
      nkv::any_outcome a = nkv::device::wait_any(threads, ns.ref, all, late);
      expect(a.index == tickets && a.value.status == status(client_status::timed_out) && shared_tickets[5].valid());
      a = nkv::device::wait_any(threads, ns.ref, all, threads.rank() == 0 ? nkv::device::deadline() : device_soon());
      expect(a.index == tickets && a.value.status == status(client_status::timed_out));
      threads.sync();
      if (threads.rank() == 2) ns.answer_lost = true;
      a = nkv::device::wait_any(threads, ns.ref, all, device_soon());
      expect(a.index == 5 && a.value.status.is_key_does_not_exist());
      a = nkv::device::wait_any(threads, ns.ref, all, device_soon());
      expect(a.index == tickets && a.value.status == status(client_status::stale_ticket));
    });
    CHECK(wrong == 0);
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("tickets of a lost controller end too") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    ns.hold = true;
    std::vector<kv_ticket> tickets(3);
    std::atomic<std::uint32_t> told{0};
    on_lanes(3, [&](const auto& threads) {
      const lane_key key(threads.rank());
      tickets[threads.rank()] = submit_each(threads, ns.ref, operation::remove(key.view())).value_or(kv_ticket{});
      threads.sync();
      if (threads.rank() == 1) ns.fence();
      threads.sync();
      for (int n = 0; n < 3; ++n) {
        const auto a = nkv::device::wait_any(threads, ns.ref, nkv::span<kv_ticket>(tickets.data(), 3), device_soon());
        if (a.index < 3 && a.value.status == status(client_status::outcome_unknown) && a.value.ticket.valid())
          told.fetch_add(1);
      }
    });
    CHECK(told == 9);
  }

  TEST_CASE("submitted without a doorbell, published with one, looked for once and again") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<nkv::shared> ns(encoding);
      ns.values()["lane2"] = "v";
      const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
      std::atomic<std::uint32_t> right{0};
      std::atomic<std::uint32_t> early{0};
      on_lanes(4, [&](const auto& threads) {
        const lane_key key(threads.rank());
        const lane_key other(threads.rank() + 1);
        const operation ops[2] = {operation::exist(key.view(), 1), operation::exist(other.view(), 2)};
        kv_ticket sent[2];
        for (int i = 0; i < 2; ++i)
          sent[i] = submit_each(threads, ns.ref, ops[i], true, nkv::submit_mode::defer).value_or(kv_ticket{});
        if (!(nkv::device::poll_each(threads, ns.ref, sent[0]).status == status(client_status::would_block)))
          early.fetch_add(1);
        threads.sync();
        if (ns.ref.queue().counters().sq_doorbells != rung) early.fetch_add(1);
        nkv::device::ring(threads, ns.ref);
        for (std::uint32_t i = 0; i < 2; ++i) {
          bool open = true;
          const nkv::device::deadline until = device_soon();
          // Everybody looks until all have seen theirs.
          for (outcome o; threads.lowest(open) != threads.size() && !until.expired();) {
            o = nkv::device::poll_each(threads, ns.ref, open ? sent[i] : kv_ticket{});
            if (!open && !(o.status == status(client_status::stale_ticket))) early.fetch_add(1);
            if (!open || o.status == status(client_status::would_block)) continue;
            open = false;
            if (o.user_tag == i + 1 && o.ok() == (threads.rank() + i == 2)) right.fetch_add(1);
          }
        }
      });
      CHECK(right == 8);
      CHECK(early == 0);
      CHECK(ns.ref.queue().counters().sq_doorbells == rung + 1);
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("arrays of keys and values of every length, and Store options, without an operation in memory") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(encoding));
      model_namespace<nkv::shared> ns(encoding);
      constexpr std::uint32_t count = 30;
      std::vector<std::string> names;
      std::vector<std::vector<std::byte>> stored, found;
      for (std::uint32_t i = 0; i < count; ++i) {
        // Long keys where there are any: up to all of 255 bytes.
        const std::size_t most = encoding == key_encoding::payload_head ? 255 : 16;
        names.push_back(std::string(1 + i * (most - 1) / (count - 1), static_cast<char>('A' + i)));
        stored.emplace_back(1 + i * 37, static_cast<std::byte>(i + 1));
        found.emplace_back(2000);
      }
      ns.values()[names[4]] = "there already";
      std::vector<outcome> outcomes(count);
      std::atomic<std::size_t> failed{0};
      on_lanes(8, [&](const auto& threads) {
        const nkv::span<outcome> out(outcomes.data(), count);
        const auto key = [&](std::size_t i) noexcept { return key_view::from_text(names[i].data(), names[i].size()); };
        nkv::store_options only_new;
        only_new.must_not_exist = true;
        failed += run_all(
            threads, ns.ref,
            [&](std::size_t i) noexcept { return operation::store(key(i), ns.memory(stored[i]), only_new); }, out,
            device_soon());
        threads.sync();
        if (threads.rank() == 0) CHECK(outcomes[4].status.sc() == nkv::generic_status::key_exists);
        threads.sync();
        failed += run_all(
            threads, ns.ref,
            [&](std::size_t i) noexcept { return operation::retrieve(key(i), ns.memory(found[i]), {}, i); }, out,
            device_soon());
      });
      CHECK(failed == 8);
      for (std::uint32_t i = 0; i < count; ++i) {
        CAPTURE(i);
        CHECK(outcomes[i].ok());
        CHECK(outcomes[i].user_tag == i);
        CHECK(outcomes[i].length_bytes == (i == 4 ? 13 : stored[i].size()));
        if (i != 4) CHECK(std::equal(stored[i].begin(), stored[i].end(), found[i].begin()));
      }
    }
  }

  TEST_CASE("one List and one Execute of all: page and result are everybody's") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(encoding));
      model_namespace<nkv::exclusive> ns(encoding);
      for (std::uint32_t i = 0; i < 40; ++i) ns.values()["k" + std::to_string(100 + i)] = "value" + std::to_string(i);
      std::vector<std::byte> page(600);
      std::vector<std::byte> work(400);
      std::atomic<std::uint32_t> right{0};
      on_lanes(5, [&](const auto& threads) {
        std::string seen;
        const auto take = [&seen](key_view k) noexcept {
          seen.append(reinterpret_cast<const char*>(k.data()), k.size());
          return seen.size() < 30 * 4;
        };
        // In pages of ten or so, from a key on, and not to the end.
        const outcome listed =
            for_each_key(threads, ns.ref, text_key("k105"), ns.memory(page), page.data(), device_soon(), take);
        std::string expected;
        for (std::uint32_t i = 5; i < 35; ++i) expected += "k" + std::to_string(100 + i);
        if (listed.ok() && seen == expected) right.fetch_add(1);
        seen.clear();
        const outcome whole = for_each_key(threads, ns.ref, key_view(), ns.memory(page), page.data(), device_soon(),
                                           [&seen](key_view k) noexcept {
                                             seen.push_back(static_cast<char>(k[3]));
                                             return true;
                                           });
        if (whole.ok() && seen == "0123456789012345678901234567890123456789") right.fetch_add(1);
        const outcome cramped =
            for_each_key(threads, ns.ref, key_view(), ns.memory(page, 8), page.data(), device_soon(), take);
        if (cramped.status == status(client_status::bad_argument)) right.fetch_add(1);

        // The last thread brings the input.
        const key_view key = text_key("k107");
        const std::size_t at = nkv::execute_input_offset(key);
        if (threads.rank() == 4) work[at] = static_cast<std::byte>('!');
        const outcome ran = run_together(
            threads, ns.ref, operation::execute(7, key, ns.memory(work), work.data(), 1, 100), device_soon());
        const std::size_t from = nkv::execute_result_offset(ns.ref.profile(), key);
        const std::string result(reinterpret_cast<const char*>(work.data()) + from, 6);
        if (ran.ok() && ran.length_bytes == 6 && result == "value7") right.fetch_add(1);
      });
      CHECK(right == 4 * 5);
      CHECK(ns.executed_input == "!");
    }
  }

  TEST_CASE("a listing that fails, or takes too long, does so for all") {
    model_namespace<nkv::shared> ns(key_encoding::payload_head);
    for (std::uint32_t i = 0; i < 400; ++i) ns.values()["k" + std::to_string(1000 + i)] = "v";
    std::vector<std::byte> page(600);
    std::atomic<std::uint32_t> told{0};
    const auto all = [](key_view) noexcept { return true; };
    on_lanes(3, [&](const auto& threads) {
      // The page comes, and then the leader's time is up.
      const auto soon_over = nkv::device::deadline::after_ms(threads.rank() == 0 ? 2 : 100000);
      const auto slow = [&](key_view) noexcept {
        while (threads.rank() == 0 && !soon_over.expired()) std::this_thread::yield();
        return true;
      };
      const outcome late = for_each_key(threads, ns.ref, key_view(), ns.memory(page), page.data(), soon_over, slow);
      if (late.status == status(client_status::timed_out)) told.fetch_add(1);
      threads.sync();
      if (threads.rank() == 0) {
        while (ns.ref.queue().outstanding() != 0) ns.ref.queue().reap(64);
        ns.malformed_list = true;
      }
      const outcome bad = for_each_key(threads, ns.ref, key_view(), ns.memory(page), page.data(), device_soon(), all);
      if (bad.status == status(client_status::protocol_error) || bad.status == status(client_status::truncated))
        told.fetch_add(1);
    });
    CHECK(told == 6);
  }
}
