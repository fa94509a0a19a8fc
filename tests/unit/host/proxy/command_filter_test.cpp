// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/proxy/command_filter.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using namespace nkv;
using nkv::host::command_filter;

namespace {

constexpr std::uint64_t values = 0x100000;
constexpr std::uint64_t values_bytes = 0x10000;
constexpr std::uint64_t lists = 0x200000;
constexpr std::uint64_t lists_bytes = 0x1000;

command_filter filter(bool read_only = false) {
  return {7, read_only, 4096, {lists, lists_bytes, 0}, {{values, values_bytes, 0}}};
}
sqe command(kv_opcode opcode, std::uint32_t bytes = 0, const data_pointer& where = {}) {
  sqe c;
  c.set_opc(opcode);
  c.set_nsid(7);
  c.set_cdw(10, bytes);
  c.set_dptr(where);
  return c;
}
sqe block(std::uint64_t address, std::uint32_t length) {
  return command(kv_opcode::store, length, data_pointer::sgl(sgl_descriptor::data_block(address, length)));
}
sqe segment(std::uint64_t address, std::uint32_t count) {
  return command(kv_opcode::store, 8, data_pointer::sgl(sgl_descriptor::last_segment(address, count)));
}
status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }

}  // namespace

TEST_SUITE("host/proxy/command_filter") {
  TEST_CASE("the six opcodes pass, and no other") {
    for (unsigned opc = 0; opc < 256; ++opc) {
      sqe c = command(kv_opcode::exist);
      c.set_opc(static_cast<std::uint8_t>(opc));
      const bool one_of_them = opc == 0x01 || opc == 0x02 || opc == 0x06 || opc == 0x10 || opc == 0x14 || opc == 0x83;
      const status s = filter().check(c);
      CAPTURE(opc);
      CHECK(s == (one_of_them ? status() : generic(generic_status::invalid_opcode)));
      if (!one_of_them) CHECK(s.dnr());
    }
  }

  TEST_CASE("another namespace, all of them and none -> 0Bh") {
    for (const std::uint32_t nsid : {0u, 1u, 8u, 0xffffffffu}) {
      sqe c = command(kv_opcode::exist);
      c.set_nsid(nsid);
      CHECK(filter().check(c) == generic(generic_status::invalid_nsid));
    }
  }

  TEST_CASE("fused, PSDT 2 and 3, a metadata pointer, data without a length -> 02h") {
    sqe c = command(kv_opcode::exist);
    c.dw[0] |= 1u << 8;
    CHECK(filter().check(c) == generic(generic_status::invalid_field));
    for (const std::uint32_t format : {2u, 3u}) {
      c = command(kv_opcode::exist);
      c.dw[0] |= format << 14;
      CHECK(filter().check(c) == generic(generic_status::invalid_field));
    }
    c = command(kv_opcode::exist);
    c.dw[5] = 1;
    CHECK(filter().check(c) == generic(generic_status::invalid_field));
    CHECK(filter().check(command(kv_opcode::exist, 0, data_pointer::prp(values))) ==
          generic(generic_status::invalid_field));
    CHECK(filter().check(command(kv_opcode::store, 0, data_pointer::prp(0, 8))) ==
          generic(generic_status::invalid_field));
  }

  TEST_CASE("a block inside one piece of memory passes, to its last byte; one byte more -> 04h") {
    CHECK(filter().check(block(values, values_bytes)) == status());
    CHECK(filter().check(block(values + values_bytes - 1, 1)) == status());
    CHECK(filter().check(block(lists + 16, 16)) == status());
    const status out = generic(generic_status::data_transfer_error);
    CHECK(filter().check(block(values, values_bytes + 1)) == out);
    CHECK(filter().check(block(values - 1, 1)) == out);
    CHECK(filter().check(block(values + values_bytes, 1)) == out);
    CHECK(filter().check(block(~std::uint64_t{0}, 2)) == out);
    CHECK(filter().check(block(values + 16, 0xffffffffu)) == out);
    CHECK(filter().check(block(0, 1)) == out);
  }

  TEST_CASE("a segment of whole descriptors in the scratch passes; elsewhere -> 0Dh") {
    CHECK(filter().check(segment(lists, 2)) == status());
    CHECK(filter().check(segment(lists + lists_bytes - 32, 2)) == status());
    const status out = generic(generic_status::invalid_sgl_segment);
    CHECK(filter().check(segment(lists + lists_bytes - 16, 2)) == out);
    CHECK(filter().check(segment(values, 2)) == out);
    CHECK(filter().check(segment(lists, 0)) == out);
    sqe c = segment(lists, 2);
    c.dw[8] = 17;
    CHECK(filter().check(c) == out);
  }

  TEST_CASE("other descriptors -> 11h") {
    for (unsigned identifier = 0; identifier < 256; ++identifier) {
      if (identifier == 0x00 || identifier == 0x30) continue;
      sqe c = block(values, 8);
      c.dw[9] = identifier << 24;
      CHECK(filter().check(c) == generic(generic_status::sgl_type_invalid));
    }
  }

  TEST_CASE("PRP: the first run and the second pointer lie in known memory; else -> 04h") {
    const auto of = [](kv_opcode opcode, std::uint32_t bytes, std::uint64_t prp1, std::uint64_t prp2) {
      return filter().check(command(opcode, bytes, data_pointer::prp(prp1, prp2)));
    };
    CHECK(of(kv_opcode::retrieve, 4096, values, 0) == status());
    CHECK(of(kv_opcode::retrieve, 8192, values, values + 4096) == status());
    CHECK(of(kv_opcode::list, 40000, values + 100, lists + 512) == status());
    CHECK(of(kv_opcode::store, 100, values + values_bytes - 100, 0) == status());
    const status out = generic(generic_status::data_transfer_error);
    CHECK(of(kv_opcode::store, 101, values + values_bytes - 100, 0) == status());  // the run ends with the page
    CHECK(of(kv_opcode::store, 1, values + values_bytes, 0) == out);
    CHECK(of(kv_opcode::store, 1, 0, 0) == out);
    CHECK(of(kv_opcode::store, 8192, values, 0x5000) == out);
    CHECK(of(kv_opcode::store, 1, values, ~std::uint64_t{0}) == out);
    CHECK(of(kv_opcode::store, 1, lists + lists_bytes, 0) == out);
    sqe c = command(kv_opcode::execute, 8, data_pointer::prp(0x5000));
    CHECK(filter().check(c) == out);
    c.set_cdw(10, 0);
    c.set_cdw(12, 64);
    CHECK(filter().check(c) == out);
  }

  TEST_CASE("read-only: Store and Delete -> 1/82h, the others pass") {
    const status out{status_code_type::command_specific, command_status::namespace_read_only};
    for (const kv_opcode opcode : {kv_opcode::store, kv_opcode::remove})
      CHECK(filter(true).check(command(opcode)) == out);
    for (const kv_opcode opcode : {kv_opcode::retrieve, kv_opcode::list, kv_opcode::exist, kv_opcode::execute})
      CHECK(filter(true).check(command(opcode)) == status());
  }
}
