// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace nkv_test;

namespace {

using entry = nkv::batch_entry;

struct batch_case : kv_case {
  /// One operation, the memory it uses, and how it must end.
  enum class fate { ok, missing, exists, too_large };

  struct planned {
    std::string key;
    fate end = fate::ok;
    std::uint64_t seed = 0;
    std::size_t size = 0;  ///< of the value behind a Retrieve
    std::size_t room = 0;
    bool retrieves = false;
  };

  std::vector<planned> plan;
  std::vector<buffer> buffers;
  std::vector<operation> operations;
  std::vector<entry> entries;

  ~batch_case() {
    while (!buffers.empty()) buffers.pop_back();
  }

  void add_store(const std::string& key, std::uint64_t seed, std::size_t size, fate end,
                 const nkv::store_options& o = {}) {
    remember(key);
    plan.push_back({key, end, seed, size, size, false});
    buffers.push_back(take(size, plan.size() % 5));
    buffers.back().fill(seed);
    add(operation::store({}, buffers.back().ref(), o));
  }
  void add_retrieve(const std::string& key, std::uint64_t seed, std::size_t size, std::size_t room, fate end) {
    plan.push_back({key, end, seed, size, room, true});
    buffers.push_back(take(room, plan.size() % 7));
    add(operation::retrieve({}, buffers.back().ref()));
  }
  void add_remove(const std::string& key, fate end) {
    plan.push_back({key, end, 0, 0, 0, false});
    buffers.push_back(take(0));
    add(operation::remove({}));
  }
  void add_exist(const std::string& key, fate end) {
    plan.push_back({key, end, 0, 0, 0, false});
    buffers.push_back(take(0));
    add(operation::exist({}));
  }

  /// The operations point into `plan`, so they are given their keys when it is complete.
  void ready() {
    for (std::size_t i = 0; i < operations.size(); ++i) operations[i].key = bytes_of(plan[i].key);
    entries.resize(operations.size());
  }

  void check_results(const kv_batch& b) {
    CHECK(b.ended());
    CHECK(b.ended_count() == plan.size());
    CHECK(b.quiesced());
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const planned& p = plan[i];
      const outcome& o = b.result_of(i);
      CAPTURE(i);
      CAPTURE(hex_of(bytes_of(p.key)));
      CHECK(o.user_tag == tag_of(i));
      switch (p.end) {
        case fate::ok: CHECK(o.status == status()); break;
        case fate::missing: CHECK_MESSAGE(o.status.is_key_does_not_exist(), doctest::toString(o.status)); break;
        case fate::exists: CHECK_MESSAGE(o.status.is_key_exists(), doctest::toString(o.status)); break;
        case fate::too_large:
          if (quirks.reports_true_length) CHECK(o.status == status(client::value_too_large));
          break;
      }
      if (!p.retrieves) continue;
      if (p.end == fate::ok) {
        check_length(o, p.size);
        CHECK(buffers[i].holds(p.seed, p.size));
        CHECK(buffers[i].untouched_from(p.size));
      } else if (p.end == fate::too_large) {
        check_length(o, p.size);
      } else {
        CHECK(buffers[i].untouched_from(0));
      }
    }
  }

  static std::uint64_t tag_of(std::size_t i) { return 0xfeed'0000'0000'0000u + i * 3; }

 private:
  void add(operation o) {
    o.user_tag = tag_of(operations.size());
    operations.push_back(o);
  }
};

}  // namespace

