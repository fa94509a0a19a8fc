// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/shard_key.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

using nkv::key_view;
using nkv::shard_key;
using nkv::shard_keys;
using nkv::shard_nonce;
using nkv::shard_object_key;
using nkv_test::span_of;

namespace {

constexpr shard_nonce nonce = shard_nonce::from_words(0x1122334455667788u, 0x99aabbccddeeff00u);

key_view text(const char* s) { return key_view::from_text(s, __builtin_strlen(s)); }
std::string name(const shard_key& k) {
  std::string digits(32, ' ');
  k.view().to_hex(digits.data());
  return digits;
}

}  // namespace

TEST_SUITE("kv/shard_key") {
  static_assert(std::is_trivially_copyable_v<shard_key> && sizeof(shard_key) == 16);
  static_assert(std::is_trivially_copyable_v<shard_nonce> && sizeof(shard_nonce) == 16);
  static_assert(shard_nonce{}.empty() && !nonce.empty());
  static_assert(shard_nonce::from_bytes(nonce.bytes) == nonce);

  // The expected bytes were computed with Python's struct, hashlib and xxhash from the layouts in the header.
  TEST_CASE("shard_object_key: keys of all lengths -> the names of an independent implementation") {
    std::vector<std::byte> longest(255);
    for (std::size_t i = 0; i < longest.size(); ++i) longest[i] = static_cast<std::byte>(i);
    CHECK(name(shard_object_key(text("object"))) == "baa0b1d99c6398abfd824a53e8571513");
    CHECK(name(shard_object_key(text("k"))) == "6cb0ad0feaa88c4f6cae11e9013c9fc7");
    CHECK(name(shard_object_key(key_view(span_of(longest)))) == "0f30dc6b374af0f8a899a710a4dc7124");
    CHECK(shard_object_key(text("object")).seed() == 0x97e91769df6ed68bu);
    const shard_keys keys(key_view(span_of(longest)), nonce);
    CHECK(name(keys.of(0)) == "d6cadcc22834aaa8fe4abc56ab756241");
    CHECK(name(keys.of(1)) == "b4d1416d418d13ba8eda0ceecf3a0b23");
  }

  TEST_CASE("of: numbers, in any order -> the names and seeds of an independent implementation") {
    const shard_keys keys(text("object"), nonce);
    CHECK(name(keys.of(std::uint64_t{1} << 32)) == "9a86263055c9c88172401fdc27b3815b");
    CHECK(name(keys.of(1)) == "4aa90ea3efa4a7c51d9886df84eeb2c8");
    CHECK(name(keys.of(0)) == "87d9bacba668359020c511cd59325968");
    CHECK(keys.of(0).seed() == 0x4e937e4ea7c6eaedu);
    CHECK(keys.of(1).seed() == 0xd50999715dde048cu);
    CHECK(key_view(keys.of(1)) == keys.of(1).view());
  }

  TEST_CASE("of: object, nonce or number differ -> another key") {
    std::set<std::string> names;
    unsigned made = 0;
    for (const char* object : {"a", "b", "ab", "ba", "aa"}) {
      for (const std::uint64_t n : {1u, 2u}) {
        for (const shard_nonce& writing : {shard_nonce::from_words(n, 0), shard_nonce::from_words(0, n)}) {
          for (std::uint64_t i = 0; i < 5; ++i) {
            names.insert(name(shard_keys(text(object), writing).of(i)));
            ++made;
          }
        }
      }
      names.insert(name(shard_object_key(text(object))));
      ++made;
    }
    CHECK(names.size() == made);
  }
}
