// SPDX-License-Identifier: BSD-3-Clause
// expect-error: (constraint|doorbell)
#include <nkv/queue/queue_pair_ref.hpp>

struct no_doorbell {
  void ring_sq_tail(std::uint32_t) const noexcept {}
};

#ifdef FAIL
nkv::queue_pair_ref<nkv::exclusive, no_doorbell> queue;
#else
nkv::queue_pair_ref<nkv::exclusive, nkv::mapped_doorbell<>> queue;
#endif
