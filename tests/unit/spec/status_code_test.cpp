// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

using nkv::client_status;
using nkv::status_code_type;
using nkv::status_text;

namespace {

struct row {
  unsigned sct;
  unsigned sc;
  std::string_view text;
};

// What a KV client meets, from the specifications and from the targets in the field.
constexpr row wire[] = {
    {0, 0x00, "success"},
    {0, 0x01, "invalid command opcode"},
    {0, 0x02, "invalid field in command"},
    {0, 0x03, "command id conflict"},
    {0, 0x04, "data transfer error"},
    {0, 0x06, "internal error"},
    {0, 0x07, "command abort requested"},
    {0, 0x08, "aborted due to submission queue deletion"},
    {0, 0x0b, "invalid namespace or format"},
    {0, 0x0c, "command sequence error"},
    {0, 0x0d, "invalid SGL segment descriptor"},
    {0, 0x0e, "invalid number of SGL descriptors"},
    {0, 0x0f, "data SGL length invalid"},
    {0, 0x11, "SGL descriptor type invalid"},
    {0, 0x13, "PRP offset invalid"},
    {0, 0x20, "namespace is write protected"},
    {0, 0x29, "I/O command set not enabled"},
    {0, 0x80, "LBA out of range"},
    {0, 0x81, "capacity exceeded"},
    {0, 0x82, "namespace not ready"},
    {0, 0x85, "invalid value size"},
    {0, 0x86, "invalid key size"},
    {0, 0x87, "key does not exist"},
    {0, 0x88, "unrecovered error"},
    {0, 0x89, "key exists"},
    {1, 0x00, "completion queue invalid"},
    {1, 0x01, "invalid queue identifier"},
    {1, 0x02, "invalid queue size"},
    {1, 0x05, "asynchronous event request limit exceeded"},
    {1, 0x09, "invalid log page"},
    {1, 0x0c, "invalid queue deletion"},
    {1, 0x2b, "I/O command set combination rejected"},
    {1, 0x81, "buffer too small for the value"},
    {1, 0x82, "namespace is read-only"},
    {1, 0x85, "invalid value size"},
    {1, 0x86, "invalid key size"},
    {1, 0x87, "key does not exist"},
    {1, 0x88, "unrecovered error"},
    {1, 0x89, "key exists"},
};

}  // namespace

TEST_SUITE("spec/status_code") {
  TEST_CASE("status_text: what is on the wire -> its text") {
    for (const row& r : wire) {
      CAPTURE(r.sct);
      CAPTURE(r.sc);
      CHECK(status_text(static_cast<status_code_type>(r.sct), static_cast<std::uint8_t>(r.sc)) == r.text);
    }
  }

  TEST_CASE("status_text: the named codes -> the values of the specification") {
    namespace generic = nkv::generic_status;
    namespace command = nkv::command_status;
    CHECK(generic::invalid_opcode == 0x01);
    CHECK(generic::invalid_field == 0x02);
    CHECK(generic::cid_conflict == 0x03);
    CHECK(generic::data_transfer_error == 0x04);
    CHECK(generic::internal_error == 0x06);
    CHECK(generic::abort_requested == 0x07);
    CHECK(generic::aborted_sq_deletion == 0x08);
    CHECK(generic::invalid_nsid == 0x0b);
    CHECK(generic::command_sequence_error == 0x0c);
    CHECK(generic::invalid_sgl_segment == 0x0d);
    CHECK(generic::invalid_sgl_count == 0x0e);
    CHECK(generic::sgl_length_invalid == 0x0f);
    CHECK(generic::sgl_type_invalid == 0x11);
    CHECK(generic::invalid_prp_offset == 0x13);
    CHECK(generic::namespace_write_protected == 0x20);
    CHECK(generic::transient_transport_error == 0x22);
    CHECK(generic::command_set_not_enabled == 0x29);
    CHECK(generic::capacity_exceeded == 0x81);
    CHECK(generic::namespace_not_ready == 0x82);
    CHECK(generic::invalid_value_size == 0x85);
    CHECK(generic::invalid_key_size == 0x86);
    CHECK(generic::key_does_not_exist == 0x87);
    CHECK(generic::unrecovered_error == 0x88);
    CHECK(generic::key_exists == 0x89);
    CHECK(command::invalid_cq == 0x00);
    CHECK(command::invalid_qid == 0x01);
    CHECK(command::invalid_queue_size == 0x02);
    CHECK(command::abort_limit_exceeded == 0x03);
    CHECK(command::aer_limit_exceeded == 0x05);
    CHECK(command::invalid_interrupt_vector == 0x08);
    CHECK(command::invalid_log_page == 0x09);
    CHECK(command::invalid_queue_deletion == 0x0c);
    CHECK(command::feature_not_saveable == 0x0d);
    CHECK(command::feature_not_changeable == 0x0e);
    CHECK(command::command_set_combination_rejected == 0x2b);
    CHECK(command::value_truncated == 0x81);
    CHECK(command::namespace_read_only == 0x82);
  }

  TEST_CASE("status_text: every pair of bytes -> some text, and one that says so where it is unknown") {
    for (unsigned sct = 0; sct < 256; ++sct)
      for (unsigned sc = 0; sc < 256; ++sc) {
        const char* text = status_text(static_cast<status_code_type>(sct), static_cast<std::uint8_t>(sc));
        if (text == nullptr || *text == '\0') FAIL("no text for " << sct << "/" << sc);
      }
    CHECK(status_text(status_code_type::generic, 0x7f) == std::string_view("unknown status"));
    CHECK(status_text(status_code_type::command_specific, 0x7f) == std::string_view("unknown status"));
    CHECK(status_text(static_cast<status_code_type>(5), 0) == std::string_view("unknown status"));
    CHECK(status_text(static_cast<status_code_type>(0xff), 0) == std::string_view("unknown status"));
    CHECK(status_text(status_code_type::vendor, 0x12) == std::string_view("vendor specific status"));
    CHECK(status_text(status_code_type::media, 0x12) == std::string_view("unknown media status"));
    CHECK(status_text(status_code_type::path, 0x12) == std::string_view("unknown path status"));
    CHECK(status_text(status_code_type::client, 0) == std::string_view("unknown client status"));
  }

  TEST_CASE("status_text: the client's own -> each its own text") {
    std::set<std::string> texts;
    unsigned count = 0;
    for (unsigned sc = 1; sc <= static_cast<unsigned>(client_status::driver_error); ++sc, ++count)
      texts.insert(status_text(status_code_type::client, static_cast<std::uint8_t>(sc)));
    CHECK(texts.size() == count);
    CHECK(texts.count("unknown client status") == 0);
    CHECK(status_text(status_code_type::client,
                      static_cast<std::uint8_t>(static_cast<unsigned>(client_status::driver_error) + 1)) ==
          std::string_view("unknown client status"));
  }
}
