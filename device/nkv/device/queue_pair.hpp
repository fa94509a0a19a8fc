// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/client/namespace_ref.hpp>
#include <nkv/device/atomics.hpp>
#include <nkv/device/doorbell.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/sharing.hpp>

namespace nkv::inline NKV_ABI {
namespace device {

/// A queue pair as device code uses it.
/// @tparam Sharing  exclusive (a thread's own), block_shared (the threads of one block), shared (the whole grid)
/// @tparam Doorbell shared_doorbell or bar_doorbell
template <class Sharing, doorbell Doorbell = shared_doorbell>
using queue_pair_ref = nkv::queue_pair_ref<Sharing, Doorbell, atomics>;

/// A KV namespace over such a queue: what is passed to a kernel by value.
template <class Sharing, doorbell Doorbell = shared_doorbell, class Commands = all_commands>
using namespace_ref = nkv::namespace_ref<queue_pair_ref<Sharing, Doorbell>, Commands>;

}  // namespace device
}  // namespace nkv::inline NKV_ABI
