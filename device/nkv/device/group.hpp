// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/device/world.hpp>

#include <concepts>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace device {

/// Threads that act together: every one of them calls every function of the group, in the same order. Ranks count from
/// 0, which is the leader's.
///
/// sync() makes what each did before visible to all after. broadcast() gives everybody the value of one rank; before()
/// the number of threads of lower rank that pass true, and in `total` that of all; count() that total; lowest() the
/// lowest rank that passes true, size() where none does. part() is the group or, of one that meets at barriers, the
/// part of it that needs none; before_part(), to which everybody passes its part's word, the sum of those of the parts
/// below, and in `total` that of all.
template <class G>
concept group = requires(const G& g, bool flag, std::uint32_t word, std::uint32_t& total) {
  { g.count(flag) } noexcept -> std::same_as<std::uint32_t>;
  { g.part().rank() } noexcept -> std::same_as<std::uint32_t>;
  { g.before_part(word, total) } noexcept -> std::same_as<std::uint32_t>;
  { g.rank() } noexcept -> std::same_as<std::uint32_t>;
  { g.size() } noexcept -> std::same_as<std::uint32_t>;
  { g.sync() } noexcept;
  { g.broadcast(word, word) } noexcept -> std::same_as<std::uint32_t>;
  { g.before(flag, total) } noexcept -> std::same_as<std::uint32_t>;
  { g.lowest(flag) } noexcept -> std::same_as<std::uint32_t>;
  { g.ranks(flag, word) } noexcept -> std::same_as<std::uint64_t>;
};

/// The calling thread alone.
struct thread_group {
  NKV_HD static constexpr std::uint32_t rank() noexcept { return 0; }
  NKV_HD static constexpr std::uint32_t size() noexcept { return 1; }
  NKV_HD static constexpr void sync() noexcept {}
  NKV_HD static constexpr std::uint32_t broadcast(std::uint32_t value, std::uint32_t = 0) noexcept { return value; }
  NKV_HD static constexpr std::uint32_t before(bool value, std::uint32_t& total) noexcept {
    total = value ? 1 : 0;
    return 0;
  }
  NKV_HD static constexpr std::uint32_t count(bool value) noexcept { return value ? 1 : 0; }
  NKV_HD static constexpr std::uint32_t lowest(bool value) noexcept { return value ? 0 : 1; }
  NKV_HD static constexpr std::uint64_t ranks(bool value, std::uint32_t word) noexcept {
    return value && word == 0 ? 1 : 0;
  }
  NKV_HD static constexpr thread_group part() noexcept { return {}; }
  NKV_HD static constexpr std::uint32_t before_part(std::uint32_t word, std::uint32_t& total) noexcept {
    total = word;
    return 0;
  }
};
static_assert(group<thread_group>);

/// The lanes of a warp (NVIDIA, 32) or wave (AMD, 32 or 64) that made it together: all of them, or those of one side of
/// a branch. On a host, one thread. A value of a kernel's, not to be kept beyond the branch that it was made in.
class warp_group {
 public:
  /// Of the lanes that are here now: for what each lane does for itself, at one doorbell for all. Nothing promises that
  /// a warp's lanes are together, at the begin of a kernel or anywhere else: there may be several such groups.
  NKV_HD warp_group() noexcept : lanes_(detail::world::active_lanes()) {}
  /// Of `lanes`, one bit each, every one of which makes it.
  NKV_HD explicit warp_group(std::uint64_t lanes) noexcept : lanes_(lanes) {}
  /// Of all threads that the warp has: for what a warp does as one.
  /// @pre each of them makes it, and uses it where none is on another side of a branch; none has ended
  [[nodiscard]] NKV_HD static warp_group whole() noexcept {
    return of_thread(detail::world::thread_in_block(), detail::world::threads_of_block());
  }

