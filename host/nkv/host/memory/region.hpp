// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/status_code.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// How a region is made.
struct region_options {
  /// 2 MiB pages from the kernel's pool. Refused with system_error (ENOMEM) where the pool has too few.
  bool hugetlb = false;
  /// Of the address, a power of two; 0: a page (2 MiB with hugetlb).
  std::size_t alignment_bytes = 0;
  /// What /proc/PID/maps calls it.
  const char* name = "nkv";
};

/// Memory that can be shared with another process by its descriptor: a memfd, zero at the start, which neither side can
/// shrink or grow (so that no access to it ends in SIGBUS). Pages are only taken when touched.
///
/// Shared, not copied, at fork: a child sees the parent's bytes. Moves only; one thread at a time owns it, its bytes
/// are anybody's.
class region {
 public:
  static constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

  region() noexcept = default;
  region(region&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        fd_(std::move(other.fd_)) {}
  region& operator=(region&& other) noexcept {
    if (this != &other) {
      unmap();
      data_ = std::exchange(other.data_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      fd_ = std::move(other.fd_);
    }
    return *this;
  }
  /// Gives the memory back to the kernel. Nobody else may be about to write into it: see registration.
  ~region() { unmap(); }

  /// @param size_bytes rounded up to whole pages
  /// @return the region, or
  ///         - client/bad_argument  a size of 0 or beyond the address space, an alignment that is no power of two
  ///         - client/system_error  with the errno of memfd_create, ftruncate, fcntl (sealing) or mmap; ENOMEM for
  ///                                hugetlb means that the pool of huge pages (/proc/sys/vm/nr_hugepages) is too small
  [[nodiscard]] static host::result<region> create(std::size_t size_bytes,
                                                   const region_options& options = {}) noexcept {
    const std::size_t page = options.hugetlb ? huge_page_bytes : page_bytes();
    const std::size_t alignment = options.alignment_bytes > page ? options.alignment_bytes : page;
    if (size_bytes == 0 || (alignment & (alignment - 1)) != 0 || size_bytes > max_size_bytes ||
        alignment > max_size_bytes)
      return status{client_status::bad_argument};
    const std::size_t size = (size_bytes + page - 1) / page * page;

    unique_fd fd{::memfd_create(options.name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (options.hugetlb ? MFD_HUGETLB : 0u))};
    if (!fd.valid()) return failure();
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return failure();
    if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return failure();

    region r;
    void* at = nullptr;
    if (alignment > page) {
      // An address range in which an aligned one lies; what is left over is given back.
      void* const range =
          ::mmap(nullptr, size + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) return failure();
      auto* const first = static_cast<std::byte*>(range);
      const std::size_t skip = (alignment - reinterpret_cast<std::uintptr_t>(range) % alignment) % alignment;
      at = ::mmap(first + skip, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0);
      if (at == MAP_FAILED) {
        const status error = failure();
        ::munmap(range, size + alignment);
        return error;
      }
      if (skip != 0) ::munmap(range, skip);
      if (alignment - skip != 0) ::munmap(first + skip + size, alignment - skip);
    } else {
      at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
      if (at == MAP_FAILED) return failure();
    }
    r.data_ = static_cast<std::byte*>(at);
    r.size_bytes_ = size;
    r.fd_ = std::move(fd);
    return r;
  }

  /// Page aligned (see region_options), valid as long as the region; null for an empty one.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  /// The memfd; it stays the region's.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool empty() const noexcept { return data_ == nullptr; }
  [[nodiscard]] dma_memory dma() const noexcept { return {data_, size_bytes_, fd_.get(), 0}; }

  /// Lets go of the memory without giving it back: it stays mapped until the process ends, so that a peer that may
  /// still write into it meets nobody else's data. The region is empty afterwards.
  void abandon() noexcept {
    data_ = nullptr;
    size_bytes_ = 0;
    fd_.reset();  // the mapping holds the file
  }

  [[nodiscard]] static std::size_t page_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

 private:
  static constexpr std::size_t max_size_bytes = std::size_t{1} << 46;

  static status failure() noexcept { return {client_status::system_error, static_cast<std::uint16_t>(errno)}; }

  void unmap() noexcept {
    if (data_ != nullptr) ::munmap(data_, size_bytes_);
    data_ = nullptr;
    size_bytes_ = 0;
  }

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  unique_fd fd_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
