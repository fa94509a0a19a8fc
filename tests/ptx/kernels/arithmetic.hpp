// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define ARITHMETIC_HD __host__ __device__
#else
#define ARITHMETIC_HD
#endif

namespace nkv_test {

inline constexpr unsigned arithmetic_operations = 40;

ARITHMETIC_HD inline std::uint64_t fibonacci(std::uint32_t n) {
  std::uint64_t a = 0;
  std::uint64_t b = 1;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint64_t next = a + b;
    a = b;
    b = next;
  }
  return a;
}

/// One of many small computations, the same for a host's compiler and for nvcc, with nothing in it that the language
/// leaves open.
ARITHMETIC_HD inline std::uint64_t arithmetic(unsigned operation, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  const auto a32 = static_cast<std::uint32_t>(a);
  const auto b32 = static_cast<std::uint32_t>(b);
  const auto sa = static_cast<std::int64_t>(a);
  const auto sb = static_cast<std::int64_t>(b);
  const auto sa32 = static_cast<std::int32_t>(a32);
  const auto sb32 = static_cast<std::int32_t>(b32);
  const auto a16 = static_cast<std::uint16_t>(a);
  const auto b16 = static_cast<std::uint16_t>(b);
  const auto sa16 = static_cast<std::int16_t>(a16);
  const auto sa8 = static_cast<std::int8_t>(a);
  const unsigned n64 = static_cast<unsigned>(c & 63);
  const unsigned n32 = static_cast<unsigned>(c & 31);
  switch (operation) {
    case 0: return a + b * c;
    case 1: return a - (b ^ c);
    case 2: return a32 * static_cast<std::uint64_t>(b32) + c;
    case 3: return static_cast<std::uint64_t>(static_cast<std::int64_t>(sa32) * sb32);
    case 4: return b == 0 ? 1 : a / b;
    case 5: return b == 0 ? 1 : a % b;
    case 6: return b32 == 0 ? 1 : a32 / b32 + a32 % b32;
    case 7: return sb == 0 || sb == -1 ? 1 : static_cast<std::uint64_t>(sa / sb);
    case 8: return sb == 0 || sb == -1 ? 1 : static_cast<std::uint64_t>(sa % sb);
    case 9: return sb32 == 0 || sb32 == -1 ? 1 : static_cast<std::uint64_t>(static_cast<std::int64_t>(sa32 / sb32));
    case 10: return sb32 == 0 || sb32 == -1 ? 1 : static_cast<std::uint64_t>(static_cast<std::int64_t>(sa32 % sb32));
    case 11: return a << n64;
    case 12: return a >> n64;
    case 13: return static_cast<std::uint64_t>(sa >> n64);
    case 14: return a32 << n32;
    case 15: return static_cast<std::uint64_t>(static_cast<std::int64_t>(sa32 >> n32));
    case 16: return (a << n64) | (b >> (63 - n64));
    case 17: return n32 == 0 ? a32 : (a32 << n32) | (a32 >> (32 - n32));
    case 18: return a < b ? a : b;
    case 19: return static_cast<std::uint64_t>(sa < sb ? sb : sa);
    case 20: return static_cast<std::uint64_t>(static_cast<std::int64_t>(sa32 < sb32 ? sa32 : sb32));
    case 21: return (a & b) | (~a & c);
    case 22: return a ^ b ^ c;
    case 23: return static_cast<std::uint64_t>(static_cast<std::int64_t>(sa8) * 3);
    case 24: return static_cast<std::uint64_t>(static_cast<std::int64_t>(sa16) - b16);
    case 25: return static_cast<std::uint16_t>(a16 * 7u + b16);
    case 26: return a16 < b16 ? 5 : static_cast<std::uint64_t>(a16 == b16);
    case 27: {
      std::uint64_t high = 0;
      std::uint64_t carry = 0;
      // The upper half of a product, by halves.
      const std::uint64_t ll = (a & 0xffffffffu) * (b & 0xffffffffu);
      const std::uint64_t lh = (a & 0xffffffffu) * (b >> 32);
      const std::uint64_t hl = (a >> 32) * (b & 0xffffffffu);
      carry = (ll >> 32) + (lh & 0xffffffffu) + (hl & 0xffffffffu);
      high = (a >> 32) * (b >> 32) + (lh >> 32) + (hl >> 32) + (carry >> 32);
      return high;
    }
    case 28: {
      unsigned n = 0;
      for (std::uint64_t x = a; x != 0; x &= x - 1) ++n;
      return n;
    }
    case 29: {
      std::uint64_t out = 0;
      for (unsigned i = 0; i < 64; ++i) out |= (a >> i & 1) << (63 - i);
      return out;
    }
    case 30: {
      // Bytes in memory, one by one, at places that the compiler cannot know.
      unsigned char bytes[24];
      for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(a >> (8 * i));
      for (unsigned i = 0; i < 8; ++i) bytes[8 + i] = static_cast<unsigned char>(b >> (8 * i));
      for (unsigned i = 0; i < 8; ++i) bytes[16 + i] = static_cast<unsigned char>(c >> (8 * i));
      std::uint64_t out = 0;
      for (unsigned i = 0; i < 8; ++i) out = out << 8 | bytes[(bytes[i] + i * c % 24) % 24];
      return out;
    }
    case 31: return fibonacci(static_cast<std::uint32_t>(a % 90));
    case 32: {
      switch (a % 9) {
        case 0: return b;
        case 1: return c;
        case 2: return b + c;
        case 3: return b * 3;
        case 4: return c - b;
        case 5: return b | 1;
        case 6: return c >> 3;
        case 7: return b & c;
        default: return 99;
      }
    }
    case 33: {
      std::uint64_t h = 14695981039346656037u;
      for (unsigned i = 0; i < 8; ++i) h = (h ^ (a >> (8 * i) & 0xff)) * 1099511628211u;
      return h;
    }
    case 34: return static_cast<std::uint64_t>(sa < 0 ? 0 - a : a);
    case 35: return a + b < a ? 1 : 0;
    case 36: return (a32 & 0x00ff00ffu) << 8 | (a32 >> 8 & 0x00ff00ffu);
    case 37: return (a >> (n32 % 33)) & ((std::uint64_t{1} << (b & 31)) - 1);
    case 38: return (sa32 < 0) != (sb32 < 0) && (a32 != 0 || b32 > c) ? a : b;
    case 39: return a / 10 + b % 1000 + a32 / 7 + static_cast<std::uint64_t>(static_cast<std::int64_t>(sb32 / 13));
    default: return 0;
  }
}

}  // namespace nkv_test
