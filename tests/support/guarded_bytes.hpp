// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

namespace nkv_test {

/// Bytes that end where a page begins which nobody may touch: reading one byte beyond them ends the test, with a
/// sanitizer or without.
class guarded_bytes {
 public:
  explicit guarded_bytes(std::size_t most) {
    const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    data_bytes_ = (most / page_bytes + 1) * page_bytes;
    mapped_bytes_ = data_bytes_ + page_bytes;
    void* p = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(p);
    if (::mprotect(base_ + data_bytes_, page_bytes, PROT_NONE) != 0) std::abort();
  }
  guarded_bytes(const guarded_bytes&) = delete;
  guarded_bytes& operator=(const guarded_bytes&) = delete;
  ~guarded_bytes() { ::munmap(base_, mapped_bytes_); }

  /// The last `size` bytes in front of the guard. @pre size is not above what the constructor was given
  nkv::mutable_byte_span last(std::size_t size) { return {base_ + (data_bytes_ - size), size}; }

 private:
  std::byte* base_ = nullptr;
  std::size_t data_bytes_ = 0;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace nkv_test
