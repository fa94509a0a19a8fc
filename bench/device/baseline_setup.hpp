// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "baseline.hpp"

#include "ptx/kernel_run.hpp"
#include "ptx/nvme_model.hpp"

#include <bit>
#include <cstdint>

namespace bench {

/// A baseline_queue in a kernel's memory with a model controller at its other end.
class baseline_setup {
 public:
  baseline_setup(nkv_test::kernel_run& run, const nkv_test::nvme_model_options& options)
      : model(run.memory(), options), queue(run.memory().allocate_array<baseline_queue>("baseline queue", 1)) {
    const auto words = [&run](const char* name, std::uint32_t count) {
      return run.memory().allocate_array<baseline_word>(name, count);
    };
    queue->sq = model.sq();
    queue->cq = model.cq();
    queue->sq_doorbell = model.sq_doorbell();
    queue->cq_doorbell = model.cq_doorbell();
    queue->cid_locks = words("CID locks", baseline_queue::cids);
    queue->generations = words("generations", options.sq_entries);
    queue->tail_marks = words("tail marks", options.sq_entries);
    queue->pos_locks = words("position locks", options.cq_entries);
    queue->head_marks = words("head marks", options.cq_entries);
    queue->sq_entries = options.sq_entries;
    queue->sq_entries_log2 = static_cast<std::uint32_t>(std::countr_zero(options.sq_entries));
    queue->cq_entries = options.cq_entries;
    queue->cq_entries_log2 = static_cast<std::uint32_t>(std::countr_zero(options.cq_entries));
    queue->nsid = options.nsid;
    run.add_agent([this](std::uint64_t) { model.tick(); });
  }
  baseline_setup(const baseline_setup&) = delete;
  baseline_setup& operator=(const baseline_setup&) = delete;

  nkv_test::nvme_model model;
  baseline_queue* queue;
};

}  // namespace bench
