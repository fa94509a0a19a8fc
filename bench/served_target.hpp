// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace bench {

/// The program nkv-target as a process of its own, on a processor of its own, with a socket in a folder of its own.
/// It ends with this object, and with this process.
class served_target {
 public:
  /// Starts it and waits until it serves. Throws failure.
  /// @param program   its path
  /// @param processor -1: not pinned
  /// @param options   more of its command line
  served_target(const std::string& program, int processor, const std::vector<std::string>& options);
  served_target(const served_target&) = delete;
  served_target& operator=(const served_target&) = delete;
  ~served_target();

  [[nodiscard]] const std::string& endpoint() const noexcept { return endpoint_; }
  [[nodiscard]] pid_t process() const noexcept { return process_; }

 private:
  void end() noexcept;

  std::string folder_;
  std::string endpoint_;
  pid_t process_ = -1;
};

/// Where nkv-target stands: beside this program, or on the PATH.
[[nodiscard]] std::string target_program();

}  // namespace bench
