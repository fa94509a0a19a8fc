// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/store.hpp>
#include <nkv/spec/status_code.hpp>

#include "golden_check.hpp"

#include <doctest/doctest.h>

using namespace nkv_test::golden;
using nkv::client_status;
using nkv::data_pointer;
using nkv::key_encoding;
using nkv::kv_store;
using nkv::status;
using nkv::store_options;

namespace {

constexpr key_encoding in_dwords = key_encoding::inline_cdw;
constexpr key_encoding in_head = key_encoding::payload_head;
constexpr status bad_argument{client_status::bad_argument};
constexpr std::uint32_t a_day_s = 86400;
constexpr std::uint32_t longest_s = 0xffffffff;

constexpr store_options with(bool must_exist, bool must_not_exist, bool no_compress, bool ephemeral, bool touch,
                             std::uint32_t ttl_s) {
  store_options o;
  o.must_exist = must_exist;
  o.must_not_exist = must_not_exist;
  o.no_compress = no_compress;
  o.ephemeral = ephemeral;
  o.touch = touch;
  o.ttl_s = ttl_s;
  return o;
}
constexpr store_options must_exist = with(true, false, false, false, false, 0);
constexpr store_options must_not_exist = with(false, true, false, false, false, 0);
constexpr store_options no_compress = with(false, false, true, false, false, 0);
constexpr store_options ephemeral = with(false, false, false, true, false, 0);
constexpr store_options touch = with(false, false, false, false, true, 0);
constexpr store_options ttl = with(false, false, false, false, false, a_day_s);
constexpr store_options touch_ttl = with(false, false, false, false, true, a_day_s);
constexpr store_options all_must_exist = with(true, false, true, true, false, longest_s);
constexpr store_options all_must_not_exist = with(false, true, true, true, false, longest_s);
constexpr store_options all_touch = with(true, false, true, true, true, longest_s);

}  // namespace

TEST_SUITE("command/store") {
  TEST_CASE("kv_store: inline_cdw, each key length and data pointer -> the 64 bytes") {
    NKV_CHECK_GOLDEN(store_1, kv_store(nsid, key(1), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(store_8, kv_store(nsid, key(8), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(store_9, kv_store(nsid, key(9), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(store_16, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(store_16_block, kv_store(nsid, key(16), in_dwords, by_block, value_bytes));
    NKV_CHECK_GOLDEN(store_16_empty, kv_store(nsid, key(16), in_dwords, data_pointer{}, 0));
  }

  TEST_CASE("kv_store: inline_cdw, each option alone and all together -> CDW11 and CDW12") {
    NKV_CHECK_GOLDEN(store_must_exist, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, must_exist));
    NKV_CHECK_GOLDEN(store_must_not_exist, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, must_not_exist));
    NKV_CHECK_GOLDEN(store_no_compress, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, no_compress));
    NKV_CHECK_GOLDEN(store_ttl, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, ttl));
    NKV_CHECK_GOLDEN(store_ephemeral, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, ephemeral));
    NKV_CHECK_GOLDEN(store_touch, kv_store(nsid, key(16), in_dwords, data_pointer{}, 0, touch));
    NKV_CHECK_GOLDEN(store_touch_ttl, kv_store(nsid, key(16), in_dwords, data_pointer{}, 0, touch_ttl));
    NKV_CHECK_GOLDEN(store_all_must_exist, kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, all_must_exist));
    NKV_CHECK_GOLDEN(store_all_must_not_exist,
                     kv_store(nsid, key(16), in_dwords, by_prp, value_bytes, all_must_not_exist));
    NKV_CHECK_GOLDEN(store_all_touch, kv_store(nsid, key(16), in_dwords, data_pointer{}, 0, all_touch));
  }

  TEST_CASE("kv_store: payload_head, each key length -> the same 64 bytes, no dword of the key") {
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(1), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(8), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(9), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(16), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(17), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head, kv_store(nsid, key(255), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(store_head_all_must_exist,
                     kv_store(nsid, key(255), in_head, by_segment, value_bytes, all_must_exist));
    NKV_CHECK_GOLDEN(store_head_all_must_not_exist,
                     kv_store(nsid, key(16), in_head, by_segment, value_bytes, all_must_not_exist));
    NKV_CHECK_GOLDEN(store_head_17_empty, kv_store(nsid, key(17), in_head, head_of(17), 0));
    NKV_CHECK_GOLDEN(store_head_17_touch, kv_store(nsid, key(17), in_head, head_of(17), 0, touch));
  }

  TEST_CASE("kv_store: a key that the encoding does not carry -> bad_argument") {
    CHECK(kv_store(nsid, not_a_key(0), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_store(nsid, key(17), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_store(nsid, key(255), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_store(nsid, not_a_key(256), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_store(nsid, not_a_key(272), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_store(nsid, not_a_key(0), in_head, by_segment, 1).error() == bad_argument);
    CHECK(kv_store(nsid, not_a_key(256), in_head, by_segment, 1).error() == bad_argument);
    CHECK(kv_store(nsid, not_a_key(257), in_head, by_segment, 1).error() == bad_argument);
  }

  TEST_CASE("kv_store: options that exclude each other -> bad_argument") {
    store_options both = must_exist;
    both.must_not_exist = true;
    CHECK(kv_store(nsid, key(16), in_dwords, by_prp, 1, both).error() == bad_argument);
    CHECK(kv_store(nsid, key(16), in_dwords, by_prp, 1, touch).error() == bad_argument);
    CHECK(kv_store(nsid, key(16), in_head, by_segment, 1, touch).error() == bad_argument);
  }

  TEST_CASE("kv_store: one entry after another in the same slot -> no dword is left from before") {
    nkv::sqe slot = *kv_store(nsid, key(16), in_dwords, by_block, value_bytes, all_must_exist);
    slot = *kv_store(nsid, key(1), in_dwords, by_prp, value_bytes);
    CHECK(matches(slot, store_1));
    slot = *kv_store(nsid, key(255), in_head, by_segment, value_bytes);
    CHECK(matches(slot, store_head));
  }

  TEST_CASE("kv_store: the greatest value -> all 32 bits of CDW10") {
    CHECK(kv_store(nsid, key(16), in_dwords, by_prp, 0xffffffff)->cdw(10) == 0xffffffff);
    CHECK(kv_store(0xffffffff, key(16), in_dwords, by_prp, 1)->nsid() == 0xffffffff);
  }
}
