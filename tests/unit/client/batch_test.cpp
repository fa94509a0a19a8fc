// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/model_namespace.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace nkv;
using nkv_test::model_namespace;
using nkv_test::soon;
using nkv_test::text_key;

namespace {

template <class Sharing>
using batch_of = batch<typename nkv_test::queue_rig<Sharing>::ref_type>;

}  // namespace

TEST_SUITE("client/batch") {
  TEST_CASE_TEMPLATE("mixed outcomes: each its own, with its tag, in the order of the operations", Sharing, exclusive,
                     shared) {
    model_namespace<Sharing> ns(key_encoding::payload_head);
    std::vector<std::byte> value(700, std::byte{3});
    std::vector<std::byte> hit(700), cut(10), missed(10);
    REQUIRE(ns.ref.store(text_key("there"), ns.memory(value), soon()).ok());
    const std::vector<operation> ops = {operation::retrieve(text_key("there"), ns.memory(hit), {}, 1),
                                        operation::retrieve(text_key("absent"), ns.memory(missed), {}, 2),
                                        operation::retrieve(text_key("there"), ns.memory(cut), {}, 3),
                                        operation::exist(text_key("there"), 4),
                                        operation::store(text_key("new"), ns.memory(value), {}, 5),
                                        operation::exist(text_key("broken"), 6),
                                        operation::remove(text_key("absent"), 7)};
    std::vector<batch_entry> entries(ops.size());
    batch_of<Sharing> b(ns.ref, ops, entries);
    CHECK(b.ended());
    REQUIRE(b.submit().ok());
    REQUIRE(b.wait(soon()).ok());
    CHECK(b.ended_count() == 7);
    for (std::size_t i = 0; i < ops.size(); ++i) CHECK(b.result_of(i).user_tag == i + 1);
    CHECK(b.result_of(0).ok());
    CHECK(b.result_of(0).length_bytes == 700);
    CHECK(hit == value);
    CHECK(b.result_of(1).status.is_key_does_not_exist());
    CHECK(b.result_of(2).status == status(client_status::value_too_large));
    CHECK(b.result_of(3).ok());
    CHECK(b.result_of(4).ok());
    CHECK(b.result_of(5).status == status(status_code_type::generic, generic_status::internal_error));
    CHECK(b.result_of(6).ok());
    CHECK(b.quiesced());
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE("one bad operation -> none is sent, and it is named") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(10);
    std::vector<operation> ops(20, operation::store(text_key("k"), ns.memory(value)));
    ops[13] = operation::store(text_key("a key of more than sixteen bytes"), ns.memory(value));
    std::vector<batch_entry> entries(ops.size());
    batch_of<exclusive> b(ns.ref, ops, entries);
    std::size_t bad = 0;
    const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
    CHECK(b.submit(&bad) == status(client_status::bad_argument));
    CHECK(bad == 13);
    CHECK(b.ended());
    CHECK(ns.ref.queue().counters().sq_doorbells == rung);
    CHECK(ns.ref.exist(text_key("k"), soon()).status.is_key_does_not_exist());
    std::vector<batch_entry> few(3);
    CHECK(batch_of<exclusive>(ns.ref, ops, few).submit() == status(client_status::bad_argument));
  }

  TEST_CASE_TEMPLATE("larger than the queue: all is done, with few doorbells", Sharing, exclusive, shared) {
    model_namespace<Sharing> ns(key_encoding::inline_cdw);
    std::vector<std::string> names;
    std::vector<operation> ops;
    for (int i = 0; i < 1000; ++i) names.push_back("n" + std::to_string(i));
    for (const std::string& n : names) ops.push_back(operation::store(key_view::from_text(n), {}));
    std::vector<batch_entry> entries(ops.size());
    batch_of<Sharing> b(ns.ref, ops, entries);
    const std::uint32_t rung = ns.ref.queue().counters().sq_doorbells;
    REQUIRE(b.submit().ok());
    CHECK(ns.ref.queue().counters().sq_doorbells == rung + 1);
    REQUIRE(b.wait(soon()).ok());
    for (std::size_t i = 0; i < ops.size(); ++i) REQUIRE(b.result_of(i).ok());
    CHECK(ns.ref.queue().outstanding() == 0);
    for (const std::string& n : names) REQUIRE(ns.ref.exist(key_view::from_text(n), soon()).ok());
  }

  TEST_CASE("again and again: a prepared batch is submitted anew; not while it is under way") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(8, std::byte{1});
    std::vector<std::byte> out(8);
    REQUIRE(ns.ref.store(text_key("k"), ns.memory(value), soon()).ok());
    const std::vector<operation> ops(10, operation::retrieve(text_key("k"), ns.memory(out)));
    std::vector<batch_entry> entries(10);
    batch_of<exclusive> b(ns.ref, ops, entries);
    for (int i = 0; i < 50; ++i) {
      REQUIRE(b.submit().ok());
      REQUIRE(b.wait(soon()).ok());
      for (std::size_t n = 0; n < 10; ++n) REQUIRE(b.result_of(n).ok());
    }
    ns.hold = true;
    REQUIRE(b.submit().ok());
    CHECK(b.submit() == status(client_status::busy));
    CHECK(b.result_of(0).status == status(client_status::would_block));
    CHECK(b.wait(host::deadline::after_ms(2)) == status(client_status::timed_out));
    ns.hold = false;
    CHECK(b.wait(soon()).ok());
    CHECK(b.result_of(9).ok());
  }

  TEST_CASE("cancel: what had not ended is cancelled, its buffers are the controller's until quiesced") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> out(8);
    const std::vector<operation> ops(100, operation::retrieve(text_key("k"), ns.memory(out)));
    std::vector<batch_entry> entries(ops.size());
    batch_of<exclusive> b(ns.ref, ops, entries);
    ns.hold = true;
    REQUIRE(b.submit().ok());
    b.cancel();
    CHECK(b.ended());
    for (std::size_t i = 0; i < ops.size(); ++i) CHECK(b.result_of(i).status == status(client_status::cancelled));
    CHECK_FALSE(b.quiesced());
    CHECK(ns.ref.queue().outstanding() == ns.ref.queue().capacity());
    ns.hold = false;
    const host::deadline d = soon();
    while (!b.quiesced() && !d.expired()) std::this_thread::yield();
    CHECK(b.quiesced());
    CHECK(ns.ref.queue().outstanding() == 0);
    REQUIRE(b.submit().ok());
    REQUIRE(b.wait(soon()).ok());
    CHECK(b.result_of(99).status.is_key_does_not_exist());
  }

  TEST_CASE("a lost controller: every operation ends, the unsent ones too") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    std::vector<std::byte> value(8);
    const std::vector<operation> ops(100, operation::store(text_key("k"), ns.memory(value)));
    std::vector<batch_entry> entries(ops.size());
    batch_of<exclusive> b(ns.ref, ops, entries);
    ns.hold = true;
    REQUIRE(b.submit().ok());
    ns.ref.queue().set_liveness(queue_liveness::lost);
    REQUIRE(b.wait(soon()).ok());
    CHECK(b.result_of(0).status == status(client_status::outcome_unknown));
    CHECK(b.result_of(99).status == status(client_status::disconnected));
    CHECK_FALSE(b.quiesced());
    ns.ref.queue().set_liveness(queue_liveness::fenced);
    CHECK(b.quiesced());
  }

  TEST_CASE("an empty batch has ended at once") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    batch_of<exclusive> b(ns.ref, {}, {});
    CHECK(b.submit().ok());
    CHECK(b.ended());
    CHECK(b.wait(host::deadline{}).ok());
  }
}
