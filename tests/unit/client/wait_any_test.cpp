// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/model_namespace.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace nkv;
using nkv_test::model_namespace;
using nkv_test::soon;
using nkv_test::text_key;

TEST_SUITE("client/wait any") {
  TEST_CASE_TEMPLATE("each ticket ends once, with its own outcome; then there is none", Sharing, exclusive, shared) {
    model_namespace<Sharing> ns(key_encoding::payload_head);
    ns.values()["a"] = "v";
    std::vector<kv_ticket> tickets(5);
    const char* keys[] = {"a", "b", "", "a", "c"};
    for (std::size_t i = 0; i < tickets.size(); ++i) {
      if (i == 2) continue;  // one that is not valid is passed over
      const auto t = ns.ref.submit(operation::exist(key_view::from_text(keys[i], 1), 100 + i));
      REQUIRE(t);
      tickets[i] = *t;
    }
    const span<kv_ticket> all(tickets.data(), tickets.size());
    std::vector<bool> seen(5, false);
    for (int n = 0; n < 4; ++n) {
      const any_outcome a = wait_any(ns.ref, all, soon());
      REQUIRE(a.index < tickets.size());
      CHECK(a.index != 2);
      CHECK_FALSE(seen[a.index]);
      seen[a.index] = true;
      CHECK_FALSE(tickets[a.index].valid());
      CHECK(a.value.user_tag == 100 + a.index);
      CHECK(a.value.ok() == (keys[a.index][0] == 'a'));
    }
    const any_outcome none = wait_any(ns.ref, all, soon());
    CHECK(none.index == 5);
    CHECK(none.value.status == status(client_status::stale_ticket));
    CHECK(wait_any(ns.ref, span<kv_ticket>(), soon()).value.status == status(client_status::stale_ticket));
    CHECK(ns.ref.queue().outstanding() == 0);
  }

  TEST_CASE_TEMPLATE("one that is never answered does not hold up the others; the deadline does not lose it", Sharing,
                     exclusive, shared) {
    model_namespace<Sharing> ns(key_encoding::inline_cdw);
    ns.decide = [](kv_opcode, const std::string& key) {
      return key == "slow" ? model_namespace<Sharing>::fate::lost : model_namespace<Sharing>::fate::done;
    };
    kv_ticket tickets[] = {*ns.ref.submit(operation::remove(text_key("slow"), 1)),
                           *ns.ref.submit(operation::remove(text_key("fast"), 2))};
    const any_outcome fast = wait_any(ns.ref, span<kv_ticket>(tickets), soon());
    CHECK(fast.index == 1);
    CHECK(fast.value.ok());
    CHECK(fast.value.user_tag == 2);
    const nkv::host::deadline late[] = {nkv::host::deadline(), nkv::host::deadline::after_ms(2)};
    for (const nkv::host::deadline& until : late) {
      const any_outcome none = wait_any(ns.ref, span<kv_ticket>(tickets), until);
      CHECK(none.index == 2);
      CHECK(none.value.status == status(client_status::timed_out));
      CHECK(tickets[0].valid());
    }
    ns.answer_lost = true;
    const any_outcome slow = wait_any(ns.ref, span<kv_ticket>(tickets), soon());
    CHECK(slow.index == 0);
    CHECK(slow.value.ok());
  }

  TEST_CASE("a stale ticket and a lost controller are outcomes too, with the ticket that quiesced() takes") {
    model_namespace<shared> ns(key_encoding::inline_cdw);
    const kv_ticket consumed = *ns.ref.submit(operation::exist(text_key("k")));
    CHECK(ns.ref.wait(consumed, soon()).status.is_key_does_not_exist());
    kv_ticket tickets[] = {consumed};
    const any_outcome stale = wait_any(ns.ref, span<kv_ticket>(tickets), soon());
    CHECK(stale.index == 0);
    CHECK(stale.value.status == status(client_status::stale_ticket));
    ns.hold = true;
    tickets[0] = *ns.ref.submit(operation::remove(text_key("k")));
    const nkv::ticket named = tickets[0].ticket;
    ns.fence();
    const any_outcome lost = wait_any(ns.ref, span<kv_ticket>(tickets), soon());
    CHECK(lost.index == 0);
    CHECK(lost.value.status == status(client_status::outcome_unknown));
    CHECK(lost.value.ticket == named);
    CHECK(ns.ref.quiesced(lost.value.ticket));
  }
}
