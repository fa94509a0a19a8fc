// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// Owns a file descriptor and closes it once. Moves only; one thread at a time.
class unique_fd {
 public:
  unique_fd() noexcept = default;
  /// Takes `fd` over; -1 for none.
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~unique_fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
  /// The descriptor, now the caller's.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    // EINTR included, the descriptor is gone after close() on Linux: a repetition could close another thread's.
    if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
  }
  /// A second descriptor of the same open file, closed on exec; not valid() where the process has no room for one.
  [[nodiscard]] unique_fd duplicate() const noexcept {
    return unique_fd{fd_ < 0 ? -1 : ::fcntl(fd_, F_DUPFD_CLOEXEC, 0)};
  }

 private:
  int fd_ = -1;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
