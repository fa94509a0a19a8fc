// SPDX-License-Identifier: BSD-3-Clause
//
// Kernels of nkv_model_gpu carried out: the interpreter runs the PTX in a thread of its own, over the memory that the
// program has registered with the driver or has from it, beside whatever else is under way in the process and in
// others. A kernel's clock goes by steps, and slower than the wall's.
//
// On x86 alone: what a kernel stores is stored in order, and what it loads is loaded in order.
#include "ptx/ptx_instruction.hpp"
#include "ptx/ptx_machine.hpp"
#include "ptx/ptx_memory.hpp"
#include "support/model_gpu.hpp"

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using nkv_test::model_gpu;

constexpr int not_ready = 600;
constexpr int invalid_value = 1;
constexpr int launch_failed = 719;

/// One kernel under way, and what became of it.
struct carried_out {
  nkv_test::ptx_memory memory;
  std::unique_ptr<nkv_test::ptx_module> module;
  std::string kernel;
  nkv_test::ptx_dim grid;
  nkv_test::ptx_dim block;
  std::vector<std::vector<std::byte>> arguments;
  std::atomic<int> state{not_ready};

  void run() {
    nkv_test::ptx_options options;
    options.most_steps = std::numeric_limits<std::uint64_t>::max();
    nkv_test::ptx_machine machine(*module, memory, options);
    // Others have to come in between, on one processor too.
    machine.add_agent([](std::uint64_t now) {
      if (now % 16 == 0) ::sched_yield();
    });
    const nkv_test::ptx_result r = machine.launch(module->entry(kernel), grid, block, arguments);
    if (!r.finished()) std::fprintf(stderr, "%s: %s\n", kernel.c_str(), r.error.c_str());
    state.store(r.finished() ? 0 : launch_failed, std::memory_order_release);
  }
};

std::shared_ptr<carried_out> last;

int launch(const model_gpu& gpu, const model_gpu::launch& l) {
  if (last != nullptr && last->state.load(std::memory_order_acquire) == not_ready) return invalid_value;
  try {
    last = std::make_shared<carried_out>();
    for (const auto& [at, size] : gpu.registered) last->memory.add("registered memory", at, size);
    for (const auto& [at, size] : gpu.allocated) last->memory.add("GPU memory", at, size);
    last->module = nkv_test::ptx_module::parse(l.image, last->memory);
    last->kernel = l.kernel;
    last->grid = {l.blocks, 1, 1};
    last->block = {l.threads, 1, 1};
    std::size_t i = 0;
    for (const auto& parameter : last->module->entry(l.kernel).params) {
      const auto* const from = static_cast<const std::byte*>(l.arguments[i++]);
      last->arguments.emplace_back(from, from + parameter.bytes);
    }
  } catch (const nkv_test::ptx_error& e) {
    std::fprintf(stderr, "%s: %s\n", l.kernel.c_str(), e.what());
    last = nullptr;
    return invalid_value;
  }
  std::thread([running = last] { running->run(); }).detach();
  return 0;
}

}  // namespace

extern "C" void nkv_model_gpu_starts(model_gpu& model);
extern "C" void nkv_model_gpu_starts(model_gpu& model) {
  model.state_of_kernels = [] { return last == nullptr ? 0 : last->state.load(std::memory_order_acquire); };
  model.carry_out = [&model](const model_gpu::launch& l) { return launch(model, l); };
}
