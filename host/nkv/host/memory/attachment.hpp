// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/private_block.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/spec/status_code.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// What all owners of one controller share: the transport, the memory that the controller reaches through it, whether
/// the other side is still there, and what must outlive it where that is not certain.
///
/// Held by controller, queue_pair and registration; it goes with the last of them, and the connection with it. It knows
/// nothing of NVMe. Any thread.
class attachment {
 public:
  /// Bytes but for the last, since the connection was made. Any thread may read them.
  struct counters {
    std::atomic<std::uint64_t> staged_in{0};   ///< copied from callers' memory to where the controller reaches it
    std::atomic<std::uint64_t> staged_out{0};  ///< copied back
    std::atomic<std::uint64_t> buried{0};  ///< of owned memory, kept until the controller can no longer write into it
    std::atomic<std::uint64_t> abandoned{0};  ///< of owned memory, left mapped for the life of the process
    std::atomic<std::uint64_t> unquiesced{
        0};                                 ///< of callers' memory, unregistered without certainty that nobody writes
    std::atomic<std::uint64_t> retries{0};  ///< commands that were sent again, with more room for their answer
  };
  /// Of all I/O queues since the connection was made.
  struct queue_sums {
    std::uint64_t late_completions = 0;
    std::uint64_t stray_completions = 0;
    std::uint64_t queue_full = 0;

    void add(const queue_counters& q) noexcept {
      late_completions += native_atomics::load_relaxed(&q.late_completions, system_scope);
      stray_completions += native_atomics::load_relaxed(&q.stray_completions, system_scope);
      queue_full += native_atomics::load_relaxed(&q.queue_full, system_scope);
    }
  };

  /// @return it, or client/system_error with the errno of mmap or madvise
  [[nodiscard]] static host::result<std::shared_ptr<attachment>> create(std::unique_ptr<memory_transport> transport) {
    if (transport == nullptr) return status{client_status::bad_argument};
    host::result<private_block> word = private_block::create(sizeof(std::uint32_t));
    if (!word) return word.error();
    return std::shared_ptr<attachment>(new attachment(std::move(transport), *std::move(word)));
  }

  attachment(const attachment&) = delete;
  attachment& operator=(const attachment&) = delete;
  ~attachment() {
    look();
    for (region& r : buried_) dispose(r, deadline::after_ms(teardown_ms));
    // The connection is the parent's, and closing it here would end it there: what a child inherited stays open.
    if (forked()) static_cast<void>(transport_.release());
  }

  [[nodiscard]] memory_transport& transport() noexcept { return *transport_; }
  [[nodiscard]] const memory_transport& transport() const noexcept { return *transport_; }
  [[nodiscard]] counters& count() noexcept { return counters_; }
  [[nodiscard]] const counters& count() const noexcept { return counters_; }

  /// Whether this process is a child of the one that connected. A load, no system call.
  [[nodiscard]] bool forked() const noexcept {
    return native_atomics::load_relaxed(owner_word(), thread_scope) != owner_mark;
  }

  // Whether the other side is there
  // ------------------------------------------------------------------------------------

  [[nodiscard]] queue_liveness liveness() const noexcept { return liveness_.load(std::memory_order_acquire); }

  /// success while the controller can be used, or client/forked, client/disconnected
  [[nodiscard]] status usable() const noexcept {
    if (forked()) return client_status::forked;
    return liveness() == queue_liveness::open ? status() : status(client_status::disconnected);
  }

  /// Looks at the connection, without waiting, and tells the queues what has become of it.
  /// @return what liveness() says then
  queue_liveness look() noexcept {
    if (forked()) return liveness();
    if (liveness() == queue_liveness::open && !transport_->connected()) declare_lost();
    if (liveness() == queue_liveness::lost && transport_->peer_gone()) declare_fenced();
    return liveness();
  }

  /// No completion will come any more; the controller may still write. Does nothing where it is known to be fenced.
  void declare_lost() noexcept {
    const std::lock_guard lock(mutex_);
    if (liveness() != queue_liveness::open) return;
    tell(queue_liveness::lost);
  }

