// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/request.hpp>

#include <doctest/doctest.h>

using namespace nkv;

TEST_SUITE("target/request") {
  TEST_CASE("request: empty when made, the SQE where it can be copied in one piece") {
    target::request r;
    CHECK(r.ns == nullptr);
    CHECK(r.op.home == nullptr);
    CHECK(r.data.bytes() == 0);
    CHECK(r.reply.status.ok());
    CHECK(reinterpret_cast<std::uintptr_t>(&r.command) % 64 == 0);
    CHECK(sizeof r.head == 257);
  }
}
