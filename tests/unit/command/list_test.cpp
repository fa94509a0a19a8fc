// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/list.hpp>
#include <nkv/spec/status_code.hpp>

#include "golden_check.hpp"

#include <doctest/doctest.h>

using namespace nkv_test::golden;
using nkv::client_status;
using nkv::key_encoding;
using nkv::key_view;
using nkv::kv_list;
using nkv::status;

namespace {

constexpr key_encoding in_dwords = key_encoding::inline_cdw;
constexpr key_encoding in_head = key_encoding::payload_head;

}  // namespace

TEST_SUITE("command/list") {
  TEST_CASE("kv_list: inline_cdw, from the first key and from keys of each length -> the 64 bytes") {
    NKV_CHECK_GOLDEN(list_0, kv_list(nsid, key_view{}, in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(list_1, kv_list(nsid, key(1), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(list_8, kv_list(nsid, key(8), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(list_9, kv_list(nsid, key(9), in_dwords, by_prp, value_bytes));
    NKV_CHECK_GOLDEN(list_16, kv_list(nsid, key(16), in_dwords, by_prp, value_bytes));
  }

  TEST_CASE("kv_list: payload_head, from the first key and from keys of each length -> the same 64 bytes") {
    NKV_CHECK_GOLDEN(list_head, kv_list(nsid, key_view{}, in_head, by_block, value_bytes));
    NKV_CHECK_GOLDEN(list_head, kv_list(nsid, key(1), in_head, by_block, value_bytes));
    NKV_CHECK_GOLDEN(list_head, kv_list(nsid, key(16), in_head, by_block, value_bytes));
    NKV_CHECK_GOLDEN(list_head, kv_list(nsid, key(17), in_head, by_block, value_bytes));
    NKV_CHECK_GOLDEN(list_head, kv_list(nsid, key(255), in_head, by_block, value_bytes));
  }

  TEST_CASE("kv_list: a start key that the encoding does not carry -> bad_argument") {
    constexpr status bad_argument{client_status::bad_argument};
    CHECK(kv_list(nsid, key(17), in_dwords, by_prp, 4096).error() == bad_argument);
    CHECK(kv_list(nsid, key(255), in_dwords, by_prp, 4096).error() == bad_argument);
    CHECK(kv_list(nsid, not_a_key(256), in_dwords, by_prp, 4096).error() == bad_argument);
    CHECK(kv_list(nsid, not_a_key(256), in_head, by_block, 4096).error() == bad_argument);
  }

  TEST_CASE("kv_list: one entry after another in the same slot -> no dword is left from before") {
    nkv::sqe slot = *kv_list(nsid, key(16), in_dwords, by_block, value_bytes);
    slot = *kv_list(nsid, key_view{}, in_dwords, by_prp, value_bytes);
    CHECK(matches(slot, list_0));
  }
}
