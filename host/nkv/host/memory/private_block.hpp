// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// Memory of this process alone, zero at the start, and all zero again in a child after fork().
///
/// The bookkeeping of queues lives in it: a child finds no free CID there and so cannot put commands into its parent's
/// rings. Page aligned. Moves only.
class private_block {
 public:
  private_block() noexcept = default;
  private_block(private_block&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  private_block& operator=(private_block&& other) noexcept {
    if (this != &other) {
      unmap();
      data_ = std::exchange(other.data_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
    }
    return *this;
  }
  ~private_block() { unmap(); }

  /// @param size_bytes rounded up to whole pages, not 0
  /// @return the block, or client/system_error with the errno of mmap or madvise (EINVAL: a kernel before 4.14)
  [[nodiscard]] static host::result<private_block> create(std::size_t size_bytes) noexcept {
    const std::size_t page = region::page_bytes();
    const std::size_t size = (size_bytes + page - 1) / page * page;
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return failure();
    private_block b;
    b.data_ = static_cast<std::byte*>(at);
    b.size_bytes_ = size;
    if (::madvise(at, size, MADV_WIPEONFORK) != 0) return failure();
    return b;
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  static status failure() noexcept { return {client_status::system_error, static_cast<std::uint16_t>(errno)}; }

  void unmap() noexcept {
    if (data_ != nullptr) ::munmap(data_, size_bytes_);
    data_ = nullptr;
  }

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
