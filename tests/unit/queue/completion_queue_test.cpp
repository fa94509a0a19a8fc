// SPDX-License-Identifier: BSD-3-Clause
#include "support/model_controller.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace nkv;

namespace {

struct head_doorbell {
  std::vector<std::uint32_t>* heads;
  void ring_sq_tail(std::uint32_t) const noexcept {}
  void ring_cq_head(std::uint32_t v) const noexcept { heads->push_back(v); }
};

template <class Sharing>
struct cq_rig {
  cq_rig(std::uint32_t sq_entries, std::uint32_t cq_entries)
      : shape{sq_entries, cq_entries},
        ring(nkv_test::queue_rig<Sharing>::template aligned<cqe>(16 * cq_entries)),
        control(nkv_test::queue_rig<Sharing>::template aligned<std::byte>(queue_control_layout::of(shape).size_bytes)),
        queue(ring.get(), control.get(), shape) {
    queue.initialize();
    reinterpret_cast<queue_counters*>(control.get())->liveness = static_cast<std::uint32_t>(queue_liveness::open);
  }
  void write(std::uint32_t position, std::uint32_t dw0) {
    const bool phase = ((position / shape.cq_entries) & 1) == 0;
    const cqe e = cqe::make(dw0, 0, 0, static_cast<std::uint16_t>(dw0), {}, phase);
    cqe& slot = ring[position % shape.cq_entries];
    for (int d = 0; d < 3; ++d) slot.dw[d] = e.dw[d];
    __atomic_store_n(&slot.dw[3], e.dw[3], __ATOMIC_RELEASE);
  }
  std::uint32_t reap(std::uint32_t budget = 1000) {
    return queue.reap(bell, budget, [this](const cqe& e) {
      got.push_back(e.dw0());
      return got.back() != stops_at;
    });
  }
  std::uint32_t stops_at = ~0u;
  queue_shape shape;
  typename nkv_test::queue_rig<Sharing>::template block<cqe> ring;
  typename nkv_test::queue_rig<Sharing>::template block<std::byte> control;
  completion_queue<Sharing> queue;
  std::vector<std::uint32_t> heads, got;
  head_doorbell bell{&heads};
};

/// A controller that writes an entry in pieces: what is behind the phase when that is read, and the rest right after.
struct late_pieces : native_atomics {
  static inline cqe* slot = nullptr;
  static inline cqe whole{};
  template <class T, scope S>
  static T load_acquire(const T* p, scope_constant<S> s) noexcept {
    const T value = native_atomics::load_acquire(p, s);
    if (slot != nullptr && p == &slot->dw[3]) *slot = whole;
    return value;
  }
};

/// Another thread begins to read right after this one looked whether anybody does.
struct other_reader : native_atomics {
  static inline std::uint32_t* reaping = nullptr;
  template <class T, scope S>
  static T load_relaxed(const T* p, scope_constant<S> s) noexcept {
    const T value = native_atomics::load_relaxed(p, s);
    if (static_cast<const void*>(p) == reaping) *reaping = 1;
    return value;
  }
};

}  // namespace

