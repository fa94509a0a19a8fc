// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_doorbells.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/gpu_memory.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/pinned_memory.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory/user_iommu.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <sys/resource.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// What is placed.
enum class placed_thing : std::uint8_t { queue, doorbell, value };
[[nodiscard]] constexpr const char* name_of(placed_thing thing) noexcept {
  switch (thing) {
    case placed_thing::queue: return "queue";
    case placed_thing::doorbell: return "doorbell";
    case placed_thing::value: return "value";
  }
  return "";
}

/// One placement on this machine: whether it was done just now, and why not.
struct placement {
  placed_thing thing = placed_thing::queue;
  const char* where = "";  ///< "mapped host memory", "GPU memory", ...
  status can;              ///< success, or what the attempt returned
  std::string why;         ///< for people: the reason, or what the placement still needs
};

/// Whether what a driver is asked to store in GPU memory, for kernels that poll it, stands there afterwards.
/// @return success, client/unsupported, or client/driver_error
[[nodiscard]] inline status speaks_to_kernels(gpu_driver& driver, std::byte* at) {
  constexpr std::uint32_t word = 0x4e4b5631;
  std::uint32_t seen = 0;
  if (const status s = driver.clear(at, sizeof seen); !s.ok()) return s;
  if (const status s = driver.store_word(reinterpret_cast<std::uint32_t*>(at), word); !s.ok()) return s;
  if (const status s = driver.copy_out(&seen, at, sizeof seen); !s.ok()) return s;
  return seen == word ? status() : status(client_status::unsupported);
}

/// Tries each placement and takes it back: nothing is concluded from a version or a name.
///
/// @param driver    null where there is none; `no_driver` is then the reason, as cuda_driver::open() gave it
/// @param target    the controller that shall reach the memory; null: what this machine can do alone
/// @param bar       doorbells in the BAR of a PCIe device that the caller has mapped, where there is one
/// @return one entry for each placement that device code can ask for, in the order of placed_thing
[[nodiscard]] inline std::vector<placement> what_works(const std::shared_ptr<gpu_driver>& driver,
                                                       const std::string& no_driver,
                                                       const std::shared_ptr<attachment>& target, deadline until,
                                                       const doorbell_bar& bar = {}) {
  std::vector<placement> all;
  const auto add = [&](placed_thing thing, const char* where, status can, std::string why) {
    if (driver == nullptr) {
      can = client_status::not_found;
      why = no_driver;
    }
    all.push_back({thing, where, can, std::move(why)});
  };
  const auto because = [&](status s) {
    if (s.ok()) return std::string();
    return driver == nullptr ? no_driver : driver->describe(s);
  };

  status host_memory = client_status::not_found;
  status gpu_doorbell = client_status::unsupported;
  status host_value = client_status::not_found;
  if (driver != nullptr) {
    if (const host::result<region> page = region::create(1); page) {
      host_memory = gpu_mapping::create(driver, page->data(), page->size_bytes(), host_range::memory).error();
    } else {
      host_memory = page.error();
    }
    host_value = host_memory;
    if (target != nullptr) {
      host_value = pinned_memory::create(target, 1, {driver}, {}, until).error();
      gpu_doorbell = gpu_doorbells::create(target, driver).error();
    }
  }
  std::string host_why = because(host_memory);
  rlimit locked{};
  if (!host_memory.ok() && ::getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur != RLIM_INFINITY)
    host_why += "; RLIMIT_MEMLOCK is " + std::to_string(locked.rlim_cur) + " bytes";

  add(placed_thing::queue, "mapped host memory", host_memory, host_why);
  // GPU memory as a target, or at least another process, is to reach it.
  const auto take = [&](gpu_memory_kind kind, std::string& why) -> host::result<gpu_memory> {
    if (driver == nullptr) return status{client_status::not_found};
    if (!driver->facts().exports_dma_buf) {
      why = "the driver or the device exports no dma-buf";
      return status{client_status::unsupported};
    }
    constexpr std::size_t least = gpu_memory::granularity_bytes;
    host::result<gpu_memory> memory = target != nullptr ? gpu_memory::create(target, driver, least, kind, until)
                                                        : gpu_memory::create_unshared(nullptr, driver, least, kind);
    if (memory && target == nullptr) {
      if (const auto shared = driver->export_dma_buf(memory->on_device(), least); !shared) memory = shared.error();
    }
    if (!memory)
      why = target != nullptr && memory.error() == status(client_status::system_error)
                ? "the target does not take or cannot map the dma-buf (errno " +
                      std::to_string(memory.error().detail()) + ")"
                : because(memory.error());
    return memory;
  };
  const auto queue_in_gpu = [&](const char* where, gpu_memory_kind kind, memory_place place) {
    std::string why;
    status s = driver == nullptr ? status() : check_queue_place(place, driver->facts().vendor);
    if (!s.ok()) {
      why = "a kernel would poll it in vain: take fine-grained memory";
    } else if (const host::result<gpu_memory> memory = take(kind, why); !memory) {
      s = memory.error();
    } else {
      s = speaks_to_kernels(*driver, memory->on_device());
      why = s == status(client_status::unsupported) ? "the driver stores no words for kernels that run" : because(s);
    }
    add(placed_thing::queue, where, s, why);
  };
  queue_in_gpu("GPU memory", gpu_memory_kind::plain, memory_place::gpu_plain);
  queue_in_gpu("fine-grained GPU memory", gpu_memory_kind::fine_grained, memory_place::gpu_fine_grained);
  add(placed_thing::doorbell, "shared page", gpu_doorbell,
      target == nullptr ? "asked of no target"
      : gpu_doorbell == status(client_status::unsupported)
          ? "the target lets no doorbell be mapped, or sleeps until a CPU wakes it"
          : because(gpu_doorbell));
  if (bar.base != nullptr) {
    const status s = driver == nullptr ? status() : gpu_doorbells::create_in_bar(driver, bar).error();
    add(placed_thing::doorbell, "PCIe BAR", s, because(s));
  } else {
    add(placed_thing::doorbell, "PCIe BAR", client_status::unsupported,
        "for a BAR that the caller has mapped, by VFIO for one (" + user_iommu::look().text() + ")");
  }
  add(placed_thing::value, "mapped host memory", host_value,
      host_value == host_memory ? host_why : because(host_value));

  const auto in_gpu = [&](const char* where, gpu_memory_kind kind, memory_place place) {
    std::string why;
    const status s = take(kind, why).error();
    if (s.ok())
      why = order_text(ordering_of(memory_place::host_memory, place, driver->facts().vendor, driver->facts().writes));
    add(placed_thing::value, where, s, why);
  };
  in_gpu("GPU memory", gpu_memory_kind::plain, memory_place::gpu_plain);
  in_gpu("fine-grained GPU memory", gpu_memory_kind::fine_grained, memory_place::gpu_fine_grained);
  return all;
}

/// The same for people, a line each: "queue in mapped host memory: yes".
[[nodiscard]] inline std::string describe(const std::vector<placement>& all) {
  std::string text;
  for (const placement& p : all) {
    text += std::string(name_of(p.thing)) + " in " + p.where + (p.can.ok() ? ": yes" : ": no");
    if (!p.why.empty()) text += ": " + p.why;
    text += "\n";
  }
  return text;
}

}  // namespace host
}  // namespace nkv::inline NKV_ABI
