// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/key_encoding.hpp>
#include <nkv/spec/status_code.hpp>

#include <support/bytes.hpp>
#include <support/guarded_bytes.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <initializer_list>
#include <vector>

using nkv::carries;
using nkv::client_status;
using nkv::key_encoding;
using nkv::key_view;
using nkv::read_head;
using nkv::status;
using nkv::write_head;
using nkv_test::block;
using nkv_test::hex;

namespace {

constexpr block<5> head_of_abc() {
  block<5> out{};
  static_cast<void>(write_head(out.bytes, *nkv::key::from_text("abc")));
  return out;
}

}  // namespace

TEST_SUITE("kv/key_encoding") {
  static_assert(head_of_abc() == hex<5>("0300 616263"));
  static_assert(nkv::max_head_bytes == 257);
  static_assert(nkv::head_bytes(*nkv::key::from_text("abc")) == 5);

  TEST_CASE("carries: every length -> 1 to 16 inline, 1 to 255 in a head") {
    for (std::size_t n = 0; n < 70000; ++n) {
      if (carries(key_encoding::inline_cdw, n) != (n >= 1 && n <= 16)) FAIL("inline " << n);
      if (carries(key_encoding::payload_head, n) != (n >= 1 && n <= 255)) FAIL("head " << n);
    }
    CHECK(nkv::longest_key_bytes(key_encoding::inline_cdw) == 16);
    CHECK(nkv::longest_key_bytes(key_encoding::payload_head) == 255);
  }

  TEST_CASE("write_head: every length of a key -> the length and the bytes, and nothing behind") {
    std::vector<std::byte> bytes(300, std::byte{0xee});
    std::vector<std::byte> out(300);
    for (std::size_t n = 0; n <= 255; ++n) {
      std::memset(out.data(), 0x55, out.size());
      CHECK(write_head(out.data(), {bytes.data(), n}) == 2 + n);
      CHECK(out[0] == static_cast<std::byte>(n));
      CHECK(out[1] == std::byte{0});
      CHECK(std::memcmp(out.data() + 2, bytes.data(), n) == 0);
      CHECK(out[2 + n] == std::byte{0x55});
    }
  }

  TEST_CASE("write_head: longer than a key -> nothing is written") {
    std::vector<std::byte> bytes(65537);
    std::byte out[4] = {std::byte{9}, std::byte{9}, std::byte{9}, std::byte{9}};
    CHECK(write_head(out, {bytes.data(), 256}) == 0);
    CHECK(write_head(out, {bytes.data(), 65537}) == 0);
    CHECK(out[0] == std::byte{9});
  }

  TEST_CASE("read_head: what write_head wrote -> the key, in the data") {
    std::byte data[300] = {};
    const nkv::key k = *nkv::key::from_text("some key");
    const std::size_t n = write_head(data, k);
    const nkv::result<key_view> read = read_head({data, n});
    REQUIRE(read);
    CHECK(*read == k);
    CHECK(read->data() == data + 2);
    CHECK(*read_head(data) == k);
  }

  TEST_CASE("read_head: no key, or cut anywhere -> an error, and nothing read beyond") {
    nkv_test::guarded_bytes memory(300);
    const status truncated{client_status::truncated};
    const status protocol_error{client_status::protocol_error};
    for (const unsigned length : {1u, 2u, 16u, 255u}) {
      for (std::size_t size = 0; size <= 2u + length; ++size) {
        const nkv::mutable_byte_span data = memory.last(size);
        for (std::byte& b : data) b = std::byte{0xcc};
        if (size >= 1) data[0] = static_cast<std::byte>(length);
        if (size >= 2) data[1] = std::byte{0};
        if (size == 2u + length) {
          CHECK(read_head(data)->size() == length);
        } else {
          CHECK(read_head(data).error() == truncated);
        }
      }
    }
    for (const unsigned length : {0u, 256u, 257u, 0xffffu}) {
      const nkv::mutable_byte_span data = memory.last(2);
      data[0] = static_cast<std::byte>(length & 0xffu);
      data[1] = static_cast<std::byte>(length >> 8);
      CHECK(read_head(data).error() == protocol_error);
    }
  }
}
