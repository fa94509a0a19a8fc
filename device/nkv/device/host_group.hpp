// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>
#include <nkv/device/group.hpp>

#include <cstdint>
#include <thread>

namespace nkv::inline NKV_ABI {
namespace device {

/// What host threads that act as the lanes of one warp or block share. Lives as long as the longest of their groups.
class host_lanes {
 public:
  static constexpr std::uint32_t most = 256;

  /// @param size how many threads there are, 1 to `most`
  explicit host_lanes(std::uint32_t size) noexcept : size_(size) {}
  host_lanes(const host_lanes&) = delete;
  host_lanes& operator=(const host_lanes&) = delete;

 private:
  friend class host_group;

  std::uint32_t size_;
  std::uint32_t arrived_ = 0;
  std::uint32_t round_ = 0;
  std::uint32_t words_[most] = {};
};

/// Host threads as a group, so that what is written for a kernel's warps and blocks runs on a host as well. Host only;
/// each thread makes its own.
class host_group {
 public:
  /// @param rank below the size of `lanes`, another for each thread
  host_group(host_lanes& lanes, std::uint32_t rank) noexcept : lanes_(&lanes), rank_(rank) {}

  [[nodiscard]] std::uint32_t rank() const noexcept { return rank_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return lanes_->size_; }

  void sync() const noexcept {
    // Acquire-release: what everybody did before arriving comes before what anybody does after the last has.
    const std::uint32_t round = native_atomics::load_acquire(&lanes_->round_, system_scope);
    if (native_atomics::fetch_add(&lanes_->arrived_, 1u, system_scope) + 1 == lanes_->size_) {
      native_atomics::store_relaxed(&lanes_->arrived_, 0u, system_scope);
      native_atomics::store_release(&lanes_->round_, round + 1, system_scope);
      return;
    }
    while (native_atomics::load_acquire(&lanes_->round_, system_scope) == round) std::this_thread::yield();
  }
  [[nodiscard]] std::uint32_t broadcast(std::uint32_t value, std::uint32_t from = 0) const noexcept {
    exchange(value);
    const std::uint32_t out = lanes_->words_[from];
    sync();
    return out;
  }
  [[nodiscard]] std::uint32_t before(bool value, std::uint32_t& total) const noexcept {
    exchange(value ? 1 : 0);
    std::uint32_t mine = 0;
    total = 0;
    for (std::uint32_t i = 0; i < size(); ++i) {
      if (i == rank_) mine = total;
      total += lanes_->words_[i];
    }
    sync();
    return mine;
  }
  [[nodiscard]] std::uint32_t count(bool value) const noexcept {
    std::uint32_t total = 0;
    static_cast<void>(before(value, total));
    return total;
  }
  [[nodiscard]] const host_group& part() const noexcept { return *this; }
  [[nodiscard]] std::uint32_t before_part(std::uint32_t word, std::uint32_t& total) const noexcept {
    total = word;
    return 0;
  }
  [[nodiscard]] std::uint32_t lowest(bool value) const noexcept {
    exchange(value ? 1 : 0);
    std::uint32_t i = 0;
    while (i < size() && lanes_->words_[i] == 0) ++i;
    sync();
    return i;
  }
  [[nodiscard]] std::uint64_t ranks(bool value, std::uint32_t word) const noexcept {
    exchange(value ? 1 : 0);
    std::uint64_t bits = 0;
    for (std::uint32_t i = 64 * word; i < size() && i < 64 * word + 64; ++i)
      bits |= std::uint64_t{lanes_->words_[i]} << i % 64;
    sync();
    return bits;
  }

 private:
  void exchange(std::uint32_t value) const noexcept {
    lanes_->words_[rank_] = value;
    sync();
  }

  host_lanes* lanes_;
  std::uint32_t rank_;
};
static_assert(group<host_group>);

}  // namespace device
}  // namespace nkv::inline NKV_ABI
