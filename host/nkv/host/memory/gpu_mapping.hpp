// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// A range of this process's addresses that is registered with a GPU, and where its kernels find it.
///
/// Ends before the range is unmapped and after the last kernel that uses it. A driver's state does not survive fork():
/// in a child nothing is taken back. Moves only; one thread at a time.
class gpu_mapping {
 public:
  gpu_mapping() noexcept = default;
  gpu_mapping(gpu_mapping&& other) noexcept
      : driver_(std::move(other.driver_)),
        at_(std::exchange(other.at_, nullptr)),
        there_(std::exchange(other.there_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        process_(other.process_) {}
  gpu_mapping& operator=(gpu_mapping&& other) noexcept {
    if (this != &other) {
      static_cast<void>(release());
      driver_ = std::move(other.driver_);
      at_ = std::exchange(other.at_, nullptr);
      there_ = std::exchange(other.there_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      process_ = other.process_;
    }
    return *this;
  }
  ~gpu_mapping() { static_cast<void>(release()); }

  /// @param at, size_bytes whole pages; the range outlives the mapping
  /// @return the mapping, or client/bad_argument for no driver or range, or what gpu_driver::register_host() returns
  [[nodiscard]] static host::result<gpu_mapping> create(std::shared_ptr<gpu_driver> driver, std::byte* at,
                                                        std::size_t size_bytes, host_range what) {
    if (driver == nullptr || at == nullptr || size_bytes == 0) return status{client_status::bad_argument};
    const nkv::result<std::byte*> there = driver->register_host(at, size_bytes, what);
    if (!there) return there.error();
    gpu_mapping m;
    m.driver_ = std::move(driver);
    m.at_ = at;
    m.there_ = *there;
    m.size_bytes_ = size_bytes;
    m.process_ = ::getpid();
    return m;
  }

  [[nodiscard]] bool empty() const noexcept { return at_ == nullptr; }
  /// The address for device code of what lies at `p` here; null where `p` is not inside. For no host thread to follow.
  template <class T>
  [[nodiscard]] T* on_device(T* p) const noexcept {
    const auto offset = reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(at_);
    if (at_ == nullptr || offset >= size_bytes_) return nullptr;
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(there_) + offset);
  }

  /// Takes the range back from the GPU; empty afterwards, whatever the driver says. @pre no kernel uses it
  /// @return success, or what gpu_driver::unregister_host() returns
  status release() noexcept {
    if (at_ == nullptr) return {};
    const std::shared_ptr<gpu_driver> driver = std::move(driver_);
    std::byte* const at = std::exchange(at_, nullptr);
    there_ = nullptr;
    size_bytes_ = 0;
    return process_ == ::getpid() ? driver->unregister_host(at) : status();
  }

 private:
  std::shared_ptr<gpu_driver> driver_;
  std::byte* at_ = nullptr;
  std::byte* there_ = nullptr;
  std::size_t size_bytes_ = 0;
  pid_t process_ = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
