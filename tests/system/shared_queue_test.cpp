// SPDX-License-Identifier: BSD-3-Clause
//
// Many threads, one queue, and rings as short as they can be: every operation gets its own result.
#include <system/system.hpp>

using namespace nkv_test;

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr unsigned scale = 1;
#else
constexpr unsigned scale = 4;
#endif

constexpr std::size_t slice_bytes = 16 * 1024;

/// One thread's work: keys of its own, stored, overwritten, looked for, deleted; and a key that all read.
template <class Ns>
void work(const Ns& ns, const nkv::host::registration& memory, unsigned id, unsigned rounds, complaints& wrong) {
  const std::size_t mine = id * slice_bytes;
  std::uint64_t random = id * 7919 + 1;
  const auto next = [&random](std::uint64_t below) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % below;
  };
  for (unsigned round = 0; round < rounds && !wrong.any(); ++round) {
    char key[16];
    std::snprintf(key, sizeof key, "t%u.%u", id, round % 3);
    const std::size_t size = 1 + next(3000);
    const std::size_t offset = mine + next(512);
    const std::uint64_t seed = id * 1'000'000u + round;
    const outcome stored = put(ns, key, memory, offset, size, seed);
    wrong.expect(stored.ok(), "store", stored.status);
    wrong.expect(holds(ns, key, memory, mine + 4096, size, seed), "another thread's value, or none");
    wrong.expect(holds(ns, "all", memory, mine + 8192, 777, 4242), "the common key's value");
    const outcome found = ns.exist(bytes_of(key), soon());
    wrong.expect(found.ok(), "exist", found.status);
    if (round % 5 == 4) {
      const outcome removed = ns.remove(bytes_of(key), soon());
      wrong.expect(removed.ok(), "remove", removed.status);
      const outcome gone = ns.exist(bytes_of(key), soon());
      wrong.expect(gone.status.is_key_does_not_exist(), "exist after remove", gone.status);
    }
    // Several at once, taken in another order.
    if (round % 4 == 0) {
      nkv::kv_ticket tickets[3];
      bool sent[3] = {};
      for (unsigned i = 0; i < 3; ++i) {
        const auto t = ns.submit(operation::retrieve(bytes_of(i == 1 ? "none" : "all"),
                                                     *memory.value(mine + 12288 + i * 1000, 777), {}, seed * 4 + i));
        sent[i] = t.has_value();
        if (t) tickets[i] = *t;
        wrong.expect(t || t.error() == status(client::queue_full), "submit", t.error());
      }
      for (unsigned i = 3; i-- != 0;) {
        if (!sent[i]) continue;
        const outcome o = ns.wait(tickets[i], soon());
        wrong.expect(o.user_tag == seed * 4 + i, "another ticket's tag");
        wrong.expect(i == 1 ? o.status.is_key_does_not_exist()
                            : o.ok() && pattern_difference(memory.data() + mine + 12288 + i * 1000, 777, 4242) == 777,
                     "a ticket's outcome", o.status);
      }
    }
  }
}

template <class Sharing>
void hammer(served::kind_type kind, std::uint32_t nsid, unsigned threads, std::uint32_t entries, unsigned rounds) {
  served target(kind, "plain");
  const nkv::host::controller c = target.connect();
  const opened<Sharing> ns = open<Sharing>(c, nsid, entries);
  const nkv::host::registration memory = allocate(c, (threads + 1) * slice_bytes);
  REQUIRE(put(ns.ref(), "all", memory, threads * slice_bytes, 777, 4242).ok());
  complaints wrong;
  std::vector<std::thread> all;
  for (unsigned id = 0; id < threads; ++id) all.emplace_back([&, id] { work(ns.ref(), memory, id, rounds, wrong); });
  for (std::thread& t : all) t.join();
  wrong.check();
  const nkv::queue_counters& counters = ns.ref().queue().counters();
  CHECK(ns.ref().queue().outstanding() == 0);
  CHECK(counters.stray_completions == 0);
  CHECK(counters.late_completions == 0);
  CHECK(c.check(soon()) == status());
}

}  // namespace

TEST_SUITE("system/shared queue") {
  TEST_CASE("shared: 64 threads on one queue -> each its own results") {
    over_both([](served::kind_type kind) { hammer<nkv::shared>(kind, 1, 64, 64, 15 * scale); });
  }

  TEST_CASE("shared: 64 threads on a queue of 8 entries, keys in heads -> each its own results") {
    over_both([](served::kind_type kind) { hammer<nkv::shared>(kind, 2, 64, 8, 6 * scale); });
  }

  TEST_CASE("shared: 4 threads at depth 2 -> thousands of laps") {
    over_both([](served::kind_type kind) { hammer<nkv::shared>(kind, 1, 4, 2, 60 * scale); });
  }

  TEST_CASE("exclusive: depth 2 -> thousands of laps") {
    over_both([](served::kind_type kind) {
      hammer<nkv::exclusive>(kind, 1, 1, 2, 200 * scale);
      hammer<nkv::exclusive>(kind, 2, 1, 4, 100 * scale);
    });
  }

  TEST_CASE("exclusive: the shortest rings -> nothing but one at a time, and wrapped at once") {
    over_both([](served::kind_type kind) {
      served target(kind, "plain");
      const nkv::host::controller c = target.connect();
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 2);
      const auto& queue = ns.ref().queue();
      CHECK(queue.capacity() == 1);
      for (unsigned i = 0; i < 1000; ++i) {
        const auto t = ns.ref().submit(operation::exist(bytes_of("none"), i));
        REQUIRE(t);
        CHECK(ns.ref().submit(operation::exist(bytes_of("none"))).error() == status(client::queue_full));
        const outcome o = ns.ref().wait(*t, soon());
        REQUIRE(o.status.is_key_does_not_exist());
        REQUIRE(o.user_tag == i);
        REQUIRE(queue.outstanding() == 0);
      }
    });
  }
}

