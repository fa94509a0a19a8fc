// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

using namespace nkv_test;

namespace {

constexpr std::uint64_t before = 1;
constexpr std::uint64_t after = 2;

struct conditional_case : kv_case {
  std::string key = name(1);
  void prepare(bool present) {
    if (present)
      REQUIRE(store(key, before, 300).ok());
    else
      forget(bytes_of(key));
  }
};

}  // namespace

TEST_SUITE("conformance/conditional") {
  TEST_CASE_FIXTURE(conditional_case, "store: no condition -> creates and replaces") {
    for (const bool present : {false, true}) {
      CAPTURE(present);
      prepare(present);
      CHECK(store(key, after, 200).status == status());
      expect_value(key, after, 200);
      prepare(present);
      CHECK(store(key, after, 700).status == status());
      expect_value(key, after, 700);
    }
  }

  TEST_CASE_FIXTURE(conditional_case, "store: must_exist, present -> replaces") {
    prepare(true);
    CHECK(store(key, after, 200, {.must_exist = true}).status == status());
    expect_value(key, after, 200);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: must_exist, absent -> 87h and still absent") {
    prepare(false);
    const outcome o = store(key, after, 200, {.must_exist = true});
    CHECK_MESSAGE(o.status.is_key_does_not_exist(), doctest::toString(o.status));
    expect_absent(key);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: must_not_exist, absent -> creates") {
    prepare(false);
    CHECK(store(key, after, 200, {.must_not_exist = true}).status == status());
    expect_value(key, after, 200);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: must_not_exist, present -> 89h and the value stays") {
    prepare(true);
    const outcome o = store(key, after, 200, {.must_not_exist = true});
    CHECK_MESSAGE(o.status.is_key_exists(), doctest::toString(o.status));
    expect_value(key, before, 300);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: conditions after a Delete -> as for a key that never was") {
    prepare(true);
    REQUIRE(ns.remove(bytes_of(key), soon()).ok());
    CHECK(store(key, after, 200, {.must_exist = true}).status.is_key_does_not_exist());
    CHECK(store(key, after, 200, {.must_not_exist = true}).status == status());
    CHECK(store(key, before, 200, {.must_not_exist = true}).status.is_key_exists());
    expect_value(key, after, 200);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: conditions with an empty value -> the same matrix") {
    prepare(false);
    CHECK(store(key, after, 0, {.must_exist = true}).status.is_key_does_not_exist());
    expect_absent(key);
    CHECK(store(key, after, 0, {.must_not_exist = true}).status == status());
    expect_value(key, after, 0);
    CHECK(store(key, after, 10, {.must_not_exist = true}).status.is_key_exists());
    expect_value(key, after, 0);
    CHECK(store(key, before, 300, {.must_exist = true}).status == status());
    CHECK(store(key, after, 0, {.must_not_exist = true}).status.is_key_exists());
    expect_value(key, before, 300);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: conditions with a large value -> nothing of it is kept on failure") {
    const std::size_t size = longest_value(bytes_of(key), 3u << 20);
    prepare(false);
    CHECK(store(key, after, size, {.must_exist = true}).status.is_key_does_not_exist());
    expect_absent(key);
    prepare(true);
    CHECK(store(key, after, size, {.must_not_exist = true}).status.is_key_exists());
    expect_value(key, before, 300);
    CHECK(store(key, after, size, {.must_exist = true}).status == status());
    expect_value(key, after, size);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: no_compress with each condition -> the condition still counts") {
    prepare(true);
    CHECK(store(key, after, 200, {.must_not_exist = true, .no_compress = true}).status.is_key_exists());
    expect_value(key, before, 300);
    CHECK(store(key, after, 200, {.must_exist = true, .no_compress = true}).status == status());
    expect_value(key, after, 200);
    CHECK(store(key, before, 100, {.no_compress = true}).status == status());
    expect_value(key, before, 100);
  }

  TEST_CASE_FIXTURE(conditional_case, "store: both conditions -> refused before the doorbell") {
    prepare(true);
    const buffer b = take(200);
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(ns.store(bytes_of(key), b.ref(), soon(), {.must_exist = true, .must_not_exist = true}).status ==
          status(client::bad_argument));
    CHECK(queue_mark::of(ns.queue()) == mark);
    expect_value(key, before, 300);
  }
}
