// SPDX-License-Identifier: BSD-3-Clause
//
// The host's half of a program with a kernel. Without an endpoint it only says what this machine can do.
#include "kernel.hpp"

#include <nkv/host/host.hpp>

#if defined(CONSUMER_OF_cuda)
#include <nkv/host/memory/cuda_driver.hpp>
using gpu_driver = nkv::host::cuda_driver;
#else
#include <nkv/host/memory/hip_driver.hpp>
using gpu_driver = nkv::host::hip_driver;
#endif

#include <cstdio>
#include <cstring>
#include <string>

namespace {

int run(const char* endpoint, const std::shared_ptr<nkv::host::gpu_driver>& gpu) {
  nkv::host::connect_options how;
  how.vfio_user.wake = false;
  const auto controller = nkv::host::connect(endpoint, how);
  if (!controller) return 1;
  nkv::host::queue_options on_gpu;
  on_gpu.gpu = gpu;
  const auto queue = controller->create_queue_pair<nkv::shared>(on_gpu);
  const auto doorbells = controller->map_doorbells(gpu);
  const auto memory = controller->allocate_pinned(8192, {gpu});
  const auto ns = controller->open_namespace<nkv::exclusive>(1);
  if (!queue || !doorbells || !memory || !ns) return 1;
  const auto ref = queue->device_ref<namespace_ref::queue_type>(*doorbells);
  if (!ref) return 1;
  std::memcpy(memory->data(), "a key of 16 byte", 16);
  launch(namespace_ref(*ref, ns->profile()), memory->on_device(), *memory->value(4096, 4096),
         reinterpret_cast<unsigned*>(memory->on_device(64)));
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  std::string why;
  const auto gpu = gpu_driver::open({}, why);
  if (!gpu) {
    std::printf("no GPU: %s: %s\n", nkv::host::describe(gpu.error()).c_str(), why.c_str());
    return 0;
  }
  const auto all = nkv::host::what_works(*gpu, why, nullptr, nkv::host::deadline::after_ms(1000));
  std::printf("%s", nkv::host::describe(all).c_str());
  return count > 1 ? run(arguments[1], *gpu) : 0;
}
