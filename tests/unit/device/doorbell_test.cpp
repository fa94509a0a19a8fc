// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/doorbell.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>

namespace {

template <class Doorbell>
void publishes() {
  static_assert(std::is_trivially_copyable_v<Doorbell>);
  std::uint32_t words[2] = {};
  std::uint32_t entry = 0;
  const Doorbell bell{&words[0], &words[1]};
  std::thread controller([&] {
    for (std::uint32_t n = 1; n <= 1000; ++n) {
      while (__atomic_load_n(&words[0], __ATOMIC_ACQUIRE) != n) std::this_thread::yield();
      CHECK(entry == n * 3);
      __atomic_store_n(&words[1], n, __ATOMIC_RELEASE);
    }
  });
  for (std::uint32_t n = 1; n <= 1000; ++n) {
    entry = n * 3;
    bell.ring_sq_tail(n);
    while (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) != n) std::this_thread::yield();
  }
  controller.join();
  bell.ring_cq_head(7);
  CHECK(words[0] == 1000);
  CHECK(words[1] == 7);
}

}  // namespace

// That what was written before is seen is ThreadSanitizer's to judge here, and the compiled code's on a GPU.
TEST_SUITE("device/doorbell") {
  TEST_CASE("shared memory") { publishes<nkv::device::shared_doorbell>(); }
  TEST_CASE("a BAR") { publishes<nkv::device::bar_doorbell>(); }
}
