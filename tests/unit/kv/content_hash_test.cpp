// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/content_hash.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

using nkv::blake2b;
using nkv::content_hash;
using nkv::content_key;
using nkv_test::ascii;
using nkv_test::block;
using nkv_test::hex;
using nkv_test::span_of;

namespace {

template <std::size_t N>
constexpr block<N> digest(nkv::byte_span data) {
  block<N> out{};
  blake2b<N> hash;
  hash.update(data);
  hash.finish(out.bytes);
  return out;
}

// Bytes 0, 1, 2, ... as in the authors' test vectors.
std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i & 0xffu);
  return out;
}

block<16> key_bytes(const nkv::key& key) {
  block<16> out{};
  REQUIRE(key.size() == 16);
  for (std::size_t i = 0; i < 16; ++i) out.bytes[i] = key[i];
  return out;
}

}  // namespace

TEST_SUITE("kv/content_hash") {
  static_assert(std::is_trivially_copyable_v<content_hash>);

  // RFC 7693, appendix A.
  static_assert(digest<64>(ascii("abc").span()) ==
                hex<64>("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"));

  TEST_CASE("blake2b: the authors' test vectors (blake2-kat.json, no key) -> their digests") {
    CHECK(digest<64>(ascii("abc").span()) ==
          hex<64>("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                  "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"));
    CHECK(digest<64>(span_of(counting(211))) ==
          hex<64>("6e293bf5d03fe43977cfe3f57ccdb3ae282a85455dca33f37f4b74f8398cc612"
                  "433d755cbec412f8f82a3bd3bc4a278f7ecd0dfa9bbdc40be7a787c8f159b2df"));
    CHECK(digest<64>(span_of(counting(224))) ==
          hex<64>("97668f745b6032fc815d9579322769dccd9501a5080029b8ae826befb6742331"
                  "bd9f76efeb3e2b8e81a9786b282f5068a3a2424697a77c41876b7e753f4c7767"));
    CHECK(digest<64>(span_of(counting(234))) ==
          hex<64>("1c7a5c1dedcd04a921788f7eb23361ca1953b04b9c7aec35d65ea3e4996db26f"
                  "281278ea4ae666ad81027d98af57262cdbfa4c085f4210568c7e15eec7805114"));
  }

  // From here on the expected digests are those of Python's hashlib.blake2b, which is the authors' implementation and
  // gives the result of RFC 7693's self-test (appendix E).
  TEST_CASE("blake2b: other digest lengths -> hashlib's, none the beginning of another") {
    const block<3> abc = ascii("abc");
    CHECK(digest<1>(abc.span()) == hex<1>("6b"));
    CHECK(digest<15>(abc.span()) == hex<15>("cb322ea749b92c9a46ca598e516025"));
    CHECK(digest<16>(abc.span()) == hex<16>("cf4ab791c62b8d2b2109c90275287816"));
    CHECK(digest<20>(abc.span()) == hex<20>("384264f676f39536840523f284921cdc68b6846b"));
    CHECK(digest<32>(abc.span()) == hex<32>("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"));
    CHECK(digest<48>(abc.span()) == hex<48>("6f56a82c8e7ef526dfe182eb5212f7db9df1317e57815dbda46083fc30f54ee6"
                                            "c66ba83be64b302d7cba6ce15bb556f4"));
    CHECK(digest<63>(abc.span()) == hex<63>("eb5324bb0b0f9ca27381f22f5e49604d7c341b77371fe5bf61fb643c8ab481c7"
                                            "555ef17c9b9e7c92f0daafff6c0d748cab97d2b267bf53f8225c173ea26f3e"));
  }

  TEST_CASE("content_key: around the ends of blocks -> hashlib's digests of 16 bytes") {
    struct row {
      std::size_t size;
      block<16> expected;
    };
    const row table[] = {
        {0, hex<16>("cae66941d9efbd404e4d88758ea67670")},   {1, hex<16>("7025e075d5e2f6cde3cc051a31f07660")},
        {3, hex<16>("a75c0b0d97360c1ba783496eb6a0395a")},   {16, hex<16>("f9477b91722fe719f946834577e0e8a2")},
        {127, hex<16>("28b1296c7d4807883de6ee4ec04dcc0a")}, {128, hex<16>("a74787004ef589e31149183900d0294a")},
        {129, hex<16>("aaf1b0371f6d4ee49ee4fb5ddd9c49ef")}, {255, hex<16>("192657d8c2d07da4ee7beb8c6f9951f4")},
        {256, hex<16>("c2472c0ac37a8dbdb25f05ada0d82643")}, {257, hex<16>("5b9ad79f1309b3599ac3871688f3812c")},
    };
    for (const row& r : table) {
      CAPTURE(r.size);
      CHECK(key_bytes(content_key(span_of(counting(r.size)))) == r.expected);
    }
    static_assert(content_key(ascii("hello, world").span()) ==
                  nkv::key::from_hex("30e1e8aebab5b386e37fd06fc6e0088a").value_or({}));
    std::vector<std::byte> mebibyte(1u << 20);
    for (std::size_t i = 0; i < mebibyte.size(); ++i) mebibyte[i] = static_cast<std::byte>((i * 131) & 0xffu);
    CHECK(key_bytes(content_key(mebibyte)) == hex<16>("6d5729a35b9b719cd1eec299ae891eb7"));
  }

  TEST_CASE("content_key: every length to 1024 -> hashlib's digest of all digests") {
    content_hash all;
    for (std::size_t n = 0; n <= 1024; ++n) {
      std::vector<std::byte> data(n);
      for (std::size_t i = 0; i < n; ++i) data[i] = static_cast<std::byte>((i * 7 + n) & 0xffu);
      const nkv::key one = content_key(data);
      all.update(one.view().bytes());
    }
    CHECK(key_bytes(nkv::finish_key(all)) == hex<16>("c6e9122be23f99a538fb7ab70bb7b0e0"));
  }

  TEST_CASE("update: in pieces of every size -> the digest of the whole") {
    const std::vector<std::byte> data = counting(700);
    const nkv::key whole = content_key(data);
    for (std::size_t piece = 1; piece <= 300; ++piece) {
      content_hash hash;
      for (std::size_t at = 0; at < data.size(); at += piece) hash.update(nkv::byte_span{data}.subspan(at, piece));
      hash.update({});
      CHECK(nkv::finish_key(hash) == whole);
    }
    // Two pieces, cut everywhere.
    for (std::size_t cut = 0; cut <= data.size(); ++cut) {
      content_hash hash;
      hash.update(nkv::byte_span{data}.subspan(0, cut)).update(nkv::byte_span{data}.subspan(cut));
      CHECK(nkv::finish_key(hash) == whole);
    }
  }

  TEST_CASE("update: a copy of a hash -> goes on alone") {
    const std::vector<std::byte> data = counting(200);
    content_hash a;
    a.update(nkv::byte_span{data}.subspan(0, 150));
    content_hash b = a;
    b.update(nkv::byte_span{data}.subspan(150));
    CHECK(nkv::finish_key(b) == content_key(data));
    CHECK(nkv::finish_key(a) == content_key(nkv::byte_span{data}.subspan(0, 150)));
  }

  TEST_CASE("update of integers: little-endian") {
    content_hash a;
    a.update_u32(0x04030201).update_u64(0x0c0b0a0908070605);
    content_hash b;
    const block<12> bytes = hex<12>("01020304 05060708 090a0b0c");
    b.update(bytes.span());
    CHECK(nkv::finish_key(a) == nkv::finish_key(b));
  }

  TEST_CASE("tagged_content_key: tag and 15 bytes -> as the deployed clients make it") {
    static_assert(nkv::tagged_content_key(std::byte{1}, ascii("abc").span()) ==
                  nkv::key::from_hex("01cb322ea749b92c9a46ca598e516025").value_or({}));
    CHECK(key_bytes(nkv::tagged_content_key(std::byte{0}, span_of(counting(200)))) ==
          hex<16>("002ea27722e4b90c8d2c70f441926a97"));
  }
}
