// SPDX-License-Identifier: BSD-3-Clause
#include <support/skip.hpp>

#include <doctest/doctest.h>

TEST_SUITE("support/main") {
  TEST_CASE("main: a test case that says nothing beside one that skips -> counted as a partial skip") { CHECK(true); }

  TEST_CASE("skip: called -> the test case counts as skipped") {
    nkv_test::skip("this test case exists to be skipped");
  }
}
