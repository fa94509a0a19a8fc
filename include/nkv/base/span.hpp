// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// A pointer and a count, usable in kernels (where `std::span::operator[]` is not). Does not own; host and device.
template <class T>
class span {
 public:
  using element_type = T;

  constexpr span() noexcept = default;
  NKV_HD constexpr span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t N>
  NKV_HD constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
  /// From anything contiguous with `data()` and `size()` whose elements are `T`: std::array, std::vector, std::span. On
  /// the host only, and not for nkv's own spans, which are copied and converted on both sides.
  template <class C>
    requires(!std::is_array_v<std::remove_reference_t<C>> && !std::is_same_v<std::remove_const_t<C>, span> &&
             !std::is_same_v<std::remove_const_t<C>, span<std::remove_const_t<T>>> &&
             requires(C& c) {
               { c.data() };
               { c.size() };
             } && std::is_convertible_v<decltype(static_cast<C*>(nullptr)->data()), T*> &&
             sizeof(*static_cast<C*>(nullptr)->data()) == sizeof(T))
  constexpr span(C& c) noexcept : data_(c.data()), size_(c.size()) {}
  /// A template, or it would be the copy constructor of a span of mutable elements.
  template <class U>
    requires(std::is_const_v<T> && std::is_same_v<U, std::remove_const_t<T>>)
  NKV_HD constexpr span(const span<U>& other) noexcept : data_(other.data()), size_(other.size()) {}

  [[nodiscard]] NKV_HD constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] NKV_HD constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] NKV_HD constexpr bool empty() const noexcept { return size_ == 0; }
  /// @pre i < size()
  [[nodiscard]] NKV_HD constexpr T& operator[](std::size_t i) const noexcept { return data_[i]; }
  [[nodiscard]] NKV_HD constexpr T* begin() const noexcept { return data_; }
  [[nodiscard]] NKV_HD constexpr T* end() const noexcept { return data_ + size_; }
  /// The elements [offset, offset + count), cut at the end; an offset beyond the end gives an empty span.
  [[nodiscard]] NKV_HD constexpr span subspan(std::size_t offset,
                                              std::size_t count = static_cast<std::size_t>(-1)) const noexcept {
    if (offset > size_) offset = size_;
    const std::size_t rest = size_ - offset;
    return {data_ + offset, count < rest ? count : rest};
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

using byte_span = span<const std::byte>;
using mutable_byte_span = span<std::byte>;

}  // namespace nkv::inline NKV_ABI
