// SPDX-License-Identifier: BSD-3-Clause
//
// The hot paths of a kernel, a kernel each, for instructions.py: what its name says is what is in it.
#include <nkv/device/device.hpp>

#if NKV_CUDA
#define NKV_KERNEL extern "C" __global__
#else
#define NKV_KERNEL extern "C" __attribute__((global))
#endif

namespace device_test {

template <class Sharing, class Doorbell>
using ref = nkv::device::namespace_ref<Sharing, Doorbell, nkv::plain_commands>;

struct arguments {
  const std::byte* key = nullptr;
  nkv::value_ref value{};
  std::uint64_t until_ns = 0;
  std::uint64_t* length_bytes = nullptr;
  nkv::kv_ticket* ticket = nullptr;
};

template <class Sharing, class Doorbell>
NKV_HD void retrieve(const ref<Sharing, Doorbell>& ns, const arguments& a) {
  const nkv::outcome o = ns.retrieve({a.key, 16}, a.value, nkv::device::deadline(a.until_ns));
  *a.length_bytes = o.ok() ? o.length_bytes : ~std::uint64_t{0};
}

template <class Sharing, class Doorbell>
NKV_HD void send(const ref<Sharing, Doorbell>& ns, const arguments& a) {
  if (const auto ticket = ns.submit(nkv::operation::retrieve({a.key, 16}, a.value))) *a.ticket = *ticket;
}

template <class Sharing, class Doorbell>
NKV_HD void wait(const ref<Sharing, Doorbell>& ns, const arguments& a) {
  const nkv::outcome o = ns.wait(*a.ticket, nkv::device::deadline(a.until_ns));
  *a.length_bytes = o.ok() ? o.length_bytes : ~std::uint64_t{0};
}

using exclusive_memory = ref<nkv::exclusive, nkv::device::shared_doorbell>;
using exclusive_bar = ref<nkv::exclusive, nkv::device::bar_doorbell>;
using shared_memory = ref<nkv::shared, nkv::device::shared_doorbell>;
using shared_bar = ref<nkv::shared, nkv::device::bar_doorbell>;

}  // namespace device_test

NKV_KERNEL void send_exclusive_memory(device_test::exclusive_memory ns, device_test::arguments a) {
  device_test::send(ns, a);
}
NKV_KERNEL void send_exclusive_bar(device_test::exclusive_bar ns, device_test::arguments a) {
  device_test::send(ns, a);
}
NKV_KERNEL void send_shared_memory(device_test::shared_memory ns, device_test::arguments a) {
  device_test::send(ns, a);
}
NKV_KERNEL void send_shared_bar(device_test::shared_bar ns, device_test::arguments a) { device_test::send(ns, a); }
NKV_KERNEL void wait_exclusive_bar(device_test::exclusive_bar ns, device_test::arguments a) {
  device_test::wait(ns, a);
}
NKV_KERNEL void wait_shared_memory(device_test::shared_memory ns, device_test::arguments a) {
  device_test::wait(ns, a);
}
NKV_KERNEL void retrieve_exclusive_memory(device_test::exclusive_memory ns, device_test::arguments a) {
  device_test::retrieve(ns, a);
}
NKV_KERNEL void retrieve_exclusive_bar(device_test::exclusive_bar ns, device_test::arguments a) {
  device_test::retrieve(ns, a);
}
NKV_KERNEL void retrieve_shared_memory(device_test::shared_memory ns, device_test::arguments a) {
  device_test::retrieve(ns, a);
}
NKV_KERNEL void retrieve_shared_bar(device_test::shared_bar ns, device_test::arguments a) {
  device_test::retrieve(ns, a);
}
