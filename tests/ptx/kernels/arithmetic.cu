// SPDX-License-Identifier: BSD-3-Clause
//
// Kernels whose results are known otherwise: from the same function compiled for the host, or in closed form.
#include "arithmetic.hpp"

/// out[i] = arithmetic(i % operations, three numbers of i's).
extern "C" __global__ void compute(const std::uint64_t* numbers, std::uint64_t* out, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const std::uint64_t* n = numbers + 3 * (i / nkv_test::arithmetic_operations);
  out[i] = nkv_test::arithmetic(i % nkv_test::arithmetic_operations, n[0], n[1], n[2]);
}

/// What the device alone has: out[0] a sum over all threads by warps, out[1] the number of odd ones, out[2] tickets,
/// out[3] threads that found their own bit right, out[4] the highest bits.
extern "C" __global__ void together(unsigned* out) {
  __shared__ unsigned sums[32];
  const unsigned me = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned lane = threadIdx.x % 32;
  unsigned sum = me;
  for (unsigned by = 16; by != 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
  if (lane == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned all = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) all += sums[w];
    atomicAdd(out, all);
  }
  const unsigned odd = __ballot_sync(0xffffffffu, me % 2 == 1);
  if (lane == 0) atomicAdd(out + 1, static_cast<unsigned>(__popc(odd)));
  // Lanes with one remainder agree on a leader, who takes tickets for all of them.
  const unsigned same = __match_any_sync(0xffffffffu, me % 5);
  const int leader = __ffs(static_cast<int>(same)) - 1;
  if (static_cast<int>(lane) == leader) atomicAdd(out + 2, static_cast<unsigned>(__popc(same)));
  __syncwarp(same);
  const unsigned first = __shfl_sync(same, lane, leader);
  if ((same >> lane & 1u) != 0 && first == static_cast<unsigned>(leader)) atomicInc(out + 3, 0xffffffffu);
  if (__syncthreads_count(me % 3 == 0) == static_cast<int>((blockDim.x + 2 - (blockIdx.x * blockDim.x) % 3) / 3))
    atomicMax(out + 4, me | static_cast<unsigned>(__clz(static_cast<int>(me | 1))) << 16);
}
