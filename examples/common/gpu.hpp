// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Loads compiled kernels and runs them. The driver is looked for when the program runs, so that the program needs no
// toolkit to build; a program that links the CUDA or HIP runtime launches with <<<>>> instead.
#include <nkv/host/describe.hpp>
#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/gpu_module.hpp>
#include <nkv/host/memory/hip_driver.hpp>

#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

namespace example {

/// What the file of a program's compiled kernels has behind the program's name.
inline const char* kernel_suffix(const std::string& vendor) { return vendor == "cuda" ? ".ptx" : ".hsaco"; }

/// The first GPU of a vendor, with a program's kernels.
class gpu {
 public:
  /// @param vendor "cuda" or "hip"
  /// @param file   compiled kernels: PTX, a cubin or a fatbin; or a code object or a bundle of several
  /// @return what is missing; empty for nothing
  std::string open(const std::string& vendor, const std::string& file) {
    std::string why;
    auto found = vendor == "cuda" ? nkv::host::cuda_driver::open({}, why) : nkv::host::hip_driver::open({}, why);
    if (!found) return why.empty() ? nkv::host::describe(found.error()) : why;
    std::ifstream in(file, std::ios::binary);
    std::ostringstream image;
    if (!in || !(image << in.rdbuf())) return "no compiled kernels in " + file;
    auto loaded = nkv::host::gpu_module::load(*found, image.str());
    if (!loaded) return file + " is not loaded: " + (*found)->describe(loaded.error());
    driver_ = *std::move(found);
    kernels_ = *std::move(loaded);
    return {};
  }

  /// Where open() found nothing missing.
  [[nodiscard]] const std::shared_ptr<nkv::host::gpu_driver>& driver() const noexcept { return driver_; }
  [[nodiscard]] std::string name() const { return driver_ == nullptr ? "no GPU" : driver_->facts().name; }

  /// Runs `name(job, warps)`, `warps` blocks of `lanes` threads, to its end.
  /// @return what went wrong; empty for nothing
  template <class Job>
  std::string run(const char* name, const Job& job, std::uint32_t warps, std::uint32_t lanes) {
    const nkv::status s = kernels_.run(name, {warps, lanes}, nkv::host::deadline::after_ms(longest_ms), job, warps);
    return s.ok() ? std::string() : std::string(name) + ": " + driver_->describe(s);
  }

 private:
  // The operations of a kernel have deadlines of their own.
  static constexpr std::uint64_t longest_ms = 600'000;

  std::shared_ptr<nkv::host::gpu_driver> driver_;
  nkv::host::gpu_module kernels_;
};

}  // namespace example
