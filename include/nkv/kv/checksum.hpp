// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// XXH64 (the xxHash specification of its author, "xxHash fast digest algorithm", version 0.1.1), with a seed.
///
/// Finds accidents, not forgeries. Chosen because it needs nothing but 64-bit multiplications, additions and rotations,
/// which a GPU has as a CPU does: tables would sit in a kernel's memory, and the instructions for CRC32C are a CPU's
/// alone. It runs at several GB/s on one core and its 64 bits leave an error one chance in 2^64.
///
/// `update()` any number of times, then `finish()`, which leaves the hash as it is. A plain value; one thread at a
/// time; host and device, usable in constant expressions.
class xxh64 {
 public:
  static constexpr std::size_t stripe_bytes = 32;

 private:
  // Templates come first: clang has no body yet of one that stands behind its use, and then no constant expression.
  static constexpr std::uint64_t prime1 = 0x9e3779b185ebca87u;
  static constexpr std::uint64_t prime2 = 0xc2b2ae3d27d4eb4fu;
  static constexpr std::uint64_t prime3 = 0x165667b19e3779f9u;
  static constexpr std::uint64_t prime4 = 0x85ebca77c2b2ae63u;
  static constexpr std::uint64_t prime5 = 0x27d4eb2f165667c5u;

  NKV_HD static constexpr std::uint64_t rotated(std::uint64_t x, unsigned by) noexcept {
    return (x << by) | (x >> (64 - by));
  }
  NKV_HD static constexpr std::uint64_t round(std::uint64_t lane, std::uint64_t input) noexcept {
    return rotated(lane + input * prime2, 31) * prime1;
  }

  NKV_HD static bool is_aligned(const std::byte* p) noexcept { return reinterpret_cast<std::uintptr_t>(p) % 8 == 0; }

  /// Where the address is known to be aligned a GPU loads words and not bytes.
  template <bool Aligned>
  NKV_HD static constexpr std::uint64_t word(const std::byte* p) noexcept {
    if constexpr (Aligned) {
      std::uint64_t value = 0;
      __builtin_memcpy(&value, __builtin_assume_aligned(p, 8), sizeof value);
      return value;
    } else {
      return load_le<std::uint64_t>(p);
    }
  }

  template <bool Aligned>
  NKV_HD constexpr void stripes(const std::byte* in, std::size_t count) noexcept {
    std::uint64_t a = lanes_[0];
    std::uint64_t b = lanes_[1];
    std::uint64_t c = lanes_[2];
    std::uint64_t d = lanes_[3];
    for (; count != 0; --count, in += stripe_bytes) {
      a = round(a, word<Aligned>(in));
      b = round(b, word<Aligned>(in + 8));
      c = round(c, word<Aligned>(in + 16));
      d = round(d, word<Aligned>(in + 24));
    }
    lanes_[0] = a;
    lanes_[1] = b;
    lanes_[2] = c;
    lanes_[3] = d;
  }

 public:
  NKV_HD explicit constexpr xxh64(std::uint64_t seed = 0) noexcept
      : seed_(seed), lanes_{seed + prime1 + prime2, seed + prime2, seed, seed - prime1} {}

  NKV_HD NKV_NOINLINE constexpr xxh64& update(byte_span data) noexcept {
    const std::byte* in = data.data();
    std::size_t left = data.size();
    count_ += left;
    if (used_ != 0) {
      while (left != 0 && used_ != stripe_bytes) {
        buffer_[used_++] = *in++;
        --left;
      }
      if (used_ != stripe_bytes) return *this;
      stripes<false>(buffer_, 1);
      used_ = 0;
    }
    const std::size_t whole = left / stripe_bytes;
    if (!__builtin_is_constant_evaluated() && is_aligned(in)) {
      stripes<true>(in, whole);
    } else {
      stripes<false>(in, whole);
    }
    in += whole * stripe_bytes;
    left -= whole * stripe_bytes;
    for (; used_ < left; ++used_) buffer_[used_] = in[used_];
    return *this;
  }

  [[nodiscard]] NKV_HD NKV_NOINLINE constexpr std::uint64_t finish() const noexcept {
    std::uint64_t h = seed_ + prime5;
    if (count_ >= stripe_bytes) {
      h = rotated(lanes_[0], 1) + rotated(lanes_[1], 7) + rotated(lanes_[2], 12) + rotated(lanes_[3], 18);
      for (unsigned i = 0; i < 4; ++i) h = (h ^ round(0, lanes_[i])) * prime1 + prime4;
    }
    h += count_;
    std::size_t at = 0;
    for (; at + 8 <= used_; at += 8)
      h = rotated(h ^ round(0, load_le<std::uint64_t>(buffer_ + at)), 27) * prime1 + prime4;
    if (at + 4 <= used_) {
      h = rotated(h ^ (load_le<std::uint32_t>(buffer_ + at) * prime1), 23) * prime2 + prime3;
      at += 4;
    }
    for (; at < used_; ++at) h = rotated(h ^ (static_cast<std::uint64_t>(buffer_[at]) * prime5), 11) * prime1;
    h = (h ^ (h >> 33)) * prime2;
    h = (h ^ (h >> 29)) * prime3;
    return h ^ (h >> 32);
  }

  /// The hash of one piece of memory.
  [[nodiscard]] NKV_HD static constexpr std::uint64_t of(byte_span data, std::uint64_t seed = 0) noexcept {
    return xxh64(seed).update(data).finish();
  }

 private:
  std::uint64_t seed_;
  std::uint64_t lanes_[4];
  std::uint64_t count_ = 0;
  std::byte buffer_[stripe_bytes] = {};
  std::size_t used_ = 0;
};

}  // namespace nkv::inline NKV_ABI
