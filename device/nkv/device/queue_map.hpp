// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/device/world.hpp>
#include <nkv/queue/sharing.hpp>

#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {
namespace device {

/// Where a thread is in its grid: all threads, warps and blocks of the grid counted from 0, each thread of a warp with
/// the warp's number and each of a block with the block's. On a host, 0.
struct grid_place {
  std::uint32_t thread = 0;
  std::uint32_t warp = 0;
  std::uint32_t block = 0;

  /// Of thread `in_block` of block `block`, where blocks have so many threads, and warps so many.
  [[nodiscard]] NKV_HD static constexpr grid_place at(std::uint32_t block, std::uint32_t in_block,
                                                      std::uint32_t block_threads,
                                                      std::uint32_t warp_threads) noexcept {
    // A block begins with a warp of its own.
    const std::uint32_t warps = (block_threads + warp_threads - 1) / warp_threads;
    return {block * block_threads + in_block, block * warps + in_block / warp_threads, block};
  }
  /// Of the thread that asks.
  [[nodiscard]] NKV_HD static grid_place here() noexcept {
    using detail::world;
    return at(world::block_in_grid(), world::thread_in_block(), world::threads_of_block(), world::lanes_of_warp);
  }
};

/// Which of many queues serves whom. Users that follow one another, which are those that run at the same time, have
/// different queues, and no queue has two users more than another.
///
/// Who a user is depends on the kind of queue:
///
/// | kind         | user                                                                | number                |
/// | ------------ | ------------------------------------------------------------------- | --------------------- |
/// | exclusive    | a thread; or a warp or block of which the leader alone sends, with  | grid_place's own; no  |
/// |              | run_together()                                                      | queue has two users   |
/// | block_shared | a block                                                             | grid_place::block; no |
/// |              |                                                                     | queue has two users   |
/// | shared       | a warp, mostly: its lanes ring once, and meet fewer others          | grid_place::warp; as  |
/// |              |                                                                     | many users as come    |
///
/// @param queues as many as there are; their places stay in memory as long as they are used
/// @return the user's queue; null where there are no queues, or fewer than users of a kind that has one user
template <class Namespace>
[[nodiscard]] NKV_HD constexpr const Namespace* queue_of(span<const Namespace> queues, std::uint32_t user) noexcept {
  using sharing = typename Namespace::queue_type::sharing_type;
  const auto count = static_cast<std::uint32_t>(queues.size());
  if (count == 0) return nullptr;
  if constexpr (std::is_same_v<sharing, shared>)
    return &queues[user % count];
  else
    return user < count ? &queues[user] : nullptr;
}

}  // namespace device
}  // namespace nkv::inline NKV_ABI