  /// The controller writes nothing any more: it was disabled, or its process has ended. What was buried is given back.
  void declare_fenced() {
    std::vector<region> buried;
    {
      const std::lock_guard lock(mutex_);
      tell(queue_liveness::fenced);
      // Fenced for good: whoever enables the controller anew makes new ones.
      for (watched& w : queues_) w.fenced = true;
      buried.swap(buried_);
    }
    for (region& r : buried) {
      counters_.buried -= r.size_bytes();
      if (!unmap(r.dma(), deadline::after_ms(teardown_ms)).ok()) forget(r.dma());
    }
  }

  /// The controller was enabled anew; queues made from now on are open.
  void reopen() noexcept {
    const std::lock_guard lock(mutex_);
    liveness_.store(queue_liveness::open, std::memory_order_release);
  }

  /// Keeps a queue's liveness up to date until unwatch().
  /// @param gpu where the counters are in its memory, which no host thread follows: its driver stores the word then,
  ///            and a running kernel sees it some time later, or not before its deadline where the GPU has no room for
  ///            another's work. Nothing is reused any sooner for that: who has not heard of a fence keeps its buffers.
  void watch(queue_counters* queue, std::shared_ptr<gpu_driver> gpu = nullptr) {
    const std::lock_guard lock(mutex_);
    queues_.push_back({queue, std::move(gpu), false});
    set(queues_.back(), liveness());
  }
  /// @pre no kernel uses the queue, if it is one for kernels
  void unwatch(queue_counters* queue) noexcept {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(queues_.begin(), queues_.end(), [&](const watched& w) { return w.counters == queue; });
    if (at == queues_.end()) return;
    if (at->gpu == nullptr) {
      ended_.add(*queue);
    } else if (queue_counters copy; at->gpu->copy_out(&copy, reinterpret_cast<std::byte*>(queue), sizeof copy).ok()) {
      ended_.add(copy);
    }
    queues_.erase(at);
  }
  /// What the queues that are watched have counted, and those that were; one in GPU memory is counted at its end.
  [[nodiscard]] queue_sums queue_counts() const noexcept {
    const std::lock_guard lock(mutex_);
    queue_sums sums = ended_;
    for (const watched& w : queues_)
      if (w.gpu == nullptr) sums.add(*w.counters);
    return sums;
  }

  // Memory
  // -------------------------------------------------------------------------------------------------------------

  /// Lets the controller reach `memory`. Ranges do not overlap: neither address nor length may touch what is mapped.
  /// @return success, client/bad_argument for an overlap, or what memory_transport::map_dma returns
  [[nodiscard]] status map(const dma_memory& memory, deadline until) {
    if (const status s = usable(); !s.ok()) return s;
    const auto first = reinterpret_cast<std::uintptr_t>(memory.address);
    if (memory.length_bytes == 0 || memory.length_bytes > ~std::uint64_t{0} - first) return client_status::bad_argument;
    {
      const std::lock_guard lock(mutex_);
      for (const dma_memory& m : mapped_) {
        const auto other = reinterpret_cast<std::uintptr_t>(m.address);
        if (first < other + m.length_bytes && other < first + memory.length_bytes) return client_status::bad_argument;
      }
      mapped_.push_back(memory);  // its place is taken while the transport is asked
    }
    const status s = transport_->map_dma(memory, until);
    if (!s.ok()) {
      forget(memory);
      look();
    }
    return s;
  }

  /// Whether a failure of map() leaves no doubt that nothing is mapped: a target that did not answer may have done it.
  [[nodiscard]] static bool surely_unmapped(status s) noexcept {
    return s == status(client_status::bad_argument) || s == status(client_status::system_error) ||
           s == status(client_status::staged_refused);
  }

  /// Takes back map().
  /// @return success: the controller touches the memory no more. Else what memory_transport::unmap_dma returns.
  [[nodiscard]] status unmap(const dma_memory& memory, deadline until) noexcept {
    if (forked()) return client_status::forked;
    {
      const std::lock_guard lock(mutex_);
      if (std::none_of(mapped_.begin(), mapped_.end(),
                       [&](const dma_memory& m) { return m.address == memory.address; }))
        return {};
    }
    const status s = transport_->unmap_dma(memory, until);
    if (s.ok()) {
      forget(memory);
    } else {
      look();
    }
    return s;
  }

