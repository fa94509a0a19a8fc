// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory/shared_library.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/status_code.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// hsa_amd_pointer_info_t, which can only grow.
struct hsa_pointer_info {
  std::uint32_t size = sizeof(hsa_pointer_info);
  std::uint32_t type = 0;
  void* agent_base = nullptr;
  void* host_base = nullptr;
  std::size_t size_bytes = 0;
  void* user_data = nullptr;
  std::uint64_t agent = 0;
  std::uint32_t global_flags = 0;
};

/// hsa_amd_hdp_flush_t: registers of the host data path, through which others' writes go into the GPU's memory.
struct hsa_hdp_flush {
  volatile std::uint32_t* memory = nullptr;
  volatile std::uint32_t* registers = nullptr;
};

/// The functions of libamdhip64 and libhsa-runtime64 that hip_driver calls, with the binary interface of the HIP and
/// HSA runtime APIs. Declared here, so that these headers need no toolkit.
struct hip_functions {
  int (*hipInit)(unsigned);
  const char* (*hipGetErrorName)(int);
  int (*hipGetDeviceCount)(int*);
  int (*hipGetDevice)(int*);
  int (*hipSetDevice)(int);
  int (*hipDeviceGetName)(char*, int, int);
  int (*hipHostRegister)(void*, std::size_t, unsigned);
  int (*hipHostGetDevicePointer)(void**, void*, unsigned);
  int (*hipHostUnregister)(void*);
  int (*hipExtMallocWithFlags)(void**, std::size_t, unsigned);
  int (*hipFree)(void*);
  int (*hipStreamCreateWithFlags)(void**, unsigned);
  int (*hipStreamDestroy)(void*);
  int (*hipStreamSynchronize)(void*);
  int (*hipStreamQuery)(void*);
  int (*hipMemsetAsync)(void*, int, std::size_t, void*);
  int (*hipMemcpyHtoDAsync)(void*, void*, std::size_t, void*);
  int (*hipMemcpyDtoHAsync)(void*, void*, std::size_t, void*);
  int (*hipModuleLoadData)(void**, const void*);
  int (*hipModuleUnload)(void*);
  int (*hipModuleGetFunction)(void**, void*, const char*);
  int (*hipModuleLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                               void**, void**);
  int (*hipStreamWriteValue32)(void*, void*, std::uint32_t, unsigned);
  int (*hsa_amd_portable_export_dmabuf)(const void*, std::size_t, int*, std::uint64_t*);  // ROCm 5.5
  int (*hsa_amd_pointer_info)(const void*, void*, void* (*)(std::size_t), std::uint32_t*, void**);
  int (*hsa_agent_get_info)(std::uint64_t, int, void*);
  int (*hsa_iterate_agents)(int (*)(std::uint64_t, void*), void*);
  int (*hsa_amd_agent_iterate_memory_pools)(std::uint64_t, int (*)(std::uint64_t, void*), void*);
  int (*hsa_amd_memory_pool_get_info)(std::uint64_t, int, void*);
  int (*hsa_amd_memory_lock_to_pool)(void*, std::size_t, std::uint64_t*, int, std::uint64_t, std::uint32_t, void**);
  int (*hsa_amd_memory_unlock)(void*);
};

/// One AMD GPU, by libamdhip64 and, for dma-bufs, libhsa-runtime64. @see gpu_driver
class hip_driver final : public gpu_driver {
 public:
  /// Numbers of the HIP runtime API that are used here.
  enum : int {
    error_no_device = 100,
    error_invalid_device = 101,  // what hipInit says where there is no device
    error_not_ready = 600,
    register_mapped = 2,
    register_io_memory = 4,
    malloc_default = 0,
    malloc_fine_grained = 1,
    stream_non_blocking = 1,
    hsa_agent_device = 17,
    hsa_agent_hdp_flush = 0xa00e,
    hsa_device_cpu = 0,
    hsa_pool_segment = 0,
    hsa_pool_global_flags = 1,
    hsa_segment_global = 0,
    hsa_pool_fine_grained = 2,
    hsa_enough = 1,  // HSA_STATUS_INFO_BREAK
  };
  /// What detail() of a driver_error has besides the code where the failure is one of HSA's.
  static constexpr std::uint16_t hsa_error = 0x8000;

