// SPDX-License-Identifier: BSD-3-Clause
//
// An engine that nkv knows nothing of, as a shared library. Its modules are programs of a line each: the word `find`
// and the bytes that are looked for; the result is how often the value holds them.
#include <nkv/target/execute/runtime_library.hpp>

#include <nkv/base/endian.hpp>

#include <algorithm>
#include <string>

namespace {

using namespace nkv::target;

class finder final : public program {
 public:
  explicit finder(std::string wanted) : wanted_(std::move(wanted)) {}
  [[nodiscard]] run_result run(program_run& run) const noexcept override {
    const auto* const bytes = reinterpret_cast<const char*>(run.value.data());
    const std::string_view value(bytes, run.value.size());
    std::uint64_t found = 0;
    for (std::size_t at = value.find(wanted_); at != std::string_view::npos; at = value.find(wanted_, at + 1)) {
      if (run.stopped()) return run_result::killed;
      ++found;
    }
    std::byte out[8];
    nkv::store_le(out, found);
    run.give({out, sizeof out});
    return run_result::ok;
  }

 private:
  const std::string wanted_;
};

class third_engine final : public execute_runtime {
 public:
  [[nodiscard]] bool needs_module() const noexcept override { return true; }
  [[nodiscard]] std::shared_ptr<const program> prepare(nkv::byte_span module, std::string_view function,
                                                       std::string& why) noexcept override {
    const std::string text(reinterpret_cast<const char*>(module.data()), module.size());
    if (function == "find" && text.rfind("find ", 0) == 0 && text.size() > 5)
      return std::make_shared<finder>(text.substr(5));
    why = "expected: find BYTES";
    return nullptr;
  }
};

}  // namespace

NKV_EXECUTE_RUNTIME(third_engine)
