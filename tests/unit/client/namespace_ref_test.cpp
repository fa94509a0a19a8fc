// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/model_namespace.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

using namespace nkv;
using nkv_test::model_namespace;
using nkv_test::soon;
using nkv_test::text_key;

namespace {

/// Does something whenever somebody waits.
struct hooked_clock {
  static inline std::uint64_t looks = 0;
  static inline std::function<void()> at_relax;
  static std::uint64_t now_ns() noexcept { return ++looks; }
  static void relax(std::uint32_t) noexcept { at_relax(); }
};

}  // namespace

TEST_SUITE("client/namespace_ref") {
  TEST_CASE_TEMPLATE("store, retrieve, exist, delete: in both encodings", Sharing, exclusive, shared) {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<Sharing> ns(encoding);
      std::vector<std::byte> value(5000, std::byte{7});
      std::vector<std::byte> buffer(5000);
      const key_view k = text_key("a key");
      CHECK(ns.ref.exist(k, soon()).status.is_key_does_not_exist());
      CHECK(ns.ref.retrieve(k, ns.memory(buffer), soon()).status.is_key_does_not_exist());
      CHECK(ns.ref.store(k, ns.memory(value), soon()).ok());
      CHECK(ns.ref.exist(k, soon()).ok());
      const outcome o = ns.ref.retrieve(k, ns.memory(buffer), soon());
      CHECK(o.ok());
      CHECK(o.length_known);
      CHECK(o.length_bytes == 5000);
      CHECK(buffer == value);
      CHECK(ns.ref.remove(k, soon()).ok());
      CHECK(ns.ref.exist(k, soon()).status.is_key_does_not_exist());
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("retrieve into a short buffer -> value_too_large with the length, however the target says it") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<exclusive> ns(encoding);
      std::vector<std::byte> value(100, std::byte{1});
      std::vector<std::byte> buffer(99);
      REQUIRE(ns.ref.store(text_key("k"), ns.memory(value), soon()).ok());
      outcome o = ns.ref.retrieve(text_key("k"), ns.memory(buffer), soon());
      CHECK(o.status == status(client_status::value_too_large));
      CHECK((o.length_known && o.length_bytes == 100));
      // A target that answers 85h and gives no length.
      ns.answer_short_with_85 = true;
      o = ns.ref.retrieve(text_key("k"), ns.memory(buffer), soon());
      CHECK(o.status == status(client_status::value_too_large));
      CHECK_FALSE(o.length_known);
    }
  }

  TEST_CASE("a target that reports no length: what came is all that is known") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw,
                                  [](namespace_profile& p) { p.quirks.reports_true_length = false; });
    ns.reports_length = false;
    std::vector<std::byte> value(100, std::byte{1});
    std::vector<std::byte> buffer(99);
    REQUIRE(ns.ref.store(text_key("k"), ns.memory(value), soon()).ok());
    const outcome o = ns.ref.retrieve(text_key("k"), ns.memory(buffer), soon());
    CHECK(o.ok());
    CHECK_FALSE(o.length_known);
  }

  TEST_CASE("zero-length value: stored and retrieved as such") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<exclusive> ns(encoding);
      REQUIRE(ns.ref.store(text_key("empty"), {}, soon()).ok());
      std::vector<std::byte> buffer(10, std::byte{9});
      const outcome o = ns.ref.retrieve(text_key("empty"), ns.memory(buffer), soon());
      CHECK(o.ok());
      CHECK((o.length_known && o.length_bytes == 0));
      CHECK(buffer[0] == std::byte{9});
      CHECK(ns.ref.retrieve(text_key("empty"), {}, soon()).ok());
    }
  }

  TEST_CASE("refused before the doorbell: nothing rung, no CID lost") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<exclusive> ns(encoding, [](namespace_profile& p) {
        p.limits.max_value_bytes = 1000;
        p.limits.max_key_bytes = 20;
      });
      std::vector<std::byte> big(1001);
      const std::string long_key(21, 'k');
      const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
      CHECK(ns.ref.store(key_view{}, ns.memory(big, 5), soon()).status == status(client_status::bad_argument));
      CHECK(ns.ref.store(key_view::from_text(long_key), ns.memory(big, 5), soon()).status ==
            status(client_status::bad_argument));
      CHECK(ns.ref.store(text_key("k"), ns.memory(big), soon()).status == status(client_status::value_too_large));
      CHECK(
          ns.ref.store(text_key("k"), ns.memory(big, 5), soon(), {.must_exist = true, .must_not_exist = true}).status ==
          status(client_status::bad_argument));
      CHECK(ns.ref.store(text_key("k"), ns.memory(big, 5), soon(), {.touch = true}).status ==
            status(client_status::bad_argument));
      CHECK(ns.ref.list({}, ns.memory(big, 3), big.data(), soon()).status == status(client_status::bad_argument));
      CHECK(ns.ref.list({}, ns.memory(big), nullptr, soon()).status == status(client_status::bad_argument));
      CHECK(ns.ref.submit(operation::store(text_key("k"), ns.memory(big))).error() ==
            status(client_status::value_too_large));
      CHECK(ns.ref.queue().counters().sq_doorbells == rung);
      CHECK(ns.ref.queue().outstanding() == 0);
      CHECK(ns.ref.store(text_key("k"), ns.memory(big, 1000), soon()).ok());
    }
  }

  TEST_CASE("read-only and dropped options: refused with the right status") {
    model_namespace<exclusive> ns(key_encoding::payload_head,
                                  [](namespace_profile& p) { p.quirks.dropped_store_options = 0x38; });
    std::vector<std::byte> value(4);
    CHECK(ns.ref.store(text_key("k"), ns.memory(value), soon(), {.ttl_s = 5}).status ==
          status(client_status::unsupported));
    CHECK(ns.ref.store(text_key("k"), ns.memory(value), soon(), {.ephemeral = true}).status ==
          status(client_status::unsupported));
    CHECK(ns.ref.store(text_key("k"), ns.memory(value), soon(), {.must_not_exist = true}).ok());
    model_namespace<exclusive> ro(key_encoding::inline_cdw, [](namespace_profile& p) { p.read_only = true; });
    const status read_only(status_code_type::command_specific, command_status::namespace_read_only);
    CHECK(ro.ref.store(text_key("k"), ro.memory(value), soon()).status == read_only);
    CHECK(ro.ref.remove(text_key("k"), soon()).status == read_only);
    CHECK(ro.ref.exist(text_key("k"), soon()).status.is_key_does_not_exist());
  }

  TEST_CASE("long keys, a target that reads no head of Exist: asked by a Retrieve of one byte; Delete unsupported") {
    model_namespace<exclusive> ns(key_encoding::payload_head,
                                  [](namespace_profile& p) { p.quirks.reads_head_without_data_direction = false; });
    const std::string name(200, 'x');
    const key_view k = key_view::from_text(name);
    std::vector<std::byte> value(3000);
    CHECK(ns.ref.exist(k, soon()).status.is_key_does_not_exist());
    REQUIRE(ns.ref.store(k, ns.memory(value), soon()).ok());
    ns.opcodes.clear();
    const outcome o = ns.ref.exist(k, soon());
    CHECK(o.ok());
    CHECK(o.length_bytes == 3000);
    CHECK(ns.opcodes == std::vector<std::uint8_t>{0x02});
    CHECK(ns.ref.remove(k, soon()).status == status(client_status::unsupported));
    model_namespace<exclusive> newer(key_encoding::payload_head,
                                     [](namespace_profile& p) { p.quirks.reads_head_without_data_direction = true; });
    REQUIRE(newer.ref.store(k, newer.memory(value), soon()).ok());
    newer.opcodes.clear();
    CHECK(newer.ref.exist(k, soon()).ok());
    CHECK(newer.ref.remove(k, soon()).ok());
    CHECK(newer.opcodes == std::vector<std::uint8_t>{0x14, 0x10});
  }

  TEST_CASE(
      "a Store that times out -> outcome_unknown; a Retrieve -> timed_out; quiesced only after the late completion") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(64);
    ns.hold = true;
    const outcome s = ns.ref.store(text_key("k"), ns.memory(value), host::deadline::after_ms(5));
    CHECK(s.status == status(client_status::outcome_unknown));
    const outcome r = ns.ref.retrieve(text_key("k"), ns.memory(value), host::deadline::after_ms(5));
    CHECK(r.status == status(client_status::timed_out));
    // Not one of the plain commands, which have a way of their own.
    const outcome o =
        ns.ref.store(text_key("k"), ns.memory(value), host::deadline::after_ms(5), {.must_not_exist = true});
    CHECK(o.status == status(client_status::outcome_unknown));
    CHECK_FALSE(ns.ref.quiesced(s.ticket));
    CHECK_FALSE(ns.ref.quiesced(r.ticket));
    CHECK_FALSE(ns.ref.quiesced(o.ticket));
    CHECK(ns.ref.queue().outstanding() == 3);
    ns.hold = false;
    const host::deadline d = soon();
    const auto all_quiesced = [&] {
      return ns.ref.quiesced(s.ticket) && ns.ref.quiesced(r.ticket) && ns.ref.quiesced(o.ticket);
    };
    while (!all_quiesced() && !d.expired()) std::this_thread::yield();
    CHECK(all_quiesced());
    CHECK(ns.ref.queue().outstanding() == 0);
    CHECK(ns.ref.queue().counters().late_completions == 3);
  }

  TEST_CASE_TEMPLATE("a call that waits for room in a queue that is lost ends at once", Sharing, exclusive, shared) {
    model_namespace<Sharing> ns(key_encoding::inline_cdw);
    ns.hold = true;
    while (ns.ref.queue().has_room()) REQUIRE(ns.ref.submit(operation::exist(text_key("k"))).has_value());
    unsigned waits = 0;
    hooked_clock::at_relax = [&] {
      if (++waits == 3) ns.ref.queue().set_liveness(queue_liveness::lost);
    };
    const auto until = deadline<hooked_clock>::after_ns(1'000'000);
    CHECK(ns.ref.run(operation::exist(text_key("k")), until).status == status(client_status::disconnected));
    CHECK(waits == 3);
    CHECK_FALSE(until.expired());
  }

  TEST_CASE("a lost controller: changing operations are unknown, the others disconnected; nothing more is sent") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(64);
    ns.hold = true;
    const result<kv_ticket> s = ns.ref.submit(operation::store(text_key("k"), ns.memory(value)));
    const result<kv_ticket> e = ns.ref.submit(operation::exist(text_key("k")));
    REQUIRE((s.has_value() && e.has_value()));
    ns.ref.queue().set_liveness(queue_liveness::lost);
    CHECK(ns.ref.poll(*s).status == status(client_status::outcome_unknown));
    CHECK(ns.ref.poll(*e).status == status(client_status::disconnected));
    CHECK_FALSE(ns.ref.quiesced(*s));
    CHECK(ns.ref.store(text_key("k"), ns.memory(value), soon()).status == status(client_status::disconnected));
    CHECK(ns.ref.exist(text_key("k"), soon()).status == status(client_status::disconnected));
    ns.ref.queue().set_liveness(queue_liveness::fenced);
    CHECK(ns.ref.quiesced(*s));
  }

  TEST_CASE_TEMPLATE("tickets: deferred, rung once, polled in any order; an outcome is given once", Sharing, exclusive,
                     shared) {
    model_namespace<Sharing> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(16);
    std::vector<kv_ticket> tickets;
    const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
    for (int i = 0; i < 20; ++i) {
      const std::string name = "k" + std::to_string(i);
      const result<kv_ticket> t = ns.ref.submit(
          operation::store(key_view::from_text(name), ns.memory(value), {}, 100u + static_cast<unsigned>(i)),
          submit_mode::defer);
      REQUIRE(t.has_value());
      tickets.push_back(*t);
    }
    CHECK(ns.ref.queue().counters().sq_doorbells == rung);
    ns.ref.ring();
    CHECK(ns.ref.queue().counters().sq_doorbells == rung + 1);
    for (std::size_t i = tickets.size(); i-- > 0;) {
      const outcome o = ns.ref.wait(tickets[i], soon());
      CHECK(o.ok());
      CHECK(o.user_tag == 100 + i);
      CHECK(ns.ref.poll(tickets[i]).status == status(client_status::stale_ticket));
    }
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("wait that times out leaves the operation under way") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    ns.hold = true;
    const result<kv_ticket> t = ns.ref.submit(operation::exist(text_key("k")));
    REQUIRE(t.has_value());
    CHECK(ns.ref.wait(*t, host::deadline::after_ms(2)).status == status(client_status::timed_out));
    ns.hold = false;
    CHECK(ns.ref.wait(*t, soon()).status.is_key_does_not_exist());
  }

  TEST_CASE("exist of many keys: a bit each, at every size around a word and around the queue") {
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{512}}) {
      model_namespace<exclusive> ns(key_encoding::inline_cdw);
      std::vector<std::string> names;
      std::vector<key_view> keys;
      for (std::size_t i = 0; i < count; ++i) names.push_back("key " + std::to_string(i));
      for (std::size_t i = 0; i < count; ++i) {
        keys.push_back(key_view::from_text(names[i]));
        if (i % 3 == 0) {
          REQUIRE(ns.ref.store(keys[i], {}, soon()).ok());
        }
      }
      std::vector<std::uint64_t> bits((count + 63) / 64, 0xaaaaaaaaaaaaaaaaull);
      CHECK(ns.ref.exist(keys, bits, soon()).ok());
      for (std::size_t i = 0; i < count; ++i) REQUIRE(((bits[i / 64] >> (i % 64)) & 1) == (i % 3 == 0 ? 1u : 0u));
      CHECK(ns.ref.queue().outstanding() == 0);
      if (count > 0) {
        std::vector<std::uint64_t> shorter(bits.size() - 1);
        CHECK(ns.ref.exist(keys, shorter, soon()) == status(client_status::bad_argument));
      }
    }
  }

  TEST_CASE("exist of many keys: a bad one -> refused before any is sent; an error -> reported, nothing left behind") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<key_view> keys(100, text_key("k"));
    std::vector<std::uint64_t> bits(2);
    keys[70] = key_view{};
    const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
    CHECK(ns.ref.exist(keys, bits, soon()) == status(client_status::bad_argument));
    CHECK(ns.ref.queue().counters().sq_doorbells == rung);
    keys[70] = text_key("broken");
    CHECK(ns.ref.exist(keys, bits, soon()) == status(status_code_type::generic, generic_status::internal_error));
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("longest_prefix: at the start, in the middle, at the end; the rest is not asked") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::string> names;
    std::vector<key_view> keys;
    for (int i = 0; i < 300; ++i) names.push_back("block" + std::to_string(i));
    for (const std::string& n : names) keys.push_back(key_view::from_text(n));
    CHECK(*ns.ref.longest_prefix(keys, soon()) == 0);
    for (int i = 0; i < 100; ++i) REQUIRE(ns.ref.store(keys[static_cast<std::size_t>(i)], {}, soon()).ok());
    REQUIRE(ns.ref.store(keys[102], {}, soon()).ok());
    ns.opcodes.clear();
    CHECK(*ns.ref.longest_prefix(keys, soon()) == 100);
    CHECK(ns.opcodes.size() < 200);
    CHECK(*ns.ref.longest_prefix({keys.data(), 100}, soon()) == 100);
    CHECK(*ns.ref.longest_prefix({}, soon()) == 0);
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("for_each_key: every key once over small pages, in both encodings") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<exclusive> ns(encoding);
      std::vector<std::string> names;
      for (int i = 0; i < 128; ++i) names.push_back("list" + std::to_string(1000 + i));
      for (const std::string& n : names) REQUIRE(ns.ref.store(key_view::from_text(n), {}, soon()).ok());
      std::vector<std::byte> page(key_walk::least_page_bytes(ns.ref.profile()));
      std::vector<std::string> got;
      const auto take = [&got](key_view k) {
        got.emplace_back(reinterpret_cast<const char*>(k.data()), k.size());
        return true;
      };
      REQUIRE(ns.ref.for_each_key({}, ns.memory(page), page.data(), soon(), take).ok());
      CHECK(got == names);
      got.clear();
      REQUIRE(ns.ref.for_each_key(key_view::from_text(names[100]), ns.memory(page), page.data(), soon(), take).ok());
      CHECK(got == std::vector<std::string>(names.begin() + 100, names.end()));
      got.clear();
      int count = 0;
      REQUIRE(
          ns.ref.for_each_key({}, ns.memory(page), page.data(), soon(), [&](key_view) { return ++count < 10; }).ok());
      CHECK(count == 10);
    }
  }

  TEST_CASE("for_each_key: a page that is none -> its error, nothing read beyond") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    ns.malformed_list = true;
    std::vector<std::byte> page(64);
    const outcome o = ns.ref.for_each_key({}, ns.memory(page), page.data(), soon(), [](key_view) { return true; });
    CHECK(o.status == status(client_status::protocol_error));
    std::vector<std::byte> shorter(key_walk::least_page_bytes(ns.ref.profile()) - 1);
    CHECK(ns.ref.for_each_key({}, ns.memory(shorter), shorter.data(), soon(), [](key_view) { return true; }).status ==
          status(client_status::bad_argument));
  }

  TEST_CASE("for_each_key: a target that answers at once and never comes to an end -> timed_out") {
    // It moves by its looks alone, so that each page is there before a wait for it has looked at the clock.
    struct counting_clock {
      static std::uint64_t now_ns() noexcept {
        static std::atomic<std::uint64_t> looks{0};
        return ++looks;
      }
      static void relax(std::uint32_t) noexcept { std::this_thread::yield(); }
    };
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    int made = 100;
    ns.decide = [&](kv_opcode, const std::string&) {
      ns.values()["key" + std::to_string(++made)] = "";
      return model_namespace<exclusive>::fate::done;
    };
    std::vector<std::byte> page(key_walk::least_page_bytes(ns.ref.profile()));
    int given = 0;
    const outcome o = ns.ref.for_each_key({}, ns.memory(page), page.data(), deadline<counting_clock>{20},
                                          [&](key_view) { return ++given < 500; });
    CHECK(o.status == status(client_status::timed_out));
    CHECK(given <= 21);
  }

  TEST_CASE("run on a full queue: waits for room, to the deadline") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    ns.hold = true;
    std::vector<kv_ticket> tickets;
    for (;;) {
      const result<kv_ticket> t = ns.ref.submit(operation::exist(text_key("k")));
      if (!t) {
        CHECK(t.error() == status(client_status::queue_full));
        break;
      }
      tickets.push_back(*t);
    }
    CHECK(tickets.size() == ns.ref.queue().capacity());
    CHECK(ns.ref.exist(text_key("k"), host::deadline::after_ms(2)).status == status(client_status::queue_full));
    for (const kv_ticket& t : tickets) CHECK(ns.ref.cancel(t).ok());
    ns.hold = false;  // the quarantined ones come home and make room
    CHECK(ns.ref.exist(text_key("k"), soon()).status.is_key_does_not_exist());
  }

  TEST_CASE("execute: payload and offsets in both encodings; a truncated result is told, not fetched") {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<exclusive> ns(encoding, [encoding](namespace_profile& p) {
        p.quirks.execute_result_after_head = encoding == key_encoding::payload_head;
      });
      std::vector<std::byte> value(10, std::byte{'v'});
      REQUIRE(ns.ref.store(text_key("obj"), ns.memory(value), soon()).ok());
      std::vector<std::byte> buffer(64);
      const key_view k = text_key("obj");
      buffer[execute_input_offset(k)] = std::byte{'i'};
      buffer[execute_input_offset(k) + 1] = std::byte{'n'};
      const outcome o = ns.ref.execute(11, k, ns.memory(buffer), buffer.data(), 2, 32, soon());
      CHECK(o.ok());
      CHECK(o.length_bytes == 10);
      CHECK(buffer[execute_result_offset(ns.ref.profile(), k)] == std::byte{'v'});
      CHECK(ns.executed_input == "in");
      const std::size_t runs = ns.opcodes.size();
      const outcome cut = ns.ref.execute(11, k, ns.memory(buffer), buffer.data(), 0, 4, soon());
      CHECK(cut.status == status(client_status::value_too_large));
      CHECK(cut.length_bytes == 10);
      CHECK(ns.opcodes.size() == runs + 1);
      CHECK(ns.ref.execute(11, k, ns.memory(buffer), buffer.data(), 100, 4, soon()).status ==
            status(client_status::bad_argument));
    }
  }
}
