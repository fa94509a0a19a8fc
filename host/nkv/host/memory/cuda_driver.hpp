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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// The functions of libcuda.so.1 that cuda_driver calls, under the names and with the binary interface of the CUDA
/// driver API (enumerations are ints, CUdevice an int, CUcontext a pointer, CUdeviceptr 64 bits). Declared here, so
/// that these headers need no toolkit.
struct cuda_functions {
  int (*cuInit)(unsigned);
  int (*cuGetErrorName)(int, const char**);
  int (*cuDeviceGetCount)(int*);
  int (*cuDeviceGet)(int*, int);
  int (*cuDeviceGetName)(char*, int, int);
  int (*cuDeviceGetAttribute)(int*, int, int);
  int (*cuDevicePrimaryCtxRetain)(void**, int);
  int (*cuDevicePrimaryCtxRelease_v2)(int);
  int (*cuCtxPushCurrent_v2)(void*);
  int (*cuCtxPopCurrent_v2)(void**);
  int (*cuMemHostRegister_v2)(void*, std::size_t, unsigned);
  int (*cuMemHostGetDevicePointer_v2)(unsigned long long*, void*, unsigned);
  int (*cuMemHostUnregister)(void*);
  int (*cuMemAlloc_v2)(unsigned long long*, std::size_t);
  int (*cuMemFree_v2)(unsigned long long);
  int (*cuPointerSetAttribute)(const void*, int, unsigned long long);
  int (*cuStreamCreate)(void**, unsigned);
  int (*cuStreamDestroy_v2)(void*);
  int (*cuStreamSynchronize)(void*);
  int (*cuStreamQuery)(void*);
  int (*cuMemsetD8Async)(unsigned long long, unsigned char, std::size_t, void*);
  int (*cuMemcpyHtoDAsync_v2)(unsigned long long, const void*, std::size_t, void*);
  int (*cuMemcpyDtoHAsync_v2)(void*, unsigned long long, std::size_t, void*);
  int (*cuModuleLoadData)(void**, const void*);
  int (*cuModuleUnload)(void*);
  int (*cuModuleGetFunction)(void**, void*, const char*);
  int (*cuLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                        void**);
  int (*cuStreamWriteValue32_v2)(void*, unsigned long long, std::uint32_t, unsigned);                     // 11.7
  int (*cuMemGetHandleForAddressRange)(void*, unsigned long long, std::size_t, int, unsigned long long);  // 11.7
  int (*cuFlushGPUDirectRDMAWrites)(int, int);                                                            // 11.3
};

/// One NVIDIA GPU, by libcuda.so.1: its primary context, the one that the CUDA runtime uses too. @see gpu_driver
class cuda_driver final : public gpu_driver {
 public:
  /// Numbers of the CUDA driver API that are used here.
  enum : int {
    error_no_device = 100,
    error_not_ready = 600,
    error_already_registered = 712,
    error_not_permitted = 800,
    attribute_can_map_host_memory = 19,
    attribute_same_address = 91,  // CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM
    attribute_rdma_flush_options = 117,
    attribute_rdma_writes_ordering = 118,
    attribute_dma_buf = 124,
    ordering_owner = 100,
    ordering_all_devices = 200,
    flush_option_host = 1,
    flush_target_current_context = 0,
    flush_to_owner = 100,
    register_portable = 1,
    register_device_map = 2,
    register_io_memory = 4,
    pointer_sync_memops = 6,
    handle_dma_buf = 1,
    stream_non_blocking = 1,
    write_value_default = 0,
  };

