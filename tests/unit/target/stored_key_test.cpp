// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/stored_key.hpp>

#include <doctest/doctest.h>

#include <string>
#include <unordered_set>

using namespace nkv;
using target::key_hasher;
using target::stored_key;

namespace {
byte_span bytes(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }
}  // namespace

TEST_SUITE("target/stored_key") {
  TEST_CASE("stored_key: every length keeps its bytes, and knows no other key as its own") {
    for (std::size_t n = 1; n <= 255; ++n) {
      std::string text(n, 'a');
      text[n - 1] = static_cast<char>(n);
      const stored_key k(bytes(text));
      CHECK(std::string(reinterpret_cast<const char*>(k.bytes().data()), k.bytes().size()) == text);
      CHECK(k.is(bytes(text)));
      CHECK(!k.is(bytes(text + 'a')));
      CHECK(!k.is(bytes(text.substr(0, n - 1))));
      text[n / 2] = static_cast<char>(text[n / 2] ^ 1);
      CHECK(!k.is(bytes(text)));
    }
  }

  TEST_CASE("compare: bytes are unsigned, a prefix comes first, NUL is a byte") {
    const auto before = [](const std::string& x, const std::string& y) {
      return stored_key::compare(bytes(x), bytes(y)) < 0;
    };
    const std::string a = "a", ab = "ab", high = "\xff", a0("a\0", 2);
    CHECK(before(a, ab));
    CHECK(before(a, a0));
    CHECK(before(a0, ab));
    CHECK(before(ab, high));
    CHECK(!before(high, a));
    CHECK(!before(a, a));
  }

  TEST_CASE("key_hasher: keys that differ in one bit or in length differ, in low and high bits, whatever the seed") {
    key_hasher one, two;
    two.seed[0] = 0x0123456789abcdef;
    two.seed[1] = 0xfedcba9876543210;
    for (const key_hasher& hash : {one, two}) {
      std::unordered_set<std::uint64_t> all, top, bottom;
      std::size_t n = 0;
      for (std::size_t length = 1; length <= 64; ++length) {
        std::string s(length, '\0');
        all.insert(hash(bytes(s)));
        ++n;
        for (std::size_t bit = 0; bit < 8 * length; ++bit) {
          s[bit / 8] = static_cast<char>(1 << (bit % 8));
          const std::uint64_t h = hash(bytes(s));
          s[bit / 8] = 0;
          all.insert(h);
          top.insert(h >> 48);
          bottom.insert(h & 0xffff);
          ++n;
        }
      }
      CHECK(all.size() == n);
      // 16,640 values thrown into 65,536: some 14,700 places are hit.
      CHECK(top.size() > 14000);
      CHECK(bottom.size() > 14000);
    }
  }

  TEST_CASE("key_hasher: the seed matters") {
    key_hasher one, two;
    two.seed[0] ^= 1;
    key_hasher three;
    three.seed[1] ^= 1;
    const std::string s = "some key";
    CHECK(one(bytes(s)) != two(bytes(s)));
    CHECK(one(bytes(s)) != three(bytes(s)));
  }
}
