// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/inproc/inproc_transport.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/memory_store.hpp>
#include <support/raw_client.hpp>

#include <doctest/doctest.h>

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace nkv;
using nkv_test::raw_client;

namespace {

std::shared_ptr<target::subsystem> make_subsystem(
    std::shared_ptr<target::store> store = std::make_shared<target::memory_store>()) {
  auto s = std::make_shared<target::subsystem>();
  REQUIRE(s->add(std::make_shared<target::kv_namespace>(target::namespace_options{}, std::move(store))).ok());
  return s;
}

/// Ends operations on a thread of its own, each after those that came later (two at a time), or when told to.
class threaded_store final : public target::store {
 public:
  explicit threaded_store(bool held = false) : held_(held), thread_([this] { run(); }) {}
  ~threaded_store() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  target::progress submit(target::store_operation& op) noexcept override {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&op);
    changed_.notify_all();
    return target::progress::later;
  }
  std::uint64_t max_value_bytes() const noexcept override { return 1 << 20; }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return queue_.size();
  }
  std::atomic<unsigned> ended{0};

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || (!held_ && !queue_.empty()); });
      if (queue_.empty() && stop_) return;
      const std::size_t which = queue_.size() > 1 ? 1 : 0;
      target::store_operation& op = *queue_[which];
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(which));
      lock.unlock();
      // As a Retrieve of a value that is the key's first byte over and over.
      if (op.verb == target::store_verb::retrieve)
        for (const mutable_byte_span& s : op.data) std::memset(s.data(), static_cast<int>(op.key[0]), s.size());
      ++ended;
      op.finish(target::store_result::ok, op.data_bytes);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<target::store_operation*> queue_;
  bool held_;
  bool stop_ = false;
  std::thread thread_;
};

struct free_memory {
  void operator()(std::byte* p) const { std::free(p); }
};

/// A raw client of an inproc server, with an arena of its own mapped at IOVA = VA.
struct connected_client {
  static constexpr std::size_t arena_bytes = 1 << 20;
  std::unique_ptr<std::byte, free_memory> arena{static_cast<std::byte*>(std::aligned_alloc(4096, arena_bytes))};
  std::unique_ptr<host::inproc_transport> transport;
  raw_client client{arena.get(), arena_bytes, reinterpret_cast<std::uintptr_t>(arena.get())};

  explicit connected_client(const std::string& name) {
    auto made = host::inproc_transport::connect(name, host::deadline::after_ms(5000));
    REQUIRE(made.error() == status{});
    transport = *std::move(made);
    REQUIRE(transport->map_dma({arena.get(), arena_bytes, -1, 0}, host::deadline::after_ms(5000)).ok());
    const host::doorbell_page page = transport->doorbells();
    client.port.doorbells = page.base;
    client.port.read = [this](std::uint32_t offset, unsigned width) {
      const auto r = transport->read_register(offset, width, host::deadline::after_ms(5000));
      REQUIRE(r.has_value());
      return *r;
    };
    client.port.write = [this](std::uint32_t offset, unsigned width, std::uint64_t value) {
      REQUIRE(transport->write_register(offset, width, value, host::deadline::after_ms(5000)).ok());
    };
    client.port.step = [] { sched_yield(); };
    client.port.rung = [page] {
      if (__atomic_load_n(page.asleep, __ATOMIC_SEQ_CST) == 0) return;
      const std::uint64_t one = 1;
      REQUIRE(write(page.wake_fd, &one, sizeof one) == sizeof one);
    };
  }
};

}  // namespace

