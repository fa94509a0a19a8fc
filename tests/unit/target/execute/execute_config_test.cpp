// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/config.hpp>
#include <nkv/target/execute/execute_config.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace nkv::target;

namespace {

const std::string sha(64, 'a');

config_parsed parsed_bindings(const std::string& bindings) {
  return parse_config(R"({"subsystems": [{"rados": {"pool": "p"}, "namespaces": [
    {"nsid": 1, "store": {"type": "rados"}, "execute": [)" +
                      bindings + "]}]}]}");
}
std::string error_of_binding(const std::string& fields) {
  const config_parsed p = parsed_bindings("{" + fields + "}");
  return p.options ? "none" : p.error.text().substr(p.error.text().find("execute[0]"));
}
std::string error_of_execute(const std::string& fields) {
  const config_parsed p = parse_config(R"({"execute": {)" + fields + "}}");
  return p.options ? "none" : p.error.text();
}

}  // namespace

TEST_SUITE("target/execute/execute_config") {
  TEST_CASE("an allowlist -> bindings by op id") {
    const config_parsed p = parsed_bindings(
        R"({"op": 10, "runtime": "builtin", "function": "bytecount"},
           {"op": 20, "runtime": "wasm", "function": "sum", "module": {"key": "0a00ff"}, "tier": "large", "writes": true,
            "sha256": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
           {"op": 4294967295, "runtime": "wasm", "module": {"object": "wasm:sum", "pool": "q", "rados_namespace": "m"},
            "sha256": ")" +
        sha + "\"}");
    INFO(p.error.text());
    REQUIRE(p.options);
    const execute_allowlist& list = p.options->subsystems[0].namespaces[0].options.operations;
    REQUIRE(list.size() == 3);
    CHECK(list.at(10).runtime == "builtin");
    CHECK(list.at(10).function == "bytecount");
    CHECK_FALSE(list.at(10).writes);
    CHECK(list.at(10).limits.fuel == limits_of(execute_tier::standard).fuel);
    CHECK(list.at(20).module.name == std::string("\x0a\0\xff", 3));
    CHECK_FALSE(list.at(20).module.is_object_name);
    CHECK(list.at(20).limits.memory_bytes == limits_of(execute_tier::large).memory_bytes);
    CHECK(list.at(20).writes);
    CHECK(list.at(20).sha256[31] == std::byte{0x1f});
    const execute_binding& deployed = list.at(0xffffffffu);
    CHECK(deployed.module.is_object_name);
    CHECK(deployed.module.name == "wasm:sum");
    CHECK(deployed.module.pool == "q");
    CHECK(deployed.module.rados_namespace == "m");
    CHECK(deployed.function == "sum");
  }

  TEST_CASE("bindings that are none -> refused, by field") {
    CHECK(error_of_binding(R"("runtime": "builtin", "function": "identity")") == "execute[0].op: needed: the op id");
    CHECK(error_of_binding(R"("op": 1, "function": "identity")").find("runtime: needed") != std::string::npos);
    CHECK(error_of_binding(R"("op": 1, "runtime": "builtin")").find("function: needed") != std::string::npos);
    CHECK(error_of_binding(R"("op": 1, "runtime": "wasm", "function": "f")").find("module: needed") !=
          std::string::npos);
    CHECK(error_of_binding(R"("op": 1, "runtime": "wasm", "function": "f", "module": {"key": "00"})")
              .find("sha256: needed") != std::string::npos);
    const std::string wasm = R"("op": 1, "runtime": "wasm", "function": "f", "sha256": ")" + sha + "\", ";
    CHECK(error_of_binding(wasm + R"("module": {"key": "00"})") == "none");
    CHECK(error_of_binding(wasm + R"("module": {})").find("either") != std::string::npos);
    CHECK(error_of_binding(wasm + R"("module": {"key": "00", "object": "o"})").find("either") != std::string::npos);
    CHECK(error_of_binding(wasm + R"("module": {"key": "0g"})").find("module.key: expected a key") !=
          std::string::npos);
    CHECK(error_of_binding(wasm + R"("module": {"key": "00", "pool": "q"})").find("go with") != std::string::npos);
    CHECK(error_of_binding(wasm + R"("module": {"key": "00"}, "tier": "huge")").find("tier: expected") !=
          std::string::npos);
    CHECK(error_of_binding(R"("op": 1, "runtime": "wasm", "function": "f", "module": {"key": "00"}, "sha256": ")" +
                           std::string(63, 'a') + "g\"")
              .find("sha256: expected 64") != std::string::npos);
    const config_parsed twice = parsed_bindings(R"({"op": 1, "runtime": "builtin", "function": "identity"},
                                                   {"op": 1, "runtime": "builtin", "function": "identity"})");
    CHECK(twice.error.text().find("execute[1].op: 1 is bound by another") != std::string::npos);
    const config_parsed in_memory = parse_config(R"({"subsystems": [{"namespaces": [{"execute": [
      {"op": 1, "runtime": "wasm", "function": "f", "module": {"object": "o"}, "sha256": ")" +
                                                 sha + "\"}]}]}]}");
    CHECK(in_memory.error.text().find("only for a namespace in RADOS") != std::string::npos);
  }

  TEST_CASE("what Execute may take, and its runtimes -> where they belong; else refused") {
    const config_parsed p = parse_config(R"({"execute": {"workers": 3, "max_under_way": 7, "max_held_bytes": "1MiB",
      "load_timeout_ms": 5, "max_module_bytes": "2MiB", "max_programs": 9, "max_program_bytes": "3MiB",
      "wasmtime": "/w.so", "runtimes": [{"name": "velox", "library": "/v.so"}]}})");
    INFO(p.error.text());
    REQUIRE(p.options);
    const execute_options& o = p.options->execute;
    CHECK(o.service.workers == 3);
    CHECK(o.service.max_under_way == 7);
    CHECK(o.service.max_held_bytes == 1u << 20);
    CHECK(o.service.load_timeout_ns == 5'000'000);
    CHECK(o.programs.max_module_bytes == 2u << 20);
    CHECK(o.programs.max_programs == 9);
    CHECK(o.programs.max_program_bytes == 3u << 20);
    CHECK(o.wasmtime == "/w.so");
    CHECK(o.runtimes.at("velox") == "/v.so");
    CHECK(error_of_execute(R"("workers": 0)").find("execute.workers") == 0);
    CHECK(error_of_execute(R"("colour": 1)").find("execute.colour: unknown") == 0);
    CHECK(error_of_execute(R"("runtimes": [{"name": "velox"}])").find("execute.runtimes[0]: expected") == 0);
    CHECK(error_of_execute(R"("runtimes": [{"name": "wasm", "library": "x"}])").find("execute.runtimes[0].name") == 0);
  }
}
