// SPDX-License-Identifier: BSD-3-Clause
//
// Kernels that use the client as it is, to be run by the interpreter against a model controller.
#include "client.hpp"

namespace {

struct timer_clock {
  NKV_HD static std::uint64_t now_ns() noexcept {
#if NKV_ON_CUDA
    std::uint64_t ns;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
    return ns;
#else
    return 0;
#endif
  }
  NKV_HD static void relax(std::uint32_t) noexcept {
#if NKV_ON_CUDA
    asm volatile("nanosleep.u32 32;");
#endif
  }
};

template <class Sharing>
using ref = nkv::namespace_ref<nkv::queue_pair_ref<Sharing, nkv::mapped_doorbell<>>>;

template <class Sharing>
__device__ void store_and_retrieve(const ref<Sharing>& ns, const nkv_test::client_job& job) {
  const std::uint32_t me = blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t words = job.value_bytes / 4;
  std::uint32_t* value = job.values + static_cast<std::size_t>(me) * words;
  const nkv::value_ref memory{reinterpret_cast<std::uint64_t>(value), job.value_bytes, 0};
  std::byte key[16] = {};
  const auto set_key = [&](std::uint32_t n) {
    for (int i = 0; i < 4; ++i) key[i] = static_cast<std::byte>(me >> (8 * i));
    for (int i = 0; i < 4; ++i) key[4 + i] = static_cast<std::byte>(n >> (8 * i));
    key[15] = std::byte{0x77};
  };
  std::uint32_t failure = 0;
  std::uint32_t raw = 0;
  const auto fail = [&](std::uint32_t what, nkv::status s) {
    if (failure != 0) return;
    failure = what;
    raw = static_cast<std::uint32_t>(s.sct()) << 8 | s.sc();
  };
  for (std::uint32_t n = 0; n < job.per_thread; ++n) {
    set_key(n);
    for (std::uint32_t w = 0; w < words; ++w) value[w] = (me << 20) + (n << 10) + w;
    const auto until = nkv::deadline<timer_clock>::after_ns(job.timeout_ns);
    const nkv::outcome o = ns.store(nkv::key_view{key, sizeof key}, memory, until);
    if (!o.status.ok()) fail(1, o.status);
  }
  for (std::uint32_t n = 0; n < job.per_thread; ++n) {
    set_key(n);
    for (std::uint32_t w = 0; w < words; ++w) value[w] = 0;
    const auto until = nkv::deadline<timer_clock>::after_ns(job.timeout_ns);
    const nkv::outcome o = ns.retrieve(nkv::key_view{key, sizeof key}, memory, until);
    if (!o.status.ok()) fail(2, o.status);
    if (o.length_bytes != job.value_bytes) fail(3, o.status);
    for (std::uint32_t w = 0; w < words; ++w) {
      if (value[w] != (me << 20) + (n << 10) + w) fail(4, o.status);
    }
  }
  job.failures[me] = failure;
  job.statuses[me] = raw;
}

template <class Sharing>
__device__ void retrieve_again(const ref<Sharing>& ns, const nkv_test::cost_job& job) {
  const auto until = nkv::deadline<timer_clock>::after_ms(1000);
  const nkv::value_ref memory{job.value, job.value_bytes, 0};
  std::uint32_t failures = 0;
  for (std::uint32_t n = 0; n < job.times; ++n) {
    if (!ns.retrieve(nkv::key_view{job.key, 16}, memory, until).status.ok()) ++failures;
  }
  *job.failures = failures;
}

}  // namespace

/// One queue a thread.
extern "C" __global__ void client_exclusive(const ref<nkv::exclusive>* refs, nkv_test::client_job job) {
  store_and_retrieve(refs[blockIdx.x * blockDim.x + threadIdx.x], job);
}
/// One queue for all.
extern "C" __global__ void client_shared(ref<nkv::shared> ns, nkv_test::client_job job) { store_and_retrieve(ns, job); }
extern "C" __global__ void cost_exclusive(ref<nkv::exclusive> ns, nkv_test::cost_job job) { retrieve_again(ns, job); }
extern "C" __global__ void cost_shared(ref<nkv::shared> ns, nkv_test::cost_job job) { retrieve_again(ns, job); }
