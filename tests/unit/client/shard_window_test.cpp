// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/sharded_objects.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace nkv;
using nkv_test::model_namespace;
using nkv_test::text_key;

TEST_SUITE("client/shard_window") {
  TEST_CASE("send and poll: each outcome with its slot, once") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<shard_slot> slots(3);
    shard_window<nkv_test::queue_of<exclusive>> w(ns.ref, slots);
    for (std::uint32_t i = 0; i < 3; ++i) {
      shard_slot* s = w.idle_slot();
      REQUIRE(s != nullptr);
      s->item = i;
      s->piece = w.idle_piece(2);
      CHECK(s->piece == (i < 2 ? i : shard_slot::no_piece));
      REQUIRE(w.send(*s, operation::exist(text_key("k"))).ok());
    }
    CHECK(w.in_flight() == 3);
    CHECK(w.idle_slot() == nullptr);
    unsigned seen = 0;
    const auto until = nkv_test::soon();
    while (w.in_flight() != 0 && !until.expired()) {
      w.poll([&](const shard_slot& s, const outcome& o) {
        CHECK(o.status.is_key_does_not_exist());
        seen += 1u << (4 * s.item);
      });
    }
    CHECK(seen == 0x111);
    CHECK(w.idle_piece(2) == 0);
    CHECK(w.idle_piece(0) == shard_slot::no_piece);
    CHECK(w.quiesced());
  }

  TEST_CASE("cancel: slots stay taken until no DMA can follow") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<shard_slot> slots(2);
    shard_window<nkv_test::queue_of<exclusive>> w(ns.ref, slots);
    ns.decide = [](kv_opcode, const std::string&) { return nkv_test::fate::lost; };
    std::vector<std::byte> buffer(10);
    REQUIRE(w.send(*w.idle_slot(), operation::retrieve(text_key("k"), ns.memory(buffer))).ok());
    w.cancel();
    CHECK(w.in_flight() == 0);
    CHECK(!w.quiesced());
    CHECK(w.idle_slot() == &slots[1]);
    CHECK(nkv_test::settle(ns, w));
    CHECK(w.idle_slot() == &slots[0]);
  }

  TEST_CASE("send: a full queue, a bad operation -> said so, and the slot is idle") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<shard_slot> slots(70);
    shard_window<nkv_test::queue_of<exclusive>> w(ns.ref, slots);
    ns.hold = true;
    status s;
    while ((s = w.send(*w.idle_slot(), operation::exist(text_key("k")))).ok()) {
    }
    CHECK(s == status(client_status::queue_full));
    CHECK(w.in_flight() == ns.ref.queue().capacity());
    CHECK(w.idle_slot() == &slots[w.in_flight()]);
    CHECK(w.send(slots[69], operation::exist({})) == status(client_status::bad_argument));
    CHECK(slots[69].state == shard_slot::state_type::idle);
    slots[69].state = shard_slot::state_type::prepared;
    w.cancel();
    CHECK(slots[69].state == shard_slot::state_type::idle);
    ns.hold = false;
  }

  TEST_CASE("poll: a lost controller -> slots are let go of") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<shard_slot> slots(1);
    shard_window<nkv_test::queue_of<exclusive>> w(ns.ref, slots);
    ns.decide = [](kv_opcode, const std::string&) { return nkv_test::fate::lost; };
    REQUIRE(w.send(slots[0], operation::remove(text_key("k"))).ok());
    ns.ref.queue().set_liveness(queue_liveness::lost);
    status s;
    w.poll([&](const shard_slot&, const outcome& o) { s = o.status; });
    CHECK(s == status(client_status::outcome_unknown));
    CHECK(w.in_flight() == 0);
    CHECK(!w.quiesced());
    CHECK(w.begin(text_key("o")) == status(client_status::busy));
    CHECK(w.send_alone(operation::exist(text_key("k"))) == status(client_status::disconnected));
    ns.fence();
    CHECK(w.quiesced());
  }

  TEST_CASE("begin: the key where the namespace takes it, else what stands for it") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<shard_slot> slots(1);
    shard_window<nkv_test::queue_of<exclusive>> w(ns.ref, slots), none(ns.ref, {});
    const std::string name(17, 'n');
    const key_view longer = key_view::from_text(name), fits = key_view::from_text(name.data(), 16);
    REQUIRE(w.begin(fits).ok());
    CHECK(w.manifest_key() == fits);
    CHECK(w.seed() == shard_manifest::seed_of(fits));
    REQUIRE(w.begin(longer).ok());
    CHECK(w.object() == longer);
    CHECK(w.manifest_key() == shard_object_key(longer).view());
    CHECK(w.seed() == shard_manifest::seed_of(longer));
    CHECK(w.begin({}) == status(client_status::bad_argument));
    CHECK(none.begin(fits) == status(client_status::bad_argument));
  }
}
