// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/namespace_info.hpp>

#include <doctest/doctest.h>

using namespace nkv;
using host::namespace_info;

TEST_SUITE("host/controller/namespace_info") {
  TEST_CASE("is_kv: CSI 1 alone, and not while it is unknown") {
    namespace_info info;
    CHECK(!info.is_kv());
    info.csi = 0;
    CHECK(!info.is_kv());
    info.csi = 1;
    CHECK(info.is_kv());
    info.csi = 2;
    CHECK(!info.is_kv());
    info.csi = 257;
    CHECK(!info.is_kv());
  }
}
