// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/client/outcome.hpp>

#include <doctest/doctest.h>

#include <initializer_list>

using namespace nkv;

namespace {

kv_ticket of(kv_opcode opc, std::uint64_t buffer_bytes = 0) {
  kv_ticket t;
  t.opcode = opc;
  t.buffer_bytes = buffer_bytes;
  return t;
}

constexpr status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }
constexpr status specific(std::uint8_t sc) { return {status_code_type::command_specific, sc}; }

}  // namespace

TEST_SUITE("client/outcome") {
  TEST_CASE("Retrieve: DW0 is the true length; more than the buffer -> value_too_large") {
    namespace_profile p;
    outcome o = read_outcome(of(kv_opcode::retrieve, 100), p, {{}, 100});
    CHECK((o.ok() && o.length_known && o.length_bytes == 100));
    o = read_outcome(of(kv_opcode::retrieve, 100), p, {{}, 101});
    CHECK((o.status == status(client_status::value_too_large) && o.length_known && o.length_bytes == 101));
    o = read_outcome(of(kv_opcode::retrieve, 100), p, {specific(0x81), 5000});
    CHECK((o.status == status(client_status::value_too_large) && o.length_known && o.length_bytes == 5000));
    for (const status s : {generic(0x85), specific(0x85)}) {
      o = read_outcome(of(kv_opcode::retrieve, 100), p, {s, 0});
      CHECK((o.status == status(client_status::value_too_large) && !o.length_known));
      o = read_outcome(of(kv_opcode::retrieve, 100), p, {s, 300});
      CHECK((o.status == status(client_status::value_too_large) && o.length_known && o.length_bytes == 300));
    }
  }

  TEST_CASE("0/81h is the namespace's capacity, 1/81h a short buffer") {
    namespace_profile p;
    CHECK(read_outcome(of(kv_opcode::store, 10), p, {generic(0x81), 0}).status == generic(0x81));
    CHECK(read_outcome(of(kv_opcode::retrieve, 10), p, {generic(0x81), 0}).status == generic(0x81));
  }

  TEST_CASE("a target that tells no length: DW0 is not read") {
    namespace_profile p;
    p.quirks.reports_true_length = false;
    const outcome o = read_outcome(of(kv_opcode::retrieve, 100), p, {{}, 12345});
    CHECK((o.ok() && !o.length_known && o.length_bytes == 100));
  }

  TEST_CASE("no completion: what changes is unknown, what does not is disconnected or timed out") {
    namespace_profile p;
    for (const client_status c : {client_status::disconnected, client_status::timed_out}) {
      for (const kv_opcode opc : {kv_opcode::store, kv_opcode::remove, kv_opcode::execute})
        CHECK(read_outcome(of(opc), p, {c, 0}).status == status(client_status::outcome_unknown));
      for (const kv_opcode opc : {kv_opcode::retrieve, kv_opcode::exist, kv_opcode::list})
        CHECK(read_outcome(of(opc), p, {c, 0}).status == status(c));
    }
    CHECK(read_outcome(of(kv_opcode::store), p, {client_status::would_block, 0}).status ==
          status(client_status::would_block));
    CHECK(read_outcome(of(kv_opcode::store), p, {client_status::stale_ticket, 0}).status ==
          status(client_status::stale_ticket));
  }

  TEST_CASE("a target that does not know whether it happened: what changes is unknown to the client too") {
    namespace_profile p;
    const status s(nkv::status_code_type::vendor, 0x4e);
    for (const kv_opcode opc : {kv_opcode::store, kv_opcode::remove, kv_opcode::execute})
      CHECK(read_outcome(of(opc), p, {s, 0}).status == status(client_status::outcome_unknown));
    for (const kv_opcode opc : {kv_opcode::retrieve, kv_opcode::exist, kv_opcode::list})
      CHECK(read_outcome(of(opc), p, {s, 0}).status == s);
    const status other(nkv::status_code_type::vendor, 0x4f);
    CHECK(read_outcome(of(kv_opcode::store), p, {other, 0}).status == other);
  }

  TEST_CASE("Exist by Retrieve: a value that does not fit one byte exists") {
    namespace_profile p;
    kv_ticket t = of(kv_opcode::exist);
    t.exist_by_retrieve = true;
    outcome o = read_outcome(t, p, {specific(0x81), 77});
    CHECK((o.ok() && o.length_known && o.length_bytes == 77));
    o = read_outcome(t, p, {{}, 0});
    CHECK((o.ok() && o.length_bytes == 0));
    CHECK(read_outcome(t, p, {specific(0x87), 0}).status.is_key_does_not_exist());
  }

  TEST_CASE("Exist and List: lengths only where the target gives them") {
    namespace_profile p;
    CHECK_FALSE(read_outcome(of(kv_opcode::exist), p, {{}, 9}).length_known);
    CHECK_FALSE(read_outcome(of(kv_opcode::list, 64), p, {{}, 900}).length_known);
    p.quirks.exist_reports_length = true;
    p.quirks.list_reports_length = true;
    CHECK(read_outcome(of(kv_opcode::exist), p, {{}, 9}).length_bytes == 9);
    CHECK(read_outcome(of(kv_opcode::list, 64), p, {{}, 64}).ok());
    CHECK(read_outcome(of(kv_opcode::list, 64), p, {{}, 900}).status == status(client_status::value_too_large));
  }

  TEST_CASE("Execute: the whole result's length, also when it was cut") {
    namespace_profile p;
    CHECK(read_outcome(of(kv_opcode::execute, 8), p, {{}, 8}).ok());
    outcome o = read_outcome(of(kv_opcode::execute, 8), p, {{}, 80});
    CHECK((o.status == status(client_status::value_too_large) && o.length_bytes == 80));
    o = read_outcome(of(kv_opcode::execute, 8), p, {specific(0x81), 80});
    CHECK((o.status == status(client_status::value_too_large) && o.length_bytes == 80));
    CHECK(read_outcome(of(kv_opcode::execute, 8), p, {generic(0x01), 0}).status == generic(0x01));
  }
}
