// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/target/controller.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

/// The memory behind BAR0: a page for the registers, which is never used, and the page of doorbells, which the client
/// maps. It can neither shrink nor grow, so that no client ends this process, and no server its clients.
class doorbell_memory {
 public:
  static constexpr std::size_t size_bytes = reg::doorbells + doorbell_page_bytes;

  doorbell_memory() noexcept = default;
  doorbell_memory(const doorbell_memory&) = delete;
  doorbell_memory& operator=(const doorbell_memory&) = delete;
  ~doorbell_memory() {
    if (at_ != nullptr) ::munmap(at_, size_bytes);
  }

  /// @return 0 or an errno
  [[nodiscard]] int open() noexcept {
    fd_.reset(::memfd_create("nkv-doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd_.valid() || ::ftruncate(fd_.get(), size_bytes) != 0 ||
        ::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      return errno;
    }
    // As a whole: where a machine's pages are larger than 4 KiB, a mapping cannot begin at the doorbells.
    void* const at = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at == MAP_FAILED) return errno;
    at_ = static_cast<std::byte*>(at);
    return 0;
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] std::uint32_t* doorbells() const noexcept {
    return reinterpret_cast<std::uint32_t*>(at_ + reg::doorbells);
  }

 private:
  host::unique_fd fd_;
  std::byte* at_ = nullptr;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
