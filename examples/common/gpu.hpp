// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Loads a compiled kernel and runs it. The driver is looked for when the program runs, so that the program needs no
// toolkit to build; a program that links the CUDA or HIP runtime launches with <<<>>> instead.
#include <nkv/host/describe.hpp>
#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/hip_driver.hpp>
#include <nkv/host/memory/shared_library.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace example {

/// The first GPU of a vendor. CUDA's and HIP's functions differ in their names alone.
class gpu {
 public:
  /// @param vendor "cuda" or "hip"
  /// @return what is missing; empty for nothing
  std::string open(const std::string& vendor) {
    cuda_ = vendor == "cuda";
    std::string why;
    auto found = cuda_ ? nkv::host::cuda_driver::open({}, why) : nkv::host::hip_driver::open({}, why);
    if (!found) return why.empty() ? nkv::host::describe(found.error()) : why;
    const auto names =
        cuda_ ? std::vector<const char*>{"libcuda.so.1"}
              : std::vector<const char*>{"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};
    const auto library = nkv::host::shared_library::open(names, why);
    bool all = library.valid();
    const auto need = [&](auto& function, const char* cuda, const char* hip) {
      all = all && library.find(function, cuda_ ? cuda : hip);
    };
    need(load_, "cuModuleLoad", "hipModuleLoad");
    need(find_, "cuModuleGetFunction", "hipModuleGetFunction");
    need(launch_, "cuLaunchKernel", "hipModuleLaunchKernel");
    need(synchronize_, "cuCtxSynchronize", "hipDeviceSynchronize");
    if (cuda_) {
      need(retain_, "cuDevicePrimaryCtxRetain", "");
      need(set_current_, "cuCtxSetCurrent", "");
    } else {
      need(set_device_, "", "hipSetDevice");
    }
    if (!all) return "the driver has not all functions that loading and launching a kernel take";
    driver_ = *std::move(found);
    return {};
  }

  /// Where open() found nothing missing.
  [[nodiscard]] const std::shared_ptr<nkv::host::gpu_driver>& driver() const noexcept { return driver_; }
  [[nodiscard]] std::string name() const { return driver_ == nullptr ? "no GPU" : driver_->facts().name; }

  /// Runs `name(job, warps)` of the compiled kernels in `file`, `warps` blocks of `lanes` threads, to its end.
  /// @return what went wrong; empty for nothing
  template <class Job>
  std::string run(const std::string& file, const char* name, const Job& job, std::uint32_t warps,
                  std::uint32_t lanes) const {
    // The context of the device, the same that the memory was registered in.
    void* context = nullptr;
    int error = cuda_ ? retain_(&context, 0) : set_device_(0);
    if (error == 0 && cuda_) error = set_current_(context);
    if (error != 0) return "no context: error " + std::to_string(error);
    void* image = nullptr;
    void* function = nullptr;
    if (const int e = load_(&image, file.c_str()); e != 0) return file + " is not loaded: error " + std::to_string(e);
    if (const int e = find_(&function, image, name); e != 0)
      return file + " has no kernel " + name + ": error " + std::to_string(e);
    Job argument = job;
    void* arguments[] = {&argument, &warps};
    error = launch_(function, warps, 1, 1, lanes, 1, 1, 0, nullptr, arguments, nullptr);
    if (error != 0) return std::string(name) + " is not launched: error " + std::to_string(error);
    error = synchronize_();
    return error == 0 ? std::string() : std::string(name) + " failed: error " + std::to_string(error);
  }

 private:
  bool cuda_ = true;
  std::shared_ptr<nkv::host::gpu_driver> driver_;
  int (*load_)(void**, const char*) = nullptr;
  int (*find_)(void**, void*, const char*) = nullptr;
  int (*launch_)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                 void**) = nullptr;
  int (*synchronize_)() = nullptr;
  int (*retain_)(void**, int) = nullptr;
  int (*set_current_)(void*) = nullptr;
  int (*set_device_)(int) = nullptr;
};

}  // namespace example
