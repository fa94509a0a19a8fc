// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <string>
#include <vector>

using namespace nkv_test;

namespace {

struct key_case : kv_case {
  /// Stores each key with a value of its own, then looks at all of them, deletes every other one, and looks again.
  void keys_are_apart(const std::vector<std::string>& keys) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      CAPTURE(hex_of(bytes_of(keys[i])));
      REQUIRE(store(keys[i], i, 40 + i % 50).status == status());
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      expect_value(keys[i], i, 40 + i % 50);
      CHECK(ns.exist(bytes_of(keys[i]), soon()).status == status());
    }
    for (std::size_t i = 0; i < keys.size(); i += 2)
      if (deletes(keys[i].size())) CHECK(ns.remove(bytes_of(keys[i]), soon()).status == status());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i % 2 == 0 && deletes(keys[i].size()))
        expect_absent(keys[i]);
      else
        expect_value(keys[i], i, 40 + i % 50);
    }
  }

  /// Every operation on `key` is refused before the doorbell.
  void refused(key_view key) {
    CAPTURE(key.size());
    const buffer b = take(64);
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(ns.store(key, b.ref(), soon()).status == status(client::bad_argument));
    CHECK(ns.retrieve(key, b.ref(), soon()).status == status(client::bad_argument));
    CHECK(ns.exist(key, soon()).status == status(client::bad_argument));
    CHECK(ns.remove(key, soon()).status == status(client::bad_argument));
    if (!key.empty()) CHECK(ns.list(key, b.ref(), b.data(), soon()).status == status(client::bad_argument));
    const key_view keys[] = {key};
    std::uint64_t word = 0;
    CHECK(ns.exist({keys, 1}, {&word, 1}, soon()) == status(client::bad_argument));
    CHECK(ns.longest_prefix({keys, 1}, soon()).error() == status(client::bad_argument));
    CHECK(queue_mark::of(ns.queue()) == mark);
    CHECK(b.untouched_from(0));
  }
};

std::string filled(std::size_t length, char c) { return std::string(length, c); }

}  // namespace

