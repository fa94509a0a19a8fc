// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/cache/value_cache.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace nkv::target;

namespace {

using cache = value_cache<int>;

nkv::byte_span bytes(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }
held_value value_of(std::string text) {
  const auto kept = std::make_shared<const std::string>(std::move(text));
  return {bytes(*kept), kept};
}

}  // namespace

TEST_SUITE("target/cache/value_cache") {
  TEST_CASE("a key is forgotten when nothing is to be known of it any more") {
    cache c(1 << 20, 10);
    CHECK(c.find(bytes("k")) == nullptr);
    cache::slot& s = c.at(bytes("k"));
    CHECK(&c.at(bytes("k")) == &s);
    CHECK(c.find(bytes("k")) == &s);
    CHECK(s.key() == "k");
    int somebody = 0;
    s.asking = &somebody;
    s.writers = 1;
    c.insert(s, value_of("v"), {1, 2}, 3);
    CHECK(s.version == value_version{1, 2});
    s.asking = nullptr;
    c.release(s);
    s.writers = 0;
    c.release(s);
    CHECK(c.keys() == 1);
    CHECK(c.bytes() > 1);
    c.drop(s);
    CHECK(c.bytes() == 0);
    CHECK(c.values() == 0);
    c.release(s);
    CHECK(c.keys() == 0);
  }

  TEST_CASE("the least recently used goes first; its slot stays while somebody needs it") {
    cache c(1 << 20, 3);
    for (const char* key : {"a", "b", "c"}) c.insert(c.at(bytes(key)), value_of(key), {}, 0);
    c.use(*c.find(bytes("a")));
    c.find(bytes("b"))->writers = 1;
    c.insert(c.at(bytes("d")), value_of("d"), {}, 0);
    REQUIRE(c.find(bytes("b")) != nullptr);
    CHECK_FALSE(c.find(bytes("b"))->has_value());
    c.insert(c.at(bytes("e")), value_of("e"), {}, 0);
    CHECK(c.find(bytes("c")) == nullptr);
    CHECK(c.find(bytes("a"))->has_value());
    CHECK(c.values() == 3);
    CHECK(c.evictions() == 2);
  }

  TEST_CASE("what is longer than all of it is not kept, and moves nobody out") {
    cache c(10'000, 3);
    c.insert(c.at(bytes("a")), value_of("a"), {}, 0);
    cache::slot& s = c.at(bytes("b"));
    c.insert(s, value_of(std::string(10'000, 'x')), {}, 0);
    CHECK_FALSE(s.has_value());
    CHECK(c.values() == 1);
    c.insert(s, value_of(std::string(5000, 'x')), {}, 0);
    CHECK(s.has_value());
    CHECK(c.find(bytes("a")) == nullptr);
    CHECK(c.bytes() <= 10'000);
  }
}
