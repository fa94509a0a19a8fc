// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace bench {

struct syscall_counts {
  std::uint64_t yields = 0;  ///< sched_yield: waiting, not work
  std::uint64_t wakes = 0;   ///< write of 8 bytes, as an eventfd takes them: a target that sleeps is woken
  std::uint64_t others = 0;
};

/// Counts the system calls of this process's threads, whatever library or instruction makes them: a child process
/// traces the thread for as long as it is counted. Between the calls the thread runs as ever.
class syscall_counter {
 public:
  /// Best made before the process has threads.
  syscall_counter();
  syscall_counter(const syscall_counter&) = delete;
  syscall_counter& operator=(const syscall_counter&) = delete;
  ~syscall_counter();

  /// Makes the child trace the calling thread. @return false where it may not; why() says the reason
  bool attach();
  /// Counting begins and ends at these calls, made by the thread that attach() was called on.
  static void begin() noexcept;
  static void end() noexcept;
  /// After end(): what was counted, and the thread is not traced any more.
  [[nodiscard]] syscall_counts detach();

  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  pid_t tracer_ = -1;
  int requests_ = -1;
  int answers_ = -1;
  std::string why_;
};

}  // namespace bench
