// SPDX-License-Identifier: BSD-3-Clause
#include "syscall_counter.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bench {

namespace {

// Harmless calls that nobody else makes: getpgid of processes that cannot be.
constexpr long begin_mark = 0x7eaf'0001;
constexpr long end_mark = 0x7eaf'0002;

struct answer {
  int error = 0;
  syscall_counts counts;
};

/// The tracer, in the child: counts one thread until its end mark.
answer trace(pid_t thread, int attached_fd) {
  answer out;
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD)) != 0) {
    out.error = errno;
    return out;
  }
  if (::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) {
    out.error = errno;
    ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
    return out;
  }
  bool told = false;
  bool counting = false;
  for (;;) {
    int state = 0;
    if (::waitpid(thread, &state, __WALL) != thread || !WIFSTOPPED(state)) {
      out.error = ESRCH;
      return out;
    }
    std::uintptr_t pass_on = 0;
    if (WSTOPSIG(state) == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, reinterpret_cast<void*>(sizeof info), &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        const auto number = static_cast<long>(info.entry.nr);
        const bool mark = number == SYS_getpgid;
        if (mark && static_cast<long>(info.entry.args[0]) == end_mark) {
          ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
          return out;
        }
        if (mark && static_cast<long>(info.entry.args[0]) == begin_mark) {
          counting = true;
        } else if (counting) {
          const bool wake = number == SYS_write && info.entry.args[2] == 8;
          ++(number == SYS_sched_yield ? out.counts.yields : wake ? out.counts.wakes : out.counts.others);
        }
      }
    } else if ((state >> 16) == 0) {
      pass_on = static_cast<std::uintptr_t>(WSTOPSIG(state));
    }
    if (::ptrace(PTRACE_SYSCALL, thread, nullptr, reinterpret_cast<void*>(pass_on)) != 0) {
      out.error = errno;
      return out;
    }
    if (!told) {
      told = true;
      const answer attached;
      if (::write(attached_fd, &attached, sizeof attached) != static_cast<ssize_t>(sizeof attached)) _exit(1);
    }
  }
}

}  // namespace

syscall_counter::syscall_counter() {
  int to[2] = {-1, -1};
  int from[2] = {-1, -1};
  if (::pipe(to) != 0 || ::pipe(from) != 0) {
    why_ = std::string("pipe: ") + std::strerror(errno);
    return;
  }
  const pid_t parent = ::getpid();
  tracer_ = ::fork();
  if (tracer_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) _exit(1);
    ::close(to[1]);
    ::close(from[0]);
    for (;;) {
      pid_t thread = 0;
      if (::read(to[0], &thread, sizeof thread) != static_cast<ssize_t>(sizeof thread)) _exit(0);
      const answer done = trace(thread, from[1]);
      if (::write(from[1], &done, sizeof done) != static_cast<ssize_t>(sizeof done)) _exit(1);
    }
  }
  ::close(to[0]);
  ::close(from[1]);
  requests_ = to[1];
  answers_ = from[0];
  if (tracer_ < 0) why_ = std::string("fork: ") + std::strerror(errno);
#if defined(PR_SET_PTRACER)
  if (tracer_ > 0) ::prctl(PR_SET_PTRACER, tracer_);
#endif
}

syscall_counter::~syscall_counter() {
  if (requests_ >= 0) ::close(requests_);
  if (answers_ >= 0) ::close(answers_);
  if (tracer_ > 0) {
    while (::waitpid(tracer_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

bool syscall_counter::attach() {
  if (!why_.empty()) return false;
  const pid_t thread = ::gettid();
  answer attached;
  if (::write(requests_, &thread, sizeof thread) != static_cast<ssize_t>(sizeof thread) ||
      ::read(answers_, &attached, sizeof attached) != static_cast<ssize_t>(sizeof attached)) {
    why_ = "the tracing process ended";
  } else if (attached.error != 0) {
    why_ = std::string("ptrace: ") + std::strerror(attached.error);
  }
  return why_.empty();
}

void syscall_counter::begin() noexcept { ::syscall(SYS_getpgid, begin_mark); }
void syscall_counter::end() noexcept { ::syscall(SYS_getpgid, end_mark); }

syscall_counts syscall_counter::detach() {
  answer done;
  if (::read(answers_, &done, sizeof done) != static_cast<ssize_t>(sizeof done)) why_ = "the tracing process ended";
  if (done.error != 0) why_ = std::string("ptrace: ") + std::strerror(done.error);
  return done.counts;
}

}  // namespace bench
