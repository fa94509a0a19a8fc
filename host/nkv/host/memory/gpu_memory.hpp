// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// GPU memory that a controller reaches by itself: allocated from the driver, exported as a dma-buf, registered with
/// the target by that descriptor. Never staged.
///
/// A dma-buf keeps its size, so that no peer can be killed by its shrinking, and it cannot be sealed: a target that
/// wants a seal refuses it unless it is told to take dma-bufs. One that cannot map the memory refuses too, here, at
/// registration. Whether a kernel that has seen a completion sees the value is ordering_of()'s to say.
///
/// At its end the controller lets go, then the memory is freed; where the controller may still write, it stays
/// allocated for the life of the process. Kernels that use it have ended before. Moves only; one thread at a time.
class gpu_memory {
 public:
  /// Whole such pieces are allocated, so that nothing else of the process lies in what is exported.
  static constexpr std::size_t granularity_bytes = std::size_t{2} << 20;

  gpu_memory() noexcept = default;
  gpu_memory(gpu_memory&& other) noexcept
      : attachment_(std::move(other.attachment_)),
        driver_(std::move(other.driver_)),
        mapped_(std::exchange(other.mapped_, {})),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        kind_(other.kind_),
        kept_(other.kept_) {}
  gpu_memory& operator=(gpu_memory&& other) noexcept {
    if (this != &other) {
      end();
      attachment_ = std::move(other.attachment_);
      driver_ = std::move(other.driver_);
      mapped_ = std::exchange(other.mapped_, {});
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      kind_ = other.kind_;
      kept_ = other.kept_;
    }
    return *this;
  }
  ~gpu_memory() { end(); }

  /// @return the memory, its contents unspecified; or
  ///         - client/bad_argument    no driver or size
  ///         - client/unsupported     the driver or the device exports no dma-buf
  ///         - client/staged_refused  the transport shares no descriptors, so that the target could only copy
  ///         - client/driver_error    what the driver said, see gpu_driver::describe()
  ///         - client/system_error    with the errno of the target that does not take or cannot map the dma-buf
  [[nodiscard]] static host::result<gpu_memory> create(std::shared_ptr<attachment> to,
                                                       std::shared_ptr<gpu_driver> driver, std::size_t size_bytes,
                                                       gpu_memory_kind kind, deadline until) {
    constexpr std::size_t most = std::size_t{1} << 46;
    if (driver == nullptr || size_bytes == 0 || size_bytes > most) return status{client_status::bad_argument};
    // The embedded target in this process would follow the address with a processor's instructions.
    if (!to->transport().shares_by_fd()) return status{client_status::staged_refused};
    if (!driver->facts().exports_dma_buf) return status{client_status::unsupported};
    const std::size_t whole = (size_bytes + granularity_bytes - 1) / granularity_bytes * granularity_bytes;
    const nkv::result<std::byte*> at = driver->allocate(whole, kind);
    if (!at) return at.error();
    gpu_memory m;
    m.driver_ = std::move(driver);
    m.mapped_ = {*at, whole, -1, 0};
    m.size_bytes_ = size_bytes;
    m.kind_ = kind;
    if (reinterpret_cast<std::uintptr_t>(*at) % region::page_bytes() != 0) return status{client_status::unsupported};
    host::result<exported_memory> shared = m.driver_->export_dma_buf(*at, whole);
    if (!shared) return shared.error();
    const dma_memory reached{*at, whole, shared->fd.get(), shared->offset_bytes};
    const status s = to->map(reached, until);
    if (!s.ok()) {
      if (!attachment::surely_unmapped(s)) m.abandon(*to);
      return s;
    }
    m.attachment_ = std::move(to);
    return m;
  }

  /// GPU memory for kernels alone: nobody is told of it, and no value lies in it.
  /// @return the memory, its contents unspecified; client/bad_argument for no driver or size; or client/driver_error
  [[nodiscard]] static host::result<gpu_memory> create_unshared(std::shared_ptr<attachment> to,
                                                                std::shared_ptr<gpu_driver> driver,
                                                                std::size_t size_bytes, gpu_memory_kind kind) {
    if (driver == nullptr || size_bytes == 0) return status{client_status::bad_argument};
    const nkv::result<std::byte*> at = driver->allocate(size_bytes, kind);
    if (!at) return at.error();
    gpu_memory m;
    m.attachment_ = std::move(to);
    m.driver_ = std::move(driver);
    m.mapped_ = {*at, size_bytes, -1, 0};
    m.kind_ = kind;
    return m;
  }

  /// For kernels; no host thread follows it.
  [[nodiscard]] std::byte* on_device() const noexcept { return mapped_.address; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] memory_place place() const noexcept {
    return kind_ == gpu_memory_kind::fine_grained ? memory_place::gpu_fine_grained : memory_place::gpu_plain;
  }

  /// The bytes [offset_bytes, offset_bytes + length_bytes) as commands of a queue in `queue` name them.
  /// @return the part; client/bad_argument where it does not lie inside; what check_order() returns
  [[nodiscard]] nkv::result<value_ref> value(std::size_t offset_bytes, std::size_t length_bytes, memory_place queue,
                                             visibility undertaken) const noexcept {
    if (mapped_.address == nullptr || offset_bytes > size_bytes_ || length_bytes > size_bytes_ - offset_bytes)
      return status{client_status::bad_argument};
    const gpu_facts& gpu = driver_->facts();
    if (const status s = check_order(queue, place(), gpu.vendor, gpu.writes, undertaken); !s.ok()) return s;
    return value_ref{reinterpret_cast<std::uintptr_t>(mapped_.address) + offset_bytes, length_bytes, 0};
  }

  [[nodiscard]] const std::shared_ptr<gpu_driver>& driver() const noexcept { return driver_; }
  /// Whether it is this controller that reaches it.
  [[nodiscard]] bool reached_through(const attachment* a) const noexcept {
    return a != nullptr && attachment_.get() == a;
  }

  /// Says that the controller may write there at any time, addressed or not: at its end the memory stays allocated and
  /// mapped for the life of the process, unless the controller is fenced then, so that it meets nobody else's data.
  void keep() noexcept { kept_ = true; }
  [[nodiscard]] bool kept() const noexcept { return kept_; }

 private:
  static constexpr std::uint64_t teardown_ms = 1000;

  void abandon(attachment& a) noexcept {
    a.count().abandoned += mapped_.length_bytes;
    mapped_ = {};
  }
  void end() noexcept {
    if (attachment_ != nullptr && mapped_.address != nullptr) {
      if (attachment_->forked()) {
        mapped_ = {};  // the parent's
      } else if ((kept_ && attachment_->liveness() != queue_liveness::fenced) ||
                 !attachment_->quiesce(mapped_, deadline::after_ms(teardown_ms))) {
        abandon(*attachment_);
      }
    }
    if (mapped_.address != nullptr) static_cast<void>(driver_->free(mapped_.address));
    mapped_ = {};
    size_bytes_ = 0;
    attachment_.reset();
    driver_.reset();
  }

  std::shared_ptr<attachment> attachment_;
  std::shared_ptr<gpu_driver> driver_;
  dma_memory mapped_{};
  std::size_t size_bytes_ = 0;
  gpu_memory_kind kind_ = gpu_memory_kind::plain;
  bool kept_ = false;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
