// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// How much JSON text is looked at.
struct json_limits {
  std::size_t max_bytes = std::size_t{1} << 20;
  unsigned max_depth = 16;  ///< objects and arrays within each other
};

/// A JSON text's value, or why there is none.
struct json_parsed {
  std::optional<nlohmann::json> value;
  std::string error;  ///< for people, with the line and column or the field's path
};

/// Builds a value from a text, strictly: a name that an object has twice is refused, and so is nesting beyond a bound.
/// Nothing is thrown.
class json_builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit json_builder(std::string_view text, unsigned max_depth) : text_(text), max_depth_(max_depth) {}

  [[nodiscard]] nlohmann::json take() { return std::move(root_); }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

  bool null() override { return add(nullptr) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return add(value) != nullptr; }
  bool string(string_t& value) override { return add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      error_ = path(name) + ": given twice";
      return false;
    }
    name_ = std::move(name);
    names_.back() = name_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    std::size_t line = 1;
    std::size_t column = 0;
    for (std::size_t i = 0; i + 1 < position && i < text_.size(); ++i) {
      ++column;
      if (text_[i] == '\n') {
        ++line;
        column = 0;
      }
    }
    error_ = "line " + std::to_string(line) + ", column " + std::to_string(column + 1) + ": not JSON";
    return false;
  }

 private:
  template <class T>
  nlohmann::json* add(T&& value) {
    if (open_.empty()) {
      root_ = nlohmann::json(std::forward<T>(value));
      return &root_;
    }
    nlohmann::json& parent = *open_.back();
    if (parent.is_object()) return &(parent[name_] = nlohmann::json(std::forward<T>(value)));
    parent.push_back(nlohmann::json(std::forward<T>(value)));
    return &parent.back();
  }

  bool open(nlohmann::json container) {
    if (open_.size() == max_depth_) {
      error_ = "nested deeper than " + std::to_string(max_depth_) + " levels";
      return false;
    }
    // Stays where it is while it is open: its parent takes nothing else meanwhile.
    open_.push_back(add(std::move(container)));
    names_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    names_.pop_back();
    return true;
  }

  [[nodiscard]] std::string path(const std::string& last) const {
    std::string out;
    for (std::size_t i = 0; i < open_.size(); ++i) {
      if (open_[i]->is_array()) {
        out += '[' + std::to_string(open_[i]->size() - 1) + ']';
      } else {
        if (!out.empty()) out += '.';
        out += i + 1 == open_.size() ? last : names_[i];
      }
    }
    return out;
  }

  std::string_view text_;
  unsigned max_depth_;
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;
  std::vector<std::string> names_;  // of each open object, the member that is being read
  std::string name_;
  std::string error_;
};

/// Reads a JSON text of a bounded size, strictly. Throws nothing but what memory of that size can bring about.
[[nodiscard]] inline json_parsed parse_json(std::string_view text, const json_limits& limits = {}) {
  json_parsed out;
  if (text.size() > limits.max_bytes) {
    out.error = "longer than " + std::to_string(limits.max_bytes) + " bytes";
    return out;
  }
  json_builder builder(text, limits.max_depth);
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    out.value = builder.take();
  } else {
    out.error = builder.error();
  }
  return out;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
