// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/queue_memory.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/quirks.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace nkv::inline NKV_ABI {
namespace host {

/// The deadline of calls that are not given one.
[[nodiscard]] inline deadline default_deadline() noexcept { return deadline::after_ms(5000); }

/// How a controller is brought up.
struct controller_options {
  /// I/O queue pairs to ask for. The controller may grant fewer.
  std::uint32_t queue_pairs = 64;
  /// How long a destructor may talk to the controller.
  std::uint64_t teardown_ms = 1000;
};

/// How a queue pair is made.
struct queue_options {
  /// Entries of the submission queue, cut to a power of two and to what the controller takes; one less may be
  /// outstanding.
  std::uint32_t entries = 128;
  /// The longest value of a command, for the room that PRP lists get. 0: what the controller takes, to 128 MiB.
  std::uint64_t max_value_bytes = 0;
  /// Have the controller raise an interrupt at completions: see queue_pair::event(). It costs the target a system call
  /// each time, and who polls needs none.
  bool completion_event = false;
  /// Whose kernels shall use the queue: its memory is registered with this GPU, and queue_pair::device_ref() is what
  /// they use.
  std::shared_ptr<gpu_driver> gpu{};
  /// Where rings, scratch and bookkeeping live. In `gpu`'s own memory kernels poll and count without crossing PCIe, and
  /// no host thread uses the queue: see queue_pair::ref(). The target must map the memory, which it reaches as a
  /// dma-buf; nothing is copied in its place.
  memory_place place = memory_place::host_memory;
  /// In which GPU memory of the caller's, where that shall hold several queues: controller::queue_room_bytes() says how
  /// much. Empty: in 2 MiB or more of the queue's own.
  queue_room room{};
};

/// How a namespace is opened.
struct namespace_options {
  queue_options queue{};
  /// Where the namespace carries keys. Not given: found by a probe without side effects.
  std::optional<key_encoding> encoding;
  /// How this target differs, encoding included. Not given: what is found of it, by its names, by what Identify says
  /// and from the List pages themselves; else what is safe to assume of the encoding. One thing no target tells of
  /// itself, and a namespace_ref cannot see: that it gives no lengths (quirks::reports_true_length).
  std::optional<nkv::quirks> quirks;
  /// Refuse Store and Delete before they are sent.
  bool read_only = false;
  /// Room for values that are copied, for the calls that take plain memory. 0: for the longest value, to 128 MiB; pages
  /// are taken when they are used.
  std::uint64_t staging_bytes = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
