// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/device/device.hpp>

using blocks = nkv::device::namespace_ref<nkv::shared, nkv::device::shared_doorbell, nkv::plain_commands>;

__global__ void fetch(blocks ns, const nkv::lineage_hash* hashes, std::uint64_t address, std::uint32_t block_bytes,
                      std::uint32_t count, unsigned* missing) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const nkv::device::warp_group warp;
  const bool mine = i < count;
  const nkv::key_view key = mine ? hashes[i].view() : nkv::key_view();
  const nkv::value_ref value{address + std::uint64_t{i} * block_bytes, block_bytes, 0};
  const auto o =
      nkv::device::run_each(warp, ns, nkv::operation::retrieve(key, value), nkv::device::deadline::after_ms(100), mine);
  if (mine && !o.ok()) atomicAdd(missing, 1u);
}
