// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/client/key_walk.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace nkv;

namespace {

/// A page of a target that pads whole entries, as many of `keys` as fit.
std::vector<std::byte> page_of(const std::vector<std::string>& keys, std::size_t size) {
  std::vector<std::byte> page(size);
  std::uint32_t count = 0;
  std::size_t at = 4;
  for (const std::string& k : keys) {
    const std::size_t entry = (2 + k.size() + 3) / 4 * 4;
    if (at + entry > size) break;
    store_le(page.data() + at, static_cast<std::uint16_t>(k.size()));
    for (std::size_t i = 0; i < k.size(); ++i) page[at + 2 + i] = static_cast<std::byte>(k[i]);
    at += entry;
    ++count;
  }
  store_le(page.data(), count);
  return page;
}

struct collector {
  std::vector<std::string> keys;
  bool operator()(key_view k) {
    keys.emplace_back(reinterpret_cast<const char*>(k.data()), k.size());
    return true;
  }
};

template <class Each>
walk_step take(key_walk& walk, const outcome& o, const std::vector<std::byte>& page, Each&& each) {
  return walk.take(o, page, each);
}

std::string text(key_view k) { return {reinterpret_cast<const char*>(k.data()), k.size()}; }

}  // namespace

TEST_SUITE("client/key_walk") {
  TEST_CASE("pages overlap by a key, which is given once") {
    namespace_profile p;
    key_walk walk(p, key_view::from_text("a"));
    collector got;
    CHECK(text(walk.start()) == "a");
    CHECK(take(walk, {}, page_of({"a", "b"}, 64), got) == walk_step::next_page);
    CHECK(text(walk.start()) == "b");
    CHECK(take(walk, {}, page_of({"b", "c"}, 64), got) == walk_step::next_page);
    CHECK(take(walk, {}, page_of({"c"}, 64), got) == walk_step::ended);
    CHECK(got.keys == std::vector<std::string>{"a", "b", "c"});
    CHECK(walk.error().ok());
  }

  TEST_CASE("a start key deleted meanwhile: the walk goes on behind it") {
    namespace_profile p;
    key_walk walk(p, {});
    collector got;
    CHECK(take(walk, {}, page_of({"a", "b"}, 64), got) == walk_step::next_page);
    CHECK(take(walk, {}, page_of({"c"}, 64), got) == walk_step::next_page);
    CHECK(take(walk, {}, page_of({"c"}, 64), got) == walk_step::ended);
    CHECK(got.keys == std::vector<std::string>{"a", "b", "c"});
  }

  TEST_CASE("a listing in one piece: one page is all; one that does not fit is an error with its length") {
    namespace_profile p;
    p.quirks.list_continues = false;
    collector got;
    key_walk whole(p, {});
    CHECK(take(whole, {}, page_of({"b", "a"}, 64), got) == walk_step::ended);
    CHECK(got.keys.size() == 2);
    outcome cut;
    cut.status = client_status::value_too_large;
    key_walk part(p, {});
    CHECK(take(part, cut, page_of({"b"}, 64), got) == walk_step::failed);
    CHECK(part.error() == status(client_status::value_too_large));
  }

  TEST_CASE("a listing in one piece whose length nobody tells: a page without room for another key may be cut") {
    namespace_profile p;
    p.quirks.list_continues = false;
    collector got;
    // Two entries of 4 bytes behind the count: 19 bytes are left, and a key of 16 would have taken 20.
    key_walk full(p, {});
    CHECK(take(full, {}, page_of({"a", "b"}, 4 + 8 + 19), got) == walk_step::failed);
    CHECK(full.error() == status(client_status::value_too_large));
    key_walk room(p, {});
    CHECK(take(room, {}, page_of({"a", "b"}, 4 + 8 + 20), got) == walk_step::ended);
    CHECK(room.error() == status());
    outcome told;
    told.length_known = true;
    told.length_bytes = 12;
    key_walk known(p, {});
    CHECK(take(known, told, page_of({"a", "b"}, 4 + 8), got) == walk_step::ended);
  }

  TEST_CASE("a listing known to be longer than its page goes on, where listings continue") {
    namespace_profile p;
    outcome cut;
    cut.status = client_status::value_too_large;
    collector got;
    key_walk walk(p, {});
    CHECK(take(walk, cut, page_of({"a", "b"}, 64), got) == walk_step::next_page);
    CHECK(take(walk, {}, page_of({"b"}, 64), got) == walk_step::ended);
    CHECK(got.keys.size() == 2);
  }

  TEST_CASE("stopped by the caller, failed by the controller, malformed page") {
    namespace_profile p;
    key_walk stopped(p, {});
    CHECK(take(stopped, {}, page_of({"a", "b"}, 64), [](key_view) { return false; }) == walk_step::ended);
    collector got;
    outcome failed;
    failed.status = {status_code_type::generic, generic_status::internal_error};
    key_walk walk(p, {});
    CHECK(take(walk, failed, page_of({"a"}, 64), got) == walk_step::failed);
    CHECK(walk.error() == failed.status);
    CHECK(got.keys.empty());
    std::vector<std::byte> page = page_of({"a"}, 64);
    page[0] = std::byte{9};
    key_walk malformed(p, {});
    CHECK(take(malformed, {}, page, got) == walk_step::failed);
    CHECK(malformed.error() == status(client_status::protocol_error));
    std::vector<std::byte> longer = page_of({"a key longer than sixteen"}, 64);
    key_walk inline_only(p, {});
    CHECK(take(inline_only, {}, longer, got) == walk_step::failed);
  }

  TEST_CASE("least_page_bytes: room for two keys of the longest kind, or only a count") {
    namespace_profile p;
    p.limits.max_key_bytes = 16;
    CHECK(key_walk::least_page_bytes(p) == 4 + 2 * 20);
    p.quirks.list_padding = list_padding::key_only;
    CHECK(key_walk::least_page_bytes(p) == 4 + 2 * 18);
    p.quirks.list_continues = false;
    CHECK(key_walk::least_page_bytes(p) == 4);
    p.quirks = quirks::of(key_encoding::payload_head);
    p.limits.max_key_bytes = 255;
    CHECK(key_walk::least_page_bytes(p) == 4 + 2 * 260);
  }
}
