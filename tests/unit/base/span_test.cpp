// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/span.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using nkv::byte_span;
using nkv::mutable_byte_span;
using nkv::span;

namespace {

struct base_type {
  std::uint32_t a;
};
struct derived_type : base_type {
  std::uint32_t b;
};

constexpr int numbers[] = {10, 11, 12, 13};

}  // namespace

TEST_SUITE("base/span") {
  static_assert(std::is_trivially_copyable_v<span<int>>);
  static_assert(span<int>{}.empty() && span<int>{}.data() == nullptr);
  static_assert(span<const int>{numbers}.size() == 4);
  static_assert(span<const int>{numbers}[3] == 13);
  static_assert([] {
    int sum = 0;
    for (const int n : span<const int>{numbers}) sum += n;
    return sum == 46;
  }());

  // const may be gained, never lost, and no element may be taken for one of another size.
  static_assert(std::is_convertible_v<mutable_byte_span, byte_span>);
  static_assert(!std::is_constructible_v<mutable_byte_span, byte_span>);
  static_assert(!std::is_constructible_v<mutable_byte_span, byte_span&>);
  static_assert(!std::is_constructible_v<mutable_byte_span, const std::vector<std::byte>&>);
  static_assert(!std::is_constructible_v<span<std::uint16_t>, std::vector<std::uint32_t>&>);
  static_assert(!std::is_constructible_v<span<base_type>, std::vector<derived_type>&>);
  static_assert(std::is_constructible_v<span<base_type>, std::vector<base_type>&>);

  TEST_CASE("from containers: arrays, vectors, std::span -> the same elements") {
    std::array<std::byte, 5> fixed{};
    std::vector<std::byte> grown(7);
    const std::vector<std::byte> settled(3);
    const std::span<std::byte> other{fixed};
    CHECK(mutable_byte_span{fixed}.data() == fixed.data());
    CHECK(byte_span{fixed}.size() == 5);
    CHECK(mutable_byte_span{grown}.size() == 7);
    CHECK(byte_span{settled}.data() == settled.data());
    CHECK(byte_span{other}.size() == 5);
    std::byte plain[2] = {};
    CHECK(mutable_byte_span{plain}.size() == 2);
    CHECK(byte_span{plain}.data() == plain);
  }

  TEST_CASE("copies and conversions: of named spans -> the same elements") {
    std::byte plain[3] = {};
    mutable_byte_span a{plain};
    const mutable_byte_span b = a;
    byte_span c = a;
    byte_span d{b};
    byte_span e = c;
    CHECK(b.data() == plain);
    CHECK(c.data() == plain);
    CHECK(d.size() == 3);
    CHECK(e.size() == 3);
    a[1] = std::byte{9};
    CHECK(e[1] == std::byte{9});
  }

  static_assert(span<const int>{numbers}.subspan(1).size() == 3);
  static_assert(span<const int>{numbers}.subspan(1, 2).size() == 2);
  static_assert(span<const int>{numbers}.subspan(1, 2)[0] == 11);

  TEST_CASE("subspan: beyond the end -> cut, never outside") {
    const span<const int> s{numbers};
    CHECK(s.subspan(4).empty());
    CHECK(s.subspan(4).data() == numbers + 4);
    CHECK(s.subspan(5).empty());
    CHECK(s.subspan(5).data() == numbers + 4);
    CHECK(s.subspan(3, 9).size() == 1);
    // An offset and a count whose sum wraps.
    CHECK(s.subspan(2, static_cast<std::size_t>(-1)).size() == 2);
    CHECK(s.subspan(static_cast<std::size_t>(-1), 2).empty());
    CHECK(s.subspan(0, 0).empty());
  }
}
