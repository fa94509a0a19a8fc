// SPDX-License-Identifier: BSD-3-Clause
//
// A target that takes its time: deadlines hold, what timed out still owns its buffer, and the late completion ends
// that.
#include <system/system.hpp>

#include <algorithm>
#include <cstring>

using namespace nkv_test;

namespace {

/// A connected client with memory, over a store that holds what it is asked to hold.
struct rig {
  explicit rig(served::kind_type kind, std::uint32_t entries = 8, std::uint32_t nsid = 1)
      : target(kind), c(target.connect()), memory(allocate(c, 64 * page)), ns(open<nkv::exclusive>(c, nsid, entries)) {}

  [[nodiscard]] const kv<nkv::exclusive>& ref() const { return ns.ref(); }
  [[nodiscard]] const nkv::queue_counters& counters() const { return ref().queue().counters(); }
  /// Page `n` of the memory, blank.
  [[nodiscard]] nkv::value_ref blank_page(std::size_t n) const {
    std::memset(memory.data() + n * page, static_cast<int>(blank), page);
    return *memory.value(n * page, page);
  }
  [[nodiscard]] bool is_blank(std::size_t n) const {
    return fill_difference(memory.data() + n * page, page, blank) == page;
  }
  void busy(unsigned operations) const {
    for (unsigned i = 0; i < operations; ++i)
      REQUIRE(ref().exist(bytes_of("none"), soon()).status.is_key_does_not_exist());
  }
  /// Whether nobody writes page `n` while the queue is used: in this process the page cannot be touched at all.
  [[nodiscard]] bool stays_untouched(std::size_t n) const {
    std::byte before[page];
    std::byte* const at = memory.data() + n * page;
    std::memcpy(before, at, page);
    REQUIRE(::mprotect(at, page, PROT_NONE) == 0);
    busy(100);
    REQUIRE(::mprotect(at, page, PROT_READ | PROT_WRITE) == 0);
    return std::memcmp(before, at, page) == 0;
  }

  served target;
  nkv::host::controller c;
  nkv::host::registration memory;
  opened<nkv::exclusive> ns;
};

}  // namespace

