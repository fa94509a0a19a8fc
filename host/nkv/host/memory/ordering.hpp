// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

enum class gpu_vendor : std::uint8_t { nvidia, amd };

/// Where a queue or a value lives, seen from the GPU whose kernels use it.
enum class memory_place : std::uint8_t {
  host_memory,       ///< pinned host memory, mapped for the GPU
  gpu_plain,         ///< the GPU's own memory
  gpu_fine_grained,  ///< the GPU's own memory of the kind that stays coherent with DMA (AMD; on NVIDIA the same as
                     ///< gpu_plain)
};

/// For whom a third device's writes into GPU memory are in order without a flush: NVIDIA's attribute
/// GPU_DIRECT_RDMA_WRITES_ORDERING (0, 100, 200). The smallest where it is not known.
enum class remote_writes : std::uint8_t { unordered, owner, all_devices };

/// What a completion says of the value.
enum class value_order : std::uint8_t {
  ordered,                ///< a kernel that has seen the completion sees the value
  needs_visibility_step,  ///< only after gpu_driver::flush_remote_writes(), or after the kernel has ended
  needs_fine_grained,     ///< never inside the kernel that waited: gpu_fine_grained, or visibility::between_kernels
  refused,                ///< not a combination that this library makes
};

/// Whether a queue may live there: a kernel that polls a completion queue in AMD's ordinary memory never sees the phase
/// bit change.
/// @return success, or client/unsupported
[[nodiscard]] constexpr status check_queue_place(memory_place queue, gpu_vendor vendor) noexcept {
  const bool never_seen = vendor == gpu_vendor::amd && queue == memory_place::gpu_plain;
  return never_seen ? status(client_status::unsupported) : status();
}

/// Whether a kernel that has seen a completion in `queue` sees the value that the controller wrote into `value` before.
///
/// Writes of one device to one memory keep their order; writes to two memories do not, since nothing holds the later
/// one back. So a queue beside its value is ordered by itself; a queue in host memory says nothing about GPU memory,
/// unless the GPU orders remote writes for itself (NVIDIA's attribute); and nothing that a GPU or the host can do makes
/// a queue in GPU memory speak for a value in host memory. AMD's ordinary GPU memory may be in caches that DMA does not
/// reach, for as long as the kernel runs.
///
/// Sources: CUDA driver API, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING and cuFlushGPUDirectRDMAWrites; HIP
/// programming guide, coherence of coarse- and fine-grained memory; ROCr, HSA_AMD_AGENT_INFO_HDP_FLUSH.
[[nodiscard]] constexpr value_order ordering_of(memory_place queue, memory_place value, gpu_vendor vendor,
                                                remote_writes writes) noexcept {
  const bool queue_in_gpu = queue != memory_place::host_memory;
  const bool value_in_gpu = value != memory_place::host_memory;
  if (queue_in_gpu && !value_in_gpu) return value_order::refused;  // no flush of the GPU's reaches host memory
  if (!check_queue_place(queue, vendor).ok()) return value_order::refused;
  if (vendor == gpu_vendor::amd && value == memory_place::gpu_plain) return value_order::needs_fine_grained;
  if (queue_in_gpu == value_in_gpu) return value_order::ordered;
  return vendor == gpu_vendor::nvidia && writes != remote_writes::unordered ? value_order::ordered
                                                                            : value_order::needs_visibility_step;
}

/// What the caller undertakes to do where a completion alone is not enough.
enum class visibility : std::uint8_t {
  by_completion,  ///< nothing: only ordered combinations will do
  by_step,        ///< gpu_driver::flush_remote_writes() after the completion, before a value is read
  /// The same, and no kernel uses the value while a command does: what is stored was written by kernels that have
  /// ended, and what was retrieved is read by kernels that were launched after the step. All that AMD's ordinary memory
  /// takes, in both directions: what its caches hold they give back at the end of a kernel, and forget at its start.
  between_kernels,
};

/// Whether a queue and a value may be used together.
/// @return success; client/unsupported for a combination that is refused, and for one that needs a visibility step, or
///         fine-grained memory, which the caller has not undertaken to do, or do without
[[nodiscard]] constexpr status check_order(memory_place queue, memory_place value, gpu_vendor vendor,
                                           remote_writes writes, visibility undertaken) noexcept {
  switch (ordering_of(queue, value, vendor, writes)) {
    case value_order::ordered: return {};
    case value_order::needs_visibility_step:
      if (undertaken != visibility::by_completion) return {};
      break;
    case value_order::needs_fine_grained:
      if (undertaken == visibility::between_kernels) return {};
      break;
    case value_order::refused: break;
  }
  return client_status::unsupported;
}

/// The table's words, as README.md has them.
[[nodiscard]] constexpr const char* order_text(value_order order) noexcept {
  switch (order) {
    case value_order::ordered: return "ordered";
    case value_order::needs_visibility_step: return "visibility step";
    case value_order::needs_fine_grained: return "fine-grained value";
    case value_order::refused: return "refused";
  }
  return "";
}

}  // namespace host
}  // namespace nkv::inline NKV_ABI
