// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "statistics.hpp"

#include "common/human.hpp"

#include <nkv/host/clock.hpp>
#include <nkv/kv/key.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bench::rados {

inline constexpr std::uint32_t short_bytes = 4096, long_bytes = 4u << 20;

enum class verb { store, retrieve };
[[nodiscard]] constexpr const char* name_of(verb v) { return v == verb::store ? "store" : "retrieve"; }

/// What is asked, how long, and how much of it at a time.
struct load {
  verb what = verb::retrieve;
  std::uint32_t block_bytes = 4096;
  std::uint32_t depth = 1;
  [[nodiscard]] std::string name() const {
    return fmt::format("{}/{}/depth{}", name_of(what), tools::human_bytes(block_bytes), depth);
  }
  /// Values that it takes turns with: more than are under way.
  [[nodiscard]] std::uint32_t values() const { return block_bytes > (1u << 20) ? 96 : 1024; }
};

/// What one window came to.
struct window {
  double operations_per_s = 0;
  double p50_ns = 0;
  double p99_ns = 0;
};

[[nodiscard]] inline std::uint64_t now_ns() { return nkv::host::steady_clock::now_ns(); }

[[nodiscard]] inline std::string key_of(std::uint32_t block_bytes, std::uint32_t index) {
  return fmt::format("{:07x}.{:05x}", block_bytes, index);
}
[[nodiscard]] inline nkv::key_view view_of(const std::string& key) {
  return nkv::key_view::from_text(key.data(), key.size());
}
/// The object that holds a key's value.
[[nodiscard]] inline std::string object_of(const std::string& key) {
  std::string out;
  for (const char c : key) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

/// Counts what ends within a window's time.
class window_clock {
 public:
  explicit window_clock(unsigned ms) : begin_ns_(now_ns()), until_ns_(begin_ns_ + std::uint64_t{ms} * 1'000'000) {}
  [[nodiscard]] bool over() const { return now_ns() >= until_ns_; }
  void ended(std::uint64_t began_ns) {
    last_ns_ = now_ns();
    latencies_.push_back(last_ns_ - began_ns);
  }
  [[nodiscard]] window result() {
    window w;
    w.operations_per_s = static_cast<double>(latencies_.size()) * 1e9 / static_cast<double>(last_ns_ - begin_ns_);
    w.p50_ns = static_cast<double>(percentile(latencies_, 50));
    w.p99_ns = static_cast<double>(percentile(latencies_, 99));
    return w;
  }

 private:
  std::uint64_t begin_ns_, until_ns_, last_ns_ = 0;
  std::vector<std::uint64_t> latencies_;
};

}  // namespace bench::rados
