// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// Compiled kernels in a GPU, and a way to run one to its end or to a deadline. For programs that look for the driver
/// when they run; one that links the CUDA or HIP runtime launches with <<<>>> instead, and needs nothing of this.
///
/// Moves only; one thread at a time. Kernels of one driver go one after the other. At its end the code is unloaded,
/// unless a kernel is under way still: then it stays loaded, and its driver open, for the life of the process.
class gpu_module {
 public:
  gpu_module() noexcept = default;
  gpu_module(gpu_module&& other) noexcept
      : driver_(std::move(other.driver_)),
        image_(std::move(other.image_)),
        module_(std::exchange(other.module_, nullptr)) {}
  gpu_module& operator=(gpu_module&& other) noexcept {
    if (this != &other) {
      end();
      driver_ = std::move(other.driver_);
      image_ = std::move(other.image_);
      module_ = std::exchange(other.module_, nullptr);
    }
    return *this;
  }
  ~gpu_module() { end(); }

  /// @param image a compiled file's bytes. CUDA: a cubin, a fatbin or PTX. HIP: a code object or a bundle of several
  /// @return the kernels; or client/bad_argument without a driver or an image, client/driver_error with what the driver
  ///         said, which gpu_driver::describe() knows by name: code for another GPU, or PTX of a newer toolkit than the
  ///         driver's
  [[nodiscard]] static host::result<gpu_module> load(std::shared_ptr<gpu_driver> driver, std::string image) {
    if (driver == nullptr || image.empty()) return status{client_status::bad_argument};
    gpu_module m;
    m.image_ = std::make_shared<const std::string>(std::move(image));
    const nkv::result<void*> module = driver->load(m.image_->c_str());
    if (!module) return module.error();
    m.driver_ = std::move(driver);
    m.module_ = *module;
    return m;
  }

  /// Runs a kernel and waits for its end, and before for that of those under way. Sleeps between looks.
  /// @param name      as it stands in the compiled code: mangled, unless it is declared extern "C"
  /// @param arguments each of the type that the kernel declares, which no driver checks
  /// @return success; or
  ///         - client/timed_out     it, or one before it, had not ended by the deadline, and runs on: what it uses has
  ///         to
  ///                                stay
  ///         - client/driver_error  there is no such kernel, it was not launched, or it or one before it failed
  ///         - client/bad_argument  nothing is loaded, or a shape without threads
  template <class... Arguments>
  [[nodiscard]] status run(const char* name, grid_shape shape, deadline until, const Arguments&... arguments) {
    static_assert((std::is_trivially_copyable_v<Arguments> && ...), "a kernel's argument is copied as bytes");
    if (module_ == nullptr || shape.blocks == 0 || shape.threads == 0) return client_status::bad_argument;
    // Finding a kernel may load it, which a driver puts off while others run.
    if (const status s = wait(until); !s.ok()) return s;
    const nkv::result<void*> kernel = driver_->find_kernel(module_, name);
    if (!kernel) return kernel.error();
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&arguments))..., nullptr};
    if (const status s = driver_->launch(*kernel, shape, pointers); !s.ok()) return s;
    return wait(until);
  }

  /// Waits until no kernel of the driver's is under way. @return as run()
  [[nodiscard]] status wait(deadline until) {
    if (module_ == nullptr) return client_status::bad_argument;
    for (;;) {
      const nkv::result<bool> ended = driver_->kernels_ended();
      if (!ended) return ended.error();
      if (*ended) return {};
      if (until.expired()) return client_status::timed_out;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  void end() noexcept {
    if (module_ == nullptr) return;
    const nkv::result<bool> ended = driver_->kernels_ended();
    if (!ended || !*ended) return keep(std::move(*this));
    static_cast<void>(driver_->unload(module_));
    module_ = nullptr;
  }
  static void keep(gpu_module&& m) {
    static std::mutex mutex;
    static std::vector<gpu_module>& kept = *new std::vector<gpu_module>;
    const std::lock_guard guard(mutex);
    kept.push_back(std::move(m));
  }

  std::shared_ptr<gpu_driver> driver_;
  std::shared_ptr<const std::string> image_;  // HIP looks at it as long as it is loaded
  void* module_ = nullptr;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
