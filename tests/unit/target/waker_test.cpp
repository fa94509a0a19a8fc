// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/waker.hpp>

#include <doctest/doctest.h>

using namespace nkv;

TEST_SUITE("target/waker") {
  TEST_CASE("wake: reaches whoever it is") {
    struct one final : target::waker {
      int woken = 0;
      void wake() noexcept override { ++woken; }
    } w;
    target::waker& base = w;
    base.wake();
    CHECK(w.woken == 1);
  }
}
