// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/host/controller/queue_pair.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/proxy/command_filter.hpp>
#include <nkv/host/proxy/proxy_layout.hpp>
#include <nkv/host/proxy/proxy_queue.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/status_code.hpp>

#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// How a proxy is made.
struct proxy_options {
  /// Entries of the proxy's submission queue, cut to a power of two. How many are below at once is the lower queue's
  /// own depth.
  std::uint32_t entries = 64;
  /// The longest value that PRP lists are provided for; 0: the namespace's.
  std::uint64_t max_value_bytes = 0;
  /// start(): how long the thread looks again and again after the last command, first pausing and then giving the
  /// processor away at each look, before it sleeps between looks. It does not sleep while commands are under way.
  std::uint64_t spin_ns = 1'000'000;
  /// For how long then, which is what a command after a rest may wait; 0: it never sleeps, and a processor is its own.
  /// (A device cannot wake it.)
  std::uint64_t sleep_ns = 50'000;
};

/// The memory of a proxy's queue, the caller's: for the proxy's life, and used by nobody else. Sizes are
/// proxy_layout_of()'s; alignment: 64 bytes, and the namespace's page for the scratch.
struct proxy_memory {
  /// As this process reaches it: rings, doorbells and bookkeeping. Nothing that the controller below can write.
  std::byte* queue = nullptr;
  std::byte* device_queue = nullptr;  ///< the same as the device reaches it; null: at the same address
  /// Key heads and PRP lists, which the controller below reads. Registered with it, zero_copy; at its start.
  const registration* scratch = nullptr;
  std::byte* device_scratch = nullptr;  ///< the same as the device reaches it; null: at the same address
};

/// The sizes of what a proxy for a namespace with these limits needs: queue_bytes and scratch_bytes. An invalid shape
/// where `options.entries` is below 2.
[[nodiscard]] constexpr proxy_layout proxy_layout_of(const limits& limits, const proxy_options& options) noexcept {
  const queue_shape shape = queue_shape::fitting(options.entries, 65536);
  if (!shape.valid()) return {};
  const std::uint64_t longest = options.max_value_bytes != 0 ? options.max_value_bytes : limits.max_value_bytes;
  return proxy_layout::of(shape, scratch_list_bytes(limits, longest), limits.page_bytes);
}

/// A KV namespace for device code that does not reach the controller itself: a queue pair in memory that both the
/// device and this process reach, and a thread, or the caller by poll(), that carries its commands to the namespace's
/// controller over whatever transport that is on, and the completions back. Device code uses ref() as it uses any
/// namespace.
///
/// Where the controller is lost or reset every command under way ends as disconnected or outcome_unknown, and
/// liveness() says so; the proxy stays dead.
///
/// Moves only, on one thread at a time. It goes before the memory, the scratch's registration, and the refs' last use.
/// @tparam Sharing who uses the ref: `shared` for the threads of a whole grid. What runs here is one thread in any case
template <class Sharing>
class proxy {
 public:
  /// @param lower  the namespace, which is the proxy's own from now on
  /// @param values where values may lie: registration::value() of what the device uses. Commands with data elsewhere
  ///               are refused (see command_filter)
  /// @return the proxy, not started; or
  ///         - client/bad_argument    no memory, or not aligned; fewer than 2 entries; scratch that is too short
  ///         - client/staged_refused  the scratch is staged: the controller would read a copy of it
  ///         - client/disconnected    the controller is lost already
  ///         - client/forked          this process is a child of the namespace's
  [[nodiscard]] static host::result<proxy> create(kv_namespace<exclusive> lower, const proxy_memory& memory,
                                                  std::vector<value_ref> values, const proxy_options& options = {}) {
    const namespace_profile& profile = lower.profile();
    const proxy_layout layout = proxy_layout_of(profile.limits, options);
    if (!layout.shape.valid() || memory.queue == nullptr || memory.scratch == nullptr ||
        memory.scratch->size_bytes() < layout.scratch_bytes)
      return status{client_status::bad_argument};
    if (memory.scratch->kind() != registration::zero_copy) return status{client_status::staged_refused};
    const value_ref scratch = memory.scratch->value();
    std::byte* const device_queue = memory.device_queue != nullptr ? memory.device_queue : memory.queue;
    std::byte* const device_scratch = memory.device_scratch != nullptr ? memory.device_scratch : memory.scratch->data();
    for (const std::byte* p : {memory.queue, device_queue}) {
      if (reinterpret_cast<std::uintptr_t>(p) % proxy_layout::line_bytes != 0)
        return status{client_status::bad_argument};
    }
    if (scratch.address % profile.limits.page_bytes != 0 ||
        reinterpret_cast<std::uintptr_t>(device_scratch) % proxy_layout::line_bytes != 0)
      return status{client_status::bad_argument};
    lower.look();
    switch (lower.ref().queue().liveness()) {
      case queue_liveness::open: break;
      case queue_liveness::wiped: return status{client_status::forked};
      default: return status{client_status::disconnected};
    }

    proxy p;
    p.parts_ = layout.parts(device_queue, device_scratch, scratch.address, lower.ref().queue().qid());
    p.sq_tail_ = layout.sq_tail(device_queue);
    p.cq_head_ = layout.cq_head(device_queue);
    p.self_ = std::make_unique<state>(std::move(lower), layout, memory, scratch, std::move(values), options);
    return p;
  }

