// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/queue/ticket.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace nkv;

TEST_SUITE("queue/ticket") {
  TEST_CASE("a ticket of nothing is not valid; a use of an index is not another use of it") {
    CHECK_FALSE(ticket{}.valid());
    CHECK(ticket{0, 0}.valid());
    CHECK(ticket{3, 1} == ticket{3, 1});
    CHECK_FALSE(ticket{3, 1} == ticket{3, 2});
    CHECK_FALSE(ticket{3, 1} == ticket{4, 1});
    CHECK(std::is_trivially_copyable_v<ticket>);
    CHECK(std::is_trivially_copyable_v<completion>);
  }
}
