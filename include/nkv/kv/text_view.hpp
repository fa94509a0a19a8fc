// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// Characters of any content, pointer and length, NUL being one like another. Does not own; host and device.
class text_view {
 public:
  constexpr text_view() noexcept = default;
  NKV_HD constexpr text_view(const char* data, std::size_t size) noexcept : data_(data), size_(size) {}
  /// A string literal, without its terminating NUL.
  template <std::size_t N>
  NKV_HD constexpr text_view(const char (&literal)[N]) noexcept : data_(literal), size_(N - 1) {}
  /// A buffer of characters does not say how many of them count: give its length.
  template <std::size_t N>
  text_view(char (&buffer)[N]) = delete;
  /// From a std::string, a std::string_view or the like.
  template <class C>
    requires(!std::is_array_v<C> &&
             requires(const C& c) {
               { c.data() };
               { c.size() };
             } && std::is_same_v<decltype(static_cast<const C*>(nullptr)->data()), const char*>)
  constexpr text_view(const C& c) noexcept : data_(c.data()), size_(c.size()) {}

  [[nodiscard]] NKV_HD constexpr const char* data() const noexcept { return data_; }
  [[nodiscard]] NKV_HD constexpr std::size_t size() const noexcept { return size_; }
  /// @pre i < size()
  [[nodiscard]] NKV_HD constexpr char operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace nkv::inline NKV_ABI
