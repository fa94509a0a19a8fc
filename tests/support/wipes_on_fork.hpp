// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/skip.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>

namespace nkv_test {

/// Whether memory under MADV_WIPEONFORK is zero in a child, as the kernel itself shows it, without the library. An
/// emulator may take the advice and do nothing (qemu-user 7.2): the running test case is then skipped.
inline bool wipes_on_fork() {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return true;
  auto* const byte = static_cast<unsigned char*>(at);
  *byte = 1;
  int how = 0;
  if (::madvise(at, size, MADV_WIPEONFORK) == 0) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(*byte);
    if (child > 0) ::waitpid(child, &how, 0);
  }
  ::munmap(at, size);
  if (how != 0) skip("MADV_WIPEONFORK succeeds here and does nothing");
  return how == 0;
}

}  // namespace nkv_test
