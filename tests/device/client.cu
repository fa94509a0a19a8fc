// SPDX-License-Identifier: BSD-3-Clause
//
// Every operation of the client from a kernel, over exclusive and shared queues: a template says nothing about a device
// before it is instantiated for one. Compiled as CUDA and as HIP, not run.
#include <nkv/nkv.hpp>

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

template <class Sharing>
using queue = nkv::queue_pair_ref<Sharing, nkv::mapped_doorbell<>>;
template <class Sharing>
using ref = nkv::namespace_ref<queue<Sharing>>;

/// Passed to a kernel by value, so a plain value it must be.
template <class T>
constexpr bool passes_by_value = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;
static_assert(passes_by_value<queue<nkv::exclusive>> && passes_by_value<queue<nkv::shared>>);
static_assert(passes_by_value<ref<nkv::exclusive>> && passes_by_value<ref<nkv::shared>>);

struct arguments {
  const std::byte* key = nullptr;
  std::size_t key_bytes = 0;
  nkv::value_ref value{};
  std::byte* local = nullptr;
  std::uint64_t* found = nullptr;
  unsigned* failures = nullptr;
};

template <class Sharing>
NKV_HD void every_operation(const ref<Sharing>& ns, const arguments& a) {
  const auto until = nkv::deadline<ticking_clock>::after_ms(1);
  const nkv::key_view key{a.key, a.key_bytes};
  unsigned failures = 0;
  failures += ns.store(key, a.value, until).status.ok() ? 0u : 1u;
  failures += ns.retrieve(key, a.value, until).status.ok() ? 0u : 1u;
  failures += ns.exist(key, until).status.ok() ? 0u : 1u;
  failures += ns.remove(key, until).status.ok() ? 0u : 1u;
  failures += ns.list(key, a.value, a.local, until).status.ok() ? 0u : 1u;
  failures += ns.execute(1, key, a.value, a.local, 0, 8, until).status.ok() ? 0u : 1u;
  failures +=
      ns.for_each_key(key, a.value, a.local, until, [](nkv::key_view k) { return !k.empty(); }).status.ok() ? 0u : 1u;

  const nkv::key_view keys[2] = {key, key};
  failures +=
      ns.exist(nkv::span<const nkv::key_view>(keys), nkv::span<std::uint64_t>(a.found, 1), until).ok() ? 0u : 1u;
  failures += ns.longest_prefix(nkv::span<const nkv::key_view>(keys), until).has_value() ? 0u : 1u;

  const auto ticket = ns.submit(nkv::operation::retrieve(key, a.value), nkv::submit_mode::defer);
  ns.ring();
  if (ticket) {
    failures += ns.poll(*ticket).status.ok() ? 0u : 1u;
    failures += ns.wait(*ticket, until).status.ok() ? 0u : 1u;
    failures += ns.cancel(*ticket).ok() ? 0u : 1u;
    failures += ns.quiesced(*ticket) ? 0u : 1u;
  }

  const nkv::operation operations[2] = {nkv::operation::store(key, a.value), nkv::operation::remove(key)};
  nkv::batch_entry entries[2];
  nkv::batch<queue<Sharing>> batch(ns, nkv::span<const nkv::operation>(operations),
                                   nkv::span<nkv::batch_entry>(entries));
  failures += batch.submit().ok() ? 0u : 1u;
  failures += batch.wait(until).ok() ? 0u : 1u;
  batch.cancel();
  *a.failures = failures;
}

}  // namespace device_test

NKV_KERNEL void kernel_exclusive(device_test::ref<nkv::exclusive> ns, device_test::arguments a) {
  device_test::every_operation(ns, a);
}
NKV_KERNEL void kernel_shared(device_test::ref<nkv::shared> ns, device_test::arguments a) {
  device_test::every_operation(ns, a);
}
