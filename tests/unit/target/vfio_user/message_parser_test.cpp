// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/message_parser.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

using nkv::target::vfio_user::message_parser;
using state = message_parser::state;

namespace {

nkv_test::bytes a_message(std::uint16_t id, std::size_t payload_bytes) {
  nkv_test::message m;
  m.id = id;
  m.command = 9;
  for (std::size_t i = 0; i < payload_bytes; ++i) m.payload.push_back(static_cast<unsigned char>(i * 3 + id));
  return m.encode();
}

/// Feeds at most `limit` bytes of `from`, as much as is wanted. @return how many
std::size_t feed(message_parser& p, const unsigned char* from, std::size_t limit) {
  const nkv::mutable_byte_span room = p.want();
  const std::size_t n = std::min(limit, room.size());
  if (n != 0) std::memcpy(room.data(), from, n);
  p.advance(n);
  return n;
}

}  // namespace

TEST_SUITE("target/vfio_user/message_parser") {
  TEST_CASE("a stream in pieces of every size gives the same messages") {
    nkv_test::bytes stream;
    for (std::uint16_t i = 0; i < 20; ++i) {
      const nkv_test::bytes m = a_message(i, i * 37u);
      stream.insert(stream.end(), m.begin(), m.end());
    }
    for (std::size_t piece = 1; piece < 50; ++piece) {
      CAPTURE(piece);
      message_parser p;
      std::uint16_t messages = 0;
      for (std::size_t at = 0; at < stream.size();) {
        at += feed(p, stream.data() + at, std::min(piece, stream.size() - at));
        if (p.current() != state::complete) continue;
        CHECK(p.want().empty());
        REQUIRE(p.header().message_id == messages);
        REQUIRE(p.payload().size() == messages * 37u);
        if (messages != 0) CHECK(p.payload()[1] == static_cast<std::byte>(3 + messages));
        ++messages;
        p.next();
      }
      CHECK(messages == 20);
      CHECK_FALSE(p.within_message());
    }
  }

  TEST_CASE("want: never beyond the message that is read") {
    message_parser p;
    CHECK(p.want().size() == 16);
    const nkv_test::bytes m = a_message(1, 100);
    CHECK(feed(p, m.data(), 10) == 10);
    CHECK(p.within_message());
    CHECK(p.want().size() == 6);
    CHECK(feed(p, m.data() + 10, 1000) == 6);
    CHECK(p.want().size() == 100);
  }

  TEST_CASE("lengths: the shortest and the longest pass, one beyond either is malformed for good") {
    for (const std::uint32_t length : {16u, 65536u}) {
      nkv_test::bytes m = a_message(1, length - 16);
      message_parser p;
      for (std::size_t at = 0; at < m.size();) at += feed(p, m.data() + at, m.size() - at);
      CHECK(p.current() == state::complete);
      CHECK(p.payload().size() == length - 16);
    }
    for (const std::uint32_t length : {0u, 15u, 65537u, 0x80000000u, 0xffffffffu}) {
      CAPTURE(length);
      nkv_test::bytes m = a_message(1, 0);
      std::memcpy(m.data() + 4, &length, 4);
      message_parser p;
      feed(p, m.data(), 16);
      CHECK(p.current() == state::malformed);
      CHECK(p.want().empty());
      p.next();
      CHECK(p.advance(0) == state::malformed);
    }
  }

  TEST_CASE("random bytes: ends malformed or goes on, never elsewhere") {
    std::mt19937 random(1);  // NOLINT: the same every time
    for (int run = 0; run < 200; ++run) {
      message_parser p;
      std::size_t fed = 0;
      while (fed < 200'000 && p.current() != state::malformed) {
        const nkv::mutable_byte_span room = p.want();
        REQUIRE_FALSE(room.empty());
        const std::size_t n = std::min<std::size_t>(room.size(), 1 + random() % 997);
        for (std::size_t i = 0; i < n; ++i) room[i] = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
        fed += n;
        if (p.advance(n) == state::complete) p.next();
      }
    }
  }
}