TEST_SUITE("target/inproc_server") {
  TEST_CASE("connect: an unknown name -> not_found") {
    CHECK(host::inproc_transport::connect("nobody", host::deadline::after_ms(10)).error() ==
          status{client_status::not_found});
  }

  TEST_CASE("start: a name that is taken -> busy, an empty one -> bad_argument") {
    const auto s = make_subsystem();
    target::inproc_server first("taken", s);
    CHECK(first.error().ok());
    target::inproc_server second("taken", s);
    CHECK(second.error() == status{client_status::busy});
    target::inproc_server third("", s);
    CHECK(third.error() == status{client_status::bad_argument});
  }

  TEST_CASE("connect: bring-up, Store, Retrieve, Delete over the shared doorbells") {
    target::inproc_server server("e2e", make_subsystem());
    REQUIRE(server.error().ok());
    connected_client c("e2e");
    REQUIRE(c.client.enable() == 1);
    auto q = c.client.make_queue(1, 64);
    REQUIRE(c.client.create_pair(q));
    std::byte* const data = c.client.pages(1);
    std::byte* const back = c.client.pages(1);
    for (int i = 0; i < 4096; ++i) data[i] = static_cast<std::byte>(i * 7);
    CHECK(c.client.run(q, c.client.kv(0x01, "a key", data, 4096)).status().ok());
    const cqe e = c.client.run(q, c.client.kv(0x02, "a key", back, 4096));
    CHECK(e.status().ok());
    CHECK(e.dw0() == 4096);
    CHECK(std::memcmp(data, back, 4096) == 0);
    CHECK(c.client.run(q, c.client.kv(0x10, "a key")).status().ok());
    CHECK(c.client.run(q, c.client.kv(0x14, "a key")).status() == status{status_code_type::generic, 0x87});
  }

  TEST_CASE("clients: each has a controller of its own, all see the same namespace") {
    target::inproc_server server("shared", make_subsystem());
    REQUIRE(server.error().ok());
    connected_client a("shared"), b("shared");
    REQUIRE(a.client.enable() == 1);
    REQUIRE(b.client.enable() == 1);
    auto qa = a.client.make_queue(1, 16), qb = b.client.make_queue(1, 16);
    REQUIRE(a.client.create_pair(qa));
    REQUIRE(b.client.create_pair(qb));
    std::byte* const da = a.client.pages(1);
    std::byte* const db = b.client.pages(1);
    da[0] = std::byte{77};
    CHECK(a.client.run(qa, a.client.kv(0x01, "k", da, 1)).status().ok());
    CHECK(b.client.run(qb, b.client.kv(0x02, "k", db, 1)).dw0() == 1);
    CHECK(db[0] == std::byte{77});
    CHECK(a.client.run(a.client.admin, a.client.identify(1, da)).status().ok());
    CHECK(b.client.run(b.client.admin, b.client.identify(1, db)).status().ok());
    CHECK(std::memcmp(da + 78, db + 78, 2) != 0);  // CNTLID
    // One is reset, the other goes on.
    CHECK(a.transport->reset(host::deadline::after_ms(5000)).ok());
    CHECK(a.client.port.read(reg::csts, 4) == 0);
    CHECK(b.client.run(qb, b.client.kv(0x02, "k", db, 1)).status().ok());
    // The other's memory is out of reach.
    CHECK(b.client.run(qb, b.client.kv(0x02, "k", db, 1)).status().ok());
    sqe s = b.client.kv(0x02, "k");
    s.dw[10] = 1;
    s.set_dptr(data_pointer::prp(reinterpret_cast<std::uintptr_t>(da)));
    CHECK(b.client.run(qb, s).status() == status{status_code_type::generic, 0x04});
  }

  TEST_CASE("clients: threads at once, each with a queue, every value its own") {
    target::inproc_server server("threads", make_subsystem());
    REQUIRE(server.error().ok());
    std::vector<std::thread> all;
    std::atomic<unsigned> right{0};
    constexpr unsigned clients = 3, rounds = 300;
    for (unsigned t = 0; t < clients; ++t)
      all.emplace_back([&, t] {
        connected_client c("threads");
        if (c.client.enable() != 1) return;
        auto q = c.client.make_queue(1, 8);
        if (!c.client.create_pair(q)) return;
        std::byte* const out = c.client.pages(2);
        std::byte* const back = c.client.pages(2);
        for (unsigned i = 0; i < rounds; ++i) {
          const std::string key = "t" + std::to_string(t) + "-" + std::to_string(i % 5);
          const std::uint32_t length = 1 + i * 97 % 8000;
          std::memset(out, static_cast<int>(i + t), length);
          std::memset(back, 0xee, length);
          if (!c.client.run(q, c.client.kv(0x01, key, out, length)).status().ok()) return;
          const cqe e = c.client.run(q, c.client.kv(0x02, key, back, length));
          if (e.status().ok() && e.dw0() == length && std::memcmp(out, back, length) == 0) ++right;
        }
      });
    for (std::thread& t : all) t.join();
    CHECK(right == clients * rounds);
  }

  TEST_CASE("asynchronous store: completions from its thread, out of order, wake a server that sleeps") {
    auto store = std::make_shared<threaded_store>();
    target::inproc_server_options o;
    o.poller.spin_ns = 1000;
    target::inproc_server server("async", make_subsystem(store), o);
    REQUIRE(server.error().ok());
    connected_client c("async");
    REQUIRE(c.client.enable() == 1);
    auto q = c.client.make_queue(1, 16);
    REQUIRE(c.client.create_pair(q));
    std::byte* const data = c.client.pages(8);
    for (int round = 0; round < 100; ++round) {
      for (std::uint16_t i = 0; i < 8; ++i)
        c.client.post(q, c.client.kv(0x02, std::string(1, static_cast<char>('a' + i)), data + i * 4096, 4096), i);
      c.client.ring(q);
      for (std::uint16_t i = 0; i < 8; ++i) {
        const auto e = c.client.wait(q, i);
        REQUIRE(e.has_value());
        CHECK(e->status().ok());
        CHECK(e->dw0() == 4096);
        CHECK(data[i * 4096u] == static_cast<std::byte>('a' + i));
        CHECK(data[i * 4096u + 4095] == static_cast<std::byte>('a' + i));
      }
      std::memset(data, 0, 8 * 4096);
    }
    CHECK(server.sleeps() > 0);
  }

  TEST_CASE("unmap: waits for what is under way, times out while the store keeps it, succeeds afterwards") {
    auto store = std::make_shared<threaded_store>(true);
    target::inproc_server server("unmap", make_subsystem(store));
    REQUIRE(server.error().ok());
    connected_client c("unmap");
    REQUIRE(c.client.enable() == 1);
    auto q = c.client.make_queue(1, 16);
    REQUIRE(c.client.create_pair(q));
    std::unique_ptr<std::byte, free_memory> extra{static_cast<std::byte*>(std::aligned_alloc(4096, 4096))};
    const host::dma_memory memory{extra.get(), 4096, -1, 0};
    REQUIRE(c.transport->map_dma(memory, host::deadline::after_ms(5000)).ok());
    sqe s = c.client.kv(0x02, "k");
    s.dw[10] = 4096;
    s.set_dptr(data_pointer::prp(reinterpret_cast<std::uintptr_t>(extra.get())));
    c.client.post(q, s, 1);
    c.client.ring(q);
    const auto until = host::deadline::after_ms(10'000);
    while (store->waiting() == 0 && !until.expired()) sched_yield();
    REQUIRE(store->waiting() == 1);
    CHECK(c.transport->unmap_dma(memory, host::deadline::after_ms(20)) == status{client_status::timed_out});
    CHECK(c.transport->unmap_dma(memory, host::deadline::after_ms(20)) == status{client_status::timed_out});
    store->let_go();
    CHECK(c.transport->unmap_dma(memory, host::deadline::after_ms(10'000)).ok());
    CHECK(c.client.wait(q, 1).has_value());
    CHECK(c.transport->unmap_dma(memory, host::deadline::after_ms(10'000)) == status{client_status::not_found});
    CHECK(c.client.run(q, s).status() == status{status_code_type::generic, 0x04});
  }

  TEST_CASE("disconnect: under I/O; returns when the client's memory is touched no more") {
    auto store = std::make_shared<threaded_store>(true);
    target::inproc_server server("leave", make_subsystem(store));
    REQUIRE(server.error().ok());
    std::thread releaser;
    {
      connected_client c("leave");
      REQUIRE(c.client.enable() == 1);
      auto q = c.client.make_queue(1, 16);
      REQUIRE(c.client.create_pair(q));
      std::byte* const data = c.client.pages(4);
      for (std::uint16_t i = 0; i < 4; ++i) c.client.post(q, c.client.kv(0x02, "k", data + i * 4096, 4096), i);
      c.client.ring(q);
      const auto until = host::deadline::after_ms(10'000);
      while (store->waiting() != 4 && !until.expired()) sched_yield();
      releaser = std::thread([&] {
        const timespec t{0, 20'000'000};
        nanosleep(&t, nullptr);
        store->let_go();
      });
      c.transport = nullptr;
      CHECK(store->ended == 4);
      // From here on the arena may be freed: ASan would see a late write.
    }
    releaser.join();
    connected_client next("leave");
    CHECK(next.client.enable() == 1);
  }

  TEST_CASE("server destroyed under clients: they see it, and their calls say disconnected") {
    auto server = std::make_unique<target::inproc_server>("gone", make_subsystem());
    REQUIRE(server->error().ok());
    connected_client c("gone");
    REQUIRE(c.client.enable() == 1);
    CHECK(c.transport->connected());
    CHECK(!c.transport->peer_gone());
    server = nullptr;
    CHECK(!c.transport->connected());
    CHECK(c.transport->peer_gone());
    const auto until = host::deadline::after_ms(1000);
    CHECK(c.transport->read_register(0, 8, until).error() == status{client_status::disconnected});
    CHECK(c.transport->write_register(0x14, 4, 0, until) == status{client_status::disconnected});
    CHECK(c.transport->reset(until) == status{client_status::disconnected});
    c.client.port.rung();  // a late ring is harmless
    CHECK(host::inproc_transport::connect("gone", until).error() == status{client_status::not_found});
  }

  TEST_CASE("many connects: no client leaves anything behind") {
    target::subsystem_options so;
    so.max_controllers = 2;
    auto s = std::make_shared<target::subsystem>(so);
    target::inproc_server server("many", s);
    REQUIRE(server.error().ok());
    for (int i = 0; i < 200; ++i) {
      auto made = host::inproc_transport::connect("many", host::deadline::after_ms(5000));
      REQUIRE(made.has_value());
    }
    auto a = host::inproc_transport::connect("many", host::deadline::after_ms(5000));
    auto b = host::inproc_transport::connect("many", host::deadline::after_ms(5000));
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    CHECK(host::inproc_transport::connect("many", host::deadline::after_ms(5000)).error() ==
          status{client_status::busy});
  }

  TEST_CASE("idle: next to no processor time with live clients, and the first command after it is served") {
    target::inproc_server server("idle", make_subsystem());
    REQUIRE(server.error().ok());
    connected_client c("idle");
    REQUIRE(c.client.enable() == 1);
    auto q = c.client.make_queue(1, 16);
    REQUIRE(c.client.create_pair(q));
    const auto cpu_ns = [] {
      timespec t{};
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
      return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
    };
    const timespec pause{0, 300'000'000};
    for (int i = 0; i < 3; ++i) {
      const auto until = host::deadline::after_ms(10'000);
      while (__atomic_load_n(c.transport->doorbells().asleep, __ATOMIC_ACQUIRE) == 0 && !until.expired()) sched_yield();
      const std::uint64_t sleeps = server.sleeps();
      const std::uint64_t before = cpu_ns();
      nanosleep(&pause, nullptr);
      CHECK(cpu_ns() - before < 3'000'000);
      CHECK(server.sleeps() <= sleeps + 1);  // it did not look again and again
      CHECK(c.client.run(q, c.client.kv(0x14, "k")).status() == status{status_code_type::generic, 0x87});
    }
  }
}
