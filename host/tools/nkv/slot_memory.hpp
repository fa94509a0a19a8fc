// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/session.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tools {

/// Registered memory for operations that are under way together: a block a slot, kept for the next one while it is
/// small, and all of them within a bound.
class slot_memory {
 public:
  slot_memory(const session& s, std::size_t slots) : session_(s), blocks_(slots) {}

  /// Whether `bytes` more may be under way now. What is alone always may.
  [[nodiscard]] bool has_room(std::uint64_t bytes) const noexcept {
    return used_bytes_ == 0 || used_bytes_ + std::max(bytes, least_bytes) <= most_bytes;
  }

  /// A block of at least `bytes` for a slot that has none in use.
  nkv::host::registration& take(std::size_t slot, std::uint64_t bytes) {
    block& b = blocks_[slot];
    if (b.memory.size_bytes() < bytes || b.memory.data() == nullptr) {
      b.memory = nkv::host::registration{};
      b.memory = session_.allocate(std::max(bytes, least_bytes));
    }
    b.counted_bytes = b.memory.size_bytes();
    used_bytes_ += b.counted_bytes;
    return b.memory;
  }
  /// The block of a slot in use.
  [[nodiscard]] nkv::host::registration& of(std::size_t slot) noexcept { return blocks_[slot].memory; }
  void give_back(std::size_t slot) {
    block& b = blocks_[slot];
    used_bytes_ -= b.counted_bytes;
    b.counted_bytes = 0;
    if (b.memory.size_bytes() > kept_bytes) b.memory = nkv::host::registration{};
  }

 private:
  static constexpr std::uint64_t least_bytes = std::uint64_t{256} << 10;
  static constexpr std::uint64_t kept_bytes = std::uint64_t{4} << 20;
  static constexpr std::uint64_t most_bytes = std::uint64_t{512} << 20;

  struct block {
    nkv::host::registration memory;
    std::uint64_t counted_bytes = 0;
  };

  const session& session_;
  std::vector<block> blocks_;
  std::uint64_t used_bytes_ = 0;
};

}  // namespace tools
