// SPDX-License-Identifier: BSD-3-Clause
#include "support/model_controller.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

using namespace nkv;

namespace {

/// Writes down what was rung.
struct recording_doorbell {
  std::vector<std::uint32_t>* tails;
  void ring_sq_tail(std::uint32_t v) const noexcept { tails->push_back(v); }
  void ring_cq_head(std::uint32_t) const noexcept {}
};
static_assert(doorbell<recording_doorbell>);

template <class Sharing>
struct ring_rig {
  explicit ring_rig(std::uint32_t entries)
      : shape{entries, entries},
        ring(nkv_test::queue_rig<Sharing>::template aligned<sqe>(64 * entries)),
        control(nkv_test::queue_rig<Sharing>::template aligned<std::byte>(queue_control_layout::of(shape).size_bytes)),
        queue(ring.get(), control.get(), shape) {
    queue.initialize();
  }
  static sqe numbered(std::uint32_t n) {
    sqe c;
    for (unsigned d = 0; d < 16; ++d) c.dw[d] = n * 16 + d;
    return c;
  }
  queue_shape shape;
  typename nkv_test::queue_rig<Sharing>::template block<sqe> ring;
  typename nkv_test::queue_rig<Sharing>::template block<std::byte> control;
  submission_queue<Sharing> queue;
  std::vector<std::uint32_t> tails;
  recording_doorbell bell{&tails};
};

}  // namespace

