// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

using namespace nkv_test;

namespace {

struct value_case : kv_case {
  std::string key = name(1);

  void round_trip(std::size_t size, std::uint64_t seed) {
    CAPTURE(size);
    REQUIRE(store(key, seed, size).status == status());
    expect_value(key, seed, size);
  }
};

}  // namespace

TEST_SUITE("conformance/value") {
  TEST_CASE_FIXTURE(value_case, "store: an empty value -> exists, and is retrieved as empty") {
    REQUIRE(store(key, 1, 0).status == status());
    CHECK(ns.exist(bytes_of(key), soon()).status == status());
    expect_value(key, 1, 0);
    const buffer b = take(100);
    const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
    CHECK(o.status == status());
    check_length(o, 0);
    CHECK(b.untouched_from(0));
  }

  TEST_CASE_FIXTURE(value_case, "store: an empty value over a value and back -> the last one counts") {
    const std::size_t size = longest_value(bytes_of(key), 5000);
    REQUIRE(store(key, 1, size).status == status());
    REQUIRE(store(key, 2, 0).status == status());
    expect_value(key, 2, 0);
    REQUIRE(store(key, 3, size).status == status());
    expect_value(key, 3, size);
  }

  TEST_CASE_FIXTURE(value_case, "retrieve: a longer buffer -> the value, its length, and nothing behind it") {
    std::size_t left_out = 0;
    for (const std::size_t size : {1u, 2u, 3u, 4u, 63u, 100u, 4095u, 4096u, 4097u}) {
      CAPTURE(size);
      if (!takes_value(bytes_of(key), size)) {
        ++left_out;
        continue;
      }
      REQUIRE(store(key, size, size).status == status());
      for (const std::size_t more : {1u, 3u, 4u, 4096u}) {
        if (longest_buffer(bytes_of(key), size + more) != size + more) {
          ++left_out;
          continue;
        }
        const buffer b = take(size + more);
        const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
        CHECK(o.status == status());
        check_length(o, size);
        CHECK(b.holds(size, size));
        CHECK(b.untouched_from(size));
      }
    }
    if (left_out != 0) skip("longer than a value or a command of this target may be", "some lengths");
  }

  TEST_CASE_FIXTURE(value_case, "retrieve: a shorter buffer -> value_too_large with the true length") {
    std::size_t left_out = 0;
    for (const std::size_t size : {2u, 5u, 100u, 4096u, 4097u, 8192u}) {
      if (!takes_value(bytes_of(key), size)) {
        ++left_out;
        continue;
      }
      REQUIRE(store(key, size, size).status == status());
      for (const std::size_t room : {std::size_t{1}, size / 2, size - 1}) {
        CAPTURE(size);
        CAPTURE(room);
        const buffer b = take(room);
        const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
        if (!quirks.reports_true_length && o.ok()) {
          CHECK(b.holds(size, room));
          continue;
        }
        CHECK(o.status == status(client::value_too_large));
        check_length(o, size);
        const bool beginning_or_nothing = b.holds(size, room) || b.untouched_from(0);
        CHECK(beginning_or_nothing);
      }
    }
    if (left_out != 0) skip("longer than a value or a command of this target may be", "some lengths");
  }

  TEST_CASE_FIXTURE(value_case, "retrieve: a buffer without room -> value_too_large with the true length") {
    REQUIRE(store(key, 1, 1000).status == status());
    const outcome o = ns.retrieve(bytes_of(key), nkv::value_ref{}, soon());
    if (quirks.reports_true_length) {
      CHECK(o.status == status(client::value_too_large));
      check_length(o, 1000);
    } else {
      CHECK(o.status == status());
    }
  }

  TEST_CASE_FIXTURE(value_case, "retrieve: raw -> what was stored") {
    REQUIRE(store(key, 1, 1000, {.no_compress = true}).status == status());
    const buffer b = take(1000);
    const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon(), {.raw = true});
    CHECK(o.status == status());
    CHECK(b.holds(1, 1000));
  }

  TEST_CASE_FIXTURE(value_case, "retrieve: twice and into several buffers -> the value stays") {
    REQUIRE(store(key, 1, 3000).status == status());
    for (unsigned i = 0; i < 3; ++i) expect_value(key, 1, 3000, i);
  }

  TEST_CASE_FIXTURE(value_case, "store: every length from 1 to 300 bytes -> as stored") {
    for (std::size_t size = 1; size <= 300; ++size) round_trip(size, size);
  }

  TEST_CASE_FIXTURE(value_case, "store: overwritten shorter, longer and equally long -> only the last value is there") {
    std::uint64_t seed = 0;
    for (const std::size_t size : {1000u, 10u, 4096u, 1u, 4097u, 4097u, 0u, 70'000u, 12u, 70'000u, 69'999u})
      if (takes_value(bytes_of(key), size)) round_trip(size, ++seed);
  }

  TEST_CASE_FIXTURE(value_case, "store: two keys -> each keeps its own value") {
    const std::string other = name(2);
    REQUIRE(store(key, 1, 500).status == status());
    REQUIRE(store(other, 2, 600).status == status());
    expect_value(key, 1, 500);
    expect_value(other, 2, 600);
    REQUIRE(ns.remove(bytes_of(key), soon()).ok());
    expect_absent(key);
    expect_value(other, 2, 600);
  }

  TEST_CASE_FIXTURE(value_case, "store: powers of two from 4 KiB to 1 MiB, and one off -> as stored") {
    std::size_t left_out = 0;
    for (std::size_t size = 4096; size <= 1u << 20; size *= 2) {
      for (const std::size_t s : {size - 1, size, size + 1}) {
        if (takes_value(bytes_of(key), s))
          round_trip(s, s);
        else
          ++left_out;
      }
    }
    if (left_out != 0) skip("longer than a value or a command of this target may be", "some lengths");
  }

  TEST_CASE_FIXTURE(value_case, "store: 16 MiB -> as stored") {
    const std::size_t size = 16u << 20;
    if (!takes_value(bytes_of(key), size)) return skip("longer than a value or a command of this target may be");
    round_trip(size, 16);
  }

  TEST_CASE_FIXTURE(value_case, "store: 64 MiB, and an odd length beyond 32 MiB -> as stored") {
    const std::size_t size = 64u << 20;
    if (!takes_value(bytes_of(key), size)) return skip("longer than a value or a command of this target may be");
    round_trip(size, 64);
    round_trip((32u << 20) + 4097, 65);
    const buffer b = take(100'000, 3);
    const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
    CHECK(o.status == status(client::value_too_large));
    check_length(o, (32u << 20) + 4097);
  }

  TEST_CASE_FIXTURE(value_case, "exist: of a stored value -> there, with its length where the target tells it") {
    const std::size_t size = longest_value(bytes_of(key), 12'345);
    REQUIRE(store(key, 1, size).status == status());
    const outcome o = ns.exist(bytes_of(key), soon());
    CHECK(o.status == status());
    CHECK(o.length_known == quirks.exist_reports_length);
    if (o.length_known) CHECK(o.length_bytes == size);
  }
}
