// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/linked_list.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

struct letter {
  char text;
  letter* next = nullptr;
  letter* previous = nullptr;
};

/// Forwards, then backwards.
std::string text_of(const nkv::target::linked_list<letter>& list) {
  std::string out;
  for (const letter* l = list.first; l != nullptr; l = l->next) out += l->text;
  for (const letter* l = list.last; l != nullptr; l = l->previous) out += l->text;
  return out;
}

}  // namespace

TEST_SUITE("target/linked_list") {
  TEST_CASE("from the middle, both ends and alone") {
    nkv::target::linked_list<letter> list;
    CHECK(text_of(list).empty());
    letter a{'a'}, b{'b'}, c{'c'}, d{'d'};
    for (letter* l : {&a, &b, &c, &d}) list.append(*l);
    CHECK(text_of(list) == "abcddcba");
    list.remove(b);
    CHECK(text_of(list) == "acddca");
    list.remove(a);
    CHECK(text_of(list) == "cddc");
    list.remove(d);
    CHECK(text_of(list) == "cc");
    list.append(a);
    CHECK(text_of(list) == "caac");
    list.remove(c);
    list.remove(a);
    CHECK(list.first == nullptr);
    CHECK(list.last == nullptr);
  }
}
