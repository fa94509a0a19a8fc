// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/device/device.hpp>

#include <cstddef>
#include <cstdint>

namespace bench {

template <class Sharing, class Doorbell = nkv::device::shared_doorbell>
using cost_namespace = nkv::device::namespace_ref<Sharing, Doorbell, nkv::plain_commands>;

/// All that the operations of a thread came to.
struct cost_sum {
  std::uint32_t status_bits = 0;
  std::uint64_t length_bytes = 0;
};

/// What each thread of a measuring kernel does: the same operation with its own key, `rounds` times. In device memory.
struct cost_job {
  std::uint32_t rounds = 0;
  std::uint32_t value_bytes = 0;
  std::uint64_t timeout_ns = 0;
  const std::byte* keys = nullptr;  ///< 16 bytes of each thread
  std::byte* buffers = nullptr;     ///< value_bytes of each thread
  cost_sum* sums = nullptr;         ///< of each thread
};

/// An exclusive queue's rings without the table of its CIDs: for an operation that leaves steps out.
struct cost_rings {
  cost_namespace<nkv::exclusive> ns{};
  nkv::submission_queue<nkv::exclusive, nkv::device::atomics> sq{};
  nkv::completion_queue<nkv::exclusive, nkv::device::atomics> cq{};
  nkv::device::shared_doorbell doorbell{};
};

}  // namespace bench
