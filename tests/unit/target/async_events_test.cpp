// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/async_events.hpp>

#include <doctest/doctest.h>

using namespace nkv;
using target::async_event;
using target::async_events;

TEST_SUITE("target/async_events") {
  TEST_CASE("hold: up to the limit; abort: only what is held") {
    async_events e;
    for (std::uint16_t i = 0; i < async_events::limit; ++i) CHECK(e.hold(i));
    CHECK(!e.hold(9));
    CHECK(e.abort(1));
    CHECK(!e.abort(1));
    CHECK(e.hold(9));
    CHECK(e.held() == async_events::limit);
  }

  TEST_CASE("next: an event waits for a request, a request for an event; once until its log page is read") {
    async_events e;
    std::uint16_t cid = 0;
    std::uint32_t dw0 = 0;
    e.raise(async_event::doorbell_invalid);
    e.raise(async_event::doorbell_invalid);
    CHECK(!e.waiting());
    CHECK(!e.next(0, cid, dw0));
    REQUIRE(e.hold(5));
    REQUIRE(e.hold(6));
    CHECK(e.waiting());
    CHECK(e.next(0, cid, dw0));
    CHECK(cid == 5);
    CHECK(dw0 == 0x010100);
    CHECK(!e.next(0, cid, dw0));
    e.raise(async_event::doorbell_invalid);
    CHECK(!e.waiting());
    CHECK(!e.next(0, cid, dw0));
    e.acknowledge(log_page_id::smart_health);
    CHECK(!e.waiting());
    e.acknowledge(log_page_id::error_information);
    CHECK(e.waiting());
    CHECK(e.next(0, cid, dw0));
    CHECK(cid == 6);
    CHECK(e.held() == 0);
  }

  TEST_CASE("next: a notice that is not wanted is forgotten, one that is wanted is told") {
    async_events e;
    std::uint16_t cid = 0;
    std::uint32_t dw0 = 0;
    REQUIRE(e.hold(5));
    e.raise(async_event::namespaces_changed);
    CHECK(!e.next(0, cid, dw0));
    CHECK(!e.next(0x100, cid, dw0));
    e.raise(async_event::namespaces_changed);
    CHECK(e.next(0x100, cid, dw0));
    CHECK(dw0 == 0x040002);
    REQUIRE(e.hold(5));
    e.raise(async_event::doorbell_unknown);
    CHECK(e.next(0, cid, dw0));
    CHECK(dw0 == 0x010000);
    e.clear();
    CHECK(e.held() == 0);
  }
}
