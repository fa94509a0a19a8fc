// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/lineage_hash.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

using nkv::lineage_fields;
using nkv::lineage_hash;
using nkv::lineage_salt;
using nkv_test::block;
using nkv_test::hex;
using nkv_test::to_text;

namespace {

constexpr lineage_fields fields() {
  lineage_fields f;
  f.model = "llama-3.1-70b@r2";
  f.dtype = "bf16";
  f.tp_rank = 3;
  f.tp_size = 8;
  f.layer_group = 5;
  f.block_size_tokens = 16;
  f.tenant = "team-a";
  return f;
}

constexpr bool equal(nkv::byte_span a, nkv::byte_span b) { return nkv::key_view{a} == nkv::key_view{b}; }

std::vector<std::uint32_t> first_tokens() {
  std::vector<std::uint32_t> tokens(16);
  for (std::uint32_t i = 0; i < 16; ++i) tokens[i] = i + 1;
  return tokens;
}

std::string name(const lineage_hash& h) { return to_text(h.view().bytes()); }

}  // namespace

TEST_SUITE("kv/lineage_hash") {
  static_assert(std::is_trivially_copyable_v<lineage_hash> && sizeof(lineage_hash) == 16);
  static_assert(std::is_trivially_copyable_v<lineage_salt> && sizeof(lineage_salt) == 32);
  static_assert(equal(lineage_hash{}.view().bytes(), block<16>{}.span()));

  // The expected bytes were computed with Python's struct and hashlib from the layout in the header.
  static_assert(equal(lineage_salt{fields()}.bytes(),
                      hex<32>("b40c5259a82890620cde7d645a4d8f0f314c86b9c1132ca6a1bd50444f2432f5").span()));
  static_assert(equal(lineage_salt{lineage_fields{}}.bytes(),
                      hex<32>("6759089fcdca82cb99baaeff6aebc266369d35aadf94feedfec40fd9eb3d3176").span()));

  TEST_CASE("child: a chain of blocks -> the names of an independent implementation") {
    const lineage_salt salt{fields()};
    const std::vector<std::uint32_t> first = first_tokens();
    const lineage_hash one = lineage_hash{}.child(salt, first);
    CHECK(equal(one.view().bytes(), hex<16>("4778101b77bdee735e18ff0811c3a28f").span()));
    std::vector<std::uint32_t> second(16, 7);
    second[0] = 0xffffffff;
    second[1] = 0;
    second[2] = 128000;
    const lineage_hash two = one.child(salt, second);
    CHECK(equal(two.view().bytes(), hex<16>("8d5c013db97c4947c3f00e7565fdcd21").span()));
    CHECK(equal(lineage_hash{}.child(salt, {}).view().bytes(), hex<16>("4e7201b8ff37e5c4c5e1833b11dab211").span()));
    std::vector<std::uint32_t> many(256);
    for (std::uint32_t i = 0; i < 256; ++i) many[i] = i * 2654435761u;
    CHECK(equal(two.child(salt, many).view().bytes(), hex<16>("8021fd5f10fad45b35f6e17ec5bf47c1").span()));
    // Nothing is remembered by the parent.
    CHECK(name(one.child(salt, second)) == name(two));
    CHECK(nkv::key_view{two}.size() == 16);
  }

  TEST_CASE("salt: any one field changed -> another key") {
    const std::vector<std::uint32_t> tokens = first_tokens();
    std::set<std::string> names;
    const auto add = [&](const lineage_fields& f) {
      names.insert(name(lineage_hash{}.child(lineage_salt{f}, tokens)));
    };
    add(fields());
    lineage_fields f = fields();
    f.model = "llama-3.1-70b@r3";
    add(f);
    f = fields();
    f.dtype = "fp8";
    add(f);
    f = fields();
    f.tp_rank = 4;
    add(f);
    f = fields();
    f.tp_size = 4;
    add(f);
    f = fields();
    f.layer_group = 6;
    add(f);
    f = fields();
    f.block_size_tokens = 32;
    add(f);
    f = fields();
    f.tenant = "team-b";
    add(f);
    f = fields();
    f.tenant = {};
    add(f);
    CHECK(names.size() == 9);
  }

  TEST_CASE("salt: the same characters split otherwise, or numbers swapped -> another salt") {
    std::set<std::string> salts;
    const auto add = [&](nkv::text_view model, nkv::text_view dtype, nkv::text_view tenant, std::uint32_t rank = 1,
                         std::uint32_t size = 2) {
      lineage_fields f;
      f.model = model;
      f.dtype = dtype;
      f.tenant = tenant;
      f.tp_rank = rank;
      f.tp_size = size;
      salts.insert(to_text(lineage_salt{f}.bytes()));
    };
    add("ab", "c", "");
    add("a", "bc", "");
    add("abc", "", "");
    add("", "abc", "");
    add("", "", "abc");
    add("ab", "", "c");
    add("ab", "c", "", 2, 1);
    add("ab", "c", "", 0, 2);
    // NUL is a character like any other.
    add("ab\0", "c", "");
    add("ab", "\0c", "");
    CHECK(salts.size() == 10);
  }

  TEST_CASE("child: any token, its place, their number, the parent -> another key") {
    const lineage_salt salt{fields()};
    const std::vector<std::uint32_t> tokens = first_tokens();
    std::set<std::string> names;
    names.insert(name(lineage_hash{}.child(salt, tokens)));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::vector<std::uint32_t> changed = tokens;
      changed[i] ^= 0x80000000u;
      names.insert(name(lineage_hash{}.child(salt, changed)));
    }
    std::vector<std::uint32_t> other = tokens;
    std::swap(other[0], other[1]);
    names.insert(name(lineage_hash{}.child(salt, other)));
    other = tokens;
    other.push_back(0);
    names.insert(name(lineage_hash{}.child(salt, other)));
    other = tokens;
    other.pop_back();
    names.insert(name(lineage_hash{}.child(salt, other)));
    // The same tokens behind another block, in one block and in two.
    const lineage_hash one = lineage_hash{}.child(salt, tokens);
    names.insert(name(one.child(salt, tokens)));
    names.insert(name(one.child(salt, tokens).child(salt, tokens)));
    std::vector<std::uint32_t> doubled = tokens;
    doubled.insert(doubled.end(), tokens.begin(), tokens.end());
    names.insert(name(lineage_hash{}.child(salt, doubled)));
    CHECK(names.size() == 1 + 16 + 3 + 3);
  }

  TEST_CASE("from_bytes: a name that was kept -> the same children") {
    const lineage_salt salt{fields()};
    const std::vector<std::uint32_t> tokens = first_tokens();
    const lineage_hash one = lineage_hash{}.child(salt, tokens);
    std::byte kept[16] = {};
    for (std::size_t i = 0; i < 16; ++i) kept[i] = one.view()[i];
    CHECK(name(lineage_hash::from_bytes(kept)) == name(one));
    CHECK(name(lineage_hash::from_bytes(kept).child(salt, tokens)) == name(one.child(salt, tokens)));
  }
}
