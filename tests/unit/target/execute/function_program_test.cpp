// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/connect.hpp>
#include <nkv/host/describe.hpp>
#include <nkv/target/execute/function_program.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/memory_subsystem.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace nkv;

namespace {

byte_span bytes_of(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }
key_view key_of(std::string_view text) { return key_view::from_text(text.data(), text.size()); }

constexpr std::uint32_t append = 7, throws = 8, refused = 9;

/// A namespace that allows two operations, and its client.
struct allowing {
  target::inproc_server server;
  host::result<host::controller> controller;
  host::result<host::kv_namespace<>> ns;
  host::result<host::registration> memory;

  static target::namespace_options options(key_encoding e) {
    target::namespace_options o;
    o.key_encoding = e;
    o.operations[append] = {[](byte_span value, byte_span input) {
                              std::vector<std::byte> out(value.begin(), value.end());
                              out.insert(out.end(), input.begin(), input.end());
                              return out;
                            },
                            100};
    o.operations[throws] = {[](byte_span, byte_span) -> std::vector<std::byte> { throw std::runtime_error("no"); }};
    return o;
  }
  explicit allowing(key_encoding e)
      : server("near_data", target::memory_subsystem(options(e))),
        controller(host::connect("inproc:near_data")),
        ns(controller->open_namespace(1)),
        memory(controller->allocate(4096)) {
    REQUIRE(ns->store(key_of("key"), bytes_of("value")).ok());
    REQUIRE(ns->store(key_of("empty"), {}).ok());
    REQUIRE(ns->store(key_of("full"), bytes_of(std::string(100, 'f'))).ok());
    REQUIRE(ns->store(key_of("long"), bytes_of(std::string(101, 'l'))).ok());
  }

  outcome run(std::uint32_t op, std::string_view key, std::string_view input, std::uint32_t result_bytes) {
    std::memset(memory->data(), '.', 4096);
    const key_view k = key_of(key);
    std::memcpy(memory->data() + execute_input_offset(k), input.data(), input.size());
    return ns->run(operation::execute(op, k, *memory->value(0, 1024), memory->data(),
                                      static_cast<std::uint32_t>(input.size()), result_bytes));
  }
  std::string text(std::size_t length) const { return {reinterpret_cast<const char*>(memory->data()), length}; }
};

}  // namespace

TEST_SUITE("target/execute/function_program") {
  TEST_CASE("Execute of an allowed operation: value and input in, the result alone out") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      allowing t(e);
      const outcome o = t.run(append, "key", " and more", 100);
      CHECK(o.ok());
      CHECK(o.length_bytes == 14);
      CHECK(t.text(15) == "value and more.");
      CHECK(t.run(append, "key", "", 100).length_bytes == 5);
      CHECK(t.run(append, "empty", "all", 100).ok());
      CHECK(t.text(3) == "all");
      const outcome full = t.run(append, "full", "", 100);
      CHECK(full.ok());
      CHECK(t.text(101) == std::string(100, 'f') + ".");
      // Nothing of what is stored has changed.
      CHECK(t.ns->retrieve_all(key_of("key"))->size() == 5);
    }
  }

  TEST_CASE("Execute that is refused or fails: by its own status, and nothing is written") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      allowing t(e);
      const auto generic = [](std::uint8_t sc) { return status(status_code_type::generic, sc); };
      CHECK(t.run(refused, "key", "", 100).status == generic(generic_status::invalid_opcode));
      CHECK(t.text(9).substr(5) == "....");
      CHECK(t.run(append, "nowhere", "", 100).status.is_key_does_not_exist());
      CHECK(t.run(append, "long", "", 200).status == generic(generic_status::invalid_value_size));
      CHECK(t.text(200).substr(6) == std::string(194, '.'));
      CHECK(t.run(throws, "key", "", 100).status == generic(generic_status::internal_error));
      CHECK(t.text(9).substr(5) == "....");
    }
  }

  TEST_CASE("Execute with less room than the result takes: its beginning, and how long it is") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      allowing t(e);
      const outcome o = t.run(append, "full", "123", 40);
      CHECK(o.status == status(client_status::value_too_large));
      CHECK(o.length_bytes == 103);
      CHECK(t.text(41) == std::string(40, 'f') + ".");
      // What was sent takes more than the result may: of that it keeps the rest.
      CHECK(t.run(append, "full", "123", 4).length_bytes == 103);
      CHECK(t.text(10) == "ffffll123.");
    }
  }
}
