// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// Until when a RADOS object is a key's value: its attribute `nkv.expires`, 16 hexadecimal digits of milliseconds since
/// 1970 (UTC) and 8 of the time to live in seconds that was given; all ones and zero for a value that stays. An object
/// without one stays too. Targets that share a pool share the time of day.
class expiry {
 public:
  static constexpr const char* attribute = "nkv.expires";

  /// Stays.
  constexpr expiry() noexcept = default;
  /// @param ttl_s 0: stays
  [[nodiscard]] static constexpr expiry after(std::uint32_t ttl_s, std::uint64_t now_ms) noexcept {
    expiry e;
    e.ttl_s_ = ttl_s;
    if (ttl_s != 0) e.at_ms_ = now_ms + std::uint64_t{ttl_s} * 1000;
    return e;
  }
  /// What an attribute says; one that is none of ours says that the value stays.
  [[nodiscard]] static expiry of(std::string_view text) noexcept {
    expiry e;
    std::uint64_t number[2] = {0, 0};
    if (text.size() != 24) return e;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                                                    : 16;
      if (digit > 15) return e;
      std::uint64_t& n = number[i < 16 ? 0 : 1];
      n = n * 16 + digit;
    }
    e.at_ms_ = number[0];
    e.ttl_s_ = static_cast<std::uint32_t>(number[1]);
    return e;
  }

  [[nodiscard]] std::string text() const {
    char out[25];
    std::snprintf(out, sizeof out, "%016llx%08x", static_cast<unsigned long long>(at_ms_),
                  static_cast<unsigned>(ttl_s_));
    return out;
  }
  [[nodiscard]] constexpr bool passed(std::uint64_t now_ms) const noexcept { return now_ms >= at_ms_; }
  /// All ones: stays.
  [[nodiscard]] constexpr std::uint64_t at_ms() const noexcept { return at_ms_; }
  /// 0: stays
  [[nodiscard]] constexpr std::uint32_t ttl_s() const noexcept { return ttl_s_; }

  [[nodiscard]] static std::uint64_t now_ms() noexcept {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
  }

 private:
  std::uint64_t at_ms_ = ~std::uint64_t{0};
  std::uint32_t ttl_s_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
