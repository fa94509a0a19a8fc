// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/key.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// BLAKE2b (RFC 7693), unkeyed, with a digest of 1 to 64 bytes. The digest's length is part of the hash: a shorter one
/// is not the beginning of a longer one.
///
/// `update()` any number of times, then `finish()` once. A plain value: a copy goes on from where it was taken. One
/// thread at a time; host and device, usable in constant expressions.
template <std::size_t DigestBytes>
class blake2b {
  static_assert(DigestBytes >= 1 && DigestBytes <= 64, "a BLAKE2b digest has 1 to 64 bytes");

 public:
  static constexpr std::size_t digest_bytes = DigestBytes;
  static constexpr std::size_t block_bytes = 128;

  NKV_HD constexpr blake2b() noexcept {
    for (unsigned i = 0; i < 8; ++i) h_[i] = initial(i);
    h_[0] ^= 0x01010000u ^ DigestBytes;
  }

  NKV_HD constexpr blake2b& update(byte_span data) noexcept {
    const std::byte* in = data.data();
    std::size_t left = data.size();
    // A full buffer waits for a byte behind it: the last block is compressed by finish() and otherwise.
    if (left > block_bytes - used_) {
      const std::size_t fill = block_bytes - used_;
      for (std::size_t i = 0; i < fill; ++i) buffer_[used_ + i] = in[i];
      in += fill;
      left -= fill;
      count_ += block_bytes;
      compress(buffer_, false);
      used_ = 0;
      for (; left > block_bytes; in += block_bytes, left -= block_bytes) {
        count_ += block_bytes;
        compress(in, false);
      }
    }
    for (std::size_t i = 0; i < left; ++i) buffer_[used_ + i] = in[i];
    used_ += left;
    return *this;
  }
  NKV_HD constexpr blake2b& update_u32(std::uint32_t value) noexcept { return update_le(value); }
  NKV_HD constexpr blake2b& update_u64(std::uint64_t value) noexcept { return update_le(value); }

  /// Writes the digest. The hash is used up.
  /// @param[out] out digest_bytes bytes, in the order of the RFC
  NKV_HD constexpr void finish(std::byte* out) noexcept {
    count_ += used_;
    for (std::size_t i = used_; i < block_bytes; ++i) buffer_[i] = std::byte{0};
    compress(buffer_, true);
    for (std::size_t i = 0; i < DigestBytes; ++i) out[i] = static_cast<std::byte>((h_[i / 8] >> (8 * (i % 8))) & 0xffu);
  }

 private:
  template <class T>
  NKV_HD constexpr blake2b& update_le(T value) noexcept {
    std::byte bytes[sizeof(T)] = {};
    store_le(bytes, value);
    return update({bytes, sizeof(T)});
  }

  /// The initialisation vector, as values rather than an array, which a kernel could not index.
  NKV_HD static constexpr std::uint64_t initial(unsigned i) noexcept {
    switch (i) {
      case 0: return 0x6a09e667f3bcc908u;
      case 1: return 0xbb67ae8584caa73bu;
      case 2: return 0x3c6ef372fe94f82bu;
      case 3: return 0xa54ff53a5f1d36f1u;
      case 4: return 0x510e527fade682d1u;
      case 5: return 0x9b05688c2b3e6c1fu;
      case 6: return 0x1f83d9abfb41bd6bu;
      default: return 0x5be0cd19137e2179u;
    }
  }

  /// The message schedule: word `i` of round `Round`, one nibble each, the first in the highest.
  template <unsigned Round, unsigned I>
  NKV_HD static constexpr unsigned sigma() noexcept {
    constexpr std::uint64_t rows[10] = {
        0x0123456789abcdefu, 0xea489fd61c02b753u, 0xb8c052fdae367194u, 0x7931dcbe265a40f8u, 0x905724afe1bc683du,
        0x2c6a0b834d75fe19u, 0xc51fed4a0763928bu, 0xdb7ec13950f4862au, 0x6fe9b308c2d714a5u, 0xa2847615fb9e3cd0u,
    };
    constexpr std::uint64_t row = rows[Round % 10];
    return static_cast<unsigned>((row >> (60 - 4 * I)) & 15u);
  }

  NKV_HD static constexpr std::uint64_t rotated(std::uint64_t x, unsigned by) noexcept {
    return (x >> by) | (x << (64 - by));
  }

