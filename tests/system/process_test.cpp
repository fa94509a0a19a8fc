// SPDX-License-Identifier: BSD-3-Clause
//
// The target's process is killed, stopped and started again: every wait ends in time, nothing of unknown fate is
// reported as done or failed, memory is free when the process has ended, and a new one is connected to.
#include <system/system.hpp>

#include <cstring>

using namespace nkv_test;

namespace {

struct flight {
  nkv::kv_ticket ticket;
  bool changes = false;
};

/// Held Retrieves and Stores, by turns, over pages 1 and up.
std::vector<flight> take_off(const kv<nkv::exclusive>& ns, const nkv::host::registration& memory, unsigned count) {
  std::vector<flight> all;
  for (unsigned i = 0; i < count; ++i) {
    const bool changes = i % 2 == 1;
    const nkv::value_ref value = *memory.value((1 + i) * page, page);
    const auto t = ns.submit(changes ? operation::store(bytes_of("hold b"), value)
                                     : operation::retrieve(bytes_of("hold a"), value));
    REQUIRE(t);
    all.push_back({*t, changes});
  }
  // What was published before them has been answered: they are under way.
  for (int i = 0; i < 3; ++i) REQUIRE(ns.exist(bytes_of("none"), soon()).status.is_key_does_not_exist());
  return all;
}

}  // namespace