  proxy(proxy&&) noexcept = default;
  proxy& operator=(proxy&& other) noexcept {
    if (this != &other) {
      end();
      self_ = std::move(other.self_);
      parts_ = other.parts_;
      sq_tail_ = other.sq_tail_;
      cq_head_ = other.cq_head_;
    }
    return *this;
  }
  /// stop(), for a second at most.
  ~proxy() { end(); }

  /// The namespace as the device uses it, to be passed to a kernel by value; with device::shared_doorbell and
  /// device::atomics. Copies are the same queue; none is used after the proxy's end.
  template <doorbell Doorbell = mapped_doorbell<>, class Atomics = native_atomics>
  [[nodiscard]] namespace_ref<queue_pair_ref<Sharing, Doorbell, Atomics>> ref() const noexcept {
    return {queue_pair_ref<Sharing, Doorbell, Atomics>(parts_, Doorbell{sq_tail_, cq_head_}), self_->lower.profile()};
  }

  /// Starts the thread that carries commands.
  /// @return success, client/bad_argument where it was started or stopped before, client/forked, or
  ///         client/system_error where the system gives no thread
  [[nodiscard]] status start() {
    state& s = *self_;
    if (s.forked()) return client_status::forked;
    if (s.phase != state::made) return client_status::bad_argument;
    const auto entry = [](void* of) -> void* {
      static_cast<state*>(of)->run();
      return nullptr;
    };
    if (const int error = pthread_create(&s.thread, nullptr, entry, &s); error != 0)
      return {client_status::system_error, static_cast<std::uint16_t>(error)};
    s.phase = state::running;
    return {};
  }

  /// For who starts no thread: carries what has come, once, on the calling thread, one at a time. It looks whether the
  /// connection is there now and then. @return how many commands moved. @pre not started
  std::uint32_t poll() noexcept { return self_->step(); }

  /// Ends it: nothing more is fetched, and what is under way below is waited for. Then the queue is over for its users:
  /// commands that were not answered end as disconnected or outcome_unknown.
  /// @return success: nothing was under way any more; client/timed_out: something was, and its memory may be written
  ///         until the proxy's end; client/disconnected: it was dead before; client/forked. A second call returns the
  ///         same
  [[nodiscard]] status stop(deadline until) noexcept {
    state& s = *self_;
    if (s.forked()) return client_status::forked;
    if (s.phase == state::stopped) return s.ended;
    s.stop_at_ns.store(until.at_ns(), std::memory_order_relaxed);
    // Release: the deadline comes before the thread sees that it is to stop.
    s.stopping.store(true, std::memory_order_release);
    if (s.phase == state::running)
      pthread_join(s.thread, nullptr);
    else
      s.finish();
    s.phase = state::stopped;
    return s.ended;
  }

  /// open; lost or fenced once the controller is, or after stop(). Any thread.
  [[nodiscard]] queue_liveness liveness() const noexcept { return self_->host_liveness(); }
  /// Any thread.
  [[nodiscard]] proxy_statistics statistics() const noexcept { return self_->queue.statistics(); }
  [[nodiscard]] const namespace_profile& profile() const noexcept { return self_->lower.profile(); }
  /// Commands that may be outstanding at once.
  [[nodiscard]] std::uint32_t capacity() const noexcept { return parts_.shape.cids(); }

