// SPDX-License-Identifier: BSD-3-Clause
#include "support/model_controller.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

using namespace nkv;

namespace {

template <class Sharing>
struct table_rig {
  explicit table_rig(std::uint32_t entries)
      : shape{entries, entries},
        control(nkv_test::queue_rig<Sharing>::template aligned<std::byte>(queue_control_layout::of(shape).size_bytes)),
        table(control.get(), shape) {
    table.initialize();
  }
  cqe answer(ticket t, std::uint32_t dw0 = 0, status s = {}) const {
    return cqe::make(dw0, 0, 0, table.wire_cid(t), s, true);
  }
  queue_shape shape;
  typename nkv_test::queue_rig<Sharing>::template block<std::byte> control;
  cid_table<Sharing> table;
};

}  // namespace

TEST_SUITE("queue/cid_table") {
  TEST_CASE_TEMPLATE("claim: one less than the ring has entries, each once", Sharing, exclusive, shared) {
    for (const std::uint32_t entries : {2u, 4u, 32u, 64u, 128u, 1024u}) {
      table_rig<Sharing> rig(entries);
      std::vector<std::uint32_t> got;
      for (;;) {
        const std::uint32_t i = rig.table.claim();
        if (i == ticket::none) break;
        got.push_back(i);
      }
      CHECK(got.size() == entries - 1);
      CHECK(rig.table.free_count() == 0);
      std::sort(got.begin(), got.end());
      CHECK(std::adjacent_find(got.begin(), got.end()) == got.end());
      CHECK(got.back() == entries - 2);
      for (const std::uint32_t i : got) rig.table.unclaim(i);
      CHECK(rig.table.free_count() == entries - 1);
    }
  }

  TEST_CASE_TEMPLATE("complete: the record says how, until it is consumed", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(8);
    const ticket t = rig.table.begin(rig.table.claim());
    CHECK(rig.table.peek(t).status == status(client_status::would_block));
    CHECK_FALSE(rig.table.completed(t));
    CHECK_FALSE(rig.table.consume(t));
    REQUIRE(rig.table.complete(rig.answer(t, 77, status(status_code_type::generic, 0x87, true))));
    const completion c = rig.table.peek(t);
    CHECK(c.dw0 == 77);
    CHECK(c.status == status(status_code_type::generic, 0x87));
    CHECK(c.status.dnr());
    CHECK(rig.table.completed(t));
    CHECK(rig.table.free_count() == 6);
    CHECK(rig.table.consume(t));
    CHECK(rig.table.free_count() == 7);
    CHECK(rig.table.peek(t).status == status(client_status::stale_ticket));
    CHECK_FALSE(rig.table.consume(t));
    CHECK(rig.table.free_count() == 7);
  }

  TEST_CASE_TEMPLATE("complete: a CID that no command uses -> refused, nothing changed", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(8);
    const ticket t = rig.table.begin(rig.table.claim());
    CHECK_FALSE(rig.table.complete(cqe::make(0, 0, 0, 7, {}, true)));  // the index that does not exist
    CHECK_FALSE(rig.table.complete(cqe::make(0, 0, 0, 0xffff, {}, true)));
    const auto other = static_cast<std::uint16_t>(t.index == 0 ? 1 : 0);
    CHECK_FALSE(rig.table.complete(cqe::make(0, 0, 0, other, {}, true)));  // free
    CHECK_FALSE(
        rig.table.complete(cqe::make(0, 0, 0, static_cast<std::uint16_t>(rig.table.wire_cid(t) ^ 0x100), {}, true)));
    CHECK(rig.table.peek(t).status == status(client_status::would_block));
    CHECK(rig.table.complete(rig.answer(t)));
    CHECK_FALSE(rig.table.complete(rig.answer(t)));  // twice
    CHECK(rig.table.consume(t));
    CHECK_FALSE(rig.table.complete(rig.answer(t)));  // after its end
  }

  TEST_CASE_TEMPLATE("complete: late, after the CID's reuse -> refused", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(2);
    const ticket first = rig.table.begin(rig.table.claim());
    REQUIRE(rig.table.complete(rig.answer(first)));
    REQUIRE(rig.table.consume(first));
    const ticket second = rig.table.begin(rig.table.claim());
    CHECK(second.index == first.index);
    CHECK(rig.table.wire_cid(second) != rig.table.wire_cid(first));
    CHECK_FALSE(rig.table.complete(rig.answer(first)));
    CHECK(rig.table.peek(second).status == status(client_status::would_block));
    CHECK(rig.table.peek(first).status == status(client_status::stale_ticket));
    CHECK(rig.table.completed(first));
    CHECK_FALSE(rig.table.completed(second));
  }

  TEST_CASE_TEMPLATE("wire_cid: never FFFFh, through all generations", Sharing, exclusive, shared) {
    for (const std::uint32_t entries : {2u, 64u, 32768u}) {
      table_rig<Sharing> rig(entries);
      for (std::uint32_t g = 0; g < 70000; g += entries == 2 ? 1u : 977u)
        for (const std::uint32_t i : {0u, (entries - 1) / 2, entries - 2})
          CHECK_MESSAGE(rig.table.wire_cid({i, g}) != 0xffff, entries, " ", g, " ", i);
    }
  }

  TEST_CASE_TEMPLATE("finish: the outcome, and the CID is free once, of another generation", Sharing, exclusive,
                     shared) {
    table_rig<Sharing> rig(4);
    const ticket a = rig.table.begin(rig.table.claim());
    const ticket b = rig.table.begin(rig.table.claim());
    CHECK(rig.table.finish(a, rig.answer(a)).status.ok());
    CHECK(rig.table.finish(b, rig.answer(b)).status.ok());
    CHECK(rig.table.free_count() == 3);
    CHECK(rig.table.has_free());
    CHECK(rig.table.peek(a).status == status(client_status::stale_ticket));
    std::vector<std::uint32_t> claimed;
    for (std::uint32_t i = rig.table.claim(); i != ticket::none; i = rig.table.claim()) claimed.push_back(i);
    std::sort(claimed.begin(), claimed.end());
    CHECK(claimed == std::vector<std::uint32_t>{0, 1, 2});
    CHECK(rig.table.begin(a.index).generation == a.generation + 1);
    CHECK_FALSE(rig.table.has_free());
  }

  TEST_CASE("claim_some: also the CID that was laid aside") {
    table_rig<shared> rig(64);
    for (std::uint32_t i = 0; i < 62; ++i) static_cast<void>(rig.table.claim());
    const ticket t = rig.table.begin(rig.table.claim());
    CHECK(rig.table.claim_some(32).bits == 0);
    static_cast<void>(rig.table.finish(t, rig.answer(t)));
    const auto run = rig.table.claim_some(32);
    CHECK(run.first == t.index / 32 * 32);
    CHECK(run.bits == 1u << t.index % 32);
    CHECK(rig.table.claim_some(32).bits == 0);
  }

  TEST_CASE_TEMPLATE("cancel: in flight -> quarantined until the late completion", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(2);
    const ticket t = rig.table.begin(rig.table.claim());
    CHECK(rig.table.cancel(t));
    CHECK(rig.table.peek(t).status == status(client_status::cancelled));
    CHECK_FALSE(rig.table.completed(t));
    CHECK_FALSE(rig.table.consume(t));
    CHECK_FALSE(rig.table.cancel(t));
    CHECK(rig.table.claim() == ticket::none);
    CHECK(rig.table.complete(rig.answer(t)));
    CHECK(rig.table.completed(t));
    CHECK(reinterpret_cast<queue_counters*>(rig.control.get())->late_completions == 1);
    CHECK(rig.table.free_count() == 1);
    CHECK(rig.table.peek(t).status == status(client_status::stale_ticket));
    const ticket next = rig.table.begin(rig.table.claim());
    CHECK_FALSE(rig.table.complete(rig.answer(t)));
    CHECK(rig.table.peek(next).status == status(client_status::would_block));
  }

  TEST_CASE_TEMPLATE("cancel: a completed command is consumed", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(2);
    const ticket t = rig.table.begin(rig.table.claim());
    REQUIRE(rig.table.complete(rig.answer(t)));
    CHECK(rig.table.cancel(t));
    CHECK(rig.table.free_count() == 1);
    CHECK_FALSE(rig.table.cancel(t));
  }

  TEST_CASE_TEMPLATE("initialize: tickets from before are stale", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(4);
    const ticket t = rig.table.begin(rig.table.claim());
    rig.table.initialize();
    CHECK(rig.table.free_count() == 3);
    CHECK(rig.table.peek(t).status == status(client_status::stale_ticket));
    CHECK_FALSE(rig.table.complete(rig.answer(t)));
    CHECK(rig.table.completed(t));
    const ticket again = rig.table.begin(rig.table.claim());
    REQUIRE(again.index == t.index);
    CHECK_FALSE(rig.table.complete(rig.answer(t)));
    CHECK(rig.table.peek(t).status == status(client_status::stale_ticket));
    CHECK_FALSE(rig.table.cancel(t));
  }

  TEST_CASE_TEMPLATE("any call: a ticket of no table -> stale", Sharing, exclusive, shared) {
    table_rig<Sharing> rig(4);
    for (const ticket t : {ticket{}, ticket{3, 0}, ticket{1000, 5}}) {
      CHECK(rig.table.peek(t).status == status(client_status::stale_ticket));
      CHECK_FALSE(rig.table.consume(t));
      CHECK_FALSE(rig.table.cancel(t));
      CHECK(rig.table.completed(t));
    }
  }

  TEST_CASE("complete: the record's last reader is through, although nothing but the table says so") {
    table_rig<shared> rig(2);
    constexpr std::uint32_t count = 500;
    std::atomic<std::uint32_t> sent{0};  // relaxed: the command's number and its CID
    std::thread reaper([&] {
      for (std::uint32_t n = 1; n <= count; ++n) {
        std::uint32_t seen = 0;
        while ((seen = sent.load(std::memory_order_relaxed)) >> 16 != n) std::this_thread::yield();
        rig.table.complete(cqe::make(n, 0, 0, static_cast<std::uint16_t>(seen), {}, true));
      }
    });
    bool right = true;
    for (std::uint32_t n = 1; n <= count; ++n) {
      const ticket t = rig.table.begin(rig.table.claim());
      sent.store(n << 16 | rig.table.wire_cid(t), std::memory_order_relaxed);
      completion c = rig.table.peek(t);
      while (c.status == status(client_status::would_block)) {
        std::this_thread::yield();
        c = rig.table.peek(t);
      }
      right = right && c.dw0 == n && rig.table.consume(t);
    }
    reaper.join();
    CHECK(right);
  }

  TEST_CASE("completed: what came before the late completion is there for who sees it") {
    table_rig<shared> rig(2);
    for (std::uint64_t n = 1; n <= 50; ++n) {
      const ticket t = rig.table.begin(rig.table.claim());
      CHECK(rig.table.cancel(t));
      std::uint64_t buffer = 0;
      std::thread reaper([&] {
        buffer = n;
        rig.table.complete(rig.answer(t));
      });
      while (!rig.table.completed(t)) std::this_thread::yield();
      CHECK(buffer == n);
      reaper.join();
    }
  }

  TEST_CASE("claim, consume and cancel by many threads: no CID has two owners") {
    table_rig<shared> rig(64);
    std::vector<std::atomic<int>> owners(64);
    std::atomic<bool> doubled{false};
    std::vector<std::thread> threads;
    std::mutex completing;  // completions are one thread's at a time
    for (int n = 0; n < 8; ++n)
      threads.emplace_back([&, n] {
        for (int i = 0; i < 3000; ++i) {
          const std::uint32_t index = rig.table.claim();
          if (index == ticket::none) {
            std::this_thread::yield();
            continue;
          }
          if (owners[index].fetch_add(1) != 0) doubled = true;
          const ticket t = rig.table.begin(index);
          owners[index].fetch_sub(1);
          if ((i + n) % 3 == 0) {
            std::thread other;
            if (i % 300 == 0) other = std::thread([&] { rig.table.cancel(t); });
            {
              std::lock_guard lock(completing);
              rig.table.complete(rig.answer(t));
            }
            rig.table.cancel(t);
            if (other.joinable()) other.join();
          } else {
            {
              std::lock_guard lock(completing);
              rig.table.complete(rig.answer(t, index));
            }
            if (rig.table.peek(t).dw0 != index) doubled = true;
            if (!rig.table.consume(t)) doubled = true;
          }
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK_FALSE(doubled.load());
    CHECK(rig.table.free_count() == 63);
  }
}
