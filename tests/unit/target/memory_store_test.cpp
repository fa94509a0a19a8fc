// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/endian.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace nkv;
using target::memory_store;
using target::memory_store_options;
using target::progress;
using target::store_operation;
using target::store_result;
using target::store_verb;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

/// Calls as a controller makes them, from start to end.
struct caller {
  memory_store& s;

  store_operation op{};
  mutable_byte_span piece{};
  unsigned steps = 0;

  store_result run(store_verb verb, std::string_view key, void* data = nullptr, std::size_t bytes = 0) {
    op.verb = verb;
    op.key = {reinterpret_cast<const std::byte*>(key.data()), key.size()};
    piece = {static_cast<std::byte*>(data), bytes};
    op.data = {&piece, bytes != 0 ? 1u : 0u};
    op.data_bytes = bytes;
    progress p = s.submit(op);
    for (steps = 1; p == progress::more; ++steps) p = s.proceed(op);
    CHECK(p == progress::done);
    return op.result;
  }
};

struct store_how {
  bool must_exist = false, must_not_exist = false, ephemeral = false;
  std::uint32_t ttl_s = 0;
};

store_result put(memory_store& s, std::string_view key, std::string value, store_how how = {}) {
  caller c{s};
  c.op.must_exist = how.must_exist;
  c.op.must_not_exist = how.must_not_exist;
  c.op.ephemeral = how.ephemeral;
  c.op.ttl_s = how.ttl_s;
  return c.run(store_verb::store, key, value.data(), value.size());
}
store_result touch(memory_store& s, std::string_view key, std::uint32_t ttl_s = 0) {
  caller c{s};
  c.op.touch = true;
  c.op.ttl_s = ttl_s;
  return c.run(store_verb::store, key);
}
store_result exist(memory_store& s, std::string_view key) { return caller{s}.run(store_verb::exist, key); }
store_result remove(memory_store& s, std::string_view key) { return caller{s}.run(store_verb::remove, key); }
/// The value, or "-" for none.
std::string get(memory_store& s, std::string_view key, std::size_t room = 1 << 20) {
  std::string v(room, '\0');
  caller c{s};
  if (c.run(store_verb::retrieve, key, v.data(), v.size()) != store_result::ok) return "-";
  v.resize(std::min<std::size_t>(room, c.op.true_length));
  return v;
}

struct listing {
  std::vector<std::string> keys;
  std::uint64_t full = 0;
};
listing list(memory_store& s, std::string_view start = {}, std::size_t room = 1 << 20) {
  std::vector<std::byte> page(room);
  const mutable_byte_span pieces[] = {{page.data(), page.size()}};
  target::list_page_writer w(pieces);
  caller c{s};
  c.op.page = &w;
  c.op.count_all = true;
  CHECK(c.run(store_verb::list, start) == store_result::ok);
  listing l;
  l.full = c.op.true_length;
  const std::uint32_t n = load_le<std::uint32_t>(page.data());
  std::size_t at = 4;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::size_t length = load_le<std::uint16_t>(page.data() + at);
    l.keys.emplace_back(reinterpret_cast<const char*>(page.data() + at + 2), length);
    at += (2 + length + 3) / 4 * 4;
  }
  return l;
}

using keys = std::vector<std::string>;

}  // namespace