 private:
  static constexpr std::uint64_t look_interval_ns = 20'000'000;
  static constexpr std::uint32_t steps_per_clock_read = 256;
  static constexpr std::uint64_t teardown_ms = 1000;

  using lower_ref = queue_pair<exclusive>::ref_type;

  struct state {
    state(kv_namespace<exclusive> below, const proxy_layout& layout, const proxy_memory& memory,
          const value_ref& scratch, std::vector<value_ref> values, const proxy_options& how)
        : lower(std::move(below)),
          queue(layout, memory.queue, lower.ref().queue().qid(), lower.ref().queue(),
                command_filter(lower.profile().nsid, lower.profile().read_only, lower.profile().limits.page_bytes,
                               scratch, std::move(values))),
          users(layout.parts(memory.queue, memory.scratch->data(), scratch.address, lower.ref().queue().qid()),
                {layout.sq_tail(memory.queue), layout.cq_head(memory.queue)}),
          options(how) {
      users.initialize();
      next_look_ns = steady_clock::now_ns() + look_interval_ns;
    }

    [[nodiscard]] bool forked() const noexcept { return lower.ref().queue().liveness() == queue_liveness::wiped; }
    [[nodiscard]] queue_liveness host_liveness() const noexcept {
      return forked() ? queue_liveness::wiped : users.liveness();
    }

    std::uint32_t step() noexcept {
      const std::uint32_t moved = queue.poll();
      // Where commands flow the clock is read now and then; where none do it may be.
      if (moved == 0 || ++steps % steps_per_clock_read == 0) {
        now_ns = steady_clock::now_ns();
        if (now_ns >= next_look_ns) {
          lower.look();
          next_look_ns = now_ns + look_interval_ns;
        }
      }
      return moved;
    }

    void run() noexcept {
      std::uint64_t idle_since_ns = 0;
      std::uint32_t idle = 0;
      while (!stopping.load(std::memory_order_acquire)) {
        if (step() != 0) {
          idle = 0;
          continue;
        }
        if (idle == 0 || busy()) idle_since_ns = now_ns;
        if (options.sleep_ns != 0 && now_ns - idle_since_ns >= options.spin_ns) {
          const timespec t{static_cast<time_t>(options.sleep_ns / 1'000'000'000u),
                           static_cast<long>(options.sleep_ns % 1'000'000'000u)};
          nanosleep(&t, nullptr);
        } else {
          steady_clock::relax(idle++);
        }
      }
      finish();
    }

    /// Whether completions are to come.
    [[nodiscard]] bool busy() const noexcept {
      return queue.in_flight() != 0 && lower.ref().queue().liveness() == queue_liveness::open;
    }

    void finish() noexcept {
      const deadline until(stop_at_ns.load(std::memory_order_relaxed));
      queue.drain();
      for (std::uint32_t spins = 0; busy() && !until.expired(); ++spins) {
        if (step() == 0) steady_clock::relax(spins);
      }
      step();
      if (users.liveness() != queue_liveness::open) {
        ended = client_status::disconnected;
        return;
      }
      const bool over = queue.in_flight() == 0;
      ended = over ? status() : status(client_status::timed_out);
      queue.pass_on(over ? queue_liveness::fenced : queue_liveness::lost);
    }

    kv_namespace<exclusive> lower;
    proxy_queue<lower_ref> queue;
    queue_pair_ref<Sharing, mapped_doorbell<>> users;  // at this process's addresses
    proxy_options options;
    std::uint64_t now_ns = 0;
    std::uint64_t next_look_ns = 0;
    std::uint32_t steps = 0;
    std::atomic<bool> stopping{false};
    std::atomic<std::uint64_t> stop_at_ns{0};
    enum { made, running, stopped } phase = made;
    status ended{};
    pthread_t thread{};
  };

  proxy() = default;

  void end() noexcept {
    if (self_ == nullptr) return;
    // In a child after fork() the thread and the memory are the parent's, and stop() touches neither.
    static_cast<void>(stop(deadline::after_ms(teardown_ms)).ok());
    self_.reset();
  }

  std::unique_ptr<state> self_;
  queue_pair_parts parts_{};
  std::uint32_t* sq_tail_ = nullptr;
  std::uint32_t* cq_head_ = nullptr;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