TEST_SUITE("queue/completion_queue") {
  TEST_CASE_TEMPLATE("reap: nothing written -> nothing read, no doorbell", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(4, 8);
    CHECK(rig.reap() == 0);
    CHECK(rig.got.empty());
    CHECK(rig.heads.empty());
  }

  TEST_CASE_TEMPLATE("reap: oldest first, no more than the budget", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(4, 8);
    for (std::uint32_t i = 0; i < 3; ++i) rig.write(i, 10 + i);
    CHECK(rig.reap(2) == 2);
    CHECK(rig.got == std::vector<std::uint32_t>{10, 11});
    CHECK(rig.reap(2) == 1);
    CHECK(rig.reap(2) == 0);
    CHECK(rig.got == std::vector<std::uint32_t>{10, 11, 12});
  }

  TEST_CASE_TEMPLATE("reap: ends behind the entry that was asked for", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(4, 8);
    for (std::uint32_t i = 0; i < 3; ++i) rig.write(i, 10 + i);
    rig.stops_at = 11;
    CHECK(rig.reap() == 2);
    CHECK(rig.reap() == 1);
    CHECK(rig.got == std::vector<std::uint32_t>{10, 11, 12});
  }

  TEST_CASE_TEMPLATE("reap: stale phase after a wrap -> not read again", Sharing, exclusive, shared) {
    for (const std::uint32_t entries : {2u, 4u, 8u}) {
      cq_rig<Sharing> rig(entries, entries);
      for (std::uint32_t i = 0; i < 5 * entries + 1; ++i) {
        rig.write(i, i);
        CHECK(rig.reap() == 1);
        CHECK(rig.reap() == 0);  // the next entry holds the lap before
        REQUIRE(rig.got.back() == i);
      }
    }
  }

  TEST_CASE_TEMPLATE("reap: positions wrap at 2^32 with the right phase", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(4, 4);
    auto* counters = reinterpret_cast<queue_counters*>(rig.control.get());
    counters->cq_head = 0xfffffffcu;
    for (std::uint32_t i = 0; i < 4; ++i) rig.ring[i].dw[3] = 0x10000;  // the lap before had the other phase
    for (std::uint32_t i = 0; i < 12; ++i) {
      const std::uint32_t position = 0xfffffffcu + i;
      rig.write(position, i);
      CHECK(rig.reap() == 1);
    }
    CHECK(rig.got.size() == 12);
  }

  TEST_CASE_TEMPLATE("reap: the head doorbell comes once an interval, not once an entry", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(8, 16);
    CHECK(rig.shape.cq_head_interval() == 8);
    for (std::uint32_t i = 0; i < 32; ++i) {
      rig.write(i, i);
      rig.reap();
    }
    CHECK(rig.heads == std::vector<std::uint32_t>{8, 0, 8, 0});
    cq_rig<Sharing> batched(8, 16);
    for (std::uint32_t i = 0; i < 12; ++i) batched.write(i, i);
    batched.reap();
    CHECK(batched.heads == std::vector<std::uint32_t>{12});
    cq_rig<Sharing> shortest(2, 2);
    for (std::uint32_t i = 0; i < 3; ++i) {
      shortest.write(i, i);
      shortest.reap();
    }
    CHECK(shortest.heads == std::vector<std::uint32_t>{1, 0, 1});
  }

  TEST_CASE_TEMPLATE("reap: an entry written in pieces is read after its phase", Sharing, exclusive, shared) {
    // A completion was once taken with a result of 0: DW0 had been loaded before the phase.
    cq_rig<Sharing> rig(64, 64);
    constexpr std::uint32_t count = 20000;
    std::atomic<std::uint32_t> read{0};
    std::thread controller([&] {
      for (std::uint32_t i = 0; i < count; ++i) {
        while (i - read.load() >= 32) std::this_thread::yield();
        cqe& slot = rig.ring[i % 64];
        const bool phase = ((i / 64) & 1) == 0;
        __atomic_store_n(&slot.dw[0], i + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&slot.dw[2], 0u, __ATOMIC_RELAXED);
        __atomic_store_n(&slot.dw[3], phase ? 0x10000u : 0u, __ATOMIC_RELEASE);
      }
    });
    std::uint32_t next = 0;
    bool right = true;
    while (next < count) {
      const std::uint32_t n = rig.queue.reap(rig.bell, 16, [&](const cqe& e) {
        ++next;
        if (e.dw0() != next) right = false;
        return true;
      });
      if (n == 0) std::this_thread::yield();
      read.store(next);
    }
    controller.join();
    CHECK(right);
  }

  TEST_CASE("reap: every dword is read after the phase, that of the phase once more") {
    const cq_rig<exclusive> rig(4, 4);
    const completion_queue<exclusive, late_pieces> queue(rig.ring.get(), rig.control.get(), rig.shape);
    rig.ring[0].dw[3] = 0x10000;
    late_pieces::slot = &rig.ring[0];
    late_pieces::whole = cqe::make(77, 3, 9, 5, {}, true);
    cqe got;
    CHECK(queue.reap(rig.bell, 1, [&](const cqe& e) {
      got = e;
      return true;
    }) == 1);
    late_pieces::slot = nullptr;
    CHECK(got.dw0() == 77);
    CHECK(got.sqid() == 9);
    CHECK(got.cid() == 5);
  }

  TEST_CASE_TEMPLATE("reap: the value that was written before the entry is there with it", Sharing, exclusive, shared) {
    cq_rig<Sharing> rig(4, 4);
    constexpr std::uint32_t count = 500;
    std::uint32_t value = 0;
    std::atomic<std::uint32_t> read{0};
    std::thread controller([&] {
      for (std::uint32_t i = 0; i < count; ++i) {
        while (read.load() != i) std::this_thread::yield();
        value = i * 3;
        rig.write(i, i);
      }
    });
    bool right = true;
    for (std::uint32_t i = 0; i < count; ++i) {
      while (rig.reap() == 0) std::this_thread::yield();
      right = right && value == i * 3;
      read.store(i + 1);
    }
    controller.join();
    CHECK(right);
  }

  TEST_CASE("reap, shared: one reader at a time; the others are told nothing") {
    cq_rig<shared> rig(4, 8);
    rig.write(0, 5);
    rig.write(1, 6);
    std::uint32_t inner = 99;
    rig.queue.reap(rig.bell, 1, [&](const cqe&) {
      inner = rig.reap();
      return true;
    });
    CHECK(inner == 0);
    CHECK(rig.reap() == 1);
    CHECK(rig.got == std::vector<std::uint32_t>{6});
  }

  TEST_CASE("reap, shared: another that begins between the look and the claim has the ring") {
    cq_rig<shared> rig(4, 8);
    rig.write(0, 5);
    const completion_queue<shared, other_reader> queue(rig.ring.get(), rig.control.get(), rig.shape);
    other_reader::reaping = &reinterpret_cast<queue_counters*>(rig.control.get())->reaping;
    const std::uint32_t read = queue.reap(rig.bell, 1, [](const cqe&) { return true; });
    other_reader::reaping = nullptr;
    CHECK(read == 0);
  }

  TEST_CASE("reap by many threads: every entry once, in order") {
    cq_rig<shared> rig(256, 256);
    constexpr std::uint32_t count = 30000;
    std::atomic<std::uint32_t> read{0};
    std::vector<std::uint32_t> order;
    std::atomic<bool> stop{false};
    std::vector<std::thread> pool;
    for (int n = 0; n < 4; ++n)
      pool.emplace_back([&] {
        while (!stop.load()) {
          const std::uint32_t got = rig.queue.reap(rig.bell, 8, [&](const cqe& e) {
            order.push_back(e.dw0());
            read.fetch_add(1);
            return true;
          });
          if (got == 0) std::this_thread::yield();
        }
      });
    for (std::uint32_t i = 0; i < count; ++i) {
      while (i - read.load() >= 200) std::this_thread::yield();
      rig.write(i, i);
    }
    while (read.load() < count) std::this_thread::yield();
    stop = true;
    for (std::thread& t : pool) t.join();
    REQUIRE(order.size() == count);
    for (std::uint32_t i = 0; i < count; ++i) REQUIRE(order[i] == i);
  }
}
