// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// The doorbells of one controller as a caller has mapped them from its BAR, by VFIO for one: this library's transports
/// map none.
struct doorbell_bar {
  std::uint32_t* base = nullptr;  ///< the first doorbell, BAR0 offset 1000h; mapped as long as the gpu_doorbells
  std::size_t length_bytes = 0;
};

/// The doorbells of one controller, registered with one GPU: the owner of that registration, one for all queues.
///
/// Outlives every device ref made with it, and the kernels that use them. Moves only.
class gpu_doorbells {
 public:
  /// One queue's two doorbells as device code reaches them.
  struct pair {
    std::uint32_t* sq_tail = nullptr;
    std::uint32_t* cq_head = nullptr;
  };

  gpu_doorbells() noexcept = default;

  /// The page that the target shares and polls, for device::shared_doorbell.
  /// @return the doorbells; or
  ///         - client/unsupported  the target lets no doorbell be mapped, so that only a CPU thread can ring; or it
  ///                               sleeps until it is woken, which a kernel cannot: see vfio_user_options::wake
  ///         - what gpu_mapping::create() returns
  [[nodiscard]] static host::result<gpu_doorbells> create(std::shared_ptr<attachment> of,
                                                          std::shared_ptr<gpu_driver> driver) {
    const doorbell_page page = of->transport().doorbells();
    if (page.base == nullptr || page.asleep != nullptr) return status{client_status::unsupported};
    host::result<gpu_doorbells> made = map(std::move(driver), page.base, page.length_bytes, host_range::memory);
    if (made) made->attachment_ = std::move(of);
    return made;
  }

  /// A BAR of the caller's, registered as I/O memory, for device::bar_doorbell.
  /// @return the doorbells; client/bad_argument for no driver, no BAR, or one not aligned to a doorbell; what
  ///         gpu_mapping::create() returns: 800 (CUDA_ERROR_NOT_PERMITTED) where I/O memory is not for everybody, see
  ///         gpu_driver::describe()
  [[nodiscard]] static host::result<gpu_doorbells> create_in_bar(std::shared_ptr<gpu_driver> driver,
                                                                 const doorbell_bar& bar) {
    if (bar.base == nullptr || bar.length_bytes == 0 || reinterpret_cast<std::uintptr_t>(bar.base) % 4 != 0)
      return status{client_status::bad_argument};
    return map(std::move(driver), bar.base, bar.length_bytes, host_range::io_memory);
  }

  /// @param stride_bytes CAP.DSTRD
  /// @return the queue's doorbells for device code, or client/bad_argument for a queue whose doorbells are not mapped
  [[nodiscard]] nkv::result<pair> of(std::uint16_t qid, std::uint32_t stride_bytes) const noexcept {
    const std::uint32_t sq = sq_tail_doorbell(qid, stride_bytes) - reg::doorbells;
    const std::uint32_t cq = cq_head_doorbell(qid, stride_bytes) - reg::doorbells;
    if (cq + std::size_t{4} > length_bytes_) return status{client_status::bad_argument};
    return pair{mapping_.on_device(base_ + sq / 4), mapping_.on_device(base_ + cq / 4)};
  }
  /// Whether they are a device's registers, which a kernel stores to as such: device::bar_doorbell.
  [[nodiscard]] bool in_bar() const noexcept { return in_bar_; }

 private:
  static host::result<gpu_doorbells> map(std::shared_ptr<gpu_driver> driver, std::uint32_t* base,
                                         std::size_t length_bytes, host_range what) {
    // The pages around them: what is mapped is whole pages.
    const std::uintptr_t unit = region::page_bytes();
    const std::uintptr_t lead = reinterpret_cast<std::uintptr_t>(base) % unit;
    host::result<gpu_mapping> mapping =
        gpu_mapping::create(std::move(driver), reinterpret_cast<std::byte*>(base) - lead,
                            (lead + length_bytes + unit - 1) / unit * unit, what);
    if (!mapping) return mapping.error();
    gpu_doorbells d;
    d.mapping_ = *std::move(mapping);
    d.base_ = base;
    d.length_bytes_ = length_bytes;
    d.in_bar_ = what == host_range::io_memory;
    return d;
  }

  std::shared_ptr<attachment> attachment_;  // whose transport holds the page; null: the caller does
  gpu_mapping mapping_;
  std::uint32_t* base_ = nullptr;
  std::size_t length_bytes_ = 0;
  bool in_bar_ = false;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
