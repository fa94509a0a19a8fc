// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/list_page_writer.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

using namespace nkv;
using target::list_page_writer;

namespace {

byte_span bytes_of(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

std::string hex(const std::byte* p, std::size_t n) {
  std::string s;
  for (std::size_t i = 0; i < n; ++i) {
    s += "0123456789abcdef"[static_cast<unsigned>(p[i]) >> 4];
    s += "0123456789abcdef"[static_cast<unsigned>(p[i]) & 15];
  }
  return s;
}

}  // namespace

TEST_SUITE("target/list_page_writer") {
  TEST_CASE("page: the bytes of keys of 1, 2, 3 and 16 bytes, each entry padded to 4") {
    std::byte m[64];
    std::memset(m, 0xee, sizeof m);
    const mutable_byte_span room[] = {{m, sizeof m}};
    list_page_writer w(room);
    CHECK(w.add(bytes_of("a")));
    CHECK(w.add(bytes_of("bc")));
    CHECK(w.add(bytes_of("def")));
    CHECK(w.add(bytes_of("0123456789abcdef")));
    w.finish();
    CHECK(w.keys() == 4);
    CHECK(w.bytes() == 4 + 4 + 4 + 8 + 20);
    CHECK(hex(m, 44) ==
          "04000000"
          "01006100"
          "02006263"
          "0300646566000000"
          "10003031323334353637383961626364656600"
          "00"
          "eeeeeeee");
  }

  TEST_CASE("add: whole entries only; what does not fit is not begun") {
    for (std::size_t size = 4; size < 40; ++size) {
      std::vector<std::byte> m(size + 8, std::byte{0xee});
      const mutable_byte_span room[] = {{m.data(), size}};
      list_page_writer w(room);
      std::size_t fitted = 0;
      while (w.add(bytes_of("abc"))) ++fitted;
      w.finish();
      CHECK(fitted == (size - 4) / 8);
      CHECK(load_le<std::uint32_t>(m.data()) == fitted);
      for (std::size_t i = 4 + 8 * fitted; i < m.size(); ++i) CHECK(m[i] == std::byte{0xee});
    }
  }

  TEST_CASE("page: the same bytes whatever the pieces of its room") {
    std::vector<std::byte> whole(600);
    const mutable_byte_span one[] = {{whole.data(), whole.size()}};
    const std::string long_key(255, 'k');
    const auto fill = [&](span<const mutable_byte_span> room) {
      list_page_writer w(room);
      CHECK(w.add(bytes_of("x")));
      CHECK(w.add(bytes_of(long_key)));
      CHECK(w.add(bytes_of("yz")));
      w.finish();
      return w.bytes();
    };
    const std::size_t bytes = fill(one);
    for (std::size_t piece = 1; piece < 12; ++piece) {
      std::vector<std::byte> m(600);
      std::vector<mutable_byte_span> pieces;
      for (std::size_t at = 0; at < 600; at += piece) pieces.push_back({m.data() + at, std::min(piece, 600 - at)});
      CHECK(fill({pieces.data(), pieces.size()}) == bytes);
      CHECK(std::memcmp(m.data(), whole.data(), bytes) == 0);
    }
  }

  TEST_CASE("page: no room at all -> nothing written") {
    list_page_writer w;
    CHECK(!w.add(bytes_of("a")));
    w.finish();
    CHECK(w.keys() == 0);
  }
}
