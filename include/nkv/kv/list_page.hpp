// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/list_padding.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

[[nodiscard]] NKV_HD constexpr result<list_padding> find_list_padding(
    byte_span page, std::size_t longest_key_bytes = max_key_bytes) noexcept;

/// Reads the answer to a List, entry by entry: `u32 LE count`, then `{u16 LE length, key, padding}` for each key (KV
/// Command Set 1.0c, List command).
///
/// The page is another party's word. Nothing outside of it is read, whatever it says, and each key handed out lies
/// inside. Every step reads lengths once; the page is to be at rest (its command completed). Does not own it; keys live
/// as long as the page does. One thread at a time; host and device.
///
///     for (list_page page{bytes, padding}; !page.done();) {
///       const result<key_view> key = page.next();
///       if (!key) return key.error();
///     }
class list_page {
 public:
  static constexpr std::size_t header_bytes = 4;

  /// @param page the bytes that the target wrote: the buffer, cut to the reported length where the target gives one
  /// @param padding as_found: the page is read through beforehand, to find it
  /// @param longest_key_bytes entries above it are malformed; never more than max_key_bytes
  NKV_HD constexpr list_page(byte_span page, list_padding padding,
                             std::size_t longest_key_bytes = max_key_bytes) noexcept
      : page_(page),
        longest_(longest_key_bytes < max_key_bytes ? longest_key_bytes : max_key_bytes),
        padding_(padding) {
    if (page.size() < header_bytes) {
      status_ = client_status::truncated;
      return;
    }
    count_ = load_le<std::uint32_t>(page.data());
    at_ = header_bytes;
    if (padding == list_padding::as_found) {
      const result<list_padding> found = find_list_padding(page, longest_);
      padding_ = found ? *found : list_padding::whole_entry;
    }
  }

  /// How many entries the page announces. Not to be trusted for an allocation.
  [[nodiscard]] NKV_HD constexpr std::uint32_t count() const noexcept { return count_; }
  /// How many keys next() has given.
  [[nodiscard]] NKV_HD constexpr std::uint32_t taken() const noexcept { return taken_; }
  /// Whether next() has no more to give: every entry is taken, or the page is no good from here on.
  [[nodiscard]] NKV_HD constexpr bool done() const noexcept { return !status_.ok() || taken_ == count_; }
  /// What was wrong with the page so far; success where nothing was.
  [[nodiscard]] NKV_HD constexpr status error() const noexcept { return status_; }

  /// The next key.
  /// @return the key, or, then and from then on,
  ///         - client protocol_error  an entry's length is 0 or more than the longest key: the page is malformed, or
  ///                                  padded in another way
  ///         - client truncated       the page ends before the count it announces does, or inside of the entry
  ///         - client bad_argument    every entry was taken before
  [[nodiscard]] NKV_HD constexpr result<key_view> next() noexcept {
    if (!status_.ok()) return status_;
    if (taken_ == count_) return status{client_status::bad_argument};
    if (page_.size() - at_ < 2) return fail(client_status::truncated);
    const std::size_t length = load_le<std::uint16_t>(page_.data() + at_);
    if (length == 0 || length > longest_) return fail(client_status::protocol_error);
    if (length > page_.size() - at_ - 2) return fail(client_status::truncated);
    const key_view key{page_.data() + at_ + 2, length};
    // The padding of the last entry need not be there, so the step stops at the end of the page.
    const std::size_t step = list_entry_bytes(padding_, length);
    const std::size_t rest = page_.size() - at_;
    last_padding_ = {page_.data() + at_ + 2 + length, (step < rest ? step : rest) - 2 - length};
    at_ += step < rest ? step : rest;
    ++taken_;
    return key;
  }

  /// Bytes of the page behind what was read so far.
  [[nodiscard]] NKV_HD constexpr std::size_t rest_bytes() const noexcept { return page_.size() - at_; }

  /// The bytes between the last key that next() gave and the entry after it.
  [[nodiscard]] NKV_HD constexpr byte_span last_padding() const noexcept { return last_padding_; }

 private:
  NKV_HD constexpr status fail(client_status why) noexcept {
    status_ = why;
    return status_;
  }

  byte_span page_{};
  std::size_t at_ = 0;
  std::size_t longest_ = 0;
  byte_span last_padding_{};
  std::uint32_t count_ = 0;
  std::uint32_t taken_ = 0;
  status status_{};
  list_padding padding_ = list_padding::whole_entry;
};

/// Finds how a page's entries are padded, by reading it in each way.
///
/// A way fits where every entry has a length that a key can have and lies inside the page. Better still where all bytes
/// of padding are zero, and, with a page that ends too early, where nothing else is wrong until then. A page that fits
/// the specification's way as well as another, such as one with a single entry, is taken to be the specification's.
/// Host and device; nothing outside of the page is read.
///
/// @param page and longest_key_bytes as for list_page
/// @return the padding; client truncated for a page without a count; client protocol_error where nothing fits
[[nodiscard]] NKV_HD constexpr result<list_padding> find_list_padding(byte_span page,
                                                                      std::size_t longest_key_bytes) noexcept {
  if (page.size() < list_page::header_bytes) return status{client_status::truncated};
  // 0: complete and zero padded, 1: complete, 2: cut short but zero padded, 3: cut short, 4: malformed
  unsigned best_rank = 4;
  list_padding best = list_padding::whole_entry;
  for (unsigned i = 0; i < 3 && best_rank != 0; ++i) {
    const auto padding = static_cast<list_padding>(i);
    bool zero_padded = true;
    list_page reader{page, padding, longest_key_bytes};
    while (!reader.done()) {
      if (!reader.next().has_value()) break;
      // What follows the last entry is not padding that anyone reads over.
      if (reader.taken() == reader.count()) break;
      for (const std::byte b : reader.last_padding()) zero_padded = zero_padded && b == std::byte{0};
    }
    const status end = reader.error();
    if (!end.ok() && end != status{client_status::truncated}) continue;
    const unsigned rank = (end.ok() ? 0u : 2u) + (zero_padded ? 0u : 1u);
    if (rank < best_rank) {
      best_rank = rank;
      best = padding;
    }
  }
  if (best_rank == 4) return status{client_status::protocol_error};
  return best;
}

}  // namespace nkv::inline NKV_ABI
