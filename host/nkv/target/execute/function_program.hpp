// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/program.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// A function of the program itself as what Execute runs: it reads the value and the command's input, and only its
/// result goes to the client. It is trusted: nothing stops it, so it ends soon.
class function_program final : public program {
 public:
  /// Called by several threads at once. What it throws ends the command with an internal error.
  using function = std::function<std::vector<std::byte>(byte_span value, byte_span input)>;

  /// @param max_value_bytes of the longest value that it takes
  explicit function_program(function f, std::uint64_t max_value_bytes = ~std::uint64_t{0})
      : function_(std::move(f)), max_value_bytes_(max_value_bytes) {}

  [[nodiscard]] run_result run(program_run& run) const noexcept override {
    if (run.value.size() > max_value_bytes_) return run_result::value_refused;
    try {
      const std::vector<std::byte> result = function_(run.value, run.input);
      run.give({result.data(), result.size()});
      return run_result::ok;
    } catch (const std::bad_alloc&) {
      return run_result::no_memory;
    } catch (const std::exception& e) {
      return failed(run, e.what());
    } catch (...) {
      return failed(run, "an exception");
    }
  }

 private:
  static run_result failed(program_run& run, const char* why) noexcept {
    run.explain(why);
    return run_result::failed;
  }

  const function function_;
  const std::uint64_t max_value_bytes_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