TEST_SUITE("system/many clients") {
  TEST_CASE("several controllers, a queue pair per thread, two encodings -> apart, without locks") {
    over_both([](served::kind_type kind) {
      served target(kind, "plain");
      constexpr unsigned controllers = 4;
      constexpr unsigned queues = 3;
      std::vector<nkv::host::controller> all;
      for (unsigned i = 0; i < controllers; ++i) all.push_back(target.connect());
      {
        const opened<nkv::exclusive> one = open<nkv::exclusive>(all[0], 1, 4);
        const opened<nkv::exclusive> two = open<nkv::exclusive>(all[1], 2, 4);
        const nkv::host::registration first = allocate(all[0], 4096);
        const nkv::host::registration second = allocate(all[1], 4096);
        REQUIRE(put(one.ref(), "all", first, 0, 777, 4242).ok());
        REQUIRE(put(two.ref(), "all", second, 0, 777, 4242).ok());
      }
      complaints wrong;
      std::vector<std::thread> threads;
      for (unsigned i = 0; i < controllers * queues; ++i) {
        threads.emplace_back([&, i] {
          // Opened by the thread itself, while others are at work.
          nkv::host::namespace_options how;
          how.queue.entries = 16;
          const auto ns = all[i % controllers].open_namespace<nkv::exclusive>(1 + i % 2, how, soon());
          const auto memory = all[i % controllers].allocate(slice_bytes, {}, soon());
          wrong.expect(ns.has_value(), "open_namespace", ns.error());
          wrong.expect(memory.has_value(), "allocate", memory.error());
          if (!ns || !memory) return;
          char prefix[8];
          std::snprintf(prefix, sizeof prefix, "%u", i);
          for (unsigned round = 0; round < 40 * scale && !wrong.any(); ++round) {
            const std::size_t size = 1 + (round * 131 + i * 17) % 4000;
            const outcome o = put(ns->ref(), prefix, *memory, 0, size, i * 1000 + round);
            wrong.expect(o.ok(), "store", o.status);
            wrong.expect(holds(ns->ref(), prefix, *memory, 4096, size, i * 1000 + round), "another client's value");
            wrong.expect(holds(ns->ref(), "all", *memory, 8192, 777, 4242), "the common key's value");
          }
        });
      }
      for (std::thread& t : threads) t.join();
      wrong.check();
    });
  }

  TEST_CASE("clients come and go -> one that stays notices nothing") {
    over_both([](served::kind_type kind) {
      served target(kind, "plain");
      const nkv::host::controller steady = target.connect();
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(steady, 1, 16);
      const nkv::host::registration memory = allocate(steady, 8192);
      std::atomic<bool> over{false};
      complaints wrong;
      std::thread other([&] {
        for (unsigned i = 0; i < 20 && !wrong.any(); ++i) {
          auto c = nkv::host::connect(target.endpoint(), {}, soon());
          wrong.expect(c.has_value(), "connect", c.error());
          if (!c) break;
          auto mine = c->open_namespace<nkv::shared>(1, {}, soon());
          wrong.expect(mine.has_value(), "open_namespace", mine.error());
          if (!mine) break;
          const outcome o = mine->exist(bytes_of("steady"), soon());
          wrong.expect(o.ok() || o.status.is_key_does_not_exist(), "exist", o.status);
          // Some leave without a word: the controller goes before what it made.
          if (i % 2 == 0) wrong.expect(c->shutdown(soon()).ok(), "shutdown");
        }
        over = true;
      });
      unsigned rounds = 0;
      do {
        REQUIRE(put(ns.ref(), "steady", memory, 0, 1000, rounds).ok());
        REQUIRE(holds(ns.ref(), "steady", memory, 4096, 1000, rounds));
        ++rounds;
      } while (!over);
      other.join();
      wrong.check();
      CHECK(rounds > 0);
    });
  }

  TEST_CASE("two clients, one key -> each sees what the other stored last") {
    over_both([](served::kind_type kind) {
      served target(kind, "plain");
      const nkv::host::controller a = target.connect();
      const nkv::host::controller b = target.connect();
      const opened<nkv::exclusive> one = open<nkv::exclusive>(a, 1, 8);
      const opened<nkv::exclusive> two = open<nkv::exclusive>(b, 1, 8);
      const nkv::host::registration first = allocate(a, 8192);
      const nkv::host::registration second = allocate(b, 8192);
      for (unsigned i = 0; i < 100; ++i) {
        REQUIRE(put(one.ref(), "ball", first, 0, 100 + i, 2 * i).ok());
        REQUIRE(holds(two.ref(), "ball", second, 4096, 100 + i, 2 * i));
        REQUIRE(put(two.ref(), "ball", second, 0, 300 + i, 2 * i + 1).ok());
        REQUIRE(holds(one.ref(), "ball", first, 4096, 300 + i, 2 * i + 1));
      }
    });
  }
}
