// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/execute.hpp>
#include <nkv/spec/status_code.hpp>

#include "golden_check.hpp"

#include <doctest/doctest.h>

using namespace nkv_test::golden;
using nkv::client_status;
using nkv::kv_execute;
using nkv::status;

namespace {

constexpr status bad_argument{client_status::bad_argument};

}  // namespace

TEST_SUITE("command/execute") {
  TEST_CASE("kv_execute: each key length -> the 64 bytes, CDW10 the whole payload") {
    NKV_CHECK_GOLDEN(execute_1, kv_execute(nsid, key(1), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_8, kv_execute(nsid, key(8), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_9, kv_execute(nsid, key(9), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_16, kv_execute(nsid, key(16), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_17, kv_execute(nsid, key(17), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_255, kv_execute(nsid, key(255), op_id, by_block, input_bytes, result_bytes));
    NKV_CHECK_GOLDEN(execute_16_prp, kv_execute(nsid, key(16), op_id, by_prp, 0, 0));
  }

  TEST_CASE("kv_execute: no key, or too long a one -> bad_argument") {
    CHECK(kv_execute(nsid, not_a_key(0), op_id, by_block, 0, 0).error() == bad_argument);
    CHECK(kv_execute(nsid, not_a_key(256), op_id, by_block, 0, 0).error() == bad_argument);
    CHECK(kv_execute(nsid, not_a_key(257), op_id, by_block, 0, 0).error() == bad_argument);
  }

  TEST_CASE("kv_execute: a payload of 32 bits and one more -> CDW10, then bad_argument, never a wrap") {
    CHECK(kv_execute(nsid, key(16), op_id, by_block, 0xffffffff - 18, 0)->cdw(10) == 0xffffffff);
    CHECK(kv_execute(nsid, key(16), op_id, by_block, 0xffffffff - 17, 0).error() == bad_argument);
    CHECK(kv_execute(nsid, key(255), op_id, by_block, 0xffffffff, 0).error() == bad_argument);
    CHECK(kv_execute(nsid, key(1), op_id, by_block, 0, 0xffffffff)->cdw(12) == 0xffffffff);
  }

  TEST_CASE("kv_execute: one entry after another in the same slot -> no dword is left from before") {
    nkv::sqe slot = *kv_execute(nsid, key(255), op_id, by_block, input_bytes, result_bytes);
    slot = *kv_execute(nsid, key(16), op_id, by_prp, 0, 0);
    CHECK(matches(slot, execute_16_prp));
  }
}
