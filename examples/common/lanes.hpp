// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A kernel's job without a GPU: host threads as the lanes of its warps.
#include <nkv/device/host_group.hpp>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace example {

/// Calls `job(warp, index, warps)` on every lane of every warp, and waits for the last.
template <class Job>
void run_on_lanes(const Job& job, std::uint32_t warps, std::uint32_t lanes) {
  std::vector<std::unique_ptr<nkv::device::host_lanes>> all;
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < warps; ++w) {
    nkv::device::host_lanes& warp = *all.emplace_back(std::make_unique<nkv::device::host_lanes>(lanes));
    for (std::uint32_t l = 0; l < lanes; ++l)
      threads.emplace_back([&, w, l] { job(nkv::device::host_group(warp, l), w, warps); });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace example
