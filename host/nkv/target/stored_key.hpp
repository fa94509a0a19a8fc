// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace nkv::inline NKV_ABI {
namespace target {

/// A hash of opaque bytes with a secret seed, so that no client can choose keys that fall together. 128-bit products
/// folded together, eight bytes at a time; not for anything that leaves the process.
struct key_hasher {
  std::uint64_t seed[2] = {};

  [[nodiscard]] std::uint64_t operator()(byte_span key) const noexcept {
    const std::byte* p = key.data();
    std::size_t left = key.size();
    const std::uint64_t s0 = seed[0] ^ 0x9e3779b97f4a7c15u;
    const std::uint64_t s1 = seed[1] ^ 0xd1b54a32d192ed03u;
    std::uint64_t h = mix(s0 ^ key.size(), s1);
    for (; left > 16; left -= 16, p += 16) h = mix(word(p) ^ s1, word(p + 8) ^ h);
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if (left >= 8) {
      a = word(p);
      b = word(p + left - 8);
    } else {
      std::memcpy(&a, p, left);
    }
    return mix(mix(a ^ s1, b ^ h), s0);
  }

 private:
  static std::uint64_t word(const std::byte* p) noexcept {
    std::uint64_t w;
    std::memcpy(&w, p, sizeof w);
    return w;
  }
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using wide = unsigned __int128;
    const wide product = static_cast<wide>(a) * b;
    // The sum keeps a factor of 0 from swallowing the other.
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64) ^ (a + (b << 1));
  }
};

/// A key to look for, with its hash.
struct hashed_key {
  byte_span bytes;
  std::uint64_t hash = 0;
};

/// A key that owns its bytes, with its hash: short ones, as most are, in place.
class stored_key {
 public:
  /// @param key 1 to 255 bytes. Throws std::bad_alloc.
  explicit stored_key(const hashed_key& key) : hash_(key.hash), size_(static_cast<std::uint8_t>(key.bytes.size())) {
    if (size_ > sizeof in_place_) long_ = std::make_unique<std::byte[]>(size_);
    std::memcpy(size_ > sizeof in_place_ ? long_.get() : in_place_, key.bytes.data(), size_);
  }

  [[nodiscard]] byte_span bytes() const noexcept { return {size_ > sizeof in_place_ ? long_.get() : in_place_, size_}; }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

  /// Orders as memcmp does, a prefix before what it begins.
  [[nodiscard]] static int compare(byte_span a, byte_span b) noexcept {
    const std::size_t common = a.size() < b.size() ? a.size() : b.size();
    const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
    if (order != 0) return order;
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  }

  struct hasher {
    using is_transparent = void;
    std::size_t operator()(const stored_key& k) const noexcept { return k.hash_; }
    std::size_t operator()(const hashed_key& k) const noexcept { return k.hash; }
  };
  struct equal {
    using is_transparent = void;
    bool operator()(const stored_key& a, const stored_key& b) const noexcept { return same(a, b.bytes(), b.hash_); }
    bool operator()(const stored_key& a, const hashed_key& b) const noexcept { return same(a, b.bytes, b.hash); }
    bool operator()(const hashed_key& a, const stored_key& b) const noexcept { return same(b, a.bytes, a.hash); }

   private:
    static bool same(const stored_key& a, byte_span b, std::uint64_t hash) noexcept {
      return a.hash_ == hash && a.size_ == b.size() && std::memcmp(a.bytes().data(), b.data(), a.size_) == 0;
    }
  };

 private:
  std::uint64_t hash_;
  std::unique_ptr<std::byte[]> long_;
  std::uint8_t size_;
  std::byte in_place_[23];
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