  NKV_HD static constexpr void mix(std::uint64_t& a, std::uint64_t& b, std::uint64_t& c, std::uint64_t& d,
                                   std::uint64_t x, std::uint64_t y) noexcept {
    a = a + b + x;
    d = rotated(d ^ a, 32);
    c = c + d;
    b = rotated(b ^ c, 24);
    a = a + b + y;
    d = rotated(d ^ a, 16);
    c = c + d;
    b = rotated(b ^ c, 63);
  }

  template <unsigned Round>
  NKV_HD static constexpr void round(std::uint64_t (&v)[16], const std::uint64_t (&m)[16]) noexcept {
    mix(v[0], v[4], v[8], v[12], m[sigma<Round, 0>()], m[sigma<Round, 1>()]);
    mix(v[1], v[5], v[9], v[13], m[sigma<Round, 2>()], m[sigma<Round, 3>()]);
    mix(v[2], v[6], v[10], v[14], m[sigma<Round, 4>()], m[sigma<Round, 5>()]);
    mix(v[3], v[7], v[11], v[15], m[sigma<Round, 6>()], m[sigma<Round, 7>()]);
    mix(v[0], v[5], v[10], v[15], m[sigma<Round, 8>()], m[sigma<Round, 9>()]);
    mix(v[1], v[6], v[11], v[12], m[sigma<Round, 10>()], m[sigma<Round, 11>()]);
    mix(v[2], v[7], v[8], v[13], m[sigma<Round, 12>()], m[sigma<Round, 13>()]);
    mix(v[3], v[4], v[9], v[14], m[sigma<Round, 14>()], m[sigma<Round, 15>()]);
  }

  NKV_HD constexpr void compress(const std::byte* block, bool last) noexcept {
    std::uint64_t m[16] = {};
    for (unsigned i = 0; i < 16; ++i) m[i] = load_le<std::uint64_t>(block + 8 * i);
    std::uint64_t v[16] = {};
    for (unsigned i = 0; i < 8; ++i) {
      v[i] = h_[i];
      v[8 + i] = initial(i);
    }
    // The upper half of the counter would need 2^64 bytes.
    v[12] ^= count_;
    if (last) v[14] = ~v[14];
    round<0>(v, m);
    round<1>(v, m);
    round<2>(v, m);
    round<3>(v, m);
    round<4>(v, m);
    round<5>(v, m);
    round<6>(v, m);
    round<7>(v, m);
    round<8>(v, m);
    round<9>(v, m);
    round<10>(v, m);
    round<11>(v, m);
    for (unsigned i = 0; i < 8; ++i) h_[i] ^= v[i] ^ v[8 + i];
  }

  std::uint64_t h_[8] = {};
  std::uint64_t count_ = 0;
  std::byte buffer_[block_bytes] = {};
  std::size_t used_ = 0;
};

/// Bytes of a content key.
inline constexpr std::size_t content_key_bytes = 16;

/// The hash that content keys are made of, for values that come in pieces.
using content_hash = blake2b<content_key_bytes>;

/// The digest so far as a key. The hash is used up.
template <std::size_t DigestBytes>
[[nodiscard]] NKV_HD constexpr key finish_key(blake2b<DigestBytes>& hash) noexcept {
  std::byte digest[DigestBytes] = {};
  hash.finish(digest);
  return *key::from({digest, DigestBytes});
}

/// The key of a value that is stored under its own content: BLAKE2b with a 16-byte digest, unkeyed, over the value's
/// bytes. The same as `hashlib.blake2b(value, digest_size=16).digest()`. Codec `content/1`.
[[nodiscard]] NKV_HD constexpr key content_key(byte_span value) noexcept {
  content_hash hash;
  hash.update(value);
  return finish_key(hash);
}

/// The same with a kind of value told apart by a byte in front: the tag, then BLAKE2b with a 15-byte digest. The same
/// as `bytes([tag]) + hashlib.blake2b(value, digest_size=15).digest()`, which the deployed clients for model weights
/// use (01h a chunk, 00h a manifest's revision; older ones use content_key()). Codec `tagged-content/1`.
[[nodiscard]] NKV_HD constexpr key tagged_content_key(std::byte tag, byte_span value) noexcept {
  blake2b<content_key_bytes - 1> hash;
  hash.update(value);
  std::byte bytes[content_key_bytes] = {tag};
  hash.finish(bytes + 1);
  return *key::from({bytes, content_key_bytes});
}

}  // namespace nkv::inline NKV_ABI
