// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/temporary_folder.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

/// A target in a process of its own, a program that says `ready` when it serves and ends with its standard input. It
/// ends with this object, and with this process. It runs under the emulator that NKV_EMULATOR names, words with blanks
/// between them, if this does: nothing but the kernel's binfmt would find it out, and few machines have that set.
class target_process {
 public:
  target_process() = default;
  target_process(const target_process&) = delete;
  target_process& operator=(const target_process&) = delete;
  ~target_process() { end(SIGKILL); }

  /// Starts the program, and waits until it serves.
  /// @return what went wrong; empty for nothing
  std::string start(const std::string& program, const std::vector<std::string>& arguments) {
    int out[2] = {-1, -1};
    int in[2] = {-1, -1};
    if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(in, O_CLOEXEC) != 0)
      return std::string("pipe: ") + std::strerror(errno);
    std::vector<std::string> words;
    if (const char* const emulator = std::getenv("NKV_EMULATOR")) {
      std::istringstream all(emulator);
      for (std::string word; all >> word;) words.push_back(word);
    }
    words.push_back(program);
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execvp(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    stdin_ = in[1];
    const std::string error = pid_ < 0 ? std::string("fork: ") + std::strerror(errno) : wait_until_ready(out[0]);
    ::close(out[0]);
    if (!error.empty()) end(SIGKILL);
    return error;
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Stops it. On return no thread of it runs.
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    while (::waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
  }
  /// Lets it go on.
  void go_on() const { ::kill(pid_, SIGCONT); }
  /// Ends it by `number`, and waits for that.
  void end(int number) {
    if (pid_ > 0) {
      ::kill(pid_, number);
      if (number != SIGKILL) ::kill(pid_, SIGCONT);
      int status = 0;
      while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      }
      exit_status_ = status;
      pid_ = -1;
    }
    if (stdin_ >= 0) ::close(std::exchange(stdin_, -1));
  }
  /// Lets it end by itself, its standard input closed. @return as of waitpid()
  int finish() {
    if (stdin_ >= 0) ::close(std::exchange(stdin_, -1));
    while (pid_ > 0 && ::waitpid(pid_, &exit_status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return exit_status_;
  }

 private:
  static std::string wait_until_ready(int fd) {
    std::string line;
    for (;;) {
      pollfd wanted{fd, POLLIN, 0};
      if (::poll(&wanted, 1, 60'000) <= 0) return "the target's process does not get ready";
      char text[256];
      const ssize_t n = ::read(fd, text, sizeof text);
      if (n <= 0) return "the target's process ended: " + line;
      line.append(text, static_cast<std::size_t>(n));
      if (line.find('\n') != std::string::npos) return line == "ready\n" ? std::string() : line;
    }
  }

  pid_t pid_ = -1;
  int stdin_ = -1;
  int exit_status_ = 0;
};

}  // namespace nkv_test
