// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if NKV_ON_X86 && defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nkv::inline NKV_ABI {
namespace target {

/// memcpy for what is too long for any cache: past the caches where the processor can, so that the lines written are
/// not read first. Whatever the caller stores afterwards is seen after the copy. The two do not overlap.
inline void streaming_copy(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
#if NKV_ON_X86 && defined(__SSE2__)
  const std::size_t head = (0 - reinterpret_cast<std::uintptr_t>(to)) & 63u;
  if (bytes >= head + 64) {
    std::memcpy(to, from, head);
    to += head;
    from += head;
    bytes -= head;
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64) {
      const auto* const in = reinterpret_cast<const __m128i*>(from);
      auto* const out = reinterpret_cast<__m128i*>(to);
      const __m128i a = _mm_loadu_si128(in);
      const __m128i b = _mm_loadu_si128(in + 1);
      const __m128i c = _mm_loadu_si128(in + 2);
      const __m128i d = _mm_loadu_si128(in + 3);
      _mm_stream_si128(out, a);
      _mm_stream_si128(out + 1, b);
      _mm_stream_si128(out + 2, c);
      _mm_stream_si128(out + 3, d);
    }
    // Store-store: the stores above before every later one, the phase of the command's completion among them. A release
    // on x86 is a plain store and does not order these.
    _mm_sfence();
  }
#endif
  if (bytes != 0) std::memcpy(to, from, bytes);
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
