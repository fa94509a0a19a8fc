// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/command_key.hpp>
#include <nkv/spec/status_code.hpp>

#include <support/bytes.hpp>
#include <support/guarded_bytes.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using nkv::client_status;
using nkv::key_encoding;
using nkv::key_view;
using nkv::set_bare_key;
using nkv::set_data_key;
using nkv::set_inline_key;
using nkv::sqe;
using nkv::status;

namespace {

constexpr status bad_argument{client_status::bad_argument};

sqe all_ones() {
  sqe c;
  for (std::uint32_t& dword : c.dw) dword = 0xffffffff;
  return c;
}

}  // namespace

TEST_SUITE("command/command_key") {
  TEST_CASE("set_inline_key: every length -> its bytes in order, the rest zero, over whatever was there") {
    nkv_test::guarded_bytes memory(64);
    for (std::size_t n = 1; n <= 16; ++n) {
      // At the end of the mapping: a whole dword read for a key of fewer bytes would not come back.
      const nkv::mutable_byte_span key = memory.last(n);
      for (std::size_t i = 0; i < n; ++i) key[i] = static_cast<std::byte>(0xf0 + i);
      sqe c = all_ones();
      set_inline_key(c, {key.data(), n});
      const nkv_test::block<64> bytes = nkv_test::bytes_of(c.dw);
      for (std::size_t i = 0; i < 16; ++i) {
        const std::size_t at = i < 8 ? 8 + i : 56 + (i - 8);
        CHECK(bytes.bytes[at] == (i < n ? static_cast<std::byte>(0xf0 + i) : std::byte{0}));
      }
      CHECK(c.cdw(11) == (0xffffff00u | n));
      for (const unsigned other : {0u, 1u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 12u, 13u}) CHECK(c.dw[other] == 0xffffffff);
    }
  }

  TEST_CASE("set_data_key: payload_head -> the entry stays as it is") {
    const std::vector<std::byte> bytes(300);
    for (std::size_t n = 0; n < 300; ++n) {
      sqe c;
      const status s = set_data_key(c, {bytes.data(), n}, key_encoding::payload_head);
      CHECK(s.ok() == (n >= 1 && n <= 255));
      for (const std::uint32_t dword : c.dw) CHECK(dword == 0);
    }
  }

  TEST_CASE("set_data_key: inline_cdw, every length -> carried to 16 bytes, else bad_argument and untouched") {
    const std::vector<std::byte> bytes(300, std::byte{0x77});
    for (std::size_t n = 0; n < 300; ++n) {
      sqe c;
      const status s = set_data_key(c, {bytes.data(), n}, key_encoding::inline_cdw);
      if (n >= 1 && n <= 16) {
        CHECK(s.ok());
        CHECK(c.cdw(11) == n);
      } else {
        CHECK(s == bad_argument);
        for (const std::uint32_t dword : c.dw) CHECK(dword == 0);
      }
    }
  }

  TEST_CASE("set_bare_key: both encodings, every length -> in the dwords to 16 bytes") {
    const std::vector<std::byte> bytes(300, std::byte{0x77});
    for (std::size_t n = 0; n < 300; ++n) {
      sqe in_dwords;
      CHECK(set_bare_key(in_dwords, {bytes.data(), n}, key_encoding::inline_cdw).ok() == (n >= 1 && n <= 16));
      sqe in_head;
      const status s = set_bare_key(in_head, {bytes.data(), n}, key_encoding::payload_head);
      CHECK(s.ok() == (n >= 1 && n <= 255));
      CHECK(in_head.cdw(11) == (n <= 16 ? n : 0));
      CHECK((in_head.cdw(2) != 0) == (n >= 1 && n <= 16));
    }
  }
}
