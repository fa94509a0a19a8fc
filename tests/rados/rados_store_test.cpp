// SPDX-License-Identifier: BSD-3-Clause
//
// The store against a real cluster, whose ceph.conf and pool NKV_CEPH_CONF and NKV_CEPH_POOL name: what the conformance
// suite does not see. Other librados programs are played by librados itself.
#include <support/copied_bytes.hpp>

#include <nkv/target/rados/rados_cluster.hpp>
#include <nkv/target/rados/rados_store.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace target = nkv::target;
using target::progress;
using target::store_operation;
using target::store_result;
using target::store_verb;

namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  REQUIRE_MESSAGE(value != nullptr, name);
  return value;
}
nkv::byte_span bytes(std::string_view s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

/// Wakes whoever waits for operations of stores.
struct bell final : target::waker {
  std::mutex mutex;
  std::condition_variable rung;
  std::uint64_t count = 0;
  void wake() noexcept override {
    const std::lock_guard lock(mutex);
    ++count;
    rung.notify_all();
  }
};

/// An operation with what it points to.
struct asked {
  store_operation op;
  std::string key;
  std::vector<std::byte> data;
  nkv::mutable_byte_span span;
  target::list_page_writer page;
  bool done = false;

  asked(store_verb verb, std::string k, std::vector<std::byte> d = {}) : key(std::move(k)), data(std::move(d)) {
    op.verb = verb;
    op.key = bytes(key);
    span = {data.data(), data.size()};
    op.data = {&span, 1};
    op.data_bytes = data.size();
    op.owner = this;
    if (verb == store_verb::list) {
      page = target::list_page_writer{op.data};
      op.page = &page;
    }
  }
  asked(const asked&) = delete;
  asked& operator=(const asked&) = delete;
};

std::vector<std::byte> value_of(std::size_t length, unsigned seed) {
  std::vector<std::byte> v(length);
  for (std::size_t i = 0; i < length; ++i) v[i] = static_cast<std::byte>((i * 131 + i / 256 + seed) & 0xff);
  return v;
}

struct fixture {
  static constexpr std::uint64_t most_ns = 60'000'000'000;

  bell rung;
  target::finished_operations home{rung};
  std::mutex events_mutex;
  std::vector<std::string> events;
  std::unique_ptr<target::rados_cluster> cluster;
  librados::Rados other;
  std::string pool = environment("NKV_CEPH_POOL");
  std::string space;

  explicit fixture(target::rados_cluster_options options = {}) {
    static std::atomic<unsigned> spaces{0};
    space = "case" + std::to_string(spaces.fetch_add(1));
    options.conf = environment("NKV_CEPH_CONF");
    std::string error;
    cluster = target::rados_cluster::create(
        options,
        [this](const target::rados_event& e) {
          const std::lock_guard lock(events_mutex);
          events.push_back(std::string(e.what) + ": " + std::string(e.why));
        },
        error);
    REQUIRE_MESSAGE(cluster != nullptr, error);
    REQUIRE(other.init("admin") == 0);
    REQUIRE(other.conf_read_file(options.conf.c_str()) == 0);
    REQUIRE(other.conf_set("log_file", "") == 0);
    REQUIRE(other.connect() == 0);
  }
  ~fixture() {
    // Nothing of a store is left by itself: the last giver may still be within give().
    while (!home.idle()) static_cast<void>(home.take());
    cluster.reset();
    other.shutdown();
  }

  std::shared_ptr<target::rados_store> store(target::rados_store_options o = {}) {
    if (o.pool.empty()) o.pool = pool;
    o.rados_namespace = space;
    auto s = std::make_shared<target::rados_store>(*cluster, o);
    return s;
  }
  std::shared_ptr<target::rados_store> ready_store(target::rados_store_options o = {}) {
    auto s = store(std::move(o));
    REQUIRE(cluster->wait_until_ready(nkv::host::deadline::after_ns(most_ns)));
    return s;
  }
  librados::IoCtx io() {
    librados::IoCtx out;
    REQUIRE(other.ioctx_create(pool.c_str(), out) == 0);
    out.set_namespace(space);
    return out;
  }

  void begin(target::store& s, asked& a) {
    a.op.home = &home;
    progress p = s.submit(a.op);
    while (p == progress::more) p = s.proceed(a.op);
    a.done = p == progress::done;
  }
  void wait(asked& a) {
    const std::uint64_t until = nkv::host::steady_clock::now_ns() + most_ns;
    while (!a.done) {
      std::uint64_t before = 0;
      {
        const std::lock_guard lock(rung.mutex);
        before = rung.count;
      }
      bool any = false;
      for (store_operation* op = home.take(); op != nullptr;) {
        store_operation* const next = op->next;
        static_cast<asked*>(op->owner)->done = any = true;
        op = next;
      }
      if (any) continue;
      std::unique_lock lock(rung.mutex);
      rung.rung.wait_for(lock, std::chrono::milliseconds(100), [&] { return rung.count != before; });
      REQUIRE(nkv::host::steady_clock::now_ns() < until);
    }
  }
  store_result run(target::store& s, asked& a) {
    begin(s, a);
    wait(a);
    return a.op.result;
  }
  store_result put(target::store& s, std::string key, std::vector<std::byte> value) {
    asked a(store_verb::store, std::move(key), std::move(value));
    return run(s, a);
  }
  /// Whether all room is given back, which comes after the operations' ends.
  bool nothing_held() {
    for (unsigned n = 0; n < 1000 && cluster->operations().first != 0; ++n)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return cluster->operations() == std::pair<std::uint64_t, std::uint64_t>(0, 0);
  }
  bool told(std::string_view text) {
    const std::lock_guard lock(events_mutex);
    for (const std::string& e : events)
      if (e.find(text) != std::string::npos) return true;
    return false;
  }
  /// The keys of a page.
  std::vector<std::string> keys(target::store& s, const std::string& start, std::size_t page_bytes) {
    asked a(store_verb::list, start, std::vector<std::byte>(page_bytes));
    REQUIRE(run(s, a) == store_result::ok);
    std::vector<std::string> out;
    std::size_t at = 4;
    for (std::uint32_t n = 0; n < a.page.keys(); ++n) {
      const std::size_t length = std::to_integer<std::size_t>(a.data[at]);
      out.emplace_back(reinterpret_cast<const char*>(a.data.data()) + at + 2, length);
      at += target::list_page_writer::entry_bytes(length);
    }
    return out;
  }
  /// All keys, page by page, each page from the last key of the one before.
  std::vector<std::string> walk(target::store& s, std::size_t page_bytes,
                                const std::function<void(const std::string& last)>& between = {}) {
    std::vector<std::string> all;
    std::string start;
    for (;;) {
      std::vector<std::string> page = keys(s, start, page_bytes);
      if (!start.empty() && !page.empty() && page.front() == start) page.erase(page.begin());
      if (page.empty()) return all;
      all.insert(all.end(), page.begin(), page.end());
      start = all.back();
      if (between) between(start);
    }
  }
};

std::size_t threads() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++n;
  return n;
}

}  // namespace

