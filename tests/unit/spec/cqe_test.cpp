// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::client_status;
using nkv::cqe;
using nkv::status;
using nkv::status_code_type;
using nkv_test::bytes_of;
using nkv_test::hex;

TEST_SUITE("spec/cqe") {
  static_assert(std::is_trivially_copyable_v<cqe> && sizeof(cqe) == 16);

  // DW0, reserved, SQHD and SQID, CID and the status field: P, SC 87h, SCT 1, DNR.
  static_assert(bytes_of(cqe::make(0x04030201, 0x1211, 0x1413, 0x2221,
                                   status{status_code_type::command_specific, 0x87, true}, true)
                             .dw) == hex<16>("01020304 -------- 11121314 21220f83"));
  static_assert(bytes_of(cqe::make(0, 0, 0, 0xffff, status{}, false).dw) ==
                hex<16>("-------- -------- -------- ffff----"));
  static_assert(bytes_of(cqe{}.dw) == nkv_test::block<16>{});

  TEST_CASE("fields: an entry from its bytes -> each at its place") {
    cqe c;
    c.dw[0] = 0x04030201;
    c.dw[1] = 0x08070605;
    c.dw[2] = 0x14131211;
    c.dw[3] = 0x830f2221;
    CHECK(c.dw0() == 0x04030201);
    CHECK(c.dw1() == 0x08070605);
    CHECK(c.sqhd() == 0x1211);
    CHECK(c.sqid() == 0x1413);
    CHECK(c.cid() == 0x2221);
    CHECK(c.status_field() == 0x830f);
    CHECK(c.phase());
    CHECK(c.status() == status(status_code_type::command_specific, 0x87));
    CHECK(c.status().dnr());
    c.dw[3] = 0x830e2221;
    CHECK_FALSE(c.phase());
    CHECK(c.status() == status(status_code_type::command_specific, 0x87));
  }

  TEST_CASE("make: every type and code -> comes back as it went in") {
    for (unsigned sct = 0; sct < 8; ++sct)
      for (unsigned sc = 0; sc < 256; ++sc)
        for (unsigned bits = 0; bits < 4; ++bits) {
          const status s{static_cast<status_code_type>(sct), static_cast<std::uint8_t>(sc), (bits & 1) != 0};
          const cqe c = cqe::make(1, 2, 3, 4, s, (bits & 2) != 0);
          if (!(c.status() == s) || c.status().dnr() != s.dnr() || c.phase() != ((bits & 2) != 0) || c.cid() != 4)
            FAIL("sct " << sct << " sc " << sc);
        }
  }

  TEST_CASE("make: a client status -> never carries out its type's bits") {
    // Client statuses have no wire form; what comes out must at least leave DNR, M and CRD alone.
    const cqe c = cqe::make(0, 0, 0, 0, status{client_status::system_error, 0xffff}, false);
    CHECK((c.status_field() & 0xf000u) == 0);
  }
}
