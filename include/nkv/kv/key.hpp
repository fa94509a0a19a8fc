// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/text_view.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// A key where it lies: opaque bytes, none of them special. Does not own; the bytes live until the call that takes the
/// view returns. Any length can be looked at, also one that no key has: `check()` says whether it is a key.
///
/// Keys are ordered as memcmp orders them, a prefix before what it begins. Host and device.
class key_view {
 public:
  constexpr key_view() noexcept = default;
  NKV_HD constexpr key_view(const std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
  NKV_HD constexpr key_view(byte_span bytes) noexcept : data_(bytes.data()), size_(bytes.size()) {}

  /// The bytes of the characters as they are: a string literal without its terminating NUL, a std::string, ...
  /// For use in constant expressions see key::from_text().
  [[nodiscard]] NKV_HD static key_view from_text(text_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
  }
  [[nodiscard]] NKV_HD static key_view from_text(const char* data, std::size_t size) noexcept {
    return from_text(text_view{data, size});
  }

  [[nodiscard]] NKV_HD constexpr const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] NKV_HD constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] NKV_HD constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] NKV_HD constexpr byte_span bytes() const noexcept { return {data_, size_}; }
  /// @pre i < size()
  [[nodiscard]] NKV_HD constexpr std::byte operator[](std::size_t i) const noexcept { return data_[i]; }

  /// Whether a key can have this length.
  /// @param most the longest key of the namespace, bytes; never more than max_key_bytes is taken
  /// @return success, or client bad_argument for a length of 0 or above the limit
  [[nodiscard]] NKV_HD constexpr status check(std::size_t most = max_key_bytes) const noexcept {
    if (size_ == 0 || size_ > max_key_bytes || size_ > most) return client_status::bad_argument;
    return {};
  }

  /// Below, equal to or above zero as this key comes before, is equal to or comes after `other`.
  [[nodiscard]] NKV_HD constexpr int compare(key_view other) const noexcept {
    const std::size_t common = size_ < other.size_ ? size_ : other.size_;
    for (std::size_t i = 0; i < common; ++i)
      if (data_[i] != other.data_[i]) return data_[i] < other.data_[i] ? -1 : 1;
    return size_ == other.size_ ? 0 : size_ < other.size_ ? -1 : 1;
  }

  /// Writes the bytes as lower-case hexadecimal digits, no NUL after them.
  /// @param[out] out 2 * size() characters
  /// @return how many characters were written
  NKV_HD constexpr std::size_t to_hex(char* out) const noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      const auto value = static_cast<unsigned>(data_[i]);
      out[2 * i] = hex_digit(value >> 4);
      out[2 * i + 1] = hex_digit(value & 15u);
    }
    return 2 * size_;
  }

 private:
  NKV_HD static constexpr char hex_digit(unsigned value) noexcept {
    return static_cast<char>(value < 10 ? '0' + value : 'a' + (value - 10));
  }

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Of the namespace, so that keys and views compare with one another. Order: key_view::compare().
[[nodiscard]] NKV_HD constexpr bool operator==(key_view a, key_view b) noexcept {
  return a.size() == b.size() && a.compare(b) == 0;
}
[[nodiscard]] NKV_HD constexpr bool operator<(key_view a, key_view b) noexcept { return a.compare(b) < 0; }
[[nodiscard]] NKV_HD constexpr bool operator>(key_view a, key_view b) noexcept { return a.compare(b) > 0; }
[[nodiscard]] NKV_HD constexpr bool operator<=(key_view a, key_view b) noexcept { return a.compare(b) <= 0; }
[[nodiscard]] NKV_HD constexpr bool operator>=(key_view a, key_view b) noexcept { return a.compare(b) >= 0; }

/// A key that owns its bytes, 1 to 255 of them, in place. Empty when made, which no command takes. Trivially copyable;
/// host and device.
class key {
 public:
  constexpr key() noexcept = default;

  /// A copy of the bytes.
  /// @return the key, or client bad_argument for 0 or more than max_key_bytes bytes
  [[nodiscard]] NKV_HD static constexpr result<key> from(key_view view) noexcept {
    if (const status s = view.check(); !s.ok()) return s;
    key k;
    for (std::size_t i = 0; i < view.size(); ++i) k.bytes_[i] = view[i];
    k.size_ = static_cast<std::uint8_t>(view.size());
    return k;
  }

  /// The bytes of the characters as they are, usable in constant expressions.
  /// @return as from()
  [[nodiscard]] NKV_HD static constexpr result<key> from_text(text_view text) noexcept {
    if (text.size() == 0 || text.size() > max_key_bytes) return status{client_status::bad_argument};
    key k;
    for (std::size_t i = 0; i < text.size(); ++i) k.bytes_[i] = static_cast<std::byte>(text[i]);
    k.size_ = static_cast<std::uint8_t>(text.size());
    return k;
  }

  /// The key that `digits` spell in hexadecimal, two for a byte, either case, nothing else between or around them.
  /// @return the key, or client bad_argument for an odd number of digits, none, more than 510, or another character
  [[nodiscard]] NKV_HD static constexpr result<key> from_hex(text_view digits) noexcept {
    if (digits.size() == 0 || digits.size() % 2 != 0 || digits.size() > 2 * max_key_bytes)
      return status{client_status::bad_argument};
    key k;
    for (std::size_t i = 0; i < digits.size() / 2; ++i) {
      const unsigned high = hex_value(digits[2 * i]);
      const unsigned low = hex_value(digits[2 * i + 1]);
      if (high > 15 || low > 15) return status{client_status::bad_argument};
      k.bytes_[i] = static_cast<std::byte>(high << 4 | low);
    }
    k.size_ = static_cast<std::uint8_t>(digits.size() / 2);
    return k;
  }

  /// The view dies with this key.
  [[nodiscard]] NKV_HD constexpr key_view view() const noexcept { return {bytes_, size_}; }
  NKV_HD constexpr operator key_view() const noexcept { return view(); }

  [[nodiscard]] NKV_HD constexpr const std::byte* data() const noexcept { return bytes_; }
  [[nodiscard]] NKV_HD constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] NKV_HD constexpr bool empty() const noexcept { return size_ == 0; }
  /// @pre i < size()
  [[nodiscard]] NKV_HD constexpr std::byte operator[](std::size_t i) const noexcept { return bytes_[i]; }
  /// As key_view::to_hex().
  NKV_HD constexpr std::size_t to_hex(char* out) const noexcept { return view().to_hex(out); }

 private:
  NKV_HD static constexpr unsigned hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    return 16;
  }

  std::uint8_t size_ = 0;
  std::byte bytes_[max_key_bytes] = {};
};
static_assert(sizeof(key) == 256);

}  // namespace nkv::inline NKV_ABI
