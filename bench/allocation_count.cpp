// SPDX-License-Identifier: BSD-3-Clause
#include "allocation_count.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace {

// In the program's own thread-local block: nothing is allocated for it.
thread_local std::uint64_t allocations = 0;

}  // namespace

#if defined(__GLIBC__)

// The C library calls these in place of its own, and its own are still there under other names.
// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming)
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  void* const made = __libc_memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *memory = made;
  return 0;
}
void free(void* memory) noexcept { __libc_free(memory); }
}

#endif

namespace bench {

std::uint64_t allocations_of_this_thread() noexcept { return allocations; }

bool allocations_counted() noexcept {
#if defined(__GLIBC__)
  return true;
#else
  return false;
#endif
}

}  // namespace bench
