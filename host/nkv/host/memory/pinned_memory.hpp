// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// Host memory that a controller, the CPU and any number of GPUs (NVIDIA's and AMD's side by side) use without a copy:
/// a sealed memfd, shared with the target by its descriptor and registered with each GPU.
///
/// Three addresses: data() for host threads, on_device() for kernels, value() for commands. At its end, in this order:
/// the controller lets go, the GPUs do, the memory is unmapped. Where the controller may still write, the memory stays
/// mapped for the life of the process. Kernels that use it have ended before.
///
/// Moves only; one thread at a time owns it, its bytes are anybody's.
class pinned_memory {
 public:
  pinned_memory() noexcept = default;
  pinned_memory(pinned_memory&&) noexcept = default;
  pinned_memory& operator=(pinned_memory&& other) noexcept {
    if (this != &other) {
      end();
      region_ = std::move(other.region_);
      gpus_ = std::move(other.gpus_);
      registration_ = std::move(other.registration_);
      attachment_ = std::move(other.attachment_);
    }
    return *this;
  }
  ~pinned_memory() { end(); }

  /// @param gpus whose kernels shall reach it; none is plain shared memory
  /// @return the memory, zero at the start; or what region::create(), gpu_mapping::create() and
  ///         registration::caller_memory() return. Nothing is left behind then.
  [[nodiscard]] static host::result<pinned_memory> create(std::shared_ptr<attachment> to, std::size_t size_bytes,
                                                          const std::vector<std::shared_ptr<gpu_driver>>& gpus,
                                                          const memory_options& options, deadline until) {
    region_options how;
    how.hugetlb = options.hugetlb;
    how.name = "nkv-pinned";
    host::result<region> memory = region::create(size_bytes, how);
    if (!memory) return memory.error();
    pinned_memory m;
    m.region_ = *std::move(memory);
    for (const std::shared_ptr<gpu_driver>& gpu : gpus) {
      host::result<gpu_mapping> mapping =
          gpu_mapping::create(gpu, m.region_.data(), m.region_.size_bytes(), host_range::memory);
      if (!mapping) return mapping.error();
      m.gpus_.push_back(*std::move(mapping));
    }
    m.attachment_ = to;
    host::result<registration> shared =
        registration::caller_memory(std::move(to), m.region_.data(), m.region_.size_bytes(), m.region_.fd(), 0,
                                    memory_options{false, false}, until);
    if (!shared) {
      const status s = shared.error();
      if (!attachment::surely_unmapped(s)) {
        m.gpus_.clear();
        m.attachment_->bury(std::move(m.region_));
      }
      return s;
    }
    m.registration_ = *std::move(shared);
    return m;
  }

  [[nodiscard]] std::byte* data() const noexcept { return region_.data(); }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return region_.size_bytes(); }
  /// Where `gpus[gpu]` of create() finds the byte at `offset_bytes`; null where there is none.
  [[nodiscard]] std::byte* on_device(std::size_t offset_bytes = 0, std::size_t gpu = 0) const noexcept {
    if (gpu >= gpus_.size() || offset_bytes >= region_.size_bytes()) return nullptr;
    return gpus_[gpu].on_device(region_.data() + offset_bytes);
  }
  /// The bytes [offset_bytes, offset_bytes + length_bytes) as commands of a queue in `queue` name them.
  /// @return the part; client/bad_argument where it does not lie inside; client/unsupported for a queue in GPU memory,
  ///         which says nothing of host memory: see ordering_of()
  [[nodiscard]] nkv::result<value_ref> value(std::size_t offset_bytes, std::size_t length_bytes,
                                             memory_place queue = memory_place::host_memory) const noexcept {
    // Of neither vendor's GPUs, and by no step.
    if (const status s =
            check_order(queue, place(), gpu_vendor::nvidia, remote_writes::all_devices, visibility::between_kernels);
        !s.ok())
      return s;
    return registration_.value(offset_bytes, length_bytes);
  }
  [[nodiscard]] static constexpr memory_place place() noexcept { return memory_place::host_memory; }

 private:
  static constexpr std::uint64_t teardown_ms = 1000;

  void end() noexcept {
    if (region_.empty()) return;
    const bool quiet = registration_.release(deadline::after_ms(teardown_ms)).ok();
    gpus_.clear();
    if (!quiet) {
      attachment_->count().abandoned += region_.size_bytes();
      region_.abandon();
    }
    registration_ = registration{};
    region_ = region{};
    attachment_.reset();
  }

  std::shared_ptr<attachment> attachment_;
  region region_;
  std::vector<gpu_mapping> gpus_;
  registration registration_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