TEST_SUITE("system/timeout") {
  TEST_CASE("retrieve: the target stalls -> timed_out in time; the buffer is its own again when the answer has come") {
    over_both([](served::kind_type kind) {
      for (const std::uint32_t nsid : {1u, 2u}) {
        CAPTURE(nsid);
        rig r(kind, 8, nsid);
        put_held(r.ref(), "hold a", r.memory, 0, 1000, 5);
        const nkv::value_ref buffer = r.blank_page(2);
        outcome o;
        const std::uint64_t ms = ms_of([&] { o = r.ref().retrieve(bytes_of("hold a"), buffer, in_ms(50)); });
        CHECK(o.status == status(client::timed_out));
        CHECK(ms >= 50);
        CHECK(ms < 5000);
        REQUIRE(o.ticket.valid());
        CHECK_FALSE(r.ref().quiesced(o.ticket));
        CHECK(r.ref().queue().outstanding() == 1);
        CHECK(r.counters().late_completions == 0);
        // Others go on, and the CID is not used again: no use of it ends as this one's.
        r.busy(50);
        CHECK_FALSE(r.ref().quiesced(o.ticket));
        CHECK(r.ref().queue().outstanding() == 1);
        CHECK(r.is_blank(2));

        release(r.ref());
        REQUIRE(becomes([&] { return r.ref().quiesced(o.ticket); }));
        CHECK(r.ref().queue().outstanding() == 0);
        CHECK(r.counters().late_completions == 1);
        CHECK(r.counters().stray_completions == 0);
        CHECK(pattern_difference(r.memory.data() + 2 * page, 1000, 5) == 1000);
        CHECK(r.stays_untouched(2));
        CHECK(r.ref().quiesced(o.ticket));
        CHECK(r.counters().late_completions == 1);
        CHECK(holds(r.ref(), "none", r.memory, 3 * page, 10, 0) == false);
      }
    });
  }

  TEST_CASE("store, remove: the target stalls -> outcome_unknown; done once, and not again") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      fill_pattern(r.memory.data(), 500, 9);
      const outcome o = r.ref().store(bytes_of("hold b"), *r.memory.value(0, 500), in_ms(20), {.must_not_exist = true});
      CHECK(o.status == status(client::outcome_unknown));
      CHECK_FALSE(r.ref().quiesced(o.ticket));
      const outcome d = r.ref().remove(bytes_of("hold c"), in_ms(20));
      CHECK(d.status == status(client::outcome_unknown));
      CHECK(r.ref().queue().outstanding() == 2);
      release(r.ref());
      REQUIRE(becomes([&] { return r.ref().quiesced(o.ticket) && r.ref().quiesced(d.ticket); }));
      CHECK(r.counters().late_completions == 2);
      // It was done: the condition now fails.
      const auto t =
          r.ref().submit(operation::store(bytes_of("hold b"), *r.memory.value(0, 500), {.must_not_exist = true}));
      REQUIRE(t);
      release(r.ref());
      CHECK(r.ref().wait(*t, soon()).status.is_key_exists());
    });
  }

  TEST_CASE("deadline: passed already -> at once, and the operation may have been sent") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      outcome o;
      const std::uint64_t ms =
          ms_of([&] { o = r.ref().retrieve(bytes_of("hold a"), r.blank_page(1), nkv::host::deadline{}); });
      CHECK(o.status == status(client::timed_out));
      CHECK(ms < 1000);
      CHECK_FALSE(r.ref().quiesced(o.ticket));
      release(r.ref());
      CHECK(becomes([&] { return r.ref().quiesced(o.ticket); }));
    });
  }

  TEST_CASE("quarantine: every CID in it -> queue_full in time; all back with the late completions") {
    over_both([](served::kind_type kind) {
      rig r(kind, 4);
      REQUIRE(r.ref().queue().capacity() == 3);
      std::vector<nkv::ticket> lost;
      for (unsigned i = 0; i < 3; ++i) {
        const outcome o = r.ref().retrieve(bytes_of("hold a"), r.blank_page(i), in_ms(10));
        CHECK(o.status == status(client::timed_out));
        lost.push_back(o.ticket);
      }
      outcome o;
      const std::uint64_t ms = ms_of([&] { o = r.ref().exist(bytes_of("none"), in_ms(50)); });
      CHECK(o.status == status(client::queue_full));
      CHECK(ms >= 50);
      CHECK(ms < 5000);
      CHECK(r.ref().submit(operation::exist(bytes_of("none"))).error() == status(client::queue_full));
      for (const nkv::ticket t : lost) CHECK_FALSE(r.ref().quiesced(t));
      // Another queue of the same controller has room, and lets them go.
      const opened<nkv::exclusive> other = open<nkv::exclusive>(r.c, 1, 4);
      release(other.ref());
      for (const nkv::ticket t : lost) CHECK(becomes([&] { return r.ref().quiesced(t); }));
      CHECK(r.ref().queue().outstanding() == 0);
      CHECK(r.counters().late_completions == 3);
      r.busy(200);
      for (unsigned i = 0; i < 3; ++i) CHECK(r.is_blank(i));  // there was no such key
    });
  }

  TEST_CASE("cancel: under way -> at once; quiesced later; nothing else of it is ever seen") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      const auto t = r.ref().submit(operation::retrieve(bytes_of("hold a"), r.blank_page(1)));
      REQUIRE(t);
      CHECK(r.ref().poll(*t).status == status(client::would_block));
      status cancelled;
      CHECK(ms_of([&] { cancelled = r.ref().cancel(*t); }) < 1000);
      CHECK(cancelled == status());
      CHECK(r.ref().poll(*t).status == status(client::cancelled));
      CHECK(r.ref().wait(*t, in_ms(10)).status == status(client::cancelled));
      CHECK_FALSE(r.ref().quiesced(*t));
      CHECK(r.ref().queue().outstanding() == 1);
      release(r.ref());
      CHECK(becomes([&] { return r.ref().quiesced(*t); }));
      CHECK(r.ref().poll(*t).status == status(client::stale_ticket));
      CHECK(r.ref().cancel(*t) == status(client::stale_ticket));
      CHECK(r.counters().late_completions == 1);
      CHECK(r.stays_untouched(1));
    });
  }

  TEST_CASE("wait: timed_out, not cancelled -> asked again, the outcome comes") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      put_held(r.ref(), "hold a", r.memory, 0, 1000, 5);
      const auto t = r.ref().submit(operation::retrieve(bytes_of("hold a"), r.blank_page(2), {}, 77));
      REQUIRE(t);
      for (int i = 0; i < 3; ++i) {
        const outcome o = r.ref().wait(*t, in_ms(5));
        CHECK(o.status == status(client::timed_out));
        CHECK(o.user_tag == 77);
        CHECK_FALSE(r.ref().quiesced(*t));
      }
      release(r.ref());
      const outcome o = r.ref().wait(*t, soon());
      CHECK(o.status == status());
      CHECK(o.user_tag == 77);
      CHECK(o.length_bytes == 1000);
      CHECK(pattern_difference(r.memory.data() + 2 * page, 1000, 5) == 1000);
      CHECK(r.ref().queue().outstanding() == 0);
      CHECK(r.counters().late_completions == 0);
    });
  }

  TEST_CASE("batch: some operations stall -> the others end; cancelled, then quiesced") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      REQUIRE(put(r.ref(), "quick", r.memory, 0, 100, 1).ok());
      const operation operations[] = {
          operation::retrieve(bytes_of("quick"), *r.memory.value(page, 100), {}, 1),
          operation::retrieve(bytes_of("hold a"), r.blank_page(2), {}, 2),
          operation::exist(bytes_of("none"), 3),
          operation::store(bytes_of("hold b"), *r.memory.value(0, 100), {}, 4),
          operation::retrieve(bytes_of("quick"), *r.memory.value(3 * page, 100), {}, 5),
      };
      nkv::batch_entry entries[5];
      nkv::batch<nkv::host::queue_pair<nkv::exclusive>::ref_type> b(r.ref(), operations, entries);
      REQUIRE(b.submit() == status());
      const std::uint64_t ms = ms_of([&] { CHECK(b.wait(in_ms(100)) == status(client::timed_out)); });
      CHECK(ms < 5000);
      REQUIRE(becomes([&] {
        b.poll();
        return b.ended_count() == 3;
      }));
      CHECK_FALSE(b.ended());
      CHECK(b.result_of(0).status == status());
      CHECK(b.result_of(2).status.is_key_does_not_exist());
      CHECK(b.result_of(4).status == status());
      CHECK(b.result_of(1).status == status(client::would_block));
      CHECK_FALSE(b.quiesced());
      b.cancel();
      CHECK(b.ended());
      CHECK(b.result_of(1).status == status(client::cancelled));
      CHECK(b.result_of(3).status == status(client::cancelled));
      CHECK(b.result_of(3).user_tag == 4);
      CHECK_FALSE(b.quiesced());
      CHECK(r.ref().queue().outstanding() == 2);
      release(r.ref());
      CHECK(becomes([&] { return b.quiesced(); }));
      CHECK(r.ref().queue().outstanding() == 0);
      CHECK(r.counters().late_completions == 2);
      // Used anew.
      REQUIRE(b.submit() == status());
      release(r.ref());
      REQUIRE(b.wait(soon()) == status());
      CHECK(b.result_of(3).status == status());
    });
  }

  TEST_CASE("exist of many keys, longest_prefix: one stalls -> timed_out in time, nothing left of it later") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      const key_view keys[] = {bytes_of("none"), bytes_of("hold a"), bytes_of("other")};
      std::uint64_t word = 0;
      status s;
      CHECK(ms_of([&] { s = r.ref().exist({keys, 3}, {&word, 1}, in_ms(50)); }) < 5000);
      CHECK(s == status(client::timed_out));
      release(r.ref());
      CHECK(becomes([&] {
        r.ref().queue().reap(16);
        return r.ref().queue().outstanding() == 0;
      }));
      CHECK(r.ref().exist({keys, 1}, {&word, 1}, soon()) == status());
    });
  }

  TEST_CASE("queue pair: ends with commands under way -> they end, and their memory is free") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      const opened<nkv::exclusive> other = open<nkv::exclusive>(r.c, 1, 8);
      {
        const opened<nkv::exclusive> doomed = open<nkv::exclusive>(r.c, 1, 8);
        for (unsigned i = 0; i < 5; ++i) {
          const auto t = doomed.ref().submit(operation::retrieve(bytes_of("hold a"), r.blank_page(4 + i)));
          REQUIRE(t);
        }
        // Published and fetched: what comes after them on another queue is answered.
        r.busy(10);
      }
      release(other.ref());
      for (unsigned i = 0; i < 5; ++i) {
        CHECK(r.stays_untouched(4 + i));
        CHECK(r.is_blank(4 + i));
      }
    });
  }

  TEST_CASE("reset: with commands under way -> disconnected or outcome_unknown, quiesced at once; then as new") {
    over_both([](served::kind_type kind) {
      rig r(kind);
      const auto a = r.ref().submit(operation::retrieve(bytes_of("hold a"), r.blank_page(1)));
      const auto b = r.ref().submit(operation::store(bytes_of("hold b"), *r.memory.value(0, 100)));
      REQUIRE(a);
      REQUIRE(b);
      r.busy(5);
      REQUIRE(r.c.reset(soon()) == status());
      CHECK(r.ref().poll(*a).status == status(client::disconnected));
      CHECK(r.ref().poll(*b).status == status(client::outcome_unknown));
      CHECK(r.ref().quiesced(*a));
      CHECK(r.ref().quiesced(*b));
      CHECK(r.ref().exist(bytes_of("none"), soon()).status == status(client::disconnected));
      std::byte* const at = r.memory.data() + page;
      REQUIRE(::mprotect(at, page, PROT_NONE) == 0);
      {
        // What was registered stays so.
        const opened<nkv::exclusive> again = open<nkv::exclusive>(r.c, 1, 8);
        release(again.ref());
        REQUIRE(put(again.ref(), "new", r.memory, 2 * page, 1000, 3).ok());
        CHECK(holds(again.ref(), "new", r.memory, 3 * page, 1000, 3));
      }
      REQUIRE(::mprotect(at, page, PROT_READ | PROT_WRITE) == 0);
      CHECK(r.is_blank(1));
    });
  }

  TEST_CASE("registration: released while a command is in it -> not before the command has ended") {
    rig r(served::inproc);
    nkv::host::registration part = allocate(r.c, page);
    const auto t = r.ref().submit(operation::retrieve(bytes_of("hold a"), part.value()));
    REQUIRE(t);
    r.busy(5);
    status s;
    CHECK(ms_of([&] { s = part.release(in_ms(50)); }) < 5000);
    CHECK(s == status(client::timed_out));
    CHECK(part.data() != nullptr);
    release(r.ref());
    CHECK(part.release(soon()) == status());
    CHECK(part.data() == nullptr);
    CHECK(r.ref().wait(*t, soon()).status.is_key_does_not_exist());
  }
}

