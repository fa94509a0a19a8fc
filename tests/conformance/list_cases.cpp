// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

using namespace nkv_test;

namespace {

struct list_case : kv_case {
  /// Keys of every length that the namespace takes and deletes, up to 40 bytes, so that every padding occurs.
  std::vector<std::string> keys_of_many_lengths(unsigned count) {
    const std::size_t shortest = 4;
    const std::size_t most = std::min<std::size_t>(profile.longest_key_bytes(), deletes(40) ? 40 : 16);
    std::vector<std::string> keys;
    for (unsigned n = 0; n < count; ++n) keys.push_back(name(n, shortest + n % (most - shortest + 1)));
    return keys;
  }
  std::vector<std::string> store_keys(unsigned count) {
    std::vector<std::string> keys = keys_of_many_lengths(count);
    for (const std::string& k : keys) REQUIRE(store(k, 1, 8).status == status());
    return keys;
  }

  /// Enough for `count` keys in one piece.
  static std::size_t page_for(std::size_t count) { return 4 + count * 44; }

  static std::vector<std::string> sorted(std::vector<std::string> keys) {
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  /// The whole listing in one piece, in the target's own order.
  std::vector<std::string> whole(std::size_t count) {
    outcome end;
    const std::vector<std::string> keys = list_keys(page_for(count), {}, end);
    CHECK(end.status == status());
    return keys;
  }
};

}  // namespace

TEST_SUITE("conformance/list") {
  TEST_CASE_FIXTURE(list_case, "list: nothing stored -> an empty page") {
    const buffer page = take(256);
    const outcome o = ns.list({}, page.ref(), page.data(), soon());
    REQUIRE(o.status == status());
    const nkv::list_page reader{{page.data(), page.size()}, quirks.list_padding};
    CHECK(reader.count() == 0);
    CHECK(reader.done());
  }

  TEST_CASE_FIXTURE(list_case, "list: 128 keys in one piece -> each once") {
    const std::vector<std::string> keys = store_keys(128);
    CHECK(sorted(whole(130)) == sorted(keys));
  }

  TEST_CASE_FIXTURE(list_case, "list: 128 keys in small pages -> each once, whatever the page") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    const std::vector<std::string> keys = store_keys(128);
    const std::size_t least = nkv::key_walk::least_page_bytes(profile);
    for (const std::size_t more : {0u, 1u, 2u, 3u, 4u, 60u, 500u, 3000u}) {
      const std::size_t page = least + more;
      CAPTURE(page);
      outcome end;
      CHECK(sorted(list_keys(page, {}, end)) == sorted(keys));
      CHECK(end.status == status());
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: keys of the longest kind in small pages -> each once") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    std::vector<std::string> keys;
    for (unsigned n = 0; n < 12; ++n) keys.push_back(name(n, profile.longest_key_bytes()));
    if (!deletes(keys[0].size())) return skip("keys of that length cannot be deleted again");
    for (const std::string& k : keys) REQUIRE(store(k, 1, 8).status == status());
    const std::size_t entry = (2 + profile.longest_key_bytes() + 3) / 4 * 4;
    for (const std::size_t page : {4 + 2 * entry, 4 + 3 * entry - 1, 4 + 5 * entry}) {
      CAPTURE(page);
      outcome end;
      CHECK(sorted(list_keys(page, {}, end)) == sorted(keys));
      CHECK(end.status == status());
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: a page without room for two keys of any kind -> a walk over all is refused") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    store_keys(5);
    const queue_mark mark = queue_mark::of(ns.queue());
    outcome end;
    CHECK(list_keys(nkv::key_walk::least_page_bytes(profile) - 1, {}, end).empty());
    CHECK(end.status == status(client::bad_argument));
    CHECK(queue_mark::of(ns.queue()) == mark);
  }

  TEST_CASE_FIXTURE(list_case, "list: every page as raw bytes -> whole entries, counted, within the buffer") {
    const std::vector<std::string> keys = store_keys(40);
    for (std::size_t room = 4; room < 400; room += 1 + room / 16) {
      CAPTURE(room);
      const buffer page = take(room);
      const outcome o = ns.list({}, page.ref(), page.data(), soon());
      const bool told_short = o.status == status(client::value_too_large) && quirks.list_reports_length;
      CHECK((o.ok() || told_short));
      nkv::list_page reader{{page.data(), page.size()}, quirks.list_padding, profile.longest_key_bytes()};
      std::set<std::string> seen;
      while (!reader.done()) {
        const auto k = reader.next();
        if (!k) break;
        CHECK(std::find(keys.begin(), keys.end(), text_of(*k)) != keys.end());
        CHECK(seen.insert(text_of(*k)).second);
      }
      CHECK(reader.error() == status());
      // What is listed is as much as fits: another key of the longest kind would not have.
      if (seen.size() < keys.size()) CHECK(4 + (seen.size() + 1) * 44 > room);
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: from a key that exists -> it comes first, then the rest of the same order") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    store_keys(40);
    const std::vector<std::string> all = whole(42);
    REQUIRE(all.size() == 40);
    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(i);
      outcome end;
      const std::vector<std::string> rest = list_keys(page_for(42), bytes_of(all[i]), end);
      CHECK(end.status == status());
      CHECK(rest == std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(i), all.end()));
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: from a key that does not exist -> the end of the same order") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    store_keys(40);
    const std::vector<std::string> all = whole(42);
    REQUIRE(all.size() == 40);
    for (const std::string& start : {name(17, 4) + "!"[0], std::string("0"), std::string("0020"), std::string("9"),
                                     std::string(1, '\0'), std::string(profile.longest_key_bytes(), '\xff')}) {
      if (std::find(all.begin(), all.end(), start) != all.end()) continue;
      CAPTURE(hex_of(bytes_of(start)));
      outcome end;
      const std::vector<std::string> rest = list_keys(page_for(42), bytes_of(start), end);
      CHECK(end.status == status());
      REQUIRE(rest.size() <= all.size());
      CHECK(std::equal(rest.begin(), rest.end(), all.end() - static_cast<std::ptrdiff_t>(rest.size())));
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: from a key deleted while listing -> goes on behind it") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    store_keys(40);
    const std::vector<std::string> all = whole(42);
    REQUIRE(all.size() == 40);
    REQUIRE(ns.remove(bytes_of(all[20]), soon()).ok());
    outcome end;
    const std::vector<std::string> rest = list_keys(page_for(42), bytes_of(all[20]), end);
    CHECK(end.status == status());
    CHECK(rest == std::vector<std::string>(all.begin() + 21, all.end()));
  }

  TEST_CASE_FIXTURE(list_case, "list: keys come and go between pages -> those present throughout exactly once") {
    if (!quirks.list_continues) return skip("listings are not continued by a start key");
    const std::vector<std::string> keys = store_keys(60);
    std::vector<std::string> passing;
    for (unsigned n = 0; n < 60; ++n) passing.push_back(name(1000 + n, 4));
    for (unsigned n = 0; n < 60; n += 2) REQUIRE(store(passing[n], 2, 8).status == status());

    std::vector<std::string> seen;
    const buffer page = take(std::max<std::size_t>(4 + 4 * 44, nkv::key_walk::least_page_bytes(profile)));
    unsigned turn = 0;
    const outcome end = ns.for_each_key({}, page.ref(), page.data(), soon(), [&](key_view k) {
      seen.push_back(text_of(k));
      const std::string& other = passing[(turn * 7) % passing.size()];
      if (turn++ % 2 == 0)
        forget(bytes_of(other));
      else
        static_cast<void>(store(other, 3, 8));
      return seen.size() < 10'000;
    });
    CHECK(end.status == status());
    for (const std::string& k : keys) {
      CAPTURE(hex_of(bytes_of(k)));
      CHECK(std::count(seen.begin(), seen.end(), k) == 1);
    }
    for (const std::string& k : seen) {
      const bool known = std::find(keys.begin(), keys.end(), k) != keys.end() ||
                         std::find(passing.begin(), passing.end(), k) != passing.end();
      CHECK(known);
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: keys of any bytes -> listed as they are") {
    std::vector<std::string> keys;
    for (unsigned c = 0; c < 256; c += 5) keys.push_back(std::string(1 + c % 3, static_cast<char>(c)));
    keys.push_back(std::string("a\0b", 3));
    keys.push_back(std::string(profile.longest_key_bytes() < 16 ? 1 : 16, '\0') + std::string());
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (const std::string& k : keys) REQUIRE(store(k, 1, 8).status == status());
    CHECK(sorted(whole(80)) == keys);
  }

  TEST_CASE_FIXTURE(list_case, "list: deleted and overwritten keys -> gone, and once") {
    std::vector<std::string> keys = store_keys(20);
    for (unsigned n = 0; n < 20; ++n) REQUIRE(store(keys[n], 2, 100).status == status());
    for (unsigned n = 0; n < 10; ++n) REQUIRE(ns.remove(bytes_of(keys[2 * n]), soon()).ok());
    std::vector<std::string> left;
    for (unsigned n = 1; n < 20; n += 2) left.push_back(keys[n]);
    CHECK(sorted(whole(22)) == sorted(left));
  }

  TEST_CASE_FIXTURE(list_case, "list: into a page at an odd address -> as anywhere") {
    const std::vector<std::string> keys = store_keys(20);
    for (const std::size_t offset : {1u, 2u, 3u, 4095u}) {
      CAPTURE(offset);
      const buffer page = take(page_for(22), offset);
      const outcome o = ns.list({}, page.ref(), page.data(), soon());
      CHECK(o.status == status());
      nkv::list_page reader{{page.data(), page.size()}, quirks.list_padding};
      CHECK(reader.count() == keys.size());
    }
  }

  TEST_CASE_FIXTURE(list_case, "list: stopped by the caller -> no more pages are asked for") {
    store_keys(20);
    const buffer page = take(4 + 44 * 22);
    unsigned seen = 0;
    const outcome o = ns.for_each_key({}, page.ref(), page.data(), soon(), [&](key_view) { return ++seen < 3; });
    CHECK(o.status == status());
    CHECK(seen == 3);
  }
}
