// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/target/byte_size.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// What is wrong with a configuration, and where: a field's path such as `subsystems[0].namespaces[1].max_value_bytes`,
/// empty where it is the whole.
struct config_error {
  std::string where;
  std::string what;

  [[nodiscard]] std::string text() const { return where.empty() ? what : where + ": " + what; }
};

/// Reads the fields of one JSON object, each by its name, and remembers the first thing that is wrong. A field that is
/// absent leaves its default alone; one that nobody asked for is refused by finish().
class config_object {
 public:
  /// @param path of the object, which error messages begin with
  config_object(const nlohmann::json& object, std::string path, config_error& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object_.is_object()) fail(path_, "an object", object_);
  }

  [[nodiscard]] bool ok() const noexcept { return error_.what.empty(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string path_of(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }

  [[nodiscard]] bool has(const char* name) const { return object_.is_object() && object_.contains(name); }

  /// The field's value, null where it is absent or something is wrong already.
  const nlohmann::json* find(const char* name) {
    known_.push_back(name);
    if (!ok()) return nullptr;
    const auto at = object_.find(name);
    return at == object_.end() ? nullptr : &*at;
  }

  void read(const char* name, bool& out) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    if (v->is_boolean()) {
      out = v->get<bool>();
    } else {
      fail(path_of(name), "true or false", *v);
    }
  }
  /// Text of `least` to `most` printable ASCII characters.
  void read(const char* name, std::string& out, std::size_t least, std::size_t most) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    const std::string* text = v->get_ptr<const std::string*>();
    const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
    if (text == nullptr || text->size() < least || text->size() > most ||
        !std::all_of(text->begin(), text->end(), printable)) {
      fail(path_of(name), fmt::format("{} to {} printable ASCII characters", least, most), *v);
    } else {
      out = *text;
    }
  }
  template <class Unsigned>
  void read_number(const char* name, Unsigned& out, std::uint64_t least, std::uint64_t most) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    const std::optional<std::uint64_t> number = unsigned_of(*v);
    if (!number || *number < least || *number > most) {
      fail(path_of(name), fmt::format("a number from {} to {}", least, most), *v);
    } else {
      out = static_cast<Unsigned>(*number);
    }
  }
  /// A number of bytes: a number, or text with a unit, see parse_byte_size().
  void read_size(const char* name, std::uint64_t& out, std::uint64_t least, std::uint64_t most) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    std::optional<std::uint64_t> bytes = unsigned_of(*v);
    if (const auto* text = v->get_ptr<const std::string*>()) bytes = parse_byte_size(*text);
    if (!bytes) {
      fail(path_of(name), "a size", *v);
    } else if (*bytes < least || *bytes > most) {
      fail(path_of(name), fmt::format("a size from {} to {} bytes", least, most), *v);
    } else {
      out = *bytes;
    }
  }
  /// One of a few words, each standing for a value.
  template <class T>
  void read_word(const char* name, T& out, std::initializer_list<std::pair<const char*, T>> words) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    const auto* text = v->get_ptr<const std::string*>();
    std::string expected;
    for (const auto& [word, value] : words) {
      if (text != nullptr && *text == word) {
        out = value;
        return;
      }
      expected += fmt::format("{}\"{}\"", expected.empty() ? "" : " or ", word);
    }
    fail(path_of(name), expected, *v);
  }
  /// A file's permissions, as text in octal digits.
  void read_mode(const char* name, unsigned& out) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return;
    const auto* text = v->get_ptr<const std::string*>();
    unsigned mode = 0;
    bool good = text != nullptr && !text->empty() && text->size() <= 4;
    for (std::size_t i = 0; good && i < text->size(); ++i) {
      good = (*text)[i] >= '0' && (*text)[i] <= '7';
      mode = mode * 8 + static_cast<unsigned>((*text)[i] - '0');
    }
    if (good && mode <= 0777) {
      out = mode;
    } else {
      fail(path_of(name), "permissions in octal, such as \"0600\"", *v);
    }
  }
  /// Calls `each(element, its path)` for the objects of an array.
  /// @return whether the field is there
  template <class Each>
  bool read_array(const char* name, std::size_t most, Each&& each) {
    const nlohmann::json* v = find(name);
    if (v == nullptr) return false;
    if (!v->is_array() || v->size() > most) {
      fail(path_of(name), fmt::format("an array of at most {}", most), *v);
      return true;
    }
    for (std::size_t i = 0; i < v->size() && ok(); ++i) each((*v)[i], fmt::format("{}[{}]", path_of(name), i));
    return true;
  }

  /// Refuses what nobody asked for.
  void finish() {
    if (!ok()) return;
    for (const auto& member : object_.items()) {
      if (std::find(known_.begin(), known_.end(), member.key()) != known_.end()) continue;
      error_ = {path_of(shown(nlohmann::json(member.key()))),
                fmt::format("unknown; known are {}", fmt::join(known_, ", "))};
      return;
    }
  }

  void fail(std::string where, std::string_view expected, const nlohmann::json& got) {
    if (ok()) error_ = {std::move(where), fmt::format("expected {}, got {}", expected, shown(got, true))};
  }
  void refuse(std::string where, std::string what) {
    if (ok()) error_ = {std::move(where), std::move(what)};
  }

 private:
  /// A value made in a program may be signed where one that was parsed is not.
  static std::optional<std::uint64_t> unsigned_of(const nlohmann::json& value) noexcept {
    if (value.is_number_unsigned()) return *value.get_ptr<const nlohmann::json::number_unsigned_t*>();
    if (!value.is_number_integer()) return std::nullopt;
    const std::int64_t number = *value.get_ptr<const nlohmann::json::number_integer_t*>();
    return number < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(number));
  }

  /// Short enough for a message, whatever somebody wrote.
  static std::string shown(const nlohmann::json& value, bool quoted = false) {
    constexpr std::size_t longest = 60;
    std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (!quoted && text.size() >= 2) text = text.substr(1, text.size() - 2);
    if (text.size() > longest) text = text.substr(0, longest) + "...";
    return text;
  }

  const nlohmann::json& object_;
  std::string path_;
  config_error& error_;
  std::vector<std::string> known_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
