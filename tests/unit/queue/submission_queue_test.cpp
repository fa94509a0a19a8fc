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
    rig.queue.post(rig.numbered(1), 77, rig.bell);
    rig.queue.post(sqe{}, 0, rig.bell);
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
    for (int i = 0; i < 5; ++i) rig.queue.post(sqe{}, 0, rig.bell);
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
        rig.queue.post(rig.numbered(i), 0, rig.bell);
        rig.queue.ring(rig.bell);
        expected.push_back((i + 1) % entries);
        CHECK(rig.ring[i % entries].dw[3] == i * 16 + 3);
      }
      CHECK(rig.tails == expected);
    }
  }

  TEST_CASE_TEMPLATE("ring: positions wrap, at 2^32 and at 2^16", Sharing, exclusive, shared) {
    ring_rig<Sharing> rig(4);
    auto* counters = reinterpret_cast<queue_counters*>(rig.control.get());
    counters->sq_rung = 0xfffffffeu;
    counters->sq_next = Sharing::is_shared ? 0xfffe0000u : 0xfffffffeu;
    for (std::uint32_t i = 0; i < 6; ++i) {
      if (i % 2 == 0)
        rig.queue.post(rig.numbered(i), 0, rig.bell);
      else
        rig.queue.post_and_ring(rig.numbered(i), 0, rig.bell);
      rig.queue.ring(rig.bell);
      rig.queue.ring(rig.bell);
    }
    CHECK(rig.tails == std::vector<std::uint32_t>{3, 0, 1, 2, 3, 0});
  }

  TEST_CASE("publish: an entry still being written holds back those behind it; its writer publishes them") {
    ring_rig<shared> rig(4);
    for (std::uint32_t begin = 0; begin < 40; begin += 3) {
      rig.tails.clear();
      const auto first = rig.queue.take(1);
      CHECK(first.leads);
      const auto pair = rig.queue.take(2);
      CHECK_FALSE(pair.leads);
      rig.queue.write_at(pair.position, rig.numbered(1), 77);
      rig.queue.write_at(pair.position + 1, rig.numbered(2), 78);
      rig.queue.publish(pair, 2, rig.bell);
      rig.queue.ring(rig.bell);
      CHECK(rig.tails.empty());
      rig.queue.write_at(first.position, rig.numbered(0), 76);
      rig.queue.publish(first, 1, rig.bell, false);
      CHECK(rig.tails == std::vector<std::uint32_t>{(begin + 3) % 4});
    }
  }

  TEST_CASE("publish: the lead is left to who writes the next entry, and rings what had no doorbell yet") {
    ring_rig<shared> rig(2);
    for (std::uint32_t lap = 0; lap < 5; ++lap) {
      rig.tails.clear();
      const std::uint32_t tail = lap % 2;
      const auto first = rig.queue.take(1);
      const auto second = rig.queue.take(1);
      CHECK(first.leads);
      rig.queue.write_at(first.position, rig.numbered(0), 1);
      rig.queue.publish(first, 1, rig.bell, lap % 3 != 0);
      CHECK(rig.tails.size() == (lap % 3 != 0 ? 1 : 0));
      rig.queue.write_at(second.position, rig.numbered(1), 2);
      rig.queue.publish(second, 1, rig.bell);
      CHECK(rig.tails.back() == tail);
      rig.queue.post_and_ring(rig.numbered(2), 3, rig.bell);
      CHECK(rig.tails.back() == (tail + 1) % 2);
    }
  }

  TEST_CASE("ring: asked for while another leads, the leader rings, also where it would not") {
    ring_rig<shared> rig(8);
    rig.queue.post(rig.numbered(0), 1, rig.bell);
    const auto mine = rig.queue.take(1);
    rig.queue.ring(rig.bell);
    rig.queue.ring(rig.bell);
    CHECK(rig.tails.empty());
    rig.queue.write_at(mine.position, rig.numbered(1), 2);
    rig.queue.publish(mine, 1, rig.bell, false);
    CHECK(rig.tails == std::vector<std::uint32_t>{2});
    rig.queue.ring(rig.bell);
    CHECK(rig.tails.size() == 1);
  }

  TEST_CASE("by many threads: every entry once and whole when it is published, the tail strictly forwards") {
    // Looks at what it publishes: the leader alone is here.
    struct looking_doorbell {
      struct state {
        std::uint32_t tail = 0, rings = 0;
        std::vector<std::uint32_t> next;
        bool right = true;
      };
      const sqe* ring;
      state* s;
      void ring_sq_tail(std::uint32_t v) const noexcept {
        s->right = s->right && v > s->tail;
        ++s->rings;
        for (; s->tail < v; ++s->tail) {
          const sqe& e = ring[s->tail];
          s->right = s->right && e.dw[1] < s->next.size() && e.dw[15] == s->next[e.dw[1]]++;
        }
      }
      void ring_cq_head(std::uint32_t) const noexcept {}
    };
    constexpr std::uint32_t entries = 32768, threads = 8, each = 4000;
    ring_rig<shared> rig(entries);
    looking_doorbell::state seen;
    seen.next.resize(threads);
    const looking_doorbell bell{rig.ring.get(), &seen};
    std::vector<std::thread> pool;
    for (std::uint32_t n = 0; n < threads; ++n)
      pool.emplace_back([&, n] {
        for (std::uint32_t i = 0; i < each;) {
          const std::uint32_t count = 1 + i % 3;
          const auto mine = rig.queue.take(count);
          for (std::uint32_t k = 0; k < count; ++k) {
            sqe c;
            c.dw[1] = n;
            c.dw[15] = i++;
            rig.queue.write_at(mine.position + k, c, 0);
          }
          rig.queue.publish(mine, count, bell, count != 2);
        }
        rig.queue.ring(bell);
      });
    for (std::thread& t : pool) t.join();
    CHECK(seen.right);
    std::uint32_t written = 0;
    for (const std::uint32_t n : seen.next) written += n;
    CHECK(seen.tail == written);
    CHECK(written >= threads * each);
    CHECK(seen.rings == reinterpret_cast<queue_counters*>(rig.control.get())->sq_doorbells);
  }
}
