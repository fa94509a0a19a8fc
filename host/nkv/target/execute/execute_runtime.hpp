// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/program.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// An engine: makes programs of modules. Built-in functions are one, WebAssembly is another, and a program may bring
/// its own, by code or in a shared library (see runtime_library). Called by any thread, one call at a time.
class execute_runtime {
 public:
  execute_runtime() = default;
  execute_runtime(const execute_runtime&) = delete;
  execute_runtime& operator=(const execute_runtime&) = delete;
  /// Its programs live no longer.
  virtual ~execute_runtime() = default;

  /// Whether programs are made of a module that is stored; else of the function's name alone.
  [[nodiscard]] virtual bool needs_module() const noexcept = 0;

  /// Makes a program. May take as long as compiling takes.
  /// @param module what was stored, checked against the allowlist; empty where none is needed; gone after the call
  /// @param function which of its functions
  /// @param[out] why what is wrong with it, where there is no program
  /// @return the program, or null
  [[nodiscard]] virtual std::shared_ptr<const program> prepare(byte_span module, std::string_view function,
                                                               std::string& why) noexcept = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
