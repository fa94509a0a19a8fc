// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The most shards that an object may have.
inline constexpr std::uint32_t max_shards = 1u << 20;

/// How an object of some length is cut: into shards of equal length, of which the last may be shorter. An empty object
/// has none. A plain value; host and device.
class shard_layout {
 public:
  constexpr shard_layout() noexcept = default;

  /// @return the layout; client/bad_argument for shards of 0 bytes or of more than a command can count (2^32 - 1);
  ///         client/value_too_large for an object of more than max_shards of them
  [[nodiscard]] NKV_HD static constexpr result<shard_layout> of(std::uint64_t length_bytes,
                                                                std::uint64_t shard_bytes) noexcept {
    if (shard_bytes == 0 || shard_bytes > 0xffffffffu) return status(client_status::bad_argument);
    const std::uint64_t count = length_bytes / shard_bytes + (length_bytes % shard_bytes != 0 ? 1 : 0);
    if (count > max_shards) return status(client_status::value_too_large);
    shard_layout l;
    l.length_bytes_ = length_bytes;
    l.shard_bytes_ = shard_bytes;
    l.count_ = static_cast<std::uint32_t>(count);
    return l;
  }

  /// Of the whole object.
  [[nodiscard]] NKV_HD constexpr std::uint64_t length_bytes() const noexcept { return length_bytes_; }
  /// Of every shard but perhaps the last.
  [[nodiscard]] NKV_HD constexpr std::uint64_t shard_bytes() const noexcept { return shard_bytes_; }
  [[nodiscard]] NKV_HD constexpr std::uint32_t count() const noexcept { return count_; }

  /// Where in the object shard `i` begins.
  /// @pre i < count(), for these two
  [[nodiscard]] NKV_HD constexpr std::uint64_t offset_of(std::uint32_t i) const noexcept { return i * shard_bytes_; }
  [[nodiscard]] NKV_HD constexpr std::uint64_t length_of(std::uint32_t i) const noexcept {
    return i + 1 == count_ ? length_bytes_ - offset_of(i) : shard_bytes_;
  }
  /// The shard that holds the byte at `offset_bytes`.
  /// @pre offset_bytes < length_bytes()
  [[nodiscard]] NKV_HD constexpr std::uint32_t shard_at(std::uint64_t offset_bytes) const noexcept {
    return static_cast<std::uint32_t>(offset_bytes / shard_bytes_);
  }

 private:
  std::uint64_t length_bytes_ = 0;
  std::uint64_t shard_bytes_ = 1;
  std::uint32_t count_ = 0;
};

}  // namespace nkv::inline NKV_ABI