TEST_SUITE("system/process") {
  TEST_CASE("killed: with commands under way -> each ends in time, as lost or unknown; quiesced; connected to anew") {
    served target(served::vfio_user);
    {
      const nkv::host::controller c = target.connect();
      nkv::host::registration memory = allocate(c, 16 * page);
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
      REQUIRE(put(ns.ref(), "before", memory, 0, 100, 1).ok());
      const std::vector<flight> flights = take_off(ns.ref(), memory, 8);
      target.process().end(SIGKILL);

      // The queue alone knows nothing of processes: its deadline holds.
      outcome o;
      CHECK(ms_of([&] { o = ns.ref().wait(flights[0].ticket, in_ms(50)); }) < 5000);
      CHECK(o.status == status(client::timed_out));
      // Who looks at the connection finds out.
      CHECK(c.check(soon()) == status(client::disconnected));
      for (const flight& f : flights) {
        CHECK(ms_of([&] { o = ns.ref().wait(f.ticket, soon()); }) < 5000);
        CHECK(o.status == status(f.changes ? client::outcome_unknown : client::disconnected));
        CHECK(becomes([&] {
          static_cast<void>(c.check(in_ms(100)).ok());
          return ns.ref().quiesced(f.ticket);
        }));
      }
      CHECK(ns.ref().exist(bytes_of("none"), soon()).status == status(client::disconnected));
      CHECK(ns.ref().submit(operation::exist(bytes_of("none"))).error() == status(client::disconnected));
      CHECK(c.namespaces(soon()).error() == status(client::disconnected));
      CHECK(memory.release(soon()) == status());
      const nkv::host::controller_statistics left = c.statistics();
      CHECK(left.abandoned_bytes == 0);
      CHECK(left.unquiesced_bytes == 0);

      target.start();
      const nkv::host::controller again = target.connect();
      const nkv::host::registration fresh = allocate(again, 4 * page);
      const opened<nkv::exclusive> anew = open<nkv::exclusive>(again, 1, 16);
      CHECK(anew.ref().exist(bytes_of("before"), soon()).status.is_key_does_not_exist());
      REQUIRE(put(anew.ref(), "after", fresh, 0, 1000, 2).ok());
      CHECK(holds(anew.ref(), "after", fresh, page, 1000, 2));
      // The old one stays lost beside the new one, and goes quickly.
      CHECK(ns.ref().exist(bytes_of("after"), soon()).status == status(client::disconnected));
    }
  }

  TEST_CASE("killed: under a blocking call that looks at the connection -> long before its deadline") {
    served target(served::vfio_user);
    const nkv::host::controller c = target.connect();
    const opened<nkv::shared> ns = open<nkv::shared>(c, 1, 16);
    complaints wrong;
    std::vector<std::thread> threads;
    const opened<nkv::shared> second = open<nkv::shared>(c, 1, 16);
    const opened<nkv::shared>* const both[] = {&ns, &second};
    for (unsigned i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        std::byte value[100] = {};
        outcome o;
        const std::uint64_t ms = ms_of([&] {
          o = i == 0 ? both[i]->store(bytes_of("hold a"), {value, sizeof value}, in_ms(50'000))
                     : both[i]->retrieve(bytes_of("hold a"), {value, sizeof value}, in_ms(50'000));
        });
        wrong.expect(ms < 20'000, "not before its deadline");
        wrong.expect(o.status == status(i == 0 ? client::outcome_unknown : client::disconnected), "the outcome",
                     o.status);
      });
    }
    // A CID that is taken is posted: from then on both commands are under way.
    const bool sent =
        becomes([&] { return ns.ref().queue().outstanding() == 1 && second.ref().queue().outstanding() == 1; });
    target.process().end(SIGKILL);
    for (std::thread& t : threads) t.join();
    CHECK(sent);
    wrong.check();
  }

  TEST_CASE("killed: under 64 threads on a shared queue -> all end in time, and no success was a lie") {
    served target(served::vfio_user, "plain");
    const nkv::host::controller c = target.connect();
    const opened<nkv::shared> ns = open<nkv::shared>(c, 1, 32);
    const nkv::host::registration memory = allocate(c, 64 * 2 * page);
    complaints wrong;
    std::atomic<unsigned> operations{0};
    std::atomic<bool> killed{false};
    std::vector<std::thread> threads;
    for (unsigned id = 0; id < 64; ++id) {
      threads.emplace_back([&, id] {
        const std::string key = "t" + std::to_string(id);
        for (unsigned round = 0; !killed; ++round) {
          const std::uint64_t seed = id * 100'000u + round;
          fill_pattern(memory.data() + id * 2 * page, 500, seed);
          const outcome s = ns.ref().store(bytes_of(key), *memory.value(id * 2 * page, 500), in_ms(3000));
          if (s.ok()) {
            std::memset(memory.data() + (id * 2 + 1) * page, 0, 500);
            const outcome r = ns.ref().retrieve(bytes_of(key), *memory.value((id * 2 + 1) * page, 500), in_ms(3000));
            wrong.expect(!r.ok() || pattern_difference(memory.data() + (id * 2 + 1) * page, 500, seed) == 500,
                         "a Retrieve that gave something else");
            wrong.expect(r.ok() || r.status == status(client::timed_out) || r.status == status(client::disconnected) ||
                             r.status == status(client::queue_full),
                         "retrieve", r.status);
          } else {
            wrong.expect(s.status == status(client::outcome_unknown) || s.status == status(client::disconnected) ||
                             s.status == status(client::queue_full),
                         "store", s.status);
          }
          ++operations;
        }
      });
    }
    CHECK(becomes([&] { return operations > 500; }));
    target.process().end(SIGKILL);
    CHECK(becomes([&] { return c.check(in_ms(1000)) == status(client::disconnected); }));
    killed = true;
    CHECK(ms_of([&] {
            for (std::thread& t : threads) t.join();
          }) < 30'000);
    wrong.check();
  }

  TEST_CASE("stopped: with commands under way -> deadlines hold; going on, it ends them all") {
    served target(served::vfio_user);
    const nkv::host::controller c = target.connect();
    const nkv::host::registration memory = allocate(c, 16 * page);
    const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
    REQUIRE(put(ns.ref(), "a", memory, 0, 100, 1).ok());
    target.process().stop();

    std::vector<nkv::ticket> lost;
    for (unsigned i = 0; i < 3; ++i) {
      std::memset(memory.data() + (1 + i) * page, 0xa5, page);
      outcome o;
      const std::uint64_t ms =
          ms_of([&] { o = ns.ref().retrieve(bytes_of("a"), *memory.value((1 + i) * page, page), in_ms(30)); });
      CHECK(o.status == status(client::timed_out));
      CHECK(ms >= 30);
      CHECK(ms < 5000);
      lost.push_back(o.ticket);
    }
    outcome s;
    CHECK(ms_of([&] { s = ns.ref().store(bytes_of("b"), *memory.value(0, 100), in_ms(30)); }) < 5000);
    CHECK(s.status == status(client::outcome_unknown));
    lost.push_back(s.ticket);
    for (const nkv::ticket t : lost) CHECK_FALSE(ns.ref().quiesced(t));
    CHECK(ns.ref().queue().outstanding() == 4);
    for (unsigned i = 0; i < 3; ++i)
      CHECK(fill_difference(memory.data() + (1 + i) * page, page, std::byte{0xa5}) == page);

    target.process().go_on();
    for (const nkv::ticket t : lost) CHECK(becomes([&] { return ns.ref().quiesced(t); }));
    CHECK(ns.ref().queue().outstanding() == 0);
    CHECK(ns.ref().queue().counters().late_completions == 4);
    CHECK(ns.ref().queue().counters().stray_completions == 0);
    CHECK(c.check(soon()) == status());
    CHECK(holds(ns.ref(), "b", memory, 4 * page, 100, 1));
    CHECK(holds(ns.ref(), "a", memory, 5 * page, 100, 1));
  }

  TEST_CASE("stopped: slow calls too -> end in time; killed after that, everything is quiesced") {
    served target(served::vfio_user);
    const nkv::host::controller c = target.connect();
    nkv::host::registration memory = allocate(c, 16 * page);
    const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
    const std::vector<flight> flights = take_off(ns.ref(), memory, 4);
    target.process().stop();

    status s;
    CHECK(ms_of([&] { s = c.check(in_ms(50)); }) < 5000);
    CHECK_FALSE(s.ok());
    CHECK(ms_of([&] { s = c.namespaces(in_ms(50)).error(); }) < 5000);
    CHECK_FALSE(s.ok());
    CHECK(ms_of([&] { s = c.allocate(page, {}, in_ms(50)).error(); }) < 5000);
    CHECK_FALSE(s.ok());
    CHECK(ms_of([&] { s = c.open_namespace(1, {}, in_ms(50)).error(); }) < 5000);
    CHECK_FALSE(s.ok());
    CHECK(ms_of([&] { s = memory.release(in_ms(50)); }) < 5000);
    CHECK_FALSE(s.ok());
    CHECK(ms_of([&] { s = c.reset(in_ms(50)); }) < 5000);
    CHECK_FALSE(s.ok());
    // A stopped process may go on at any time: nothing is quiesced.
    for (const flight& f : flights) CHECK_FALSE(ns.ref().quiesced(f.ticket));
    CHECK(memory.data() != nullptr);
    // Another client is told in time as well.
    CHECK(ms_of([&] { s = nkv::host::connect(target.endpoint(), {}, in_ms(100)).error(); }) < 5000);
    CHECK(s == status(client::busy));

    target.process().end(SIGKILL);
    for (const flight& f : flights)
      CHECK(becomes([&] {
        static_cast<void>(c.check(in_ms(100)).ok());
        return ns.ref().quiesced(f.ticket);
      }));
    CHECK(memory.release(soon()) == status());
  }

  TEST_CASE("ended in order: with clients connected -> disconnected, quiesced") {
    over_both([](served::kind_type kind) {
      served target(kind);
      const nkv::host::controller c = target.connect();
      const nkv::host::registration memory = allocate(c, 16 * page);
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
      const std::vector<flight> flights = take_off(ns.ref(), memory, 4);
      if (kind == served::vfio_user)
        CHECK(target.process().finish() == 0);
      else
        target.stop();
      for (const flight& f : flights)
        CHECK(becomes([&] {
          static_cast<void>(c.check(in_ms(100)).ok());
          return ns.ref().quiesced(f.ticket);
        }));
      for (const flight& f : flights) {
        const outcome o = ns.ref().poll(f.ticket);
        CHECK(o.status == status(f.changes ? client::outcome_unknown : client::disconnected));
      }
    });
  }

  TEST_CASE("killed and started, many times -> each life is served") {
    served target(served::vfio_user, "plain");
    for (unsigned life = 0; life < 5; ++life) {
      CAPTURE(life);
      const nkv::host::controller c = target.connect();
      const nkv::host::registration memory = allocate(c, 4 * page);
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1 + life % 2, 16);
      REQUIRE(put(ns.ref(), "key", memory, 0, 1000, life).ok());
      CHECK(holds(ns.ref(), "key", memory, page, 1000, life));
      target.process().end(SIGKILL);
      target.start();
    }
  }
}
