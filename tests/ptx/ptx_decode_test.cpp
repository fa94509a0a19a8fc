// SPDX-License-Identifier: BSD-3-Clause
//
// What each instruction computes, against values worked out by hand from the PTX ISA.
#include "ptx/ptx_decode.hpp"

#include "ptx/ptx_text.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

using nkv_test::ptx_answer;
using nkv_test::ptx_entry;
using nkv_test::ptx_error;
using nkv_test::ptx_expression;
using nkv_test::run_text;

namespace {

struct example {
  const char* body;
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t c;
  std::uint64_t expected;
};

void check(const example& e) {
  std::string body = e.body;
  // Results of 32 and 16 bits and of predicates are looked at as 64-bit words.
  if (body.find("%d0") == std::string::npos) {
    if (body.find("%r0") != std::string::npos) {
      body += " cvt.u64.u32 %d0, %r0;";
    } else if (body.find("%h0") != std::string::npos) {
      body += " cvt.u64.u16 %d0, %h0;";
    } else {
      body += " selp.u64 %d0, 1, 0, %p0;";
    }
  }
  CAPTURE(body);
  const ptx_answer r = run_text(ptx_expression(body), 1, e.a, e.b, e.c);
  CHECK_MESSAGE(r.result.finished(), r.result.error);
  CHECK(r.words[0] == e.expected);
}

constexpr std::uint64_t m1 = ~std::uint64_t{0};
constexpr std::uint64_t min64 = std::uint64_t{1} << 63;

}  // namespace

