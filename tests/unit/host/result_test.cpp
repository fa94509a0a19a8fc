// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <utility>

using namespace nkv;

namespace {

host::result<std::unique_ptr<int>> make(bool good) {
  if (!good) return status(client_status::busy);
  return std::make_unique<int>(7);
}

}  // namespace

TEST_SUITE("host/result") {
  TEST_CASE("a value that only moves comes out by moving") {
    host::result<std::unique_ptr<int>> r = make(true);
    REQUIRE(r.has_value());
    CHECK(r.error().ok());
    CHECK(**r == 7);
    CHECK(*r->get() == 7);
    const std::unique_ptr<int> p = *std::move(r);
    CHECK(*p == 7);
  }

  TEST_CASE("an error says why there is no value") {
    const host::result<std::unique_ptr<int>> r = make(false);
    CHECK_FALSE(r.has_value());
    CHECK_FALSE(static_cast<bool>(r));
    CHECK(r.error() == status(client_status::busy));
  }
}