  /// @return the driver of one GPU; where there is none, `why` says what is missing and the status is
  ///         - client/not_found     no libcuda.so.1, no device, or not that many
  ///         - client/unsupported   a driver without one of the functions
  ///         - client/driver_error  with the code of cuInit and what follows it
  [[nodiscard]] static host::result<std::shared_ptr<gpu_driver>> open(const gpu_options& options, std::string& why) {
    std::vector<const char*> names{"libcuda.so.1"};
    if (options.library != nullptr) names = {options.library};
    const shared_library library = shared_library::open(names, why);
    if (!library.valid()) return status{client_status::not_found};
    cuda_functions f{};
    const char* missing = nullptr;
    const auto need = [&](auto& function, const char* name) {
      if (!library.find(function, name) && missing == nullptr) missing = name;
    };
    need(f.cuInit, "cuInit");
    need(f.cuGetErrorName, "cuGetErrorName");
    need(f.cuDeviceGetCount, "cuDeviceGetCount");
    need(f.cuDeviceGet, "cuDeviceGet");
    need(f.cuDeviceGetName, "cuDeviceGetName");
    need(f.cuDeviceGetAttribute, "cuDeviceGetAttribute");
    need(f.cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain");
    need(f.cuDevicePrimaryCtxRelease_v2, "cuDevicePrimaryCtxRelease_v2");
    need(f.cuCtxPushCurrent_v2, "cuCtxPushCurrent_v2");
    need(f.cuCtxPopCurrent_v2, "cuCtxPopCurrent_v2");
    need(f.cuMemHostRegister_v2, "cuMemHostRegister_v2");
    need(f.cuMemHostGetDevicePointer_v2, "cuMemHostGetDevicePointer_v2");
    need(f.cuMemHostUnregister, "cuMemHostUnregister");
    need(f.cuMemAlloc_v2, "cuMemAlloc_v2");
    need(f.cuMemFree_v2, "cuMemFree_v2");
    need(f.cuPointerSetAttribute, "cuPointerSetAttribute");
    need(f.cuStreamCreate, "cuStreamCreate");
    need(f.cuStreamDestroy_v2, "cuStreamDestroy_v2");
    need(f.cuStreamSynchronize, "cuStreamSynchronize");
    need(f.cuStreamQuery, "cuStreamQuery");
    need(f.cuMemsetD8Async, "cuMemsetD8Async");
    need(f.cuMemcpyHtoDAsync_v2, "cuMemcpyHtoDAsync_v2");
    need(f.cuMemcpyDtoHAsync_v2, "cuMemcpyDtoHAsync_v2");
    need(f.cuModuleLoadData, "cuModuleLoadData");
    need(f.cuModuleUnload, "cuModuleUnload");
    need(f.cuModuleGetFunction, "cuModuleGetFunction");
    need(f.cuLaunchKernel, "cuLaunchKernel");
    if (missing != nullptr) {
      why = std::string(names.front()) + " has no function " + missing;
      return status{client_status::unsupported};
    }
    static_cast<void>(library.find(f.cuMemGetHandleForAddressRange, "cuMemGetHandleForAddressRange"));
    static_cast<void>(library.find(f.cuFlushGPUDirectRDMAWrites, "cuFlushGPUDirectRDMAWrites"));
    static_cast<void>(library.find(f.cuStreamWriteValue32_v2, "cuStreamWriteValue32_v2"));

    auto d = std::shared_ptr<cuda_driver>(new cuda_driver(f));
    const auto failed = [&](const char* function, int code) {
      why = std::string(function) + ": " + d->name_of(code);
      return code == error_no_device ? status{client_status::not_found} : error(code);
    };
    if (const int code = f.cuInit(0); code != 0) return failed("cuInit", code);
    int count = 0;
    if (const int code = f.cuDeviceGetCount(&count); code != 0) return failed("cuDeviceGetCount", code);
    if (options.device < 0 || options.device >= count) {
      why = count == 0 ? "no device" : "no device " + std::to_string(options.device) + " of " + std::to_string(count);
      return status{client_status::not_found};
    }
    int device = 0;
    if (const int code = f.cuDeviceGet(&device, options.device); code != 0) return failed("cuDeviceGet", code);
    if (const int code = f.cuDevicePrimaryCtxRetain(&d->context_, device); code != 0)
      return failed("cuDevicePrimaryCtxRetain", code);
    d->device_ = device;
    for (void** stream : {&d->stream_, &d->kernels_})
      if (const int code = d->make_stream(stream); code != 0) return failed("cuStreamCreate", code);
    d->look();
    return std::shared_ptr<gpu_driver>(std::move(d));
  }

  ~cuda_driver() override {
    for (void* const stream : {stream_, kernels_}) {
      if (stream == nullptr) continue;
      const current now(*this);
      if (now.code == 0) f_.cuStreamDestroy_v2(stream);
    }
    if (context_ != nullptr) f_.cuDevicePrimaryCtxRelease_v2(device_);
  }

  [[nodiscard]] const gpu_facts& facts() const noexcept override { return facts_; }

  [[nodiscard]] nkv::result<std::byte*> register_host(std::byte* at, std::size_t size_bytes, host_range what) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    const unsigned flags = static_cast<unsigned>(register_portable | register_device_map) |
                           (what == host_range::io_memory ? static_cast<unsigned>(register_io_memory) : 0u);
    if (const int code = f_.cuMemHostRegister_v2(at, size_bytes, flags); code != 0) return error(code);
    unsigned long long there = 0;
    if (const int code = f_.cuMemHostGetDevicePointer_v2(&there, at, 0); code != 0) {
      f_.cuMemHostUnregister(at);
      return error(code);
    }
    return pointer(there);
  }
  [[nodiscard]] status unregister_host(std::byte* at) override {
    const current now(*this);
    return error(now.code != 0 ? now.code : f_.cuMemHostUnregister(at));
  }

