// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/status_code.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// An eventfd that becomes readable when completions have arrived: the controller's interrupt of one queue, for event
/// loops that sleep in poll(2), epoll or io_uring.
///
/// In the loop: wait until fd() is readable; clear(); then poll the tickets until none is complete. In this order,
/// since a completion that comes after clear() makes fd() readable again, and one that came before is found by the
/// polls. A connection that is lost makes nothing readable: what a lost target owes ends by the loop's own deadline.
/// A plain owner; one thread at a time.
class completion_event {
 public:
  completion_event() noexcept = default;
  /// @return it, or client/system_error with the errno of eventfd(2)
  [[nodiscard]] static host::result<completion_event> create() noexcept {
    completion_event e;
    e.fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!e.fd_.valid()) return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
    return e;
  }

  [[nodiscard]] bool valid() const noexcept { return fd_.valid(); }
  /// For reading alone; -1 where there is none. Stays this object's.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// fd() is not readable any more until the next interrupt. @return how many there were; never waits
  std::uint64_t clear() const noexcept {
    std::uint64_t count = 0;
    return ::read(fd_.get(), &count, sizeof count) == static_cast<ssize_t>(sizeof count) ? count : 0;
  }

 private:
  unique_fd fd_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
