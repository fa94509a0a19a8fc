// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/text_view.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using nkv::text_view;

TEST_SUITE("kv/text_view") {
  static_assert(text_view{}.size() == 0 && text_view{}.data() == nullptr);
  static_assert(text_view{"abc"}.size() == 3 && text_view{"abc"}[2] == 'c');
  static_assert(text_view{""}.size() == 0);
  static_assert(text_view{"a\0b"}.size() == 3);
  static_assert(text_view{std::string_view("abcd")}.size() == 4);
  // A buffer's length is not the text's, and bytes or wide characters are not characters.
  static_assert(!std::is_constructible_v<text_view, char(&)[4]>);
  static_assert(!std::is_constructible_v<text_view, const char*>);
  static_assert(!std::is_constructible_v<text_view, const std::vector<unsigned char>&>);
  static_assert(!std::is_constructible_v<text_view, const std::u16string&>);

  TEST_CASE("from the host's strings: named and temporary -> their characters") {
    const std::string text = "some text";
    CHECK(text_view{text}.data() == text.data());
    CHECK(text_view{text}.size() == 9);
    std::string changeable = "x";
    CHECK(text_view{changeable}.size() == 1);
    char buffer[8] = {'a', 'b'};
    CHECK(text_view(buffer, 2).size() == 2);
    CHECK(text_view(buffer, 2)[1] == 'b');
  }
}
