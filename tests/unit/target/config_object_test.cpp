// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/config_object.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

using nkv::target::config_error;
using nkv::target::config_object;
using nlohmann::json;

namespace {

/// What `read(object)` finds wrong with {"f": value}.
template <class Read>
std::string complaint(const json& value, Read&& read, const char* path = "p") {
  config_error error;
  const json object = {{"f", value}};
  config_object fields(object, path, error);
  read(fields);
  fields.finish();
  CHECK(fields.ok() == error.what.empty());
  return error.text();
}

}  // namespace

TEST_SUITE("target/config_object") {
  TEST_CASE("not an object -> refused, and nothing is read") {
    config_error error;
    const json array = json::array({1});
    config_object fields(array, "here", error);
    bool b = true;
    fields.read("f", b);
    fields.finish();
    CHECK(b);
    CHECK(error.text() == "here: expected an object, got [1]");
  }

  TEST_CASE("absent fields -> their defaults stay") {
    config_error error;
    const json object = json::object();
    config_object fields(object, "", error);
    bool b = true;
    std::string text = "t";
    unsigned number = 7;
    unsigned mode = 0600;
    std::uint64_t size = 9;
    int word = 3;
    fields.read("b", b);
    fields.read("t", text, 1, 5);
    fields.read_number("n", number, 1, 2);
    fields.read_size("s", size, 1, 2);
    fields.read_mode("m", mode);
    fields.read_word<int>("w", word, {{"x", 1}});
    CHECK_FALSE(fields.read_array("a", 3, [](const json&, const std::string&) { FAIL("called"); }));
    fields.finish();
    CHECK(error.text().empty());
    CHECK(b);
    CHECK(text == "t");
    CHECK(number == 7);
    CHECK(mode == 0600);
    CHECK(size == 9);
    CHECK(word == 3);
  }

  TEST_CASE("read bool") {
    bool b = false;
    const auto read = [&](config_object& o) { o.read("f", b); };
    CHECK(complaint(true, read).empty());
    CHECK(b);
    CHECK(complaint(1, read) == "p.f: expected true or false, got 1");
    CHECK(complaint("true", read) == "p.f: expected true or false, got \"true\"");
    CHECK(b);
  }

  TEST_CASE("read text: length and characters") {
    std::string t;
    const auto read = [&](config_object& o) { o.read("f", t, 2, 4); };
    CHECK(complaint("ab", read).empty());
    CHECK(complaint("a~ d", read).empty());
    CHECK(t == "a~ d");
    const std::string expected = "p.f: expected 2 to 4 printable ASCII characters, got ";
    CHECK(complaint("a", read) == expected + "\"a\"");
    CHECK(complaint("abcde", read) == expected + "\"abcde\"");
    CHECK(complaint("a\nb", read) == expected + "\"a\\nb\"");
    CHECK(complaint("a\xc3\xa9", read) == expected + "\"a\\u00e9\"");
    CHECK(complaint(12, read) == expected + "12");
    CHECK(t == "a~ d");
  }

  TEST_CASE("read_number: bounds and kinds") {
    std::uint16_t n = 0;
    const auto read = [&](config_object& o) { o.read_number("f", n, 2, 300); };
    CHECK(complaint(2, read).empty());
    CHECK(n == 2);
    CHECK(complaint(300, read).empty());
    CHECK(n == 300);
    const std::string expected = "p.f: expected a number from 2 to 300, got ";
    CHECK(complaint(1, read) == expected + "1");
    CHECK(complaint(301, read) == expected + "301");
    CHECK(complaint(-2, read) == expected + "-2");
    CHECK(complaint(2.5, read) == expected + "2.5");
    CHECK(complaint("7", read) == expected + "\"7\"");
    CHECK(complaint(nullptr, read) == expected + "null");
    CHECK(n == 300);
  }

  TEST_CASE("read_size: numbers and text with units") {
    std::uint64_t n = 0;
    const auto read = [&](config_object& o) { o.read_size("f", n, 10, 4096); };
    CHECK(complaint(10, read).empty());
    CHECK(n == 10);
    CHECK(complaint("4KiB", read).empty());
    CHECK(n == 4096);
    CHECK(complaint("abc", read) == "p.f: expected a size, got \"abc\"");
    CHECK(complaint(-1, read) == "p.f: expected a size, got -1");
    CHECK(complaint(true, read) == "p.f: expected a size, got true");
    CHECK(complaint(9, read) == "p.f: expected a size from 10 to 4096 bytes, got 9");
    CHECK(complaint("1MiB", read) == "p.f: expected a size from 10 to 4096 bytes, got \"1MiB\"");
    CHECK(n == 4096);
  }

  TEST_CASE("read_word: one of the words") {
    int n = 0;
    const auto read = [&](config_object& o) { o.read_word<int>("f", n, {{"one", 1}, {"two", 2}}); };
    CHECK(complaint("two", read).empty());
    CHECK(n == 2);
    CHECK(complaint("Two", read) == "p.f: expected \"one\" or \"two\", got \"Two\"");
    CHECK(complaint(2, read) == "p.f: expected \"one\" or \"two\", got 2");
    CHECK(n == 2);
  }

  TEST_CASE("read_mode: octal text to 0777") {
    unsigned mode = 0;
    const auto read = [&](config_object& o) { o.read_mode("f", mode); };
    CHECK(complaint("0660", read).empty());
    CHECK(mode == 0660);
    CHECK(complaint("777", read).empty());
    CHECK(mode == 0777);
    for (const json& bad : {json("1777"), json("0688"), json(""), json("06600"), json("rw"), json(660)}) {
      CHECK(complaint(bad, read) == "p.f: expected permissions in octal, such as \"0600\", got " + bad.dump());
    }
    CHECK(mode == 0777);
  }

  TEST_CASE("read_array: elements with their paths, up to the first that is wrong") {
    std::string seen;
    const auto read = [&](config_object& o) {
      CHECK(o.read_array("f", 3, [&](const json& element, const std::string& path) {
        seen += path + ' ';
        if (element == json(2)) o.refuse(path, "no twos");
      }));
    };
    CHECK(complaint(json::array({1, 1}), read).empty());
    CHECK(seen == "p.f[0] p.f[1] ");
    seen.clear();
    CHECK(complaint(json::array({1, 2, 3}), read) == "p.f[1]: no twos");
    CHECK(seen == "p.f[0] p.f[1] ");
    CHECK(complaint(json::array({1, 1, 1, 1}), read) == "p.f: expected an array of at most 3, got [1,1,1,1]");
    CHECK(complaint(json::object(), read) == "p.f: expected an array of at most 3, got {}");
  }

  TEST_CASE("finish: a field nobody asked for -> refused, with those there are") {
    const auto read = [](config_object& o) {
      bool b = false;
      o.read("g", b);
      o.read("h", b);
    };
    CHECK(complaint(1, read) == "p.f: unknown; known are g, h");
    CHECK(complaint(1, read, "") == "f: unknown; known are g, h");
  }

  TEST_CASE("the first complaint stands") {
    bool b = false;
    unsigned n = 0;
    const json object = {{"f", 1}, {"g", "x"}, {"h", 1}};
    config_error error;
    config_object fields(object, "", error);
    fields.read("f", b);
    fields.read_number("g", n, 0, 9);
    fields.finish();
    CHECK(error.text() == "f: expected true or false, got 1");
  }

  TEST_CASE("messages: what somebody wrote is cut and escaped") {
    bool b = false;
    const auto read = [&](config_object& o) { o.read("f", b); };
    const std::string text = complaint(std::string(5000, 'x'), read);
    CHECK(text.size() < 120);
    CHECK(text.substr(text.size() - 3) == "...");
    CHECK(complaint("\x1b[2J", read) == "p.f: expected true or false, got \"\\u001b[2J\"");
    CHECK(complaint("\xff", read) == "p.f: expected true or false, got \"\\ufffd\"");
  }
}
