// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/checksum.hpp>
#include <nkv/kv/shard_checksum.hpp>
#include <nkv/kv/shard_key.hpp>
#include <nkv/kv/shard_layout.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// Which values make up an object: the value under the object's key, stored after all of them. Integers are
/// little-endian:
///
///     offset  bytes
///          0      8  "nkvshard"
///          8      2  version, 1
///         10      1  shard_checksum_kind
///         11      5  reserved: written as zero, not looked at
///         16      8  length of the object
///         24      8  length of each shard but the last, 1 to 2^32 - 1
///         32      4  number of shards: what the two lengths give, at most max_shards
///         36      4  reserved
///         40     16  nonce of the writing
///         56      8  XXH64 of the entries, seeded as below
///         64     56  reserved
///        120      8  XXH64 of bytes 0 to 119, seeded with shard_key::seed() of shard_object_key() of the object
///        128    8 n  for each shard its shard_checksum; nothing where the kind is none
///
/// The first 128 bytes are checked by themselves, so that who only wants to know the shards reads no more. Of a later
/// version magic, version and the last field of these 128 bytes stay where they are.
///
/// A plain value; host and device, usable in constant expressions.
class shard_manifest {
 public:
  static constexpr std::uint16_t version = 1;
  static constexpr std::size_t head_bytes = 128;
  static constexpr std::size_t entry_bytes = 8;

  constexpr shard_manifest() noexcept = default;
  NKV_HD constexpr shard_manifest(const shard_layout& layout, shard_checksum_kind kind,
                                  const shard_nonce& nonce) noexcept
      : layout_(layout), nonce_(nonce), kind_(kind) {}

  [[nodiscard]] NKV_HD constexpr const shard_layout& layout() const noexcept { return layout_; }
  [[nodiscard]] NKV_HD constexpr const shard_nonce& nonce() const noexcept { return nonce_; }
  [[nodiscard]] NKV_HD constexpr shard_checksum_kind kind() const noexcept { return kind_; }

  /// Of the whole manifest.
  [[nodiscard]] NKV_HD constexpr std::uint64_t size_bytes() const noexcept {
    return head_bytes + (kind_ == shard_checksum_kind::none ? 0 : std::uint64_t{entry_bytes} * layout_.count());
  }
  /// What every manifest that names the object's shards is tied to.
  [[nodiscard]] NKV_HD static constexpr std::uint64_t seed_of(key_view object) noexcept {
    return shard_object_key(object).seed();
  }

  /// Writes shard `i`'s checksum. The head is written after all of them.
  /// @param[out] value size_bytes() bytes
  NKV_HD static constexpr void write_entry(std::byte* value, std::uint32_t i, std::uint64_t checksum) noexcept {
    store_le(value + head_bytes + std::size_t{entry_bytes} * i, checksum);
  }
  [[nodiscard]] NKV_HD static constexpr std::uint64_t read_entry(const std::byte* value, std::uint32_t i) noexcept {
    return load_le<std::uint64_t>(value + head_bytes + std::size_t{entry_bytes} * i);
  }

  /// Writes the head, over entries that are there.
  /// @param[in,out] value size_bytes() bytes
  NKV_HD constexpr void write_head(std::byte* value, std::uint64_t seed) const noexcept {
    for (std::size_t i = 0; i < head_bytes; ++i) value[i] = std::byte{0};
    for (std::size_t i = 0; i < 8; ++i) value[i] = magic(i);
    store_le(value + at_version, version);
    value[at_kind] = static_cast<std::byte>(kind_);
    store_le(value + at_length, layout_.length_bytes());
    store_le(value + at_shard_bytes, layout_.shard_bytes());
    store_le(value + at_count, layout_.count());
    for (std::size_t i = 0; i < shard_nonce::size_bytes; ++i) value[at_nonce + i] = nonce_.bytes[i];
    store_le(value + at_entries_checksum, entries_checksum(value, seed));
    store_le(value + at_head_checksum, xxh64::of({value, at_head_checksum}, seed));
  }

