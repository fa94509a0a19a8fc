// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/cache/cached_store.hpp>
#include <support/versioned_store.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace nkv::target;
using nkv_test::versioned_store;

namespace {

nkv::byte_span bytes(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

/// Whoever waits for operations.
struct bell final : waker {
  void wake() noexcept override {
    const std::lock_guard lock(mutex);
    ++count;
    rung.notify_all();
  }
  std::mutex mutex;
  std::condition_variable rung;
  unsigned count = 0;
};

/// An operation with what it points to.
struct asked {
  asked(finished_operations& home, store_verb verb, std::string k, std::string v = {})
      : key(std::move(k)), value(std::move(v)) {
    piece = {reinterpret_cast<std::byte*>(value.data()), value.size()};
    op.verb = verb;
    op.key = bytes(key);
    op.data = {&piece, 1};
    op.data_bytes = value.size();
    op.home = &home;
    op.owner = this;
  }
  asked(const asked&) = delete;
  asked& operator=(const asked&) = delete;

  store_operation op;
  std::string key, value;
  nkv::mutable_byte_span piece;
  bool done = false;

  /// What was read.
  [[nodiscard]] std::string text() const {
    return value.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(op.true_length, value.size())));
  }
};

struct fixture {
  explicit fixture(cache_options options = {.freshness = cache_freshness::immutable},
                   versioned_store::answers how = versioned_store::answers::at_once)
      : behind(std::make_shared<versioned_store>(how)), store(std::make_unique<cached_store>(behind, options)) {}
  ~fixture() {
    take();
    store.reset();
    while (!home.idle()) take();
  }

  void begin(asked& a) {
    progress p = store->submit(a.op);
    while (p == progress::more) p = store->proceed(a.op);
    a.done = p == progress::done;
  }
  void take() {
    for (store_operation* op = home.take(); op != nullptr; op = op->next) static_cast<asked*>(op->owner)->done = true;
  }
  /// What a Retrieve into so much room finds, or how it ends.
  std::string get(const std::string& key, std::size_t room = 4096) {
    asked a(home, store_verb::retrieve, key, std::string(room, '.'));
    begin(a);
    take();
    REQUIRE(a.done);
    if (a.op.result == store_result::absent) return "absent";
    if (a.op.result != store_result::ok) return "failed";
    return a.text();
  }
  store_result put(const std::string& key, const std::string& value) {
    asked a(home, store_verb::store, key, value);
    begin(a);
    take();
    REQUIRE(a.done);
    return a.op.result;
  }
  /// How many times the store behind was asked for values, and whether they are there.
  bool asks(unsigned retrieves, unsigned exists) {
    const unsigned r = behind->asked(store_verb::retrieve), e = behind->asked(store_verb::exist);
    CHECK(r == retrieves);
    CHECK(e == exists);
    return r == retrieves && e == exists;
  }

  bell rung;
  finished_operations home{rung};
  std::shared_ptr<versioned_store> behind;
  std::unique_ptr<cached_store> store;
};

constexpr auto held = versioned_store::answers::held;
const cache_options validated{.freshness = cache_freshness::validated};
const cache_options sole_writer{.freshness = cache_freshness::sole_writer};

}  // namespace

