// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/scope.hpp>

namespace nkv::inline NKV_ABI {

/// One thread at a time uses the queue: all bookkeeping is plain counters.
struct exclusive {
  static constexpr bool is_shared = false;
  static constexpr auto state_scope = thread_scope;
};

/// Any number of threads of one block of a kernel use the queue at once: as `shared`, at the price of the block's
/// scope.
struct block_shared {
  static constexpr bool is_shared = true;
  static constexpr auto state_scope = block_scope;
};

/// Any number of threads of one device (or of one host process) use the queue at once, without a mutex.
struct shared {
  static constexpr bool is_shared = true;
  static constexpr auto state_scope = device_scope;
};

}  // namespace nkv::inline NKV_ABI
