// SPDX-License-Identifier: BSD-3-Clause
#include "common/table.hpp"

#include <doctest/doctest.h>

TEST_SUITE("tools/common/table") {
  using tools::table;

  TEST_CASE("text: headings, a rule, columns aligned, no blanks at the end") {
    table t({{"name"}, {"n", table::align::right}, {"note"}});
    t.add({"a", "1", "x"});
    t.add({"longer", "200"});
    CHECK(t.text() ==
          "name      n  note\n"
          "------  ---  ----\n"
          "a         1  x\n"
          "longer  200\n");
  }

  TEST_CASE("text: without headings no rule; superfluous cells are left out") {
    table t({{""}, {"", table::align::right}});
    t.add({"a", "1", "gone"});
    t.add({"bb", "10"});
    CHECK(t.text() == "a    1\nbb  10\n");
    CHECK(table({{""}}).text().empty());
  }
}
