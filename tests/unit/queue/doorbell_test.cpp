// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/queue/doorbell.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using namespace nkv;

TEST_SUITE("queue/doorbell") {
  TEST_CASE("mapped: each value goes to its own word, and to no other") {
    std::uint32_t words[4] = {9, 9, 9, 9};
    const mapped_doorbell<> d{&words[1], &words[2]};
    d.ring_sq_tail(5);
    d.ring_cq_head(6);
    CHECK((words[0] == 9 && words[1] == 5 && words[2] == 6 && words[3] == 9));
  }

  TEST_CASE("ring_sq_tail: what was written before is seen by whoever reads the tail") {
    std::uint32_t words[2] = {};
    const mapped_doorbell<> d{&words[0], &words[1]};
    std::uint64_t entry = 0;
    std::thread controller([&] {
      for (std::uint64_t lap = 1; lap <= 2000; ++lap) {
        while (__atomic_load_n(&words[0], __ATOMIC_ACQUIRE) != lap) std::this_thread::yield();
        if (entry != lap * 3) __atomic_store_n(&words[1], 0xffffffffu, __ATOMIC_RELAXED);
        __atomic_store_n(&words[1], static_cast<std::uint32_t>(lap), __ATOMIC_RELEASE);
      }
    });
    bool right = true;
    for (std::uint64_t lap = 1; lap <= 2000; ++lap) {
      entry = lap * 3;
      d.ring_sq_tail(static_cast<std::uint32_t>(lap));
      std::uint32_t seen = 0;
      while ((seen = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE)) != lap && seen != 0xffffffffu)
        std::this_thread::yield();
      right = right && seen == lap;
    }
    controller.join();
    CHECK(right);
  }

  TEST_CASE("ring_cq_head: what was read before is not written over by whoever reads the head") {
    std::uint32_t words[2] = {};
    const mapped_doorbell<> d{&words[0], &words[1]};
    std::uint64_t entry = 0;
    std::thread controller([&] {
      for (std::uint32_t lap = 1; lap <= 2000; ++lap) {
        while (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) != lap - 1) std::this_thread::yield();
        entry = lap * 3;
        __atomic_store_n(&words[0], lap, __ATOMIC_RELEASE);
      }
    });
    bool right = true;
    for (std::uint32_t lap = 1; lap <= 2000; ++lap) {
      while (__atomic_load_n(&words[0], __ATOMIC_ACQUIRE) != lap) std::this_thread::yield();
      right = right && entry == lap * 3;
      d.ring_cq_head(lap);
    }
    controller.join();
    CHECK(right);
  }

  TEST_CASE("the concept asks for both calls, noexcept") {
    struct half {
      void ring_sq_tail(std::uint32_t) const noexcept {}
    };
    struct throwing {
      void ring_sq_tail(std::uint32_t) const {}
      void ring_cq_head(std::uint32_t) const {}
    };
    CHECK_FALSE(doorbell<half>);
    CHECK_FALSE(doorbell<throwing>);
    CHECK(doorbell<mapped_doorbell<>>);
  }
}
