// SPDX-License-Identifier: BSD-3-Clause
#include "served_target.hpp"

#include "failure.hpp"
#include "processors.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace bench {

served_target::served_target(const std::string& program, int processor, const std::vector<std::string>& options) {
  // Short: a socket's path has 107 characters at most.
  std::string name = std::filesystem::temp_directory_path().string() + "/nkv-bench-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw failure(std::string("no folder for a socket: ") + std::strerror(errno));
  folder_ = name;
  endpoint_ = "vfio-user:" + folder_;

  int ready[2] = {-1, -1};
  if (::pipe2(ready, O_CLOEXEC) != 0) throw failure(std::string("pipe: ") + std::strerror(errno));
  std::vector<std::string> words = {program, "--listen", endpoint_, "--log-level", "error", "--ready-fd", "3"};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) _exit(1);
    if (processor >= 0) pin_to(processor);
    // A duplicate stays open over exec; the number itself may be the pipe's already.
    if (ready[1] == 3) {
      ::fcntl(3, F_SETFD, 0);
    } else {
      ::dup2(ready[1], 3);
    }
    ::execvp(argv[0], argv.data());
    _exit(127);
  }
  ::close(ready[1]);
  std::string line;
  std::string error;
  if (process_ < 0) error = std::strerror(errno);
  while (error.empty() && line.find('\n') == std::string::npos) {
    pollfd wanted{ready[0], POLLIN, 0};
    char text[256];
    const ssize_t n = ::poll(&wanted, 1, 60'000) > 0 ? ::read(ready[0], text, sizeof text) : -1;
    if (n < 0) error = "it does not get ready";
    if (n == 0) error = "it ended";
    if (n > 0) line.append(text, static_cast<std::size_t>(n));
  }
  ::close(ready[0]);
  if (error.empty()) return;
  end();
  throw failure(program + ": " + error);
}

served_target::~served_target() { end(); }

void served_target::end() noexcept {
  if (process_ > 0) {
    ::kill(process_, SIGTERM);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
  }
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::string target_program() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = self.parent_path() / "nkv-target";
  return !error && std::filesystem::exists(beside, error) ? beside.string() : "nkv-target";
}

}  // namespace bench
