// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/rados/object_name.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

using nkv::target::key_of_object;
using nkv::target::object_name;

namespace {

nkv::byte_span octets(std::string_view s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

/// The key that a name stands for, as text; empty for none.
std::string key_of(std::string_view name) {
  std::byte key[nkv::max_key_bytes + 1];
  const std::size_t length = key_of_object(name, key);
  return {reinterpret_cast<const char*>(key), length};
}

}  // namespace

TEST_SUITE("target/rados/object_name") {
  TEST_CASE("object_name: the key's bytes in lowercase digits") {
    CHECK(object_name(octets("abc")) == "616263");
    CHECK(object_name(octets(std::string_view("\x00\xff\x0a", 3))) == "00ff0a");
    CHECK(object_name(octets(std::string(255, '\x9c'))).size() == 510);
  }

  TEST_CASE("key_of_object: what object_name made of every byte and every length -> the key again") {
    std::string key;
    for (unsigned length = 1; length <= 255; ++length) {
      key.push_back(static_cast<char>(length * 37));
      CHECK(key_of(object_name(octets(key))) == key);
    }
  }

  TEST_CASE("key_of_object: a name that is no key's -> none") {
    for (const char* name : {"", "6", "616", "6A", "0x61", "6 ", "rbd_directory", "g0", "0g", "/0", ":0", "`0"}) {
      CAPTURE(name);
      CHECK(key_of(name).empty());
    }
    CHECK(key_of(std::string(512, '0')).empty());
    CHECK(key_of(std::string(510, '0')).size() == 255);
  }
}
