// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/sharded_objects.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;

namespace {

const std::string long_name(255, 'n');

std::string text(key_view k) { return {reinterpret_cast<const char*>(k.data()), k.size()}; }

}  // namespace

TEST_SUITE("client/sharded_writer") {
  TEST_CASE_TEMPLATE("put: every length, cut and number of commands -> the object, in as many values", Sharing,
                     exclusive, shared) {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<Sharing> ns(encoding);
      unsigned nonce = 1;
      for (const std::size_t size : {0u, 1u, 999u, 1000u, 1001u, 1999u, 2000u, 2001u, 3500u}) {
        const std::vector<std::byte> object = object_bytes(size, static_cast<unsigned>(size));
        for (const std::size_t commands : {1u, 2u, 8u}) {
          for (const std::size_t staged : {1u, 3u}) {
            for (const auto& cuts : all_cuts) {
              if (size > 1001 && cuts[0] == 1) continue;
              writer_rig<Sharing> w(ns, commands, staged);
              const sharded_outcome o = w.put(text_key("object"), object, nonce, soon(), cuts);
              REQUIRE(o.ok());
              CHECK(o.orphans == 0);
              CHECK(o.previous_left == 0);
              CHECK(o.written.shards == (size + 999) / 1000);
              CHECK(o.written.nonce == writer_rig<Sharing>::options(nonce).nonce);
              CHECK(ns.values().size() == 1 + o.written.shards);
              for (std::uint32_t i = 0; i < o.written.shards; ++i)
                CHECK(ns.values().at(shard_text(text_key("object"), nonce, i)).size() ==
                      std::min<std::size_t>(1000, size - i * 1000));
              CHECK(is_object(ns, text_key("object"), object));
              ++nonce;
            }
          }
        }
      }
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("put: the manifest goes last, after every shard is stored") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::string> stored;
    std::size_t there = 0;
    ns.decide = [&](kv_opcode opc, const std::string& k) {
      if (opc == kv_opcode::store) {
        stored.push_back(k);
        there = ns.values().size();
      }
      return fate::done;
    };
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object_bytes(7777, 1), 1).ok());
    REQUIRE(stored.size() == 9);
    CHECK(stored.back() == "o");
    CHECK(there == 8);
  }

  TEST_CASE("put: keys that the namespace takes or not -> the object's own, or what stands for it") {
    const std::vector<std::byte> object = object_bytes(1500, 3);
    model_namespace<exclusive> inlined(key_encoding::inline_cdw);
    model_namespace<exclusive> headed(key_encoding::payload_head);
    for (const std::size_t length : {1u, 16u, 17u, 255u}) {
      const key_view name = key_view::from_text(long_name.data(), length);
      writer_rig<exclusive> a(inlined, 2), b(headed, 2);
      REQUIRE(a.put(name, object, 1).ok());
      REQUIRE(b.put(name, object, 1).ok());
      CHECK(is_object(inlined, name, object));
      CHECK(is_object(headed, name, object));
      CHECK(headed.values().count(text(name)) == 1);
      CHECK(inlined.values().count(length <= 16 ? text(name) : text_of(shard_object_key(name))) == 1);
      CHECK(inlined.values().size() == 3);
      REQUIRE(a.writer.remove(name, soon()).ok());
      REQUIRE(b.writer.remove(name, soon()).ok());
      CHECK(inlined.values().empty());
      CHECK(headed.values().empty());
    }
  }

  TEST_CASE("put: over an object, a plain value or a damaged manifest -> the new one, and of the old nothing is left") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 3);
    const std::vector<std::byte> first = object_bytes(5500, 1);
    const std::vector<std::byte> second = object_bytes(2100, 2);
    REQUIRE(w.put(text_key("o"), first, 1).ok());
    sharded_outcome o = w.put(text_key("o"), second, 2);
    REQUIRE(o.ok());
    CHECK(o.previous.nonce == writer_rig<exclusive>::options(1).nonce);
    CHECK(o.previous.shards == 6);
    CHECK(o.previous_left == 0);
    CHECK(!o.previous_unknown);
    CHECK(ns.values().size() == 4);
    CHECK(is_object(ns, text_key("o"), second));

    for (const std::string& plain : {std::string("short"), std::string(500, 'x'), ns.values().at("o") + "x"}) {
      ns.values().clear();
      ns.values()["o"] = plain;
      o = w.put(text_key("o"), first, 3);
      REQUIRE(o.ok());
      CHECK(o.previous.shards == 0);
      CHECK(!o.previous_unknown);
      CHECK(ns.values().size() == 7);
    }
    // Without room for the head it does not look.
    writer_rig<exclusive> blind(ns, 3, 0, 0);
    REQUIRE(blind.put(text_key("o"), second, 4).ok());
    CHECK(ns.values().size() == 7 + 3);
    CHECK(is_object(ns, text_key("o"), second));
  }

  TEST_CASE("put: a target that gives nothing in a short buffer -> what was there is unknown, with room it is not") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 3), roomy(ns, 3, 1, 4096);
    REQUIRE(w.put(text_key("o"), object_bytes(5500, 1), 1).ok());
    ns.answer_short_with_85 = true;
    ns.leave_short_buffers = true;
    sharded_outcome o = w.put(text_key("o"), object_bytes(5500, 2), 2);
    REQUIRE(o.ok());
    CHECK(o.previous_unknown);
    CHECK(ns.values().size() == 1 + 6 + 6);
    CHECK(w.writer.remove(text_key("o"), soon()).status == status(client_status::value_too_large));
    CHECK(w.writer.sweep(text_key("o"), o.written, soon()).status == status(client_status::value_too_large));
    o = roomy.put(text_key("o"), object_bytes(5500, 3), 3);
    REQUIRE(o.ok());
    CHECK(!o.previous_unknown);
    CHECK(ns.values().size() == 1 + 6 + 6);
    REQUIRE(roomy.writer.sweep(text_key("o"), {writer_rig<exclusive>::options(1).nonce, 6}, soon()).ok());
    CHECK(ns.values().size() == 1 + 6);
  }

  TEST_CASE("put: must_not_exist -> 89h where anything has the key, and only a Retrieve was sent") {
    model_namespace<exclusive> ns(key_encoding::payload_head);
    writer_rig<exclusive> w(ns, 3);
    const std::vector<std::byte> object = object_bytes(2500, 1);
    sharded_put_options options = w.options(1);
    options.must_not_exist = true;
    REQUIRE(w.put(text_key("o"), object, options).ok());
    const std::size_t before = ns.opcodes.size();
    options.nonce = shard_nonce::from_words(2, 2);
    sharded_outcome o = w.put(text_key("o"), object_bytes(2500, 2), options);
    CHECK(o.status.is_key_exists());
    CHECK(o.orphans == 0);
    CHECK(ns.opcodes.size() == before + 1);
    CHECK(is_object(ns, text_key("o"), object));

    // Somebody else's manifest comes in between.
    REQUIRE(w.writer.remove(text_key("o"), soon()).ok());
    ns.decide = [&](kv_opcode opc, const std::string& k) {
      if (opc == kv_opcode::store && k == "o") ns.values()["o"] = "theirs";
      return fate::done;
    };
    o = w.put(text_key("o"), object, options);
    CHECK(o.status.is_key_exists());
    CHECK(o.orphans == 0);
    CHECK(ns.values().size() == 1);
    CHECK(ns.values().at("o") == "theirs");
  }

  TEST_CASE(
      "put: whatever command fails, in whatever way -> old or new, whole, as the status says; nothing else is left") {
    const std::vector<std::byte> before = object_bytes(2500, 1);
    const std::vector<std::byte> after = object_bytes(4300, 2);
    for (const bool replaces : {false, true}) {
      for (const fate f : {fate::refused, fate::done_yet_refused, fate::lost, fate::done_yet_lost}) {
        const bool lost = f == fate::lost || f == fate::done_yet_lost;
        bool reached = true;
        for (unsigned fails = 0; reached; ++fails) {
          CAPTURE(replaces);
          CAPTURE(static_cast<int>(f));
          CAPTURE(fails);
          model_namespace<exclusive> ns(key_encoding::inline_cdw);
          writer_rig<exclusive> w(ns, 2);
          if (replaces) REQUIRE(w.put(text_key("o"), before, 1).ok());
          unsigned command = 0;
          ns.decide = [&](kv_opcode, const std::string&) { return command++ == fails ? f : fate::done; };
          const auto sources = pieces_of(after.data(), after.size(), {100000});
          REQUIRE(w.writer.begin_put(text_key("o"), sources, w.options(2)).ok());
          run_or_cancel(ns, w.writer);
          const sharded_outcome o = w.writer.ended_as();
          reached = command > fails;
          ns.decide = nullptr;
          const bool old_is_there = replaces ? is_object(ns, text_key("o"), before) : is_absent(ns, text_key("o"));
          const bool new_is_there = is_object(ns, text_key("o"), after);
          CHECK(old_is_there != new_is_there);
          if (o.ok()) {
            CHECK(new_is_there);
            CHECK(o.orphans == 0);
          } else if (o.status == status(client_status::outcome_unknown)) {
            CHECK(lost);
            CHECK(o.orphans == o.written.shards);
          } else {
            CHECK(old_is_there);
            CHECK(o.status == (lost ? status(client_status::cancelled) : internal_error));
            CHECK(o.previous.shards == 0);
          }
          // What is reported is what is left, or more where it cannot be known.
          std::size_t expected = 1 +
                                 (new_is_there ? 5
                                  : replaces   ? 3
                                               : 0) +
                                 (new_is_there ? o.previous_left : o.orphans);
          if (old_is_there && !replaces) --expected;
          CHECK(ns.values().size() <= expected);
          if (f == fate::refused) CHECK(ns.values().size() == expected);

          // Late commands change nothing of it, and what they leave can be swept.
          REQUIRE(settle(ns, w.writer));
          const bool now_new = is_object(ns, text_key("o"), after);
          if (new_is_there) CHECK(now_new);
          if (!now_new) CHECK((replaces ? is_object(ns, text_key("o"), before) : is_absent(ns, text_key("o"))));
          if (o.orphans != 0) {
            const sharded_outcome swept = w.writer.sweep(text_key("o"), o.written, soon());
            CHECK(swept.status == (now_new ? status(client_status::busy) : status()));
            CHECK(swept.previous_left == (now_new ? 5 : 0));
          }
          if (now_new && o.previous.shards != 0) CHECK(w.writer.sweep(text_key("o"), o.previous, soon()).ok());
          CHECK(ns.values().size() == (now_new ? 6u : replaces ? 4u : 0u));
          CHECK(ns.ref.queue().outstanding() == 0);
        }
      }
    }
  }

  TEST_CASE("put: the manifest's Store reports an error and was carried out -> success") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    ns.decide = [](kv_opcode opc, const std::string& k) {
      return opc == kv_opcode::store && k == "o" ? fate::done_yet_refused : fate::done;
    };
    CHECK(w.put(text_key("o"), object_bytes(2500, 1), 1).ok());
    // And where nobody can say any more, that is what is said.
    ns.decide = [](kv_opcode opc, const std::string& k) {
      return k == "o" && opc != kv_opcode::exist ? fate::refused : fate::done;
    };
    writer_rig<exclusive> blind(ns, 2, 0, 0);
    const sharded_outcome o = blind.put(text_key("o"), object_bytes(2500, 2), 2);
    CHECK(o.status == status(client_status::outcome_unknown));
    CHECK(o.orphans == 3);
  }

  TEST_CASE("put: the manifest's Store fails on a target that gives nothing in a short buffer -> no guess") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    ns.answer_short_with_85 = true;
    ns.leave_short_buffers = true;
    writer_rig<exclusive> w(ns, 2, 1, 4096);
    // The whole of the new manifest is asked for, so it is seen.
    ns.decide = [](kv_opcode opc, const std::string& k) {
      return opc == kv_opcode::store && k == "o" ? fate::done_yet_refused : fate::done;
    };
    CHECK(w.put(text_key("o"), object_bytes(2500, 1), 1).ok());
    CHECK(is_object(ns, text_key("o"), object_bytes(2500, 1)));
    // What is there is longer than all the room: it may be anything.
    ns.values()["o"] = std::string(5000, 'x');
    ns.decide = [](kv_opcode opc, const std::string& k) {
      return opc == kv_opcode::store && k == "o" ? fate::refused : fate::done;
    };
    const sharded_outcome o = w.put(text_key("o"), object_bytes(2500, 2), 2);
    CHECK(o.status == status(client_status::outcome_unknown));
    CHECK(o.orphans == 3);
    CHECK(o.previous_unknown);
  }

  TEST_CASE("remove: whatever command fails, in whatever way -> whole or absent, and what is left can be swept") {
    const std::vector<std::byte> object = object_bytes(3500, 1);
    for (const fate f : {fate::refused, fate::done_yet_refused, fate::lost, fate::done_yet_lost}) {
      const bool lost = f == fate::lost || f == fate::done_yet_lost;
      bool reached = true;
      for (unsigned fails = 0; reached; ++fails) {
        CAPTURE(static_cast<int>(f));
        CAPTURE(fails);
        model_namespace<exclusive> ns(key_encoding::payload_head);
        writer_rig<exclusive> w(ns, 2);
        REQUIRE(w.put(text_key("o"), object, 1).ok());
        unsigned command = 0;
        ns.decide = [&](kv_opcode, const std::string&) { return command++ == fails ? f : fate::done; };
        REQUIRE(w.writer.begin_remove(text_key("o")).ok());
        run_or_cancel(ns, w.writer);
        const sharded_outcome o = w.writer.ended_as();
        reached = command > fails;
        ns.decide = nullptr;
        CHECK((is_object(ns, text_key("o"), object) || is_absent(ns, text_key("o"))));
        if (o.ok()) {
          CHECK(is_absent(ns, text_key("o")));
          CHECK(ns.values().size() <= o.previous_left);
        } else if (fails == 0) {
          CHECK(o.status == (lost ? status(client_status::cancelled) : internal_error));
          CHECK(is_object(ns, text_key("o"), object));
        } else {
          CHECK(fails == 1);
          CHECK(o.status == (lost ? status(client_status::outcome_unknown) : internal_error));
          CHECK(o.previous_left == 4);
        }
        REQUIRE(settle(ns, w.writer));
        if (!is_absent(ns, text_key("o"))) REQUIRE(w.writer.remove(text_key("o"), soon()).ok());
        if (o.previous_left != 0) CHECK(w.writer.sweep(text_key("o"), o.previous, soon()).ok());
        CHECK(ns.values().empty());
      }
    }
  }

  TEST_CASE("remove: no object, or no manifest -> said so, and nothing is deleted") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    CHECK(w.writer.remove(text_key("o"), soon()).status.is_key_does_not_exist());
    ns.values()["o"] = "plain";
    CHECK(w.writer.remove(text_key("o"), soon()).status == status(client_status::protocol_error));
    REQUIRE(w.put(text_key("other"), object_bytes(1500, 1), 1).ok());
    ns.values()["o"] = ns.values()["other"];
    CHECK(w.writer.remove(text_key("o"), soon()).status == status(client_status::protocol_error));
    CHECK(ns.values().size() == 4);
    // A manifest that names a great many shards in a value that has no room for them.
    const auto layout = shard_layout::of(max_shards, 1);
    std::string hostile(128 + 8, '\0');
    shard_manifest m(*layout, shard_checksum_kind::xxh64_blocks, shard_nonce::from_words(1, 1));
    std::vector<std::byte> whole(static_cast<std::size_t>(m.size_bytes()));
    m.write_head(whole.data(), shard_manifest::seed_of(text_key("o")));
    std::memcpy(hostile.data(), whole.data(), hostile.size());
    ns.values()["o"] = hostile;
    const std::size_t before = ns.opcodes.size();
    CHECK(w.writer.remove(text_key("o"), soon()).status == status(client_status::protocol_error));
    CHECK(ns.opcodes.size() == before + 1);
  }

  TEST_CASE("sweep: of a visible object -> busy; of any other set -> gone, the object untouched") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    const std::vector<std::byte> object = object_bytes(2500, 1);
    const sharded_outcome o = w.put(text_key("o"), object, 1);
    REQUIRE(o.ok());
    CHECK(w.writer.sweep(text_key("o"), o.written, soon()).status == status(client_status::busy));
    CHECK(is_object(ns, text_key("o"), object));
    for (std::uint64_t i = 0; i < 4; ++i) ns.values()[shard_text(text_key("o"), 9, i)] = "left";
    CHECK(w.writer.sweep(text_key("o"), {w.options(9).nonce, 4}, soon()).ok());
    CHECK(ns.values().size() == 4);
    CHECK(is_object(ns, text_key("o"), object));
    ns.decide = [](kv_opcode opc, const std::string&) { return opc == kv_opcode::remove ? fate::refused : fate::done; };
    const sharded_outcome swept = w.writer.sweep(text_key("o"), {w.options(9).nonce, 4}, soon());
    CHECK(swept.status == internal_error);
    CHECK(swept.previous_left == 4);
  }

  TEST_CASE("put: a nonce that the object has already -> refused, and the object stays whole") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    const std::vector<std::byte> object = object_bytes(2500, 1);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    const sharded_outcome o = w.put(text_key("o"), object_bytes(2500, 2), 1);
    CHECK(o.status == status(client_status::bad_argument));
    CHECK(o.orphans == 0);
    CHECK(is_object(ns, text_key("o"), object));
    CHECK(ns.values().size() == 4);
  }

  TEST_CASE(
      "put: a deadline that passes -> timed_out, what may be left is named, and nothing else may use the memory") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    const std::vector<std::byte> object = object_bytes(5000, 2);
    ns.decide = [](kv_opcode opc, const std::string&) { return opc == kv_opcode::store ? fate::lost : fate::done; };
    const sharded_outcome o = w.put(text_key("o"), object, 1, nkv::host::deadline::after_ms(100));
    CHECK(o.status == status(client_status::timed_out));
    CHECK(o.orphans <= 2);
    CHECK(w.put(text_key("o"), object, 2).status == status(client_status::busy));
    REQUIRE(settle(ns, w.writer));
    CHECK(ns.values().size() == o.orphans);
    ns.decide = nullptr;
    CHECK(w.writer.sweep(text_key("o"), o.written, soon()).ok());
    CHECK(ns.values().empty());
    CHECK(is_absent(ns, text_key("o")));
  }

  TEST_CASE("put: a Store fails while the next shard waits for room -> all slots are free again") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    const std::vector<std::byte> object = object_bytes(5000, 2);
    const auto sources = pieces_of(object.data(), object.size(), {100000});
    REQUIRE(w.writer.begin_put(text_key("o"), sources, w.options(1)).ok());
    CHECK(!w.writer.poll());
    ns.await_quiet();
    ns.hold = true;
    // All of the queue's places but that of the Retrieve, which ends here, are somebody else's.
    std::vector<kv_ticket> theirs;
    while (ns.ref.queue().outstanding() < ns.ref.queue().capacity())
      theirs.push_back(*ns.ref.submit(operation::exist(text_key("k"))));
    CHECK(!w.writer.poll());
    CHECK(w.slots[0].state == shard_slot::state_type::in_flight);
    CHECK(w.slots[1].state == shard_slot::state_type::prepared);
    ns.decide = [](kv_opcode opc, const std::string&) { return opc == kv_opcode::store ? fate::refused : fate::done; };
    ns.hold = false;
    REQUIRE(w.writer.wait(soon()).ok());
    CHECK(w.writer.ended_as().status == internal_error);
    CHECK(w.writer.ended_as().orphans == 0);
    CHECK(ns.values().empty());
    for (const shard_slot& s : w.slots) CHECK(s.state == shard_slot::state_type::idle);
    for (const kv_ticket& t : theirs) CHECK(ns.ref.wait(t, soon()).status.is_key_does_not_exist());
  }

  TEST_CASE("cancel: at once, and the next task waits until memory is quiet") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2);
    const std::vector<std::byte> object = object_bytes(5000, 2);
    const auto sources = pieces_of(object.data(), object.size(), {300});
    ns.decide = [](kv_opcode opc, const std::string&) { return opc == kv_opcode::store ? fate::lost : fate::done; };
    REQUIRE(w.writer.begin_put(text_key("o"), sources, w.options(1)).ok());
    CHECK(!w.writer.poll());
    ns.await_quiet();
    CHECK(!w.writer.poll());
    w.writer.cancel();
    CHECK(w.writer.ended());
    CHECK(w.writer.ended_as().status == status(client_status::cancelled));
    CHECK(w.writer.ended_as().orphans == 2);
    CHECK(!w.writer.quiesced());
    CHECK(w.writer.begin_put(text_key("o"), sources, w.options(2)) == status(client_status::busy));
    const shard_set left = w.writer.ended_as().written;
    REQUIRE(settle(ns, w.writer));
    CHECK(ns.values().size() == 2);
    ns.decide = nullptr;
    CHECK(w.writer.sweep(text_key("o"), left, soon()).ok());
    CHECK(ns.values().empty());
    CHECK(w.put(text_key("o"), object, 2).ok());
  }

  TEST_CASE("a lost controller -> disconnected, or outcome_unknown once the manifest was sent; nothing hangs") {
    for (const bool publishing : {false, true}) {
      model_namespace<exclusive> ns(key_encoding::inline_cdw);
      writer_rig<exclusive> w(ns, 2);
      ns.decide = [&](kv_opcode opc, const std::string& k) {
        if (opc != kv_opcode::store || (k == "o") != publishing) return fate::done;
        ns.ref.queue().set_liveness(queue_liveness::lost);
        return fate::lost;
      };
      const sharded_outcome o = w.put(text_key("o"), object_bytes(5000, 2), 1);
      CHECK(o.status == status(publishing ? client_status::outcome_unknown : client_status::disconnected));
      if (publishing) {
        CHECK(o.orphans == 5);
      } else {
        // The loss may come before the second of two slots is filled.
        CHECK(o.orphans >= 1);
        CHECK(o.orphans <= 2);
      }
      CHECK(!w.writer.quiesced());
      ns.fence();
      CHECK(w.writer.quiesced());
      CHECK(w.writer.remove(text_key("o"), soon()).status == status(client_status::disconnected));
      CHECK(w.writer.sweep(text_key("o"), o.written, soon()).status == status(client_status::disconnected));
      CHECK(w.put(text_key("o"), object_bytes(5000, 2), 2).status == status(client_status::disconnected));
    }
  }

  TEST_CASE("what cannot be -> refused before anything is sent") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 2), unstaged(ns, 2, 0), slotless(ns, 0);
    const std::vector<std::byte> object = object_bytes(2500, 1);
    const auto refused = [&](sharded_put_options o, key_view k, const auto& ranges, auto& by) {
      return by.writer.put(k, ranges, o, soon()).status;
    };
    const auto whole = pieces_of(object.data(), object.size(), {100000});
    const status bad{client_status::bad_argument};
    sharded_put_options o = w.options(1);
    CHECK(refused(o, {}, whole, w) == bad);
    CHECK(refused(o, key_view(object.data(), 256), whole, w) == bad);
    CHECK(refused(o, text_key("o"), whole, slotless) == bad);
    o.nonce = {};
    CHECK(refused(o, text_key("o"), whole, w) == bad);
    o = w.options(1);
    o.store.must_exist = true;
    CHECK(refused(o, text_key("o"), whole, w) == bad);
    o = w.options(1);
    o.shard_bytes = 0x100000000u;
    CHECK(refused(o, text_key("o"), whole, w) == bad);
    o.shard_bytes = 1;  // a manifest of 128 + 8 * 2500 bytes
    CHECK(refused(o, text_key("o"), whole, w) == bad);
    o = w.options(1);
    CHECK(refused(o, text_key("o"), pieces_of(object.data(), object.size(), {1500}), unstaged) == bad);
    CHECK(refused(o, text_key("o"), pieces_of(object.data(), object.size(), {1000}), unstaged).ok());
    CHECK(w.writer.remove(text_key("o"), soon()).ok());
    const std::size_t before = ns.opcodes.size();
    auto far = whole;
    far[0].local = nullptr;
    CHECK(refused(o, text_key("o"), far, w) == bad);
    CHECK(w.writer.sweep(text_key("o"), {{}, 1}, soon()).status == bad);
    CHECK(w.writer.sweep(text_key("o"), {o.nonce, max_shards + 1}, soon()).status == bad);
    writer_rig<exclusive> headless(ns, 2, 1, 0);
    CHECK(headless.writer.remove(text_key("o"), soon()).status == bad);
    CHECK(headless.writer.sweep(text_key("o"), {o.nonce, 1}, soon()).status == bad);
    CHECK(ns.opcodes.size() == before);
    o.checksums = false;
    CHECK(refused(o, text_key("o"), far, w).ok());
    CHECK(is_object(ns, text_key("o"), object));
    CHECK(ns.values().at("o").size() == shard_manifest::head_bytes);

    model_namespace<exclusive> narrow(key_encoding::inline_cdw,
                                      [](namespace_profile& p) { p.limits.max_key_bytes = 15; });
    writer_rig<exclusive> n(narrow, 2);
    CHECK(n.put(text_key("o"), object, 1).status == status(client_status::unsupported));
    model_namespace<exclusive> still(key_encoding::inline_cdw, [](namespace_profile& p) { p.read_only = true; });
    writer_rig<exclusive> r(still, 2);
    const status read_only{status_code_type::command_specific, command_status::namespace_read_only};
    CHECK(r.put(text_key("o"), object, 1).status == read_only);
    CHECK(r.writer.remove(text_key("o"), soon()).status == read_only);
    CHECK(r.writer.sweep(text_key("o"), {w.options(1).nonce, 1}, soon()).status == read_only);
    model_namespace<exclusive> deaf(key_encoding::payload_head, [](namespace_profile& p) {
      p.quirks.reads_head_without_data_direction = false;
      p.quirks.dropped_store_options = 2;
    });
    writer_rig<exclusive> d(deaf, 2);
    const key_view long_key = key_view::from_text(long_name);
    CHECK(d.writer.remove(long_key, soon()).status == status(client_status::unsupported));
    o = d.options(1);
    o.must_not_exist = true;
    CHECK(d.put(text_key("o"), object, o).status == status(client_status::unsupported));
    CHECK(deaf.opcodes.empty());
  }

  TEST_CASE("usual_shard_bytes: what one command carries, as a power of two") {
    const auto of = [](const std::function<void(namespace_profile&)>& adjust,
                       key_encoding e = key_encoding::inline_cdw) {
      model_namespace<exclusive> ns(e, adjust);
      writer_rig<exclusive> w(ns, 1);
      return w.writer.usual_shard_bytes();
    };
    CHECK(of([](namespace_profile&) {}) == 32u << 20);
    CHECK(of([](namespace_profile& p) { p.limits.max_value_bytes = 1u << 20; }) == 1u << 20);
    CHECK(of([](namespace_profile& p) { p.limits.max_value_bytes = (1u << 20) - 1; }) == 1u << 19);
    CHECK(of([](namespace_profile& p) { p.limits.max_transfer_bytes = 8192; }) == 8192);
    // The head counts, too.
    CHECK(of([](namespace_profile& p) { p.limits.max_transfer_bytes = 8192; }, key_encoding::payload_head) == 4096);
    // 8192 bytes of PRP list: 1024 entries, and from an odd address one page more than the length has.
    CHECK(of([](namespace_profile& p) { p.limits.sgl = false; }) == 2u << 20);
    CHECK(of([](namespace_profile& p) { p.limits.max_value_bytes = 500; }) == 0);
    model_namespace<exclusive> ns(key_encoding::inline_cdw,
                                  [](namespace_profile& p) { p.limits.max_transfer_bytes = 1024; });
    writer_rig<exclusive> w(ns, 2);
    sharded_put_options o = w.options(1);
    o.shard_bytes = 0;
    const std::vector<std::byte> object = object_bytes(5000, 1);
    CHECK(w.put(text_key("o"), object, o).written.shards == 5);
    o.shard_bytes = 1025;
    CHECK(w.put(text_key("o"), object, o).status == status(client_status::value_too_large));
    CHECK(*decltype(w.writer)::manifest_bytes(5000, 1000) == 128 + 8 * 5);
    CHECK(decltype(w.writer)::manifest_bytes(5000, 0).error() == status(client_status::bad_argument));
  }
}
