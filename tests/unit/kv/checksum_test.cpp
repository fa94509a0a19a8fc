// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/checksum.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

using nkv::xxh64;
using nkv_test::ascii;
using nkv_test::span_of;

namespace {

constexpr std::uint64_t prime = 0x9e3779b1;

// The sanity buffer of the author's test vectors (xxHash 0.8.2, tests/sanity_test_vectors.h).
std::vector<std::byte> sanity_buffer(std::size_t size) {
  std::vector<std::byte> out(size);
  std::uint64_t generator = prime;
  for (std::byte& b : out) {
    b = static_cast<std::byte>(generator >> 56);
    generator *= 11400714785074694797u;
  }
  return out;
}

}  // namespace

TEST_SUITE("kv/checksum") {
  static_assert(std::is_trivially_copyable_v<xxh64>);
  static_assert(xxh64::of({}) == 0xef46db3751d8e999u);
  static_assert(xxh64::of({}, prime) == 0xac75fda2929b17efu);

  TEST_CASE("of: the author's test vectors -> their hashes") {
    struct vector {
      std::size_t size;
      std::uint64_t seed, hash;
    };
    const vector vectors[] = {
        {0, 0, 0xef46db3751d8e999u},     {0, prime, 0xac75fda2929b17efu},   {1, 0, 0xe934a84adb052768u},
        {1, prime, 0x5014607643a9b4c3u}, {4, 0, 0x9136a0dca57457eeu},       {8, 0, 0xcdbcf538e71d1348u},
        {14, 0, 0x8282dcc4994e35c8u},    {14, prime, 0xc3bd6bf63deb6df0u},  {32, 0, 0x18b216492bb44b70u},
        {33, 0, 0x55c8dc3e578f5b59u},    {33, prime, 0xe92c292f64bc3071u},  {100, 0, 0x4bfe019cd91d9ea4u},
        {222, 0, 0xb641ae8cb691c174u},   {222, prime, 0x20cb8ab7ae10c14au}, {2048, 0, 0x5940f2752bc04387u},
        {4160, 0, 0xeee6a4e2ac952a5eu},
    };
    const std::vector<std::byte> data = sanity_buffer(4160);
    for (const vector& v : vectors) {
      CAPTURE(v.size);
      CHECK(xxh64::of(span_of(data).subspan(0, v.size), v.seed) == v.hash);
    }
  }

  TEST_CASE("update: any pieces, at any address -> the hash of the whole") {
    const std::vector<std::byte> data = sanity_buffer(400);
    for (std::size_t from = 0; from < 9; ++from) {
      for (std::size_t size = 0; size < 140; ++size) {
        const nkv::byte_span all = span_of(data).subspan(from, size);
        std::vector<std::byte> copy(all.begin(), all.end());
        const std::uint64_t whole = xxh64::of(span_of(copy), 7);
        REQUIRE(xxh64::of(all, 7) == whole);
        for (const std::size_t piece : {1u, 3u, 31u, 32u, 33u, 64u}) {
          xxh64 h(7);
          for (std::size_t at = 0; at < size; at += piece) h.update(all.subspan(at, piece));
          REQUIRE(h.finish() == whole);
        }
      }
    }
  }

  TEST_CASE("finish: the hash goes on afterwards") {
    const std::vector<std::byte> data = sanity_buffer(222);
    xxh64 h;
    h.update(span_of(data).subspan(0, 100));
    CHECK(h.finish() == 0x4bfe019cd91d9ea4u);
    CHECK(h.update(span_of(data).subspan(100)).finish() == 0xb641ae8cb691c174u);
  }

  TEST_CASE("any single bit of the data or the seed -> another hash") {
    std::vector<std::byte> data = sanity_buffer(101);
    const std::uint64_t hash = xxh64::of(span_of(data));
    for (std::size_t bit = 0; bit < 8 * data.size(); ++bit) {
      data[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      CHECK(xxh64::of(span_of(data)) != hash);
      data[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    }
    for (unsigned bit = 0; bit < 64; ++bit) CHECK(xxh64::of(span_of(data), std::uint64_t{1} << bit) != hash);
  }
}
