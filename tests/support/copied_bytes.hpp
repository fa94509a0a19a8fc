// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// This header's memcpy and memmove take the place of the C library's in a program that is linked with -rdynamic, for
// the libraries that it loads as well. In one source of the program.

namespace nkv_test {

inline std::atomic<std::uint64_t> copied_bytes_count{0};

/// Bytes that memcpy and memmove have copied so far, in all threads, by calls for 512 bytes and more: values and not
/// their names.
[[nodiscard]] inline std::uint64_t copied_bytes() noexcept { return copied_bytes_count.load(); }

inline void* copy_and_count(void* to, const void* from, std::size_t bytes) noexcept {
  if (bytes >= 512) copied_bytes_count.fetch_add(bytes, std::memory_order_relaxed);
  auto* d = static_cast<unsigned char*>(to);
  const auto* s = static_cast<const unsigned char*>(from);
  // By the processor's own instruction: a loop would be made a call of memcpy.
  void* const out = to;
  if (d <= s || d >= s + bytes) {
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(bytes) : : "memory");
  } else {
    d += bytes - 1;
    s += bytes - 1;
    if (bytes != 0) __asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(bytes) : : "memory");
  }
  return out;
}

}  // namespace nkv_test

extern "C" {
[[gnu::used, gnu::visibility("default")]] void* memcpy(void* to, const void* from, std::size_t bytes) noexcept {
  return nkv_test::copy_and_count(to, from, bytes);
}
[[gnu::used, gnu::visibility("default")]] void* memmove(void* to, const void* from, std::size_t bytes) noexcept {
  return nkv_test::copy_and_count(to, from, bytes);
}
}
