// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/deadline_lock.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

using namespace nkv;
using host::deadline_lock;

TEST_SUITE("host/deadline_lock") {
  TEST_CASE("a free mutex -> held at once, and given back at the end of the scope") {
    std::mutex m;
    {
      const deadline_lock lock(m, host::deadline{});
      CHECK(static_cast<bool>(lock));
      std::thread([&m] { CHECK(!deadline_lock(m, host::deadline{})); }).join();
    }
    const deadline_lock again(m, host::deadline{});
    CHECK(static_cast<bool>(again));
  }

  TEST_CASE("one that stays taken -> not held, at the deadline; and it is not unlocked then") {
    std::mutex m;
    const std::lock_guard holder(m);
    std::thread([&m] {
      const host::deadline until = host::deadline::after_ms(30);
      {
        CHECK(!deadline_lock(m, until));
      }
      CHECK(until.expired());
      CHECK(!deadline_lock(m, host::deadline{}));
    }).join();
  }

  TEST_CASE("many threads: one at a time") {
    std::mutex m;
    unsigned count = 0;  // the lock's
    std::atomic<unsigned> missed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int n = 0; n < 500; ++n) {
          const deadline_lock lock(m, host::deadline::after_ms(20'000));
          if (lock) {
            ++count;
          } else {
            ++missed;
          }
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK(missed == 0);
    CHECK(count == 2000);
  }
}
