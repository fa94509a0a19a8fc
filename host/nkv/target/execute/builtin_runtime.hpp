// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/checksum.hpp>
#include <nkv/target/execute/execute_runtime.hpp>
#include <nkv/target/execute/program.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// The functions that every target has; all but the last as the deployed executor names them:
///
///     | bytecount | the value's length, u64 little-endian |
///     | identity  | the value                             |
///     | inputlen  | the input's length, u64 little-endian |
///     | inputecho | the input                             |
///     | xxh64     | XXH64 of the value, seed 0, u64 little-endian |
///
/// They copy nothing but the result.
class builtin_runtime final : public execute_runtime {
 public:
  [[nodiscard]] bool needs_module() const noexcept override { return false; }

  [[nodiscard]] std::shared_ptr<const program> prepare(byte_span, std::string_view function,
                                                       std::string& why) noexcept override {
    try {
      for (const auto& [name, what, of_input] :
           {named{"bytecount", answer::length, false}, named{"identity", answer::bytes, false},
            named{"inputlen", answer::length, true}, named{"inputecho", answer::bytes, true},
            named{"xxh64", answer::hash, false}})
        if (function == name) return std::make_shared<builtin>(what, of_input);
      why = "no built-in function \"" + std::string(function) + '"';
    } catch (const std::bad_alloc&) {
      why.clear();
    }
    return nullptr;
  }

 private:
  enum class answer : std::uint8_t { length, bytes, hash };
  static constexpr std::size_t hashed_between_looks_bytes = std::size_t{1} << 20;
  struct named {
    std::string_view name;
    answer what;
    bool of_input;
  };

  class builtin final : public program {
   public:
    builtin(answer what, bool of_input) noexcept : what_(what), of_input_(of_input) {}
    [[nodiscard]] run_result run(program_run& run) const noexcept override {
      const byte_span of = of_input_ ? run.input : run.value;
      if (what_ == answer::bytes) {
        run.give(of);
      } else {
        std::uint64_t number = of.size();
        if (what_ == answer::hash && !hashed(of, run, number)) return run_result::killed;
        std::byte text[8];
        store_le<std::uint64_t>(text, number);
        run.give({text, sizeof text});
      }
      return run_result::ok;
    }

   private:
    /// @return false where the run was stopped
    static bool hashed(byte_span of, const program_run& run, std::uint64_t& hash) noexcept {
      xxh64 h;
      for (std::size_t at = 0; at < of.size(); at += hashed_between_looks_bytes) {
        if (run.stopped()) return false;
        h.update({of.data() + at, std::min(of.size() - at, hashed_between_looks_bytes)});
      }
      hash = h.finish();
      return true;
    }

    const answer what_;
    const bool of_input_;
  };
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
