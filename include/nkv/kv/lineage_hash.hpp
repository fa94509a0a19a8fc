// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/content_hash.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/text_view.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Version of the lineage codec: it is hashed in, so that keys of another version are other keys. Codec `lineage/1`.
inline constexpr std::uint32_t lineage_version = 1;

/// What a block of a key/value cache depends on besides its tokens. Two caches that must not see each other's blocks
/// differ in one of these.
struct lineage_fields {
  text_view model{};                    ///< which weights: a name with its revision
  text_view dtype{};                    ///< element type and layout of the cached tensors
  std::uint32_t tp_rank = 0;            ///< tensor parallelism: which share
  std::uint32_t tp_size = 1;            ///< of how many
  std::uint32_t layer_group = 0;        ///< which group of layers a value holds
  std::uint32_t block_size_tokens = 0;  ///< tokens in a full block
  text_view tenant{};  ///< anything else that keeps caches apart: a tenant, an adapter, an engine version
};

/// The fields as a digest, made once and used for every block. A plain value; host and device.
///
/// BLAKE2b with a 32-byte digest over, without gaps, integers little-endian:
///
///     16 bytes  "nkv.lineage.salt"
///     u32       lineage_version
///     u32       length of model, then its bytes
///     u32       length of dtype, then its bytes
///     u32       4, then tp_rank as u32
///     u32       4, then tp_size as u32
///     u32       4, then layer_group as u32
///     u32       4, then block_size_tokens as u32
///     u32       length of tenant, then its bytes
///
/// Every field has its length in front, so that no two sets of fields give the same bytes.
class lineage_salt {
 public:
  static constexpr std::size_t size_bytes = 32;

  /// @pre each text is shorter than 4 GiB
  NKV_HD explicit constexpr lineage_salt(const lineage_fields& fields) noexcept {
    blake2b<size_bytes> hash;
    text_bytes(hash, "nkv.lineage.salt");
    hash.update_u32(lineage_version);
    text(hash, fields.model);
    text(hash, fields.dtype);
    number(hash, fields.tp_rank);
    number(hash, fields.tp_size);
    number(hash, fields.layer_group);
    number(hash, fields.block_size_tokens);
    text(hash, fields.tenant);
    hash.finish(bytes_);
  }

  [[nodiscard]] NKV_HD constexpr byte_span bytes() const noexcept { return {bytes_, size_bytes}; }

 private:
  NKV_HD static constexpr void text_bytes(blake2b<size_bytes>& hash, text_view t) noexcept {
    for (std::size_t i = 0; i < t.size(); ++i) {
      const std::byte b = static_cast<std::byte>(t[i]);
      hash.update({&b, 1});
    }
  }
  NKV_HD static constexpr void text(blake2b<size_bytes>& hash, text_view t) noexcept {
    hash.update_u32(static_cast<std::uint32_t>(t.size()));
    text_bytes(hash, t);
  }
  NKV_HD static constexpr void number(blake2b<size_bytes>& hash, std::uint32_t value) noexcept {
    hash.update_u32(4);
    hash.update_u32(value);
  }

  std::byte bytes_[size_bytes] = {};
};

/// The name of one block: 16 bytes that depend on every token up to the block's end and on the salt. Trivially
/// copyable; host and device.
///
/// BLAKE2b with a 16-byte digest over, without gaps, integers little-endian:
///
///     16 bytes  "nkv.lineage.key" and a zero byte
///     u32       lineage_version
///     32 bytes  the salt's digest
///     16 bytes  the parent's name; zeros for the first block
///     u64       number of tokens in the block
///     u32 each  the tokens
///
/// A block's position is that of its parent plus one and so is in the name without being hashed again.
class lineage_hash {
 public:
  static constexpr std::size_t size_bytes = 16;

  /// The parent of a first block: all zero.
  constexpr lineage_hash() noexcept = default;
  /// A name made earlier, size_bytes of it, from where it was kept.
  NKV_HD static constexpr lineage_hash from_bytes(const std::byte (&bytes)[size_bytes]) noexcept {
    lineage_hash h;
    for (std::size_t i = 0; i < size_bytes; ++i) h.bytes_[i] = bytes[i];
    return h;
  }

  /// The name of the block that holds `tokens` and follows this one. Nothing is remembered: any number of blocks may
  /// follow the same one.
  [[nodiscard]] NKV_HD constexpr lineage_hash child(const lineage_salt& salt,
                                                    span<const std::uint32_t> tokens) const noexcept {
    blake2b<size_bytes> hash;
    const char domain[size_bytes + 1] = "nkv.lineage.key\0";
    for (std::size_t i = 0; i < size_bytes; ++i) {
      const std::byte b = static_cast<std::byte>(domain[i]);
      hash.update({&b, 1});
    }
    hash.update_u32(lineage_version);
    hash.update(salt.bytes());
    hash.update({bytes_, size_bytes});
    hash.update_u64(tokens.size());
    for (const std::uint32_t token : tokens) hash.update_u32(token);
    lineage_hash h;
    hash.finish(h.bytes_);
    return h;
  }

  /// The name as a key. The view dies with this object.
  [[nodiscard]] NKV_HD constexpr key_view view() const noexcept { return {bytes_, size_bytes}; }
  NKV_HD constexpr operator key_view() const noexcept { return view(); }

 private:
  std::byte bytes_[size_bytes] = {};
};

}  // namespace nkv::inline NKV_ABI
