// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/nkv.hpp>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace nkv_test {

/// A test's own clock: it moves when told to, and by a step at every look, so that no wait can hang.
struct stepping_clock {
  static inline std::atomic<std::uint64_t> now{1};
  static inline std::atomic<std::uint64_t> step{1};
  static inline std::atomic<std::uint64_t> relaxed{0};
  static std::uint64_t now_ns() noexcept { return now.fetch_add(step); }
  static void relax(std::uint32_t) noexcept { relaxed.fetch_add(1); }
};

/// The controller's side of one queue pair, over plain memory, doing what it is told and writing down every rule that
/// the host breaks. Written from the NVMe specification, apart from the target of the library. One thread at a time.
class model_controller {
 public:
  model_controller(const nkv::sqe* sq, nkv::cqe* cq, nkv::queue_shape shape, const std::uint32_t* sq_tail,
                   const std::uint32_t* cq_head, std::uint16_t qid)
      : sq_(sq),
        cq_(cq),
        sq_entries_(shape.sq_entries),
        cq_entries_(shape.cq_entries),
        tail_(sq_tail),
        head_(cq_head),
        qid_(qid) {}

  /// Copies up to `most` newly published entries into pending().
  std::size_t fetch(std::size_t most = ~std::size_t{0}) {
    std::size_t n = 0;
    const std::uint32_t tail = __atomic_load_n(tail_, __ATOMIC_ACQUIRE);
    if (tail >= sq_entries_) {
      error("tail " + std::to_string(tail) + " is beyond the ring");
      return 0;
    }
    if (tail != last_tail_) {
      const std::uint32_t moved = (tail - last_tail_) & (sq_entries_ - 1);
      const std::uint32_t unfetched = (last_tail_ - sq_head_) & (sq_entries_ - 1);
      if (moved > sq_entries_ - 1 - unfetched) error("tail moved past the head, or backwards");
      last_tail_ = tail;
      ++tail_moves_;
    }
    for (; n < most && sq_head_ != tail; ++n) {
      const nkv::sqe entry = sq_[sq_head_];
      if (entry.cid() == 0xffff) error("CID FFFFh");
      if (!cids_.insert(entry.cid()).second) error("CID " + std::to_string(entry.cid()) + " is outstanding already");
      pending_.push_back(entry);
      sq_head_ = (sq_head_ + 1) & (sq_entries_ - 1);
      ++fetched_;
    }
    return n;
  }

  [[nodiscard]] const std::vector<nkv::sqe>& pending() const { return pending_; }

  /// Completes pending command `i`; false where the completion queue is full.
  bool complete(std::size_t i, nkv::status s = {}, std::uint32_t dw0 = 0) {
    if (cq_full()) return false;
    const std::uint16_t cid = pending_[i].cid();
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    cids_.erase(cid);
    return post(cid, s, dw0);
  }

  /// Writes a completion for any CID, rightly or not; the phase last, as a controller that writes in pieces does.
  bool post(std::uint16_t cid, nkv::status s = {}, std::uint32_t dw0 = 0, std::uint16_t sqid_offset = 0) {
    if (cq_full()) return false;
    const nkv::cqe e = nkv::cqe::make(dw0, static_cast<std::uint16_t>(sq_head_),
                                      static_cast<std::uint16_t>(qid_ + sqid_offset), cid, s, phase_);
    nkv::cqe& slot = cq_[cq_tail_];
    for (int d = 0; d < 3; ++d) __atomic_store_n(&slot.dw[d], e.dw[d], __ATOMIC_RELAXED);
    __atomic_store_n(&slot.dw[3], e.dw[3], __ATOMIC_RELEASE);
    cq_tail_ = (cq_tail_ + 1) & (cq_entries_ - 1);
    if (cq_tail_ == 0) phase_ = !phase_;
    return true;
  }

  /// Whether one more completion would make the queue look empty, by the head that the host last rang.
  [[nodiscard]] bool cq_full() {
    const std::uint32_t head = __atomic_load_n(head_, __ATOMIC_ACQUIRE);
    if (head >= cq_entries_) error("head " + std::to_string(head) + " is beyond the ring");
    return ((cq_tail_ + 1) & (cq_entries_ - 1)) == head;
  }

  [[nodiscard]] std::uint64_t fetched() const { return fetched_; }
  [[nodiscard]] std::uint64_t tail_moves() const { return tail_moves_; }
  /// The first rule that was broken; empty where none was.
  [[nodiscard]] const std::string& broken() const { return broken_; }

