// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/queue/sharing.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace nkv;

TEST_SUITE("queue/sharing") {
  TEST_CASE("each mode says who shares the queue's state") {
    CHECK_FALSE(exclusive::is_shared);
    CHECK(shared::is_shared);
    CHECK(std::is_same_v<std::remove_const_t<decltype(exclusive::state_scope)>, scope_constant<scope::thread>>);
    CHECK(std::is_same_v<std::remove_const_t<decltype(shared::state_scope)>, scope_constant<scope::device>>);
  }
}
