// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv_test;

namespace {

using clock_type = nkv::host::steady_clock;

constexpr std::uint64_t second_ns = 1'000'000'000;

struct option_case : kv_case {
  /// Whether a Store with these options is honoured; else the reason, as skip() wants it.
  std::string refusal(const nkv::store_options& options) {
    if ((options.bits() & quirks.dropped_store_options) != 0) return "the target is known to drop the option";
    const buffer b = take(0);
    remember(name(900));
    const outcome o = ns.store(bytes_of(name(900)), b.ref(), soon(), options);
    if (o.status == generic(nkv::generic_status::invalid_field)) return "the target refuses the option";
    CHECK(o.status == status());
    return {};
  }

  [[nodiscard]] bool there(const std::string& key) const { return ns.exist(bytes_of(key), soon()).ok(); }

  static void sleep_until(std::uint64_t at_ns) {
    const std::uint64_t now = clock_type::now_ns();
    if (now < at_ns) std::this_thread::sleep_for(std::chrono::nanoseconds(at_ns - now));
  }

  /// Waits until `key` is gone. @return when it was last seen, and when it was first missed
  std::pair<std::uint64_t, std::uint64_t> wait_until_gone(const std::string& key, std::uint64_t limit_ns) const {
    std::uint64_t seen = clock_type::now_ns();
    for (;;) {
      const std::uint64_t asked = clock_type::now_ns();
      if (!there(key)) return {seen, clock_type::now_ns()};
      seen = asked;
      if (asked > limit_ns) return {seen, ~std::uint64_t{0}};
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

}  // namespace

TEST_SUITE("conformance/option") {
  TEST_CASE_FIXTURE(option_case, "ttl: one second; touched; overwritten -> gone; later; stays") {
    if (const std::string why = refusal({.ttl_s = 100}); !why.empty()) return skip(why);
    const std::string plain = name(1);
    const std::string touched = name(2);
    const std::string kept = name(3);
    const std::string replaced = name(4);
    const bool touch = refusal({.touch = true, .ttl_s = 100}).empty();

    // The machine may be slow: what is looked at too late to mean anything is tried again with more time.
    bool told = false;
    for (std::uint32_t ttl_s = 1; !told && ttl_s <= 4; ttl_s *= 2) {
      const std::uint64_t ttl_ns = ttl_s * second_ns;
      const std::uint64_t begin = clock_type::now_ns();
      REQUIRE(store(plain, 1, 100, {.ttl_s = ttl_s}).status == status());
      REQUIRE(store(touched, 2, 100, {.ttl_s = ttl_s}).status == status());
      REQUIRE(store(kept, 3, 100, {.ttl_s = ttl_s}).status == status());
      REQUIRE(store(replaced, 4, 100, {.ttl_s = ttl_s}).status == status());
      REQUIRE(store(replaced, 5, 50).status == status());
      const std::uint64_t stored = clock_type::now_ns();
      expect_value(plain, 1, 100);
      if (touch) {
        sleep_until(begin + ttl_ns * 7 / 10);
        REQUIRE(store(kept, 0, 0, {.touch = true}).status.is_client() == false);
        REQUIRE(store(touched, 0, 0, {.touch = true, .ttl_s = ttl_s}).status.is_client() == false);
      }
      const std::uint64_t touched_at = clock_type::now_ns();

      const auto [seen, missed] = wait_until_gone(plain, begin + 3 * ttl_ns);
      REQUIRE_MESSAGE(missed != ~std::uint64_t{0}, "three times its time to live is over, and the key still there");
      CHECK_MESSAGE(missed > begin + ttl_ns - second_ns / 100, "gone before its time");
      static_cast<void>(seen);
      static_cast<void>(stored);
      CHECK(ns.retrieve(bytes_of(plain), {}, soon()).status.is_key_does_not_exist());
      expect_value(replaced, 5, 50);
      if (touch) {
        const bool touched_there = there(touched);
        const bool kept_there = there(kept);
        if (clock_type::now_ns() < begin + ttl_ns * 17 / 10 && touched_at < begin + ttl_ns) {
          told = true;
          CHECK_MESSAGE(touched_there, "a touched key did not outlive its first time to live");
          CHECK_MESSAGE(kept_there, "a touch without a time of its own did not restart the old one");
          expect_value(touched, 2, 100);
        }
        CHECK(wait_until_gone(touched, touched_at + 3 * ttl_ns).second != ~std::uint64_t{0});
        CHECK(wait_until_gone(kept, touched_at + 3 * ttl_ns).second != ~std::uint64_t{0});
      } else {
        told = true;
      }
    }
    CHECK_MESSAGE(told, "the machine is too slow to tell");
    expect_value(replaced, 5, 50);
    // What is gone is gone for conditions and listings too.
    outcome end;
    const std::vector<std::string> keys = list_keys(4096, {}, end);
    CHECK(std::count(keys.begin(), keys.end(), plain) == 0);
    CHECK(store(plain, 6, 10, {.must_exist = true}).status.is_key_does_not_exist());
    CHECK(store(plain, 6, 10, {.must_not_exist = true}).status == status());
    expect_value(plain, 6, 10);
  }

  TEST_CASE_FIXTURE(option_case, "ttl: valid and zero, on the wire -> 0/02h") {
    if (const std::string why = refusal({.ttl_s = 100}); !why.empty()) return skip(why);
    const buffer b = take(300);
    const std::size_t head = profile.head_bytes(bytes_of(name(1)));
    if (head != 0) nkv::write_head(b.data(), bytes_of("0001"));
    const auto c = nkv::kv_store(profile.nsid, bytes_of("0001"), quirks.encoding,
                                 nkv::value_data_pointer(limits, true, {}, b.ref(head + 100)), 100, {.ttl_s = 1});
    REQUIRE(c);
    nkv::sqe command = *c;
    command.set_cdw(12, 0);
    CHECK(raw(command).status == generic(nkv::generic_status::invalid_field));
    expect_absent(name(1));
  }

  TEST_CASE_FIXTURE(option_case, "touch: present and absent -> the value stays; 87h") {
    REQUIRE(store(name(900), 1, 10).ok());
    if (const std::string why = refusal({.touch = true}); !why.empty()) return skip(why);
    REQUIRE(store(name(1), 1, 1000).status == status());
    CHECK(store(name(1), 0, 0, {.touch = true}).status == status());
    expect_value(name(1), 1, 1000);
    CHECK(store(name(2), 0, 0, {.touch = true}).status.is_key_does_not_exist());
    expect_absent(name(2));
  }

  TEST_CASE_FIXTURE(option_case, "ephemeral: stored -> as stored, or evicted; never another value") {
    if (const std::string why = refusal({.ephemeral = true}); !why.empty()) return skip(why);
    for (unsigned n = 0; n < 20; ++n) REQUIRE(store(name(n), n, 1000, {.ephemeral = true}).status == status());
    for (unsigned n = 0; n < 20; ++n) {
      const buffer b = take(1000);
      const outcome o = ns.retrieve(bytes_of(name(n)), b.ref(), soon());
      if (o.status.is_key_does_not_exist()) continue;
      CHECK(o.status == status());
      CHECK(b.holds(n, 1000));
    }
    REQUIRE(store(name(1), 99, 10).status == status());
    expect_value(name(1), 99, 10);
  }
}

TEST_SUITE("conformance/execute") {
  TEST_CASE_FIXTURE(kv_case, "execute: an operation that nobody allowed -> 0/01h, and nothing changes") {
    REQUIRE(store(name(1), 1, 100).ok());
    const buffer b = take(256);
    for (const std::uint32_t op_id : {0xffff'fff0u, 0x8000'0001u}) {
      b.wipe();
      const outcome o = ns.execute(op_id, bytes_of("0001"), b.ref(), b.data(), 20, 128, soon());
      CHECK(o.status == generic(nkv::generic_status::invalid_opcode));
      CHECK(b.untouched_from(6));
    }
    expect_value(name(1), 1, 100);
  }
}

TEST_SUITE("conformance/read-only") {
  TEST_CASE_FIXTURE(kv_case, "read-only: Store and Delete -> 1/82h; the rest works") {
    const std::optional<kv_namespace> found = target().read_only();
    if (!found) return skip("no read-only namespace was named");
    // A client that does not know it.
    nkv::namespace_profile p = found->profile();
    p.read_only = false;
    const kv_namespace frozen{found->queue(), p};
    const status refused = specific(nkv::command_status::namespace_read_only);
    const std::string key = name(1);
    CHECK(store(frozen, key, 1, 100).status == refused);
    CHECK(store(frozen, key, 1, 100, {.must_not_exist = true}).status == refused);
    CHECK(store(frozen, key, 1, 0, {.must_exist = true}).status == refused);
    CHECK(frozen.remove(bytes_of(key), soon()).status == refused);
    const buffer b = take(64);
    CHECK(frozen.retrieve(bytes_of(key), b.ref(), soon()).status.is_key_does_not_exist());
    CHECK(frozen.exist(bytes_of(key), soon()).status.is_key_does_not_exist());
    CHECK(b.untouched_from(0));
    CHECK(frozen.list({}, b.ref(), b.data(), soon()).status == status());
    // The other namespace is none the worse.
    REQUIRE(store(key, 2, 100).status == status());
    expect_value(key, 2, 100);
    CHECK(frozen.exist(bytes_of(key), soon()).status.is_key_does_not_exist());
  }
}
