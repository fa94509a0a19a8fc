// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

namespace nkv::inline NKV_ABI {

/// Who must see a memory access in order: the calling thread alone, its block, its device, or every agent of the
/// machine (other processes, NVMe controllers and NICs included). A host has no smaller scope than `system`.
enum class scope : unsigned char { thread, block, device, system };

/// A scope as a type, so that it is an ordinary argument at the call: `Atomics::load_acquire(p, system_scope)`.
template <scope S>
struct scope_constant {
  static constexpr scope value = S;
};

inline constexpr scope_constant<scope::thread> thread_scope{};
inline constexpr scope_constant<scope::block> block_scope{};
inline constexpr scope_constant<scope::device> device_scope{};
inline constexpr scope_constant<scope::system> system_scope{};

}  // namespace nkv::inline NKV_ABI
