// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/opcode.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string_view>

using nkv::admin_opcode;
using nkv::kv_opcode;
using nkv::opcode_text;

TEST_SUITE("spec/opcode") {
  TEST_CASE("KV opcodes: values, the direction in bits 1:0, and names") {
    struct row {
      kv_opcode opcode;
      unsigned value;
      unsigned direction;
      std::string_view text;
    };
    constexpr row table[] = {
        {kv_opcode::flush, 0x00, 0, "Flush"},       {kv_opcode::store, 0x01, 1, "Store"},
        {kv_opcode::retrieve, 0x02, 2, "Retrieve"}, {kv_opcode::list, 0x06, 2, "List"},
        {kv_opcode::remove, 0x10, 0, "Delete"},     {kv_opcode::exist, 0x14, 0, "Exist"},
        {kv_opcode::execute, 0x83, 3, "Execute"},
    };
    for (const row& r : table) {
      CHECK(static_cast<unsigned>(r.opcode) == r.value);
      CHECK((static_cast<unsigned>(r.opcode) & 3u) == r.direction);
      CHECK(opcode_text(r.opcode) == r.text);
    }
    CHECK(opcode_text(static_cast<kv_opcode>(0x55)) == std::string_view("unknown"));
  }

  TEST_CASE("admin opcodes: values and names") {
    struct row {
      admin_opcode opcode;
      unsigned value;
      std::string_view text;
    };
    constexpr row table[] = {
        {admin_opcode::delete_sq, 0x00, "Delete I/O Submission Queue"},
        {admin_opcode::create_sq, 0x01, "Create I/O Submission Queue"},
        {admin_opcode::get_log_page, 0x02, "Get Log Page"},
        {admin_opcode::delete_cq, 0x04, "Delete I/O Completion Queue"},
        {admin_opcode::create_cq, 0x05, "Create I/O Completion Queue"},
        {admin_opcode::identify, 0x06, "Identify"},
        {admin_opcode::abort, 0x08, "Abort"},
        {admin_opcode::set_features, 0x09, "Set Features"},
        {admin_opcode::get_features, 0x0a, "Get Features"},
        {admin_opcode::async_event_request, 0x0c, "Asynchronous Event Request"},
        {admin_opcode::keep_alive, 0x18, "Keep Alive"},
        {admin_opcode::doorbell_buffer_config, 0x7c, "Doorbell Buffer Config"},
    };
    for (const row& r : table) {
      CHECK(static_cast<unsigned>(r.opcode) == r.value);
      CHECK(opcode_text(r.opcode) == r.text);
    }
    CHECK(opcode_text(static_cast<admin_opcode>(0xff)) == std::string_view("unknown"));
  }

  TEST_CASE("identifiers: features, log pages, command sets") {
    CHECK(static_cast<unsigned>(nkv::feature_id::number_of_queues) == 0x07);
    CHECK(static_cast<unsigned>(nkv::feature_id::async_event_configuration) == 0x0b);
    CHECK(static_cast<unsigned>(nkv::feature_id::keep_alive_timer) == 0x0f);
    CHECK(static_cast<unsigned>(nkv::feature_id::command_set_profile) == 0x19);
    CHECK(static_cast<unsigned>(nkv::feature_id::key_value_configuration) == 0x20);
    CHECK(static_cast<unsigned>(nkv::log_page_id::commands_supported) == 0x05);
    CHECK(static_cast<unsigned>(nkv::command_set_id::kv) == 1);
  }
}
