// SPDX-License-Identifier: BSD-3-Clause
#include "support/model_controller.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace nkv;
using nkv_test::model_thread;
using nkv_test::queue_rig;
using nkv_test::stepping_clock;

namespace {

using test_deadline = deadline<stepping_clock>;

/// A clock with which somebody else acts whenever a look was in vain.
struct acting_clock {
  static inline std::function<void()> act;
  static inline std::uint64_t ns = 0;
  static std::uint64_t now_ns() noexcept { return ++ns; }
  static void relax(std::uint32_t) noexcept { act(); }
};
using acting_deadline = deadline<acting_clock>;

/// A controller that writes completions of nobody's without end: whenever it is told that there is room.
struct flooding_doorbell {
  cqe* cq = nullptr;
  std::uint32_t entries = 0;
  std::uint32_t* written = nullptr;

  void ring_sq_tail(std::uint32_t) const noexcept { flood(entries); }
  void ring_cq_head(std::uint32_t) const noexcept { flood(entries / 2); }

 private:
  void flood(std::uint32_t count) const noexcept {
    for (; count != 0; --count, ++*written) {
      const std::uint32_t phase = (*written / entries & 1u) ^ 1u;
      cq[*written % entries].dw[2] = std::uint32_t{9} << 16;
      cq[*written % entries].dw[3] = phase << 16;
    }
  }
};

sqe exist_of(std::uint32_t n) {
  sqe c;
  c.set_opc(kv_opcode::exist);
  c.set_nsid(1);
  c.set_cdw(10, n);
  return c;
}

}  // namespace

