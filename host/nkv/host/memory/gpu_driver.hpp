// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace nkv::inline NKV_ABI {
namespace host {

/// Which GPU, and whose driver.
struct gpu_options {
  int device = 0;  ///< as the driver counts them
  /// What dlopen() takes in place of the driver's library; null: its usual names.
  const char* library = nullptr;
  /// HIP: the same for libhsa-runtime64.so.1, without which there are no dma-bufs.
  const char* hsa_library = nullptr;
};

/// What is registered with a GPU.
enum class host_range : std::uint8_t {
  memory,     ///< memory of this process, a shared mapping included
  io_memory,  ///< the BAR of a PCIe device
};

/// GPU memory, and how a controller writes into it.
enum class gpu_memory_kind : std::uint8_t {
  plain,  ///< what kernels compute on
  /// Coherent with DMA inside a running kernel: what a kernel needs that reads what it has waited for. On NVIDIA all
  /// memory is; on AMD it is memory of a kind of its own, and slower.
  fine_grained,
};

/// What a GPU says of itself.
struct gpu_facts {
  gpu_vendor vendor = gpu_vendor::nvidia;
  std::string name;
  bool maps_host_memory = false;       ///< kernels reach registered host memory
  bool same_address = false;           ///< and at the host's address
  bool exports_dma_buf = false;        ///< its memory can be shared by descriptor
  bool flushes_remote_writes = false;  ///< gpu_driver::flush_remote_writes() does something
  bool stores_words = false;           ///< gpu_driver::store_word() does: what a queue in its memory needs
  remote_writes writes = remote_writes::unordered;
};

/// A page-aligned piece of GPU memory as others see it.
struct exported_memory {
  unique_fd fd;
  std::uint64_t offset_bytes = 0;  ///< of the memory in what the descriptor is of
};

/// The threads of a launch, in one dimension.
struct grid_shape {
  std::uint32_t blocks = 1;
  std::uint32_t threads = 32;  ///< of a block
};

/// The few things that this library asks of a GPU's driver: the same for each vendor, found when the program runs.
///
/// The slow path: any thread may call, calls take locks and make system calls, and none waits for a kernel unless it
/// says so. Every failure is client/driver_error with the driver's code, which describe() knows by name; or
/// client/unsupported where this driver or device has no such function.
class gpu_driver {
 public:
  gpu_driver() = default;
  gpu_driver(const gpu_driver&) = delete;
  gpu_driver& operator=(const gpu_driver&) = delete;
  virtual ~gpu_driver() = default;

  [[nodiscard]] virtual const gpu_facts& facts() const noexcept = 0;

  /// Lets kernels reach `size_bytes` of this process at `at`, both multiples of a page, until unregister_host(at).
  /// @return the address for device code
  [[nodiscard]] virtual nkv::result<std::byte*> register_host(std::byte* at, std::size_t size_bytes,
                                                              host_range what) = 0;
  /// Takes it back. @pre no kernel uses it
  [[nodiscard]] virtual status unregister_host(std::byte* at) = 0;

  /// GPU memory, its contents unspecified, from a page boundary on.
  /// @return its address for device code
  [[nodiscard]] virtual nkv::result<std::byte*> allocate(std::size_t size_bytes, gpu_memory_kind kind) = 0;
  /// Gives it back. May wait for kernels under way.
  [[nodiscard]] virtual status free(std::byte* at) = 0;
  /// GPU memory as a dma-buf; both numbers are multiples of the host's page.
  [[nodiscard]] virtual host::result<exported_memory> export_dma_buf(std::byte* at, std::size_t size_bytes) = 0;

  // GPU memory is for no host thread to follow: what stands there is written and read by these. They go to the GPU in
  // their order, beside whatever kernels are under way.

  /// Zeroes GPU memory; done on return.
  [[nodiscard]] virtual status clear(std::byte* at, std::size_t size_bytes) = 0;
  /// Copies into GPU memory; done on return.
  [[nodiscard]] virtual status copy_in(std::byte* at, const void* from, std::size_t size_bytes) = 0;
  /// Copies out of GPU memory; done on return.
  [[nodiscard]] virtual status copy_out(void* to, const std::byte* at, std::size_t size_bytes) = 0;
  /// Has the GPU write one word of its memory, which a running kernel polls. Asked for and not waited for: a kernel
  /// sees it some time later, and what came before the call has happened then. free() waits for it.
  /// @return success once it is asked for; client/unsupported where gpu_facts::stores_words is false
  [[nodiscard]] virtual status store_word(std::uint32_t* at, std::uint32_t value) = 0;

  /// What others have written into this GPU's memory before the call is visible to its kernels after it: the visibility
  /// step of ordering_of(), done by the host.
  [[nodiscard]] virtual status flush_remote_writes() = 0;

  // Compiled kernels, for gpu_module. They go to the GPU in their order, beside whatever the functions above ask of it.
  // All but launch() and kernels_ended() may wait for kernels under way.

  /// Loads what the vendor's compiler made, as the bytes of a file, with a zero behind them. CUDA: a cubin, a fatbin or
  /// PTX. HIP: a code object, or a bundle of several.
  /// @param image stays until unload()
  /// @return what names the kernels to find_kernel() and unload()
  [[nodiscard]] virtual nkv::result<void*> load(const char* image) = 0;
  /// @pre none of the kernels is under way
  [[nodiscard]] virtual status unload(void* module) = 0;
  /// @param name as it stands in the compiled code: mangled, unless it is declared extern "C"
  /// @return what names the kernel to launch(), until unload()
  [[nodiscard]] virtual nkv::result<void*> find_kernel(void* module, const char* name) = 0;
  /// Asks for a kernel; it may run now, later, or never where others hold the GPU.
  /// @param arguments a pointer to each of its arguments, of the kernel's own types, which nobody checks; needed for
  ///                  the call alone
  [[nodiscard]] virtual status launch(void* kernel, grid_shape shape, void** arguments) = 0;
  /// Looks once.
  /// @return whether every kernel has ended that launch() asked for; or what one of them ended in, after which the
  ///         vendor's driver may refuse everything in this process
  [[nodiscard]] virtual nkv::result<bool> kernels_ended() = 0;

  /// A failure of this object's functions for people: the driver's own name for it, and what can be done where that is
  /// known. Any other status as describe(status) has it without its errno.
  [[nodiscard]] virtual std::string describe(status s) const = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
