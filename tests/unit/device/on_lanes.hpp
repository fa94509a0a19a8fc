// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/device/host_group.hpp>

#include <cstdint>
#include <thread>
#include <vector>

namespace nkv_test {

/// Runs `lane(group)` on that many threads and waits for them.
template <class Lane>
void on_lanes(std::uint32_t count, const Lane& lane) {
  nkv::device::host_lanes lanes(count);
  std::vector<std::thread> threads;
  for (std::uint32_t rank = 0; rank < count; ++rank)
    threads.emplace_back([&, rank] { lane(nkv::device::host_group(lanes, rank)); });
  for (std::thread& t : threads) t.join();
}

}  // namespace nkv_test
