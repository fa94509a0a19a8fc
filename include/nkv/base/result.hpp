// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>

#include <type_traits>

namespace nkv::inline NKV_ABI {

/// A value, or the status that says why there is none. Spelled as std::expected, without anything that throws.
///
/// For trivially copyable, default constructible `T`; <nkv/host/result.hpp> adds the other movable types on the host.
/// Host and device, usable in constant expressions.
template <class T>
class [[nodiscard]] result {
  static_assert(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>,
                "nkv::result holds trivially copyable types; include <nkv/host/result.hpp> for movable ones");

 public:
  using value_type = T;

  NKV_HD constexpr result(const T& value) noexcept : value_(value) {}
  /// @pre !error.ok()
  NKV_HD constexpr result(status error) noexcept : status_(error) {}

  [[nodiscard]] NKV_HD constexpr bool has_value() const noexcept { return status_.ok(); }
  [[nodiscard]] NKV_HD constexpr explicit operator bool() const noexcept { return has_value(); }
  /// @pre has_value(), for these four
  [[nodiscard]] NKV_HD constexpr T& operator*() noexcept { return value_; }
  [[nodiscard]] NKV_HD constexpr const T& operator*() const noexcept { return value_; }
  [[nodiscard]] NKV_HD constexpr T* operator->() noexcept { return &value_; }
  [[nodiscard]] NKV_HD constexpr const T* operator->() const noexcept { return &value_; }
  /// The reason; success where there is a value.
  [[nodiscard]] NKV_HD constexpr status error() const noexcept { return status_; }
  [[nodiscard]] NKV_HD constexpr T value_or(const T& other) const noexcept { return has_value() ? value_ : other; }
  /// `f(value)`, itself a result, or the same error.
  template <class F>
  [[nodiscard]] NKV_HD constexpr std::invoke_result_t<F, const T&> and_then(F&& f) const noexcept {
    if (!has_value()) return status_;
    return f(static_cast<const T&>(value_));
  }

 private:
  T value_{};
  status status_{};
};

}  // namespace nkv::inline NKV_ABI
