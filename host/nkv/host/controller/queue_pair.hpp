// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/command/data_pointer_builder.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/completion_event.hpp>
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/controller/queue_memory.hpp>
#include <nkv/host/doorbell.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_doorbells.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/spec/status_code.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// The room for the PRP list of one command with up to `max_value_bytes` of data, a power of two. Where the controller
/// takes an SGL block of any address and length there are no long lists.
[[nodiscard]] constexpr std::uint32_t scratch_list_bytes(const limits& limits, std::uint64_t max_value_bytes) noexcept {
  constexpr std::uint32_t least = 512;
  constexpr std::uint64_t most_data = std::uint64_t{128} << 20;
  if (limits.sgl && !limits.sgl_dword_granular) return least;
  std::uint64_t data = max_value_bytes != 0 && max_value_bytes < most_data ? max_value_bytes : most_data;
  if (limits.max_transfer_bytes != 0 && limits.max_transfer_bytes < data) data = limits.max_transfer_bytes;
  // The worst place for a value is the last byte of a page.
  const std::uint64_t pages = prp_page_count(limits.page_bytes - 1, data, limits.page_bytes);
  const std::uint64_t bytes = prp_list_entries(pages, limits.page_bytes) * sizeof(prp_entry);
  std::uint32_t room = least;
  while (room < bytes) room *= 2;
  return room;
}

/// Whether a ref's doorbells are stored to as a device's registers are.
template <class Ref>
struct rings_bar : std::false_type {};
template <class Sharing, class Doorbell, class Atomics>
  requires(Doorbell::in_bar)
struct rings_bar<queue_pair_ref<Sharing, Doorbell, Atomics>> : std::true_type {};

/// What a queue made with `options` takes of a queue_room.
[[nodiscard]] inline std::size_t queue_room_bytes(const controller_core& core, const queue_options& options,
                                                  const limits& limits) noexcept {
  const queue_shape shape = queue_shape::fitting(options.entries, core.capabilities().max_queue_entries());
  return queue_memory::room_bytes(shape, core.page_bytes(), scratch_list_bytes(limits, options.max_value_bytes));
}

/// An I/O queue pair of a controller, and its memory.
///
/// ref() gives what commands are sent with; a ref does not outlive its owner. At its end the queues are deleted,
/// submission before completion: commands under way end there, and no DMA follows. A reset or shutdown of the
/// controller ends it too: its commands are then disconnected and quiesced, and the user makes a new one.
///
/// Moves only, on one thread at a time. exclusive: one thread at a time uses any copy of the ref. shared: any number
/// do.
template <class Sharing>
class queue_pair {
 public:
  using ref_type = queue_pair_ref<Sharing, host_doorbell>;

  queue_pair() noexcept = default;
  queue_pair(queue_pair&&) noexcept = default;
  queue_pair& operator=(queue_pair&& other) noexcept {
    if (this != &other) {
      end();
      core_ = std::move(other.core_);
      event_ = std::move(other.event_);
      memory_ = std::move(other.memory_);
      granted_ = other.granted_;
      ref_ = other.ref_;
    }
    return *this;
  }
  ~queue_pair() { end(); }

  /// @return the queue pair; client/bad_argument for fewer than 2 entries; where an event is asked for, what
  ///         completion_event::create() and memory_transport::set_interrupt() return; what queue_memory::create() and
  ///         controller_core::create_queues() return
  [[nodiscard]] static host::result<queue_pair> create(std::shared_ptr<controller_core> core,
                                                       const queue_options& options, const limits& limits,
                                                       deadline until) {
    const queue_shape shape = queue_shape::fitting(options.entries, core->capabilities().max_queue_entries());
    if (!shape.valid()) return status{client_status::bad_argument};
    host::result<queue_memory> memory = queue_memory::create(core->attached(), shape, core->page_bytes(),
                                                             scratch_list_bytes(limits, options.max_value_bytes), until,
                                                             options.gpu, options.place, options.room);
    if (!memory) return memory.error();
    // The bookkeeping alone: the rings are the controller's to clear while it creates them.
    ref_type(memory->parts(0), host_doorbell{}).initialize();
    if (const status s = memory->publish(); !s.ok()) return s;
    queue_pair q;
    if (options.completion_event) {
      host::result<completion_event> made = completion_event::create();
      if (!made) return made.error();
      q.event_ = *std::move(made);
    }
    bool fate_known = true;
    const nkv::result<controller_core::granted_queue> granted =
        core->create_queues(*memory, q.event_.fd(), fate_known, until);
    if (!granted) {
      if (!fate_known) memory->bury();
      return granted.error();
    }
    q.granted_ = *granted;
    q.ref_ = ref_type(memory->parts(granted->qid), host_doorbell(core->attached()->transport(), granted->qid,
                                                                 core->capabilities().doorbell_stride_bytes()));
    core->attached()->watch(memory->counters(), memory->gpu());
    q.memory_ = *std::move(memory);
    q.core_ = std::move(core);
    return q;
  }

