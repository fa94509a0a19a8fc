// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace nkv::inline NKV_ABI {
namespace target {

/// How much a source takes and keeps. A plain aggregate.
struct program_source_options {
  std::uint64_t max_module_bytes = std::uint64_t{16} << 20;    ///< compiling takes time and memory by this
  std::size_t max_programs = 128;                              ///< kept, the least recently used going first
  std::uint64_t max_program_bytes = std::uint64_t{256} << 20;  ///< of their modules
};

/// Where the programs come from that bindings only name: module_loader, in programs that have libcrypto.
class program_source {
 public:
  program_source() = default;
  program_source(const program_source&) = delete;
  program_source& operator=(const program_source&) = delete;
  virtual ~program_source() = default;

  /// The binding's program if it is at hand, else null. Returns at once. Any thread.
  [[nodiscard]] virtual std::shared_ptr<const program> find(const execute_binding& binding) noexcept = 0;

  /// Brings the binding's program, so that find() has it. Takes as long as that takes; one call at a time.
  /// @param own the store of the namespace whose binding it is
  /// @param[out] why what is wrong, unless the answer is ok
  [[nodiscard]] virtual run_result load(const execute_binding& binding, store& own, std::string& why) noexcept = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
