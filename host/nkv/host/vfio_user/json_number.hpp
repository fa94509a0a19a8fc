// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace host::vfio_user {

/// Walks a JSON text just far enough to find one number; the client takes no JSON library for the two it needs.
///
/// Reads nothing outside the text, visits each character at most once, and nests no deeper than a fixed bound, so that
/// a peer's text costs no more than its length. It does not judge what it skips: text that is no JSON is given up or
/// skipped, never misread as another member.
class json_number_finder {
 public:
  explicit constexpr json_number_finder(std::string_view text) noexcept : text_(text) {}

  /// The unsigned integer at `path`, names of nested objects and at last of the member, compared as they are written
  /// (escapes are not resolved). Of members with one name the first counts.
  /// @return nothing where the text has no such member, it is no unsigned integer below 2^64, or the text is malformed
  [[nodiscard]] constexpr std::optional<std::uint64_t> find(std::initializer_list<std::string_view> path) noexcept {
    at_ = 0;
    for (const std::string_view name : path) {
      if (!enter(name)) return std::nullopt;
    }
    return number();
  }

 private:
  static constexpr unsigned max_depth = 16;

  constexpr void skip_space() noexcept {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  constexpr bool take(char c) noexcept {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  constexpr bool string(std::string_view& content) noexcept {
    if (!take('"')) return false;
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2u : 1u;
    if (at_ >= text_.size()) return false;
    content = text_.substr(first, at_ - first);
    ++at_;
    return true;
  }
  /// Skips one value.
  constexpr bool skip(unsigned depth) noexcept {
    skip_space();
    if (depth == max_depth || at_ >= text_.size()) return false;
    std::string_view ignored;
    if (text_[at_] == '"') return string(ignored);
    const bool object = text_[at_] == '{';
    if (object || text_[at_] == '[') {
      const char end = object ? '}' : ']';
      ++at_;
      if (take(end)) return true;
      do {
        if (object && !(string(ignored) && take(':'))) return false;
        if (!skip(depth + 1)) return false;
      } while (take(','));
      return take(end);
    }
    const std::size_t first = at_;
    while (at_ < text_.size() && is_scalar(text_[at_])) ++at_;
    return at_ > first;
  }
  static constexpr bool is_scalar(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' ||
           c == '.';
  }
  /// Moves to the value of member `name` of the object that begins here.
  constexpr bool enter(std::string_view name) noexcept {
    if (!take('{')) return false;
    do {
      std::string_view member;
      if (!string(member) || !take(':')) return false;
      if (member == name) return true;
      if (!skip(0)) return false;
    } while (take(','));
    return false;
  }
  constexpr std::optional<std::uint64_t> number() noexcept {
    skip_space();
    const std::size_t first = at_;
    std::uint64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (~std::uint64_t{0} - digit) / 10) return std::nullopt;
      value = value * 10 + digit;
    }
    if (at_ == first || (at_ < text_.size() && is_scalar(text_[at_]))) return std::nullopt;
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// The unsigned integer at `path` of a JSON text; see json_number_finder::find.
[[nodiscard]] constexpr std::optional<std::uint64_t> find_json_number(
    std::string_view text, std::initializer_list<std::string_view> path) noexcept {
  return json_number_finder{text}.find(path);
}

}  // namespace host::vfio_user
}  // namespace nkv::inline NKV_ABI
