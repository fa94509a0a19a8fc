// SPDX-License-Identifier: BSD-3-Clause
//
// The sharded writer and reader from a kernel, over a shared queue, by a thread and by a warp. Compiled as CUDA and as
// HIP, not run.
#include <nkv/device/device.hpp>

#if NKV_CUDA
#define NKV_KERNEL __global__
#else
#define NKV_KERNEL __attribute__((global))
#endif

namespace device_test {

struct ticking_clock {
  NKV_HD static std::uint64_t now_ns() noexcept { return 0; }
  NKV_HD static void relax(std::uint32_t) noexcept {}
};

using queue = nkv::queue_pair_ref<nkv::shared, nkv::mapped_doorbell<>>;

/// Passed to a kernel by value.
static_assert(std::is_trivially_copyable_v<nkv::sharded_writer_memory> &&
              std::is_trivially_copyable_v<nkv::sharded_reader_memory> &&
              std::is_trivially_copyable_v<nkv::sharded_writer<queue>> &&
              std::is_trivially_copyable_v<nkv::sharded_reader<queue>>);

}  // namespace device_test

NKV_KERNEL void kernel_sharded(nkv::namespace_ref<device_test::queue> ns, nkv::sharded_writer_memory writer_memory,
                               nkv::sharded_reader_memory reader_memory, nkv::local_range<const std::byte> source,
                               nkv::local_range<std::byte> destination, unsigned* failures) {
  const auto until = nkv::deadline<device_test::ticking_clock>::after_ms(1);
  const nkv::key_view key{source.local, 16};
  nkv::sharded_writer<device_test::queue> writer(ns, writer_memory);
  nkv::sharded_put_options options;
  options.nonce = nkv::shard_nonce::from_words(1, 2);
  unsigned failed = 0;
  failed += writer.put(key, {&source, 1}, options, until).ok() ? 0u : 1u;
  failed += writer.remove(key, until).ok() ? 0u : 1u;
  failed += writer.sweep(key, {options.nonce, 3}, until).ok() ? 0u : 1u;
  writer.cancel();
  failed += writer.quiesced() ? 0u : 1u;

  nkv::sharded_reader<device_test::queue> reader(ns, reader_memory);
  failed += reader.open(key, until).ok() ? 0u : 1u;
  failed += reader.read(5, {&destination, 1}, until).ok() ? 0u : 1u;
  reader.cancel();

  // What lanes that share one object do, each for a shard or a block of its own.
  const nkv::shard_keys keys(key, options.nonce);
  const nkv::shard_key shard = keys.of(1);
  const std::uint64_t leaf = nkv::shard_checksum::leaf({source.local, 100}, shard.seed());
  nkv::shard_manifest::write_entry(destination.local, 1,
                                   nkv::shard_checksum::join(nkv::span<const std::uint64_t>(&leaf, 1), shard.seed()));
  *failures = failed;
}

/// The same by a warp.
NKV_KERNEL void kernel_team(nkv::namespace_ref<device_test::queue> ns, nkv::sharded_writer_memory writer_memory,
                            nkv::sharded_reader_memory reader_memory, nkv::local_range<const std::byte> source,
                            nkv::local_range<std::byte> destination, unsigned* failures) {
  const auto until = nkv::device::deadline::after_ms(1);
  const nkv::key_view key{source.local, 16};
  const nkv::device::shard_team team(nkv::device::warp_group::whole());
  nkv::shard_slot slots[2];
  writer_memory.slots = slots;
  nkv::sharded_writer writer(ns, writer_memory, team);
  nkv::sharded_put_options options;
  options.nonce = nkv::shard_nonce::from_words(1, 2);
  unsigned failed = writer.put(key, {&source, 1}, options, until).ok() ? 0u : 1u;
  reader_memory.slots = slots;
  nkv::sharded_reader reader(ns, reader_memory, team);
  failed += reader.open(key, until).ok() ? 0u : 1u;
  failed += reader.read(5, {&destination, 1}, until).ok() ? 0u : 1u;
  if (team.leads()) *failures = failed;
}
