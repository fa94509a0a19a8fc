// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::client_status;
using nkv::result;
using nkv::status;

namespace {

struct pair {
  std::uint32_t first = 1;
  std::uint32_t second = 2;
};

constexpr result<std::uint32_t> half(const std::uint32_t& n) {
  if (n % 2 != 0) return status{client_status::bad_argument};
  return n / 2;
}

}  // namespace

TEST_SUITE("base/result") {
  static_assert(std::is_trivially_copyable_v<result<pair>>);
  static_assert(sizeof(result<std::uint32_t>) == 8);
  static_assert(result<int>{3}.has_value() && *result<int>{3} == 3);
  static_assert(!result<int>{status{client_status::timed_out}}.has_value());
  static_assert(result<pair> {
    pair {}
  } -> second == 2);
  static_assert(result<int>{3}.error().ok());
  static_assert(!std::is_convertible_v<result<int>, bool> && std::is_constructible_v<bool, result<int>>);

  TEST_CASE("a value: read, changed in place, never mistaken for an error") {
    result<pair> r = pair{7, 8};
    REQUIRE(r);
    r->first = 9;
    (*r).second = 10;
    CHECK(r->first == 9);
    CHECK(r.value_or(pair{}).second == 10);
    CHECK(r.error() == status{});
    // The zero value is a value.
    CHECK(result<int>{0}.has_value());
    CHECK(result<bool>{false}.has_value());
  }

  TEST_CASE("an error: no value, the reason with its detail, and the value asked for instead") {
    const result<int> r = status{client_status::system_error, 11};
    CHECK_FALSE(r);
    CHECK(r.error() == status{client_status::system_error});
    CHECK(r.error().detail() == 11);
    CHECK(r.value_or(4) == 4);
  }

  TEST_CASE("and_then: a chain -> goes on with values and stops at the first error") {
    static_assert(*result<std::uint32_t>{12u}.and_then(half).and_then(half) == 3);
    CHECK(result<std::uint32_t>{6u}.and_then(half).and_then(half).error() == status{client_status::bad_argument});
    int calls = 0;
    const result<std::uint32_t> failed = status{client_status::disconnected};
    const result<std::uint32_t> end = failed.and_then([&](const std::uint32_t& n) -> result<std::uint32_t> {
      ++calls;
      return n;
    });
    CHECK(calls == 0);
    CHECK(end.error() == status{client_status::disconnected});
  }
}
