// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/async_event.hpp>

#include <doctest/doctest.h>

using namespace nkv;
using host::async_event;

TEST_SUITE("host/controller/async_event") {
  TEST_CASE("from_dw0: type in bits 2:0, information in 15:8, log page in 23:16") {
    const async_event e = async_event::from_dw0(0xff04'0302);
    CHECK(e.type == async_event::type_code::notice);
    CHECK(e.information == 3);
    CHECK(e.log_page == 4);
    CHECK(!e.namespaces_changed());
    CHECK(async_event::from_dw0(0x0004'0002).namespaces_changed());
    CHECK(!async_event::from_dw0(0x0001'0000).namespaces_changed());
    CHECK(async_event::from_dw0(0xfffffff8).type == async_event::type_code::error);
  }
}