TEST_SUITE("system/out of order") {
  TEST_CASE("completions: in reverse -> each its own outcome; the first submitted is the last to end") {
    over_both([](served::kind_type kind) {
      rig r(kind, 32, 2);
      constexpr unsigned count = 20;
      std::vector<std::string> keys;
      for (unsigned i = 0; i < count; ++i) {
        keys.push_back("hold " + std::to_string(i));
        put_held(r.ref(), keys[i], r.memory, 0, 200 + i, 50 + i);
      }
      std::vector<nkv::kv_ticket> tickets;
      for (unsigned i = 0; i < count; ++i) {
        const auto t = r.ref().submit(operation::retrieve(bytes_of(keys[i]), r.blank_page(1 + i), {}, i));
        REQUIRE(t);
        tickets.push_back(*t);
      }
      const auto released = r.ref().submit(operation::exist(bytes_of("release")));
      REQUIRE(released);
      // One completion at a time out of the queue, to see their order.
      std::vector<unsigned> order;
      const bool all_ended = becomes([&] {
        if (r.ref().queue().reap(1) == 0) return false;
        for (unsigned i = 0; i < count; ++i) {
          if (!tickets[i].valid()) continue;
          const nkv::completion ended = r.ref().queue().peek(tickets[i].ticket);
          if (ended.status == status(client::would_block)) continue;
          CHECK(ended.status == status());
          CHECK(ended.dw0 == 200 + i);
          CHECK(pattern_difference(r.memory.data() + (1 + i) * page, 200 + i, 50 + i) == 200 + i);
          CHECK(r.ref().queue().consume(tickets[i].ticket) == status());
          tickets[i] = {};
          order.push_back(i);
        }
        return order.size() == count;
      });
      REQUIRE_MESSAGE(all_ended, order.size() << " of " << count);
      for (unsigned i = 0; i < count; ++i) CHECK(order[i] == count - 1 - i);
      CHECK(r.ref().wait(*released, soon()).status.is_key_does_not_exist());
      CHECK(r.ref().queue().outstanding() == 0);
      CHECK(r.counters().stray_completions == 0);
    });
  }

  TEST_CASE("completions: by another thread in no order, thousands -> every value where it belongs") {
    over_both([](served::kind_type kind) {
      rig r(kind, 32);
      constexpr unsigned keys = 24;
      for (unsigned k = 0; k < keys; ++k)
        REQUIRE(put(r.ref(), "slow" + std::to_string(k), r.memory, 0, 300 + k, k).ok());
      struct flight {
        nkv::kv_ticket ticket;
        unsigned key = 0;
      };
      std::vector<flight> flights(keys);
      unsigned sent = 0;
      unsigned ended = 0;
      std::uint64_t wrong = 0;
      std::uint64_t overtaken = 0;
      std::uint64_t newest_ended = 0;
      constexpr unsigned total = 3000;
      REQUIRE(becomes([&] {
        for (unsigned f = 0; f < flights.size(); ++f) {
          flight& one = flights[f];
          if (one.ticket.valid()) {
            const outcome o = r.ref().poll(one.ticket);
            if (o.status == status(client::would_block)) continue;
            one.ticket = {};
            ++ended;
            if (o.user_tag < newest_ended) ++overtaken;
            newest_ended = std::max(newest_ended, o.user_tag);
            if (!o.ok() || o.length_bytes != 300 + one.key ||
                pattern_difference(r.memory.data() + (1 + f) * page, 300 + one.key, one.key) != 300 + one.key)
              ++wrong;
          }
          if (sent == total) continue;
          one.key = (sent * 7 + f) % keys;
          const std::string name = "slow" + std::to_string(one.key);
          const auto t = r.ref().submit(operation::retrieve(bytes_of(name), r.blank_page(1 + f), {}, sent + 1));
          if (!t) {
            ++wrong;
            continue;
          }
          one.ticket = *t;
          ++sent;
        }
        return ended == total;
      }));
      CHECK(wrong == 0);
      CHECK(overtaken > 0);
      CHECK(r.ref().queue().outstanding() == 0);
      CHECK(r.counters().stray_completions == 0);
    });
  }
}
