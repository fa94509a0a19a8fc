// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstddef>
#include <cstdint>

namespace bench {

/// A word in a sector of its own, as BaM keeps everything that threads contend for.
struct alignas(32) baseline_word {
  std::uint32_t value = 0;
};

/// A queue pair after BaM's (ASPLOS 2023), to measure against: written from a description of its algorithm, with none
/// of its code. It lives in device memory, and kernels get a pointer to it, as BaM's do. See baseline.cu.
struct baseline_queue {
  static constexpr std::uint32_t cids = 32768;

  nkv::sqe* sq = nullptr;
  const nkv::cqe* cq = nullptr;
  std::uint32_t* sq_doorbell = nullptr;
  std::uint32_t* cq_doorbell = nullptr;
  baseline_word* cid_locks = nullptr;    ///< `cids`; 1: in use
  baseline_word* generations = nullptr;  ///< sq_entries; twice the lap, and 1 more while an entry is the controller's
  baseline_word* tail_marks = nullptr;   ///< sq_entries; 1: written and not yet rung
  baseline_word* pos_locks = nullptr;    ///< cq_entries; 1: a thread takes this entry
  baseline_word* head_marks = nullptr;   ///< cq_entries; 1: taken and not yet given back
  std::uint32_t sq_entries = 0;
  std::uint32_t sq_entries_log2 = 0;
  std::uint32_t cq_entries = 0;
  std::uint32_t cq_entries_log2 = 0;
  std::uint32_t nsid = 0;

  baseline_word cid_ticket;
  baseline_word in_ticket;
  baseline_word sq_tail;
  baseline_word sq_head;  ///< what the controller has fetched, as its completions say
  baseline_word tail_lock;
  baseline_word cq_head;
  baseline_word head_lock;
};

/// What each thread of a kernel of the baseline does. In guest memory.
struct baseline_job {
  std::uint32_t rounds = 0;
  std::uint32_t value_words = 0;
  const std::byte* keys = nullptr;         ///< 16 bytes of each thread
  const std::uint32_t* sources = nullptr;  ///< value_words of each thread
  std::uint32_t* buffers = nullptr;        ///< the same
};

}  // namespace bench
