// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/endian.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>

using nkv_test::block;
using nkv_test::hex;

namespace {

template <class T>
constexpr block<sizeof(T)> le(T value) {
  block<sizeof(T)> out{};
  nkv::store_le(out.bytes, value);
  return out;
}

template <class T>
constexpr block<sizeof(T)> be(T value) {
  block<sizeof(T)> out{};
  nkv::store_be(out.bytes, value);
  return out;
}

}  // namespace

TEST_SUITE("base/endian") {
  static_assert(le(std::uint8_t{0xfe}) == hex<1>("fe"));
  static_assert(le(std::uint16_t{0x0102}) == hex<2>("02 01"));
  static_assert(le(std::uint32_t{0xf1020304}) == hex<4>("04 03 02 f1"));
  static_assert(le(std::uint64_t{0xf102030405060708}) == hex<8>("08 07 06 05 04 03 02 f1"));
  static_assert(be(std::uint16_t{0x0102}) == hex<2>("01 02"));
  static_assert(be(std::uint32_t{0xf1020304}) == hex<4>("f1 02 03 04"));
  static_assert(be(std::uint64_t{0xf102030405060708}) == hex<8>("f1 02 03 04 05 06 07 08"));
  static_assert(nkv::load_le<std::uint8_t>(hex<1>("fe").bytes) == 0xfe);
  static_assert(nkv::load_le<std::uint16_t>(hex<2>("02 81").bytes) == 0x8102);
  static_assert(nkv::load_le<std::uint32_t>(hex<4>("04 03 02 f1").bytes) == 0xf1020304);
  static_assert(nkv::load_le<std::uint64_t>(hex<8>("08 07 06 05 04 03 02 f1").bytes) == 0xf102030405060708);

  TEST_CASE("load and store: at every odd address -> the same integer, the neighbours untouched") {
    for (std::size_t at = 1; at < 9; ++at) {
      std::byte buffer[18];
      std::memset(buffer, 0xa5, sizeof buffer);
      nkv::store_le(buffer + at, std::uint64_t{0x8877665544332211});
      CHECK(nkv::load_le<std::uint64_t>(buffer + at) == 0x8877665544332211);
      CHECK(buffer[at] == std::byte{0x11});
      CHECK(buffer[at + 7] == std::byte{0x88});
      CHECK(buffer[at - 1] == std::byte{0xa5});
      CHECK(buffer[at + 8] == std::byte{0xa5});
    }
  }

  TEST_CASE("load and store: when it runs -> as in constant expressions, for every width") {
    CHECK(le(std::uint8_t{0xfe}) == hex<1>("fe"));
    CHECK(le(std::uint16_t{0x8102}) == hex<2>("02 81"));
    CHECK(le(std::uint32_t{0xf1020304}) == hex<4>("04 03 02 f1"));
    CHECK(le(std::uint64_t{0xf102030405060708}) == hex<8>("08 07 06 05 04 03 02 f1"));
    CHECK(be(std::uint8_t{0xfe}) == hex<1>("fe"));
    CHECK(be(std::uint16_t{0x8102}) == hex<2>("81 02"));
    CHECK(be(std::uint32_t{0xf1020304}) == hex<4>("f1 02 03 04"));
    CHECK(be(std::uint64_t{0xf102030405060708}) == hex<8>("f1 02 03 04 05 06 07 08"));
    const block<8> bytes = hex<8>("08 07 06 05 04 03 02 f1");
    CHECK(nkv::load_le<std::uint8_t>(bytes.bytes) == 0x08);
    CHECK(nkv::load_le<std::uint16_t>(bytes.bytes) == 0x0708);
    CHECK(nkv::load_le<std::uint32_t>(bytes.bytes) == 0x05060708);
    CHECK(nkv::load_le<std::uint64_t>(bytes.bytes) == 0xf102030405060708);
  }
}
