// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/clock.hpp>

#include <time.h>

#include <mutex>

namespace nkv::inline NKV_ABI {
namespace host {

/// Holds a mutex for a scope, or does not, where it was not free by a deadline. For slow paths: it looks again and
/// again (a timed mutex would do, but ThreadSanitizer of the compilers in use does not know its clocked lock).
class deadline_lock {
 public:
  /// @param wanted false: does not even try
  deadline_lock(std::mutex& mutex, deadline until, bool wanted = true) noexcept : mutex_(mutex) {
    if (!wanted) return;
    for (std::uint32_t tries = 0; !(held_ = mutex_.try_lock()); ++tries) {
      if (until.expired()) return;
      if (tries < tries_before_sleep) {
        steady_clock::relax(tries);
      } else {
        const timespec pause{0, retry_ns};
        ::nanosleep(&pause, nullptr);
      }
    }
  }
  deadline_lock(const deadline_lock&) = delete;
  deadline_lock& operator=(const deadline_lock&) = delete;
  ~deadline_lock() {
    if (held_) mutex_.unlock();
  }

  [[nodiscard]] explicit operator bool() const noexcept { return held_; }

 private:
  static constexpr std::uint32_t tries_before_sleep = 1000;
  static constexpr long retry_ns = 20'000;

  std::mutex& mutex_;
  bool held_ = false;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
