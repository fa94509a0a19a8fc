// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/data_pointer.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using nkv::data_pointer;
using nkv::psdt;
using nkv::sgl_descriptor;
using nkv::sgl_type;

TEST_SUITE("spec/data_pointer") {
  static_assert(data_pointer{}.low == 0 && data_pointer{}.high == 0 && data_pointer{}.format == psdt::prp);
  static_assert(static_cast<unsigned>(psdt::prp) == 0 && static_cast<unsigned>(psdt::sgl) == 1 &&
                static_cast<unsigned>(psdt::sgl_metadata_segment) == 2);

  TEST_CASE("prp: one and two entries -> as they are") {
    constexpr data_pointer one = data_pointer::prp(0x1122334455667000);
    CHECK(one.low == 0x1122334455667000);
    CHECK(one.high == 0);
    CHECK(one.format == psdt::prp);
    constexpr data_pointer two = data_pointer::prp(1, 2);
    CHECK(two.low == 1);
    CHECK(two.high == 2);
  }

  TEST_CASE("sgl: a descriptor -> its 16 bytes in the two halves, and back") {
    constexpr data_pointer block = data_pointer::sgl(sgl_descriptor::data_block(0x1122334455667788, 0x99aabbcc));
    CHECK(block.low == 0x1122334455667788);
    CHECK(block.high == 0x0000000099aabbcc);
    CHECK(block.format == psdt::sgl);
    constexpr data_pointer last = data_pointer::sgl(sgl_descriptor::last_segment(0x1000, 2));
    CHECK(last.high == 0x3000000000000020);
    CHECK(last.sgl1().address == 0x1000);
    CHECK(last.sgl1().length_bytes == 32);
    CHECK(last.sgl1().type() == sgl_type::last_segment);
    CHECK(block.sgl1().type() == sgl_type::data_block);
    CHECK(block.sgl1().length_bytes == 0x99aabbcc);
  }
}
