// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/result.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// nkv::result for types that only move: an owner, or the status that says why there is none. Host only.
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  // Not by value: nvcc does not move a local that is returned into such a parameter.
  result(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
  result(const T& value)
    requires std::is_copy_constructible_v<T>
      : value_(value) {}
  /// @pre !error.ok()
  result(status error) noexcept : status_(error) {}

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
  /// @pre has_value(), for these
  [[nodiscard]] T& operator*() & noexcept { return *value_; }
  [[nodiscard]] const T& operator*() const& noexcept { return *value_; }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(*value_); }
  [[nodiscard]] T* operator->() noexcept { return &*value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &*value_; }
  /// The reason; success where there is a value.
  [[nodiscard]] status error() const noexcept { return status_; }

 private:
  std::optional<T> value_;
  status status_{};
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