  /// @return the driver of one GPU; where there is none, `why` says what is missing and the status is
  ///         - client/not_found     no libamdhip64, no device, or not that many
  ///         - client/unsupported   a runtime without one of the functions
  ///         - client/driver_error  with the code of hipInit and what follows it
  [[nodiscard]] static host::result<std::shared_ptr<gpu_driver>> open(const gpu_options& options, std::string& why) {
    // ROCm numbers the library by its own release.
    std::vector<const char*> names{"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};
    if (options.library != nullptr) names = {options.library};
    const shared_library library = shared_library::open(names, why);
    if (!library.valid()) return status{client_status::not_found};
    hip_functions f{};
    const char* missing = nullptr;
    const auto need = [&](auto& function, const char* name) {
      if (!library.find(function, name) && missing == nullptr) missing = name;
    };
    need(f.hipInit, "hipInit");
    need(f.hipGetErrorName, "hipGetErrorName");
    need(f.hipGetDeviceCount, "hipGetDeviceCount");
    need(f.hipGetDevice, "hipGetDevice");
    need(f.hipSetDevice, "hipSetDevice");
    need(f.hipDeviceGetName, "hipDeviceGetName");
    need(f.hipHostRegister, "hipHostRegister");
    need(f.hipHostGetDevicePointer, "hipHostGetDevicePointer");
    need(f.hipHostUnregister, "hipHostUnregister");
    need(f.hipExtMallocWithFlags, "hipExtMallocWithFlags");
    need(f.hipFree, "hipFree");
    need(f.hipStreamCreateWithFlags, "hipStreamCreateWithFlags");
    need(f.hipStreamDestroy, "hipStreamDestroy");
    need(f.hipStreamSynchronize, "hipStreamSynchronize");
    need(f.hipStreamQuery, "hipStreamQuery");
    need(f.hipMemsetAsync, "hipMemsetAsync");
    need(f.hipMemcpyHtoDAsync, "hipMemcpyHtoDAsync");
    need(f.hipMemcpyDtoHAsync, "hipMemcpyDtoHAsync");
    need(f.hipModuleLoadData, "hipModuleLoadData");
    need(f.hipModuleUnload, "hipModuleUnload");
    need(f.hipModuleGetFunction, "hipModuleGetFunction");
    need(f.hipModuleLaunchKernel, "hipModuleLaunchKernel");
    if (missing != nullptr) {
      why = std::string(names.front()) + " has no function " + missing;
      return status{client_status::unsupported};
    }
    std::string unused;
    std::vector<const char*> hsa_names{"libhsa-runtime64.so.1"};
    if (options.hsa_library != nullptr) hsa_names = {options.hsa_library};
    const shared_library hsa = shared_library::open(hsa_names, unused);
    if (hsa.valid()) {
      static_cast<void>(hsa.find(f.hsa_amd_portable_export_dmabuf, "hsa_amd_portable_export_dmabuf"));
      static_cast<void>(hsa.find(f.hsa_amd_pointer_info, "hsa_amd_pointer_info"));
      static_cast<void>(hsa.find(f.hsa_agent_get_info, "hsa_agent_get_info"));
      static_cast<void>(hsa.find(f.hsa_iterate_agents, "hsa_iterate_agents"));
      static_cast<void>(hsa.find(f.hsa_amd_agent_iterate_memory_pools, "hsa_amd_agent_iterate_memory_pools"));
      static_cast<void>(hsa.find(f.hsa_amd_memory_pool_get_info, "hsa_amd_memory_pool_get_info"));
      static_cast<void>(hsa.find(f.hsa_amd_memory_lock_to_pool, "hsa_amd_memory_lock_to_pool"));
      static_cast<void>(hsa.find(f.hsa_amd_memory_unlock, "hsa_amd_memory_unlock"));
    }
    static_cast<void>(library.find(f.hipStreamWriteValue32, "hipStreamWriteValue32"));

    auto d = std::shared_ptr<hip_driver>(new hip_driver(f, options.device));
    const auto failed = [&](const char* function, int code) {
      why = std::string(function) + ": " + d->name_of(code);
      return code == error_no_device || code == error_invalid_device ? status{client_status::not_found} : error(code);
    };
    if (const int code = f.hipInit(0); code != 0) return failed("hipInit", code);
    int count = 0;
    if (const int code = f.hipGetDeviceCount(&count); code != 0) return failed("hipGetDeviceCount", code);
    if (options.device < 0 || options.device >= count) {
      why = count == 0 ? "no device" : "no device " + std::to_string(options.device) + " of " + std::to_string(count);
      return status{client_status::not_found};
    }
    for (void** stream : {&d->stream_, &d->kernels_})
      if (const int code = d->make_stream(stream); code != 0) return failed("hipStreamCreateWithFlags", code);
    d->look();
    return std::shared_ptr<gpu_driver>(std::move(d));
  }

  ~hip_driver() override {
    for (void* const stream : {stream_, kernels_}) {
      if (stream == nullptr) continue;
      const current now(*this);
      if (now.code == 0) static_cast<void>(f_.hipStreamDestroy(stream));
    }
  }

  [[nodiscard]] const gpu_facts& facts() const noexcept override { return facts_; }

  /// I/O memory by HSA, where that is there: HIP has a flag for it, and says of it that it is not supported.
  [[nodiscard]] nkv::result<std::byte*> register_host(std::byte* at, std::size_t size_bytes, host_range what) override {
    if (what == host_range::io_memory && host_pool_ != 0) return lock(at, size_bytes);
    const current now(*this);
    if (now.code != 0) return error(now.code);
    const unsigned flags = static_cast<unsigned>(register_mapped) |
                           (what == host_range::io_memory ? static_cast<unsigned>(register_io_memory) : 0u);
    if (const int code = f_.hipHostRegister(at, size_bytes, flags); code != 0) return error(code);
    void* there = nullptr;
    if (const int code = f_.hipHostGetDevicePointer(&there, at, 0); code != 0) {
      f_.hipHostUnregister(at);
      return error(code);
    }
    return static_cast<std::byte*>(there);
  }
  [[nodiscard]] status unregister_host(std::byte* at) override {
    if (const std::lock_guard guard(mutex_); std::erase(locked_, at) != 0)
      return hsa_failure(f_.hsa_amd_memory_unlock(at));
    const current now(*this);
    return error(now.code != 0 ? now.code : f_.hipHostUnregister(at));
  }

  [[nodiscard]] nkv::result<std::byte*> allocate(std::size_t size_bytes, gpu_memory_kind kind) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    void* at = nullptr;
    const int how = kind == gpu_memory_kind::fine_grained ? malloc_fine_grained : malloc_default;
    if (const int code = f_.hipExtMallocWithFlags(&at, size_bytes, static_cast<unsigned>(how)); code != 0)
      return error(code);
    return static_cast<std::byte*>(at);
  }
  [[nodiscard]] status free(std::byte* at) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    // A word that is still to be stored there is not stored into whatever comes next.
    static_cast<void>(f_.hipStreamSynchronize(stream_));
    return error(f_.hipFree(at));
  }
  [[nodiscard]] host::result<exported_memory> export_dma_buf(std::byte* at, std::size_t size_bytes) override {
    if (f_.hsa_amd_portable_export_dmabuf == nullptr) return status{client_status::unsupported};
    int fd = -1;
    std::uint64_t offset = 0;
    if (const int code = f_.hsa_amd_portable_export_dmabuf(at, size_bytes, &fd, &offset); code != 0)
      return hsa_failure(code);
    return exported_memory{unique_fd{fd}, offset};
  }

  [[nodiscard]] status clear(std::byte* at, std::size_t size_bytes) override {
    return in_stream([&] { return f_.hipMemsetAsync(at, 0, size_bytes, stream_); });
  }
  [[nodiscard]] status copy_in(std::byte* at, const void* from, std::size_t size_bytes) override {
    return in_stream([&] { return f_.hipMemcpyHtoDAsync(at, const_cast<void*>(from), size_bytes, stream_); });
  }
  [[nodiscard]] status copy_out(void* to, const std::byte* at, std::size_t size_bytes) override {
    return in_stream([&] { return f_.hipMemcpyDtoHAsync(to, const_cast<std::byte*>(at), size_bytes, stream_); });
  }
  [[nodiscard]] status store_word(std::uint32_t* at, std::uint32_t value) override {
    if (!facts_.stores_words) return client_status::unsupported;
    const current now(*this);
    return error(now.code != 0 ? now.code : f_.hipStreamWriteValue32(stream_, at, value, 0));
  }

  /// By the register of the host data path, which HSA maps for the process: no function of HIP's does it. It reaches
  /// fine-grained memory alone; what kernels have cached of the rest they keep to their end.
  /// @return client/unsupported where HSA names no such register
  [[nodiscard]] status flush_remote_writes() override {
    if (hdp_.memory == nullptr) return client_status::unsupported;
    // The load of a completion by this thread, or by one that it has heard of, before the store to the device.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    *hdp_.memory = 1;
    // The answer comes after the store has arrived.
    static_cast<void>(*hdp_.memory);
    return {};
  }

  [[nodiscard]] nkv::result<void*> load(const char* image) override {
    void* module = nullptr;
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = f_.hipModuleLoadData(&module, image); code != 0) return error(code);
    return module;
  }
  [[nodiscard]] status unload(void* module) override {
    const current now(*this);
    return error(now.code != 0 ? now.code : f_.hipModuleUnload(module));
  }
  [[nodiscard]] nkv::result<void*> find_kernel(void* module, const char* name) override {
    void* kernel = nullptr;
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = f_.hipModuleGetFunction(&kernel, module, name); code != 0) return error(code);
    return kernel;
  }
  [[nodiscard]] status launch(void* kernel, grid_shape shape, void** arguments) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    return error(
        f_.hipModuleLaunchKernel(kernel, shape.blocks, 1, 1, shape.threads, 1, 1, 0, kernels_, arguments, nullptr));
  }
  [[nodiscard]] nkv::result<bool> kernels_ended() override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    const int code = f_.hipStreamQuery(kernels_);
    if (code != 0 && code != error_not_ready) return error(code);
    return code == 0;
  }

  [[nodiscard]] std::string describe(status s) const override {
    if (s != status(client_status::driver_error)) return status_text(s.sct(), s.sc());
    if ((s.detail() & hsa_error) != 0) return "HSA status " + std::to_string(s.detail() & ~unsigned{hsa_error});
    return name_of(s.detail());
  }

 private:
  /// Makes the device current for a call, whatever the thread used before.
  struct current {
    explicit current(const hip_driver& of) noexcept : f(of.f_), code(f.hipGetDevice(&before)) {
      if (code == 0) code = f.hipSetDevice(of.device_);
    }
    current(const current&) = delete;
    current& operator=(const current&) = delete;
    ~current() {
      if (code == 0) static_cast<void>(f.hipSetDevice(before));
    }
    const hip_functions& f;
    int before = 0;
    int code;
  };

  hip_driver(const hip_functions& functions, int device) noexcept : f_(functions), device_(device) {}

  static status error(int code) noexcept {
    return code == 0 ? status() : status{client_status::driver_error, static_cast<std::uint16_t>(code)};
  }
  static status hsa_failure(int code) noexcept {
    return code == 0 ? status()
                     : status{client_status::driver_error, static_cast<std::uint16_t>(unsigned(code) | hsa_error)};
  }
  [[nodiscard]] std::string name_of(int code) const {
    const char* const name = f_.hipGetErrorName(code);
    return std::string(name != nullptr ? name : "unknown error") + " (" + std::to_string(code) + ")";
  }
  /// Non-blocking: kernels of the default stream, which may wait for what goes through this one, do not hold it up.
  [[nodiscard]] int make_stream(void** stream) {
    const current now(*this);
    return now.code != 0 ? now.code : f_.hipStreamCreateWithFlags(stream, stream_non_blocking);
  }
  template <class Ask>
  [[nodiscard]] status in_stream(const Ask& ask) {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = ask(); code != 0) return error(code);
    return error(f_.hipStreamSynchronize(stream_));
  }
  [[nodiscard]] nkv::result<std::byte*> lock(std::byte* at, std::size_t size_bytes) {
    void* there = nullptr;
    const std::lock_guard guard(mutex_);
    if (const int code = f_.hsa_amd_memory_lock_to_pool(at, size_bytes, &agent_, 1, host_pool_, 0, &there); code != 0)
      return hsa_failure(code);
    locked_.push_back(at);
    return static_cast<std::byte*>(there);
  }
  /// What HSA has of this GPU, whose agent is known by memory of its own: its registers, and the host's memory of the
  /// kind that stays coherent.
  void find_agent() {
    if (f_.hsa_amd_pointer_info == nullptr || f_.hsa_agent_get_info == nullptr) return;
    const nkv::result<std::byte*> at = allocate(region::page_bytes(), gpu_memory_kind::plain);
    if (!at) return;
    hsa_pointer_info info;
    if (f_.hsa_amd_pointer_info(*at, &info, nullptr, nullptr, nullptr) == 0) agent_ = info.agent;
    static_cast<void>(free(*at));
    if (agent_ == 0) return;
    hsa_hdp_flush found;
    if (f_.hsa_agent_get_info(agent_, hsa_agent_hdp_flush, &found) == 0) hdp_ = found;
    if (f_.hsa_iterate_agents != nullptr && f_.hsa_amd_agent_iterate_memory_pools != nullptr &&
        f_.hsa_amd_memory_pool_get_info != nullptr && f_.hsa_amd_memory_lock_to_pool != nullptr &&
        f_.hsa_amd_memory_unlock != nullptr)
      static_cast<void>(f_.hsa_iterate_agents(&look_at_agent, this));
  }
  static int look_at_agent(std::uint64_t agent, void* self) {
    auto& d = *static_cast<hip_driver*>(self);
    int device = -1;
    if (d.f_.hsa_agent_get_info(agent, hsa_agent_device, &device) == 0 && device == hsa_device_cpu)
      static_cast<void>(d.f_.hsa_amd_agent_iterate_memory_pools(agent, &look_at_pool, self));
    return d.host_pool_ != 0 ? hsa_enough : 0;
  }
  static int look_at_pool(std::uint64_t pool, void* self) {
    auto& d = *static_cast<hip_driver*>(self);
    int segment = -1;
    std::uint32_t flags = 0;
    if (d.f_.hsa_amd_memory_pool_get_info(pool, hsa_pool_segment, &segment) != 0 || segment != hsa_segment_global ||
        d.f_.hsa_amd_memory_pool_get_info(pool, hsa_pool_global_flags, &flags) != 0 ||
        (flags & std::uint32_t{hsa_pool_fine_grained}) == 0)
      return 0;
    d.host_pool_ = pool;
    return hsa_enough;
  }
  void look() {
    char name[256] = {};
    if (f_.hipDeviceGetName(name, static_cast<int>(sizeof name) - 1, device_) == 0) facts_.name = name;
    facts_.vendor = gpu_vendor::amd;
    // The numbers of HIP's attributes have changed between its releases: what a device can do is found by doing it.
    const host::result<region> page = region::create(1);
    if (page) {
      const nkv::result<std::byte*> there = register_host(page->data(), page->size_bytes(), host_range::memory);
      facts_.maps_host_memory = there.has_value();
      facts_.same_address = there.has_value() && *there == page->data();
      if (there) static_cast<void>(unregister_host(page->data()));
    }
    facts_.exports_dma_buf = f_.hsa_amd_portable_export_dmabuf != nullptr;
    facts_.stores_words = f_.hipStreamWriteValue32 != nullptr;
    find_agent();
    facts_.flushes_remote_writes = hdp_.memory != nullptr;
  }

  hip_functions f_;
  int device_;
  void* stream_ = nullptr;
  void* kernels_ = nullptr;  // a stream of their own: what goes through the other one is waited for while they run
  std::uint64_t agent_ = 0;  // HSA's name for the GPU
  std::uint64_t host_pool_ = 0;
  hsa_hdp_flush hdp_{};
  std::mutex mutex_;
  std::vector<std::byte*> locked_;  // by HSA
  gpu_facts facts_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
