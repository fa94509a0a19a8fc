// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/endian.hpp>
#include <nkv/base/span.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nkv::inline NKV_ABI {
namespace target {

/// Writes the data of a List into a client's memory: `u32 NRK`, then NRK entries `{u16 length, key, zeros}`, each
/// padded to a multiple of 4 bytes (KV Command Set 1.0c, Figures 26 and 27). Whole entries only.
///
/// Nothing is read back from that memory. Not for concurrent use.
class list_page_writer {
 public:
  static constexpr std::size_t header_bytes = 4;

  /// Bytes that a key takes in a page.
  [[nodiscard]] static constexpr std::size_t entry_bytes(std::size_t key_bytes) noexcept {
    return (2 + key_bytes + 3) / 4 * 4;
  }

  list_page_writer() noexcept = default;
  /// @param room the client's memory, 4 bytes or more in all; the array of spans lives as long as this
  explicit list_page_writer(span<const mutable_byte_span> room) noexcept : room_(room) {
    for (const mutable_byte_span& s : room) capacity_bytes_ += s.size();
    at_ = header_bytes;
    seek(header_bytes);
  }

  /// Appends a key of 1 to 255 bytes.
  /// @return false where it does not fit any more; nothing was written, and no later key may be tried
  bool add(byte_span key) noexcept {
    const std::size_t length = entry_bytes(key.size());
    if (length > capacity_bytes_ - std::min(at_, capacity_bytes_)) return false;
    std::byte entry[entry_bytes(255)] = {};
    store_le(entry, static_cast<std::uint16_t>(key.size()));
    std::memcpy(entry + 2, key.data(), key.size());
    put(entry, length);
    at_ += length;
    ++count_;
    return true;
  }

  /// Writes the count of keys in front. Once, after the last add().
  void finish() noexcept {
    if (capacity_bytes_ < header_bytes) return;
    std::byte header[header_bytes];
    store_le(header, count_);
    seek(0);
    put(header, header_bytes);
  }

  [[nodiscard]] std::uint32_t keys() const noexcept { return count_; }
  /// Bytes of the page so far, header included.
  [[nodiscard]] std::size_t bytes() const noexcept { return at_; }
  [[nodiscard]] std::size_t capacity_bytes() const noexcept { return capacity_bytes_; }

 private:
  void seek(std::size_t offset) noexcept {
    index_ = 0;
    while (index_ < room_.size() && offset >= room_[index_].size()) offset -= room_[index_++].size();
    offset_ = offset;
  }

  void put(const std::byte* data, std::size_t length) noexcept {
    while (length != 0 && index_ < room_.size()) {
      const std::size_t n = std::min(length, room_[index_].size() - offset_);
      if (n != 0) std::memcpy(room_[index_].data() + offset_, data, n);
      data += n;
      length -= n;
      offset_ += n;
      if (offset_ == room_[index_].size()) {
        ++index_;
        offset_ = 0;
      }
    }
  }

  span<const mutable_byte_span> room_;
  std::size_t capacity_bytes_ = 0;
  std::size_t at_ = 0;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