TEST_SUITE("conformance/key") {
  TEST_CASE_FIXTURE(key_case, "key: every byte value as a key of one byte -> 256 keys") {
    std::vector<std::string> keys;
    for (unsigned c = 0; c < 256; ++c) keys.push_back(filled(1, static_cast<char>(c)));
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: every byte value within a key -> carried as it is") {
    const std::size_t step = profile.longest_key_bytes() < 8 ? profile.longest_key_bytes() : 8;
    std::vector<std::string> keys;
    for (unsigned c = 0; c < 256; c += static_cast<unsigned>(step)) {
      std::string k;
      for (unsigned i = 0; i < step; ++i) k += static_cast<char>(c + i);
      keys.push_back(k);
    }
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: zero bytes at the end -> part of the key") {
    std::vector<std::string> keys;
    for (std::size_t length = 1; length <= 16 && length <= profile.longest_key_bytes(); ++length) {
      keys.push_back(filled(length, '\0'));
      if (length > 1) keys.push_back("a" + filled(length - 1, '\0'));
    }
    keys.push_back("a");
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: zero bytes embedded and in front -> part of the key") {
    using namespace std::string_literals;
    std::vector<std::string> keys = {"a\0b"s, "a"s, "ab"s, "\0ab"s, "a\0\0b"s, "\0\0\0a"s, "b"s};
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: all FFh, every length to 16 -> keys like any other") {
    std::vector<std::string> keys;
    for (std::size_t length = 1; length <= 16 && length <= profile.longest_key_bytes(); ++length)
      keys.push_back(filled(length, '\xff'));
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: every length to 16, one a prefix of the next -> keys of their own") {
    std::vector<std::string> keys;
    for (std::size_t length = 1; length <= 16 && length <= profile.longest_key_bytes(); ++length)
      keys.push_back(std::string("0123456789abcdef").substr(0, length));
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case, "key: differing in one bit anywhere -> keys of their own") {
    const std::size_t length = profile.longest_key_bytes() < 16 ? profile.longest_key_bytes() : 16;
    std::vector<std::string> keys = {filled(length, 'x')};
    for (std::size_t bit = 0; bit < 8 * length; ++bit) {
      keys.push_back(filled(length, 'x'));
      keys.back()[bit / 8] = static_cast<char>(keys.back()[bit / 8] ^ (1 << (bit % 8)));
    }
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(key_case,
                    "key: longer than the namespace or the encoding takes -> bad_argument before the doorbell") {
    const std::string text(300, 'k');
    for (std::size_t length = profile.longest_key_bytes() + 1; length <= 300; ++length)
      refused(bytes_of(std::string_view(text).substr(0, length)));
  }

  TEST_CASE_FIXTURE(key_case, "key: empty -> bad_argument before the doorbell") { refused(key_view{}); }

  TEST_CASE_FIXTURE(key_case, "key: its bytes change after submit() -> the command has the old ones") {
    std::string text = name(7);
    REQUIRE(store(text, 7, 100).status == status());
    const buffer b = take(100);
    const auto t = ns.submit(operation::retrieve(bytes_of(text), b.ref()), nkv::submit_mode::defer);
    REQUIRE(t);
    text.assign(text.size(), '!');
    ns.ring();
    CHECK(ns.wait(*t, soon()).status == status());
    CHECK(b.holds(7, 100));
  }
}

TEST_SUITE("conformance/long key") {
  TEST_CASE_FIXTURE(key_case, "key: 17 bytes to the longest -> carried by every operation that reaches them") {
    const std::size_t longest = profile.longest_key_bytes();
    if (longest <= 16) return skip("keys of 16 bytes at most");
    std::vector<std::string> keys;
    for (std::size_t length = 17; length <= longest; length += length < 40 ? 1 : 7)
      keys.push_back(std::string(length, static_cast<char>('a' + length % 26)));
    keys.push_back(std::string(longest, '\0'));
    keys.push_back(std::string(longest, '\xff'));
    keys.push_back(std::string(longest - 1, '\xff') + '\xfe');
    keys_are_apart(keys);
  }

  TEST_CASE_FIXTURE(
      key_case,
      "key: above 16 bytes where Exist and Delete do not reach it -> Retrieve answers, Delete is unsupported") {
    if (profile.longest_key_bytes() <= 16) return skip("keys of 16 bytes at most");
    // A client that knows its target to be such a one.
    nkv::namespace_profile narrow = profile;
    narrow.quirks.reads_head_without_data_direction = false;
    const kv_namespace old{ns.queue(), narrow};
    const std::string key = std::string(40, 'k');
    REQUIRE(store(key, 1, 100).status == status());
    const outcome o = old.exist(bytes_of(key), soon());
    CHECK(o.status == status());
    if (quirks.reports_true_length) CHECK(o.length_bytes == 100);
    CHECK(old.exist(bytes_of(std::string(40, 'l')), soon()).status.is_key_does_not_exist());
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(old.remove(bytes_of(key), soon()).status == status(client::unsupported));
    CHECK(queue_mark::of(ns.queue()) == mark);
    expect_value(key, 1, 100);
  }
}

TEST_SUITE("conformance/delete") {
  TEST_CASE_FIXTURE(kv_case, "delete: twice, absent keys no error -> success both times") {
    const status off = target().set_feature(nkv::feature_id::key_value_configuration, 0);
    if (!off) return skip("feature 20h cannot be set");
    const std::string key = name(1);
    REQUIRE(store(key, 1, 100).status == status());
    CHECK(ns.remove(bytes_of(key), soon()).status == status());
    expect_absent(key);
    CHECK(ns.remove(bytes_of(key), soon()).status == status());
    expect_absent(key);
  }

  TEST_CASE_FIXTURE(kv_case, "delete: twice, absent keys an error (EDNEK) -> 87h the second time") {
    const nkv::feature_id feature = nkv::feature_id::key_value_configuration;
    if (!target().set_feature(feature, 1)) return skip("feature 20h cannot be set");
    const nkv::result<std::uint32_t> set = target().get_feature(feature);
    CHECK(set);
    if (set) CHECK((*set & 1u) == 1u);
    const std::string key = name(1);
    REQUIRE(store(key, 1, 100).status == status());
    CHECK(ns.remove(bytes_of(key), soon()).status == status());
    const outcome o = ns.remove(bytes_of(key), soon());
    CHECK_MESSAGE(o.status.is_key_does_not_exist(), doctest::toString(o.status));
    expect_absent(key);
    // And it can be taken back.
    CHECK(target().set_feature(feature, 0) == status());
    const nkv::result<std::uint32_t> reset = target().get_feature(feature);
    CHECK(reset);
    if (reset) CHECK((*reset & 1u) == 0u);
    CHECK(ns.remove(bytes_of(key), soon()).status == status());
  }

  TEST_CASE_FIXTURE(kv_case, "delete: of values of every size -> absent, and stored anew as something else") {
    const std::string key = name(1);
    for (const std::size_t size : {0u, 1u, 4096u, 100'000u, 3u << 20}) {
      if (!takes_value(bytes_of(key), size)) continue;
      CAPTURE(size);
      REQUIRE(store(key, size, size).status == status());
      CHECK(ns.remove(bytes_of(key), soon()).status == status());
      expect_absent(key);
      REQUIRE(store(key, size + 1, 33).status == status());
      expect_value(key, size + 1, 33);
    }
  }

  TEST_CASE_FIXTURE(kv_case, "exist: present and absent -> told apart, and nothing changes") {
    const std::string key = name(1);
    expect_absent(key);
    REQUIRE(store(key, 1, 100).status == status());
    for (int i = 0; i < 3; ++i) CHECK(ns.exist(bytes_of(key), soon()).status == status());
    CHECK(ns.exist(bytes_of(name(2)), soon()).status.is_key_does_not_exist());
    expect_value(key, 1, 100);
  }
}
