// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/target/config_object.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/target_options.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// Of one namespace.
inline constexpr std::size_t most_bindings = 4096;

/// Reads where a module is.
[[nodiscard]] inline module_location read_module(const nlohmann::json& json, std::string path, config_error& error) {
  module_location out;
  config_object fields(json, std::move(path), error);
  std::string key;
  fields.read("key", key, 2, 2 * max_key_bytes);
  fields.read("object", out.name, 1, 2048);
  out.is_object_name = fields.has("object");
  fields.read("pool", out.pool, 1, 255);
  fields.read("rados_namespace", out.rados_namespace, 0, 256);
  if (fields.has("key") == out.is_object_name) {
    fields.refuse(fields.path(), "expected either \"key\" or \"object\"");
  } else if (!out.is_object_name) {
    const nkv::result<nkv::key> bytes = nkv::key::from_hex({key.data(), key.size()});
    if (!bytes) {
      fields.refuse(fields.path_of("key"), "expected a key in hexadecimal digits, got \"" + key + '"');
    } else {
      const byte_span all = bytes->view().bytes();
      out.name.assign(reinterpret_cast<const char*>(all.data()), all.size());
    }
    if (fields.has("pool") || fields.has("rados_namespace"))
      fields.refuse(fields.path(), "\"pool\" and \"rados_namespace\" go with \"object\"");
  }
  fields.finish();
  return out;
}

/// Reads one entry of an allowlist.
/// @param[out] out what Execute runs
/// @return its op id
[[nodiscard]] inline std::uint32_t read_binding(const nlohmann::json& json, std::string path, execute_binding& out,
                                                config_error& error) {
  constexpr std::string_view deployed_prefix = "wasm:";
  std::uint32_t op_id = 0;
  config_object fields(json, std::move(path), error);
  if (fields.ok() && !fields.has("op")) fields.refuse(fields.path_of("op"), "needed: the op id");
  fields.read_number("op", op_id, 0, 0xffffffffu);
  fields.read("runtime", out.runtime, 1, 255);
  fields.read("function", out.function, 1, 255);
  const nlohmann::json* const module = fields.find("module");
  if (module != nullptr) out.module = read_module(*module, fields.path_of("module"), error);
  std::string sha256;
  fields.read("sha256", sha256, 64, 64);
  if (!sha256.empty() && fields.ok()) {
    const nkv::result<nkv::key> bytes = nkv::key::from_hex({sha256.data(), sha256.size()});
    if (!bytes) {
      fields.refuse(fields.path_of("sha256"), "expected 64 hexadecimal digits, got \"" + sha256 + '"');
    } else {
      for (std::size_t i = 0; i < out.sha256.size(); ++i) out.sha256[i] = (*bytes)[i];
    }
  }
  execute_tier tier = execute_tier::standard;
  fields.read_word<execute_tier>("tier", tier,
                                 {{"standard", execute_tier::standard},
                                  {"small", execute_tier::small},
                                  {"medium", execute_tier::medium},
                                  {"large", execute_tier::large}});
  out.limits = limits_of(tier);
  fields.read("writes", out.writes);
  fields.finish();
  if (!fields.ok()) return op_id;
  if (out.runtime.empty()) fields.refuse(fields.path_of("runtime"), "needed: \"builtin\", \"wasm\" or another");
  if (module != nullptr && sha256.empty())
    fields.refuse(fields.path_of("sha256"), "needed with a module: no other is run");
  if (module == nullptr && (out.runtime == "wasm" || !sha256.empty()))
    fields.refuse(fields.path_of("module"), "needed: what is run");
  // The deployed way: the object says which function.
  if (out.function.empty() && out.module.is_object_name &&
      std::string_view(out.module.name).substr(0, deployed_prefix.size()) == deployed_prefix)
    out.function = out.module.name.substr(deployed_prefix.size());
  if (out.function.empty()) fields.refuse(fields.path_of("function"), "needed: which function is run");
  return op_id;
}

/// Reads what Execute may take of the machine, and its runtimes.
[[nodiscard]] inline execute_options read_execute(const nlohmann::json& json, std::string path, config_error& error) {
  execute_options out;
  config_object fields(json, std::move(path), error);
  fields.read_number("workers", out.service.workers, 1, 1024);
  fields.read_number("max_under_way", out.service.max_under_way, 1, 65536);
  fields.read_size("max_held_bytes", out.service.max_held_bytes, 1, std::uint64_t{1} << 50);
  std::uint64_t load_timeout_ms = out.service.load_timeout_ns / 1'000'000;
  fields.read_number("load_timeout_ms", load_timeout_ms, 1, 3'600'000);
  out.service.load_timeout_ns = load_timeout_ms * 1'000'000;
  fields.read_size("max_module_bytes", out.programs.max_module_bytes, 8, std::uint64_t{1} << 30);
  fields.read_number("max_programs", out.programs.max_programs, 1, 65536);
  fields.read_size("max_program_bytes", out.programs.max_program_bytes, 8, std::uint64_t{1} << 40);
  fields.read("wasmtime", out.wasmtime, 1, 4095);
  fields.read_array("runtimes", 64, [&](const nlohmann::json& element, const std::string& where) {
    config_object one(element, where, error);
    std::string name, library;
    one.read("name", name, 1, 255);
    one.read("library", library, 1, 4095);
    one.finish();
    if (!one.ok()) return;
    if (name.empty() || library.empty()) {
      one.refuse(where, "expected a \"name\" and a \"library\"");
    } else if (name == "builtin" || name == "wasm" || !out.runtimes.emplace(name, library).second) {
      one.refuse(where + ".name", "\"" + name + "\" is another runtime's name");
    }
  });
  fields.finish();
  return out;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
