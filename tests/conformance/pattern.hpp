// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nkv_test {

/// Word `i` of the bytes that `seed` names: no two positions and no two seeds look alike, so that a page in the wrong
/// place, or another key's value, is a difference.
inline std::uint64_t pattern_word(std::uint64_t seed, std::uint64_t i) noexcept {
  std::uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xd1b54a32d192ed03u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// Calls `each(offset, word, count)` for every 8 bytes of the pattern, the last ones cut to `count`, until it returns
/// false.
template <class Each>
inline void for_each_pattern_word(std::size_t size, std::uint64_t seed, Each&& each) {
  for (std::size_t at = 0; at < size; at += 8)
    if (!each(at, pattern_word(seed, at / 8), std::min<std::size_t>(8, size - at))) return;
}

/// Writes the first `size` bytes of the pattern of `seed`.
inline void fill_pattern(std::byte* to, std::size_t size, std::uint64_t seed) noexcept {
  for_each_pattern_word(size, seed, [to](std::size_t at, std::uint64_t word, std::size_t count) {
    std::memcpy(to + at, &word, count);
    return true;
  });
}

/// Where `size` bytes first differ from the pattern of `seed`, to within 8 bytes; `size` where they do not.
inline std::size_t pattern_difference(const std::byte* from, std::size_t size, std::uint64_t seed) noexcept {
  std::size_t difference = size;
  for_each_pattern_word(size, seed, [&](std::size_t at, std::uint64_t word, std::size_t count) {
    if (std::memcmp(from + at, &word, count) == 0) return true;
    difference = at;
    return false;
  });
  return difference;
}

/// Where `size` bytes first differ from `value`; `size` where they do not.
inline std::size_t fill_difference(const std::byte* from, std::size_t size, std::byte value) noexcept {
  return static_cast<std::size_t>(std::find_if(from, from + size, [value](std::byte b) { return b != value; }) - from);
}

}  // namespace nkv_test