TEST_SUITE("target/cache/cached_store") {
  TEST_CASE("a value is read once; its beginning, its length and whether it is there come from the cache too") {
    fixture f;
    f.behind->change("k", "a value");
    CHECK(f.get("k") == "a value");
    CHECK(f.asks(1, 0));
    CHECK(f.get("k") == "a value");
    asked part(f.home, store_verb::retrieve, "k", std::string(3, '.'));
    f.begin(part);
    CHECK(part.done);
    CHECK(part.value == "a v");
    CHECK(part.op.true_length == 7);
    asked there(f.home, store_verb::exist, "k");
    f.begin(there);
    CHECK(there.op.result == store_result::ok);
    CHECK(there.op.true_length == 7);
    CHECK(f.asks(0, 0));
    const cache_statistics s = f.store->statistics();
    CHECK(s.hits == 3);
    CHECK(s.fills == 1);
    CHECK(s.values == 1);
    CHECK(f.get("other") == "absent");
    CHECK(f.get("other") == "absent");
    CHECK(f.asks(2, 0));
  }

  TEST_CASE("a value longer than the first had room for -> not kept; with room it is") {
    fixture f;
    f.behind->change("k", "0123456789");
    CHECK(f.get("k", 4) == "0123");
    CHECK(f.store->statistics().values == 0);
    CHECK(f.get("k", 10) == "0123456789");
    CHECK(f.get("k", 4) == "0123");
    CHECK(f.asks(2, 0));
    f.behind->change("empty", "");
    CHECK(f.get("empty") == "");
    CHECK(f.get("empty") == "");
    CHECK(f.asks(1, 0));
  }

  TEST_CASE("whole values are the cached ones, not copies; raw values and objects by name pass by") {
    fixture f;
    f.behind->change("k", "a value");
    held_value first, second;
    for (held_value* v : {&first, &second}) {
      asked a(f.home, store_verb::retrieve, "k");
      a.op.data_bytes = 100;
      a.op.whole = v;
      f.begin(a);
      f.take();
      REQUIRE(a.done);
      CHECK(a.op.true_length == 7);
    }
    CHECK(first.bytes.data() == second.bytes.data());
    CHECK(second.bytes.size() == 7);
    asked part(f.home, store_verb::retrieve, "k");
    part.op.data_bytes = 3;
    part.op.whole = &second;
    f.begin(part);
    CHECK(part.op.true_length == 7);
    CHECK(second.bytes.size() == 3);
    CHECK(f.asks(1, 0));
    for (const bool raw : {true, false}) {
      asked a(f.home, store_verb::retrieve, "k", std::string(10, '.'));
      (raw ? a.op.raw : a.op.object_name) = true;
      f.begin(a);
      CHECK(a.done);
      CHECK(f.asks(1, 0));
    }
  }

  TEST_CASE("many ask for one key -> it is read once, and again for who has more room") {
    for (const cache_freshness how : {cache_freshness::immutable, cache_freshness::sole_writer}) {
      fixture f({.freshness = how}, held);
      f.behind->change("k", "0123456789");
      std::vector<std::unique_ptr<asked>> all;
      for (const unsigned room : {4u, 3u, 12u, 20u, 0u})
        all.push_back(std::make_unique<asked>(f.home, store_verb::retrieve, "k", std::string(room, '.')));
      for (auto& a : all) f.begin(*a);
      CHECK(f.behind->holds() == 1);
      REQUIRE(f.behind->let());
      f.take();
      CHECK(all[0]->text() == "0123");
      CHECK(all[1]->text() == "012");
      CHECK(all[4]->done);
      CHECK(all[4]->op.true_length == 10);
      CHECK_FALSE(all[2]->done);
      REQUIRE(f.behind->let());
      f.take();
      CHECK(all[2]->text() == "0123456789");
      CHECK(all[3]->text() == "0123456789");
      CHECK(f.behind->holds() == 0);
      CHECK(f.asks(2, 0));
    }
  }

  TEST_CASE("validated: each hit asks for the version alone; what others changed or removed is seen") {
    fixture f(validated);
    f.behind->change("k", "old");
    CHECK(f.get("k") == "old");
    CHECK(f.get("k") == "old");
    CHECK(f.asks(1, 1));
    f.behind->change("k", "new");
    CHECK(f.get("k") == "new");
    CHECK(f.asks(1, 1));
    CHECK(f.get("k") == "new");
    CHECK(f.asks(0, 1));
    f.behind->change("k", std::nullopt);
    CHECK(f.get("k") == "absent");
    CHECK(f.asks(0, 1));
    CHECK(f.store->statistics().values == 0);
    CHECK(f.store->statistics().invalidations == 2);
    f.behind->change("k", "again");
    CHECK(f.get("k") == "again");
    f.behind->fail_next(store_result::unavailable);
    CHECK(f.get("k") == "failed");
    CHECK(f.get("k") == "again");
    CHECK(f.asks(1, 2));
    asked there(f.home, store_verb::exist, "k");
    f.begin(there);
    CHECK(f.asks(0, 1));
  }

  TEST_CASE("validated: an answer counts for those who came before its question; the others share the next") {
    fixture f(validated, held);
    f.behind->change("k", "old");
    std::vector<std::unique_ptr<asked>> all;
    const auto ask = [&] {
      all.push_back(std::make_unique<asked>(f.home, store_verb::retrieve, "k", std::string(9, '.')));
      f.begin(*all.back());
    };
    ask();
    ask();
    ask();
    CHECK(f.behind->holds() == 1);
    REQUIRE(f.behind->let());
    f.take();
    CHECK(all[0]->done);
    CHECK_FALSE(all[1]->done);
    CHECK(f.asks(1, 1));
    ask();
    // Changed after the last three came, and before they are answered.
    f.behind->change("k", "new");
    REQUIRE(f.behind->let());
    f.take();
    CHECK_FALSE(all[1]->done);
    REQUIRE(f.behind->let());
    f.take();
    for (const std::size_t i : {1u, 2u, 3u}) CHECK(all[i]->text() == "new");
    CHECK(f.asks(1, 0));
    CHECK(f.behind->holds() == 0);
  }

  TEST_CASE("Store and Delete: the value goes before their completion; meanwhile Retrieves go by") {
    for (const cache_freshness how : {cache_freshness::validated, cache_freshness::sole_writer}) {
      fixture f({.freshness = how});
      f.behind->change("k", "old");
      CHECK(f.get("k") == "old");
      f.behind->hold(true);
      asked s(f.home, store_verb::store, "k", "new");
      f.begin(s);
      asked r(f.home, store_verb::retrieve, "k", std::string(9, '.'));
      f.begin(r);
      CHECK(f.behind->holds() == 2);
      REQUIRE(f.behind->let());
      CHECK(f.store->statistics().values == 0);
      REQUIRE(f.behind->let());
      f.take();
      CHECK(r.text() == "new");
      CHECK(f.store->statistics().values == 0);
      f.behind->hold(false);
      CHECK(f.get("k") == "new");
      asked gone(f.home, store_verb::remove, "k");
      f.begin(gone);
      CHECK(gone.done);
      CHECK(f.get("k") == "absent");
    }
  }

  TEST_CASE("a value that was being read when a Store began is not kept, and nobody joins it afterwards") {
    fixture f(sole_writer, held);
    f.behind->change("k", "old");
    asked first(f.home, store_verb::retrieve, "k", std::string(9, '.'));
    f.begin(first);
    asked s(f.home, store_verb::store, "k", "new");
    f.begin(s);
    // The answer to what was read before the Store comes after the Store's.
    store_operation* const late = f.behind->perform_held();
    REQUIRE(late != nullptr);
    REQUIRE(f.behind->let());
    versioned_store::tell(*late);
    f.take();
    CHECK(s.done);
    CHECK(first.text() == "old");
    CHECK(f.store->statistics().values == 0);
    asked next(f.home, store_verb::retrieve, "k", std::string(9, '.'));
    f.begin(next);
    CHECK(f.behind->holds() == 1);
    REQUIRE(f.behind->let());
    f.take();
    CHECK(next.text() == "new");
    CHECK(f.store->statistics().values == 1);
  }

  TEST_CASE("a Store that changed nothing leaves the value; one of which nothing is known makes its key validated") {
    fixture f(sole_writer);
    f.behind->change("k", "old");
    f.behind->change("other", "1");
    CHECK(f.get("k") == "old");
    CHECK(f.get("other") == "1");
    asked s(f.home, store_verb::store, "k", "new");
    s.op.must_not_exist = true;
    f.begin(s);
    CHECK(s.op.result == store_result::present);
    CHECK(f.get("k") == "old");
    CHECK(f.asks(2, 0));
    f.behind->fail_next(store_result::unknown);
    CHECK(f.put("k", "late") == store_result::unknown);
    CHECK(f.get("k") == "old");
    CHECK(f.asks(1, 0));
    // Now it is carried out after all.
    f.behind->change("k", "late");
    CHECK(f.get("k") == "late");
    CHECK(f.asks(1, 1));
    CHECK(f.get("other") == "1");
    CHECK(f.asks(0, 0));
  }

  TEST_CASE("bounds: the least recently used go, and what could never have room is not kept") {
    fixture f({.freshness = cache_freshness::immutable, .max_bytes = 20'000, .max_values = 3});
    for (const char* key : {"a", "b", "c", "d"}) f.behind->change(key, key);
    f.behind->change("long", std::string(8000, 'x'));
    f.behind->change("longer", std::string(20'000, 'x'));
    for (const char* key : {"a", "b", "c", "a", "d"}) CHECK(f.get(key) == key);
    CHECK(f.store->statistics().evictions == 1);
    CHECK(f.asks(4, 0));
    CHECK(f.get("a") == "a");
    CHECK(f.asks(0, 0));
    CHECK(f.get("b") == "b");
    CHECK(f.asks(1, 0));
    CHECK(f.get("long", 30'000).size() == 8000);
    CHECK(f.store->statistics().bytes <= 20'000);
    const auto before = f.store->statistics().evictions;
    CHECK(f.get("longer", 30'000).size() == 20'000);
    CHECK(f.store->statistics().evictions == before);
    CHECK(f.get("long", 30'000).size() == 8000);
    CHECK(f.asks(2, 0));
  }

  TEST_CASE("a value whose time has passed is not given out") {
    fixture f;
    f.behind->change("k", "old", expiry::now_ms() + 3'600'000);
    CHECK(f.get("k") == "old");
    CHECK(f.get("k") == "old");
    CHECK(f.asks(1, 0));
    f.behind->change("e", "old", expiry::now_ms() - 1);
    CHECK(f.get("e") == "old");
    f.behind->change("e", "new");
    CHECK(f.get("e") == "new");
    CHECK(f.asks(2, 0));
    f.behind->change("x", "old", expiry::now_ms() - 1);
    CHECK(f.get("x") == "old");
    CHECK(f.store->statistics().values == 3);
    asked there(f.home, store_verb::exist, "x");
    f.begin(there);
    CHECK(f.asks(1, 1));
    CHECK(f.store->statistics().values == 2);
  }

  TEST_CASE("long values: copied in slices, and cancelled between them; so are Stores") {
    fixture f;
    std::string value(1'500'000, ' ');
    for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 7 + i / 253);
    CHECK(f.put("k", value) == store_result::ok);
    CHECK(f.get("k", value.size()) == value);
    CHECK(f.get("k", value.size() + 9) == value);
    CHECK(f.get("k", 700'000) == value.substr(0, 700'000));
    asked r(f.home, store_verb::retrieve, "k", std::string(value.size(), '.'));
    REQUIRE(f.store->submit(r.op) == progress::more);
    f.store->cancel(r.op);
    CHECK(r.op.result == store_result::aborted);
    asked s(f.home, store_verb::store, "k", value);
    REQUIRE(f.store->submit(s.op) == progress::more);
    f.store->cancel(s.op);
    CHECK(s.op.result == store_result::aborted);
    CHECK(s.op.home == &f.home);
    CHECK(f.get("k", value.size()) == value);
    CHECK(f.asks(1, 0));
  }

  TEST_CASE("cancel: who waits with others ends at once, the last with the answer; a Store as the store behind will") {
    fixture f(sole_writer, held);
    f.behind->change("k", "old");
    asked first(f.home, store_verb::retrieve, "k", std::string(9, '.'));
    asked second(f.home, store_verb::retrieve, "k", std::string(9, '.'));
    f.begin(first);
    f.begin(second);
    f.store->cancel(first.op);
    f.take();
    CHECK(first.done);
    CHECK(first.op.result == store_result::aborted);
    CHECK_FALSE(second.done);
    f.store->cancel(second.op);
    REQUIRE(f.behind->let());
    f.take();
    CHECK(second.text() == "old");
    CHECK(f.get("k") == "old");
    asked s(f.home, store_verb::store, "k", "new");
    f.begin(s);
    f.store->cancel(s.op);
    f.take();
    CHECK(s.done);
    CHECK(s.op.result == store_result::aborted);
    CHECK(f.get("k") == "old");
  }

  TEST_CASE("more room than the store behind ever fills -> what it gave, and it is asked once") {
    fixture f;
    f.behind->change("k", std::string(1000, 'x'));
    f.behind->give_at_most(100);
    asked a(f.home, store_verb::retrieve, "k", std::string(2000, '.'));
    f.begin(a);
    f.take();
    REQUIRE(a.done);
    CHECK(a.op.true_length == 1000);
    CHECK(a.value.substr(0, 101) == std::string(100, 'x') + '.');
    CHECK(f.store->statistics().values == 0);
    CHECK(f.asks(1, 0));
  }

  TEST_CASE("the end waits for whoever gives the last answer") {
    for (int i = 0; i < 200; ++i) {
      fixture f({.freshness = cache_freshness::immutable}, versioned_store::answers::thread);
      asked a(f.home, store_verb::retrieve, "k", std::string(9, '.'));
      f.begin(a);
      f.store->cancel(a.op);
      while (!a.done) f.take();
      f.store.reset();
      CHECK(f.behind->holds() == 0);
    }
  }

  TEST_CASE("many threads, few keys: no Retrieve finds less than what a Store had acknowledged when it began") {
    constexpr unsigned keys = 3, threads = 4, rounds = 4000;
    for (const cache_freshness how : {cache_freshness::validated, cache_freshness::sole_writer}) {
      const auto behind = std::make_shared<versioned_store>(versioned_store::answers::thread);
      cached_store store(behind, {.freshness = how, .max_bytes = 9000, .max_values = 2});
      std::atomic<std::uint64_t> acknowledged[keys] = {};
      std::atomic<unsigned> wrong{0};
      std::vector<std::thread> all;
      for (unsigned t = 0; t < threads; ++t)
        all.emplace_back([&, t] {
          std::minstd_rand dice(t + 1);
          bell rung;
          finished_operations home(rung);
          std::uint64_t next = 0;
          for (unsigned i = 0; i < rounds; ++i) {
            // Each key has one who writes it, so its values only rise.
            const bool stores = t < keys && dice() % 4 == 0;
            const unsigned k = stores ? t : static_cast<unsigned>(dice() % keys);
            const std::uint64_t least = acknowledged[k].load();
            std::string value(8, '\0');
            if (stores) {
              ++next;
              std::memcpy(value.data(), &next, sizeof next);
            }
            asked a(home, stores ? store_verb::store : store_verb::retrieve, std::to_string(k), value);
            progress p = store.submit(a.op);
            while (p == progress::more) p = store.proceed(a.op);
            if (p == progress::later) {
              if (!stores && dice() % 16 == 0) store.cancel(a.op);
              while (home.take() == nullptr) std::this_thread::yield();
            }
            if (stores) {
              acknowledged[k].store(next);
            } else if (a.op.result == store_result::ok) {
              std::uint64_t found = 0;
              std::memcpy(&found, a.value.data(), sizeof found);
              if (found < least) ++wrong;
            } else if (a.op.result == store_result::absent && least != 0) {
              ++wrong;
            }
          }
          while (!home.idle()) std::this_thread::yield();
        });
      for (std::thread& t : all) t.join();
      CHECK(wrong == 0);
      CHECK(store.statistics().hits > 0);
      CHECK(store.statistics().evictions > 0);
    }
  }
}
