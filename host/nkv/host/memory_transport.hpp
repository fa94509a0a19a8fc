// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

/// Memory of this process that a controller shall reach.
struct dma_memory {
  std::byte* address = nullptr;  ///< in this process; also the address the controller uses (IOVA = VA)
  std::uint64_t length_bytes = 0;
  int fd = -1;  ///< what backs it, to be shared with another process; -1: nothing does
  std::uint64_t fd_offset = 0;
};

/// Where doorbells are rung and how a sleeping target is woken.
struct doorbell_page {
  /// The first doorbell (BAR0 offset 1000h) as mapped here; null where the target does not let it be mapped, and
  /// doorbells are then written with write_register.
  std::uint32_t* base = nullptr;
  std::uint32_t length_bytes = 0;
  /// Nonzero while the target sleeps and polls no doorbell; null where the target never sleeps, or does not say.
  const std::uint32_t* asleep = nullptr;
  /// An eventfd that wakes it; -1 where there is none.
  int wake_fd = -1;
};

/// The way to a controller of NVMe's memory-based transport model: registers, memory that it may reach, doorbells.
///
/// One implementation a transport (vfio_user, inproc). Everything here is the slow path: calls may take locks and make
/// system calls, any thread may call, each call ends by its deadline. A command's path uses doorbells() alone.
class memory_transport {
 public:
  memory_transport() = default;
  memory_transport(const memory_transport&) = delete;
  memory_transport& operator=(const memory_transport&) = delete;
  /// Disconnects. Memory stays mapped at the peer until then; see unmap_dma.
  virtual ~memory_transport() = default;

  /// Reads a BAR0 register. @param width_bytes 4 or 8, `offset` a multiple of it
  /// @return the value, or disconnected, timed_out, protocol_error, system_error (the errno that the peer answered)
  [[nodiscard]] virtual nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width_bytes,
                                                                 deadline until) = 0;
  /// Writes a BAR0 register; done at the peer on return.
  [[nodiscard]] virtual status write_register(std::uint32_t offset, unsigned width_bytes, std::uint64_t value,
                                              deadline until) = 0;
  /// Lets the controller reach `memory` at IOVA = address. The memory stays valid until unmap_dma succeeded or the
  /// transport is gone and peer_gone() holds.
  /// @return staged_refused where the transport shares by fd and there is none; system_error with the peer's errno
  [[nodiscard]] virtual status map_dma(const dma_memory& memory, deadline until) = 0;
  /// After success the controller does not touch the memory any more.
  [[nodiscard]] virtual status unmap_dma(const dma_memory& memory, deadline until) = 0;
  /// Has the controller write `eventfd` at each interrupt of `vector`; -1 takes the present one away. The descriptor
  /// stays the caller's, and may be closed at once.
  /// @return unsupported where this way has no interrupts; bad_argument, or system_error with the peer's errno, for a
  /// vector that there is not or a descriptor that is no eventfd
  [[nodiscard]] virtual status set_interrupt(std::uint32_t vector, int eventfd, deadline until) {
    static_cast<void>(vector);
    static_cast<void>(eventfd);
    static_cast<void>(until);
    return client_status::unsupported;
  }
  /// Resets the controller (vfio-user DEVICE_RESET or its like).
  [[nodiscard]] virtual status reset(deadline until) = 0;

  [[nodiscard]] virtual doorbell_page doorbells() const noexcept = 0;
  /// Whether map_dma needs an fd (another process) or takes any memory (the same process).
  [[nodiscard]] virtual bool shares_by_fd() const noexcept = 0;
  /// Looks, without waiting, whether the peer is still there: false once the connection was lost.
  [[nodiscard]] virtual bool connected() noexcept = 0;
  /// Whether it is certain that the peer cannot write into this process's memory any more (its process has ended, or
  /// it has let go of everything). A lost connection alone does not make it so.
  [[nodiscard]] virtual bool peer_gone() noexcept = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
