// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/clock.hpp>
#include <nkv/host/proxy/proxy_queue.hpp>
#include <support/model_controller.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;
using nkv::host::command_filter;
using nkv::host::proxy_layout;

namespace {

sqe exist_of(std::uint32_t n) {
  sqe c;
  c.set_opc(kv_opcode::exist);
  c.set_nsid(1);
  c.set_cdw(13, n);
  return c;
}

/// A proxy's queue above a queue rig, whose controller the test plays; and a user of the proxy's queue.
template <class Sharing>
struct proxy_rig {
  using lower_ref = queue_rig<exclusive>::ref_type;
  using user_ref = queue_pair_ref<Sharing, mapped_doorbell<>>;

  explicit proxy_rig(queue_shape shape, std::uint32_t lower_entries = 64)
      : lower(lower_entries),
        layout(proxy_layout::of(shape, 512, 4096)),
        memory(queue_rig<exclusive>::aligned<std::byte>(layout.queue_bytes)),
        scratch(queue_rig<exclusive>::aligned<std::byte>(layout.scratch_bytes)),
        proxy(layout, memory.get(), 5, lower.ref,
              command_filter(1, false, 4096, {reinterpret_cast<std::uint64_t>(scratch.get()), layout.scratch_bytes, 0},
                             {})),
        user(layout.parts(memory.get(), scratch.get(), reinterpret_cast<std::uint64_t>(scratch.get()), 5),
             {layout.sq_tail(memory.get()), layout.cq_head(memory.get())}) {
    user.initialize();
  }
  [[nodiscard]] const cqe* cq() const { return reinterpret_cast<const cqe*>(memory.get() + layout.cq_offset); }

  queue_rig<exclusive> lower;
  proxy_layout layout;
  queue_rig<exclusive>::block<std::byte> memory, scratch;
  host::proxy_queue<lower_ref> proxy;
  user_ref user;
};

bool blocked(const completion& c) { return c.status == status(client_status::would_block); }

}  // namespace

