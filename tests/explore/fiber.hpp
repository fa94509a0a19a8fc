// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace nkv_test {

/// A stack and where its execution stands. One that is not resumed again is simply restarted: what lay on its stack is
/// not destroyed, so only what needs no destructor may live there across a switch.
class fiber {
 public:
  /// The one that the process runs on.
  fiber() = default;
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  /// The next switch to it calls `entry`, which never returns.
  void restart(void (*entry)()) {
    if (!stack_) stack_.reset(new std::byte[stack_bytes]);
    ::getcontext(&start_);
    start_.uc_stack.ss_sp = stack_.get();
    start_.uc_stack.ss_size = stack_bytes;
    start_.uc_link = nullptr;
    ::makecontext(&start_, entry, 0);
    fresh_ = true;
  }

  /// Goes on in `to`; returns when somebody switches to `from`. (A swapcontext() would make two system calls for the
  /// signal mask each time.)
  static void change(fiber& from, fiber& to) {
    if (::_setjmp(from.stopped_) != 0) return;
    if (to.fresh_) {
      to.fresh_ = false;
      ::setcontext(&to.start_);
    }
    ::_longjmp(to.stopped_, 1);
  }

 private:
  static constexpr std::size_t stack_bytes = 128 * 1024;

  std::unique_ptr<std::byte[]> stack_;
  ucontext_t start_{};
  jmp_buf stopped_{};
  bool fresh_ = false;
};

}  // namespace nkv_test