TEST_SUITE("rados/store") {
  TEST_CASE_FIXTURE(fixture, "what other librados programs write -> a value; what is stored -> they read") {
    const auto s = ready_store();
    librados::IoCtx others = io();
    const std::vector<std::byte> theirs = value_of(70'001, 1);
    librados::bufferlist bl;
    bl.append(reinterpret_cast<const char*>(theirs.data()), static_cast<unsigned>(theirs.size()));
    REQUIRE(others.write_full("00ff61", bl) == 0);
    asked got(store_verb::retrieve,
              std::string("\0\xff"
                          "a",
                          3),
              std::vector<std::byte>(80'000));
    REQUIRE(run(*s, got) == store_result::ok);
    CHECK(got.op.true_length == theirs.size());
    CHECK(std::equal(theirs.begin(), theirs.end(), got.data.begin()));
    CHECK(got.data[theirs.size()] == std::byte{});

    const std::vector<std::byte> ours = value_of(3'000'001, 2);  // in slices
    REQUIRE(put(*s, std::string("\x01\x7f", 2), ours) == store_result::ok);
    librados::bufferlist back;
    REQUIRE(others.read("017f", back, 0, 0) == static_cast<int>(ours.size()));
    CHECK(std::memcmp(back.c_str(), ours.data(), ours.size()) == 0);
    // A shorter value over a longer one is not the longer one's beginning.
    REQUIRE(put(*s, std::string("\x01\x7f", 2), value_of(5, 3)) == store_result::ok);
    std::uint64_t size = 0;
    std::time_t when = 0;
    REQUIRE(others.stat("017f", &size, &when) == 0);
    CHECK(size == 5);
  }

  TEST_CASE_FIXTURE(fixture, "a buffer shorter than the value -> its beginning, and no more was read of the object") {
    const auto s = ready_store();
    REQUIRE(put(*s, "long", value_of(4 << 20, 4)) == store_result::ok);
    asked got(store_verb::retrieve, "long", std::vector<std::byte>(100));
    const std::uint64_t before = nkv_test::copied_bytes();
    REQUIRE(run(*s, got) == store_result::ok);
    CHECK(got.op.true_length == 4u << 20);
    CHECK(got.data == std::vector<std::byte>(value_of(100, 4)));
    CHECK(nkv_test::copied_bytes() - before < 65536);
    asked none(store_verb::retrieve, "long");
    REQUIRE(run(*s, none) == store_result::ok);
    CHECK(none.op.true_length == 4u << 20);
  }

  TEST_CASE_FIXTURE(fixture, "a megabyte each way -> copied once each way") {
    const auto s = ready_store();
    constexpr std::size_t length = 1 << 20;
    REQUIRE(put(*s, "warm", value_of(length, 5)) == store_result::ok);
    asked stored(store_verb::store, "k", value_of(length, 6));
    std::uint64_t before = nkv_test::copied_bytes();
    REQUIRE(run(*s, stored) == store_result::ok);
    const std::uint64_t by_store = nkv_test::copied_bytes() - before;
    MESSAGE("copied by a Store of ", length, " bytes: ", by_store);
    CHECK(by_store >= length);  // the counter counts
    CHECK(by_store < length + length / 8);
    asked got(store_verb::retrieve, "k", std::vector<std::byte>(length));
    before = nkv_test::copied_bytes();
    REQUIRE(run(*s, got) == store_result::ok);
    const std::uint64_t by_retrieve = nkv_test::copied_bytes() - before;
    MESSAGE("copied by a Retrieve of ", length, " bytes: ", by_retrieve);
    CHECK(by_retrieve >= length);
    CHECK(by_retrieve < length + length / 8);
    CHECK(got.data == stored.data);
  }

  TEST_CASE_FIXTURE(fixture, "must_exist, must_not_exist, Delete, Exist -> as asked, one of many at once") {
    const auto s = ready_store();
    asked missing(store_verb::store, "k", value_of(9, 1));
    missing.op.must_exist = true;
    CHECK(run(*s, missing) == store_result::absent);
    std::vector<std::unique_ptr<asked>> all;
    for (unsigned n = 0; n < 32; ++n) {
      all.push_back(std::make_unique<asked>(store_verb::store, "k", value_of(1000 + n, n)));
      all.back()->op.must_not_exist = true;
      begin(*s, *all.back());
    }
    unsigned won = 0;
    std::size_t length = 0;
    for (auto& a : all) {
      wait(*a);
      if (a->op.result == store_result::ok) {
        ++won;
        length = a->data.size();
      } else {
        CHECK(a->op.result == store_result::present);
      }
    }
    CHECK(won == 1);
    asked there(store_verb::exist, "k");
    CHECK(run(*s, there) == store_result::ok);
    CHECK(there.op.true_length == length);
    asked gone(store_verb::remove, "k");
    CHECK(run(*s, gone) == store_result::ok);
    asked again(store_verb::remove, "k");
    CHECK(run(*s, again) == store_result::absent);
    asked not_there(store_verb::exist, "k");
    CHECK(run(*s, not_there) == store_result::absent);
  }

  TEST_CASE("many at once -> none blocks the caller, no more than the credits are with librados, no thread more") {
    target::rados_cluster_options options;
    options.max_operations = 8;
    options.max_bytes = 256 << 10;
    fixture f(options);
    const auto s = f.ready_store();
    REQUIRE(f.put(*s, "warm", value_of(1 << 20, 1)) == store_result::ok);
    const std::size_t before = threads();
    std::vector<std::unique_ptr<asked>> all;
    std::uint64_t most_waiting = 0;
    for (unsigned n = 0; n < 600; ++n) {
      // One of them is larger than all the room, and goes alone.
      const std::size_t length = n == 300 ? 1 << 20 : 1000 + 100 * (n % 64);
      all.push_back(std::make_unique<asked>(store_verb::store, "key" + std::to_string(n), value_of(length, n)));
      f.begin(*s, *all.back());
      const auto [with_librados, waiting] = f.cluster->operations();
      CHECK(with_librados <= options.max_operations);
      most_waiting = std::max(most_waiting, waiting);
    }
    CHECK(threads() == before);
    CHECK(most_waiting > 100);
    for (auto& a : all) {
      f.wait(*a);
      CHECK(a->op.result == store_result::ok);
    }
    CHECK(f.nothing_held());
    for (unsigned n = 0; n < 600; n += 7) {
      asked got(store_verb::retrieve, "key" + std::to_string(n), std::vector<std::byte>(all[n]->data.size()));
      REQUIRE(f.run(*s, got) == store_result::ok);
      CHECK(got.data == all[n]->data);
    }
  }

  TEST_CASE("cancelled while it waits for its turn -> aborted, nothing stored; in the middle of its copy -> as well") {
    target::rados_cluster_options options;
    options.max_operations = 1;
    fixture f(options);
    const auto s = f.ready_store();
    asked first(store_verb::store, "first", value_of(30 << 20, 1));
    asked second(store_verb::store, "second", value_of(10, 2));
    f.begin(*s, first);
    f.begin(*s, second);
    s->cancel(second.op);
    f.wait(second);
    // Unless it had its turn in that moment.
    if (second.op.result == store_result::aborted) {
      asked there(store_verb::exist, "second");
      CHECK(f.run(*s, there) == store_result::absent);
    }
    CHECK(second.op.result == store_result::aborted);
    f.wait(first);
    CHECK(first.op.result == store_result::ok);
    asked third(store_verb::store, "third", value_of(4 << 20, 3));
    third.op.home = &f.home;
    // The first one's turn is given back after its operation.
    while (!f.nothing_held()) ::usleep(1000);
    REQUIRE(s->submit(third.op) == progress::more);
    s->cancel(third.op);
    CHECK(third.op.result == store_result::aborted);
    CHECK(f.nothing_held());
    asked there(store_verb::exist, "third");
    CHECK(f.run(*s, there) == store_result::absent);
  }

  TEST_CASE_FIXTURE(fixture, "a listing in small pages while others write -> what stays appears once, in one order") {
    const auto s = ready_store();
    std::set<std::string> stay;
    for (unsigned n = 0; n < 300; ++n) {
      const std::string key = "stay" + std::to_string(n);
      REQUIRE(put(*s, key, value_of(1, n)) == store_result::ok);
      stay.insert(key);
    }
    const std::vector<std::string> order = walk(*s, 16 << 10);
    CHECK(std::set<std::string>(order.begin(), order.end()) == stay);
    CHECK(order.size() == 300);
    CHECK(walk(*s, 64) == order);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      librados::IoCtx others = io();
      librados::bufferlist bl;
      bl.append("x");
      for (unsigned n = 0; !stop.load(); ++n) {
        const std::string name = target::object_name(bytes("come" + std::to_string(n % 97)));
        if (n % 2 == 0)
          others.write_full(name, bl);
        else
          others.remove(name);
      }
    });
    const std::vector<std::string> meanwhile = walk(*s, 100);
    stop = true;
    writer.join();
    std::vector<std::string> staying;
    for (const std::string& k : meanwhile)
      if (stay.count(k) != 0) staying.push_back(k);
    CHECK(staying == order);
    // Where the start key was deleted, the listing goes on at its place.
    unsigned pages = 0;
    std::set<std::string> deleted;
    std::vector<std::string> rest = walk(*s, 128, [&](const std::string& last) {
      if (++pages % 2 != 0 || stay.count(last) == 0) return;
      asked gone(store_verb::remove, last);
      CHECK(run(*s, gone) == store_result::ok);
      deleted.insert(last);
    });
    std::erase_if(rest, [&](const std::string& k) { return stay.count(k) == 0; });
    CHECK(deleted.size() > 5);
    CHECK(rest == order);
  }

  TEST_CASE_FIXTURE(fixture, "times to live -> an expired key is as if it were not there, to every command, and goes") {
    target::rados_store_options o;
    o.ttl = true;
    const auto s = ready_store(o);
    librados::IoCtx others = io();
    const auto expire = [&](const std::string& key) {
      librados::bufferlist past;
      past.append(target::expiry::after(1, 0).text());
      REQUIRE(others.setxattr(target::object_name(bytes(key)), target::expiry::attribute, past) == 0);
    };
    const auto there = [&](const std::string& key) {
      std::uint64_t size = 0;
      std::time_t when = 0;
      return others.stat(target::object_name(bytes(key)), &size, &when) == 0;
    };
    const auto with = [&](const std::string& key, store_verb verb, auto&& set) {
      asked a(verb, key,
              verb == store_verb::remove || verb == store_verb::exist ? std::vector<std::byte>() : value_of(50, 9));
      set(a.op);
      return run(*s, a);
    };
    const auto plain = [](store_operation&) {};
    const auto if_there = [](store_operation& op) { op.must_exist = true; };
    const auto if_not = [](store_operation& op) { op.must_not_exist = true; };
    const auto touched = [](store_operation& op) {
      op.touch = true;
      op.data = {};
      op.data_bytes = 0;
      op.ttl_s = 1000;
    };
    // What was never given one, by nkv or by others, stays.
    REQUIRE(put(*s, "stays", value_of(10, 1)) == store_result::ok);
    librados::bufferlist bl;
    bl.append("x");
    REQUIRE(others.write_full(target::object_name(bytes("theirs")), bl) == 0);
    CHECK(with("theirs", store_verb::store, if_there) == store_result::ok);
    CHECK(with("theirs", store_verb::store, if_not) == store_result::present);
    CHECK(with("stays", store_verb::store, touched) == store_result::ok);
    CHECK(with("stays", store_verb::exist, plain) == store_result::ok);
    for (unsigned n = 0; n < 200; ++n) REQUIRE(put(*s, "k" + std::to_string(n), value_of(10, n)) == store_result::ok);
    for (unsigned n = 0; n < 200; n += 2) expire("k" + std::to_string(n));
    CHECK(walk(*s, 512).size() == 102);
    CHECK(with("k0", store_verb::exist, plain) == store_result::absent);
    CHECK(with("k2", store_verb::retrieve, plain) == store_result::absent);
    CHECK(with("k4", store_verb::store, if_there) == store_result::absent);
    CHECK(with("k6", store_verb::store, touched) == store_result::absent);
    CHECK(with("k8", store_verb::remove, plain) == store_result::absent);
    CHECK(with("k10", store_verb::store, if_not) == store_result::ok);
    CHECK(with("k10", store_verb::store, if_not) == store_result::present);
    CHECK(with("k12", store_verb::store, plain) == store_result::ok);
    CHECK(with("k12", store_verb::exist, plain) == store_result::ok);
    CHECK(with("k12", store_verb::remove, plain) == store_result::ok);
    CHECK(with("k12", store_verb::remove, plain) == store_result::absent);
    for (unsigned n = 0; n < 500 && (there("k0") || there("k2")); ++n)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK_FALSE(there("k0"));
    CHECK_FALSE(there("k2"));
    CHECK(there("k14"));
    // Of many who see that it has expired one stores.
    std::vector<std::unique_ptr<asked>> all;
    for (unsigned n = 0; n < 16; ++n) {
      all.push_back(std::make_unique<asked>(store_verb::store, "k16", value_of(100 + n, n)));
      all.back()->op.must_not_exist = true;
      begin(*s, *all.back());
    }
    unsigned won = 0;
    for (auto& a : all) {
      wait(*a);
      won += a->op.result == store_result::ok ? 1u : 0u;
      CHECK((a->op.result == store_result::ok || a->op.result == store_result::present));
    }
    CHECK(won == 1);
  }

  TEST_CASE_FIXTURE(fixture, "objects that are no keys -> not listed, and in nobody's way") {
    target::rados_store_options o;
    o.max_key_bytes = 4;
    const auto s = ready_store(o);
    librados::IoCtx others = io();
    librados::bufferlist bl;
    bl.append("x");
    for (const char* name : {"61", "6", "6A", "xyz", "616263646566", "hello world"})
      REQUIRE(others.write_full(name, bl) == 0);
    REQUIRE(others.write_full(std::string(512, '6'), bl) == 0);
    librados::IoCtx elsewhere = io();
    elsewhere.set_namespace("elsewhere");
    REQUIRE(elsewhere.write_full("62", bl) == 0);
    CHECK(walk(*s, 4096) == std::vector<std::string>{"a"});
  }

  TEST_CASE_FIXTURE(fixture,
                    "no such pool, a pool that comes, goes and comes again -> unavailable in between, no restart") {
    target::rados_store_options o;
    o.pool = "later";
    const auto s = store(o);
    CHECK_FALSE(cluster->wait_until_ready(nkv::host::deadline::after_ns(1'500'000'000)));
    CHECK(told("there is no such pool"));
    asked early(store_verb::exist, "k");
    CHECK(run(*s, early) == store_result::unavailable);
    REQUIRE(other.pool_create("later") == 0);
    REQUIRE(cluster->wait_until_ready(nkv::host::deadline::after_ns(most_ns)));
    REQUIRE(put(*s, "k", value_of(10, 1)) == store_result::ok);
    REQUIRE(other.pool_delete("later") == 0);
    // A key that is there does not become one that was never there.
    for (unsigned n = 0; n < 100; ++n) {
      asked now(store_verb::exist, "k");
      const store_result r = run(*s, now);
      CHECK(r != store_result::absent);
      if (r == store_result::unavailable) break;
    }
    asked gone(store_verb::retrieve, "k", std::vector<std::byte>(10));
    CHECK(run(*s, gone) == store_result::unavailable);
    asked page(store_verb::list, "", std::vector<std::byte>(100));
    CHECK(run(*s, page) == store_result::unavailable);
    REQUIRE(other.pool_create("later") == 0);
    REQUIRE(cluster->wait_until_ready(nkv::host::deadline::after_ns(most_ns)));
    asked again(store_verb::exist, "k");
    CHECK(run(*s, again) == store_result::absent);
    REQUIRE(put(*s, "k", value_of(10, 1)) == store_result::ok);
  }

  TEST_CASE_FIXTURE(fixture, "an object longer than the store's values -> its beginning, and no more is pretended") {
    target::rados_store_options o;
    o.max_value_bytes = 1000;
    const auto s = ready_store(o);
    librados::IoCtx others = io();
    const std::vector<std::byte> theirs = value_of(2000, 1);
    librados::bufferlist bl;
    bl.append(reinterpret_cast<const char*>(theirs.data()), static_cast<unsigned>(theirs.size()));
    REQUIRE(others.write_full(target::object_name(bytes("k")), bl) == 0);
    asked part(store_verb::retrieve, "k", std::vector<std::byte>(1000));
    CHECK(run(*s, part) == store_result::ok);
    CHECK(part.op.true_length == 2000);
    CHECK(std::equal(part.data.begin(), part.data.end(), theirs.begin()));
    asked more(store_verb::retrieve, "k", std::vector<std::byte>(1001));
    CHECK(run(*s, more) == store_result::failed);
    CHECK(told("longer than the namespace's values"));
  }

  TEST_CASE_FIXTURE(fixture, "a client that the cluster has blocked -> told, then connected anew") {
    const auto s = ready_store();
    REQUIRE(put(*s, "k", value_of(10, 1)) == store_result::ok);
    REQUIRE(other.blocklist_add(cluster->address(), 3600) == 0);
    bool blocked = false;
    store_result r = store_result::unavailable;
    for (unsigned n = 0; n < 600 && !(blocked && r == store_result::ok); ++n) {
      r = put(*s, "k2", value_of(10, 2));
      // Whether it happened before nobody says; without a connection it has not.
      blocked = blocked || r == store_result::unknown || r == store_result::unavailable;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(blocked);
    CHECK(r == store_result::ok);
    CHECK(told("blocked this client"));
  }

  TEST_CASE("limits -> the smaller of what the OSDs take; a file that cannot be read -> said at once") {
    fixture f;
    CHECK(f.cluster->max_value_bytes() == std::uint64_t{90} << 20);
    target::rados_store_options o;
    o.max_value_bytes = 1000;
    CHECK(f.store(o)->max_value_bytes() == 1000);
    o.max_value_bytes = std::uint64_t{1} << 40;
    CHECK(f.store(o)->max_value_bytes() == std::uint64_t{90} << 20);
    target::rados_cluster_options nowhere;
    nowhere.conf = "/nowhere/ceph.conf";
    std::string error;
    CHECK(target::rados_cluster::create(nowhere, {}, error) == nullptr);
    CHECK(error == "/nowhere/ceph.conf: No such file or directory");
  }
}
