// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/vfio_user/json_number.hpp>

#include <doctest/doctest.h>

#include <string>

using nkv::host::vfio_user::find_json_number;

TEST_SUITE("host/vfio_user/json_number") {
  TEST_CASE("find: what targets in the field answer") {
    constexpr auto text =
        R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"migration":{"pgsize":4096}}})";
    static_assert(find_json_number(text, {"capabilities", "max_msg_fds"}) == 8u);
    CHECK(find_json_number(text, {"capabilities", "max_data_xfer_size"}) == 1048576u);
    CHECK(find_json_number(text, {"capabilities", "migration", "pgsize"}) == 4096u);
    CHECK_FALSE(find_json_number(text, {"capabilities", "pgsize"}).has_value());
    CHECK_FALSE(find_json_number(text, {"max_msg_fds"}).has_value());
    CHECK_FALSE(find_json_number(text, {"capabilities"}).has_value());
  }

  TEST_CASE("find: spaces, strings with quotes and brackets, arrays and literals are passed over") {
    const std::string text =
        " { \"a\\\"}\" : \"{\\\\\" , \"b\":[1,{\"n\":2},[],\"]\"],\"c\":-1.5e3,\"d\":null,\r\n\t\"e\" : { } , \"n\" : "
        "18446744073709551615 } ";
    CHECK(find_json_number(text, {"n"}) == 18446744073709551615u);
    CHECK_FALSE(find_json_number(text, {"c"}).has_value());
    CHECK_FALSE(find_json_number(text, {"d"}).has_value());
    CHECK_FALSE(find_json_number(text, {"e", "n"}).has_value());
  }

  TEST_CASE("find: no number, or not this one -> nothing") {
    for (const char* text : {"",
                             "{",
                             "{}",
                             "[]",
                             "1",
                             "{\"n\"}",
                             "{\"n\":}",
                             "{\"n\":\"1\"}",
                             "{\"n\":-1}",
                             "{\"n\":1.5}",
                             "{\"n\":1e3}",
                             "{\"n\":true}",
                             "{\"n\":18446744073709551616}",
                             "{\"n\":99999999999999999999999}",
                             "{n:1}",
                             "{\"m\":1 \"n\":2}",
                             "{\"m\":,\"n\":2}",
                             "{\"m\":\"open,\"n\":2}",
                             "{\"m\":[1,\"n\":2}",
                             "{\"x\":{\"n\":1}}"}) {
      CAPTURE(text);
      CHECK_FALSE(find_json_number(text, {"n"}).has_value());
    }
  }

  TEST_CASE("find: a text cut anywhere -> nothing or the number's first digits, never a read beyond") {
    const std::string whole = R"({"m":{"x":[1,2,{"y":"z\""}]},"n":1234})";
    REQUIRE(find_json_number(whole, {"n"}) == 1234u);
    for (std::size_t n = 0; n < whole.size() - 5; ++n) {
      const std::string cut(whole.data(), n);
      CAPTURE(cut);
      CHECK_FALSE(find_json_number(std::string_view(cut.data(), cut.size()), {"n"}).has_value());
    }
  }

  TEST_CASE("find: nesting without end -> nothing, and no deep stack") {
    const std::string deep(1 << 20, '[');
    CHECK_FALSE(find_json_number("{\"m\":" + deep + ",\"n\":1}", {"n"}).has_value());
    std::string wide = "{\"m\":" + std::string(10, '[') + std::string(10, ']') + ",\"n\":1}";
    CHECK(find_json_number(wide, {"n"}) == 1u);
  }

  TEST_CASE("find: of two members with one name the first counts") {
    CHECK(find_json_number(R"({"n":1,"n":2})", {"n"}) == 1u);
  }
}