TEST_SUITE("queue/submission_queue") {
  TEST_CASE_TEMPLATE("post: all 16 dwords, in the next entry, nothing rung", Sharing, exclusive, shared) {
    ring_rig<Sharing> rig(4);
    std::memset(static_cast<void*>(rig.ring.get()), 0xee, 64 * 4);
    rig.queue.post(rig.numbered(1), 77);
    rig.queue.post(sqe{}, 0);
    for (unsigned d = 0; d < 16; ++d) {
      CHECK(rig.ring[0].dw[d] == (d == 0 ? (16u | 77u << 16) : 16 + d));
      CHECK(rig.ring[1].dw[d] == 0);
      CHECK(rig.ring[2].dw[d] == 0xeeeeeeee);
    }
    CHECK(rig.tails.empty());
  }

  TEST_CASE_TEMPLATE("ring: one doorbell for all that was posted, none for nothing", Sharing, exclusive, shared) {
    ring_rig<Sharing> rig(8);
    rig.queue.ring(rig.bell);
    CHECK(rig.tails.empty());
    for (int i = 0; i < 5; ++i) rig.queue.post(sqe{}, 0);
    rig.queue.ring(rig.bell);
    rig.queue.ring(rig.bell);
    CHECK(rig.tails == std::vector<std::uint32_t>{5});
    CHECK(reinterpret_cast<queue_counters*>(rig.control.get())->sq_doorbells == 1);
  }

  TEST_CASE_TEMPLATE("ring: the tail wraps, at depth 2 too", Sharing, exclusive, shared) {
    for (const std::uint32_t entries : {2u, 4u}) {
      ring_rig<Sharing> rig(entries);
      std::vector<std::uint32_t> expected;
      for (std::uint32_t i = 0; i < 1000; ++i) {
        rig.queue.post(rig.numbered(i), 0);
        rig.queue.ring(rig.bell);
        expected.push_back((i + 1) % entries);
        CHECK(rig.ring[i % entries].dw[3] == i * 16 + 3);
      }
      CHECK(rig.tails == expected);
    }
  }

  TEST_CASE_TEMPLATE("ring: positions wrap at 2^32", Sharing, exclusive, shared) {
    ring_rig<Sharing> rig(4);
    auto* counters = reinterpret_cast<queue_counters*>(rig.control.get());
    auto* ready =
        reinterpret_cast<std::uint32_t*>(rig.control.get() + queue_control_layout::of(rig.shape).ready_offset);
    for (std::uint32_t position = 0xfffffffau; position != 0xfffffffeu; ++position) ready[position % 4] = position + 1;
    counters->sq_next = counters->sq_rung = 0xfffffffeu;
    for (std::uint32_t i = 0; i < 6; ++i) {
      rig.queue.post(rig.numbered(i), 0);
      rig.queue.ring(rig.bell);
    }
    CHECK(rig.tails == std::vector<std::uint32_t>{3, 0, 1, 2, 3, 0});
  }

  TEST_CASE("ring, shared: an entry still being written holds back those behind it") {
    ring_rig<shared> rig(8);
    auto* counters = reinterpret_cast<queue_counters*>(rig.control.get());
    auto* ready =
        reinterpret_cast<std::uint32_t*>(rig.control.get() + queue_control_layout::of(rig.shape).ready_offset);
    counters->sq_next = 1;  // somebody took position 0 and has not written it
    rig.queue.post(rig.numbered(1), 77);
    rig.queue.ring(rig.bell);
    CHECK(rig.tails.empty());
    ready[0] = 1;  // now it is written; its writer rings
    rig.queue.ring(rig.bell);
    CHECK(rig.tails == std::vector<std::uint32_t>{2});
  }

  TEST_CASE("ring, shared: a mark from the lap before does not publish") {
    ring_rig<shared> rig(2);
    rig.queue.post(rig.numbered(0), 0);
    rig.queue.ring(rig.bell);
    rig.queue.post(rig.numbered(1), 77);
    rig.queue.ring(rig.bell);
    auto* counters = reinterpret_cast<queue_counters*>(rig.control.get());
    counters->sq_next = 3;  // position 2, the first entry's second lap, is taken and not written
    rig.queue.ring(rig.bell);
    CHECK(rig.tails == std::vector<std::uint32_t>{1, 0});
  }

  TEST_CASE("ring, shared: an entry that another thread posted is whole when it is published") {
    constexpr std::uint32_t count = 500;
    ring_rig<shared> rig(1024);
    std::thread other([&] {
      for (std::uint32_t i = 0; i < count; ++i) rig.queue.post(rig.numbered(i), 0);
    });
    bool right = true;
    for (std::uint32_t seen = 0; seen < count;) {
      rig.queue.ring(rig.bell);  // this thread alone
      if (rig.tails.empty() || rig.tails.back() == seen) std::this_thread::yield();
      for (; !rig.tails.empty() && seen < rig.tails.back(); ++seen)
        right = right && rig.ring[seen].dw[5] == seen * 16 + 5;
    }
    other.join();
    CHECK(right);
  }

  TEST_CASE("post and ring by many threads: every entry once, the tail strictly forwards") {
    constexpr std::uint32_t entries = 65536, threads = 8, each = 8000;
    ring_rig<shared> rig(entries);
    // Only the ringing thread touches the record; the queue orders one after the other.
    std::vector<std::thread> pool;
    for (std::uint32_t n = 0; n < threads; ++n)
      pool.emplace_back([&, n] {
        for (std::uint32_t i = 0; i < each; ++i) {
          sqe c;
          c.dw[1] = n;
          c.dw[15] = i;
          rig.queue.post(c, 0);
          if (i % 3 != 1) rig.queue.ring(rig.bell);
        }
        rig.queue.ring(rig.bell);
      });
    for (std::thread& t : pool) t.join();
    REQUIRE_FALSE(rig.tails.empty());
    CHECK(rig.tails.back() == threads * each);
    for (std::size_t i = 1; i < rig.tails.size(); ++i) REQUIRE(rig.tails[i] > rig.tails[i - 1]);
    std::vector<std::uint32_t> next(threads, 0);
    for (std::uint32_t i = 0; i < threads * each; ++i) {
      REQUIRE(rig.ring[i].dw[1] < threads);
      REQUIRE(rig.ring[i].dw[15] == next[rig.ring[i].dw[1]]++);
    }
  }
}