TEST_SUITE("conformance/batch") {
  TEST_CASE_FIXTURE(batch_case, "batch: hits, misses, failed conditions, deletes together -> each its own outcome") {
    REQUIRE(store(name(1), 1, 500).ok());
    REQUIRE(store(name(2), 2, 600).ok());
    REQUIRE(store(name(3), 3, 700).ok());
    add_retrieve(name(1), 1, 500, 500, fate::ok);
    add_retrieve(name(99), 0, 0, 64, fate::missing);
    add_retrieve(name(1), 1, 500, 900, fate::ok);
    add_retrieve(name(1), 1, 500, 100, fate::too_large);
    add_store(name(4), 4, 333, fate::ok);
    add_store(name(1), 9, 10, fate::exists, {.must_not_exist = true});
    add_store(name(98), 9, 10, fate::missing, {.must_exist = true});
    add_store(name(2), 22, 650, fate::ok, {.must_exist = true});
    add_exist(name(1), fate::ok);
    add_exist(name(97), fate::missing);
    add_remove(name(3), fate::ok);
    add_store(name(5), 5, 0, fate::ok, {.must_not_exist = true});
    ready();
    kv_batch b(ns, operations, entries);
    REQUIRE(b.validate() == status());
    REQUIRE(b.submit() == status());
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
    expect_value(name(1), 1, 500);
    expect_value(name(2), 22, 650);
    expect_absent(name(3));
    expect_value(name(4), 4, 333);
    expect_value(name(5), 5, 0);
    expect_absent(name(98));
    CHECK(ns.queue().outstanding() == 0);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: prepared once, submitted many times -> fresh results each time") {
    for (unsigned n = 0; n < 8; ++n) {
      REQUIRE(store(name(n), n, 1000 + n).ok());
      add_retrieve(name(n), n, 1000 + n, 1000 + n, fate::ok);
    }
    add_retrieve(name(50), 0, 0, 64, fate::missing);
    ready();
    kv_batch b(ns, operations, entries);
    for (unsigned round = 0; round < 20; ++round) {
      for (const buffer& m : buffers) m.wipe();
      REQUIRE(b.submit() == status());
      REQUIRE(b.wait(soon()) == status());
      check_results(b);
    }
    // What changed in between shows.
    REQUIRE(store(name(50), 50, 64).ok());
    plan.back() = {name(50), fate::ok, 50, 64, 64, true};
    REQUIRE(b.submit() == status());
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
  }

  TEST_CASE_FIXTURE(batch_case,
                    "batch: three times as many as the queue takes -> all done, and the queue never overrun") {
    const std::size_t count = 3 * ns.queue().capacity() + 1;
    for (unsigned n = 0; n < 10; ++n) REQUIRE(store(name(n), n, 200 + n).ok());
    for (std::size_t i = 0; i < count; ++i) {
      const auto n = static_cast<unsigned>(i % 12);
      if (n < 10)
        add_retrieve(name(n), n, 200 + n, 220, fate::ok);
      else
        add_retrieve(name(100 + n), 0, 0, 220, fate::missing);
    }
    ready();
    kv_batch b(ns, operations, entries);
    REQUIRE(b.submit() == status());
    CHECK(ns.queue().outstanding() <= ns.queue().capacity());
    const nkv::host::deadline until = soon();
    while (!b.poll() && !until.expired()) CHECK(ns.queue().outstanding() <= ns.queue().capacity());
    REQUIRE(b.ended());
    check_results(b);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: many Stores, then many Deletes -> all there, then none") {
    const auto count = static_cast<unsigned>(2 * ns.queue().capacity());
    for (unsigned n = 0; n < count; ++n) add_store(name(n), n, 100 + n % 30, fate::ok);
    ready();
    {
      kv_batch b(ns, operations, entries);
      REQUIRE(b.submit() == status());
      REQUIRE(b.wait(soon()) == status());
      check_results(b);
    }
    for (unsigned n = 0; n < count; n += 7) expect_value(name(n), n, 100 + n % 30);
    for (std::size_t i = 0; i < operations.size(); ++i)
      operations[i] = operation::remove(bytes_of(plan[i].key), tag_of(i));
    kv_batch b(ns, operations, entries);
    REQUIRE(b.submit() == status());
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
    outcome end;
    CHECK(list_keys(4096, {}, end).empty());
  }

  TEST_CASE_FIXTURE(batch_case, "batch: values of very different lengths -> the short ones do not wait for the long") {
    const std::size_t large = longest_value(bytes_of(name(0)), 8u << 20);
    REQUIRE(store(name(0), 1000, large).ok());
    add_retrieve(name(0), 1000, large, large, fate::ok);
    for (unsigned n = 1; n < 60; ++n) {
      REQUIRE(store(name(n), n, n * 17).ok());
      add_retrieve(name(n), n, n * 17, n * 17, fate::ok);
    }
    ready();
    kv_batch b(ns, operations, entries);
    REQUIRE(b.submit() == status());
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: one operation that cannot be -> nothing is sent, and it is named") {
    REQUIRE(store(name(1), 1, 100).ok());
    for (unsigned n = 0; n < 4; ++n) add_store(name(10 + n), n, 100, fate::ok);
    ready();
    operations[2].key = key_view{};
    kv_batch b(ns, operations, entries);
    const queue_mark mark = queue_mark::of(ns.queue());
    std::size_t first_bad = 99;
    CHECK(b.validate(&first_bad) == status(client::bad_argument));
    CHECK(first_bad == 2);
    first_bad = 99;
    CHECK(b.submit(&first_bad) == status(client::bad_argument));
    CHECK(first_bad == 2);
    CHECK(b.ended());
    CHECK(queue_mark::of(ns.queue()) == mark);
    for (unsigned n = 0; n < 4; ++n) expect_absent(name(10 + n));
    // The same batch, repaired.
    operations[2].key = bytes_of(plan[2].key);
    REQUIRE(b.submit(&first_bad) == status());
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: fewer entries than operations -> bad_argument, nothing sent") {
    add_exist(name(1), fate::missing);
    add_exist(name(2), fate::missing);
    ready();
    const queue_mark mark = queue_mark::of(ns.queue());
    kv_batch b(ns, operations, {entries.data(), 1});
    CHECK(b.submit() == status(client::bad_argument));
    CHECK(queue_mark::of(ns.queue()) == mark);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: submitted again while under way -> busy, and the first goes on") {
    REQUIRE(store(name(1), 1, 100).ok());
    for (unsigned n = 0; n < 5; ++n) add_retrieve(name(1), 1, 100, 100, fate::ok);
    ready();
    kv_batch b(ns, operations, entries);
    REQUIRE(b.submit() == status());
    CHECK(b.submit() == status(client::busy));
    REQUIRE(b.wait(soon()) == status());
    check_results(b);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: nothing in it -> over at once") {
    kv_batch b(ns, {}, {});
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(b.submit() == status());
    CHECK(b.ended());
    CHECK(b.poll());
    CHECK(b.wait(nkv::host::deadline{}) == status());
    CHECK(queue_mark::of(ns.queue()) == mark);
  }

  TEST_CASE_FIXTURE(batch_case, "batch: two at once on one queue, and single operations between -> apart") {
    REQUIRE(store(name(1), 1, 100).ok());
    REQUIRE(store(name(2), 2, 200).ok());
    const buffer one = take(100);
    const buffer two = take(200);
    const operation first[] = {operation::retrieve(bytes_of("0001"), one.ref(), {}, 11),
                               operation::exist(bytes_of("0002"), 12)};
    const operation second[] = {operation::retrieve(bytes_of("0002"), two.ref(), {}, 21),
                                operation::exist(bytes_of("0009"), 22)};
    entry first_entries[2];
    entry second_entries[2];
    kv_batch a(ns, first, first_entries);
    kv_batch b(ns, second, second_entries);
    REQUIRE(a.submit() == status());
    REQUIRE(b.submit() == status());
    CHECK(ns.exist(bytes_of(name(1)), soon()).ok());
    REQUIRE(b.wait(soon()) == status());
    REQUIRE(a.wait(soon()) == status());
    CHECK(one.holds(1, 100));
    CHECK(two.holds(2, 200));
    CHECK(a.result_of(0).user_tag == 11);
    CHECK(a.result_of(1).user_tag == 12);
    CHECK(a.result_of(1).ok());
    CHECK(b.result_of(0).user_tag == 21);
    CHECK(b.result_of(1).user_tag == 22);
    CHECK(b.result_of(1).status.is_key_does_not_exist());
  }
}