  /// What host threads send commands with. Copies are the same queue. Of a queue in GPU memory it is a stand-in that
  /// takes none: client/disconnected.
  [[nodiscard]] const ref_type& ref() const noexcept { return ref_; }
  /// The queue for kernels, by value, where queue_options::gpu asked for it. They end before the queue pair and
  /// `doorbells` do. Device code and host threads do not use one queue at the same time. Where it is in GPU memory a
  /// kernel hears that the controller is lost or fenced when the GPU gets round to it (attachment::watch()), and in any
  /// case ends by its deadlines.
  /// @tparam Ref  device::queue_pair_ref of this Sharing, with device::bar_doorbell where `doorbells` are in a BAR
  /// @return it, or client/bad_argument without a GPU or for doorbells that are not of the Ref's kind, or what
  ///         gpu_doorbells::of() returns
  template <class Ref>
  [[nodiscard]] nkv::result<Ref> device_ref(const gpu_doorbells& doorbells) const noexcept {
    static_assert(std::is_same_v<typename Ref::sharing_type, Sharing>, "a ref of this queue's sharing");
    if (core_ == nullptr || doorbells.in_bar() != rings_bar<Ref>::value) return status{client_status::bad_argument};
    const queue_pair_parts parts = memory_.device_parts(granted_.qid);
    if (parts.sq == nullptr || parts.control == nullptr) return status{client_status::bad_argument};
    const nkv::result<gpu_doorbells::pair> bells =
        doorbells.of(granted_.qid, core_->capabilities().doorbell_stride_bytes());
    if (!bells) return bells.error();
    return Ref(parts, {bells->sq_tail, bells->cq_head});
  }
  [[nodiscard]] std::uint16_t qid() const noexcept { return granted_.qid; }
  /// Where the queue is, for gpu_memory::value() and pinned_memory::value().
  [[nodiscard]] memory_place place() const noexcept { return memory_.place(); }
  /// Commands that may be outstanding at once.
  [[nodiscard]] std::uint32_t capacity() const noexcept { return ref_.capacity(); }
  [[nodiscard]] const queue_shape& shape() const noexcept { return memory_.shape(); }

  /// Becomes readable when completions have arrived; not valid() where queue_options::completion_event did not ask for
  /// it.
  [[nodiscard]] const completion_event& event() const noexcept { return event_; }

  /// 4096 bytes that the controller reaches and nobody else uses; null where the queue is in GPU memory.
  [[nodiscard]] std::byte* spare() const noexcept { return memory_.spare(); }
  [[nodiscard]] value_ref spare_value(std::size_t length_bytes) const noexcept {
    return memory_.spare_value(length_bytes);
  }

 private:
  void end() noexcept {
    if (core_ == nullptr) return;
    const std::shared_ptr<attachment>& a = core_->attached();
    const deadline until = deadline::after_ms(core_->options().teardown_ms);
    if (a->forked()) {
      memory_.dispose(until);  // this process's view of it; the queues are the parent's
    } else {
      const bool gone = core_->delete_queues(granted_, until);
      a->unwatch(memory_.counters());
      if (gone || a->look() == queue_liveness::fenced) {
        memory_.dispose(until);
      } else {
        memory_.bury();
      }
    }
    core_.reset();
  }

  std::shared_ptr<controller_core> core_;
  completion_event event_;
  queue_memory memory_;
  controller_core::granted_queue granted_{};
  ref_type ref_{};
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
