// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/sqe.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::data_pointer;
using nkv::sgl_descriptor;
using nkv::sqe;
using nkv_test::bytes_of;
using nkv_test::hex;

namespace {

constexpr sqe with_every_field() {
  sqe c;
  c.set_opc(nkv::kv_opcode::execute);
  c.set_cid(0x2221);
  c.set_nsid(0x34333231);
  c.set_dptr(data_pointer::sgl(sgl_descriptor::data_block(0x6867666564636261, 0x6c6b6a69)));
  for (const unsigned n : {2u, 3u, 10u, 11u, 12u, 13u, 14u, 15u}) c.set_cdw(n, 0x04030201u + n * 0x10101010u);
  return c;
}

}  // namespace

TEST_SUITE("spec/sqe") {
  static_assert(std::is_trivially_copyable_v<sqe> && sizeof(sqe) == 64 && alignof(sqe) == 64);
  static_assert(bytes_of(sqe{}.dw) == nkv_test::block<64>{});

  // Opcode and PSDT 01b with FUSE 0, CID, NSID, CDW2, CDW3, MPTR untouched, the descriptor, CDW10 to 15.
  static_assert(bytes_of(with_every_field().dw) ==
                hex<64>("83402122 31323334 21222324 31323334 -------- -------- 61626364 65666768 "
                        "696a6b6c ------00 a1a2a3a4 b1b2b3b4 c1c2c3c4 d1d2d3d4 e1e2e3e4 f1f2f3f4"));

  TEST_CASE("accessors: every field -> what was set") {
    const sqe c = with_every_field();
    CHECK(c.opc() == 0x83);
    CHECK(c.cid() == 0x2221);
    CHECK(c.nsid() == 0x34333231);
    CHECK(c.fuse() == 0);
    CHECK(c.mptr() == 0);
    CHECK(c.data_format() == nkv::psdt::sgl);
    CHECK(c.dptr().low == 0x6867666564636261);
    CHECK(c.dptr().sgl1().length_bytes == 0x6c6b6a69);
    CHECK(c.cdw(15) == 0xf4f3f2f1);
  }

  TEST_CASE("accessors: hostile bytes -> the fields of the specification") {
    sqe c;
    c.dw[0] = 0x2221c302;
    c.dw[4] = 0x44434241;
    c.dw[5] = 0x48474645;
    CHECK(c.opc() == 2);
    CHECK(c.fuse() == 3);
    CHECK(static_cast<unsigned>(c.data_format()) == 3);
    CHECK(c.mptr() == 0x4847464544434241);
  }

  TEST_CASE("setters: twice -> the second value alone, the neighbours untouched") {
    sqe c;
    c.dw[0] = 0xffffffff;
    c.set_opc(std::uint8_t{0x01});
    CHECK(c.dw[0] == 0xffffff01);
    c.set_cid(0x1234);
    CHECK(c.dw[0] == 0x1234ff01);
    c.set_dptr(data_pointer::prp(1, 2));
    CHECK(c.dw[0] == 0x12343f01);
    c.set_dptr(data_pointer::sgl(sgl_descriptor::data_block(3, 4)));
    CHECK(c.dw[0] == 0x12347f01);
    CHECK(c.dptr().low == 3);
    c.set_dptr(data_pointer::prp(5));
    CHECK(c.dptr().low == 5);
    CHECK(c.dptr().high == 0);
    CHECK(c.data_format() == nkv::psdt::prp);
  }
}
