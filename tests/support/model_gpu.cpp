// SPDX-License-Identifier: BSD-3-Clause
//
// The library nkv_model_gpu: see model_gpu.hpp. "GPU memory" is a sealed memfd, which also plays its dma-buf.
#include <support/model_gpu.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

using nkv_test::model_gpu;

namespace {

model_gpu state;

/// An allocation's file, and the addresses that were reserved for it.
struct backing {
  int fd = -1;
  void* range = nullptr;
  std::size_t range_bytes = 0;
};
std::map<void*, backing> files;

int fails(const char* function) {
  const auto at = state.fails.find(function);
  return at == state.fails.end() ? 0 : at->second;
}

using ranges = std::map<void*, std::size_t>;

int add_range(ranges& registered, void* at, std::size_t size, unsigned flags) {
  constexpr std::size_t page = 4096;
  if (at == nullptr || reinterpret_cast<std::uintptr_t>(at) % page != 0 || size == 0 || size % page != 0) return 1;
  const auto first = reinterpret_cast<std::uintptr_t>(at);
  for (const auto& [other, length] : registered) {
    const auto taken = reinterpret_cast<std::uintptr_t>(other);
    if (first < taken + length && taken < first + size) return 712;
  }
  // What is not mapped cannot be pinned.
  if (::msync(at, size, MS_ASYNC) != 0) return 1;
  registered[at] = size;
  state.last_flags = flags;
  return 0;
}
int remove_range(ranges& registered, void* at) {
  const auto found = registered.find(at);
  if (found == registered.end()) return 713;
  // What was unmapped before it was taken back stays, so that a test sees it.
  if (::msync(at, found->second, MS_ASYNC) != 0) return 1;
  registered.erase(found);
  return 0;
}

int make(void** at, std::size_t size) {
  const int fd = ::memfd_create("model", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) return 2;
  if (state.sealed_dma_buf && ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) return 2;
  // From a boundary of 2 MiB on, as a GPU's.
  constexpr std::size_t piece = std::size_t{2} << 20;
  void* const range = ::mmap(nullptr, size + piece, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return 2;
  const std::size_t lead = (piece - reinterpret_cast<std::uintptr_t>(range) % piece) % piece;
  void* const memory =
      ::mmap(static_cast<char*>(range) + lead, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (memory == MAP_FAILED) return 2;
  if (state.fresh_byte != 0) std::memset(memory, state.fresh_byte, size);
  if (state.no_host_access) ::mprotect(memory, size, PROT_NONE);
  *at = static_cast<char*>(memory) + state.misaligned;
  state.allocated[*at] = size;
  files[*at] = {fd, range, size + piece};
  return 0;
}
int unmake(void* at) {
  const auto found = state.allocated.find(at);
  if (found == state.allocated.end()) return 1;
  const auto first = reinterpret_cast<std::uintptr_t>(at);
  for (const model_gpu::word& w : state.waiting) state.stored_nowhere += w.at >= first && w.at < first + found->second;
  ::munmap(files[at].range, files[at].range_bytes);
  ::close(files[at].fd);
  files.erase(at);
  state.allocated.erase(found);
  return 0;
}
int share(const void* at, std::size_t size, int* fd) {
  const auto found = state.allocated.find(const_cast<void*>(at));
  if (found == state.allocated.end() || size > found->second || reinterpret_cast<std::uintptr_t>(at) % 4096 != 0)
    return 1;
  *fd = ::fcntl(files[const_cast<void*>(at)].fd, F_DUPFD_CLOEXEC, 0);
  return *fd < 0 ? 2 : 0;
}
/// The file of the allocation in which [at, at + size) lies, and where there; -1 where there is none.
int file_of(std::uintptr_t at, std::size_t size, off_t& offset) {
  for (const auto& [memory, length] : state.allocated) {
    const auto first = reinterpret_cast<std::uintptr_t>(memory);
    if (at < first || at > first + length || size > first + length - at) continue;
    offset = static_cast<off_t>(at - first);
    return files[memory].fd;
  }
  return -1;
}
int put(std::uintptr_t at, const void* from, std::size_t size) {
  off_t offset = 0;
  const int fd = file_of(at, size, offset);
  return fd >= 0 && ::pwrite(fd, from, size, offset) == static_cast<ssize_t>(size) ? 0 : 1;
}
int get(void* to, std::uintptr_t at, std::size_t size) {
  off_t offset = 0;
  const int fd = file_of(at, size, offset);
  return fd >= 0 && ::pread(fd, to, size, offset) == static_cast<ssize_t>(size) ? 0 : 1;
}
int zero(std::uintptr_t at, int value, std::size_t size) {
  const std::string bytes(size, static_cast<char>(value));
  return put(at, bytes.data(), size);
}
void store(const model_gpu::word& w) { state.stored_nowhere += put(w.at, &w.value, sizeof w.value) != 0; }
int store_later(std::uintptr_t at, std::uint32_t value) {
  if (state.loses_words) return 0;
  state.waiting.push_back({at, value});
  if (state.stream_stalls) return 0;
  for (const model_gpu::word& w : std::exchange(state.waiting, {})) store(w);
  return 0;
}
int synchronize() {
  for (const model_gpu::word& w : std::exchange(state.waiting, {})) store(w);
  return 0;
}
/// The stream that a driver object does everything else in is its first.
int make_stream(void** stream, unsigned flags) {
  if (flags != 1) return 1;
  for (int& s : state.stream) {
    if (!state.open_streams.insert(&s).second) continue;
    *stream = &s;
    return 0;
  }
  return 2;
}
int end_stream(void* stream) { return state.open_streams.erase(stream) != 0 ? 0 : 1; }
bool is_stream(void* stream) { return state.open_streams.count(stream) != 0; }
int copies_in(void* stream) {
  state.copied_in.insert(stream);
  return synchronize();
}

/// A module is named by its text in `modules`; a kernel by its name in `kernels`.
struct kernel {
  void* module;
  std::string name;
};
std::map<std::pair<void*, std::string>, kernel> kernels;

int load(void** module, const void* image) {
  if (std::strncmp(static_cast<const char*>(image), "bad", 3) == 0) return 200;
  static std::uintptr_t next = 0x1000;
  *module = reinterpret_cast<void*>(next++);
  state.modules[*module] = static_cast<const char*>(image);
  return 0;
}
int unload(void* module) { return state.modules.erase(module) != 0 ? 0 : 1; }
int find(void** function, void* module, const char* name) {
  const auto at = state.modules.find(module);
  if (at == state.modules.end()) return 1;
  if (at->second.find(name) == std::string::npos) return 500;
  kernel& k = kernels[{module, name}];
  k = {module, name};
  *function = &k;
  return 0;
}
int launch(void* function, unsigned blocks, unsigned threads, void* stream, void** arguments) {
  const auto& k = *static_cast<kernel*>(function);
  if (!is_stream(stream) || blocks == 0 || threads == 0 || threads > 1024) return 1;
  state.launched.push_back({state.modules[k.module], k.name, blocks, threads, arguments, stream});
  return state.carry_out ? state.carry_out(state.launched.back()) : 0;
}
int look_at(void* stream) {
  if (!is_stream(stream) || (!state.launched.empty() && state.launched.back().stream != stream)) return 1;
  return state.state_of_kernels ? state.state_of_kernels() : 0;
}

void* pointer(unsigned long long at) { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(at)); }

}  // namespace

extern "C" {
// Where the model is linked with what carries kernels out: called before anything else.
[[gnu::weak]] void nkv_model_gpu_starts(model_gpu& model);

model_gpu* nkv_model_gpu_state();
model_gpu* nkv_model_gpu_state() { return &state; }

#define MODEL_FUNCTION(type, name, arguments) \
  type name arguments;                        \
  type name arguments

MODEL_FUNCTION(int, cuInit, (unsigned)) {
  if (nkv_model_gpu_starts != nullptr) nkv_model_gpu_starts(state);
  return fails("cuInit");
}
MODEL_FUNCTION(int, cuGetErrorName, (int code, const char** name)) {
  *name = code == 800   ? "CUDA_ERROR_NOT_PERMITTED"
          : code == 712 ? "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"
          : code == 100 ? "CUDA_ERROR_NO_DEVICE"
                        : nullptr;
  return *name == nullptr ? 1 : 0;
}
MODEL_FUNCTION(int, cuDeviceGetCount, (int* count)) { return *count = state.devices, fails("cuDeviceGetCount"); }
MODEL_FUNCTION(int, cuDeviceGet, (int* device, int index)) { return *device = index + 40, fails("cuDeviceGet"); }
MODEL_FUNCTION(int, cuDeviceGetName, (char* name, int size, int)) {
  return std::strncpy(name, "Model GPU", static_cast<std::size_t>(size)), 0;
}
MODEL_FUNCTION(int, cuDeviceGetAttribute, (int* value, int which, int device)) {
  if (device != 40) return 101;
  *value = state.attributes.count(which) != 0 ? state.attributes[which] : 0;
  return 0;
}
MODEL_FUNCTION(int, cuDevicePrimaryCtxRetain, (void** context, int)) {
  if (const int code = fails("cuDevicePrimaryCtxRetain"); code != 0) return code;
  ++state.retained;
  *context = &state;
  return 0;
}
MODEL_FUNCTION(int, cuDevicePrimaryCtxRelease_v2, (int)) { return --state.retained, 0; }
MODEL_FUNCTION(int, cuCtxPushCurrent_v2, (void* context)) {
  if (const int code = fails("cuCtxPushCurrent_v2"); code != 0) return code;
  return context == &state ? (++state.pushed, 0) : 201;
}
MODEL_FUNCTION(int, cuCtxPopCurrent_v2, (void**)) { return --state.pushed, 0; }
MODEL_FUNCTION(int, cuMemHostRegister_v2, (void* at, std::size_t size, unsigned flags)) {
  if (state.pushed != 1) return 201;
  if (const int code = fails("cuMemHostRegister_v2"); code != 0) return code;
  return add_range(state.registered, at, size, flags);
}
MODEL_FUNCTION(int, cuMemHostGetDevicePointer_v2, (unsigned long long* there, void* at, unsigned)) {
  if (const int code = fails("cuMemHostGetDevicePointer_v2"); code != 0) return code;
  *there = reinterpret_cast<std::uintptr_t>(at) + state.device_offset;
  return state.pushed == 1 ? 0 : 201;
}
MODEL_FUNCTION(int, cuMemHostUnregister, (void* at)) {
  return state.pushed == 1 ? remove_range(state.registered, at) : 201;
}
MODEL_FUNCTION(int, cuMemAlloc_v2, (unsigned long long* at, std::size_t size)) {
  if (const int code = fails("cuMemAlloc_v2"); code != 0) return code;
  void* made = nullptr;
  const int code = state.pushed == 1 ? make(&made, size) : 201;
  *at = reinterpret_cast<std::uintptr_t>(made);
  return code;
}
MODEL_FUNCTION(int, cuMemFree_v2, (unsigned long long at)) { return state.pushed == 1 ? unmake(pointer(at)) : 201; }
MODEL_FUNCTION(int, cuPointerSetAttribute, (const void*, int which, unsigned long long)) {
  return which == 6 ? fails("cuPointerSetAttribute") : 1;
}
MODEL_FUNCTION(int, cuMemGetHandleForAddressRange,
               (void* handle, unsigned long long at, std::size_t size, int type, unsigned long long)) {
  if (const int code = fails("cuMemGetHandleForAddressRange"); code != 0) return code;
  return type == 1 ? share(pointer(at), size, static_cast<int*>(handle)) : 1;
}
MODEL_FUNCTION(int, cuFlushGPUDirectRDMAWrites, (int target, int scope)) {
  return ++state.flushes, target == 0 && scope == 100 && state.pushed == 1 ? 0 : 1;
}

MODEL_FUNCTION(int, cuStreamCreate, (void** stream, unsigned flags)) {
  if (const int code = fails("cuStreamCreate"); code != 0) return code;
  return state.pushed == 1 ? make_stream(stream, flags) : 201;
}
MODEL_FUNCTION(int, cuStreamDestroy_v2, (void* stream)) { return state.pushed == 1 ? end_stream(stream) : 201; }
MODEL_FUNCTION(int, cuStreamSynchronize, (void* stream)) {
  if (const int code = fails("cuStreamSynchronize"); code != 0) return code;
  return is_stream(stream) && state.pushed == 1 ? synchronize() : 1;
}
MODEL_FUNCTION(int, cuMemsetD8Async, (unsigned long long at, unsigned char value, std::size_t size, void* stream)) {
  if (const int code = fails("cuMemsetD8Async"); code != 0) return code;
  return is_stream(stream) && state.pushed == 1 ? copies_in(stream), zero(at, value, size) : 1;
}
MODEL_FUNCTION(int, cuMemcpyHtoDAsync_v2, (unsigned long long at, const void* from, std::size_t size, void* stream)) {
  if (const int code = fails("cuMemcpyHtoDAsync_v2"); code != 0) return code;
  return is_stream(stream) && state.pushed == 1 ? copies_in(stream), put(at, from, size) : 1;
}
MODEL_FUNCTION(int, cuMemcpyDtoHAsync_v2, (void* to, unsigned long long at, std::size_t size, void* stream)) {
  if (const int code = fails("cuMemcpyDtoHAsync_v2"); code != 0) return code;
  return is_stream(stream) && state.pushed == 1 ? copies_in(stream), get(to, at, size) : 1;
}
MODEL_FUNCTION(int, cuStreamWriteValue32_v2,
               (void* stream, unsigned long long at, std::uint32_t value, unsigned flags)) {
  if (const int code = fails("cuStreamWriteValue32_v2"); code != 0) return code;
  return is_stream(stream) && flags == 0 && state.pushed == 1 ? store_later(at, value) : 1;
}

MODEL_FUNCTION(int, cuStreamQuery, (void* stream)) { return state.pushed == 1 ? look_at(stream) : 201; }
MODEL_FUNCTION(int, cuModuleLoadData, (void** module, const void* image)) {
  if (const int code = fails("cuModuleLoadData"); code != 0) return code;
  return state.pushed == 1 ? load(module, image) : 201;
}
MODEL_FUNCTION(int, cuModuleUnload, (void* module)) { return state.pushed == 1 ? unload(module) : 201; }
MODEL_FUNCTION(int, cuModuleGetFunction, (void** function, void* module, const char* name)) {
  return state.pushed == 1 ? find(function, module, name) : 201;
}
MODEL_FUNCTION(int, cuLaunchKernel,
               (void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                unsigned threads_z, unsigned shared_bytes, void* stream, void** arguments, void** extra)) {
  if (const int code = fails("cuLaunchKernel"); code != 0) return code;
  if (y * z * threads_y * threads_z != 1 || shared_bytes != 0 || extra != nullptr) return 1;
  return state.pushed == 1 ? launch(function, x, threads, stream, arguments) : 201;
}

MODEL_FUNCTION(int, hipInit, (unsigned)) { return fails("hipInit"); }
MODEL_FUNCTION(const char*, hipGetErrorName, (int code)) {
  return code == 1 ? "hipErrorInvalidValue" : code == 712 ? "hipErrorHostMemoryAlreadyRegistered" : nullptr;
}
MODEL_FUNCTION(int, hipGetDeviceCount, (int* count)) { return *count = state.devices, fails("hipGetDeviceCount"); }
MODEL_FUNCTION(int, hipGetDevice, (int* device)) { return *device = state.device, 0; }
MODEL_FUNCTION(int, hipSetDevice, (int device)) { return state.device = device, fails("hipSetDevice"); }
MODEL_FUNCTION(int, hipDeviceGetName, (char* name, int size, int)) {
  return std::strncpy(name, "Model GPU", static_cast<std::size_t>(size)), 0;
}
MODEL_FUNCTION(int, hipHostRegister, (void* at, std::size_t size, unsigned flags)) {
  if (const int code = fails("hipHostRegister"); code != 0) return code;
  return state.device == 0 ? add_range(state.hip_registered, at, size, flags) : 1;
}
MODEL_FUNCTION(int, hipHostGetDevicePointer, (void** there, void* at, unsigned)) {
  if (const int code = fails("hipHostGetDevicePointer"); code != 0) return code;
  *there = pointer(reinterpret_cast<std::uintptr_t>(at) + state.device_offset);
  return 0;
}
MODEL_FUNCTION(int, hipHostUnregister, (void* at)) { return remove_range(state.hip_registered, at); }
MODEL_FUNCTION(int, hipExtMallocWithFlags, (void** at, std::size_t size, unsigned flags)) {
  if (const int code = fails("hipExtMallocWithFlags"); code != 0) return code;
  state.last_flags = flags;
  return make(at, size);
}
MODEL_FUNCTION(int, hipFree, (void* at)) { return unmake(at); }
MODEL_FUNCTION(int, hipStreamCreateWithFlags, (void** stream, unsigned flags)) {
  if (const int code = fails("hipStreamCreateWithFlags"); code != 0) return code;
  return state.device == 0 ? make_stream(stream, flags) : 1;
}
MODEL_FUNCTION(int, hipStreamDestroy, (void* stream)) { return end_stream(stream); }
MODEL_FUNCTION(int, hipStreamSynchronize, (void* stream)) { return is_stream(stream) ? synchronize() : 1; }
MODEL_FUNCTION(int, hipMemsetAsync, (void* at, int value, std::size_t size, void* stream)) {
  return is_stream(stream) ? copies_in(stream), zero(reinterpret_cast<std::uintptr_t>(at), value, size) : 1;
}
MODEL_FUNCTION(int, hipMemcpyHtoDAsync, (void* at, void* from, std::size_t size, void* stream)) {
  return is_stream(stream) ? copies_in(stream), put(reinterpret_cast<std::uintptr_t>(at), from, size) : 1;
}
MODEL_FUNCTION(int, hipMemcpyDtoHAsync, (void* to, void* at, std::size_t size, void* stream)) {
  return is_stream(stream) ? copies_in(stream), get(to, reinterpret_cast<std::uintptr_t>(at), size) : 1;
}
MODEL_FUNCTION(int, hipStreamWriteValue32, (void* stream, void* at, std::uint32_t value, unsigned)) {
  return is_stream(stream) ? store_later(reinterpret_cast<std::uintptr_t>(at), value) : 1;
}
MODEL_FUNCTION(int, hipStreamQuery, (void* stream)) { return look_at(stream); }
MODEL_FUNCTION(int, hipModuleLoadData, (void** module, const void* image)) {
  if (const int code = fails("hipModuleLoadData"); code != 0) return code;
  return state.device == 0 ? load(module, image) : 1;
}
MODEL_FUNCTION(int, hipModuleUnload, (void* module)) { return unload(module); }
MODEL_FUNCTION(int, hipModuleGetFunction, (void** function, void* module, const char* name)) {
  return find(function, module, name);
}
MODEL_FUNCTION(int, hipModuleLaunchKernel,
               (void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                unsigned threads_z, unsigned shared_bytes, void* stream, void** arguments, void** extra)) {
  if (const int code = fails("hipModuleLaunchKernel"); code != 0) return code;
  if (y * z * threads_y * threads_z != 1 || shared_bytes != 0 || extra != nullptr) return 1;
  return state.device == 0 ? launch(function, x, threads, stream, arguments) : 1;
}
struct agent_of_pointer {
  std::uint32_t size, type;
  void *agent_base, *host_base;
  std::size_t size_bytes;
  void* user_data;
  std::uint64_t agent;
};
MODEL_FUNCTION(int, hsa_amd_pointer_info,
               (const void* at, void* what, void* (*)(std::size_t), std::uint32_t*, void**)) {
  auto* const info = static_cast<agent_of_pointer*>(what);
  if (info->size < sizeof *info || state.allocated.count(const_cast<void*>(at)) == 0) return 0x1001;
  return info->agent = 77, 0;
}
MODEL_FUNCTION(int, hsa_agent_get_info, (std::uint64_t agent, int what, void* value)) {
  if (what == 17 && (agent == 77 || agent == 76)) return *static_cast<int*>(value) = agent == 77, 0;
  if (agent != 77 || what != 0xa00e) return 0x1001;
  *static_cast<std::uint32_t**>(value) = state.has_hdp_flush ? &state.hdp_flush : nullptr;
  return 0;
}
using hsa_callback = int (*)(std::uint64_t, void*);
MODEL_FUNCTION(int, hsa_iterate_agents, (hsa_callback each, void* data)) {
  for (const std::uint64_t agent : {77u, 76u, 75u})
    if (const int code = each(agent, data); code != 0) return code;
  return 0;
}
/// A group segment, coarse-grained memory, and fine-grained memory.
MODEL_FUNCTION(int, hsa_amd_agent_iterate_memory_pools, (std::uint64_t agent, hsa_callback each, void* data)) {
  if (agent != 76) return 0x1001;
  for (const std::uint64_t pool : {1u, 2u, 3u, 4u})
    if (const int code = each(pool, data); code != 0) return code;
  return 0;
}
MODEL_FUNCTION(int, hsa_amd_memory_pool_get_info, (std::uint64_t pool, int what, void* value)) {
  if (what == 0) return *static_cast<int*>(value) = pool == 1 ? 3 : 0, 0;
  if (what != 1 || pool == 1) return 0x1001;
  return *static_cast<std::uint32_t*>(value) = pool == 2 ? 4 : pool == 3 ? 2 : 3, 0;
}
MODEL_FUNCTION(int, hsa_amd_memory_lock_to_pool,
               (void* at, std::size_t size, std::uint64_t* agents, int count, std::uint64_t pool, std::uint32_t flags,
                void** there)) {
  if (const int code = fails("hsa_amd_memory_lock_to_pool"); code != 0) return code;
  if (count != 1 || *agents != 77 || pool != 3 || flags != 0) return 0x1001;
  *there = pointer(reinterpret_cast<std::uintptr_t>(at) + state.device_offset);
  return add_range(state.hsa_locked, at, size, 0);
}
MODEL_FUNCTION(int, hsa_amd_memory_unlock, (void* at)) { return remove_range(state.hsa_locked, at); }
MODEL_FUNCTION(int, hsa_amd_portable_export_dmabuf,
               (const void* at, std::size_t size, int* fd, std::uint64_t* offset)) {
  if (const int code = fails("hsa_amd_portable_export_dmabuf"); code != 0) return code;
  *offset = state.dma_buf_offset;
  return share(at, size, fd);
}
}
