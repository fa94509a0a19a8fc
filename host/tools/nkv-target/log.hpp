// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <time.h>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tools {

/// Events on standard error, one a line: `time=... level=info event=listening endpoint=...`, or a JSON object each.
/// Fields without a value are left out.
class event_log {
 public:
  enum class level { error, warning, info };
  using field = std::pair<std::string_view, std::string>;

  void set_json(bool json) noexcept { json_ = json; }
  /// What is less important is left out.
  void set_level(level least) noexcept { least_ = least; }

  void write(level l, std::string_view event, std::initializer_list<field> fields = {}) const {
    if (l > least_) return;
    const std::string line = text(now(), l, event, fields);
    // One call a line: lines of several processes do not mix.
    static_cast<void>(std::fwrite(line.data(), 1, line.size(), stderr));
    std::fflush(stderr);
  }

  [[nodiscard]] std::string text(std::string_view time, level l, std::string_view event,
                                 std::initializer_list<field> fields) const {
    if (json_) {
      nlohmann::ordered_json out = {{"time", time}, {"level", name(l)}, {"event", event}};
      for (const auto& [key, value] : fields)
        if (!value.empty()) out[std::string(key)] = value;
      return out.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    }
    std::string out = fmt::format("time={} level={} event={}", time, name(l), event);
    for (const auto& [key, value] : fields) {
      if (value.empty()) continue;
      const bool plain = value.find_first_of(" \"=\\") == std::string::npos &&
                         value.find_first_not_of(printable()) == std::string::npos;
      out += fmt::format(
          " {}={}", key,
          plain ? value : nlohmann::json(value).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    return out + '\n';
  }

 private:
  static std::string_view name(level l) noexcept {
    return l == level::error ? "error" : l == level::warning ? "warning" : "info";
  }
  static const std::string& printable() {
    static const std::string all = [] {
      std::string s;
      for (char c = '!'; c <= '~'; ++c) s += c;
      return s;
    }();
    return all;
  }
  static std::string now() {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    tm parts{};
    gmtime_r(&t.tv_sec, &parts);
    char text[32];
    const std::size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    return fmt::format("{}.{:03}Z", std::string_view(text, n), t.tv_nsec / 1'000'000);
  }

  bool json_ = false;
  level least_ = level::info;
};

}  // namespace tools
