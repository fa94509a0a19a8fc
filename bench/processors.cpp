// SPDX-License-Identifier: BSD-3-Clause
#include "processors.hpp"

#include <fmt/format.h>

#include <sched.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace bench {

std::vector<int> allowed_processors() {
  std::vector<int> out;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return out;
  for (std::size_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) out.push_back(static_cast<int>(i));
  return out;
}

bool pin_to(int processor) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(processor), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

std::uint64_t preemptions(pid_t process, pid_t thread) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/status", process, thread));
  constexpr const char* field = "nonvoluntary_ctxt_switches:";
  for (std::string word; file >> word;) {
    if (word != field) continue;
    std::uint64_t count = 0;
    file >> count;
    return count;
  }
  return 0;
}

pid_t thread_named(pid_t process, const std::string& name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error)) {
    std::ifstream file(entry.path() / "comm");
    std::string comm;
    if (std::getline(file, comm) && comm == name) return std::atoi(entry.path().filename().c_str());
  }
  return 0;
}

}  // namespace bench
