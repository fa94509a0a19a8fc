// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Memory as the controller reaches it and as this code does. Does not own. A plain value; host and device.
/// @tparam Byte std::byte, or const std::byte for what is only read
template <class Byte>
struct local_range {
  value_ref value{};
  Byte* local = nullptr;  ///< null where this code does not reach it

  /// @pre offset_bytes + length_bytes <= value.length_bytes
  [[nodiscard]] NKV_HD constexpr local_range part(std::uint64_t offset_bytes,
                                                  std::uint64_t length_bytes) const noexcept {
    return {value_ref{value.address + offset_bytes, length_bytes, value.remote_key},
            local == nullptr ? nullptr : local + offset_bytes};
  }
};

/// Ranges of memory, one behind the other, as one row of bytes that can be cut anywhere. Ranges may be empty. Does not
/// own. A plain value; host and device.
template <class Byte>
class shard_ranges {
 public:
  /// Where a walk through the ranges has come to, so that the next one need not begin at the first.
  struct place {
    std::size_t range = 0;
    std::uint64_t start_bytes = 0;  ///< where in the row this range begins
  };

  constexpr shard_ranges() noexcept = default;
  NKV_HD constexpr explicit shard_ranges(span<const local_range<Byte>> ranges) noexcept : ranges_(ranges) {}

  /// The length of the row, or client/bad_argument where it is beyond 64 bits.
  [[nodiscard]] NKV_HD constexpr result<std::uint64_t> length_bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const local_range<Byte>& r : ranges_) {
      if (r.value.length_bytes > ~std::uint64_t{0} - sum) return status(client_status::bad_argument);
      sum += r.value.length_bytes;
    }
    return sum;
  }

  /// The place of the range that holds the byte at `offset_bytes`.
  /// @param from at or before it
  [[nodiscard]] NKV_HD constexpr place find(std::uint64_t offset_bytes, place from = {}) const noexcept {
    while (from.range < ranges_.size() && offset_bytes - from.start_bytes >= ranges_[from.range].value.length_bytes) {
      from.start_bytes += ranges_[from.range].value.length_bytes;
      ++from.range;
    }
    return from;
  }

  /// Calls `each(local_range<Byte>, offset)` for each piece of [offset_bytes, offset_bytes + count_bytes), in order;
  /// `offset` counts from offset_bytes.
  /// @param from at or before it
  /// @pre the row is as long
  /// @return the number of pieces
  template <class Each>
  NKV_HD constexpr std::size_t for_each_piece(std::uint64_t offset_bytes, std::uint64_t count_bytes, place from,
                                              Each&& each) const noexcept {
    std::size_t pieces = 0;
    std::uint64_t done = 0;
    while (done < count_bytes) {
      from = find(offset_bytes + done, from);
      const local_range<Byte>& r = ranges_[from.range];
      const std::uint64_t begin = offset_bytes + done - from.start_bytes;
      const std::uint64_t rest = r.value.length_bytes - begin;
      const std::uint64_t length = count_bytes - done < rest ? count_bytes - done : rest;
      each(r.part(begin, length), done);
      done += length;
      ++pieces;
    }
    return pieces;
  }

 private:
  span<const local_range<Byte>> ranges_{};
};

}  // namespace nkv::inline NKV_ABI
