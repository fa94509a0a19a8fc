// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <conformance/arena.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/doorbell.hpp>

#include <doctest/doctest.h>
#include <nkv/nkv.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// What a failed check prints of a status.
namespace doctest {
template <>
struct StringMaker<nkv::status> {
  static String convert(const nkv::status& s) {
    char text[96];
    std::snprintf(text, sizeof text, "%u/%02xh (%s)", static_cast<unsigned>(s.sct()), static_cast<unsigned>(s.sc()),
                  nkv::status_text(s.sct(), s.sc()));
    return text;
  }
};
}  // namespace doctest

namespace nkv_test {

using queue_ref = nkv::queue_pair_ref<nkv::exclusive, nkv::host::host_doorbell>;
using kv_namespace = nkv::namespace_ref<queue_ref>;
using kv_batch = nkv::batch<queue_ref>;
using nkv::byte_span;
using nkv::key_view;
using nkv::operation;
using nkv::outcome;
using nkv::status;
using client = nkv::client_status;

/// The target under test, as the suite needs it. One thread.
class fixture {
 public:
  fixture() = default;
  fixture(const fixture&) = delete;
  fixture& operator=(const fixture&) = delete;
  virtual ~fixture() = default;

  /// The namespace under test, over a queue pair of its own.
  [[nodiscard]] virtual kv_namespace ns() = 0;
  /// A read-only namespace of the same controller over the same queue pair, where the target has one.
  [[nodiscard]] virtual std::optional<kv_namespace> read_only() = 0;
  /// Set Features and Get Features of the namespace under test.
  [[nodiscard]] virtual status set_feature(nkv::feature_id feature, std::uint32_t value) = 0;
  [[nodiscard]] virtual nkv::result<std::uint32_t> get_feature(nkv::feature_id feature) = 0;
  /// Memory that the controller reaches.
  [[nodiscard]] virtual nkv_test::arena& memory() = 0;
};

/// The one that main() opened.
[[nodiscard]] fixture& target();

/// The running test case, or the part of it that `what` names, cannot say anything about this target. Prints why, and
/// counts it; the list of these is compared with what is expected of the target.
void skip(const std::string& reason, std::string_view what = {});

/// Long enough for anything that ends at all, on a busy machine and under a sanitizer too.
inline nkv::host::deadline soon() { return nkv::host::deadline::after_ms(60'000); }

inline key_view bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string text_of(key_view key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }
inline std::string hex_of(key_view key) {
  std::string text(2 * key.size(), ' ');
  key.to_hex(text.data());
  return text;
}

inline status generic(std::uint8_t sc) { return {nkv::status_code_type::generic, sc}; }
/// 85h to 89h come under either type, see status::is_key_exists().
inline bool is_kv_error(status s, std::uint8_t sc) {
  return s == status(nkv::status_code_type::generic, sc) || s == status(nkv::status_code_type::command_specific, sc);
}
inline status specific(std::uint8_t sc) { return {nkv::status_code_type::command_specific, sc}; }

/// What a queue has done, to be compared with what it has done later.
struct queue_mark {
  std::uint32_t posted, rung, sq_doorbells, cq_doorbells, outstanding, stray, late;
  friend bool operator==(const queue_mark&, const queue_mark&) = default;

  static queue_mark of(const queue_ref& q) {
    const nkv::queue_counters& c = q.counters();
    return {c.sq_next,       c.sq_rung,           c.sq_doorbells,    c.cq_doorbells,
            q.outstanding(), c.stray_completions, c.late_completions};
  }
};

/// What every case stands on: a namespace, memory with guards, keys that are gone afterwards. When a case ends, no
/// guard has changed, no command is outstanding, and none has completed twice or unasked.
class kv_case {
 public:
  kv_case() : ns(target().ns()), profile(ns.profile()), quirks(profile.quirks), limits(profile.limits) {}
  kv_case(const kv_case&) = delete;
  kv_case& operator=(const kv_case&) = delete;
  ~kv_case() {
    for (const std::string& k : stored_) forget(bytes_of(k));
    const std::string damage = target().memory().damage();
    CHECK_MESSAGE(damage.empty(), "memory outside of the buffers changed: " << damage);
    CHECK(ns.queue().outstanding() == 0);
    CHECK(ns.queue().counters().stray_completions == 0);
    CHECK(ns.queue().counters().late_completions == 0);
  }

  [[nodiscard]] buffer take(std::size_t size, std::size_t offset = 0) const {
    return target().memory().take(size, offset);
  }

  /// The `n`th key of the suite: `length` bytes, or as long as every namespace takes.
  [[nodiscard]] std::string name(unsigned n, std::size_t length = 0) const {
    char digits[16];
    std::snprintf(digits, sizeof digits, "%04u", n);
    std::string key = digits;
    if (length > key.size()) key.append(length - key.size(), '.');
    return key;
  }

  /// The longest value, at most `wanted`, that one command carries with `key` and the suite's memory holds.
  [[nodiscard]] std::uint64_t longest_value(key_view key, std::uint64_t wanted) const {
    wanted = longest_buffer(key, wanted);
    return limits.max_value_bytes < wanted ? limits.max_value_bytes : wanted;
  }
  /// The longest buffer, at most `wanted`, that one command carries with `key`, wherever it lies.
  [[nodiscard]] std::uint64_t longest_buffer(key_view key, std::uint64_t wanted) const {
    const std::uint64_t head = profile.head_bytes(key);
    if (limits.max_transfer_bytes != 0 && limits.max_transfer_bytes - head < wanted)
      wanted = limits.max_transfer_bytes - head;
    // Of two pages, the first may give no more than its last byte.
    const bool two_pages = !limits.sgl && !limits.prp_list;
    return two_pages && limits.page_bytes + 1 < wanted ? limits.page_bytes + 1 : wanted;
  }
  [[nodiscard]] bool takes_value(key_view key, std::uint64_t length) const {
    return longest_value(key, length) == length;
  }

  /// Whether a key of this length can be deleted, so that a case leaves nothing behind.
  [[nodiscard]] bool deletes(std::size_t key_bytes) const { return quirks.exist_and_delete_carry(key_bytes); }

  /// Stores the pattern of `seed` and checks that the controller only read it.
  outcome store(std::string_view key, std::uint64_t seed, std::size_t size, const nkv::store_options& options = {},
                std::size_t offset = 0) {
    return store(ns, key, seed, size, options, offset);
  }
  outcome store(const kv_namespace& to, std::string_view key, std::uint64_t seed, std::size_t size,
                const nkv::store_options& options = {}, std::size_t offset = 0) {
    const buffer b = take(size, offset);
    b.fill(seed);
    remember(key);
    const outcome o = to.store(bytes_of(key), b.ref(), soon(), options);
    CHECK_MESSAGE(b.holds(seed, size), "a Store changed its own value");
    return o;
  }

  /// Checks that `key` has the pattern of `seed`, `size` bytes long, and that a Retrieve says so.
  void expect_value(std::string_view key, std::uint64_t seed, std::size_t size, std::size_t offset = 0) {
    expect_value(ns, key, seed, size, offset);
  }
  void expect_value(const kv_namespace& from, std::string_view key, std::uint64_t seed, std::size_t size,
                    std::size_t offset = 0) {
    CAPTURE(hex_of(bytes_of(key)));
    CAPTURE(size);
    const buffer b = take(size, offset);
    const outcome o = from.retrieve(bytes_of(key), b.ref(), soon());
    CHECK(o.status == status());
    check_length(o, size);
    const std::size_t at = pattern_difference(b.data(), size, seed);
    CHECK_MESSAGE(at == size, "the value differs at byte " << at);
  }

  /// Checks that a Retrieve and an Exist both miss `key`, and that nothing is written.
  void expect_absent(std::string_view key) {
    CAPTURE(hex_of(bytes_of(key)));
    const buffer b = take(64);
    const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
    CHECK_MESSAGE(o.status.is_key_does_not_exist(), "retrieve: " << doctest::toString(o.status));
    CHECK_MESSAGE(b.untouched_from(0), "a miss wrote into the buffer");
    const outcome e = ns.exist(bytes_of(key), soon());
    CHECK_MESSAGE(e.status.is_key_does_not_exist(), "exist: " << doctest::toString(e.status));
  }

  /// Checks what an outcome says of the value's whole length, where the target says it.
  void check_length(const outcome& o, std::uint64_t size) const {
    if (quirks.reports_true_length) {
      CHECK(o.length_known);
      CHECK(o.length_bytes == size);
    }
  }

  /// Deletes `key`, which may be absent, and checks nothing.
  void forget(key_view key) const {
    if (deletes(key.size())) static_cast<void>(ns.remove(key, soon()).ok());
  }
  /// The case may leave this key: it is deleted at its end.
  void remember(std::string_view key) { stored_.insert(std::string(key)); }

  /// One command as it is, to its end.
  nkv::completion raw(const nkv::sqe& command) const {
    const nkv::result<nkv::ticket> t = ns.queue().submit(command);
    if (!t) return {t.error(), 0};
    const nkv::completion c = ns.queue().wait(*t, soon());
    REQUIRE_FALSE(c.status.is_client());
    REQUIRE(ns.queue().consume(*t).ok());
    return c;
  }

  /// All keys, page by page with buffers of `page_bytes`, in the order in which they come.
  /// @param[out] ended how the listing ended
  std::vector<std::string> list_keys(std::size_t page_bytes, key_view start, outcome& ended) {
    std::vector<std::string> keys;
    const buffer page = take(page_bytes);
    ended = ns.for_each_key(start, page.ref(), page.data(), soon(), [&keys](key_view k) {
      keys.push_back(text_of(k));
      return keys.size() < 100'000;
    });
    return keys;
  }

  kv_namespace ns;
  const nkv::namespace_profile profile;
  const nkv::quirks quirks;
  const nkv::limits limits;

 private:
  std::set<std::string> stored_;
};

}  // namespace nkv_test
