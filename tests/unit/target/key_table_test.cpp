// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/key_table.hpp>

#include <doctest/doctest.h>

#include <map>
#include <new>
#include <random>
#include <set>
#include <string>

using namespace nkv;
using target::hashed_key;
using target::key_table;
using target::stored_key;

namespace {

int alive = 0;
bool refuse = false;

struct alignas(64) entry {
  explicit entry(byte_span k) : key(k) {
    if (refuse) throw std::bad_alloc();
    ++alive;
  }
  ~entry() { --alive; }
  std::uint64_t value = 0x1111111111111111;
  stored_key key;
};

hashed_key of(const std::string& text, std::uint64_t hash) {
  return {{reinterpret_cast<const std::byte*>(text.data()), text.size()}, hash};
}

}  // namespace

TEST_SUITE("target/key_table") {
  TEST_CASE("random insertions and erasures among few hashes: as a map, entries stay where they are") {
    std::mt19937_64 random(7);  // NOLINT: the same run every time
    // Many keys to a hash, hashes beside each other and at both ends of the array: runs that meet and wrap.
    for (const std::uint64_t hashes : {1u, 3u, 70u}) {
      key_table<entry> table;
      std::map<std::string, entry*> model;
      const auto hash_of = [&](const std::string& k) {
        return std::uint64_t{~0u} - hashes / 2 + std::hash<std::string>{}(k) % hashes;
      };
      for (int step = 0; step < 20000; ++step) {
        const std::string k = std::to_string(random() % 400);
        const hashed_key key = of(k, hash_of(k));
        entry* const found = table.find(key);
        const auto known = model.find(k);
        REQUIRE(found == (known == model.end() ? nullptr : known->second));
        if (found == nullptr) {
          entry& e = table.insert(key);
          REQUIRE(e.value == 0x1111111111111111);
          e.value = random();
          model[k] = &e;
        } else if (random() % 2 == 0) {
          table.erase(*found, key.hash);
          model.erase(known);
        }
        REQUIRE(table.size() == model.size());
        REQUIRE(alive == static_cast<int>(model.size()));
      }
      std::set<const entry*> seen;
      table.for_each([&](const entry& e) { CHECK(seen.insert(&e).second); });
      CHECK(seen.size() == model.size());
      for (const auto& [k, e] : model) CHECK(seen.count(e) == 1);
    }
    CHECK(alive == 0);
  }

  TEST_CASE("find: the same hash is not the same key, nor the same place the same hash") {
    key_table<entry> table;
    CHECK(table.find(of("a", 1)) == nullptr);
    entry& a = table.insert(of("a", 1));
    CHECK(table.find(of("b", 1)) == nullptr);
    CHECK(table.find(of("a", 2)) == nullptr);
    CHECK(table.find(of("a", 1)) == &a);
  }

  TEST_CASE("insert: an entry that cannot be made changes nothing, and takes no room for good") {
    key_table<entry> table;
    std::set<const entry*> places;
    for (std::uint64_t i = 0; i < 64; ++i) {
      refuse = true;
      CHECK_THROWS_AS(table.insert(of("x" + std::to_string(i), i)), std::bad_alloc);
      refuse = false;
      CHECK(table.size() == i);
      CHECK(table.find(of("x" + std::to_string(i), i)) == nullptr);
      places.insert(&table.insert(of("x" + std::to_string(i), i)));
    }
    // All of one piece of memory, which refused ones would have used up.
    CHECK(reinterpret_cast<std::uintptr_t>(*places.rbegin()) - reinterpret_cast<std::uintptr_t>(*places.begin()) ==
          63 * sizeof(entry));
  }

  TEST_CASE("erase: its memory is the next entry's") {
    key_table<entry> table;
    entry& a = table.insert(of("a", 1));
    table.insert(of("b", 2));
    table.erase(a, 1);
    CHECK(table.find(of("a", 1)) == nullptr);
    CHECK(table.find(of("b", 2)) != nullptr);
    CHECK(&table.insert(of("c", 3)) == &a);
  }
}