 private:
  void error(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

  const nkv::sqe* sq_;
  nkv::cqe* cq_;
  std::uint32_t sq_entries_, cq_entries_;
  const std::uint32_t* tail_;
  const std::uint32_t* head_;
  std::uint16_t qid_;
  std::uint32_t sq_head_ = 0, last_tail_ = 0, cq_tail_ = 0;
  bool phase_ = true;
  std::uint64_t fetched_ = 0, tail_moves_ = 0;
  std::vector<nkv::sqe> pending_;
  std::set<std::uint16_t> cids_;
  std::string broken_;
};

/// The memory of a queue pair, with a ref and the controller at its other end.
template <class Sharing>
struct queue_rig {
  using ref_type = nkv::queue_pair_ref<Sharing, nkv::mapped_doorbell<>>;

  explicit queue_rig(std::uint32_t sq_entries, std::uint32_t cq_entries = 0, std::uint32_t list_bytes = 512,
                     std::uint16_t qid = 3)
      : shape{sq_entries, cq_entries != 0 ? cq_entries : 2 * sq_entries},
        sq(aligned<nkv::sqe>(sizeof(nkv::sqe) * shape.sq_entries)),
        cq(aligned<nkv::cqe>(sizeof(nkv::cqe) * shape.cq_entries)),
        control(aligned<std::byte>(nkv::queue_control_layout::of(shape).size_bytes)),
        heads(aligned<std::byte>(std::size_t{nkv::scratch::head_bytes} * shape.cids())),
        lists(aligned<std::byte>(std::size_t{list_bytes} * shape.cids())),
        controller(sq.get(), cq.get(), shape, &doorbells[0], &doorbells[1], qid) {
    nkv::queue_pair_parts parts;
    parts.sq = sq.get();
    parts.cq = cq.get();
    parts.control = control.get();
    parts.arena = {heads.get(), reinterpret_cast<std::uint64_t>(heads.get()), lists.get(),
                   reinterpret_cast<std::uint64_t>(lists.get()), list_bytes};
    parts.shape = shape;
    parts.qid = qid;
    ref = ref_type(parts, {&doorbells[0], &doorbells[1]});
    ref.initialize();
  }

  struct freer {
    void operator()(void* p) const noexcept { std::free(p); }
  };
  template <class T>
  using block = std::unique_ptr<T[], freer>;
  template <class T>
  static block<T> aligned(std::size_t bytes) {
    const std::size_t size = (bytes + 4095) / 4096 * 4096;
    void* p = std::aligned_alloc(4096, size);
    __builtin_memset(p, 0, size);
    return block<T>(static_cast<T*>(p));
  }

  nkv::queue_shape shape;
  block<nkv::sqe> sq;
  block<nkv::cqe> cq;
  block<std::byte> control, heads, lists;
  alignas(64) std::uint32_t doorbells[2] = {};
  model_controller controller;
  ref_type ref;
};

/// Runs a controller on a thread of its own until it goes out of scope: fetches, and answers each command by `answer`,
/// which gives status and DW0. Commands are completed in an order that a seed decides.
template <class Sharing>
class model_thread {
 public:
  using answer = std::function<std::pair<nkv::status, std::uint32_t>(const nkv::sqe&)>;

  model_thread(queue_rig<Sharing>& rig, answer a, std::size_t fetch_at_once = ~std::size_t{0}, std::uint32_t seed = 1)
      : thread_([this, &rig, a = std::move(a), fetch_at_once, seed] {
          std::uint32_t state = seed;
          while (!stop_.load()) {
            const std::size_t got = rig.controller.fetch(fetch_at_once);
            if (rig.controller.pending().empty()) {
              if (got == 0) std::this_thread::yield();
              continue;
            }
            state = state * 1664525u + 1013904223u;
            const std::size_t i = (state >> 8) % rig.controller.pending().size();
            if (rig.controller.cq_full()) {
              std::this_thread::yield();
              continue;
            }
            const auto [s, dw0] = a(rig.controller.pending()[i]);
            rig.controller.complete(i, s, dw0);
          }
        }) {}
  ~model_thread() {
    stop_.store(true);
    thread_.join();
  }
  model_thread(const model_thread&) = delete;
  model_thread& operator=(const model_thread&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace nkv_test