  [[nodiscard]] NKV_HD std::uint32_t rank() const noexcept { return count_of(lanes_ & lower()); }
  [[nodiscard]] NKV_HD std::uint32_t size() const noexcept { return count_of(lanes_); }
  NKV_HD void sync() const noexcept { detail::world::sync_lanes(lanes_); }
  [[nodiscard]] NKV_HD std::uint32_t broadcast(std::uint32_t value, std::uint32_t from = 0) const noexcept {
    std::uint64_t rest = lanes_;
    for (; from != 0; --from) rest &= rest - 1;
    return detail::world::read_lane(lanes_, value, first(rest));
  }
  [[nodiscard]] NKV_HD std::uint32_t before(bool value, std::uint32_t& total) const noexcept {
    const std::uint64_t votes = ballot(value);
    total = count_of(votes);
    return count_of(votes & lower());
  }
  [[nodiscard]] NKV_HD std::uint32_t count(bool value) const noexcept { return count_of(ballot(value)); }
  [[nodiscard]] NKV_HD warp_group part() const noexcept { return *this; }
  [[nodiscard]] NKV_HD std::uint32_t before_part(std::uint32_t word, std::uint32_t& total) const noexcept {
    total = word;
    return 0;
  }
  [[nodiscard]] NKV_HD std::uint32_t lowest(bool value) const noexcept {
    const std::uint64_t votes = ballot(value);
    return votes == 0 ? size() : count_of(lanes_ & ((std::uint64_t{1} << first(votes)) - 1));
  }
  [[nodiscard]] NKV_HD std::uint64_t ranks(bool value, std::uint32_t word) const noexcept {
    const std::uint64_t votes = ballot(value);
    if (word != 0) return 0;
    if ((lanes_ & (lanes_ + 1)) == 0) return votes;
    // Lanes with gaps between them: their ranks have none.
    std::uint64_t bits = 0;
    std::uint64_t rest = lanes_;
    for (std::uint32_t rank = 0; rest != 0; ++rank, rest &= rest - 1)
      bits |= (votes & rest & (~rest + 1)) != 0 ? std::uint64_t{1} << rank : 0;
    return bits;
  }
  /// A bit for each lane (not rank) of the group that passes true.
  [[nodiscard]] NKV_HD std::uint64_t ballot(bool value) const noexcept {
    return detail::world::ballot(lanes_, value) & lanes_;
  }

 private:
  friend class block_group;

  /// Of the warp of thread `rank` of a block of `size`; the last may be short.
  NKV_HD static warp_group of_thread(std::uint32_t rank, std::uint32_t size) noexcept {
    constexpr std::uint32_t most = detail::world::lanes_of_warp;
    const std::uint32_t left = size - rank / most * most;
    return warp_group(~std::uint64_t{0} >> (64 - (left < most ? left : most)));
  }
  NKV_HD static std::uint64_t lower() noexcept { return (std::uint64_t{1} << detail::world::lane()) - 1; }
  NKV_HD static std::uint32_t count_of(std::uint64_t bits) noexcept {
    return count_ones(static_cast<std::uint32_t>(bits)) + count_ones(static_cast<std::uint32_t>(bits >> 32));
  }
  NKV_HD static std::uint32_t first(std::uint64_t bits) noexcept {
    const auto low = static_cast<std::uint32_t>(bits);
    return low != 0 ? count_trailing_zeros(low) : 32 + count_trailing_zeros(static_cast<std::uint32_t>(bits >> 32));
  }

  std::uint64_t lanes_;
};
static_assert(group<warp_group>);

/// What the threads of a block say to one another; in shared memory, one for each block_group. Not initialised, which
/// shared memory cannot be; every word is written before it is read.
struct block_group_memory {
  static constexpr std::uint32_t most_warps = 32;
  std::uint32_t word;
  std::uint32_t of_warp[most_warps];
};

/// All threads of a block. On a host, one thread.
class block_group {
 public:
  /// @param memory in the block's shared memory, the same for all its threads; used as long as the group is
  NKV_HD explicit block_group(block_group_memory& memory) noexcept
      : memory_(&memory), rank_(detail::world::thread_in_block()), size_(detail::world::threads_of_block()) {}

