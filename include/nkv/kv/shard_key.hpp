// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/checksum.hpp>
#include <nkv/kv/content_hash.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/limits.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// Version of the derivations of this file: it is hashed in. Codec `shard/1`.
inline constexpr std::uint32_t shard_key_version = 1;

/// Which writing of an object a shard belongs to: 16 bytes that no other writing of the same object has, nor had. 16
/// random bytes, or a writer's own number with a counter that survives it. A plain value; all zero is none.
struct shard_nonce {
  static constexpr std::size_t size_bytes = 16;
  std::byte bytes[size_bytes] = {};

  [[nodiscard]] NKV_HD static constexpr shard_nonce from_words(std::uint64_t first, std::uint64_t second) noexcept {
    shard_nonce n;
    store_le(n.bytes, first);
    store_le(n.bytes + 8, second);
    return n;
  }
  /// size_bytes bytes, from where they were kept.
  [[nodiscard]] NKV_HD static constexpr shard_nonce from_bytes(const std::byte* p) noexcept {
    shard_nonce n;
    for (std::size_t i = 0; i < size_bytes; ++i) n.bytes[i] = p[i];
    return n;
  }
  [[nodiscard]] NKV_HD constexpr bool empty() const noexcept { return *this == shard_nonce{}; }
  [[nodiscard]] NKV_HD friend constexpr bool operator==(const shard_nonce& a, const shard_nonce& b) noexcept {
    for (std::size_t i = 0; i < size_bytes; ++i)
      if (a.bytes[i] != b.bytes[i]) return false;
    return true;
  }
};

/// A key of 16 bytes that was derived from others. A plain value; host and device.
struct shard_key {
  static constexpr std::size_t size_bytes = 16;
  std::byte bytes[size_bytes] = {};

  /// The view dies with this object.
  [[nodiscard]] NKV_HD constexpr key_view view() const noexcept { return {bytes, size_bytes}; }
  NKV_HD constexpr operator key_view() const noexcept { return view(); }
  /// What ties a checksum to this key: XXH64 of its bytes, seed 0.
  [[nodiscard]] NKV_HD constexpr std::uint64_t seed() const noexcept { return xxh64::of({bytes, size_bytes}); }
  [[nodiscard]] NKV_HD friend constexpr bool operator==(const shard_key& a, const shard_key& b) noexcept {
    return a.view() == b.view();
  }
};

/// What stands for an object in a namespace whose keys are too short for the object's own, and what its manifest is
/// tied to everywhere. BLAKE2b with a 16-byte digest over, without gaps, integers little-endian:
///
///     16 bytes  "nkv.shard.object"
///     u32       shard_key_version
///     u32       length of the object's key, then its bytes
/// @pre object.check()
[[nodiscard]] NKV_HD NKV_NOINLINE constexpr shard_key shard_object_key(key_view object) noexcept {
  const char domain[] = "nkv.shard.object";
  // In one piece, so that a kernel has the hash but once.
  std::byte bytes[24 + max_key_bytes] = {};
  for (std::size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::byte>(domain[i]);
  store_le(bytes + 16, shard_key_version);
  store_le(bytes + 20, static_cast<std::uint32_t>(object.size()));
  for (std::size_t i = 0; i < object.size(); ++i) bytes[24 + i] = object[i];
  content_hash hash;
  hash.update({bytes, 24 + object.size()});
  shard_key k;
  hash.finish(k.bytes);
  return k;
}

/// The keys of the shards of one writing of an object. BLAKE2b with a 16-byte digest over, without gaps, integers
/// little-endian:
///
///     16 bytes  "nkv.shard.key" and three zero bytes
///     u32       shard_key_version
///     16 bytes  the nonce of the writing
///     u32       length of the object's key, then its bytes
///     u64       the shard's number, from 0
///
/// All but the number is hashed once. A plain value; host and device.
class shard_keys {
 public:
  constexpr shard_keys() noexcept = default;
  /// @pre object.check()
  NKV_HD NKV_NOINLINE constexpr shard_keys(key_view object, const shard_nonce& nonce) noexcept {
    const char domain[] = "nkv.shard.key\0\0";
    std::byte bytes[40 + max_key_bytes] = {};
    for (std::size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::byte>(domain[i]);
    store_le(bytes + 16, shard_key_version);
    for (std::size_t i = 0; i < shard_nonce::size_bytes; ++i) bytes[20 + i] = nonce.bytes[i];
    store_le(bytes + 36, static_cast<std::uint32_t>(object.size()));
    for (std::size_t i = 0; i < object.size(); ++i) bytes[40 + i] = object[i];
    hash_.update({bytes, 40 + object.size()});
  }

  [[nodiscard]] NKV_HD NKV_NOINLINE constexpr shard_key of(std::uint64_t number) const noexcept {
    content_hash hash = hash_;
    hash.update_u64(number);
    shard_key k;
    hash.finish(k.bytes);
    return k;
  }

 private:
  content_hash hash_{};
};
static_assert(std::is_trivially_copyable_v<shard_keys>);

}  // namespace nkv::inline NKV_ABI
