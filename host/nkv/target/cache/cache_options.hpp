// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a cached value is worth.
enum class cache_freshness : std::uint8_t {
  /// It is given out when the back end has said, after the command came, that the value is still the same: one round
  /// trip without data. Linearizable whoever else writes the objects; needs a store that knows versions.
  validated,
  /// A key's value never changes: content-addressed data. A value that somebody else deleted may still be given out.
  immutable,
  /// Nobody but this namespace's clients writes. Linearizable as long as that is so: a key whose Store or Delete ended
  /// without an answer, and which the back end may carry out later, is validated from then on.
  sole_writer,
};

/// A namespace's cache. A plain aggregate.
struct cache_options {
  cache_freshness freshness = cache_freshness::validated;
  std::uint64_t max_bytes = std::uint64_t{1} << 30;   ///< of keys, bookkeeping, and the pages of values
  std::uint64_t max_values = std::uint64_t{1} << 20;  ///< at a time
};

/// What a cache has done since it was made, and what is in it.
struct cache_statistics {
  std::uint64_t hits = 0;           ///< values that were given out without their data being read
  std::uint64_t validations = 0;    ///< times the back end was asked for a version
  std::uint64_t fills = 0;          ///< times the back end was asked for a value
  std::uint64_t evictions = 0;      ///< values that made room for others
  std::uint64_t invalidations = 0;  ///< values that went because they were written, found changed, or had expired
  std::uint64_t values = 0;
  std::uint64_t bytes = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