  [[nodiscard]] nkv::result<std::byte*> allocate(std::size_t size_bytes, gpu_memory_kind) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    unsigned long long at = 0;
    if (const int code = f_.cuMemAlloc_v2(&at, size_bytes); code != 0) return error(code);
    // Copies that the driver would otherwise finish later must not meet what others write directly.
    unsigned on = 1;
    if (const int code = f_.cuPointerSetAttribute(&on, pointer_sync_memops, at); code != 0) {
      f_.cuMemFree_v2(at);
      return error(code);
    }
    return pointer(at);
  }
  [[nodiscard]] status free(std::byte* at) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    // A word that is still to be stored there is not stored into whatever comes next.
    f_.cuStreamSynchronize(stream_);
    return error(f_.cuMemFree_v2(number(at)));
  }
  [[nodiscard]] host::result<exported_memory> export_dma_buf(std::byte* at, std::size_t size_bytes) override {
    if (f_.cuMemGetHandleForAddressRange == nullptr || !facts_.exports_dma_buf)
      return status{client_status::unsupported};
    const current now(*this);
    if (now.code != 0) return error(now.code);
    int fd = -1;
    if (const int code = f_.cuMemGetHandleForAddressRange(&fd, number(at), size_bytes, handle_dma_buf, 0); code != 0)
      return error(code);
    return exported_memory{unique_fd{fd}, 0};
  }

  [[nodiscard]] status clear(std::byte* at, std::size_t size_bytes) override {
    return in_stream([&] { return f_.cuMemsetD8Async(number(at), 0, size_bytes, stream_); });
  }
  [[nodiscard]] status copy_in(std::byte* at, const void* from, std::size_t size_bytes) override {
    return in_stream([&] { return f_.cuMemcpyHtoDAsync_v2(number(at), from, size_bytes, stream_); });
  }
  [[nodiscard]] status copy_out(void* to, const std::byte* at, std::size_t size_bytes) override {
    return in_stream([&] { return f_.cuMemcpyDtoHAsync_v2(to, number(at), size_bytes, stream_); });
  }
  [[nodiscard]] status store_word(std::uint32_t* at, std::uint32_t value) override {
    if (!facts_.stores_words) return client_status::unsupported;
    const current now(*this);
    if (now.code != 0) return error(now.code);
    return error(f_.cuStreamWriteValue32_v2(stream_, number(at), value, write_value_default));
  }

  [[nodiscard]] status flush_remote_writes() override {
    if (facts_.writes != remote_writes::unordered) return {};  // a flush would do nothing
    if (!facts_.flushes_remote_writes) return client_status::unsupported;
    const current now(*this);
    return error(now.code != 0 ? now.code
                               : f_.cuFlushGPUDirectRDMAWrites(flush_target_current_context, flush_to_owner));
  }

  [[nodiscard]] nkv::result<void*> load(const char* image) override {
    void* module = nullptr;
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = f_.cuModuleLoadData(&module, image); code != 0) return error(code);
    return module;
  }
  [[nodiscard]] status unload(void* module) override {
    const current now(*this);
    return error(now.code != 0 ? now.code : f_.cuModuleUnload(module));
  }
  [[nodiscard]] nkv::result<void*> find_kernel(void* module, const char* name) override {
    void* kernel = nullptr;
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = f_.cuModuleGetFunction(&kernel, module, name); code != 0) return error(code);
    return kernel;
  }
  [[nodiscard]] status launch(void* kernel, grid_shape shape, void** arguments) override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    return error(f_.cuLaunchKernel(kernel, shape.blocks, 1, 1, shape.threads, 1, 1, 0, kernels_, arguments, nullptr));
  }
  [[nodiscard]] nkv::result<bool> kernels_ended() override {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    const int code = f_.cuStreamQuery(kernels_);
    if (code != 0 && code != error_not_ready) return error(code);
    return code == 0;
  }

  [[nodiscard]] std::string describe(status s) const override {
    if (s != status(client_status::driver_error)) return status_text(s.sct(), s.sc());
    std::string text = name_of(s.detail());
    switch (s.detail()) {
      case error_not_permitted:
        text += ": I/O memory is mapped for root alone, or with the driver's PeerMappingOverride=1";
        break;
      case error_already_registered: text += ": a part of it is registered with this GPU already"; break;
      default: break;
    }
    return text;
  }

 private:
  /// Makes the context current for a call, whatever the thread used before.
  struct current {
    explicit current(const cuda_driver& of) noexcept : f(of.f_), code(f.cuCtxPushCurrent_v2(of.context_)) {}
    current(const current&) = delete;
    current& operator=(const current&) = delete;
    ~current() {
      void* popped = nullptr;
      if (code == 0) f.cuCtxPopCurrent_v2(&popped);
    }
    const cuda_functions& f;
    int code;
  };

  explicit cuda_driver(const cuda_functions& functions) noexcept : f_(functions) {}

  static status error(int code) noexcept {
    return code == 0 ? status() : status{client_status::driver_error, static_cast<std::uint16_t>(code)};
  }
  static unsigned long long number(const void* at) noexcept { return reinterpret_cast<std::uintptr_t>(at); }
  static std::byte* pointer(unsigned long long at) noexcept {
    return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(at));
  }
  [[nodiscard]] std::string name_of(int code) const {
    const char* name = nullptr;
    if (f_.cuGetErrorName(code, &name) != 0 || name == nullptr) name = "unknown error";
    return std::string(name) + " (" + std::to_string(code) + ")";
  }
  /// Non-blocking: kernels of the default stream, which may wait for what goes through this one, do not hold it up.
  [[nodiscard]] int make_stream(void** stream) {
    const current now(*this);
    return now.code != 0 ? now.code : f_.cuStreamCreate(stream, stream_non_blocking);
  }
  template <class Ask>
  [[nodiscard]] status in_stream(const Ask& ask) {
    const current now(*this);
    if (now.code != 0) return error(now.code);
    if (const int code = ask(); code != 0) return error(code);
    return error(f_.cuStreamSynchronize(stream_));
  }
  /// An attribute that the driver does not know is 0.
  [[nodiscard]] int attribute(int which) const {
    int value = 0;
    return f_.cuDeviceGetAttribute(&value, which, device_) == 0 ? value : 0;
  }
  void look() {
    char name[128] = {};
    if (f_.cuDeviceGetName(name, static_cast<int>(sizeof name) - 1, device_) == 0) facts_.name = name;
    facts_.vendor = gpu_vendor::nvidia;
    facts_.maps_host_memory = attribute(attribute_can_map_host_memory) != 0;
    facts_.same_address = attribute(attribute_same_address) != 0;
    facts_.exports_dma_buf = f_.cuMemGetHandleForAddressRange != nullptr && attribute(attribute_dma_buf) != 0;
    facts_.flushes_remote_writes =
        f_.cuFlushGPUDirectRDMAWrites != nullptr && (attribute(attribute_rdma_flush_options) & flush_option_host) != 0;
    facts_.stores_words = f_.cuStreamWriteValue32_v2 != nullptr;
    const int ordering = attribute(attribute_rdma_writes_ordering);
    facts_.writes = ordering >= ordering_all_devices ? remote_writes::all_devices
                    : ordering >= ordering_owner     ? remote_writes::owner
                                                     : remote_writes::unordered;
  }

  cuda_functions f_;
  void* context_ = nullptr;
  void* stream_ = nullptr;
  void* kernels_ = nullptr;  // a stream of their own: what goes through the other one is waited for while they run
  int device_ = 0;
  gpu_facts facts_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