TEST_SUITE("target/memory_store") {
  TEST_CASE("store, retrieve: values of every kind of length, overwritten by others") {
    memory_store s;
    std::size_t round = 0;
    for (const std::size_t length :
         {0u, 1u, 4096u, 16384u, 16385u, 262144u, 262145u, 3000000u, 4096u, 4095u, 4095u, 1u}) {
      std::string v(length, '\0');
      for (std::size_t i = 0; i < length; ++i) v[i] = static_cast<char>(i * 31 + length + round);
      ++round;
      REQUIRE(put(s, "k", v) == store_result::ok);
      CHECK(get(s, "k", 4000000) == v);
      CHECK(s.usage().keys == 1);
      CHECK(s.usage().bytes == length + 1);
    }
    CHECK(get(s, "other") == "-");
  }

  TEST_CASE("retrieve: the beginning where the room is short, and the true length") {
    memory_store s;
    const std::string v(600000, 'v');
    REQUIRE(put(s, "k", v) == store_result::ok);
    for (const std::size_t room : {0u, 1u, 20000u, 300000u, 599999u}) {
      std::string out(room + 1, '.');
      caller c{s};
      CHECK(c.run(store_verb::retrieve, "k", out.data(), room) == store_result::ok);
      CHECK(c.op.true_length == 600000);
      CHECK(out == std::string(room, 'v') + ".");
    }
  }

  TEST_CASE("store, retrieve: long values go in slices, others at once") {
    memory_store s;
    std::string v(1 << 20, 'v');
    caller c{s};
    CHECK(c.run(store_verb::store, "k", v.data(), v.size()) == store_result::ok);
    CHECK(c.steps == 5);
    CHECK(c.run(store_verb::retrieve, "k", v.data(), v.size()) == store_result::ok);
    CHECK(c.steps == 5);
    CHECK(c.run(store_verb::retrieve, "k", v.data(), 262144) == store_result::ok);
    CHECK(c.steps == 1);
  }

  TEST_CASE("store, retrieve: over many pieces") {
    memory_store s;
    std::vector<std::byte> m(1 << 20), back(1 << 20);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = static_cast<std::byte>(i * 13);
    std::vector<mutable_byte_span> pieces, back_pieces;
    for (std::size_t at = 0; at < m.size();) {
      const std::size_t n = std::min<std::size_t>(at % 977 + 1, m.size() - at);
      pieces.push_back({m.data() + at, n});
      back_pieces.push_back({back.data() + at, n});
      at += n;
    }
    store_operation op;
    const std::byte key[] = {std::byte{1}};
    op.key = {key, 1};
    for (const store_verb verb : {store_verb::store, store_verb::retrieve}) {
      op.verb = verb;
      std::vector<mutable_byte_span>& p = verb == store_verb::store ? pieces : back_pieces;
      op.data = {p.data(), p.size()};
      op.data_bytes = m.size();
      progress state = s.submit(op);
      while (state == progress::more) state = s.proceed(op);
      CHECK(op.result == store_result::ok);
    }
    CHECK(m == back);
  }

  TEST_CASE("retrieve in slices: one value, although another is stored and the key deleted meanwhile") {
    memory_store s;
    const std::string first(1 << 20, 'a');
    REQUIRE(put(s, "k", first) == store_result::ok);
    std::string out(1 << 20, '\0');
    store_operation op;
    op.verb = store_verb::retrieve;
    const std::byte key[] = {std::byte{'k'}};
    op.key = {key, 1};
    const mutable_byte_span piece[] = {{reinterpret_cast<std::byte*>(out.data()), out.size()}};
    op.data = piece;
    op.data_bytes = out.size();
    REQUIRE(s.submit(op) == progress::more);
    REQUIRE(s.proceed(op) == progress::more);
    REQUIRE(put(s, "k", std::string(1 << 20, 'b')) == store_result::ok);
    REQUIRE(s.proceed(op) == progress::more);
    REQUIRE(remove(s, "k") == store_result::ok);
    progress p = progress::more;
    while (p == progress::more) p = s.proceed(op);
    CHECK(out == first);
  }

  TEST_CASE("cancel: a half-copied value is not there, and what was stays") {
    memory_store s;
    REQUIRE(put(s, "k", "old") == store_result::ok);
    std::string v(1 << 20, 'n');
    store_operation op;
    op.verb = store_verb::store;
    const std::byte key[] = {std::byte{'k'}};
    op.key = {key, 1};
    const mutable_byte_span piece[] = {{reinterpret_cast<std::byte*>(v.data()), v.size()}};
    op.data = piece;
    op.data_bytes = v.size();
    REQUIRE(s.submit(op) == progress::more);
    REQUIRE(s.proceed(op) == progress::more);
    s.cancel(op);
    CHECK(op.result == store_result::aborted);
    CHECK(get(s, "k") == "old");
    // Before its first slice too, and a Retrieve.
    REQUIRE(s.submit(op) == progress::more);
    s.cancel(op);
    CHECK(op.result == store_result::aborted);
    REQUIRE(put(s, "k", v) == store_result::ok);
    op.verb = store_verb::retrieve;
    REQUIRE(s.submit(op) == progress::more);
    REQUIRE(s.proceed(op) == progress::more);
    s.cancel(op);
    CHECK(get(s, "k") == v);
  }

  TEST_CASE("store: only if it exists, only if it does not") {
    memory_store s;
    CHECK(put(s, "k", "1", {.must_exist = true}) == store_result::absent);
    CHECK(exist(s, "k") == store_result::absent);
    CHECK(put(s, "k", "1", {.must_not_exist = true}) == store_result::ok);
    CHECK(put(s, "k", "2", {.must_not_exist = true}) == store_result::present);
    CHECK(get(s, "k") == "1");
    CHECK(put(s, "k", "3", {.must_exist = true}) == store_result::ok);
    CHECK(get(s, "k") == "3");
  }

  TEST_CASE("store: the condition counts at the end of the copy, not only at its start") {
    memory_store s;
    std::string v(1 << 20, 'n');
    store_operation op;
    op.verb = store_verb::store;
    op.must_not_exist = true;
    const std::byte key[] = {std::byte{'k'}};
    op.key = {key, 1};
    const mutable_byte_span piece[] = {{reinterpret_cast<std::byte*>(v.data()), v.size()}};
    op.data = piece;
    op.data_bytes = v.size();
    REQUIRE(s.submit(op) == progress::more);
    REQUIRE(s.proceed(op) == progress::more);
    REQUIRE(put(s, "k", "first") == store_result::ok);
    progress p = progress::more;
    while (p == progress::more) p = s.proceed(op);
    CHECK(op.result == store_result::present);
    CHECK(get(s, "k") == "first");
    op.must_not_exist = false;
    op.must_exist = true;
    REQUIRE(s.submit(op) == progress::more);
    REQUIRE(s.proceed(op) == progress::more);
    REQUIRE(remove(s, "k") == store_result::ok);
    p = progress::more;
    while (p == progress::more) p = s.proceed(op);
    CHECK(op.result == store_result::absent);
    CHECK(exist(s, "k") == store_result::absent);
  }

  TEST_CASE("exist: the length; remove: absent the second time") {
    memory_store s;
    REQUIRE(put(s, "k", "12345") == store_result::ok);
    caller c{s};
    CHECK(c.run(store_verb::exist, "k") == store_result::ok);
    CHECK(c.op.true_length == 5);
    CHECK(remove(s, "k") == store_result::ok);
    CHECK(remove(s, "k") == store_result::absent);
    CHECK(s.usage().keys == 0);
    CHECK(s.usage().bytes == 0);
  }

  TEST_CASE("keys: any bytes, 1 to 255 of them, none mistaken for another") {
    memory_store s;
    std::map<std::string, std::string> model;
    std::mt19937 random(3);
    for (int i = 0; i < 2000; ++i) {
      std::string key(1 + random() % (i % 2 != 0 ? 255 : 3), '\0');
      for (char& c : key) c = static_cast<char>(random() % 3);
      const std::string value = std::to_string(i);
      REQUIRE(put(s, key, value) == store_result::ok);
      model[key] = value;
    }
    for (const auto& [key, value] : model) REQUIRE(get(s, key, 100) == value);
    const listing l = list(s);
    CHECK(l.keys.size() == model.size());
    CHECK(std::equal(l.keys.begin(), l.keys.end(), model.begin(),
                     [](const auto& k, const auto& m) { return k == m.first; }));
  }

  TEST_CASE("expect: changes nothing, whatever the keys and however many") {
    memory_store s;
    std::vector<std::string> all = {"", std::string(255, 'x'), "absent"};
    s.expect({});
    for (int i = 0; i < 400; ++i) {
      all.push_back("key" + std::to_string(i));
      REQUIRE(put(s, all.back(), std::string(16000, static_cast<char>(i))) == store_result::ok);
    }
    std::vector<byte_span> keys;
    for (const std::string& k : all) keys.emplace_back(reinterpret_cast<const std::byte*>(k.data()), k.size());
    for (std::size_t at = 0; at < keys.size(); at += 8) s.expect({keys.data() + at, std::min(keys.size() - at, at)});
    CHECK(s.usage().keys == 400);
    CHECK(exist(s, "absent") == store_result::absent);
    for (int i = 0; i < 400; ++i) CHECK(get(s, "key" + std::to_string(i)) == std::string(16000, static_cast<char>(i)));
  }

  TEST_CASE("list: in rising order from the start key, which counts itself and need not exist") {
    memory_store s;
    for (const char* k : {"b", "a", "ab", "c", "\xff", "abc"}) REQUIRE(put(s, k, "v") == store_result::ok);
    CHECK(list(s).keys == keys{"a", "ab", "abc", "b", "c", "\xff"});
    CHECK(list(s, "ab").keys == keys{"ab", "abc", "b", "c", "\xff"});
    CHECK(list(s, "aba").keys == keys{"abc", "b", "c", "\xff"});
    CHECK(list(s, "d").keys == keys{"\xff"});
    CHECK(list(s, "\xff\xff").keys.empty());
    memory_store empty;
    CHECK(list(empty).keys.empty());
    CHECK(list(empty).full == 4);
  }

  TEST_CASE("list: pages that continue with the last key give every key once; the length is that of all") {
    memory_store s;
    std::set<std::string> all;
    std::mt19937 random(5);
    for (int i = 0; i < 3000; ++i) {
      const std::string k = "key" + std::to_string(random() % 100000);
      all.insert(k);
      REQUIRE(put(s, k, "v") == store_result::ok);
    }
    std::uint64_t full = 4;
    for (const std::string& k : all) full += (2 + k.size() + 3) / 4 * 4;
    keys seen;
    std::string start;
    for (;;) {
      const listing l = list(s, start, 500);
      CHECK(l.full == full);
      keys page = l.keys;
      if (!start.empty()) {
        REQUIRE(page.front() == start);
        page.erase(page.begin());
      }
      if (page.empty()) break;
      seen.insert(seen.end(), page.begin(), page.end());
      start = seen.back();
      // What lies before the start does not count.
      full = 4;
      for (auto at = all.find(start); at != all.end(); ++at) full += (2 + at->size() + 3) / 4 * 4;
    }
    CHECK(seen == keys(all.begin(), all.end()));
    CHECK(list(s, {}, 4).keys.empty());
  }

  TEST_CASE("list: a long one goes in slices, and may be cancelled between them") {
    memory_store s;
    for (int i = 0; i < 10000; ++i) REQUIRE(put(s, std::to_string(100000 + i), "") == store_result::ok);
    std::vector<std::byte> room(1 << 20);
    const mutable_byte_span pieces[] = {{room.data(), room.size()}};
    target::list_page_writer w(pieces);
    caller c{s};
    c.op.page = &w;
    CHECK(c.run(store_verb::list, "") == store_result::ok);
    CHECK(w.keys() == 10000);
    CHECK(c.steps == 5);
    target::list_page_writer again(pieces);
    c.op.page = &again;
    REQUIRE(s.submit(c.op) == progress::more);
    REQUIRE(s.proceed(c.op) == progress::more);
    // Keys before the place that was reached do not come twice, later ones come.
    CHECK(put(s, "0", "") == store_result::ok);
    CHECK(put(s, "2", "") == store_result::ok);
    progress p = progress::more;
    while (p == progress::more) p = s.proceed(c.op);
    CHECK(again.keys() == 10001);
    target::list_page_writer third(pieces);
    c.op.page = &third;
    REQUIRE(s.submit(c.op) == progress::more);
    REQUIRE(s.proceed(c.op) == progress::more);
    s.cancel(c.op);
    CHECK(c.op.result == store_result::aborted);
  }

  TEST_CASE("list: what has expired is not in it, however much that is") {
    std::uint64_t now = 0;
    memory_store s({.now_ns = [&] { return now; }});
    for (int i = 0; i < 10000; ++i) REQUIRE(put(s, "old" + std::to_string(i), "v", {.ttl_s = 1}) == store_result::ok);
    REQUIRE(put(s, "new", "v") == store_result::ok);
    now += second;
    CHECK(list(s).keys == keys{"new"});
  }

  TEST_CASE("capacity: a limited number of keys; expired and ephemeral ones make room for others") {
    std::uint64_t now = 0;
    memory_store s({.max_keys = 3, .now_ns = [&] { return now; }});
    REQUIRE(put(s, "a", "v") == store_result::ok);
    REQUIRE(put(s, "b", "v", {.ttl_s = 1}) == store_result::ok);
    REQUIRE(put(s, "c", "v", {.ephemeral = true}) == store_result::ok);
    CHECK(put(s, "a", "longer") == store_result::ok);  // no new key
    CHECK(list(s).keys == keys{"a", "b", "c"});
    now += second;
    CHECK(put(s, "d", "v") == store_result::ok);
    CHECK(list(s).keys == keys{"a", "c", "d"});
    CHECK(put(s, "e", "v") == store_result::ok);
    CHECK(list(s).keys == keys{"a", "d", "e"});
    CHECK(put(s, "f", "v") == store_result::capacity_exceeded);
    CHECK(put(s, "a", "v") == store_result::ok);
    CHECK(remove(s, "a") == store_result::ok);
    CHECK(put(s, "f", "v") == store_result::ok);
  }

  TEST_CASE("ttl: exists until its time is over, for every verb; the memory comes back") {
    std::uint64_t now = 1000 * second;
    memory_store s({.now_ns = [&] { return now; }});
    const auto fresh = [&] {
      now += 1000 * second;
      REQUIRE(put(s, "k", "v", {.ttl_s = 10}) == store_result::ok);
      REQUIRE(put(s, "l", "v") == store_result::ok);
      now += 10 * second - 1;
      REQUIRE(get(s, "k") == "v");
      REQUIRE(exist(s, "k") == store_result::ok);
      REQUIRE(list(s).keys == keys{"k", "l"});
      now += 1;
    };
    fresh();
    CHECK(get(s, "k") == "-");
    fresh();
    CHECK(exist(s, "k") == store_result::absent);
    fresh();
    CHECK(remove(s, "k") == store_result::absent);
    fresh();
    CHECK(list(s).keys == keys{"l"});
    CHECK(list(s).full == 8);
    CHECK(s.usage().keys == 1);
    CHECK(s.usage().bytes == 2);
    fresh();
    CHECK(put(s, "k", "w", {.must_exist = true}) == store_result::absent);
    fresh();
    CHECK(put(s, "k", "w", {.must_not_exist = true}) == store_result::ok);
    CHECK(get(s, "k") == "w");
    now += 1000 * second;
    CHECK(get(s, "k") == "w");  // stored without a time to live
    fresh();
    CHECK(touch(s, "k") == store_result::absent);
  }

  TEST_CASE("ttl: a Store without one takes it away, one with another sets that") {
    std::uint64_t now = 0;
    memory_store s({.now_ns = [&] { return now; }});
    REQUIRE(put(s, "k", "v", {.ttl_s = 10}) == store_result::ok);
    REQUIRE(put(s, "k", "v", {.ttl_s = 10}) == store_result::ok);  // the same moment again
    REQUIRE(put(s, "same", "v", {.ttl_s = 9}) == store_result::ok);
    REQUIRE(put(s, "same", "v", {.ttl_s = 9}) == store_result::ok);
    now += 9 * second;
    CHECK(list(s).keys == keys{"k"});
    CHECK(s.usage().keys == 1);
    REQUIRE(put(s, "k", "v", {.ttl_s = 20}) == store_result::ok);
    now += 19 * second;
    CHECK(exist(s, "k") == store_result::ok);
    REQUIRE(put(s, "k", "v") == store_result::ok);
    now += 1000 * second;
    CHECK(exist(s, "k") == store_result::ok);
  }

  TEST_CASE("touch: restarts the time to live or takes a new one, keeps the value, needs the key") {
    std::uint64_t now = 0;
    memory_store s({.now_ns = [&] { return now; }});
    CHECK(touch(s, "k") == store_result::absent);
    CHECK(touch(s, "k", 5) == store_result::absent);
    CHECK(exist(s, "k") == store_result::absent);
    REQUIRE(put(s, "k", "v", {.ttl_s = 10}) == store_result::ok);
    now += 9 * second;
    CHECK(touch(s, "k") == store_result::ok);
    now += 9 * second;
    CHECK(get(s, "k") == "v");
    CHECK(touch(s, "k", 3) == store_result::ok);
    now += 3 * second;
    CHECK(get(s, "k") == "-");
    // The new one is what later touches restart.
    REQUIRE(put(s, "k", "v", {.ttl_s = 10}) == store_result::ok);
    CHECK(touch(s, "k", 3) == store_result::ok);
    now += 2 * second;
    CHECK(touch(s, "k") == store_result::ok);
    now += 2 * second;
    CHECK(exist(s, "k") == store_result::ok);
    now += 1 * second;
    CHECK(exist(s, "k") == store_result::absent);
    // A key without one: nothing to restart, or a first one.
    REQUIRE(put(s, "k", "v") == store_result::ok);
    CHECK(touch(s, "k") == store_result::ok);
    now += 1000 * second;
    CHECK(exist(s, "k") == store_result::ok);
    CHECK(touch(s, "k", 1) == store_result::ok);
    CHECK(touch(s, "k", 1) == store_result::ok);
    now += 1 * second;
    CHECK(exist(s, "k") == store_result::absent);
  }

  TEST_CASE("ttl: expired values are given back by later ones, without being asked for") {
    std::uint64_t now = 0;
    memory_store s({.now_ns = [&] { return now; }});
    for (int i = 0; i < 1000; ++i) REQUIRE(put(s, "old" + std::to_string(i), "v", {.ttl_s = 1}) == store_result::ok);
    now += 2 * second;
    for (int i = 0; i < 1000; ++i) REQUIRE(put(s, "new" + std::to_string(i), "v", {.ttl_s = 100}) == store_result::ok);
    CHECK(s.usage().keys == 1000);
  }

  TEST_CASE("capacity: refused at the limit and not before; overwriting counts the difference") {
    memory_store s({.capacity_bytes = 1000});
    CHECK(put(s, "a", std::string(1000, 'x')) == store_result::capacity_exceeded);
    CHECK(put(s, "a", std::string(999, 'x')) == store_result::ok);
    CHECK(s.usage().bytes == 1000);
    CHECK(put(s, "b", "") == store_result::capacity_exceeded);
    CHECK(exist(s, "b") == store_result::absent);
    CHECK(put(s, "a", std::string(999, 'y')) == store_result::ok);
    CHECK(put(s, "a", std::string(499, 'z')) == store_result::ok);
    CHECK(put(s, "b", std::string(499, 'z')) == store_result::ok);
    CHECK(put(s, "b", std::string(500, 'z')) == store_result::capacity_exceeded);
    CHECK(get(s, "b") == std::string(499, 'z'));
    CHECK(remove(s, "a") == store_result::ok);
    CHECK(put(s, "b", std::string(999, 'z')) == store_result::ok);
  }

  TEST_CASE("capacity: expired values make room") {
    std::uint64_t now = 0;
    memory_store s({.capacity_bytes = 1000, .now_ns = [&] { return now; }});
    REQUIRE(put(s, "a", std::string(900, 'x'), {.ttl_s = 1}) == store_result::ok);
    CHECK(put(s, "b", std::string(900, 'x')) == store_result::capacity_exceeded);
    now += second;
    CHECK(put(s, "b", std::string(900, 'x')) == store_result::ok);
    CHECK(s.usage().keys == 1);
  }

  TEST_CASE("ephemeral: evicted under pressure, the least recently used first, others never") {
    memory_store s({.capacity_bytes = 1010});
    REQUIRE(put(s, "p", std::string(99, 'x')) == store_result::ok);
    for (char k = '0'; k < '9'; ++k)
      REQUIRE(put(s, std::string(1, k), std::string(99, 'x'), {.ephemeral = true}) == store_result::ok);
    // Used again: 0 by Retrieve, 1 by touch, 2 by Store.
    CHECK(get(s, "0") != "-");
    CHECK(touch(s, "1") == store_result::ok);
    CHECK(put(s, "2", std::string(99, 'y'), {.ephemeral = true}) == store_result::ok);
    CHECK(put(s, "new", std::string(197, 'x')) == store_result::ok);  // room of two
    CHECK(list(s).keys == keys{"0", "1", "2", "5", "6", "7", "8", "new", "p"});
    // What does not fit beside the lasting ones drives nothing out.
    CHECK(put(s, "huge", std::string(707, 'x')) == store_result::capacity_exceeded);
    CHECK(list(s).keys.size() == 9);
    CHECK(put(s, "huge", std::string(706, 'x')) == store_result::ok);
    CHECK(list(s).keys == keys{"huge", "new", "p"});
  }

  TEST_CASE("ephemeral: a Store that says nothing of it makes the key a lasting one") {
    memory_store s({.capacity_bytes = 100});
    REQUIRE(put(s, "a", std::string(50, 'x'), {.ephemeral = true}) == store_result::ok);
    REQUIRE(put(s, "a", std::string(50, 'x')) == store_result::ok);
    CHECK(put(s, "b", std::string(60, 'x')) == store_result::capacity_exceeded);
    CHECK(exist(s, "a") == store_result::ok);
    REQUIRE(put(s, "a", std::string(50, 'x'), {.ephemeral = true}) == store_result::ok);
    CHECK(put(s, "b", std::string(60, 'x')) == store_result::ok);
    CHECK(exist(s, "a") == store_result::absent);
  }

  TEST_CASE("ephemeral with a time to live: goes by either") {
    std::uint64_t now = 0;
    memory_store s({.capacity_bytes = 100, .now_ns = [&] { return now; }});
    REQUIRE(put(s, "a", std::string(50, 'x'), {.ephemeral = true, .ttl_s = 5}) == store_result::ok);
    REQUIRE(put(s, "b", std::string(60, 'x'), {.ephemeral = true, .ttl_s = 5}) == store_result::ok);
    CHECK(exist(s, "a") == store_result::absent);
    now += 5 * second;
    CHECK(exist(s, "b") == store_result::absent);
    CHECK(s.usage().bytes == 0);
  }

  TEST_CASE("store: longer than the store takes -> invalid; more than there is memory -> no_memory") {
    memory_store s({.capacity_bytes = std::uint64_t{1} << 60, .max_value_bytes = std::uint64_t{1} << 60});
    caller c{s};
    std::byte b[1];
    store_operation& op = c.op;
    op.verb = store_verb::store;
    op.key = {b, 1};
    op.data_bytes = std::uint64_t{1} << 50;
    REQUIRE(s.submit(op) == progress::more);
    CHECK(s.proceed(op) == progress::done);
    CHECK(op.result == store_result::no_memory);
    op.data_bytes = (std::uint64_t{1} << 60) + 1;
    CHECK(s.submit(op) == progress::done);
    CHECK(op.result == store_result::invalid);
  }

  TEST_CASE("threads: a value read is one that was stored whole, keys do not mix, the books balance") {
    memory_store s({.capacity_bytes = 64u << 20});
    constexpr int threads = 4, rounds = 400;
    const auto length_of = [](char letter, char which) {
      return (static_cast<std::size_t>(letter - 'A') / 2 + 1) * (which == 'f' ? 80000 : 2000);
    };
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        for (int i = 0; i < rounds; ++i) {
          const auto which = static_cast<char>('a' + random() % 6);
          const std::string key(1 + random() % 2 * 30, which);
          switch (random() % 6) {
            case 0:
            case 1: {
              // A value is one letter over and over; two letters share a length.
              const auto letter = static_cast<char>('A' + random() % 20);
              put(s, key, std::string(length_of(letter, which), letter), {.ephemeral = random() % 4 == 0});
              break;
            }
            case 2: remove(s, key); break;
            case 3: list(s, {}, 4096); break;
            default: {
              const std::string v = get(s, key);
              if (v == "-") break;
              if (v != std::string(std::min<std::size_t>(length_of(v[0], which), 1 << 20), v[0])) ++wrong;
            }
          }
        }
      });
    for (std::thread& t : all) t.join();
    CHECK(wrong == 0);
    for (const std::string& k : list(s).keys) CHECK(remove(s, k) == store_result::ok);
    CHECK(s.usage().keys == 0);
    CHECK(s.usage().bytes == 0);
  }

  TEST_CASE("threads: of many that store a new key exactly one succeeds") {
    memory_store s;
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> won{0};
      std::atomic<bool> go{false};
      std::vector<std::thread> all;
      for (int t = 0; t < 4; ++t)
        all.emplace_back([&] {
          while (!go) std::this_thread::yield();
          if (put(s, "k" + std::to_string(round), "v", {.must_not_exist = true}) == store_result::ok) ++won;
        });
      go = true;
      for (std::thread& t : all) t.join();
      CHECK(won == 1);
    }
  }

  TEST_CASE("threads: keys that are there throughout appear once in every listing, in order, while others write") {
    memory_store s;
    keys there;
    for (int i = 1000; i < 2000; ++i) {
      there.push_back("k" + std::to_string(i));
      REQUIRE(put(s, there.back(), "v") == store_result::ok);
    }
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      for (unsigned i = 0; !stop; ++i) {
        const std::string k = "k" + std::to_string(1000 + i * 7 % 1000) + "x";
        put(s, k, "v");
        remove(s, k);
      }
    });
    for (int round = 0; round < 20; ++round) {
      const keys l = list(s).keys;
      CHECK(std::is_sorted(l.begin(), l.end()));
      keys lasting;
      std::copy_if(l.begin(), l.end(), std::back_inserter(lasting),
                   [](const std::string& k) { return k.back() != 'x'; });
      CHECK(lasting == there);
    }
    stop = true;
    writer.join();
  }
}