  [[nodiscard]] NKV_HD std::uint32_t rank() const noexcept { return rank_; }
  [[nodiscard]] NKV_HD std::uint32_t size() const noexcept { return size_; }
  NKV_HD void sync() const noexcept { detail::world::sync_block(); }
  [[nodiscard]] NKV_HD std::uint32_t broadcast(std::uint32_t value, std::uint32_t from = 0) const noexcept {
    if (rank_ == from) memory_->word = value;
    sync();
    const std::uint32_t out = memory_->word;
    sync();  // nobody writes the next before everybody has read this one
    return out;
  }
  [[nodiscard]] NKV_HD std::uint32_t before(bool value, std::uint32_t& total) const noexcept {
    std::uint32_t in_warp = 0;
    const std::uint32_t below = part().before(value, in_warp);
    return below + before_part(in_warp, total);
  }
  [[nodiscard]] NKV_HD std::uint32_t count(bool value) const noexcept { return count_with<detail::world>(value); }
  /// The warp or wave.
  [[nodiscard]] NKV_HD warp_group part() const noexcept { return warp_group::of_thread(rank_, size_); }
  [[nodiscard]] NKV_HD std::uint32_t before_part(std::uint32_t word, std::uint32_t& total) const noexcept {
    if (part().rank() == 0) memory_->of_warp[warp_index()] = word;
    sync();
    std::uint32_t sum = 0;
    std::uint32_t mine = 0;
    for (std::uint32_t w = 0; w < warps(); ++w) {
      if (w == warp_index()) mine = sum;
      sum += memory_->of_warp[w];
    }
    sync();
    total = sum;
    return mine;
  }
  [[nodiscard]] NKV_HD std::uint32_t lowest(bool value) const noexcept {
    const warp_group warp = part();
    const std::uint32_t in_warp = warp.lowest(value);
    if (warp.rank() == 0)
      memory_->of_warp[warp_index()] =
          in_warp == warp.size() ? size_ : warp_index() * detail::world::lanes_of_warp + in_warp;
    sync();
    std::uint32_t least = size_;
    for (std::uint32_t w = 0; w < warps(); ++w) least = memory_->of_warp[w] < least ? memory_->of_warp[w] : least;
    sync();
    return least;
  }
  [[nodiscard]] NKV_HD std::uint64_t ranks(bool value, std::uint32_t word) const noexcept {
    // A wave of 64 lanes fills two words of 32 bits, a warp of 32 one.
    constexpr std::uint32_t words_each = (detail::world::lanes_of_warp + 31) / 32;
    const warp_group warp = part();
    const std::uint64_t votes = warp.ballot(value);
    if (warp.rank() == 0) {
      memory_->of_warp[warp_index() * words_each] = static_cast<std::uint32_t>(votes);
      if constexpr (words_each == 2)
        memory_->of_warp[warp_index() * words_each + 1] = static_cast<std::uint32_t>(votes >> 32);
    }
    sync();
    const std::uint32_t there = warps() * words_each;
    std::uint64_t bits = 0;
    if (word < (there + 1) / 2) {
      bits = memory_->of_warp[2 * word];
      if (2 * word + 1 < there) bits |= std::uint64_t{memory_->of_warp[2 * word + 1]} << 32;
    }
    sync();
    return bits;
  }

 private:
  /// A template, so that only a world that has count_in_block() is asked for it.
  template <class World>
  NKV_HD std::uint32_t count_with(bool value) const noexcept {
    if constexpr (World::counts_in_block) {
      return World::count_in_block(value);
    } else {
      std::uint32_t total = 0;
      static_cast<void>(before_part(part().count(value), total));
      return total;
    }
  }

  NKV_HD std::uint32_t warp_index() const noexcept { return rank_ / detail::world::lanes_of_warp; }
  NKV_HD std::uint32_t warps() const noexcept {
    return (size_ + detail::world::lanes_of_warp - 1) / detail::world::lanes_of_warp;
  }

  block_group_memory* memory_;
  std::uint32_t rank_;
  std::uint32_t size_;
};
static_assert(group<block_group>);

}  // namespace device
}  // namespace nkv::inline NKV_ABI
