// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/exist.hpp>
#include <nkv/spec/status_code.hpp>

#include "golden_check.hpp"

#include <doctest/doctest.h>

using namespace nkv_test::golden;
using nkv::client_status;
using nkv::key_encoding;
using nkv::kv_exist;
using nkv::status;

namespace {

constexpr key_encoding in_dwords = key_encoding::inline_cdw;
constexpr key_encoding in_head = key_encoding::payload_head;

}  // namespace

TEST_SUITE("command/exist") {
  TEST_CASE("kv_exist: inline_cdw, each key length -> the 64 bytes, no data pointer") {
    NKV_CHECK_GOLDEN(exist_1, kv_exist(nsid, key(1), in_dwords));
    NKV_CHECK_GOLDEN(exist_8, kv_exist(nsid, key(8), in_dwords));
    NKV_CHECK_GOLDEN(exist_9, kv_exist(nsid, key(9), in_dwords));
    NKV_CHECK_GOLDEN(exist_16, kv_exist(nsid, key(16), in_dwords));
  }

  TEST_CASE("kv_exist: inline_cdw with a head offered -> the data pointer stays zero") {
    NKV_CHECK_GOLDEN(exist_16, kv_exist(nsid, key(16), in_dwords, head_of(16)));
    NKV_CHECK_GOLDEN(exist_16, kv_exist(nsid, key(16), in_dwords, by_prp));
  }

  TEST_CASE("kv_exist: payload_head, each key length -> both ways up to 16 bytes, above it by the head alone") {
    NKV_CHECK_GOLDEN(exist_head_1, kv_exist(nsid, key(1), in_head, head_of(1)));
    NKV_CHECK_GOLDEN(exist_head_8, kv_exist(nsid, key(8), in_head, head_of(8)));
    NKV_CHECK_GOLDEN(exist_head_9, kv_exist(nsid, key(9), in_head, head_of(9)));
    NKV_CHECK_GOLDEN(exist_head_16, kv_exist(nsid, key(16), in_head, head_of(16)));
    NKV_CHECK_GOLDEN(exist_head_17, kv_exist(nsid, key(17), in_head, head_of(17)));
    NKV_CHECK_GOLDEN(exist_head_255, kv_exist(nsid, key(255), in_head, head_of(255)));
  }

  TEST_CASE("kv_exist: payload_head without a head, for a controller without SGLs -> the dwords alone") {
    NKV_CHECK_GOLDEN(exist_16, kv_exist(nsid, key(16), in_head));
  }

  TEST_CASE("kv_exist: a key that the encoding does not carry -> bad_argument") {
    constexpr status bad_argument{client_status::bad_argument};
    CHECK(kv_exist(nsid, not_a_key(0), in_dwords).error() == bad_argument);
    CHECK(kv_exist(nsid, key(17), in_dwords).error() == bad_argument);
    CHECK(kv_exist(nsid, key(255), in_dwords).error() == bad_argument);
    CHECK(kv_exist(nsid, not_a_key(256), in_dwords).error() == bad_argument);
    CHECK(kv_exist(nsid, not_a_key(272), in_dwords).error() == bad_argument);
    CHECK(kv_exist(nsid, not_a_key(0), in_head, head_of(0)).error() == bad_argument);
    CHECK(kv_exist(nsid, not_a_key(256), in_head, head_of(256)).error() == bad_argument);
    CHECK(kv_exist(nsid, not_a_key(272), in_head, head_of(272)).error() == bad_argument);
  }

  TEST_CASE("kv_exist: one entry after another in the same slot -> no dword is left from before") {
    nkv::sqe slot = *kv_exist(nsid, key(16), in_head, head_of(16));
    slot = *kv_exist(nsid, key(1), in_dwords);
    CHECK(matches(slot, exist_1));
    slot = *kv_exist(nsid, key(17), in_head, head_of(17));
    CHECK(matches(slot, exist_head_17));
  }
}
