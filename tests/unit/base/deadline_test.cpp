// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/deadline.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

namespace {

/// A clock that stands where the test puts it.
struct set_clock {
  static inline std::uint64_t now = 0;
  static std::uint64_t now_ns() noexcept { return now; }
  static void relax(std::uint32_t) noexcept {}
};

struct clock_that_throws {
  static std::uint64_t now_ns() { return 0; }
  static void relax(std::uint32_t) noexcept {}
};

using deadline = nkv::deadline<set_clock>;
constexpr std::uint64_t end_of_time = ~std::uint64_t{0};

}  // namespace

TEST_SUITE("base/deadline") {
  static_assert(std::is_trivially_copyable_v<deadline>);
  static_assert(nkv::waiting_clock<set_clock>);
  static_assert(!nkv::waiting_clock<clock_that_throws>);
  static_assert(deadline{}.at_ns() == 0);
  static_assert(deadline{12}.at_ns() == 12);

  TEST_CASE("default: any moment -> has passed") {
    set_clock::now = 0;
    CHECK(deadline{}.expired());
    CHECK(deadline{}.left_ns() == 0);
  }

  TEST_CASE("after: each unit -> nanoseconds on the clock") {
    set_clock::now = 1000;
    CHECK(deadline::after_ns(5).at_ns() == 1005);
    CHECK(deadline::after_us(5).at_ns() == 6000);
    CHECK(deadline::after_ms(5).at_ns() == 5001000);
    CHECK(deadline::after_ns(0).expired());
  }

  TEST_CASE("expired and left: one nanosecond before, at, and after it") {
    set_clock::now = 100;
    const deadline d = deadline::after_ns(10);
    set_clock::now = 109;
    CHECK_FALSE(d.expired());
    CHECK(d.left_ns() == 1);
    set_clock::now = 110;
    CHECK(d.expired());
    CHECK(d.left_ns() == 0);
    set_clock::now = 111;
    CHECK(d.expired());
    CHECK(d.left_ns() == 0);
  }

  TEST_CASE("after: a sum beyond the clock's range -> its end, not the past") {
    set_clock::now = 50;
    CHECK(deadline::after_ns(end_of_time).at_ns() == end_of_time);
    CHECK(deadline::after_ns(end_of_time - 50).at_ns() == end_of_time);
    CHECK(deadline::after_ns(end_of_time - 51).at_ns() == end_of_time - 1);
    CHECK_FALSE(deadline::after_ns(end_of_time).expired());
    set_clock::now = end_of_time - 1;
    CHECK(deadline::after_ns(2).at_ns() == end_of_time);
  }

  TEST_CASE("after: a unit whose nanoseconds overflow -> the end, not a small number") {
    set_clock::now = 0;
    const std::uint64_t most_us = end_of_time / 1000;
    const std::uint64_t most_ms = end_of_time / 1000000;
    CHECK(deadline::after_us(most_us).at_ns() == most_us * 1000);
    CHECK(deadline::after_us(most_us + 1).at_ns() == end_of_time);
    CHECK(deadline::after_ms(most_ms).at_ns() == most_ms * 1000000);
    CHECK(deadline::after_ms(most_ms + 1).at_ns() == end_of_time);
    // 2^64 / 10^6 is no integer: just beyond it the product would wrap to nearly nothing.
    CHECK(deadline::after_ms(end_of_time).at_ns() == end_of_time);
  }
}
