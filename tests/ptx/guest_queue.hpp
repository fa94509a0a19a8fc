// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/kernel_run.hpp"
#include "ptx/nvme_model.hpp"

#include <nkv/nkv.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv_test {

/// A queue pair in a kernel's memory with a model controller at its other end, ready to be passed to the kernel by
/// value: its pointers are the guest's addresses and the host's alike.
template <class Sharing, class Doorbell = nkv::mapped_doorbell<>>
class guest_queue {
 public:
  using queue_type = nkv::queue_pair_ref<Sharing, Doorbell>;

  guest_queue(kernel_run& run, const nvme_model_options& options, std::uint32_t list_bytes = 256)
      : model(run.memory(), options) {
    parts.shape = {options.sq_entries, options.cq_entries};
    parts.sq = model.sq();
    parts.cq = model.cq();
    parts.qid = options.qid;
    parts.control = run.memory().allocate("queue control", nkv::queue_control_layout::of(parts.shape).size_bytes);
    const std::size_t cids = parts.shape.cids();
    parts.arena.heads = run.memory().allocate("heads", cids * nkv::scratch::head_bytes);
    parts.arena.heads_address = reinterpret_cast<std::uint64_t>(parts.arena.heads);
    parts.arena.lists = run.memory().allocate("lists", cids * list_bytes, 4096);
    parts.arena.lists_address = reinterpret_cast<std::uint64_t>(parts.arena.lists);
    parts.arena.list_bytes = list_bytes;
    profile.nsid = options.nsid;
    profile.quirks =
        nkv::quirks::of(options.payload_head ? nkv::key_encoding::payload_head : nkv::key_encoding::inline_cdw);
    profile.quirks.reads_head_without_data_direction = true;
    profile.quirks.execute_result_after_head = options.result_after_head;
    profile.limits.max_key_bytes = options.payload_head ? 255 : 16;
    profile.limits.sgl = true;
    queue = queue_type(parts, Doorbell{model.sq_doorbell(), model.cq_doorbell()});
    queue.initialize();
    run.add_agent([this](std::uint64_t) { model.tick(); });
  }
  guest_queue(const guest_queue&) = delete;
  guest_queue& operator=(const guest_queue&) = delete;

  [[nodiscard]] nkv::namespace_ref<queue_type> ref() const { return {queue, profile}; }

  nvme_model model;
  nkv::queue_pair_parts parts{};
  nkv::namespace_profile profile{};
  queue_type queue{};
};

}  // namespace nkv_test
