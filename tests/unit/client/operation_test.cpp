// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/client/operation.hpp>

#include <doctest/doctest.h>

#include <initializer_list>

using namespace nkv;

TEST_SUITE("client/operation") {
  TEST_CASE("factories: what is not theirs stays zero") {
    const key_view k = key_view::from_text("k");
    std::byte local{};
    const operation s = operation::store(k, {1, 2, 3}, {.ephemeral = true}, 4);
    CHECK((s.opcode == kv_opcode::store && s.key == k && s.value == value_ref{1, 2, 3} && s.store_opts.ephemeral &&
           s.user_tag == 4));
    const operation r = operation::retrieve(k, {1, 2, 3}, {.raw = true}, 5);
    CHECK((r.opcode == kv_opcode::retrieve && r.retrieve_opts.raw && r.user_tag == 5));
    CHECK((operation::remove(k, 6).opcode == kv_opcode::remove && operation::remove(k, 6).value == value_ref{}));
    CHECK((operation::exist(k, 7).opcode == kv_opcode::exist && operation::exist(k, 7).user_tag == 7));
    const operation l = operation::list({}, {1, 2, 0}, &local, 8);
    CHECK((l.opcode == kv_opcode::list && l.local == &local && l.key.empty() && l.user_tag == 8));
    const operation e = operation::execute(11, k, {1, 2, 0}, &local, 12, 13, 14);
    CHECK((e.opcode == kv_opcode::execute && e.op_id == 11 && e.input_bytes == 12 && e.result_bytes == 13 &&
           e.user_tag == 14));
  }

  TEST_CASE("mutates: what may change the store") {
    for (const kv_opcode o : {kv_opcode::store, kv_opcode::remove, kv_opcode::execute})
      CHECK(operation::opcode_mutates(o));
    for (const kv_opcode o : {kv_opcode::retrieve, kv_opcode::exist, kv_opcode::list, kv_opcode::flush})
      CHECK_FALSE(operation::opcode_mutates(o));
  }

  TEST_CASE("execute_input_offset: behind the head") { CHECK(execute_input_offset(key_view::from_text("abc")) == 5); }
}