  /// Reads the head of whatever a target gave. The bytes are copied before they are judged: memory that a controller
  /// reaches may change under the reader.
  /// @param value        the value, or its beginning
  /// @param length_bytes of the whole value, where it is known; else 0
  /// @return the manifest; client/unsupported for one of another version or with an unknown kind of checksum;
  ///         client/protocol_error for what is not a manifest of this object
  [[nodiscard]] NKV_HD static constexpr result<shard_manifest> read_head(byte_span value, std::uint64_t seed,
                                                                         std::uint64_t length_bytes = 0) noexcept {
    constexpr status refused{client_status::protocol_error};
    if (value.size() < head_bytes) return refused;
    std::byte head[head_bytes] = {};
    for (std::size_t i = 0; i < head_bytes; ++i) head[i] = value[i];
    for (std::size_t i = 0; i < 8; ++i)
      if (head[i] != magic(i)) return refused;
    if (load_le<std::uint64_t>(head + at_head_checksum) != xxh64::of({head, at_head_checksum}, seed)) return refused;
    if (load_le<std::uint16_t>(head + at_version) != version) return status(client_status::unsupported);
    const auto kind = static_cast<shard_checksum_kind>(head[at_kind]);
    if (kind != shard_checksum_kind::none && kind != shard_checksum_kind::xxh64_blocks)
      return status(client_status::unsupported);
    const result<shard_layout> layout =
        shard_layout::of(load_le<std::uint64_t>(head + at_length), load_le<std::uint64_t>(head + at_shard_bytes));
    if (!layout || layout->count() != load_le<std::uint32_t>(head + at_count)) return refused;
    shard_manifest m(*layout, kind, shard_nonce::from_bytes(head + at_nonce));
    m.entries_checksum_ = load_le<std::uint64_t>(head + at_entries_checksum);
    if (m.nonce_.empty() || (length_bytes != 0 && length_bytes != m.size_bytes())) return refused;
    return m;
  }

  /// Reads a whole manifest, entries included.
  /// @param value the value, and nothing behind it
  /// @return as read_head(); client/protocol_error also where the value has another length or its entries are damaged
  [[nodiscard]] NKV_HD static constexpr result<shard_manifest> read(byte_span value, std::uint64_t seed) noexcept {
    const result<shard_manifest> m = read_head(value, seed, value.size());
    if (!m) return m;
    if (m->entries_checksum(value.data(), seed) != m->entries_checksum_) return status(client_status::protocol_error);
    return m;
  }

  // Where the fields are.
  static constexpr std::size_t at_version = 8;
  static constexpr std::size_t at_kind = 10;
  static constexpr std::size_t at_length = 16;
  static constexpr std::size_t at_shard_bytes = 24;
  static constexpr std::size_t at_count = 32;
  static constexpr std::size_t at_nonce = 40;
  static constexpr std::size_t at_entries_checksum = 56;
  static constexpr std::size_t at_head_checksum = 120;
  static_assert(at_nonce + shard_nonce::size_bytes == at_entries_checksum && at_count + 4 <= at_nonce);
  static_assert(at_head_checksum + 8 == head_bytes && head_bytes % entry_bytes == 0);

 private:
  NKV_HD static constexpr std::byte magic(std::size_t i) noexcept {
    const char text[] = "nkvshard";
    return static_cast<std::byte>(text[i]);
  }
  [[nodiscard]] NKV_HD constexpr std::uint64_t entries_checksum(const std::byte* value,
                                                                std::uint64_t seed) const noexcept {
    return xxh64::of({value + head_bytes, static_cast<std::size_t>(size_bytes() - head_bytes)}, seed);
  }

  shard_layout layout_{};
  shard_nonce nonce_{};
  std::uint64_t entries_checksum_ = 0;
  shard_checksum_kind kind_ = shard_checksum_kind::xxh64_blocks;
};
static_assert(std::is_trivially_copyable_v<shard_manifest>);

}  // namespace nkv::inline NKV_ABI
