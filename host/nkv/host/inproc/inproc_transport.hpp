// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/clock.hpp>
#include <nkv/host/inproc/registry.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// The way to a controller in this process: `inproc:NAME`. Any memory can be mapped, without an fd.
///
/// Destroying it disconnects: once the destructor has returned the controller touches no memory of the client any more.
/// A store that does not end a cancelled operation is waited for, for 10 seconds; memory that unmap_dma() has not
/// released by then has to stay.
class inproc_transport final : public memory_transport {
 public:
  /// @return not_found where nothing in this process has that name; as inproc_service::connect
  [[nodiscard]] static host::result<std::unique_ptr<inproc_transport>> connect(std::string_view name, deadline until) {
    const std::shared_ptr<inproc_service> service = inproc_registry::process().find(name);
    if (service == nullptr) return status{client_status::not_found};
    host::result<std::unique_ptr<memory_transport>> controller = service->connect(until);
    if (!controller) return controller.error();
    return std::unique_ptr<inproc_transport>(new inproc_transport(*std::move(controller)));
  }

  [[nodiscard]] nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width_bytes,
                                                         deadline until) override {
    return controller_->read_register(offset, width_bytes, until);
  }
  [[nodiscard]] status write_register(std::uint32_t offset, unsigned width_bytes, std::uint64_t value,
                                      deadline until) override {
    return controller_->write_register(offset, width_bytes, value, until);
  }
  [[nodiscard]] status map_dma(const dma_memory& memory, deadline until) override {
    return controller_->map_dma(memory, until);
  }
  [[nodiscard]] status unmap_dma(const dma_memory& memory, deadline until) override {
    return controller_->unmap_dma(memory, until);
  }
  [[nodiscard]] status set_interrupt(std::uint32_t vector, int eventfd, deadline until) override {
    return controller_->set_interrupt(vector, eventfd, until);
  }
  [[nodiscard]] status reset(deadline until) override { return controller_->reset(until); }
  [[nodiscard]] doorbell_page doorbells() const noexcept override { return controller_->doorbells(); }
  [[nodiscard]] bool shares_by_fd() const noexcept override { return false; }
  [[nodiscard]] bool connected() noexcept override { return controller_->connected(); }
  [[nodiscard]] bool peer_gone() noexcept override { return controller_->peer_gone(); }

 private:
  explicit inproc_transport(std::unique_ptr<memory_transport> controller) noexcept
      : controller_(std::move(controller)) {}

  std::unique_ptr<memory_transport> controller_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
