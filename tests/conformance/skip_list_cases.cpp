// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/skip_list.hpp>

#include <doctest/doctest.h>

#include <sstream>

using namespace nkv_test;

TEST_SUITE("conformance/skip list") {
  TEST_CASE("skip list: the same names -> nothing to say, whatever the order") {
    CHECK(compare_skips({}, {}).empty());
    CHECK(compare_skips({"a", "b"}, {"b", "a"}).empty());
  }

  TEST_CASE("skip list: a skip too many, one too few -> each is named") {
    CHECK(compare_skips({"a", "b"}, {"a"}) == std::vector<std::string>{"not expected to be skipped: b"});
    CHECK(compare_skips({"a"}, {"a", "b"}) == std::vector<std::string>{"expected to be skipped, and was not: b"});
    CHECK(compare_skips({"a"}, {"b"}).size() == 2);
  }

  TEST_CASE("skip list: comments and empty lines -> no names") {
    std::istringstream in("# why\n\none: two -> three [4]\nfour\n");
    CHECK(read_skip_list(in) == std::vector<std::string>{"one: two -> three [4]", "four"});
  }
}
