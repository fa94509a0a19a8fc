// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/sgl.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <type_traits>

using nkv::sgl_descriptor;
using nkv::sgl_type;
using nkv_test::block;
using nkv_test::hex;

namespace {

block<16> in_memory(const sgl_descriptor& d) {
  block<16> out{};
  std::memcpy(out.bytes, &d, 16);
  return out;
}

}  // namespace

TEST_SUITE("spec/sgl") {
  static_assert(std::is_trivially_copyable_v<sgl_descriptor> && sizeof(sgl_descriptor) == 16);
  static_assert(sgl_descriptor::data_block(1, 2).type() == sgl_type::data_block);

  TEST_CASE("descriptors: in memory -> address, length, three zero bytes, type and subtype") {
    CHECK(in_memory(sgl_descriptor::data_block(0x8877665544332211, 0x0ccbbaa9)) ==
          hex<16>("1122334455667788 a9bacb0c ------ 00"));
    CHECK(in_memory(sgl_descriptor::segment(0x1000, 256)) == hex<16>("0010------------ 00100000 ------ 20"));
    CHECK(in_memory(sgl_descriptor::last_segment(0x1000, 2)) == hex<16>("0010------------ 20000000 ------ 30"));
    CHECK(in_memory(sgl_descriptor{}) == block<16>{});
  }

  TEST_CASE("type and subtype: every identifier -> its two halves") {
    for (unsigned identifier = 0; identifier < 256; ++identifier) {
      sgl_descriptor d;
      d.identifier = static_cast<std::uint8_t>(identifier);
      CHECK(static_cast<unsigned>(d.type()) == identifier / 16);
      CHECK(d.subtype() == identifier % 16);
    }
  }
}
