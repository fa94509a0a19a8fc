// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace target {

/// What one run of a program may use.
struct execute_limits {
  std::uint64_t fuel = 0;          ///< steps of an engine that counts them: of WebAssembly about one an instruction
  std::uint64_t wall_ns = 0;       ///< from the run's begin
  std::uint64_t memory_bytes = 0;  ///< of an engine that gives memory
};

/// Which limits an allowlist grants. Numbered as the deployed `caps`.
enum class execute_tier : std::uint8_t { standard = 0, small = 1, medium = 2, large = 3 };

/// The limits of a tier: those of the deployed executor (rados-nkvx). Host; any thread.
[[nodiscard]] constexpr execute_limits limits_of(execute_tier tier) noexcept {
  constexpr std::uint64_t ms = 1'000'000, mib = std::uint64_t{1} << 20;
  switch (tier) {
    case execute_tier::small: return {10'000'000, 50 * ms, mib};
    case execute_tier::large: return {1'000'000'000, 1000 * ms, 64 * mib};
    case execute_tier::standard:
    case execute_tier::medium: break;
  }
  return {100'000'000, 100 * ms, 8 * mib};
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
