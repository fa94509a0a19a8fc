// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/retrieve.hpp>
#include <nkv/spec/status_code.hpp>

#include "golden_check.hpp"

#include <doctest/doctest.h>

using namespace nkv_test::golden;
using nkv::client_status;
using nkv::key_encoding;
using nkv::kv_retrieve;
using nkv::status;

namespace {

constexpr key_encoding in_dwords = key_encoding::inline_cdw;
constexpr key_encoding in_head = key_encoding::payload_head;
constexpr nkv::retrieve_options raw{true};

}  // namespace

TEST_SUITE("command/retrieve") {
  TEST_CASE("kv_retrieve: inline_cdw, each key length, raw, each data pointer -> the 64 bytes") {
    NKV_CHECK_GOLDEN(retrieve_1, kv_retrieve(nsid, key(1), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_8, kv_retrieve(nsid, key(8), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_9, kv_retrieve(nsid, key(9), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_16, kv_retrieve(nsid, key(16), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_16_raw, kv_retrieve(nsid, key(16), in_dwords, by_prp, value_bytes, raw));
    NKV_CHECK_GOLDEN(retrieve_16_block, kv_retrieve(nsid, key(16), in_dwords, by_block, value_bytes));
  }

  TEST_CASE("kv_retrieve: payload_head, each key length -> the same 64 bytes, no dword of the key") {
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(1), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(8), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(9), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(16), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(17), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head, kv_retrieve(nsid, key(255), in_head, by_segment, value_bytes));
    NKV_CHECK_GOLDEN(retrieve_head_raw, kv_retrieve(nsid, key(255), in_head, by_segment, value_bytes, raw));
  }

  TEST_CASE("kv_retrieve: a key that the encoding does not carry -> bad_argument") {
    constexpr status bad_argument{client_status::bad_argument};
    CHECK(kv_retrieve(nsid, not_a_key(0), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_retrieve(nsid, key(17), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_retrieve(nsid, not_a_key(256), in_dwords, by_prp, 1).error() == bad_argument);
    CHECK(kv_retrieve(nsid, not_a_key(0), in_head, by_segment, 1).error() == bad_argument);
    CHECK(kv_retrieve(nsid, not_a_key(256), in_head, by_segment, 1).error() == bad_argument);
  }

  TEST_CASE("kv_retrieve: one entry after another in the same slot -> no dword is left from before") {
    nkv::sqe slot = *kv_retrieve(nsid, key(16), in_dwords, by_block, value_bytes, raw);
    slot = *kv_retrieve(nsid, key(1), in_dwords, by_prp, value_bytes);
    CHECK(matches(slot, retrieve_1));
    slot = *kv_retrieve(nsid, key(16), in_head, by_segment, value_bytes);
    CHECK(matches(slot, retrieve_head));
  }
}
