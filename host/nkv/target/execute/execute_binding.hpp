// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/target/execute/execute_limits.hpp>
#include <nkv/target/execute/function_program.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/store.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// Where a module is stored.
struct module_location {
  /// The key, or the object's own name in RADOS: its bytes.
  std::string name;
  bool is_object_name = false;
  /// With an object name: in another place of the subsystem's cluster. Empty: in the namespace's own.
  std::string pool;
  std::string rados_namespace;
  /// Where `pool` and `rados_namespace` lead; null: the namespace's own store.
  std::shared_ptr<target::store> store;
};

/// One entry of an allowlist: what Execute with an op id runs. Either a program that is there, or the name of a runtime
/// and what it makes the program of.
struct execute_binding {
  std::shared_ptr<const target::program> program;

  std::string runtime;
  std::string function;
  module_location module;              ///< where the runtime needs one
  std::array<std::byte, 32> sha256{};  ///< of the module: no other is compiled
  execute_limits limits = limits_of(execute_tier::standard);
  bool writes = false;  ///< may run a program that writes; refused in a read-only namespace

  execute_binding() = default;
  /// Runs a function of this program.
  /// @param f, max_value_bytes as for function_program
  execute_binding(function_program::function f, std::uint64_t max_value_bytes = ~std::uint64_t{0})
      : program(std::make_shared<function_program>(std::move(f), max_value_bytes)) {}
};

/// What a namespace's clients may execute, by op id. Everything else is refused.
using execute_allowlist = std::map<std::uint32_t, execute_binding>;

}  // namespace target
}  // namespace nkv::inline NKV_ABI
