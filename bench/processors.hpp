// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// The processors that this thread may run on.
[[nodiscard]] std::vector<int> allowed_processors();

/// Keeps the calling thread, and what it starts from then on, on one processor. @return whether that was granted
bool pin_to(int processor) noexcept;

/// How often the kernel has taken the processor from a thread that wanted to go on; 0 where that is not known.
[[nodiscard]] std::uint64_t preemptions(pid_t process, pid_t thread);

/// The thread of a process that has this name; 0 where there is none.
[[nodiscard]] pid_t thread_named(pid_t process, const std::string& name);

}  // namespace bench
