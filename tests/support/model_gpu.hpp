// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace nkv_test {

/// What the library nkv_model_gpu does next, and what it was asked. It has the functions of libcuda.so.1, libamdhip64
/// and libhsa-runtime64 that nkv calls, does what their documentation says, and has no GPU: a model, which shows how we
/// behave and nothing of what a driver does.
struct model_gpu {
  int devices = 1;
  std::map<std::string, int> fails;  ///< the code that a function returns, by its name
  std::map<int, int> attributes{{19, 1}, {91, 1}, {117, 1}, {118, 100}, {124, 1}};
  std::uintptr_t device_offset = 0;  ///< of registered host memory as a kernel would see it
  std::uint64_t dma_buf_offset = 0;  ///< HSA's
  bool sealed_dma_buf = true;        ///< the file that plays one is sealed (a real one cannot be)
  std::size_t misaligned = 0;        ///< added to an allocation's address
  bool no_host_access = false;       ///< allocations are not for this process's processors to touch: play_kernel()
  bool stream_stalls = false;        ///< a word that is to be stored waits for what comes next in its stream
  bool loses_words = false;          ///< a word that is to be stored is not
  std::uint32_t hdp_flush = 0;       ///< what HSA says is a GPU's register
  bool has_hdp_flush = true;

  std::map<void*, std::size_t> registered;      ///< with CUDA
  std::map<void*, std::size_t> hip_registered;  ///< with HIP, which knows nothing of the other
  std::map<void*, std::size_t> hsa_locked;      ///< with HSA
  std::map<void*, std::size_t> allocated;
  unsigned last_flags = 0;  ///< of a registration or an allocation
  int pushed = 0;           ///< contexts on the stack
  int retained = 0;
  int device = 7;  ///< HIP's current one
  int flushes = 0;
  std::uint8_t fresh_byte = 0;  ///< what stands in an allocation

  /// A word that waits to be stored.
  struct word {
    std::uintptr_t at = 0;
    std::uint32_t value = 0;
  };
  std::vector<word> waiting;
  std::array<int, 16> stream{};  ///< one for each that there may be at once
  std::set<void*> open_streams;

  /// A kernel that was asked for.
  struct launch {
    std::string image;
    std::string kernel;
    unsigned blocks = 0;
    unsigned threads = 0;
    void** arguments = nullptr;  ///< for the call alone
    void* stream = nullptr;
  };
  std::map<void*, std::string> modules;  ///< what was loaded, by its name for the driver
  std::vector<launch> launched;
  std::set<void*> copied_in;  ///< the streams that copies and clearing went through
  /// What a kernel comes to, asked for at each look at its stream: 0, 600 for still under way, or an error. Without, it
  /// has ended at once.
  std::function<int()> state_of_kernels;
  /// Carries a kernel out. Returns what cuLaunchKernel is to return.
  std::function<int(const launch&)> carry_out;
  int stored_nowhere = 0;  ///< words that were stored, or waiting, where no allocation is any more

  /// Lets a test touch all allocations, as a kernel does, or takes that away again.
  void play_kernel(bool runs) const {
    for (const auto& [at, size] : allocated) ::mprotect(at, size, runs ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
};

}  // namespace nkv_test
