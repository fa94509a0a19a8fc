// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/ptx_instruction.hpp"
#include "ptx/ptx_machine.hpp"
#include "ptx/ptx_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace nkv_test {

/// A PTX text with memory to run on: launches its kernels, as often as wanted.
class kernel_run {
 public:
  /// @throws ptx_error for a text with anything that is not known
  explicit kernel_run(const std::string& text) : module_(ptx_module::parse(text, memory_)) {}

  [[nodiscard]] static std::string read_file(const std::string& path) {
    std::ifstream in(path);
    if (!in) throw ptx_error("cannot read " + path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  /// The file that tests/ptx/run.py has compiled NAME.cu into.
  [[nodiscard]] static std::string compiled(const std::string& name) {
    const char* folder = std::getenv("NKV_PTX_FOLDER");
    if (folder == nullptr) throw ptx_error("NKV_PTX_FOLDER is not set: this is run by tests/ptx/run.py");
    return std::string(folder) + "/" + name + ".ptx";
  }

  /// The text of a file with one of its entries alone, and all that it may call: each of the others would be read again
  /// for every run.
  [[nodiscard]] static std::string read_entry(const std::string& path, const std::string& entry) {
    static std::map<std::string, std::string> files;
    std::string& whole = files[path];
    if (whole.empty()) whole = read_file(path);
    const std::string begins = "\n.visible .entry ";
    std::size_t at = whole.find(begins);
    std::string out = whole.substr(0, at);
    while (at != std::string::npos) {
      const std::size_t end = whole.find("\n}\n", at) + 3;
      if (whole.compare(at + begins.size(), entry.size() + 1, entry + "(") == 0) out += whole.substr(at, end - at);
      const std::size_t next = whole.find(begins, end - 1);
      out += whole.substr(end, next == std::string::npos ? next : next - end) + "\n";
      at = next;
    }
    return out;
  }

  ptx_options options{};
  [[nodiscard]] ptx_memory& memory() { return memory_; }
  [[nodiscard]] const ptx_module& module() const { return *module_; }

  /// Calls `agent(now)` at every tick of every launch from now on.
  void add_agent(std::function<void(std::uint64_t)> agent) { agents_.push_back(std::move(agent)); }

  /// Launches an entry, found by its name or by its plain name inside a mangled one, with the raw bytes of each
  /// argument, and runs it to its end.
  template <class... Arguments>
  ptx_result run(const std::string& entry, ptx_dim grid, ptx_dim block, const Arguments&... arguments) {
    static_assert((std::is_trivially_copyable_v<Arguments> && ...), "a kernel's argument is copied as bytes");
    std::vector<std::vector<std::byte>> bytes;
    (bytes.push_back(bytes_of(arguments)), ...);
    ptx_machine machine(*module_, memory_, options);
    for (const auto& agent : agents_) machine.add_agent(agent);
    return machine.launch(module_->entry(entry), grid, block, bytes);
  }

 private:
  template <class T>
  static std::vector<std::byte> bytes_of(const T& value) {
    std::vector<std::byte> out(sizeof value);
    std::memcpy(out.data(), &value, sizeof value);
    return out;
  }

  ptx_memory memory_;
  std::unique_ptr<ptx_module> module_;
  std::vector<std::function<void(std::uint64_t)>> agents_;
};

}  // namespace nkv_test