  /// Whether the controller can no longer touch `memory`: it was taken back now, the controller is disabled, or its
  /// process has ended.
  [[nodiscard]] bool quiesce(const dma_memory& memory, deadline until) noexcept {
    if (forked()) return true;  // the parent's; what this process sees of it is its own to unmap
    if (unmap(memory, until).ok()) return true;
    if (liveness() != queue_liveness::fenced) return false;
    forget(memory);
    return true;
  }

  /// Gives `memory` back to the kernel once nobody else can write into it: now, or when the controller is fenced; or
  /// leaves it mapped for the life of the process where that never becomes certain.
  void dispose(region& memory, deadline until) {
    if (memory.empty()) return;
    if (quiesce(memory.dma(), until)) {
      memory = region{};
    } else {
      counters_.abandoned += memory.size_bytes();
      memory.abandon();
    }
  }

  /// Takes back every map(), as far as the target answers. @pre the controller is disabled
  void unmap_all(deadline until) {
    std::vector<dma_memory> all;
    {
      const std::lock_guard lock(mutex_);
      all = mapped_;
    }
    for (const dma_memory& m : all) static_cast<void>(quiesce(m, until));
  }

  /// Bytes mapped now.
  [[nodiscard]] std::uint64_t mapped_bytes() {
    const std::lock_guard lock(mutex_);
    std::uint64_t sum = 0;
    for (const dma_memory& m : mapped_) sum += m.length_bytes;
    return sum;
  }

  /// Keeps `memory`, into which a command of unknown fate may still write, until the controller is fenced.
  void bury(region memory) {
    if (memory.empty()) return;
    const std::lock_guard lock(mutex_);
    counters_.buried += memory.size_bytes();
    buried_.push_back(std::move(memory));
  }

 private:
  struct watched {
    queue_counters* counters;
    std::shared_ptr<gpu_driver> gpu;  // in whose memory they are; null: the host's
    bool fenced;                      // and told so: it is not told of what becomes of the controller later
  };
  static constexpr std::uint32_t owner_mark = 0x4e4b5631;
  static constexpr std::uint64_t teardown_ms = 1000;

  attachment(std::unique_ptr<memory_transport> transport, private_block word) noexcept
      : transport_(std::move(transport)), word_(std::move(word)) {
    native_atomics::store_relaxed(owner_word(), owner_mark, thread_scope);
  }

  [[nodiscard]] std::uint32_t* owner_word() const noexcept { return reinterpret_cast<std::uint32_t*>(word_.data()); }

  /// @pre mutex_ is held
  void tell(queue_liveness what) noexcept {
    liveness_.store(what, std::memory_order_release);
    for (const watched& w : queues_)
      if (!w.fenced) set(w, what);
  }
  void set(const watched& queue, queue_liveness what) const noexcept {
    std::uint32_t* const word = &queue.counters->liveness;
    const auto value = static_cast<std::uint32_t>(what);
    if (queue.gpu == nullptr) {
      // Release: what was done to fence the controller comes before anybody sees the queue as fenced and reuses a
      // buffer.
      native_atomics::store_release(word, value, system_scope);
    } else if (!forked()) {  // a driver is not a child's to call
      static_cast<void>(queue.gpu->store_word(word, value));
    }
  }

  void forget(const dma_memory& memory) noexcept {
    const std::lock_guard lock(mutex_);
    const auto at =
        std::find_if(mapped_.begin(), mapped_.end(), [&](const dma_memory& m) { return m.address == memory.address; });
    if (at != mapped_.end()) mapped_.erase(at);
  }

  std::unique_ptr<memory_transport> transport_;
  private_block word_;  // zero in a forked child
  std::atomic<queue_liveness> liveness_{queue_liveness::open};
  counters counters_;
  mutable std::mutex mutex_;  // what follows; never held while the transport is called
  std::vector<watched> queues_;
  queue_sums ended_;
  std::vector<dma_memory> mapped_;
  std::vector<region> buried_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