TEST_SUITE("host/proxy/proxy_queue") {
  TEST_CASE_TEMPLATE("out of order below -> each answer under its own CID, with its own status and DW0", Sharing,
                     exclusive, shared) {
    proxy_rig<Sharing> rig({16, 32});
    std::vector<ticket> tickets;
    for (std::uint32_t i = 0; i < 15; ++i) tickets.push_back(*rig.user.submit(exist_of(i)));
    CHECK(rig.proxy.poll() == 15);
    CHECK(rig.proxy.in_flight() == 15);
    CHECK(rig.lower.controller.fetch() == 15);
    // The bytes are those of the command, save the CID.
    for (std::uint32_t i = 0; i < 15; ++i) {
      CHECK(rig.lower.controller.pending()[i].cdw(13) == i);
      CHECK(rig.lower.controller.pending()[i].nsid() == 1);
    }
    CHECK(rig.proxy.poll() == 0);
    for (const ticket& t : tickets) CHECK(blocked(rig.user.poll(t)));
    while (!rig.lower.controller.pending().empty()) {
      const std::size_t i = rig.lower.controller.pending().size() / 2;
      const std::uint32_t n = rig.lower.controller.pending()[i].cdw(13);
      rig.lower.controller.complete(i, {status_code_type::command_specific, static_cast<std::uint8_t>(n + 1), true},
                                    0xabcd0000u + n);
    }
    CHECK(rig.proxy.poll() == 15);
    CHECK(rig.proxy.in_flight() == 0);
    for (std::uint32_t i = 0; i < 15; ++i) {
      const completion c = rig.user.take(tickets[i]);
      CHECK(c.status == status(status_code_type::command_specific, static_cast<std::uint8_t>(i + 1)));
      CHECK(c.status.dnr());
      CHECK(c.dw0 == 0xabcd0000u + i);
    }
    CHECK(rig.cq()[0].sqhd() == 15);
    CHECK(rig.cq()[0].sqid() == 5);
    CHECK(rig.user.counters().stray_completions == 0);
    CHECK(rig.lower.controller.broken() == "");
    CHECK(rig.proxy.statistics().forwarded == 15);
  }

  TEST_CASE("rings of 2 to 8, many rounds -> nothing lost where they wrap") {
    for (const queue_shape shape : {queue_shape{2, 2}, queue_shape{2, 4}, queue_shape{4, 4}, queue_shape{8, 8}}) {
      proxy_rig<exclusive> rig(shape, 4);
      std::uint32_t sent = 0;
      for (std::uint32_t round = 0; round < 60; ++round) {
        std::vector<std::pair<ticket, std::uint32_t>> under_way;
        while (rig.user.has_room()) {
          under_way.emplace_back(*rig.user.submit(exist_of(sent)), sent);
          ++sent;
        }
        for (const auto& [t, n] : under_way) {
          completion c = rig.user.take(t);
          for (int i = 0; blocked(c) && i < 100; ++i) {
            rig.proxy.poll();
            rig.lower.controller.fetch();
            if (!rig.lower.controller.pending().empty())
              rig.lower.controller.complete(0, {}, rig.lower.controller.pending()[0].cdw(13));
            c = rig.user.take(t);
          }
          REQUIRE(c.status == status());
          REQUIRE(c.dw0 == n);
        }
      }
      CHECK(rig.user.counters().stray_completions == 0);
      CHECK(rig.proxy.statistics().forwarded == sent);
      CHECK(rig.proxy.statistics().bad_doorbells == 0);
      CHECK(rig.lower.controller.broken() == "");
    }
  }

  TEST_CASE("garbled entries -> answered here, in their place, and never posted below") {
    proxy_rig<exclusive> rig({8, 16});
    sqe flush = exist_of(0);
    flush.set_opc(kv_opcode::flush);
    sqe elsewhere = exist_of(1);
    elsewhere.set_nsid(2);
    sqe noise;
    for (std::uint32_t i = 0; i < 16; ++i) noise.dw[i] = 0x9e3779b9u * (i + 1);
    const ticket a = *rig.user.submit(flush);
    const ticket b = *rig.user.submit(exist_of(2));
    const ticket c = *rig.user.submit(elsewhere);
    const ticket d = *rig.user.submit(noise);
    CHECK(rig.proxy.poll() == 4);
    CHECK(rig.user.take(a).status == status(status_code_type::generic, generic_status::invalid_opcode));
    CHECK(rig.user.take(c).status == status(status_code_type::generic, generic_status::invalid_nsid));
    CHECK(rig.user.take(d).status == status(status_code_type::generic, generic_status::invalid_opcode));
    CHECK(rig.lower.controller.fetch() == 1);
    CHECK(rig.lower.controller.pending()[0].cdw(13) == 2);
    rig.lower.controller.complete(0);
    rig.proxy.poll();
    CHECK(rig.user.take(b).status == status());
    CHECK(rig.proxy.statistics().refused == 3);
    CHECK(rig.proxy.statistics().forwarded == 1);
  }

  TEST_CASE("no room below -> the rest waits in the ring, and goes when there is") {
    proxy_rig<exclusive> rig({16, 32}, 4);
    std::vector<ticket> tickets;
    for (std::uint32_t i = 0; i < 10; ++i) tickets.push_back(*rig.user.submit(exist_of(i)));
    CHECK(rig.proxy.poll() == 3);
    CHECK(rig.proxy.poll() == 0);
    CHECK(rig.lower.controller.fetch() == 3);
    rig.lower.controller.complete(1, {}, 1);
    CHECK(rig.proxy.poll() == 2);  // one back, one on its way
    std::uint32_t done = 1;
    for (int i = 0; i < 100 && done < 10; ++i) {
      rig.lower.controller.fetch();
      while (!rig.lower.controller.pending().empty()) {
        rig.lower.controller.complete(0, {}, rig.lower.controller.pending()[0].cdw(13));
        ++done;
      }
      rig.proxy.poll();
    }
    for (std::uint32_t i = 0; i < 10; ++i) CHECK(rig.user.take(tickets[i]).dw0 == i);
    CHECK(rig.lower.controller.broken() == "");
  }

  TEST_CASE("a completion queue that nobody reads -> never overrun; nothing is fetched without room for its answer") {
    proxy_rig<exclusive> rig({4, 4});
    std::uint32_t* const tail = rig.layout.sq_tail(rig.memory.get());
    auto* const sq = reinterpret_cast<sqe*>(rig.memory.get());
    // A user that keeps to no rule: entry upon entry, and the head never rung.
    std::uint32_t at = 0;
    const auto push = [&](std::uint16_t cid) {
      sq[at] = exist_of(cid);
      sq[at].set_cid(cid);
      if (cid % 2 == 0) sq[at].set_opc(kv_opcode::flush);
      at = (at + 1) & 3u;
      *tail = at;
    };
    push(0);
    push(1);
    push(2);
    CHECK(rig.proxy.poll() == 3);
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0);
    CHECK(rig.proxy.poll() == 1);
    push(4);
    push(5);
    CHECK(rig.proxy.poll() == 0);
    CHECK(rig.cq()[0].cid() == 0);
    CHECK(rig.cq()[1].cid() == 2);
    CHECK(rig.cq()[2].cid() == 1);
    CHECK_FALSE(rig.cq()[3].phase());
    *rig.layout.cq_head(rig.memory.get()) = 1;
    CHECK(rig.proxy.poll() == 1);
    CHECK(rig.cq()[3].cid() == 4);
    CHECK(rig.cq()[3].phase());
    CHECK(rig.proxy.poll() == 0);
    *rig.layout.cq_head(rig.memory.get()) = 2;
    CHECK(rig.proxy.poll() == 1);
    CHECK(rig.proxy.in_flight() == 1);
    CHECK(rig.proxy.statistics().bad_doorbells == 0);
  }

  TEST_CASE("doorbells beyond the ring, or a head that was never written -> ignored and counted") {
    proxy_rig<exclusive> rig({4, 8});
    std::uint32_t* const tail = rig.layout.sq_tail(rig.memory.get());
    std::uint32_t* const head = rig.layout.cq_head(rig.memory.get());
    for (const std::uint32_t value : {4u, 5u, 0xffffffffu}) {
      *tail = value;
      CHECK(rig.proxy.poll() == 0);
    }
    CHECK(rig.proxy.statistics().bad_doorbells == 3);
    *tail = 0;
    const ticket t = *rig.user.submit(exist_of(1));
    for (const std::uint32_t value : {8u, 1u, 7u, 0x80000000u}) {
      *head = value;
      CHECK(rig.proxy.poll() == (value == 8 ? 1 : 0));
    }
    // Only looked at where there is something to fetch.
    CHECK(rig.proxy.statistics().bad_doorbells == 4);
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0, {}, 77);
    rig.proxy.poll();
    CHECK(rig.user.take(t).dw0 == 77);
    const ticket u = *rig.user.submit(exist_of(2));
    *head = 3;
    rig.proxy.poll();
    REQUIRE(rig.proxy.statistics().bad_doorbells == 5);
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0, {}, 78);
    rig.proxy.poll();
    CHECK(rig.user.take(u).dw0 == 78);
  }

  TEST_CASE("what was checked is what is posted: an entry that changes afterwards changes nothing") {
    proxy_rig<exclusive> rig({4, 8});
    const ticket t = *rig.user.submit(exist_of(1));
    rig.proxy.poll();
    auto* const sq = reinterpret_cast<sqe*>(rig.memory.get());
    sq[0].set_nsid(2);
    sq[0].set_cid(0x1234);
    rig.lower.controller.fetch();
    CHECK(rig.lower.controller.pending()[0].nsid() == 1);
    rig.lower.controller.complete(0, {}, 5);
    rig.proxy.poll();
    CHECK(rig.user.take(t).dw0 == 5);
  }

  TEST_CASE("cancelled above, completed late -> in quarantine until then, then quiesced") {
    proxy_rig<exclusive> rig({2, 4});
    const ticket t = *rig.user.submit(exist_of(1));
    rig.proxy.poll();
    CHECK(rig.user.cancel(t) == status());
    CHECK_FALSE(rig.user.quiesced(t));
    CHECK_FALSE(rig.user.has_room());
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0);
    CHECK_FALSE(rig.user.quiesced(t));
    rig.proxy.poll();
    CHECK(rig.user.quiesced(t));
    CHECK(rig.user.has_room());
    CHECK(rig.user.counters().late_completions == 1);
  }

  TEST_CASE("completions of nobody's below -> counted there, and nothing comes up") {
    proxy_rig<exclusive> rig({4, 8});
    const ticket t = *rig.user.submit(exist_of(1));
    rig.proxy.poll();
    rig.lower.controller.fetch();
    const std::uint16_t cid = rig.lower.controller.pending()[0].cid();
    rig.lower.controller.post(static_cast<std::uint16_t>(cid + 1));
    rig.lower.controller.post(static_cast<std::uint16_t>(cid ^ 0x4000));
    rig.lower.controller.post(cid, {}, 0, 1);
    CHECK(rig.proxy.poll() == 3);
    CHECK(rig.proxy.in_flight() == 1);
    CHECK(blocked(rig.user.poll(t)));
    rig.lower.controller.complete(0, {}, 9);
    rig.lower.controller.post(cid, {}, 10);  // and a second time
    rig.proxy.poll();
    CHECK(rig.proxy.in_flight() == 0);
    CHECK(rig.user.take(t).dw0 == 9);
    CHECK(rig.user.counters().stray_completions == 0);
    CHECK(rig.lower.ref.counters().stray_completions == 4);
  }

  TEST_CASE("lost below -> what came before is answered, the rest is disconnected and not quiesced until fenced") {
    proxy_rig<shared> rig({8, 16});
    const ticket a = *rig.user.submit(exist_of(1));
    const ticket b = *rig.user.submit(exist_of(2));
    rig.proxy.poll();
    const ticket unfetched = *rig.user.submit(exist_of(3));
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0, {}, 11);
    rig.lower.ref.set_liveness(queue_liveness::lost);
    rig.proxy.poll();
    CHECK(rig.user.take(a).dw0 == 11);
    CHECK(rig.user.poll(b).status == status(client_status::disconnected));
    CHECK(rig.user.poll(unfetched).status == status(client_status::disconnected));
    CHECK_FALSE(rig.user.quiesced(b));
    CHECK(rig.user.submit(exist_of(4)).error() == status(client_status::disconnected));
    CHECK(rig.lower.controller.fetch() == 0);
    rig.lower.ref.set_liveness(queue_liveness::fenced);
    CHECK_FALSE(rig.user.quiesced(b));
    rig.proxy.poll();
    CHECK(rig.user.quiesced(b));
  }

  TEST_CASE("the queue below wiped, as in a child after fork() -> nothing is touched") {
    proxy_rig<exclusive> rig({4, 8});
    static_cast<void>(*rig.user.submit(exist_of(1)));
    rig.lower.ref.set_liveness(queue_liveness::wiped);
    CHECK(rig.proxy.poll() == 0);
    CHECK(rig.user.liveness() == queue_liveness::open);
    CHECK(rig.lower.controller.fetch() == 0);
  }

  TEST_CASE("drain: nothing more is fetched, what is in flight ends") {
    proxy_rig<exclusive> rig({8, 16});
    const ticket a = *rig.user.submit(exist_of(1));
    rig.proxy.poll();
    const ticket b = *rig.user.submit(exist_of(2));
    rig.proxy.drain();
    CHECK(rig.proxy.poll() == 0);
    rig.lower.controller.fetch();
    rig.lower.controller.complete(0, {}, 3);
    CHECK(rig.proxy.poll() == 1);
    CHECK(rig.user.take(a).dw0 == 3);
    CHECK(blocked(rig.user.take(b)));
    CHECK(rig.proxy.in_flight() == 0);
  }

  TEST_CASE("threads above, a controller's thread below, small rings -> each command its own answer") {
    proxy_rig<shared> rig({16, 16}, 8);
    model_thread<exclusive> controller(rig.lower, [](const sqe& c) { return std::pair{status(), c.cdw(13)}; }, 3);
    std::atomic<bool> stop{false};
    std::thread carrier([&] {
      while (!stop.load()) {
        if (rig.proxy.poll() == 0) std::this_thread::yield();
      }
    });
    std::atomic<std::uint32_t> wrong{0};
    std::vector<std::thread> users;
    for (std::uint32_t id = 0; id < 3; ++id) {
      users.emplace_back([&, id] {
        const host::deadline until = host::deadline::after_ms(60'000);
        for (std::uint32_t i = 0; i < 1500; ++i) {
          sqe command = exist_of(id * 100'000 + i);
          if (i % 7 == 0) command.set_nsid(9);
          result<ticket> t = rig.user.submit(command);
          while (!t && !until.expired()) {
            std::this_thread::yield();
            t = rig.user.submit(command);
          }
          if (!t) {
            wrong.fetch_add(1);
            return;
          }
          const completion c = rig.user.wait_and_take(*t, until);
          const bool good = i % 7 == 0 ? c.status == status(status_code_type::generic, generic_status::invalid_nsid)
                                       : c.status.ok() && c.dw0 == id * 100'000 + i;
          if (!good) wrong.fetch_add(1);
        }
      });
    }
    for (std::thread& t : users) t.join();
    stop.store(true);
    carrier.join();
    CHECK(wrong.load() == 0);
    CHECK(rig.user.counters().stray_completions == 0);
    CHECK(rig.proxy.statistics().bad_doorbells == 0);
    CHECK(rig.proxy.statistics().forwarded + rig.proxy.statistics().refused == 4500);
  }
}
