// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/describe.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstddef>
#include <string>

using namespace nkv;
using host::describe;

TEST_SUITE("host/describe") {
  TEST_CASE("describe: a key is text where it can be printed, else hexadecimal") {
    CHECK(describe(key_view::from_text("abc")) == "'abc'");
    CHECK(describe(key_view::from_text("a b/c~")) == "'a b/c~'");
    const std::byte nul[3] = {std::byte{'a'}, std::byte{0}, std::byte{0xff}};
    CHECK(describe(key_view{nul, 3}) == "0x6100ff");
    CHECK(describe(key_view::from_text("it's")) == "0x69742773");
    CHECK(describe(key_view::from_text("a\\b")) == "0x615c62");
    CHECK(describe(key_view{}) == "0x");
  }

  TEST_CASE("describe: an operation's status names opcode, nsid, key and numbers") {
    const key_view abc = key_view::from_text("abc");
    CHECK(describe(status(status_code_type::generic, 0x87), kv_opcode::retrieve, 1, abc) ==
          "Retrieve nsid 1 key 'abc': key does not exist (sct 0h, sc 87h)");
    CHECK(describe(status(status_code_type::command_specific, 0x89), kv_opcode::store, 7, abc) ==
          "Store nsid 7 key 'abc': key exists (sct 1h, sc 89h)");
    CHECK(describe(status(status_code_type::generic, 0x06, true), operation::remove(abc), 2) ==
          "Delete nsid 2 key 'abc': internal error (sct 0h, sc 06h, do not retry)");
    CHECK(describe(status(client_status::timed_out), kv_opcode::list, 3, {}) == "List nsid 3: deadline passed");
    CHECK(describe(status(), kv_opcode::exist, 1, abc) == "Exist nsid 1 key 'abc': success (sct 0h, sc 00h)");
  }

  TEST_CASE("describe: the client's own statuses have no numbers, a system error its errno") {
    CHECK(describe(status(client_status::queue_full)) == "queue full");
    CHECK(describe(status(client_status::system_error, ENOENT)) == "system error: No such file or directory (errno 2)");
    CHECK(describe(status(client_status::driver_error, 800)) == "the GPU's driver refused (code 800)");
    CHECK(describe(status(status_code_type::vendor, 0xfe)) == "vendor specific status (sct 7h, sc feh)");
  }

  TEST_CASE("describe: an outcome tells the length that would have fitted") {
    outcome o;
    o.status = status(client_status::value_too_large);
    o.length_bytes = 5000;
    o.length_known = true;
    const operation op = operation::retrieve(key_view::from_text("k"), {0x1000, 4096, 0});
    CHECK(describe(o, op, 1) == "Retrieve nsid 1 key 'k': value too large (5000 bytes, room for 4096)");
    o.length_known = false;
    CHECK(describe(o, op, 1) == "Retrieve nsid 1 key 'k': value too large");
  }

  TEST_CASE("describe: an admin command") {
    CHECK(describe(status(status_code_type::command_specific, 0x02), admin_opcode::create_cq) ==
          "Create I/O Completion Queue: invalid queue size (sct 1h, sc 02h)");
  }
}
