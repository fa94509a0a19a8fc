// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/key.hpp>
#include <nkv/spec/status_code.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using nkv::client_status;
using nkv::key;
using nkv::key_view;
using nkv::status;
using nkv_test::block;
using nkv_test::hex;

namespace {

constexpr status bad_argument{client_status::bad_argument};

std::string hex_text(key_view k) {
  std::string out(2 * k.size(), '?');
  CHECK(k.to_hex(out.data()) == 2 * k.size());
  return out;
}

int sign(int n) { return n < 0 ? -1 : n > 0 ? 1 : 0; }

}  // namespace

TEST_SUITE("kv/key") {
  static_assert(nkv::max_key_bytes == 255 && nkv::max_inline_key_bytes == 16);
  static_assert(std::is_trivially_copyable_v<key> && std::is_trivially_copyable_v<key_view>);
  static_assert(key{}.empty() && key_view{}.empty());
  static_assert(key::from_text("abc")->size() == 3 && (*key::from_text("abc"))[0] == std::byte{'a'});
  static_assert(*key::from_hex("00fF7f") == key_view{hex<3>("00ff7f").span()});
  static_assert(*key::from_text("a") < *key::from_text("ab"));

  TEST_CASE("check: lengths 0, 1, 255, 256 and around a namespace's limit") {
    const std::vector<std::byte> bytes(70000);
    const auto of = [&](std::size_t n) { return key_view{bytes.data(), n}; };
    CHECK(of(0).check() == bad_argument);
    CHECK(of(1).check().ok());
    CHECK(of(255).check().ok());
    CHECK(of(256).check() == bad_argument);
    CHECK(of(257).check() == bad_argument);
    // A length that is 1 in its low 8 and low 16 bits.
    CHECK(of(65537).check() == bad_argument);
    CHECK(of(16).check(16).ok());
    CHECK(of(17).check(16) == bad_argument);
    CHECK(of(255).check(1000).ok());
    CHECK(of(256).check(1000) == bad_argument);
    CHECK(of(1).check(0) == bad_argument);
  }

  TEST_CASE("from: a view -> a copy of its own, or bad_argument") {
    std::vector<std::byte> bytes(256);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    for (const std::size_t n : {std::size_t{1}, std::size_t{8}, std::size_t{16}, std::size_t{17}, std::size_t{255}}) {
      const nkv::result<key> k = key::from({bytes.data(), n});
      REQUIRE(k);
      CHECK(k->size() == n);
      CHECK(std::memcmp(k->data(), bytes.data(), n) == 0);
      CHECK(*k == key_view(bytes.data(), n));
    }
    CHECK(key::from({bytes.data(), 0}).error() == bad_argument);
    CHECK(key::from({bytes.data(), 256}).error() == bad_argument);
    CHECK(key::from({}).error() == bad_argument);
    const key first = *key::from({bytes.data(), 4});
    bytes[0] = std::byte{99};
    CHECK(first[0] == std::byte{0});
  }

  TEST_CASE("from_text: NUL inside and at the end -> a byte like any other") {
    const key k = *key::from_text("a\0b");
    CHECK(k.size() == 3);
    CHECK(k[1] == std::byte{0});
    CHECK(key_view::from_text("a\0b") == k);
    CHECK(key_view::from_text("a") != k);
    CHECK(key_view::from_text(std::string("ab\0", 3)).size() == 3);
    CHECK(key_view::from_text(std::string_view("xyz")).size() == 3);
    CHECK(key_view::from_text("wxyz", 2) == key_view::from_text("wx"));
    CHECK(key::from_text("").error() == bad_argument);
    CHECK(key::from_text(std::string(255, 'k'))->size() == 255);
    CHECK(key::from_text(std::string(256, 'k')).error() == bad_argument);
    // A char may be negative; its byte is not.
    CHECK((*key::from_text("\xff"))[0] == std::byte{0xff});
  }

  TEST_CASE("to_hex: every byte -> two lower-case digits, nothing behind them") {
    std::vector<std::byte> bytes(255);
    std::string expected;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i + 1);
      expected += "0123456789abcdef"[(i + 1) >> 4];
      expected += "0123456789abcdef"[(i + 1) & 15];
    }
    const key k = *key::from(key_view{bytes});
    std::string out(512, '#');
    CHECK(k.to_hex(out.data()) == 510);
    CHECK(out.substr(0, 510) == expected);
    CHECK(out.substr(510) == "##");
    CHECK(hex_text(*key::from_text("\0")) == "00");
  }

  TEST_CASE("from_hex: digits of either case, 2 to 510 -> the bytes") {
    CHECK(hex_text(*key::from_hex("00")) == "00");
    CHECK(hex_text(*key::from_hex("0123456789abcdefABCDEF")) == "0123456789abcdefabcdef");
    const std::string longest(510, 'e');
    CHECK(key::from_hex(longest)->size() == 255);
    CHECK(hex_text(*key::from_hex(longest)) == longest);
  }

  TEST_CASE("from_hex: anything else -> bad_argument") {
    CHECK(key::from_hex("").error() == bad_argument);
    CHECK(key::from_hex("0").error() == bad_argument);
    CHECK(key::from_hex("000").error() == bad_argument);
    CHECK(key::from_hex(std::string(511, '0')).error() == bad_argument);
    CHECK(key::from_hex(std::string(512, '0')).error() == bad_argument);
    for (unsigned c = 0; c < 256; ++c) {
      const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      const std::string high{static_cast<char>(c), '0'};
      const std::string low{'0', static_cast<char>(c)};
      CHECK(key::from_hex(high).has_value() == digit);
      CHECK(key::from_hex(low).has_value() == digit);
    }
    CHECK(key::from_hex("0x01").error() == bad_argument);
    CHECK(key::from_hex("01 2").error() == bad_argument);
    CHECK(key::from_hex(" 01").error() == bad_argument);
  }

  TEST_CASE("compare: random pairs -> the order of memcmp, then of the lengths") {
    std::mt19937 random(11);
    for (unsigned round = 0; round < 20000; ++round) {
      // Few different bytes, so that beginnings are often the same; 0x80 and above must not compare as negative.
      const auto make = [&] {
        std::vector<std::byte> bytes(random() % 6);
        for (std::byte& b : bytes) b = (random() & 1) != 0 ? std::byte{0xff} : std::byte{0x01};
        return bytes;
      };
      const std::vector<std::byte> a = make();
      const std::vector<std::byte> b = make();
      const std::size_t common = a.size() < b.size() ? a.size() : b.size();
      int expected = common == 0 ? 0 : sign(std::memcmp(a.data(), b.data(), common));
      if (expected == 0) expected = a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
      const key_view x{a};
      const key_view y{b};
      if (sign(x.compare(y)) != expected || (x == y) != (expected == 0) || (x != y) != (expected != 0) ||
          (x < y) != (expected < 0) || (x > y) != (expected > 0) || (x <= y) != (expected <= 0) ||
          (x >= y) != (expected >= 0))
        FAIL("round " << round);
    }
  }

  TEST_CASE("comparison: keys and views with one another") {
    const key a = *key::from_text("a");
    const key b = *key::from_text("b");
    CHECK(a == a.view());
    CHECK(a.view() == a);
    CHECK(a != b);
    CHECK(a < b);
    CHECK(b.view() > a);
    CHECK(key{} < a);
    CHECK(key{} == key_view{});
  }

  TEST_CASE("assignment: a shorter key over a longer one -> equal to the shorter alone") {
    key k = *key::from_text("a longer key than that");
    k = *key::from_text("ab");
    CHECK(k == *key::from_text("ab"));
    CHECK(hex_text(k) == "6162");
  }
}
