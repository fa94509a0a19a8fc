// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

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

/// A key that owns its bytes: short ones, as most are, in place. Stays where it was made.
class stored_key {
 public:
  /// @param key 1 to 255 bytes. Throws std::bad_alloc.
  explicit stored_key(byte_span key) : size_(static_cast<std::uint8_t>(key.size())) {
    std::byte* to = in_place_;
    if (size_ > sizeof in_place_) {
      to = new std::byte[size_];
      std::memcpy(in_place_, &to, sizeof to);
    }
    std::memcpy(to, key.data(), size_);
  }
  stored_key(const stored_key&) = delete;
  stored_key& operator=(const stored_key&) = delete;
  ~stored_key() {
    if (size_ > sizeof in_place_) delete[] apart();
  }

  [[nodiscard]] byte_span bytes() const noexcept { return {size_ > sizeof in_place_ ? apart() : in_place_, size_}; }
  [[nodiscard]] bool is(byte_span other) const noexcept {
    return size_ == other.size() && std::memcmp(bytes().data(), other.data(), size_) == 0;
  }

  /// Orders as memcmp does, a prefix before what it begins.
  [[nodiscard]] static int compare(byte_span a, byte_span b) noexcept {
    const std::size_t common = a.size() < b.size() ? a.size() : b.size();
    const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
    if (order != 0) return order;
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  }

 private:
  [[nodiscard]] std::byte* apart() const noexcept {
    std::byte* p = nullptr;
    std::memcpy(&p, in_place_, sizeof p);
    return p;
  }

  std::byte in_place_[23];  ///< the key, or where it is
  std::uint8_t size_;
};
static_assert(sizeof(stored_key) == 24);

}  // namespace target
}  // namespace nkv::inline NKV_ABI
