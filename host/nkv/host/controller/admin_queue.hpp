// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/queue_memory.hpp>
#include <nkv/host/doorbell.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/result.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// The admin queue pair: its memory, and commands one at a time with a deadline.
///
/// A command's data lies in a page that goes with its CID. A command that timed out keeps both until the controller
/// completes it or is reset, so that nothing later is mistaken for its answer.
///
/// One thread at a time (controller_core has the lock).
class admin_queue {
 public:
  /// 31 commands at a time: the most that SPDK's target takes.
  static constexpr queue_shape shape{32, 64};
  static constexpr std::uint32_t data_bytes = 4096;

  /// Makes the memory and lets the controller reach it; nothing is written to the controller's registers.
  /// @return the queue, or what queue_memory::create() returns
  [[nodiscard]] static host::result<admin_queue> create(std::shared_ptr<attachment> to, std::uint32_t page_bytes,
                                                        std::uint32_t stride_bytes, deadline until) {
    host::result<queue_memory> memory = queue_memory::create(to, shape, page_bytes, data_bytes, until);
    if (!memory) return memory.error();
    admin_queue q;
    q.memory_ = *std::move(memory);
    q.doorbell_ = host_doorbell(to->transport(), 0, stride_bytes);
    q.attachment_ = std::move(to);
    return q;
  }

  admin_queue() noexcept = default;
  admin_queue(admin_queue&&) noexcept = default;
  admin_queue& operator=(admin_queue&&) noexcept = default;
  ~admin_queue() = default;

  /// Starts anew, with empty rings. @pre the controller is disabled
  void initialize() noexcept {
    if (started_) attachment_->unwatch(memory_.counters());
    memory_.zero_rings();
    ref_ = {memory_.parts(0), doorbell_};
    ref_.initialize();
    attachment_->watch(memory_.counters());
    started_ = true;
  }

  /// AQA, ASQ and ACQ as the controller is to have them.
  [[nodiscard]] static constexpr std::uint32_t attributes() noexcept {
    return admin_queue_attributes(shape.sq_entries, shape.cq_entries);
  }
  [[nodiscard]] std::uint64_t sq_address() const noexcept { return memory_.sq_address(); }
  [[nodiscard]] std::uint64_t cq_address() const noexcept { return memory_.cq_address(); }

  [[nodiscard]] const queue_pair_ref<exclusive, host_doorbell>& ref() const noexcept { return ref_; }

  /// Sends `what` and waits for its completion.
  /// @param[out] into up to 4096 bytes that the command reads from the controller; the command then has them as PRP1.
  ///             Zero where the controller wrote nothing. Copied once, so that they do not change under the reader's
  ///             eyes
  /// @return how it ended; client/timed_out: it may yet take effect; client/disconnected: the controller was lost
  /// meanwhile
  ///         or before; client/queue_full: 31 commands have timed out and none has been completed since
  [[nodiscard]] completion execute(const sqe& what, mutable_byte_span into, deadline until) {
    if (into.size() > data_bytes) return {client_status::bad_argument, 0};
    sqe command = what;
    auto r = ref_.reserve();
    if (!r && ref_.reap(ref_.capacity()) != 0) r = ref_.reserve();
    if (!r) return {r.error(), 0};
    const list_memory page = ref_.scratch_of(*r).list;
    if (!into.empty()) {
      std::memset(page.local, 0, data_bytes);
      command.set_dptr(data_pointer::prp(page.address));
    }
    const ticket t = ref_.post(*r, command);
    ref_.ring();
    const completion c = wait(t, until);
    if (c.status.is_client()) {
      static_cast<void>(ref_.cancel(t).ok());
      return c;
    }
    if (c.status.ok() && !into.empty()) std::memcpy(into.data(), page.local, into.size());
    static_cast<void>(ref_.consume(t).ok());
    return c;
  }

  /// Gives the memory back, or keeps it where the controller may still write into it. @see attachment::dispose
  void dispose(deadline until) {
    if (attachment_ == nullptr) return;
    if (started_) attachment_->unwatch(memory_.counters());
    started_ = false;
    memory_.dispose(until);
    attachment_.reset();
  }

 private:
  static constexpr std::uint64_t look_interval_ms = 20;

  /// Waits, and looks at the connection now and then: a lost one ends every wait at once.
  completion wait(ticket t, deadline until) noexcept {
    for (;;) {
      const deadline slice = deadline::after_ms(look_interval_ms);
      const completion c = ref_.wait(t, slice.at_ns() < until.at_ns() ? slice : until);
      if (!(c.status == status(client_status::timed_out)) || until.expired()) return c;
      attachment_->look();
    }
  }

  std::shared_ptr<attachment> attachment_;
  queue_memory memory_;
  host_doorbell doorbell_;
  queue_pair_ref<exclusive, host_doorbell> ref_;
  bool started_ = false;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
