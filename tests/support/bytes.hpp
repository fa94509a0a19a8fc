// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace nkv_test {

/// A fixed number of bytes that compares and prints, for vectors written out in hexadecimal.
template <std::size_t N>
struct block {
  std::byte bytes[N == 0 ? 1 : N] = {};

  constexpr nkv::byte_span span() const noexcept { return {bytes, N}; }
  friend constexpr bool operator==(const block& a, const block& b) noexcept {
    for (std::size_t i = 0; i < N; ++i)
      if (a.bytes[i] != b.bytes[i]) return false;
    return true;
  }
};

// Not constexpr: reaching it in a constant expression is the compile error that says so.
inline void not_a_vector_of_this_length() {}

/// N bytes from hexadecimal digits in pairs; blanks between pairs are skipped, "--" is a zero byte.
template <std::size_t N, std::size_t M>
constexpr block<N> hex(const char (&text)[M]) {
  const auto digit = [](char c) -> unsigned {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10u;
    if (c == '-') return 0;
    not_a_vector_of_this_length();
    return 0;
  };
  block<N> out{};
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < M;) {
    if (text[i] == ' ') {
      ++i;
      continue;
    }
    if (at == N || i + 2 >= M) {
      not_a_vector_of_this_length();
      return out;
    }
    out.bytes[at++] = static_cast<std::byte>(digit(text[i]) << 4 | digit(text[i + 1]));
    i += 2;
  }
  if (at != N) not_a_vector_of_this_length();
  return out;
}

/// The bytes of a literal, without its terminating NUL.
template <std::size_t M>
constexpr block<M - 1> ascii(const char (&text)[M]) {
  block<M - 1> out{};
  for (std::size_t i = 0; i + 1 < M; ++i) out.bytes[i] = static_cast<std::byte>(text[i]);
  return out;
}

/// Little-endian bytes of a structure of dwords, as they lie in memory.
template <std::size_t N>
constexpr block<4 * N> bytes_of(const std::uint32_t (&dwords)[N]) {
  block<4 * N> out{};
  for (std::size_t i = 0; i < 4 * N; ++i)
    out.bytes[i] = static_cast<std::byte>((dwords[i / 4] >> (8 * (i % 4))) & 0xffu);
  return out;
}

/// The bytes of a container that may be a temporary of the same expression.
template <class C>
nkv::byte_span span_of(const C& container) {
  return {container.data(), container.size()};
}

/// For failure messages: pairs of digits, a blank after every fourth byte.
inline std::string to_text(nkv::byte_span bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i != 0 && i % 4 == 0) out += ' ';
    out += "0123456789abcdef"[static_cast<unsigned>(bytes[i]) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned>(bytes[i]) & 15u];
  }
  return out;
}

}  // namespace nkv_test
