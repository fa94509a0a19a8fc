// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tools {

/// The value of --namespace, `nsid=1,name=x,read-only,...`, as the JSON object that a configuration file would have.
/// Which fields there are and what they may hold is the configuration's matter; this only spells: dashes become
/// underscores, a word alone is true, digits are a number where the field is not text.
/// @param[out] error what is wrong; empty where nothing is
[[nodiscard]] inline nlohmann::json namespace_from_flag(std::string_view flag, std::string& error) {
  nlohmann::json out = nlohmann::json::object();
  error.clear();
  while (!flag.empty()) {
    const std::size_t comma = std::min(flag.find(','), flag.size());
    const std::string_view item = flag.substr(0, comma);
    flag.remove_prefix(std::min(comma + 1, flag.size()));
    const std::size_t equals = item.find('=');
    std::string name(item.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    if (name == "encoding") name = "key_encoding";
    if (name == "max_value") name = "max_value_bytes";
    if (name == "max_key") name = "max_key_bytes";
    nlohmann::json value = true;
    if (equals != std::string_view::npos) {
      const std::string_view text = item.substr(equals + 1);
      const bool digits =
          !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
      if (text == "true" || text == "false") {
        value = text == "true";
      } else if (digits && name != "name" && name != "nguid") {
        std::uint64_t number = 0;
        for (const char c : text) number = number * 10 + static_cast<std::uint64_t>(c - '0');
        value = number;
      } else {
        value = std::string(text);
      }
    }
    nlohmann::json& object = name == "capacity" ? out["store"] : out;
    if (name == "capacity") name = "capacity_bytes";
    if (object.contains(name)) {
      error = fmt::format("{} is given twice", item.substr(0, equals));
      return out;
    }
    object[name] = std::move(value);
  }
  return out;
}

}  // namespace tools
