// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/scatter_list.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <numeric>
#include <vector>

using namespace nkv;
using target::scatter_cursor;
using target::scatter_list;

TEST_SUITE("target/scatter_list") {
  TEST_CASE("add: pieces that adjoin become one, empty ones none") {
    std::byte m[100];
    scatter_list l;
    REQUIRE(l.add(m, 10));
    REQUIRE(l.add(m + 10, 5));
    REQUIRE(l.add(m + 15, 0));
    REQUIRE(l.add(m + 16, 4));
    REQUIRE(l.add(m, 1));
    CHECK(l.bytes() == 20);
    REQUIRE(l.spans().size() == 3);
    CHECK(l.spans()[0].data() == m);
    CHECK(l.spans()[0].size() == 15);
    CHECK(l.spans()[1].data() == m + 16);
    CHECK(l.spans()[2].size() == 1);
    l.clear();
    CHECK(l.bytes() == 0);
    CHECK(l.spans().empty());
  }

  TEST_CASE("add: any number of pieces, kept in order over every growth") {
    std::vector<std::byte> m(40000);
    scatter_list l;
    for (std::size_t i = 0; i < 20000; ++i) REQUIRE(l.add(m.data() + 2 * i, 1));
    REQUIRE(l.spans().size() == 20000);
    for (std::size_t i = 0; i < 20000; ++i) REQUIRE(l.spans()[i].data() == m.data() + 2 * i);
    l.recycle();
    CHECK(l.spans().empty());
    REQUIRE(l.add(m.data(), 3));
    CHECK(l.spans().size() == 1);
  }

  TEST_CASE("cursor: copies in slices of every size, over pieces of every size") {
    std::byte from[64];
    std::iota(reinterpret_cast<unsigned char*>(from), reinterpret_cast<unsigned char*>(from) + 64,
              static_cast<unsigned char>(1));
    for (std::size_t piece = 1; piece < 9; ++piece)
      for (std::size_t slice = 1; slice < 20; ++slice) {
        std::byte to[64] = {};
        std::vector<mutable_byte_span> pieces;
        for (std::size_t at = 0; at < 40; at += piece) {
          pieces.push_back({to + at, std::min(piece, 40 - at)});
          pieces.push_back({});
        }
        const span<const mutable_byte_span> all{pieces.data(), pieces.size()};
        scatter_cursor w;
        std::size_t done = 0;
        while (const std::size_t n = w.write(all, from + done, slice)) done += n;
        CHECK(done == 40);
        CHECK(std::memcmp(from, to, 40) == 0);
        CHECK(to[40] == std::byte{0});
        std::byte back[64] = {};
        scatter_cursor r;
        done = 0;
        while (const std::size_t n = r.read(all, back + done, slice)) done += n;
        CHECK(done == 40);
        CHECK(std::memcmp(back, from, 40) == 0);
      }
  }
}
