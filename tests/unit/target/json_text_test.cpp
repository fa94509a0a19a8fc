// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/json_text.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

std::string error_of(const std::string& text, const nkv::target::json_limits& limits = {}) {
  const nkv::target::json_parsed p = nkv::target::parse_json(text, limits);
  return p.value ? "none" : p.error;
}

}  // namespace

TEST_SUITE("target/json_text") {
  TEST_CASE("parse_json: every kind of value -> as it is written") {
    const auto p = nkv::target::parse_json(
        R"({"a": [1, -2, 2.5, true, false, null, "x\u00e9", [], {}], "b": {"c": 18446744073709551615}})");
    REQUIRE(p.value);
    CHECK(p.error.empty());
    CHECK(p.value->dump() ==
          "{\"a\":[1,-2,2.5,true,false,null,\"x\xc3\xa9\",[],{}],\"b\":{\"c\":18446744073709551615}}");
  }

  TEST_CASE("parse_json: a value that is no object -> that value") {
    CHECK(nkv::target::parse_json("7").value == nlohmann::json(7));
    CHECK(nkv::target::parse_json(" \"x\" ").value == nlohmann::json("x"));
  }

  TEST_CASE("parse_json: no JSON -> line and column") {
    CHECK(error_of("") == "line 1, column 1: not JSON");
    CHECK(error_of("{\n  \"a\": tru\n}") == "line 2, column 11: not JSON");
    CHECK(error_of("{} x") == "line 1, column 4: not JSON");
    CHECK(error_of("{\"a\": 1,}") == "line 1, column 9: not JSON");
    CHECK(error_of("\"\xff\"") == "line 1, column 2: not JSON");
    CHECK(error_of("1e999") == "line 1, column 5: not JSON");
    CHECK(error_of(std::string("\"a\0b\"", 5)) == "line 1, column 3: not JSON");
  }

  TEST_CASE("parse_json: a name twice in an object -> its path") {
    CHECK(error_of(R"({"a": 1, "a": 2})") == "a: given twice");
    CHECK(error_of(R"({"x": [{}, {"b": {"c": 1, "c": 2}}]})") == "x[1].b.c: given twice");
    CHECK(error_of(R"({"x": {"a": 1}, "y": {"a": 2}})") == "none");
    CHECK(error_of(R"([{"a": 1}, {"a": 2}])") == "none");
  }

  TEST_CASE("parse_json: nested to the limit -> taken, one deeper -> refused") {
    const nkv::target::json_limits three{1000, 3};
    CHECK(error_of("[[[1]]]", three) == "none");
    CHECK(error_of("[[[[1]]]]", three) == "nested deeper than 3 levels");
    CHECK(error_of(R"({"a":{"b":[{}]}})", three) == "nested deeper than 3 levels");
    // Siblings do not add up.
    CHECK(error_of("[[1],[2],[[3]],[4]]", three) == "none");
    CHECK(error_of(std::string(500'000, '[')) == "nested deeper than 16 levels");
  }

  TEST_CASE("parse_json: longer than the limit -> refused before it is read") {
    CHECK(error_of("[1,2]", {5, 3}) == "none");
    CHECK(error_of("[1,23]", {5, 3}) == "longer than 5 bytes");
  }
}
