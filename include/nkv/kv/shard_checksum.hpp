// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>
#include <nkv/kv/checksum.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How the shards of an object are checked. A byte of the manifest.
enum class shard_checksum_kind : std::uint8_t {
  none = 0,          ///< not at all
  xxh64_blocks = 1,  ///< shard_checksum
};

/// The checksum of one shard: XXH64 over the XXH64 of each of its blocks of block_bytes, as 64-bit little-endian
/// integers in order. The last block may be shorter; the empty shard has no block. All hashes have the seed that
/// shard_key::seed() gives, so that a shard's bytes under another key, at another position or of another writing do not
/// match.
///
/// The same as, with Python's xxhash,
///
///     xxh64(b"".join(xxh64(s[i:i+16384], seed).intdigest().to_bytes(8, "little")
///                    for i in range(0, len(s), 16384)), seed).intdigest()
///
/// Blocks are independent, so that many lanes of a GPU can hash one shard together: leaf() of each block, in any order,
/// and join() of the leaves.
///
/// A plain value; one thread at a time; host and device, usable in constant expressions.
class shard_checksum {
 public:
  static constexpr std::size_t block_bytes = 16384;

  NKV_HD explicit constexpr shard_checksum(std::uint64_t seed) noexcept : seed_(seed), root_(seed), block_(seed) {}

  NKV_HD constexpr shard_checksum& update(byte_span data) noexcept {
    while (!data.empty()) {
      const byte_span part = data.subspan(0, block_bytes - in_block_);
      block_.update(part);
      in_block_ += part.size();
      data = data.subspan(part.size());
      if (in_block_ == block_bytes) end_block();
    }
    return *this;
  }

  /// The next block, by its hash.
  /// @pre what update() was given ends where a block does
  NKV_HD constexpr shard_checksum& append(std::uint64_t leaf) noexcept {
    add(root_, leaf);
    return *this;
  }

  /// The hash is used up.
  [[nodiscard]] NKV_HD constexpr std::uint64_t finish() noexcept {
    if (in_block_ != 0) end_block();
    return root_.finish();
  }

  [[nodiscard]] NKV_HD static constexpr std::uint64_t of(byte_span shard, std::uint64_t seed) noexcept {
    return shard_checksum(seed).update(shard).finish();
  }

  /// The hash of one block.
  [[nodiscard]] NKV_HD static constexpr std::uint64_t leaf(byte_span block, std::uint64_t seed) noexcept {
    return xxh64::of(block, seed);
  }
  /// The checksum of a shard of whose blocks these are the hashes.
  [[nodiscard]] NKV_HD static constexpr std::uint64_t join(span<const std::uint64_t> leaves,
                                                           std::uint64_t seed) noexcept {
    xxh64 root(seed);
    for (const std::uint64_t l : leaves) add(root, l);
    return root.finish();
  }

 private:
  NKV_HD static constexpr void add(xxh64& root, std::uint64_t leaf) noexcept {
    std::byte bytes[8] = {};
    store_le(bytes, leaf);
    root.update({bytes, sizeof bytes});
  }
  NKV_HD constexpr void end_block() noexcept {
    add(root_, block_.finish());
    block_ = xxh64(seed_);
    in_block_ = 0;
  }

  std::uint64_t seed_;
  xxh64 root_;
  xxh64 block_;
  std::size_t in_block_ = 0;
};

}  // namespace nkv::inline NKV_ABI
