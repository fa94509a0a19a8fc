// SPDX-License-Identifier: BSD-3-Clause
//
// What nkv declares of a vendor's driver, against the vendor's own headers: each function's return and parameters have
// the same size, place and kind (a pointer, or a number), and each number the same value. Compiled alone, with
// NKV_CHECK_CUDA or NKV_CHECK_HIP.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(NKV_CHECK_CUDA)
#include <nkv/host/memory/cuda_driver.hpp>

#include <cuda.h>
#endif
#if defined(NKV_CHECK_HIP)
#define __HIP_PLATFORM_AMD__ 1
#include <nkv/host/memory/hip_driver.hpp>

#include <hip/hip_runtime_api.h>
#if __has_include(<hsa/hsa_ext_amd.h>)
#include <hsa/hsa_ext_amd.h>
#endif
#endif

namespace {

template <class A, class B>
constexpr bool alike = sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B> &&
                       std::is_floating_point_v<A> == std::is_floating_point_v<B>;

template <class A, class B>
struct same : std::false_type {};
template <class R, class... P, class S, class... Q>
  requires(sizeof...(P) == sizeof...(Q))
struct same<R (*)(P...), S(Q...)> : std::bool_constant<alike<R, S> && (alike<P, Q> && ...)> {};

/// For one of several overloads.
template <class F>
void is_there(F*);

}  // namespace