TEST_CASE("ptx: sums, products, quotients") {
  const example all[] = {
      {"add.u32 %r0, %r1, %r2;", 0xffffffff, 2, 0, 1},
      {"add.s64 %d0, %d1, %d2;", m1, 5, 0, 4},
      {"add.s16 %h0, %h1, -1;", 0, 0, 0, 0xffff},
      {"sub.s32 %r0, %r1, %r2;", 1, 2, 0, 0xffffffff},
      {"add.cc.u32 %r5, %r1, %r2; addc.u32 %r0, 7, 0;", 0xffffffff, 1, 0, 8},
      {"add.cc.u32 %r5, %r1, %r2; addc.u32 %r0, 7, 0;", 0xfffffffe, 1, 0, 7},
      {"add.cc.u64 %d5, %d1, %d2; addc.cc.u64 %d6, %d1, 0; addc.u64 %d0, 0, 0;", m1, 1, 0, 1},
      {"sub.cc.u64 %d5, %d1, %d2; subc.u64 %d0, 5, 0;", 0, 1, 0, 4},
      {"sub.cc.s32 %r5, %r1, %r2; subc.s32 %r0, 5, 0;", 3, 3, 0, 5},
      {"mad.lo.cc.u32 %r5, %r1, %r2, %r3; madc.hi.u32 %r0, %r1, %r2, 0;", 0x10000, 0x10000, 5, 1},
      {"mad.lo.cc.u32 %r5, %r1, %r2, %r3; madc.hi.u32 %r0, %r1, %r2, 0;", 0xffffffff, 1, 1, 1},
      {"mul.lo.s32 %r0, %r1, %r2;", 0xffffffff, 7, 0, 0xfffffff9},
      {"mul.lo.u16 %h0, %h1, %h2;", 0xffff, 0xffff, 0, 1},
      {"mul.lo.s64 %d0, %d1, %d2;", m1, m1, 0, 1},
      {"mul.hi.u32 %r0, %r1, %r2;", 0xffffffff, 0xffffffff, 0, 0xfffffffe},
      {"mul.hi.s32 %r0, %r1, %r2;", 0xffffffff, 2, 0, 0xffffffff},
      {"mul.hi.u64 %d0, %d1, %d2;", m1, m1, 0, m1 - 1},
      {"mul.hi.s64 %d0, %d1, %d2;", m1, 2, 0, m1},
      {"mul.hi.s64 %d0, %d1, %d2;", min64, 2, 0, m1},
      {"mul.wide.u32 %d0, %r1, %r2;", 0xffffffff, 0xffffffff, 0, 0xfffffffe00000001u},
      {"mul.wide.s32 %d0, %r1, %r2;", 0xffffffff, 3, 0, m1 - 2},
      {"mul.wide.u16 %r0, %h1, %h2;", 0xffff, 0xffff, 0, 0xfffe0001},
      {"mul.wide.s16 %r0, %h1, %h2;", 0xffff, 2, 0, 0xfffffffe},
      {"mad.lo.s32 %r0, %r1, %r2, %r3;", 3, 4, 0xffffffff, 11},
      {"mad.hi.u32 %r0, %r1, %r2, %r3;", 0x80000000, 4, 5, 7},
      {"mad.wide.s32 %d0, %r1, %r2, %d3;", 0xffffffff, 2, 1, m1},
      {"div.u32 %r0, %r1, %r2;", 0xffffffff, 2, 0, 0x7fffffff},
      {"div.s32 %r0, %r1, %r2;", 0xfffffff9, 2, 0, 0xfffffffd},  // -7 / 2 is -3
      {"rem.s32 %r0, %r1, %r2;", 0xfffffff9, 2, 0, 0xffffffff},  // and leaves -1
      {"rem.s32 %r0, %r1, %r2;", 7, 0xfffffffe, 0, 1},
      {"div.s32 %r0, %r1, %r2;", 0x80000000, 0xffffffff, 0, 0x80000000},
      {"rem.s64 %d0, %d1, %d2;", min64, m1, 0, 0},
      {"div.u64 %d0, %d1, %d2;", m1, 3, 0, 0x5555555555555555u},
      {"rem.u16 %h0, %h1, %h2;", 1000, 7, 0, 6},
      {"abs.s32 %r0, %r1;", 0xfffffff9, 0, 0, 7},
      {"abs.s32 %r0, %r1;", 0x80000000, 0, 0, 0x80000000},
      {"neg.s64 %d0, %d1;", 1, 0, 0, m1},
      {"neg.s16 %h0, %h1;", 2, 0, 0, 0xfffe},
      {"min.s32 %r0, %r1, %r2;", 0xffffffff, 1, 0, 0xffffffff},
      {"min.u32 %r0, %r1, %r2;", 0xffffffff, 1, 0, 1},
      {"max.s64 %d0, %d1, %d2;", m1, 1, 0, 1},
      {"max.u64 %d0, %d1, %d2;", m1, 1, 0, m1},
      {"max.s16 %h0, %h1, %h2;", 0x8000, 3, 0, 3},
      {"sad.u32 %r0, %r1, %r2, %r3;", 3, 10, 100, 107},
      {"sad.s32 %r0, %r1, %r2, %r3;", 0xffffffff, 1, 0, 2},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: bits") {
  const example all[] = {
      {"and.b32 %r0, %r1, %r2;", 0xff00ff00, 0x0ff00ff0, 0, 0x0f000f00},
      {"or.b64 %d0, %d1, %d2;", 1, min64, 0, min64 + 1},
      {"xor.b16 %h0, %h1, %h2;", 0xff, 0xf0, 0, 0x0f},
      {"not.b32 %r0, %r1;", 0, 0, 0, 0xffffffff},
      {"not.b16 %h0, %h1;", 1, 0, 0, 0xfffe},
      {"cnot.b32 %r0, %r1;", 0, 0, 0, 1},
      {"cnot.b32 %r0, %r1;", 9, 0, 0, 0},
      {"popc.b32 %r0, %r1;", 0xf000000f, 0, 0, 8},
      {"popc.b64 %r0, %d1;", m1, 0, 0, 64},
      {"clz.b32 %r0, %r1;", 0, 0, 0, 32},
      {"clz.b64 %r0, %d1;", 1, 0, 0, 63},
      {"brev.b32 %r0, %r1;", 1, 0, 0, 0x80000000},
      {"brev.b64 %d0, %d1;", 2, 0, 0, std::uint64_t{1} << 62},
      {"bfind.u32 %r0, %r1;", 0, 0, 0, 0xffffffff},
      {"bfind.u32 %r0, %r1;", 0x80000000, 0, 0, 31},
      {"bfind.s32 %r0, %r1;", 0xffffffff, 0, 0, 0xffffffff},
      {"bfind.s32 %r0, %r1;", 0xfffffff0, 0, 0, 3},
      {"bfind.shiftamt.u32 %r0, %r1;", 1, 0, 0, 31},
      {"bfind.shiftamt.u64 %r0, %d1;", 1, 0, 0, 63},
      {"shl.b32 %r0, %r1, %r2;", 1, 31, 0, 0x80000000},
      {"shl.b32 %r0, %r1, %r2;", 1, 32, 0, 0},
      {"shl.b64 %d0, %d1, %r2;", 1, 63, 0, min64},
      {"shl.b64 %d0, %d1, %r2;", 1, 64, 0, 0},
      {"shl.b16 %h0, %h1, %r2;", 0x8001, 1, 0, 2},
      {"shr.u32 %r0, %r1, %r2;", 0x80000000, 31, 0, 1},
      {"shr.u32 %r0, %r1, %r2;", 0x80000000, 300, 0, 0},
      {"shr.s32 %r0, %r1, %r2;", 0x80000000, 300, 0, 0xffffffff},
      {"shr.s32 %r0, %r1, %r2;", 0x80000000, 4, 0, 0xf8000000},
      {"shr.s64 %d0, %d1, %r2;", min64, 64, 0, m1},
      {"shr.b64 %d0, %d1, %r2;", min64, 63, 0, 1},
      {"shr.s16 %h0, %h1, %r2;", 0x8000, 15, 0, 0xffff},
      {"shf.l.wrap.b32 %r0, %r1, %r2, %r3;", 0x80000000, 1, 33, 3},
      {"shf.l.clamp.b32 %r0, %r1, %r2, %r3;", 0x80000005, 1, 33, 0x80000005},
      {"shf.r.wrap.b32 %r0, %r1, %r2, %r3;", 2, 1, 1, 0x80000001},
      {"shf.r.clamp.b32 %r0, %r1, %r2, %r3;", 2, 7, 40, 7},
      {"prmt.b32 %r0, %r1, %r2, %r3;", 0x33221100, 0x77665544, 0x7531, 0x77553311},
      {"prmt.b32 %r0, %r1, %r2, %r3;", 0x33228100, 0x77665544, 0x8889, 0x000000ff},
      {"lop3.b32 %r0, %r1, %r2, %r3, 0x80;", 0xff, 0x3f, 0x0f, 0x0f},  // a & b & c
      {"lop3.b32 %r0, %r1, %r2, %r3, 0x96;", 0xff, 0x3f, 0x0f, 0xcf},  // a ^ b ^ c
      {"lop3.b32 %r0, %r1, %r2, %r3, 0xca;", 0xf0, 0xaa, 0x55, 0xa5},  // a ? b : c
      {"fns.b32 %r0, %r1, %r2, %r3;", 0xa4, 0, 2, 5},
      {"fns.b32 %r0, %r1, %r2, %r3;", 0xa4, 6, 0xffffffff, 5},
      {"fns.b32 %r0, %r1, %r2, %r3;", 0xa4, 0, 4, 0xffffffff},
      {"fns.b32 %r0, %r1, %r2, %r3;", 0xa4, 7, 0, 7},
      {"bfe.u32 %r0, %r1, %r2, %r3;", 0xabcd1234, 8, 8, 0x12},
      {"bfe.s32 %r0, %r1, %r2, %r3;", 0x0000f000, 12, 4, 0xffffffff},
      {"bfe.s32 %r0, %r1, %r2, %r3;", 0x80000000, 28, 16, 0xfffffff8},
      {"bfe.s32 %r0, %r1, %r2, %r3;", 0xffffffff, 3, 0, 0},
      {"bfe.u64 %d0, %d1, %r2, %r3;", m1, 60, 10, 15},
      {"bfi.b32 %r0, %r1, %r2, 8, %r3;", 0xff, 0, 4, 0xf00},
      {"bfi.b32 %r0, %r1, %r2, 28, %r3;", 0xff, 1, 8, 0xf0000001},
      {"bfi.b32 %r0, %r1, %r2, 8, %r3;", 0xff, 7, 0, 7},
      {"bfi.b64 %d0, %d1, %d2, 32, 32;", 0x12345678, 9, 0, 0x1234567800000009u},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: comparison, choice, predicates") {
  const example all[] = {
      {"setp.lt.s32 %p0, %r1, %r2;", 0xffffffff, 0, 0, 1},
      {"setp.lt.u32 %p0, %r1, %r2;", 0xffffffff, 0, 0, 0},
      {"setp.lo.u32 %p0, %r1, %r2;", 1, 2, 0, 1},
      {"setp.hs.u64 %p0, %d1, %d2;", m1, 2, 0, 1},
      {"setp.ge.s64 %p0, %d1, %d2;", m1, 2, 0, 0},
      {"setp.le.s16 %p0, %h1, %h2;", 0xffff, 0, 0, 1},
      {"setp.gt.u16 %p0, %h1, %h2;", 0xffff, 0, 0, 1},
      {"setp.eq.b64 %p0, %d1, %d2;", 5, 5, 0, 1},
      {"setp.ne.s32 %p0, %r1, 0;", 5, 0, 0, 1},
      {"setp.eq.s32 %p1|%p0, %r1, 5;", 5, 0, 0, 0},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.and.s32 %p0, %r1, 5, %p1;", 5, 0, 0, 1},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.and.s32 %p0, %r1, 5, !%p1;", 5, 0, 0, 0},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.or.s32 %p0, %r1, 5, %p1;", 6, 0, 0, 1},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.xor.s32 %p0, %r1, 5, %p1;", 5, 0, 0, 0},
      {"setp.eq.s32 %p1, 1, 0; not.pred %p0, %p1;", 0, 0, 0, 1},
      {"setp.eq.s32 %p1, 1, 0; setp.eq.s32 %p2, 1, 1; or.pred %p0, %p1, %p2;", 0, 0, 0, 1},
      {"setp.eq.s32 %p1, 1, 0; setp.eq.s32 %p2, 1, 1; and.pred %p0, %p1, %p2;", 0, 0, 0, 0},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.s32 %p2, 1, 1; xor.pred %p0, %p1, %p2;", 0, 0, 0, 0},
      {"setp.eq.s32 %p1, 1, 1; mov.pred %p0, %p1;", 0, 0, 0, 1},
      {"mov.pred %p0, -1;", 0, 0, 0, 1},
      {"setp.eq.s32 %p1, %r1, 1; selp.b32 %r0, %r2, %r3, %p1;", 1, 20, 30, 20},
      {"setp.eq.s32 %p1, %r1, 1; selp.b32 %r0, %r2, %r3, %p1;", 0, 20, 30, 30},
      {"slct.u32.s32 %r0, %r1, %r2, %r3;", 1, 2, 0xffffffff, 2},
      {"slct.u64.s32 %d0, %d1, %d2, %r3;", 1, 2, 0, 1},
      {"setp.eq.s32 %p1, %r1, 1; mov.u32 %r0, 4; @%p1 mov.u32 %r0, 5;", 1, 0, 0, 5},
      {"setp.eq.s32 %p1, %r1, 1; mov.u32 %r0, 4; @!%p1 mov.u32 %r0, 5;", 1, 0, 0, 4},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: moves and conversions") {
  const example all[] = {
      {"cvt.s64.s32 %d0, %r1;", 0xffffffff, 0, 0, m1},
      {"cvt.u64.u32 %d0, %r1;", 0xffffffff, 0, 0, 0xffffffff},
      {"cvt.s32.s8 %r0, %r1;", 0x180, 0, 0, 0xffffff80},
      {"cvt.u32.u8 %r0, %r1;", 0x180, 0, 0, 0x80},
      {"cvt.s16.s8 %h0, %h1;", 0xff, 0, 0, 0xffff},
      {"cvt.u16.u32 %h0, %r1;", 0x12345678, 0, 0, 0x5678},
      {"cvt.u32.s16 %r0, %h1;", 0x8000, 0, 0, 0xffff8000},
      {"cvt.s8.s32 %r0, %r1;", 0xff, 0, 0, 0xffffffff},
      {"cvt.u8.u32 %r0, %r1;", 0x1ff, 0, 0, 0xff},
      {"mov.b64 %d0, {%r1, %r2};", 5, 6, 0, 0x600000005u},
      {"mov.b32 %r0, {%h1, %h2};", 5, 6, 0, 0x60005},
      {"mov.b64 {%r5, %r0}, %d1;", 0x1234567890abcdefu, 0, 0, 0x12345678},
      {"mov.b64 {%r0, _}, %d1;", 0x1234567890abcdefu, 0, 0, 0x90abcdef},
      {"mov.b32 {%h0, %h4}, %r1;", 0x12345678, 0, 0, 0x5678},
      {"mov.u32 %r0, 0x80000001U;", 0, 0, 0, 0x80000001},
      {"mov.u64 %d0, -1;", 0, 0, 0, m1},
      {"mov.u32 %r0, WARP_SZ;", 0, 0, 0, 32},
      {"mov.f32 %r0, 0f3F800000;", 0, 0, 0, 0x3f800000},
      {"{ .reg .b32 %r1; mov.u32 %r1, 9; } mov.u32 %r0, %r1;", 3, 0, 0, 3},  // a scope has registers of its own
      {"mov.u32 %r0, 1; bra.uni L; mov.u32 %r0, 2; L:", 0, 0, 0, 1},
      {"mov.u32 %r0, 1; { bra L; mov.u32 %r0, 2; L: } add.u32 %r0, %r0, 4; { bra L; mov.u32 %r0, 2; L: }", 0, 0, 0, 5},
      {"T: .branchtargets A, B; brx.idx %r1, T; A: mov.u32 %r0, 7; bra E; B: mov.u32 %r0, 8; E:", 1, 0, 0, 8},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: memory of every width and space") {
  const example all[] = {
      {"st.global.u8 [%d9+3], 255; ld.global.u32 %r0, [%d9];", 0, 0, 0, 0xffeeeeee},
      {"st.u64 [%d9], %d1; ld.s8 %r0, [%d9];", 0x80, 0, 0, 0xffffff80},
      {"st.u64 [%d9], %d1; ld.s16 %d0, [%d9];", 0x8000, 0, 0, 0xffffffffffff8000u},
      {"st.u64 [%d9], %d1; ld.s32 %d0, [%d9+4];", min64, 0, 0, 0xffffffff80000000u},
      {"st.u64 [%d9], %d1; ld.u8 %h0, [%d9+1];", 0x1234, 0, 0, 0x12},
      {"st.v2.u32 [%d9], {%r1, %r2}; ld.u64 %d0, [%d9];", 7, 8, 0, 0x800000007u},
      {"st.v4.u16 [%d9], {%h1, %h2, %h3, 4}; ld.u64 %d0, [%d9];", 1, 2, 3, 0x4000300020001u},
      {"st.u64 [%d9], %d1; ld.v4.u8 {%r5, %r6, %r0, %r7}, [%d9];", 0x44332211, 0, 0, 0x33},
      {"st.u64 [%d9], %d1; ld.v2.u32 {_, %r0}, [%d9];", 0x4433221100000000u, 0, 0, 0x44332211},
      {"st.release.sys.b32 [%d9], %r1; ld.acquire.sys.b32 %r0, [%d9];", 6, 0, 0, 6},
      {"st.mmio.relaxed.sys.u32 [%d9], %r1; ld.mmio.relaxed.sys.u32 %r0, [%d9];", 6, 0, 0, 6},
      {"st.volatile.global.u32 [%d9], %r1; ld.relaxed.gpu.global.u32 %r0, [%d9];", 6, 0, 0, 6},
      {".local .align 8 .b8 m[16]; mov.u64 %d5, m; st.local.u32 [m+12], %r1; cvta.local.u64 %d6, %d5; ld.u32 %r0, "
       "[%d6+12];",
       6, 0, 0, 6},
      {".shared .align 4 .b8 m[16]; mov.u32 %r5, m; st.shared.u32 [%r5+8], %r1; ld.shared.u32 %r0, [m+8];", 6, 0, 0, 6},
      {".shared .align 8 .u64 m; mov.u64 %d5, m; cvta.shared.u64 %d6, %d5; st.u64 [%d6], %d1; cvta.to.shared.u64 %d7, "
       "%d6; ld.shared.u64 %d0, [%d7];",
       6, 0, 0, 6},
      {".shared .u64 m; mov.u64 %d5, m; cvta.shared.u64 %d6, %d5; isspacep.shared %p0, %d6;", 0, 0, 0, 1},
      {"isspacep.global %p0, %d9;", 0, 0, 0, 1},
      {"isspacep.local %p0, %d9;", 0, 0, 0, 0},
      {"mov.b64 %d5, a; ld.param.u32 %r0, [%d5+4];", 0x500000000u, 0, 0, 5},
      {"ld.param.v2.u32 {%r5, %r0}, [a];", 0x500000000u, 0, 0, 5},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: atomics give what was there") {
  struct atom {
    const char* op;
    std::uint64_t before, operand, after;
  };
  const atom words[] = {
      {"add.u32", 0xffffffff, 2, 1},
      {"add.acq_rel.sys.s32", 5, 0xffffffff, 4},
      {"exch.b32", 5, 6, 6},
      {"min.s32", 1, 0xffffffff, 0xffffffff},
      {"min.u32", 1, 0xffffffff, 1},
      {"max.s32", 1, 0xffffffff, 1},
      {"max.u32", 1, 0xffffffff, 0xffffffff},
      {"and.b32", 6, 3, 2},
      {"or.release.gpu.b32", 6, 1, 7},
      {"xor.b32", 6, 3, 5},
      {"inc.u32", 6, 7, 7},
      {"inc.u32", 7, 7, 0},
      {"inc.u32", 9, 7, 0},
      {"dec.u32", 0, 7, 7},
      {"dec.u32", 5, 7, 4},
      {"dec.u32", 9, 7, 7},
  };
  for (const atom& x : words) {
    const std::string op = x.op;
    check({("st.global.u32 [%d9], %r1; atom." + op + " %r0, [%d9], %r2;").c_str(), x.before, x.operand, 0, x.before});
    check({("st.global.u32 [%d9], %r1; atom.global." + op + " %r5, [%d9], %r2; ld.global.u32 %r0, [%d9];").c_str(),
           x.before, x.operand, 0, x.after});
    if (op.find("exch") == std::string::npos)
      check({("st.global.u32 [%d9], %r1; red." + op + " [%d9], %r2; ld.global.u32 %r0, [%d9];").c_str(), x.before,
             x.operand, 0, x.after});
  }
  const example all[] = {
      {"st.u64 [%d9], %d1; atom.cas.b64 %d0, [%d9], %d2, %d3;", 5, 5, 6, 5},
      {"st.u64 [%d9], %d1; atom.cas.b64 %d5, [%d9], %d2, %d3; ld.u64 %d0, [%d9];", 5, 5, 6, 6},
      {"st.u64 [%d9], %d1; atom.cas.b64 %d5, [%d9], %d2, %d3; ld.u64 %d0, [%d9];", 5, 4, 6, 5},
      {"st.u64 [%d9], %d1; atom.acquire.cta.add.u64 %d5, [%d9], %d2; ld.u64 %d0, [%d9];", m1, 2, 0, 1},
      {"st.u64 [%d9], %d1; atom.cas.b16 %h5, [%d9], %h2, %h3; ld.u64 %d0, [%d9];", 0x10005, 5, 6, 0x10006},
      {".shared .u32 m; st.shared.u32 [m], 1; atom.shared.add.u32 %r5, [m], 2; ld.shared.u32 %r0, [m];", 0, 0, 0, 3},
  };
  for (const example& e : all) check(e);
}

TEST_CASE("ptx: what is not known is refused, with its line") {
  const char* texts[] = {
      "frobnicate.u32 %r0, %r1, %r2;",
      "add.rn.u32 %r0, %r1, %r2;",
      "add.sat.s32 %r0, %r1, %r2;",
      "add.f32 %r0, %r1, %r2;",
      "add.u128 %d0, %d1, %d2;",
      "add.u8 %r0, %r1, %r2;",
      "add.u32 %d0, %r1, %r2;",
      "add.u32 %r0, %h1, %r2;",
      "add.u32 %r0, %r1;",
      "add.u32 %r0, %r1, %nothing;",
      "mov.u32 %r0, %smid;",
      "mov.u32 %r0, nothing;",
      "ld.global.relaxed.u32 %r0, [%d9];",
      "ld.mmio.u32 %r0, [%d9];",
      "ld.strange.u32 %r0, [%d9];",
      "ld.v3.u32 {%r0, %r1, %r2}, [%d9];",
      "ld.v4.u64 {%d0, %d1, %d2, %d3}, [%d9];",
      "st.global.u32 [%d9], %h1;",
      "atom.add.f32 %r0, [%d9], %r1;",
      "atom.local.add.u32 %r0, [%d9], %r1;",
      "red.exch.b32 [%d9], %r1;",
      "fence.sys;",
      "fence.proxy.async;",
      "membar.strange;",
      "setp.equ.s32 %p0, %r1, %r2;",
      "setp.lt.b32 %p0, %r1, %r2;",
      "shfl.idx.b32 %r0, %r1, 0, 31;",
      "bra nowhere;",
      "call nothing;",
      ".reg .b128 %q0;",
      ".strange .u32 x;",
      "mul.u32 %r0, %r1, %r2;",
      "cvt.rni.s32.f32 %r0, %r1;",
      "tex.1d.v4.f32.s32 {%r0}, [x, {%r1}];",
  };
  for (const char* t : texts) {
    CAPTURE(t);
    bool refused = false;
    const std::string text = ptx_expression(std::string("\n") + t);
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find(t)), '\n');
    try {
      static_cast<void>(run_text(text));
    } catch (const ptx_error& e) {
      refused = true;
      CAPTURE(e.what());
      CHECK(std::string(e.what()).find("line " + std::to_string(line) + ": ") == 0);
    }
    CHECK(refused);
  }
  CHECK_THROWS_WITH_AS(static_cast<void>(run_text(".version 8.7\n.strange 5\n")), "line 2: unknown directive .strange",
                       ptx_error);
}

TEST_CASE("ptx: functions have frames of their own, recursion included") {
  const std::string before = R"(
.func (.param .b32 result) sum(.param .b32 n);
.func (.param .b32 result) sum(.param .b32 n)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .local .align 4 .b8 m[4];
  ld.param.u32 %r1, [n];
  mov.u32 %r3, %r1;
  setp.eq.s32 %p1, %r1, 0;
  @%p1 bra L;
  st.local.u32 [m], %r1;
  add.s32 %r2, %r1, -1;
  {
  .param .b32 param0;
  st.param.b32 [param0+0], %r2;
  .param .b32 retval0;
  call.uni (retval0), sum, (param0);
  ld.param.b32 %r3, [retval0+0];
  }
  ld.local.u32 %r4, [m];
  add.s32 %r3, %r3, %r4;
L:
  st.param.b32 [result+0], %r3;
  ret;
}
)";
  const std::string body = R"(
  {
  .param .b32 param0;
  st.param.b32 [param0+0], %r1;
  .param .b32 retval0;
  call.uni (retval0), sum, (param0);
  ld.param.b32 %r0, [retval0+0];
  }
  cvt.u64.u32 %d0, %r0;
  st.global.u64 [%d9], %d0;)";
  const ptx_answer r = run_text(ptx_entry(body, before), 3, 100);
  CHECK_MESSAGE(r.result.finished(), r.result.error);
  for (const std::uint64_t w : r.words) CHECK(w == 5050);
  const ptx_answer deep = run_text(ptx_entry(body, before), 1, 100000);
  CHECK_FALSE(deep.result.finished());
  CHECK(deep.result.error.find("the stack is used up") != std::string::npos);
}

TEST_CASE("ptx: variables of a module hold what they are declared with") {
  const std::string before =
      ".global .align 4 .b8 t[8] = {1, 0, 0, 0, 5};\n.const .u32 k2[2] = {7, -1};\n.global .u64 p = generic(t);\n";
  const ptx_answer r =
      run_text(ptx_entry("ld.global.u64 %d5, [p]; ld.u32 %r5, [%d5+4]; ld.const.u32 %r6, [k2+4]; mov.b64 "
                         "%d0, {%r5, %r6}; st.global.u64 [%d9], %d0;",
                         before));
  CHECK_MESSAGE(r.result.finished(), r.result.error);
  CHECK(r.words[0] == 0xffffffff00000005u);
}