TEST_SUITE("conformance/many keys") {
  TEST_CASE_FIXTURE(kv_case, "exist: bitmaps of 0, 1, 63, 64, 65 and 512 keys -> each bit right") {
    std::vector<std::string> names;
    std::vector<key_view> keys;
    for (unsigned n = 0; n < 512; ++n) names.push_back(name(n));
    for (const std::string& n : names) keys.push_back(bytes_of(n));
    // Not in step with words of 64.
    const auto there = [](std::size_t i) { return i % 3 == 0 || i % 64 == 63; };
    for (std::size_t i = 0; i < 512; ++i)
      if (there(i)) REQUIRE(store(names[i], i, 4).ok());
    for (const std::size_t count : {0u, 1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 512u}) {
      CAPTURE(count);
      for (const std::uint64_t before : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        std::vector<std::uint64_t> bits(8 + 1, before);
        REQUIRE(ns.exist({keys.data(), count}, {bits.data(), (count + 63) / 64}, soon()) == status());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < count; ++i)
          if (((bits[i / 64] >> (i % 64)) & 1u) != (there(i) ? 1u : 0u)) ++wrong;
        CHECK(wrong == 0);
        CHECK(bits[(count + 63) / 64] == before);
      }
    }
    CHECK(ns.queue().outstanding() == 0);
  }

  TEST_CASE_FIXTURE(kv_case, "exist: the same key many times -> the same bit") {
    REQUIRE(store(name(1), 1, 4).ok());
    const std::string one = name(1);
    const std::string two = name(2);
    std::vector<key_view> keys;
    for (int i = 0; i < 100; ++i) keys.push_back(bytes_of(i % 2 == 0 ? one : two));
    std::uint64_t bits[2] = {};
    REQUIRE(ns.exist({keys.data(), keys.size()}, {bits, 2}, soon()) == status());
    CHECK(bits[0] == 0x5555'5555'5555'5555u);
    CHECK(bits[1] == 0x0000'0005'5555'5555u);
  }

  TEST_CASE_FIXTURE(kv_case, "longest_prefix: a gap at the start, in the middle, at the end, nowhere -> its place") {
    std::vector<std::string> names;
    std::vector<key_view> keys;
    for (unsigned n = 0; n < 200; ++n) names.push_back(name(n));
    for (const std::string& n : names) {
      keys.push_back(bytes_of(n));
      REQUIRE(store(n, 1, 4).ok());
    }
    const auto longest = [&] { return ns.longest_prefix({keys.data(), keys.size()}, soon()); };
    REQUIRE(longest());
    CHECK(*longest() == 200);
    for (const std::size_t gap : {0u, 1u, 31u, 32u, 63u, 64u, 65u, 100u, 128u, 198u, 199u}) {
      CAPTURE(gap);
      REQUIRE(ns.remove(keys[gap], soon()).ok());
      REQUIRE(longest());
      CHECK(*longest() == gap);
      CHECK(*ns.longest_prefix({keys.data(), gap}, soon()) == gap);
      REQUIRE(store(names[gap], 1, 4).ok());
    }
    // Of two gaps the first one counts.
    REQUIRE(ns.remove(keys[150], soon()).ok());
    REQUIRE(ns.remove(keys[40], soon()).ok());
    CHECK(*longest() == 40);
    CHECK(*ns.longest_prefix({}, soon()) == 0);
    CHECK(ns.queue().outstanding() == 0);
  }
}

TEST_SUITE("conformance/ticket") {
  TEST_CASE_FIXTURE(kv_case, "submit: many, taken in any order -> each ticket its own outcome, tag and value") {
    constexpr unsigned count = 32;
    REQUIRE(ns.queue().capacity() >= count);
    std::vector<std::string> names;
    std::vector<buffer> buffers;
    for (unsigned n = 0; n < count; ++n) {
      names.push_back(name(n));
      // Long ones first, so that short ones may overtake them.
      const std::size_t size = n == 0 ? static_cast<std::size_t>(longest_value(bytes_of(names[0]), 4u << 20)) : 50 + n;
      if (n % 4 != 3) REQUIRE(store(names[n], n, size).ok());
      buffers.push_back(take(size));
    }
    for (const unsigned stride : {1u, 31u, 7u, 13u}) {
      std::vector<nkv::kv_ticket> tickets;
      for (unsigned n = 0; n < count; ++n) {
        buffers[n].wipe();
        const auto t = ns.submit(operation::retrieve(bytes_of(names[n]), buffers[n].ref(), {}, 1000 + n),
                                 n % 8 == 7 ? nkv::submit_mode::ring : nkv::submit_mode::defer);
        REQUIRE(t);
        tickets.push_back(*t);
      }
      ns.ring();
      for (unsigned i = 0; i < count; ++i) {
        const unsigned n = (i * stride + 5) % count;
        CAPTURE(n);
        const outcome o = ns.wait(tickets[n], soon());
        CHECK(o.user_tag == 1000 + n);
        if (n % 4 == 3) {
          CHECK(o.status.is_key_does_not_exist());
          CHECK(buffers[n].untouched_from(0));
        } else {
          CHECK(o.status == status());
          CHECK(buffers[n].holds(n, buffers[n].size()));
        }
        // Once given, the outcome is not given again.
        CHECK(ns.poll(tickets[n]).status == status(client::stale_ticket));
      }
      CHECK(ns.queue().outstanding() == 0);
    }
    while (!buffers.empty()) buffers.pop_back();
  }

  TEST_CASE_FIXTURE(kv_case, "submit: deferred -> not before ring(), and one doorbell for all") {
    REQUIRE(store(name(1), 1, 100).ok());
    const std::uint32_t doorbells = ns.queue().counters().sq_doorbells;
    std::vector<nkv::kv_ticket> tickets;
    for (int i = 0; i < 10; ++i) {
      const auto t = ns.submit(operation::exist(bytes_of("0001")), nkv::submit_mode::defer);
      REQUIRE(t);
      tickets.push_back(*t);
    }
    CHECK(ns.queue().counters().sq_doorbells == doorbells);
    CHECK(ns.poll(tickets[0]).status == status(client::would_block));
    ns.ring();
    CHECK(ns.queue().counters().sq_doorbells == doorbells + 1);
    for (const auto& t : tickets) CHECK(ns.wait(t, soon()).status == status());
  }

  TEST_CASE_FIXTURE(kv_case, "submit: as many as the queue takes, then one more -> queue_full, nothing written") {
    REQUIRE(store(name(1), 1, 100).ok());
    const std::uint32_t capacity = ns.queue().capacity();
    std::vector<nkv::kv_ticket> tickets;
    for (std::uint32_t i = 0; i < capacity; ++i) {
      const auto t = ns.submit(operation::exist(bytes_of("0001"), i), nkv::submit_mode::defer);
      REQUIRE(t);
      tickets.push_back(*t);
    }
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(ns.submit(operation::exist(bytes_of("0001"))).error() == status(client::queue_full));
    // A blocking call that may not wait.
    CHECK(ns.exist(bytes_of("0001"), nkv::host::deadline{}).status == status(client::queue_full));
    CHECK(queue_mark::of(ns.queue()) == mark);
    ns.ring();
    for (std::uint32_t i = 0; i < capacity; ++i) {
      const outcome o = ns.wait(tickets[i], soon());
      CHECK(o.status == status());
      CHECK(o.user_tag == i);
    }
    // And round and round the rings.
    for (std::uint32_t i = 0; i < 3 * capacity; ++i) REQUIRE(ns.exist(bytes_of("0001"), soon()).ok());
  }

  TEST_CASE_FIXTURE(kv_case, "cancel: after the outcome, and twice -> stale, nothing changes") {
    REQUIRE(store(name(1), 1, 100).ok());
    const auto t = ns.submit(operation::exist(bytes_of("0001")));
    REQUIRE(t);
    REQUIRE(ns.wait(*t, soon()).ok());
    CHECK(ns.cancel(*t) == status(client::stale_ticket));
    CHECK(ns.quiesced(*t));
    CHECK(ns.queue().outstanding() == 0);
  }
}
