// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::client_status;
using nkv::value_ref;

TEST_SUITE("kv/value_ref") {
  static_assert(std::is_trivially_copyable_v<value_ref> && std::is_aggregate_v<value_ref>);
  static_assert(value_ref{}.empty() && value_ref{}.part(0, 0)->empty());
  static_assert(*value_ref{0x1000, 100, 7}.part(10, 20) == value_ref{0x100a, 20, 7});

  TEST_CASE("part: inside -> the address moved, the remote key kept") {
    const value_ref v{0x7fff00000001, 4096, 0xabcd};
    CHECK(*v.part(0, 4096) == v);
    CHECK(*v.part(4095, 1) == value_ref{0x7fff00001000, 1, 0xabcd});
    CHECK(*v.part(4096, 0) == value_ref{0x7fff00001001, 0, 0xabcd});
    CHECK(*v.part(3, 0) == value_ref{0x7fff00000004, 0, 0xabcd});
  }

  TEST_CASE("part: outside, by one and by sums that wrap -> bad_argument, nothing is cut") {
    const nkv::status bad_argument{client_status::bad_argument};
    constexpr std::uint64_t most = ~std::uint64_t{0};
    const value_ref v{0x1000, 4096, 0};
    CHECK(v.part(0, 4097).error() == bad_argument);
    CHECK(v.part(4096, 1).error() == bad_argument);
    CHECK(v.part(4097, 0).error() == bad_argument);
    CHECK(v.part(1, most).error() == bad_argument);
    CHECK(v.part(most, 1).error() == bad_argument);
    CHECK(v.part(most, most).error() == bad_argument);
    CHECK(v.part(2, most - 1).error() == bad_argument);
    CHECK(value_ref{}.part(0, 1).error() == bad_argument);
  }

  TEST_CASE("equality: each field counts") {
    CHECK(value_ref{1, 2, 3} == value_ref{1, 2, 3});
    CHECK(value_ref{1, 2, 3} != value_ref{9, 2, 3});
    CHECK(value_ref{1, 2, 3} != value_ref{1, 9, 3});
    CHECK(value_ref{1, 2, 3} != value_ref{1, 2, 9});
  }
}