#if defined(NKV_CHECK_CUDA)
using f = nkv::host::cuda_functions;
using d = nkv::host::cuda_driver;
#define NKV_SAME(name) static_assert(same<decltype(f::name), decltype(::name)>::value, #name)
NKV_SAME(cuInit);
NKV_SAME(cuGetErrorName);
NKV_SAME(cuDeviceGetCount);
NKV_SAME(cuDeviceGet);
NKV_SAME(cuDeviceGetName);
NKV_SAME(cuDeviceGetAttribute);
NKV_SAME(cuDevicePrimaryCtxRetain);
NKV_SAME(cuDevicePrimaryCtxRelease_v2);
NKV_SAME(cuCtxPushCurrent_v2);
NKV_SAME(cuCtxPopCurrent_v2);
NKV_SAME(cuMemHostRegister_v2);
NKV_SAME(cuMemHostGetDevicePointer_v2);
NKV_SAME(cuMemHostUnregister);
NKV_SAME(cuMemAlloc_v2);
NKV_SAME(cuMemFree_v2);
NKV_SAME(cuPointerSetAttribute);
NKV_SAME(cuStreamCreate);
NKV_SAME(cuStreamDestroy_v2);
NKV_SAME(cuStreamSynchronize);
NKV_SAME(cuStreamQuery);
NKV_SAME(cuModuleLoadData);
NKV_SAME(cuModuleUnload);
NKV_SAME(cuModuleGetFunction);
NKV_SAME(cuLaunchKernel);
NKV_SAME(cuMemsetD8Async);
NKV_SAME(cuMemcpyHtoDAsync_v2);
NKV_SAME(cuMemcpyDtoHAsync_v2);
NKV_SAME(cuStreamWriteValue32_v2);
NKV_SAME(cuMemGetHandleForAddressRange);
NKV_SAME(cuFlushGPUDirectRDMAWrites);
static_assert(int{d::error_no_device} == CUDA_ERROR_NO_DEVICE);
static_assert(int{d::error_not_ready} == CUDA_ERROR_NOT_READY);
static_assert(int{d::error_already_registered} == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
static_assert(int{d::error_not_permitted} == CUDA_ERROR_NOT_PERMITTED);
static_assert(int{d::attribute_can_map_host_memory} == CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY);
static_assert(int{d::attribute_same_address} == CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM);
static_assert(int{d::attribute_rdma_flush_options} == CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS);
static_assert(int{d::attribute_rdma_writes_ordering} == CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING);
static_assert(int{d::attribute_dma_buf} == CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED);
static_assert(int{d::ordering_owner} == CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER);
static_assert(int{d::ordering_all_devices} == CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES);
static_assert(int{d::flush_option_host} == CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST);
static_assert(int{d::flush_target_current_context} == CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX);
static_assert(int{d::flush_to_owner} == CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER);
static_assert(int{d::register_portable} == CU_MEMHOSTREGISTER_PORTABLE);
static_assert(int{d::register_device_map} == CU_MEMHOSTREGISTER_DEVICEMAP);
static_assert(int{d::register_io_memory} == CU_MEMHOSTREGISTER_IOMEMORY);
static_assert(int{d::pointer_sync_memops} == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS);
static_assert(int{d::handle_dma_buf} == CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD);
static_assert(int{d::stream_non_blocking} == CU_STREAM_NON_BLOCKING);
static_assert(int{d::write_value_default} == CU_STREAM_WRITE_VALUE_DEFAULT);
#endif

#if defined(NKV_CHECK_HIP)
using f = nkv::host::hip_functions;
using d = nkv::host::hip_driver;
// Some of HIP's functions are overloaded by templates in C++: the type is said by the one that C has.
#define NKV_SAME(name, ...)                                                                                          \
  static_assert(                                                                                                     \
      same<decltype(f::name), __VA_ARGS__>::value && std::is_same_v<decltype(is_there<__VA_ARGS__>(&::name)), void>, \
      #name)
NKV_SAME(hipInit, hipError_t(unsigned));
NKV_SAME(hipGetErrorName, const char*(hipError_t));
NKV_SAME(hipGetDeviceCount, hipError_t(int*));
NKV_SAME(hipGetDevice, hipError_t(int*));
NKV_SAME(hipSetDevice, hipError_t(int));
NKV_SAME(hipDeviceGetName, hipError_t(char*, int, hipDevice_t));
NKV_SAME(hipHostRegister, hipError_t(void*, size_t, unsigned));
NKV_SAME(hipHostGetDevicePointer, hipError_t(void**, void*, unsigned));
NKV_SAME(hipHostUnregister, hipError_t(void*));
NKV_SAME(hipExtMallocWithFlags, hipError_t(void**, size_t, unsigned));
NKV_SAME(hipFree, hipError_t(void*));
NKV_SAME(hipStreamCreateWithFlags, hipError_t(hipStream_t*, unsigned));
NKV_SAME(hipStreamDestroy, hipError_t(hipStream_t));
NKV_SAME(hipStreamSynchronize, hipError_t(hipStream_t));
NKV_SAME(hipStreamQuery, hipError_t(hipStream_t));
NKV_SAME(hipModuleLoadData, hipError_t(hipModule_t*, const void*));
NKV_SAME(hipModuleUnload, hipError_t(hipModule_t));
NKV_SAME(hipModuleGetFunction, hipError_t(hipFunction_t*, hipModule_t, const char*));
NKV_SAME(hipModuleLaunchKernel, hipError_t(hipFunction_t, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                           unsigned, hipStream_t, void**, void**));
NKV_SAME(hipMemsetAsync, hipError_t(void*, int, size_t, hipStream_t));
NKV_SAME(hipMemcpyHtoDAsync, hipError_t(hipDeviceptr_t, void*, size_t, hipStream_t));
NKV_SAME(hipMemcpyDtoHAsync, hipError_t(void*, hipDeviceptr_t, size_t, hipStream_t));
NKV_SAME(hipStreamWriteValue32, hipError_t(hipStream_t, void*, uint32_t, unsigned));
static_assert(int{d::error_no_device} == hipErrorNoDevice);
static_assert(int{d::error_not_ready} == hipErrorNotReady);
static_assert(int{d::register_mapped} == hipHostRegisterMapped);
static_assert(int{d::register_io_memory} == hipHostRegisterIoMemory);
static_assert(int{d::malloc_default} == hipDeviceMallocDefault);
static_assert(int{d::malloc_fine_grained} == hipDeviceMallocFinegrained);
static_assert(int{d::stream_non_blocking} == hipStreamNonBlocking);
#if __has_include(<hsa/hsa_ext_amd.h>)
static_assert(int{d::hsa_agent_hdp_flush} == HSA_AMD_AGENT_INFO_HDP_FLUSH);
static_assert(sizeof(nkv::host::hsa_hdp_flush) == sizeof(hsa_amd_hdp_flush_t) &&
              offsetof(hsa_amd_hdp_flush_t, HDP_MEM_FLUSH_CNTL) == offsetof(nkv::host::hsa_hdp_flush, memory));
static_assert(sizeof(nkv::host::hsa_pointer_info) <= sizeof(hsa_amd_pointer_info_t) &&
              offsetof(hsa_amd_pointer_info_t, agentOwner) == offsetof(nkv::host::hsa_pointer_info, agent) &&
              offsetof(hsa_amd_pointer_info_t, size) == offsetof(nkv::host::hsa_pointer_info, size));
static_assert(same<decltype(f::hsa_agent_get_info), hsa_status_t(std::uint64_t, hsa_agent_info_t, void*)>::value &&
              sizeof(hsa_agent_t) == 8);
static_assert(same<decltype(f::hsa_amd_pointer_info), decltype(::hsa_amd_pointer_info)>::value);
static_assert(same<decltype(f::hsa_iterate_agents), decltype(::hsa_iterate_agents)>::value);
static_assert(
    same<decltype(f::hsa_amd_agent_iterate_memory_pools), decltype(::hsa_amd_agent_iterate_memory_pools)>::value);
static_assert(same<decltype(f::hsa_amd_memory_pool_get_info), decltype(::hsa_amd_memory_pool_get_info)>::value);
static_assert(same<decltype(f::hsa_amd_memory_lock_to_pool), decltype(::hsa_amd_memory_lock_to_pool)>::value);
static_assert(same<decltype(f::hsa_amd_memory_unlock), decltype(::hsa_amd_memory_unlock)>::value);
static_assert(int{d::hsa_agent_device} == HSA_AGENT_INFO_DEVICE && int{d::hsa_device_cpu} == HSA_DEVICE_TYPE_CPU);
static_assert(sizeof(hsa_device_type_t) == sizeof(int) && sizeof(hsa_amd_segment_t) == sizeof(int));
static_assert(int{d::hsa_pool_segment} == HSA_AMD_MEMORY_POOL_INFO_SEGMENT);
static_assert(int{d::hsa_pool_global_flags} == HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS);
static_assert(int{d::hsa_segment_global} == HSA_AMD_SEGMENT_GLOBAL);
static_assert(int{d::hsa_pool_fine_grained} == HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_FINE_GRAINED);
static_assert(int{d::hsa_enough} == HSA_STATUS_INFO_BREAK);
#endif
#endif

int main() { return 0; }
