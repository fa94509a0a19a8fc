// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/poller.hpp>

#include <doctest/doctest.h>

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace nkv;
using target::poller;
using target::poller_options;

namespace {

constexpr std::uint64_t patience_ms = 20'000;

bool wait_for(const std::function<bool()>& condition) {
  const auto until = host::deadline::after_ms(patience_ms);
  while (!condition()) {
    if (until.expired()) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A doorbell as a client has one: a word that is polled, a word that says whether the poller sleeps, and an eventfd.
struct bell final : target::pollable {
  std::uint32_t rung = 0;
  std::uint32_t asleep = 0;
  std::uint32_t seen = 0;  // the poller's
  std::atomic<std::uint32_t> answered{0};
  std::atomic<unsigned> polls{0};
  std::atomic<bool> foreign{false};
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  ~bell() { close(fd); }
  unsigned poll() noexcept override {
    polls.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t now = __atomic_load_n(&rung, __ATOMIC_ACQUIRE);
    if (now == seen) return 0;
    seen = now;
    answered.store(now, std::memory_order_release);
    return 1;
  }
  std::uint32_t* asleep_word() noexcept override { return &asleep; }
  bool needs_polling() noexcept override { return foreign; }

  /// As a client rings. @return whether it had to wake the poller
  bool ring(std::uint32_t value) {
    __atomic_exchange_n(&rung, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) == 0) return false;
    const std::uint64_t one = 1;
    REQUIRE(write(fd, &one, sizeof one) == sizeof one);
    return true;
  }
};

std::uint64_t process_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

void sleep_ms(long ms) {
  const timespec t{ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&t, nullptr);
}

}  // namespace

TEST_SUITE("target/poller") {
  TEST_CASE("start: once; stop: again and again, also before start") {
    poller a;
    CHECK(a.start().ok());
    CHECK(a.start() == status{client_status::bad_argument});
    a.stop();
    a.stop();
    CHECK(a.start() == status{client_status::bad_argument});
    poller b;
    b.stop();
    CHECK(!b.post([] {}));
  }

  TEST_CASE("post: on the thread, in order; before start kept, at stop finished, after it refused") {
    poller p;
    std::vector<int> order;
    bool on_thread = true;
    for (int i = 0; i < 5; ++i)
      CHECK(p.post([&, i] {
        order.push_back(i);
        on_thread = on_thread && p.on_thread();
      }));
    CHECK(order.empty());
    REQUIRE(p.start().ok());
    for (int i = 5; i < 10; ++i) CHECK(p.post([&, i] { order.push_back(i); }));
    p.stop();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(on_thread);
    CHECK(!p.on_thread());
    CHECK(!p.post([&] { order.push_back(10); }));
    CHECK(order.size() == 10);
  }

  TEST_CASE("call: done on return; from the thread itself at once; no thread -> disconnected") {
    poller p;
    REQUIRE(p.start().ok());
    int x = 0;
    CHECK(p.call([&] { x = 1; }, host::deadline::after_ms(patience_ms)).ok());
    CHECK(x == 1);
    CHECK(p.call([&] { REQUIRE(p.call([&] { x = 2; }, host::deadline{}).ok()); }, host::deadline::after_ms(patience_ms))
              .ok());
    CHECK(x == 2);
    p.stop();
    CHECK(p.call([&] { x = 3; }, host::deadline::after_ms(patience_ms)) == status{client_status::disconnected});
    CHECK(x == 2);
  }

  TEST_CASE("call: what has not begun at the deadline never runs; what has is waited for") {
    poller p;
    REQUIRE(p.start().ok());
    std::atomic<bool> go{false}, entered{false};
    CHECK(p.post([&] {
      entered = true;
      while (!go) std::this_thread::yield();
    }));
    REQUIRE(wait_for([&] { return entered.load(); }));
    auto ran = std::make_unique<int>(0);
    CHECK(p.call([&ran] { *ran = 1; }, host::deadline::after_ms(1)) == status{client_status::timed_out});
    ran = nullptr;
    go = true;
    int x = 0;
    const status s = p.call(
        [&] {
          sleep_ms(30);
          x = 1;
        },
        host::deadline::after_ms(20));
    CHECK(s.ok() == (x == 1));
    CHECK(p.call([] {}, host::deadline::after_ms(patience_ms)).ok());
  }

  TEST_CASE("call: before the thread is started -> waits for it") {
    poller p;
    std::thread stopper([&] {
      sleep_ms(20);
      REQUIRE(p.start().ok());
      p.stop();
    });
    const status s = p.call([] {}, host::deadline::after_ms(patience_ms));
    stopper.join();
    CHECK(s.ok());
  }

  TEST_CASE("file descriptors: called back with the events; not after removal, although removed in the same round") {
    poller p;
    const int a = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int b = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    std::atomic<int> called{0};
    std::atomic<bool> armed{false};
    const auto once = [&](std::uint32_t events) {
      if (!armed) return;
      CHECK((events & EPOLLIN) != 0);
      ++called;
      // Whichever comes first takes the other away.
      p.remove_fd(a);
      p.remove_fd(b);
    };
    REQUIRE(p.add_fd(a, EPOLLIN, once).ok());
    CHECK(p.add_fd(a, EPOLLIN, once).detail() == EEXIST);
    REQUIRE(p.add_fd(b, EPOLLIN, once).ok());
    CHECK(p.modify_fd(999, EPOLLIN) == status{client_status::not_found});
    CHECK(p.add_fd(-1, EPOLLIN, once).detail() == EBADF);
    const std::uint64_t one = 1;
    REQUIRE(write(a, &one, sizeof one) == sizeof one);
    REQUIRE(write(b, &one, sizeof one) == sizeof one);
    armed = true;
    REQUIRE(p.start().ok());
    REQUIRE(wait_for([&] { return called.load() != 0; }));
    CHECK(p.call([] {}, host::deadline::after_ms(patience_ms)).ok());
    CHECK(called == 1);
    p.stop();
    close(a);
    close(b);
  }

  TEST_CASE("pollables: added and removed from within their own poll") {
    struct leaver final : target::pollable {
      poller* p = nullptr;
      std::atomic<unsigned> polls{0};
      unsigned poll() noexcept override {
        ++polls;
        p->remove(*this);
        return 1;
      }
    } one;
    bell other;
    poller p;
    one.p = &p;
    REQUIRE(p.start().ok());
    CHECK(p.call(
               [&] {
                 p.add(one);
                 p.add(other);
               },
               host::deadline::after_ms(patience_ms))
              .ok());
    REQUIRE(wait_for([&] { return other.polls > 10; }));
    CHECK(one.polls == 1);
    p.stop();
  }

  TEST_CASE("sleep and wake: no ring is lost, however it falls upon the going to sleep") {
    // A short spin, so that nearly every ring meets a poller that sleeps or is about to.
    poller p(poller_options{.spin_ns = 1000});
    bell b;
    REQUIRE(p.add_wake_fd(b.fd).ok());
    p.add(b);
    REQUIRE(p.start().ok());
    unsigned woken = 0;
    for (std::uint32_t i = 1; i <= 3000; ++i) {
      if (b.ring(i)) ++woken;
      REQUIRE(wait_for([&] { return b.answered.load(std::memory_order_acquire) == i; }));
      for (std::uint32_t spin = 0; spin < i * 37 % 2000; ++spin) host::steady_clock::relax(0);
    }
    CHECK(woken > 0);
    CHECK(p.sleeps() > 0);
    p.stop();
  }

  TEST_CASE("sleep: a doorbell that is rung right before the asleep word is set is seen") {
    struct late_bell final : target::pollable {
      bool rung = false;  // this and the word are the poller's thread's
      std::uint32_t asleep = 0;
      std::atomic<bool> seen{false};
      unsigned poll() noexcept override {
        if (!rung || seen) return 0;
        seen = true;
        return 1;
      }
      // A client rang when the poller had looked for the last time, and found the word 0.
      std::uint32_t* asleep_word() noexcept override {
        rung = true;
        return &asleep;
      }
    } b;
    poller p(poller_options{.spin_ns = 1000});
    p.add(b);
    REQUIRE(p.start().ok());
    CHECK(wait_for([&] { return b.seen.load(); }));
    p.stop();
  }

  TEST_CASE("sleep: an idle poller with clients uses next to no processor time, and wakes soon") {
    std::vector<std::unique_ptr<bell>> clients;
    poller p;  // ends before its clients do
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<bell>());
      REQUIRE(p.add_wake_fd(clients.back()->fd).ok());
      p.add(*clients.back());
    }
    REQUIRE(p.start().ok());
    // Asleep, woken from this process once, and asleep again: a wake-up that has been used is no reason to wake again.
    REQUIRE(wait_for([&] { return p.sleeps() > 0; }));
    sleep_ms(1);
    const std::uint64_t first = p.sleeps();  // before the call: it may be asleep again right after
    REQUIRE(p.call([] {}, host::deadline::after_ms(patience_ms)).ok());
    REQUIRE(wait_for([&] { return p.sleeps() > first; }));
    const std::uint64_t sleeps = p.sleeps();
    const std::uint64_t before = process_cpu_ns();
    sleep_ms(500);
    CHECK(process_cpu_ns() - before < 5'000'000);  // 1 %
    CHECK(p.sleeps() <= sleeps + 1);               // it did not look again and again
    // The first operation after idleness, many times over: loose, as the machine is shared.
    std::vector<std::uint64_t> took;
    for (std::uint32_t i = 1; i <= 100; ++i) {
      REQUIRE(wait_for([&] { return __atomic_load_n(&clients[7]->asleep, __ATOMIC_ACQUIRE) == 1; }));
      sleep_ms(1);
      const std::uint64_t start = host::steady_clock::now_ns();
      clients[7]->ring(i);
      while (clients[7]->answered.load(std::memory_order_acquire) != i) host::steady_clock::relax(0);
      took.push_back(host::steady_clock::now_ns() - start);
    }
    std::sort(took.begin(), took.end());
    MESSAGE("wake-up: p50 " << took[50] / 1000 << " us, p99 " << took[99] / 1000 << " us");
    CHECK(took[50] < 1'000'000);
    p.stop();
  }

  TEST_CASE("sleep: while a client cannot wake it the poller looks again and again by itself") {
    poller p(poller_options{.spin_ns = 1000, .foreign_poll_us = 200});
    bell b;
    b.foreign = true;
    p.add(b);
    REQUIRE(p.start().ok());
    REQUIRE(wait_for([&] { return p.sleeps() > 3; }));
    __atomic_store_n(&b.rung, 5u, __ATOMIC_RELEASE);  // without a wake-up
    CHECK(wait_for([&] { return b.answered.load() == 5; }));
    b.foreign = false;
    p.stop();
  }

  TEST_CASE("wake fd: a client that drains its eventfd, fills it, or makes it block harms nobody") {
    poller p(poller_options{.spin_ns = 1000});
    bell bad, good;
    REQUIRE(p.add_wake_fd(bad.fd).ok());
    REQUIRE(p.add_wake_fd(good.fd).ok());
    p.add(bad);
    p.add(good);
    REQUIRE(p.start().ok());
    const std::uint64_t full = 0xfffffffffffffffe;
    std::uint64_t drained = 0;
    for (std::uint32_t i = 1; i <= 200; ++i) {
      CHECK(write(bad.fd, &full, sizeof full) == sizeof full);
      CHECK(read(bad.fd, &drained, sizeof drained) == sizeof drained);
      good.ring(i);
      REQUIRE(wait_for([&] { return good.answered.load() == i; }));
    }
    CHECK(write(bad.fd, &full, sizeof full) == sizeof full);
    good.ring(1000);
    CHECK(wait_for([&] { return good.answered.load() == 1000; }));
    // Readable for ever, and still no reason to stay awake.
    const std::uint64_t sleeps = p.sleeps();
    CHECK(wait_for([&] { return __atomic_load_n(&good.asleep, __ATOMIC_ACQUIRE) == 1; }));
    sleep_ms(50);
    CHECK(p.sleeps() <= sleeps + 20);
    p.stop();
  }
}
