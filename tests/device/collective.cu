// SPDX-License-Identifier: BSD-3-Clause
//
// Groups of threads over shared queues, in a kernel's own words. Compiled as CUDA and as HIP, not run.
#include <nkv/device/device.hpp>

#if NKV_CUDA
#define NKV_KERNEL __global__
#define NKV_SHARED __shared__
#else
#define NKV_KERNEL __attribute__((global))
#define NKV_SHARED __attribute__((shared))
#endif

namespace device_test {

struct arguments {
  nkv::span<const nkv::operation> operations{};
  nkv::span<nkv::outcome> outcomes{};
  nkv::span<const nkv::key_view> keys{};
  nkv::span<std::uint64_t> found{};
  nkv::span<nkv::kv_ticket> tickets{};
  nkv::value_ref page{};
  std::byte* local = nullptr;
  unsigned* failures = nullptr;
};

template <class Group, class Namespace>
NKV_HD void together(const Group& threads, const Namespace& ns, const arguments& a) {
  const auto until = nkv::device::deadline::after_ms(1);
  const nkv::operation op = a.operations[threads.rank()];
  const auto ticket = nkv::device::submit_each(threads, ns, op);
  unsigned failures = nkv::device::wait_each(threads, ns, ticket.value_or(nkv::kv_ticket{}), until).ok() ? 0u : 1u;
  failures += nkv::device::run_each(threads, ns, op, until, threads.rank() % 2 == 0).ok() ? 0u : 1u;
  failures += nkv::device::run_together(threads, ns, a.operations[0], until).ok() ? 0u : 1u;
  failures += static_cast<unsigned>(nkv::device::run_all(threads, ns, a.operations, a.outcomes, until));
  failures += static_cast<unsigned>(nkv::device::run_all(
      threads, ns, [&a](std::size_t i) noexcept { return nkv::operation::retrieve(a.keys[i], a.page); }, a.outcomes,
      until));
  failures += nkv::device::longest_prefix(threads, ns, a.keys, until).has_value() ? 0u : 1u;
  failures += nkv::device::exist_all(threads, ns, a.keys, a.found, until).has_value() ? 0u : 1u;
  const auto later = nkv::device::submit_each(threads, ns, op, true, nkv::submit_mode::defer);
  nkv::device::ring(threads, ns);
  failures += nkv::device::poll_each(threads, ns, later.value_or(nkv::kv_ticket{})).ok() ? 0u : 1u;
  failures += nkv::device::wait_any(threads, ns, a.tickets, until).value.ok() ? 0u : 1u;
  if (threads.rank() == 0) *a.failures = failures;
}

/// Pages of keys, and any of many tickets for a thread; the queue is of the many that the grid has.
template <class Group, class Sharing>
NKV_HD void pages(const Group& threads, nkv::span<const nkv::device::namespace_ref<Sharing>> queues, std::uint32_t user,
                  const arguments& a) {
  const auto* const ns = nkv::device::queue_of(queues, user);
  if (ns == nullptr) return;
  const auto until = nkv::device::deadline::after_ms(1);
  unsigned failures = 0;
  const auto each = [&failures](nkv::key_view k) noexcept { return k.empty() || ++failures < 100; };
  failures += nkv::device::for_each_key(threads, *ns, a.keys[0], a.page, a.local, until, each).ok() ? 0u : 1u;
  const auto op = nkv::operation::execute(1, a.keys[0], a.page, a.local, 0, 8);
  failures += nkv::device::run_together(threads, *ns, op, until).ok() ? 0u : 1u;
  if (threads.rank() != 0) return;
  failures += nkv::wait_any(*ns, a.tickets, until).value.ok() ? 0u : 1u;
  *a.failures = failures;
}

}  // namespace device_test

NKV_KERNEL void pages_warp(nkv::span<const nkv::device::namespace_ref<nkv::shared>> queues, device_test::arguments a) {
  device_test::pages(nkv::device::warp_group::whole(), queues, nkv::device::grid_place::here().warp, a);
}
NKV_KERNEL void pages_block(nkv::span<const nkv::device::namespace_ref<nkv::block_shared>> queues,
                            device_test::arguments a) {
  NKV_SHARED nkv::device::block_group_memory memory;
  device_test::pages(nkv::device::block_group(memory), queues, nkv::device::grid_place::here().block, a);
}
NKV_KERNEL void pages_thread(nkv::span<const nkv::device::namespace_ref<nkv::exclusive>> queues,
                             device_test::arguments a) {
  device_test::pages(nkv::device::thread_group(), queues, nkv::device::grid_place::here().thread, a);
}
NKV_KERNEL void warp_shared(nkv::device::namespace_ref<nkv::shared> ns, device_test::arguments a) {
  device_test::together(nkv::device::warp_group::whole(), ns, a);
}
NKV_KERNEL void thread_bar(nkv::device::namespace_ref<nkv::shared, nkv::device::bar_doorbell> ns,
                           device_test::arguments a) {
  device_test::together(nkv::device::thread_group(), ns, a);
}
NKV_KERNEL void block_block(nkv::device::namespace_ref<nkv::block_shared> ns, device_test::arguments a) {
  NKV_SHARED nkv::device::block_group_memory memory;
  device_test::together(nkv::device::block_group(memory), ns, a);
}
NKV_KERNEL void plain_exclusive(
    nkv::device::namespace_ref<nkv::exclusive, nkv::device::bar_doorbell, nkv::plain_commands> ns,
    device_test::arguments a) {
  *a.failures = ns.run(a.operations[0], nkv::device::deadline::after_ms(1)).ok() ? 0u : 1u;
}
