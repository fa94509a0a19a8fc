// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "failure.hpp"
#include "spine_load.hpp"
#include "statistics.hpp"
#include "tick_clock.hpp"

#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/kv/key.hpp>

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// What a target that has nothing to do costs, and what the first operation after that does.
struct idle_cost {
  std::string transport;
  double processor_percent = 0;  ///< of one processor, the whole target process, a client connected
  double first_p50_ns = 0;
  double first_p99_ns = 0;
  unsigned firsts = 0;
};

/// Leaves the target alone for `idle_ms`, then `firsts` times for `pause_us` before one Exist.
/// @param far_process the target's, or 0 where it has none of its own: its time is then not known
template <class NamespaceRef>
[[nodiscard]] idle_cost measure_idle(const NamespaceRef& ns, const tick_clock& clock, pid_t far_process,
                                     unsigned firsts, unsigned pause_us, unsigned idle_ms) {
  const auto nap = [](std::uint64_t us) {
    const timespec t{static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000 * 1000)};
    ::nanosleep(&t, nullptr);
  };
  const auto used_ns = [](clockid_t of) {
    timespec t{};
    if (::clock_gettime(of, &t) != 0) throw failure("the target's processor time cannot be read");
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
  };
  idle_cost out;
  out.firsts = firsts;
  const made_key bytes(0, 1);
  const nkv::operation exist =
      nkv::operation::exist({reinterpret_cast<const std::byte*>(bytes.words), sizeof bytes.words});
  std::vector<std::uint32_t> latencies;
  latencies.reserve(firsts);
  for (unsigned i = 0; i < firsts; ++i) {
    nap(pause_us);
    const auto until = nkv::host::deadline::after_ms(10'000);
    const std::uint64_t start = tick_clock::now();
    const nkv::outcome o = ns.run(exist, until);
    latencies.push_back(static_cast<std::uint32_t>(tick_clock::now() - start));
    if (!o.ok() && !o.status.is_key_does_not_exist()) throw failure("an Exist after a pause", o.status);
  }
  out.first_p50_ns = clock.ns(percentile(latencies, 50));
  out.first_p99_ns = clock.ns(percentile(latencies, 99));
  if (clockid_t of = 0; far_process != 0 && ::clock_getcpuclockid(far_process, &of) == 0) {
    nap(pause_us);
    const double before = used_ns(of);
    const std::uint64_t begin = nkv::host::steady_clock::now_ns();
    nap(idle_ms * 1000ull);
    const auto passed = static_cast<double>(nkv::host::steady_clock::now_ns() - begin);
    out.processor_percent = (used_ns(of) - before) / passed * 100;
  }
  return out;
}

}  // namespace bench
