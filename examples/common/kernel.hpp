// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the device side of an example needs beside nkv itself. An example's work is a struct with an operator() for one
// warp: kernel code where nvcc or hipcc compiles it, and a call by host threads that act as the warp's lanes elsewhere.
#include <nkv/device/device.hpp>

#include <cstdint>

#if NKV_CUDA
#define EXAMPLE_KERNEL extern "C" __global__
#else
#define EXAMPLE_KERNEL extern "C" __attribute__((global))
#endif

namespace example {

/// A namespace as a kernel has it: one queue for the whole grid, doorbells in memory.
template <class Commands>
using kernel_namespace = nkv::device::namespace_ref<nkv::shared, nkv::device::shared_doorbell, Commands>;

/// Which block of the grid this is. A block is one warp here.
NKV_HD inline std::uint32_t block_index() noexcept {
#if NKV_ON_CUDA
  return blockIdx.x;
#elif NKV_ON_HIP
  return __builtin_amdgcn_workgroup_id_x();
#else
  return 0;
#endif
}

/// The word at `index` of the value that belongs to `seed`: the same on the host, which stores it, and in a kernel,
/// which checks it.
NKV_HD inline std::uint32_t pattern(std::uint32_t seed, std::uint32_t index) noexcept {
  std::uint32_t x = seed * 0x9e3779b9u + index * 0x85ebca6bu + 1;
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  return x;
}

}  // namespace example