TEST_SUITE("queue/queue_pair_ref") {
  TEST_CASE_TEMPLATE("submit: full at depth - 1 -> queue_full, nothing written", Sharing, exclusive, shared) {
    for (const std::uint32_t entries : {2u, 4u, 64u}) {
      queue_rig<Sharing> rig(entries);
      std::vector<ticket> tickets;
      for (std::uint32_t i = 0; i < entries - 1; ++i) {
        const result<ticket> t = rig.ref.submit(exist_of(i));
        REQUIRE(t.has_value());
        tickets.push_back(*t);
      }
      const std::uint32_t tail = rig.doorbells[0];
      const sqe untouched = rig.sq[entries - 1];
      CHECK(rig.ref.submit(exist_of(99)).error() == status(client_status::queue_full));
      CHECK(rig.doorbells[0] == tail);
      CHECK(std::equal(std::begin(untouched.dw), std::end(untouched.dw), std::begin(rig.sq[entries - 1].dw)));
      CHECK(rig.controller.fetch() == entries - 1);
      CHECK(rig.ref.submit(exist_of(99)).error() == status(client_status::queue_full));
      REQUIRE(rig.controller.complete(0));
      CHECK(rig.ref.poll(tickets[0]).status.ok());
      CHECK(rig.ref.submit(exist_of(99)).error() == status(client_status::queue_full));  // not consumed yet
      CHECK(rig.ref.consume(tickets[0]).ok());
      CHECK(rig.ref.submit(exist_of(99)).has_value());
      CHECK(rig.controller.broken() == "");
    }
  }

  TEST_CASE_TEMPLATE("a controller that fetches late: nothing is lost over many laps", Sharing, exclusive, shared) {
    // With as many outstanding entries as the ring has, a late fetch finds tail == head and nothing to do.
    for (const std::uint32_t entries : {2u, 4u, 16u}) {
      for (const std::uint32_t cq_entries : {entries, 2 * entries, 4 * entries}) {
        queue_rig<Sharing> rig(entries, cq_entries);
        std::deque<ticket> open;
        std::uint32_t sent = 0;
        std::uint32_t done = 0;
        for (int round = 0; round < 2000; ++round) {
          for (;;) {
            const result<ticket> t = rig.ref.submit(exist_of(sent));
            if (!t) break;
            open.push_back(*t);
            ++sent;
          }
          REQUIRE(rig.controller.fetch(1 + static_cast<std::size_t>(round % 3)) > 0);
          while (!rig.controller.pending().empty())
            REQUIRE(rig.controller.complete(static_cast<std::size_t>(round) % rig.controller.pending().size(), {}, 7));
          for (auto t = open.begin(); t != open.end();) {
            const completion c = rig.ref.poll(*t);
            if (c.status == status(client_status::would_block)) {
              ++t;
              continue;
            }
            REQUIRE(c.status.ok());
            REQUIRE(c.dw0 == 7);
            REQUIRE(rig.ref.consume(*t).ok());
            t = open.erase(t);
            ++done;
          }
        }
        CHECK(done > 1500);
        CHECK(sent == done + open.size());
        CHECK(rig.controller.broken() == "");
        CHECK(rig.ref.counters().stray_completions == 0);
      }
    }
  }

  TEST_CASE_TEMPLATE("completions out of order: each finds its own", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(16);
    std::vector<ticket> tickets;
    for (std::uint32_t i = 0; i < 15; ++i) tickets.push_back(*rig.ref.submit(exist_of(i)));
    rig.controller.fetch();
    // Last first, with the command's own number as the result.
    while (!rig.controller.pending().empty()) {
      const std::size_t last = rig.controller.pending().size() - 1;
      const std::uint32_t number = rig.controller.pending()[last].cdw(10);
      REQUIRE(rig.controller.complete(last, number % 2 ? status(status_code_type::command_specific, 0x89) : status{},
                                      number));
    }
    for (std::uint32_t i = 0; i < 15; ++i) {
      const completion c = rig.ref.poll(tickets[i]);
      CHECK(c.dw0 == i);
      CHECK(c.status.is_key_exists() == (i % 2 == 1));
      CHECK(rig.ref.consume(tickets[i]).ok());
    }
    CHECK(rig.ref.outstanding() == 0);
  }

  TEST_CASE_TEMPLATE("a slow command holds a CID, not the ring", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(4);
    const ticket slow = *rig.ref.submit(exist_of(1000));
    rig.controller.fetch();
    for (std::uint32_t i = 0; i < 100; ++i) {
      const ticket t = *rig.ref.submit(exist_of(i));
      REQUIRE(rig.controller.fetch() == 1);
      REQUIRE(rig.controller.complete(1));
      REQUIRE(rig.ref.poll(t).status.ok());
      REQUIRE(rig.ref.consume(t).ok());
    }
    CHECK(rig.ref.poll(slow).status == status(client_status::would_block));
    REQUIRE(rig.controller.complete(0, {}, 5));
    CHECK(rig.ref.poll(slow).dw0 == 5);
    CHECK(rig.controller.broken() == "");
  }

  TEST_CASE_TEMPLATE("wait: deadline 0 looks once; a deadline reached -> timed_out, still in flight", Sharing,
                     exclusive, shared) {
    queue_rig<Sharing> rig(4);
    const ticket t = *rig.ref.submit(exist_of(1));
    stepping_clock::step = 1;
    CHECK(rig.ref.wait(t, test_deadline{}).status == status(client_status::timed_out));
    CHECK(rig.ref.wait(t, test_deadline::after_ns(50)).status == status(client_status::timed_out));
    CHECK(rig.ref.poll(t).status == status(client_status::would_block));
    rig.controller.fetch();
    rig.controller.complete(0, status(status_code_type::generic, 6, true));
    const completion c = rig.ref.wait(t, test_deadline{});
    CHECK(c.status == status(status_code_type::generic, 6));
    CHECK(c.status.dnr());
    CHECK(rig.ref.consume(t).ok());
    CHECK(rig.ref.consume(t) == status(client_status::stale_ticket));
    CHECK(rig.ref.poll(t).status == status(client_status::stale_ticket));
  }

  TEST_CASE_TEMPLATE("cancel: the CID and its scratch stay out of use until the late completion", Sharing, exclusive,
                     shared) {
    queue_rig<Sharing> rig(4);
    const auto r = rig.ref.reserve();
    const scratch s = rig.ref.scratch_of(*r);
    const ticket t = rig.ref.post(*r, exist_of(1));
    rig.ref.ring();
    CHECK(rig.ref.cancel(t).ok());
    CHECK(rig.ref.cancel(t) == status(client_status::stale_ticket));
    CHECK(rig.ref.poll(t).status == status(client_status::cancelled));
    for (int i = 0; i < 2; ++i) {
      const auto other = rig.ref.reserve();
      REQUIRE(other.has_value());
      CHECK(rig.ref.scratch_of(*other).head != s.head);
    }
    CHECK(rig.ref.reserve().error() == status(client_status::queue_full));
    rig.controller.fetch();
    CHECK_FALSE(rig.ref.quiesced(t));
    rig.controller.complete(0);
    CHECK(rig.ref.quiesced(t));
    CHECK(rig.ref.counters().late_completions == 1);
    CHECK(rig.ref.reserve().has_value());
  }

  TEST_CASE_TEMPLATE("a controller that lies: strays are counted and ignored", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(8);
    const ticket t = *rig.ref.submit(exist_of(1));
    rig.controller.fetch();
    const std::uint16_t cid = rig.controller.pending()[0].cid();
    rig.controller.post(static_cast<std::uint16_t>(cid + 1));  // never sent
    rig.controller.post(0xffff);
    rig.controller.post(cid, {}, 0, 1);  // another queue's
    rig.controller.post(static_cast<std::uint16_t>(cid ^ 0x8000));
    CHECK(rig.ref.poll(t).status == status(client_status::would_block));
    CHECK(rig.ref.counters().stray_completions == 4);
    rig.controller.complete(0, {}, 9);
    rig.controller.post(cid, status(status_code_type::generic, 6), 1);  // twice
    CHECK(rig.ref.poll(t).dw0 == 9);
    CHECK(rig.ref.poll(t).status.ok());
    rig.ref.reap(8);
    CHECK(rig.ref.counters().stray_completions == 5);
    CHECK(rig.ref.consume(t).ok());
    CHECK(rig.ref.outstanding() == 0);
  }

  TEST_CASE_TEMPLATE("lost, then fenced: pending commands end, buffers are safe only when fenced", Sharing, exclusive,
                     shared) {
    queue_rig<Sharing> rig(8);
    const ticket done = *rig.ref.submit(exist_of(1));
    const ticket open = *rig.ref.submit(exist_of(2));
    rig.controller.fetch();
    rig.controller.complete(0, {}, 4);
    rig.ref.set_liveness(queue_liveness::lost);
    CHECK(rig.ref.poll(done).dw0 == 4);  // what had arrived is still told
    CHECK(rig.ref.poll(open).status == status(client_status::disconnected));
    CHECK(rig.ref.take(open).status == status(client_status::disconnected));
    CHECK(rig.ref.wait(open, test_deadline::after_ns(1000000)).status == status(client_status::disconnected));
    CHECK_FALSE(rig.ref.quiesced(open));
    CHECK(rig.ref.submit(exist_of(3)).error() == status(client_status::disconnected));
    rig.ref.set_liveness(queue_liveness::fenced);
    CHECK(rig.ref.quiesced(open));
    CHECK(rig.ref.reserve().error() == status(client_status::disconnected));
    rig.ref.initialize();
    CHECK(rig.ref.poll(open).status == status(client_status::stale_ticket));
    CHECK(rig.ref.submit(exist_of(3)).has_value());
  }

  TEST_CASE_TEMPLATE("a wiped control block, as a child after fork() has it: forked, and no doorbell is rung", Sharing,
                     exclusive, shared) {
    queue_rig<Sharing> rig(8, 8);
    std::vector<ticket> tickets;
    for (std::uint32_t i = 0; i < 7; ++i) tickets.push_back(*rig.ref.submit(exist_of(i)));
    rig.controller.fetch();
    while (!rig.controller.pending().empty()) REQUIRE(rig.controller.complete(0));
    std::memset(rig.control.get(), 0, queue_control_layout::of(rig.shape).size_bytes);
    const std::uint32_t tail = rig.doorbells[0], head = rig.doorbells[1];
    CHECK(rig.ref.reserve().error() == status(client_status::forked));
    CHECK(rig.ref.submit(exist_of(9)).error() == status(client_status::forked));
    for (const ticket t : tickets) {
      CHECK(rig.ref.poll(t).status == status(client_status::forked));
      CHECK(rig.ref.take(t).status == status(client_status::forked));
      CHECK(rig.ref.wait(t, test_deadline::after_ns(1000000)).status == status(client_status::forked));
      CHECK_FALSE(rig.ref.quiesced(t));
    }
    for (int i = 0; i < 3; ++i) rig.ref.reap(8);
    rig.ref.ring();
    CHECK(rig.doorbells[0] == tail);
    CHECK(rig.doorbells[1] == head);
  }

  TEST_CASE_TEMPLATE("queue_full is counted, once a refusal", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(2);
    CHECK(rig.ref.has_room());
    const ticket t = *rig.ref.submit(exist_of(1));
    CHECK_FALSE(rig.ref.has_room());
    CHECK(rig.ref.counters().queue_full == 0);
    for (int i = 0; i < 3; ++i) CHECK(rig.ref.submit(exist_of(2)).error() == status(client_status::queue_full));
    CHECK(rig.ref.counters().queue_full == 3);
    rig.controller.fetch();
    REQUIRE(rig.controller.complete(0));
    CHECK(rig.ref.take(t).status.ok());
    CHECK(rig.ref.submit(exist_of(2)).has_value());
    CHECK(rig.ref.counters().queue_full == 3);
  }

  TEST_CASE("take: reads no further than the command's own completion; those it passes stay for their tickets") {
    queue_rig<exclusive> rig(8);
    std::vector<ticket> t;
    for (std::uint32_t i = 0; i < 4; ++i) t.push_back(*rig.ref.submit(exist_of(i)));
    rig.controller.fetch();
    for (const std::uint32_t dw0 : {10u, 11u, 12u, 13u}) REQUIRE(rig.controller.complete(0, {}, dw0));
    const auto* counters = reinterpret_cast<const queue_counters*>(rig.control.get());
    CHECK(rig.ref.take(t[2]).dw0 == 12);
    CHECK(counters->cq_head == 3);
    CHECK(rig.ref.take(t[2]).status == status(client_status::stale_ticket));
    CHECK(rig.ref.take(t[0]).dw0 == 10);
    CHECK(counters->cq_head == 3);
    CHECK(rig.ref.take(t[3]).dw0 == 13);
    CHECK(rig.ref.take(t[1]).dw0 == 11);
    CHECK(rig.ref.outstanding() == 0);
    CHECK(rig.ref.counters().stray_completions == 0);
    // CIDs come back last in, first out, each with another generation.
    static_cast<void>(rig.ref.submit(exist_of(4)));
    const ticket again = *rig.ref.submit(exist_of(5));
    CHECK(again.index == t[3].index);
    CHECK_FALSE(again == t[3]);
    // The right CID of another queue is nobody's.
    const ticket other = *rig.ref.submit(exist_of(6));
    rig.controller.fetch();
    REQUIRE(rig.controller.post(rig.controller.pending().back().cid(), {}, 99, 1));
    CHECK(rig.ref.take(other).status == status(client_status::would_block));
    CHECK(rig.ref.counters().stray_completions == 1);
  }

  TEST_CASE("fenced: what the owner did before is there for who sees the buffer quiesced") {
    for (std::uint64_t n = 1; n <= 50; ++n) {
      queue_rig<shared> rig(2);
      const ticket t = *rig.ref.submit(exist_of(1));
      std::uint64_t buffer = 0;
      std::thread owner([&] {
        buffer = n;
        rig.ref.set_liveness(queue_liveness::fenced);
      });
      while (!rig.ref.quiesced(t)) std::this_thread::yield();
      CHECK(buffer == n);
      owner.join();
    }
  }

  TEST_CASE_TEMPLATE("lost while a completion is read: it is told, and its head rung", Sharing, exclusive, shared) {
    for (int n = 0; n < 50; ++n) {
      queue_rig<Sharing> rig(2, 2);  // so short a ring has a doorbell an entry
      const ticket t = *rig.ref.submit(exist_of(1));
      rig.controller.fetch();
      REQUIRE(rig.controller.complete(0));
      std::thread owner([&] { rig.ref.set_liveness(queue_liveness::lost); });
      CHECK(rig.ref.take(t).status.ok());
      CHECK(rig.doorbells[1] == 1);
      owner.join();
    }
  }

  TEST_CASE_TEMPLATE("post without ring, then one ring: one doorbell a batch", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(64);
    for (int batch = 0; batch < 20; ++batch) {
      std::vector<ticket> tickets;
      for (std::uint32_t i = 0; i < 32; ++i) tickets.push_back(rig.ref.post(*rig.ref.reserve(), exist_of(i)));
      CHECK(rig.controller.fetch() == 0);
      rig.ref.ring();
      CHECK(rig.controller.fetch() == 32);
      while (!rig.controller.pending().empty()) rig.controller.complete(0);
      for (const ticket t : tickets) {
        CHECK(rig.ref.poll(t).status.ok());
        CHECK(rig.ref.consume(t).ok());
      }
    }
    CHECK(rig.ref.counters().sq_doorbells == 20);
    CHECK(rig.ref.counters().cq_doorbells <= 20 * 32 / 64);
    CHECK(rig.controller.tail_moves() == 20);
  }

  TEST_CASE_TEMPLATE("reserve and give back: nothing is sent, nothing is lost", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(2);
    for (int i = 0; i < 10; ++i) {
      const auto r = rig.ref.reserve();
      REQUIRE(r.has_value());
      rig.ref.cancel(*r);
    }
    CHECK(rig.ref.outstanding() == 0);
    CHECK(rig.doorbells[0] == 0);
  }

  TEST_CASE_TEMPLATE("depth 2 for a long time: every command answered", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(2, 2);
    model_thread<Sharing> controller(rig, [](const sqe& c) { return std::pair{status{}, c.cdw(10)}; });
    for (std::uint32_t i = 0; i < 5000; ++i) {
      const result<ticket> t = rig.ref.submit(exist_of(i));
      REQUIRE(t.has_value());
      const completion c = rig.ref.wait(*t, deadline<stepping_clock>{~0ull});
      REQUIRE(c.status.ok());
      REQUIRE(c.dw0 == i);
      REQUIRE(rig.ref.consume(*t).ok());
    }
    CHECK(rig.controller.broken() == "");
  }

  TEST_CASE("64 threads on one shared queue: every command answered once, to its own thread") {
    for (const std::uint32_t entries : {2u, 16u, 256u}) {
      queue_rig<shared> rig(entries, entries == 16 ? 16 : 0);
      std::atomic<std::uint32_t> wrong{0};
      {
        model_thread<shared> controller(
            rig, [](const sqe& c) { return std::pair{status{}, c.cdw(10) * 3}; }, 7, entries);
        std::vector<std::thread> pool;
        for (std::uint32_t n = 0; n < 64; ++n)
          pool.emplace_back([&rig, &wrong, n] {
            for (std::uint32_t i = 0; i < 60; ++i) {
              const std::uint32_t number = n * 1000 + i;
              result<ticket> t = rig.ref.submit(exist_of(number));
              while (!t) {
                if (!(t.error() == status(client_status::queue_full))) ++wrong;
                rig.ref.reap(rig.ref.capacity());
                std::this_thread::yield();
                t = rig.ref.submit(exist_of(number));
              }
              completion c = rig.ref.poll(*t);
              while (c.status == status(client_status::would_block)) {
                std::this_thread::yield();
                c = rig.ref.poll(*t);
              }
              if (!c.status.ok() || c.dw0 != number * 3) ++wrong;
              if (!rig.ref.consume(*t).ok()) ++wrong;
            }
          });
        for (std::thread& t : pool) t.join();
      }
      CHECK(wrong.load() == 0);
      CHECK(rig.controller.fetched() == 64 * 60);
      CHECK(rig.ref.outstanding() == 0);
      CHECK(rig.ref.counters().stray_completions == 0);
      CHECK(rig.controller.broken() == "");
    }
  }

  TEST_CASE("threads that cancel at random: every CID comes home") {
    queue_rig<shared> rig(32);
    {
      model_thread<shared> controller(rig, [](const sqe& c) { return std::pair{status{}, c.cdw(10)}; }, 3);
      std::vector<std::thread> pool;
      for (std::uint32_t n = 0; n < 8; ++n)
        pool.emplace_back([&rig, n] {
          for (std::uint32_t i = 0; i < 400; ++i) {
            const result<ticket> t = rig.ref.submit(exist_of(i));
            if (!t) {
              rig.ref.reap(4);
              std::this_thread::yield();
              continue;
            }
            if ((i + n) % 2 == 0) {
              static_cast<void>(rig.ref.cancel(*t));
              while (!rig.ref.quiesced(*t)) std::this_thread::yield();
            } else {
              while (rig.ref.poll(*t).status == status(client_status::would_block)) std::this_thread::yield();
              static_cast<void>(rig.ref.consume(*t));
            }
          }
        });
      for (std::thread& t : pool) t.join();
    }
    CHECK(rig.ref.outstanding() == 0);
    CHECK(rig.ref.counters().stray_completions == 0);
    CHECK(rig.controller.broken() == "");
  }

  TEST_CASE_TEMPLATE("a controller that completes what was never sent, without end: every call ends", Sharing,
                     exclusive, shared) {
    const queue_shape shape{8, 8};
    std::vector<sqe> sq(8);
    std::vector<cqe> cq(8);
    std::vector<std::uint64_t> control(queue_control_layout::of(shape).size_bytes / 8 + 8);
    queue_pair_parts parts;
    parts.sq = sq.data();
    parts.cq = cq.data();
    parts.control = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(control.data()) + 63) / 64 * 64);
    parts.shape = shape;
    parts.qid = 1;
    std::uint32_t written = 0;
    const queue_pair_ref<Sharing, flooding_doorbell> ref(parts, {cq.data(), 8, &written});
    ref.initialize();
    const result<ticket> t = ref.submit(exist_of(1));
    REQUIRE(t.has_value());
    CHECK(ref.poll(*t).status == status(client_status::would_block));
    CHECK(ref.take(*t).status == status(client_status::would_block));
    CHECK(ref.wait(*t, test_deadline::after_ns(20)).status == status(client_status::timed_out));
    CHECK(ref.wait_and_take(*t, test_deadline::after_ns(20)).status == status(client_status::timed_out));
    ticket sent;
    completion c;
    CHECK(ref.run(exist_of(2), test_deadline::after_ns(20), sent, c));
    CHECK(c.status == status(client_status::timed_out));
    CHECK(ref.poll(sent).status == status(client_status::cancelled));
    CHECK(!ref.quiesced(*t));
    CHECK(ref.counters().stray_completions > 100);
  }

  TEST_CASE_TEMPLATE("run: to its end, among others' completions", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(4);
    const result<ticket> before = rig.ref.submit(exist_of(1));
    REQUIRE(before.has_value());
    for (std::uint32_t i = 0; i < 100; ++i) {
      std::uint32_t looks = 0;
      acting_clock::act = [&] {
        if (looks++ != 1) return;
        rig.controller.fetch();
        // The one that was sent before, in the middle of it.
        if (i == 50) CHECK(rig.controller.complete(0, {}, 1234));
        CHECK(rig.controller.complete(rig.controller.pending().size() - 1, {}, i));
      };
      ticket t;
      completion c;
      REQUIRE(rig.ref.run(exist_of(2), acting_deadline::after_ns(1'000'000), t, c));
      REQUIRE(c.status.ok());
      REQUIRE(c.dw0 == i);
      REQUIRE(looks == 2);
      REQUIRE(rig.ref.peek(t).status == status(client_status::stale_ticket));
      REQUIRE(rig.ref.outstanding() == 1);
    }
    CHECK(rig.ref.take(*before).dw0 == 1234);
    CHECK(rig.ref.outstanding() == 0);
    CHECK(rig.ref.counters().stray_completions == 0);
    CHECK(rig.controller.broken() == "");
  }

  TEST_CASE_TEMPLATE("run: a CID's next use is another", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(2);
    std::uint16_t wire[2] = {};
    std::uint32_t n = 0;
    acting_clock::act = [&] {
      if (rig.controller.fetch() == 0) return;
      wire[n++] = rig.controller.pending()[0].cid();
      CHECK(rig.controller.complete(0));
    };
    ticket first;
    ticket second;
    completion c;
    REQUIRE(rig.ref.run(exist_of(1), acting_deadline::after_ns(1'000'000), first, c));
    REQUIRE(rig.ref.run(exist_of(2), acting_deadline::after_ns(1'000'000), second, c));
    CHECK(first.generation != second.generation);
    CHECK(wire[0] != wire[1]);
    // The answer to the first once more is nobody's.
    rig.controller.post(wire[0]);
    CHECK(rig.ref.reap(1) == 1);
    CHECK(rig.ref.counters().stray_completions == 1);
  }

  TEST_CASE("run: completed once more behind a completion that another thread has read -> the first counts") {
    queue_rig<shared> rig(4);
    acting_clock::act = [&] {
      REQUIRE(rig.controller.fetch() == 1);
      const std::uint16_t cid = rig.controller.pending()[0].cid();
      CHECK(rig.controller.complete(0, {}, 7));
      CHECK(rig.ref.reap(1) == 1);
      rig.controller.post(cid, status(status_code_type::generic, 6), 8);
    };
    ticket t;
    completion c;
    REQUIRE(rig.ref.run(exist_of(1), acting_deadline::after_ns(1'000'000), t, c));
    CHECK(c.status.ok());
    CHECK(c.dw0 == 7);
    CHECK(rig.ref.counters().stray_completions == 1);
    CHECK(rig.ref.outstanding() == 0);
  }

  TEST_CASE_TEMPLATE("run: a status that is none of success, and a queue without room", Sharing, exclusive, shared) {
    queue_rig<Sharing> rig(2);
    acting_clock::act = [&] {
      if (rig.controller.fetch() != 0) CHECK(rig.controller.complete(0, status(status_code_type::generic, 0x87), 5));
    };
    ticket t;
    completion c;
    REQUIRE(rig.ref.run(exist_of(1), acting_deadline::after_ns(1'000'000), t, c));
    CHECK(c.status == status(status_code_type::generic, 0x87));
    CHECK(c.dw0 == 5);
    REQUIRE(rig.ref.submit(exist_of(2)).has_value());
    CHECK(!rig.ref.run(exist_of(3), acting_deadline::after_ns(1'000'000), t, c));
    CHECK(rig.ref.refusal() == status(client_status::queue_full));
  }

  TEST_CASE_TEMPLATE("run: too late -> timed_out, and the CID in quarantine until the answer", Sharing, exclusive,
                     shared) {
    for (const bool others : {false, true}) {
      queue_rig<Sharing> rig(4);
      const result<ticket> before = rig.ref.submit(exist_of(1));
      REQUIRE(before.has_value());
      acting_clock::act = [&] {
        if (rig.controller.fetch() != 0 && others) CHECK(rig.controller.complete(0));
      };
      ticket t;
      completion c;
      REQUIRE(rig.ref.run(exist_of(2), acting_deadline::after_ns(1000), t, c));
      CHECK(c.status == status(client_status::timed_out));
      CHECK(rig.ref.poll(t).status == status(client_status::cancelled));
      CHECK(!rig.ref.quiesced(t));
      CHECK(rig.ref.outstanding() == 2);
      // Nobody else has its CID.
      const result<ticket> after = rig.ref.submit(exist_of(3));
      REQUIRE(after.has_value());
      CHECK(after->index != t.index);
      while (!rig.controller.pending().empty()) REQUIRE(rig.controller.complete(0));
      CHECK(rig.ref.quiesced(t));
      CHECK(rig.ref.counters().late_completions == 1);
      CHECK(rig.ref.take(*before).status.ok());
      CHECK(rig.ref.outstanding() == 1);
    }
  }

  TEST_CASE_TEMPLATE("run: the controller is lost meanwhile -> disconnected, and the CID stays", Sharing, exclusive,
                     shared) {
    queue_rig<Sharing> rig(4);
    acting_clock::act = [&] { rig.ref.set_liveness(queue_liveness::lost); };
    ticket t;
    completion c;
    REQUIRE(rig.ref.run(exist_of(1), acting_deadline::after_ns(1'000'000), t, c));
    CHECK(c.status == status(client_status::disconnected));
    CHECK(!rig.ref.quiesced(t));
    CHECK(rig.ref.outstanding() == 1);
    CHECK(!rig.ref.run(exist_of(1), acting_deadline::after_ns(1'000'000), t, c));
    CHECK(rig.ref.refusal() == status(client_status::disconnected));
  }

  TEST_CASE("a ref is a plain value") {
    CHECK(std::is_trivially_copyable_v<queue_pair_ref<shared, mapped_doorbell<>>>);
    CHECK(std::is_trivially_destructible_v<queue_pair_ref<exclusive, mapped_doorbell<>>>);
  }
}
