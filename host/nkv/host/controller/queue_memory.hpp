// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/gpu_memory.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/private_block.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/scratch.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// A place in GPU memory of the caller's for the rings and scratch of a queue: many queues in what the target maps
/// once.
struct queue_room {
  std::shared_ptr<gpu_memory> memory;  ///< held as long as the queue is
  /// A multiple of the controller's page (CC.MPS). From here on queue_memory::room_bytes() are the queue's alone; where
  /// gpu_memory::kept() holds after its end, they are not used again.
  std::size_t offset_bytes = 0;
};

/// The memory of one queue pair: rings, scratch of the CIDs and a spare page in one region that the controller reaches,
/// the bookkeeping in a block that it does not. Pages are taken when they are touched.
///
/// Or both in GPU memory, which no host thread follows: what stands there is put there by the driver. parts() is then
/// of a stand-in, a queue in host memory that takes no commands.
///
/// Moves only. Its owner says how it ends: dispose() or bury(); a destroyed one is disposed of.
class queue_memory {
 public:
  /// Of the spare page, for the owner's own use.
  static constexpr std::size_t spare_bytes = 4096;

  queue_memory() noexcept = default;
  queue_memory(queue_memory&&) noexcept = default;
  queue_memory& operator=(queue_memory&& other) noexcept {
    if (this != &other) {
      dispose(deadline::after_ms(teardown_ms));
      attachment_ = std::move(other.attachment_);
      region_ = std::move(other.region_);
      control_ = std::move(other.control_);
      region_on_gpu_ = std::move(other.region_on_gpu_);
      control_on_gpu_ = std::move(other.control_on_gpu_);
      gpu_ = std::move(other.gpu_);
      rings_in_gpu_ = std::move(other.rings_in_gpu_);
      rings_offset_ = other.rings_offset_;
      control_in_gpu_ = std::move(other.control_in_gpu_);
      shape_ = other.shape_;
      list_bytes_ = other.list_bytes_;
      cq_offset_ = other.cq_offset_;
      heads_offset_ = other.heads_offset_;
      lists_offset_ = other.lists_offset_;
      spare_offset_ = other.spare_offset_;
    }
    return *this;
  }
  ~queue_memory() { dispose(deadline::after_ms(teardown_ms)); }

  /// @param page_bytes CC.MPS, a power of two: rings and lists start at such a page
  /// @param list_bytes room for a PRP list or SGL segment a CID, a power of two from 64 on
  /// @param gpu        whose kernels shall use the queue, or null
  /// @param place      where the memory is: the host's, or `gpu`'s
  /// @param room       where in the caller's memory of that place; empty: in memory of its own
  /// @return the memory, mapped; or
  ///         - client/bad_argument  a shape or sizes that are not valid; GPU memory without a GPU; room that is not of
  ///                                `place`, of `gpu` or of this controller, not at a page, too small, or kept
  ///         - client/unsupported   GPU memory of a kind that a kernel would poll in vain (check_queue_place()), not
  ///                                aligned to `page_bytes`, or of a GPU that stores no words for the host
  ///         - what region::create(), gpu_mapping::create(), attachment::map() and gpu_memory::create() return
  [[nodiscard]] static host::result<queue_memory> create(std::shared_ptr<attachment> to, queue_shape shape,
                                                         std::uint32_t page_bytes, std::uint32_t list_bytes,
                                                         deadline until,
                                                         const std::shared_ptr<gpu_driver>& gpu = nullptr,
                                                         memory_place place = memory_place::host_memory,
                                                         const queue_room& room = {}) {
    if (!shape.valid() || list_bytes < 64 || (list_bytes & (list_bytes - 1)) != 0 || page_bytes < spare_bytes)
      return status{client_status::bad_argument};
    const bool in_gpu = place != memory_place::host_memory;
    if ((in_gpu && gpu == nullptr) || (!in_gpu && room.memory != nullptr)) return status{client_status::bad_argument};
    queue_memory m;
    m.lay_out(shape, page_bytes, list_bytes);
    const std::size_t control_bytes = queue_control_layout::of(shape).size_bytes;
    host::result<private_block> control = private_block::create(control_bytes + (in_gpu ? sizeof(cqe) : 0));
    if (!control) return control.error();
    if (in_gpu) {
      m.control_ = *std::move(control);
      const status s = m.place_in_gpu(std::move(to), gpu, place, room, page_bytes, until);
      if (!s.ok()) return s;
      return m;
    }
    region_options how;
    how.alignment_bytes = page_bytes;
    how.name = "nkv-queue";
    host::result<region> memory = region::create(m.spare_offset_ + spare_bytes, how);
    if (!memory) return memory.error();
    if (gpu != nullptr) {
      auto rings = gpu_mapping::create(gpu, memory->data(), memory->size_bytes(), host_range::memory);
      if (!rings) return rings.error();
      auto bookkeeping = gpu_mapping::create(gpu, control->data(), control->size_bytes(), host_range::memory);
      if (!bookkeeping) return bookkeeping.error();
      m.region_on_gpu_ = *std::move(rings);
      m.control_on_gpu_ = *std::move(bookkeeping);
    }
    if (const status s = to->map(memory->dma(), until); !s.ok()) {
      if (!attachment::surely_unmapped(s)) to->bury(*std::move(memory));
      return s;
    }
    m.control_ = *std::move(control);
    m.region_ = *std::move(memory);
    m.attachment_ = std::move(to);
    return m;
  }

  /// What such a queue takes of a queue_room.
  [[nodiscard]] static std::size_t room_bytes(queue_shape shape, std::uint32_t page_bytes,
                                              std::uint32_t list_bytes) noexcept {
    queue_memory m;
    m.lay_out(shape, page_bytes, list_bytes);
    return m.spare_offset_;
  }

  /// What a queue_pair_ref is made of.
  [[nodiscard]] queue_pair_parts parts(std::uint16_t qid) const noexcept {
    if (place() == memory_place::host_memory) return parts_at(region_.data(), control_.data(), qid);
    queue_pair_parts p;
    // One entry, never written: all that a queue without commands looks at.
    p.cq = reinterpret_cast<const cqe*>(control_.data() + queue_control_layout::of(shape_).size_bytes);
    p.control = control_.data();
    p.shape = shape_;
    p.qid = qid;
    return p;
  }
  /// The same for device code, where create() was given a GPU; null pointers where it was not.
  [[nodiscard]] queue_pair_parts device_parts(std::uint16_t qid) const noexcept {
    if (place() != memory_place::host_memory) return parts_at(rings_on_gpu(), control_in_gpu_.on_device(), qid);
    queue_pair_parts p = parts(qid);
    p.sq = region_on_gpu_.on_device(p.sq);
    p.cq = region_on_gpu_.on_device(p.cq);
    p.control = control_on_gpu_.on_device(p.control);
    p.arena.heads = region_on_gpu_.on_device(p.arena.heads);
    p.arena.lists = region_on_gpu_.on_device(p.arena.lists);
    return p;
  }
  /// To be called once, when the bookkeeping of parts() was initialised: in GPU memory it is copied there, and what is
  /// left here stands for a queue that is lost.
  /// @return success, or what gpu_driver::copy_in() returns
  [[nodiscard]] status publish() {
    if (place() == memory_place::host_memory) return {};
    const status s =
        gpu_->copy_in(control_in_gpu_.on_device(), control_.data(), queue_control_layout::of(shape_).size_bytes);
    reinterpret_cast<queue_counters*>(control_.data())->liveness = static_cast<std::uint32_t>(queue_liveness::lost);
    return s;
  }

  [[nodiscard]] memory_place place() const noexcept {
    return rings_in_gpu_ == nullptr ? memory_place::host_memory : rings_in_gpu_->place();
  }
  /// Whose memory it is; null where it is the host's.
  [[nodiscard]] const std::shared_ptr<gpu_driver>& gpu() const noexcept { return gpu_; }
  /// In the memory that place() says: not to be followed where that is a GPU's.
  [[nodiscard]] queue_counters* counters() const noexcept {
    std::byte* const in_gpu = control_in_gpu_.on_device();
    return reinterpret_cast<queue_counters*>(in_gpu != nullptr ? in_gpu : control_.data());
  }
  [[nodiscard]] const queue_shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::uint64_t sq_address() const noexcept { return address(0); }
  [[nodiscard]] std::uint64_t cq_address() const noexcept { return address(cq_offset_); }
  /// Null where the memory is a GPU's.
  [[nodiscard]] std::byte* spare() const noexcept {
    return place() == memory_place::host_memory ? region_.data() + spare_offset_ : nullptr;
  }
  [[nodiscard]] value_ref spare_value(std::size_t length_bytes) const noexcept {
    return place() == memory_place::host_memory ? value_ref{address(spare_offset_), length_bytes, 0} : value_ref{};
  }
  [[nodiscard]] bool empty() const noexcept { return attachment_ == nullptr; }

  /// Zeroes both rings. @pre the controller does not use them, and they are in host memory
  void zero_rings() noexcept {
    // And not what is between them: with pages of 2 MiB that is a thousand times as much, all of it taken.
    std::memset(region_.data(), 0, sizeof(sqe) * shape_.sq_entries);
    std::memset(region_.data() + cq_offset_, 0, sizeof(cqe) * shape_.cq_entries);
  }

  /// @see attachment::dispose; empty afterwards
  void dispose(deadline until) {
    if (attachment_ == nullptr) return;
    leave_gpu();
    attachment_->dispose(region_, until);
    clear();
  }
  /// @see attachment::bury; empty afterwards. GPU memory is kept, the caller's too: see gpu_memory::keep().
  void bury() {
    if (attachment_ == nullptr) return;
    leave_gpu();
    attachment_->bury(std::move(region_));
    if (rings_in_gpu_ != nullptr) rings_in_gpu_->keep();
    clear();
  }

 private:
  static constexpr std::uint64_t teardown_ms = 1000;

  status place_in_gpu(std::shared_ptr<attachment> to, const std::shared_ptr<gpu_driver>& gpu, memory_place place,
                      const queue_room& room, std::uint32_t page_bytes, deadline until) {
    if (const status s = check_queue_place(place, gpu->facts().vendor); !s.ok()) return s;
    if (!gpu->facts().stores_words) return client_status::unsupported;
    const gpu_memory_kind kind =
        place == memory_place::gpu_fine_grained ? gpu_memory_kind::fine_grained : gpu_memory_kind::plain;
    std::shared_ptr<gpu_memory> rings = room.memory;
    if (rings == nullptr) {
      host::result<gpu_memory> own = gpu_memory::create(to, gpu, spare_offset_, kind, until);
      if (!own) return own.error();
      rings = std::make_shared<gpu_memory>(*std::move(own));
    } else if (rings->place() != place || rings->driver() != gpu || !rings->reached_through(to.get()) ||
               rings->kept() || room.offset_bytes % page_bytes != 0 || room.offset_bytes > rings->size_bytes() ||
               spare_offset_ > rings->size_bytes() - room.offset_bytes) {
      return client_status::bad_argument;
    }
    std::byte* const at = rings->on_device() + room.offset_bytes;
    if (reinterpret_cast<std::uintptr_t>(at) % page_bytes != 0) return client_status::unsupported;
    host::result<gpu_memory> control = gpu_memory::create_unshared(to, gpu, control_.size_bytes(), kind);
    if (!control) return control.error();
    // A completion queue is zero before the controller is told of it; and what stood in the rest is not its business.
    if (const status s = gpu->clear(at, spare_offset_); !s.ok()) return s;
    rings_in_gpu_ = std::move(rings);
    rings_offset_ = room.offset_bytes;
    control_in_gpu_ = *std::move(control);
    gpu_ = gpu;
    attachment_ = std::move(to);
    return {};
  }

  void lay_out(queue_shape shape, std::uint32_t page_bytes, std::uint32_t list_bytes) noexcept {
    shape_ = shape;
    list_bytes_ = list_bytes;
    const std::size_t cids = shape.cids();
    cq_offset_ = up(sizeof(sqe) * shape.sq_entries, page_bytes);
    heads_offset_ = cq_offset_ + up(sizeof(cqe) * shape.cq_entries, page_bytes);
    lists_offset_ = heads_offset_ + up(std::size_t{scratch::head_bytes} * cids, page_bytes);
    spare_offset_ = lists_offset_ + up(std::size_t{list_bytes} * cids, page_bytes);
  }
  [[nodiscard]] std::byte* rings_on_gpu() const noexcept {
    return rings_in_gpu_ == nullptr ? nullptr : rings_in_gpu_->on_device() + rings_offset_;
  }

  [[nodiscard]] queue_pair_parts parts_at(std::byte* rings, std::byte* control, std::uint16_t qid) const noexcept {
    queue_pair_parts p;
    p.sq = reinterpret_cast<sqe*>(rings);
    p.cq = reinterpret_cast<const cqe*>(rings + cq_offset_);
    p.control = control;
    p.arena = {rings + heads_offset_, address(heads_offset_), rings + lists_offset_, address(lists_offset_),
               list_bytes_};
    p.shape = shape_;
    p.qid = qid;
    return p;
  }

  static constexpr std::size_t up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }
  [[nodiscard]] std::uint64_t address(std::size_t offset) const noexcept {
    const std::byte* const in_gpu = rings_on_gpu();
    return reinterpret_cast<std::uintptr_t>(in_gpu != nullptr ? in_gpu : region_.data()) + offset;
  }
  /// Before the memory is unmapped: a driver cannot take back what is no longer there.
  void leave_gpu() noexcept {
    static_cast<void>(region_on_gpu_.release());
    static_cast<void>(control_on_gpu_.release());
  }
  void clear() noexcept {
    region_ = region{};
    rings_in_gpu_.reset();
    control_in_gpu_ = gpu_memory{};
    control_ = private_block{};
    gpu_.reset();
    attachment_.reset();
  }

  std::shared_ptr<attachment> attachment_;
  region region_;
  private_block control_;
  gpu_mapping region_on_gpu_;  // after what they are of: they end first
  gpu_mapping control_on_gpu_;
  std::shared_ptr<gpu_driver> gpu_;  // of what is in its memory
  std::shared_ptr<gpu_memory> rings_in_gpu_;
  std::size_t rings_offset_ = 0;
  gpu_memory control_in_gpu_;  // which the controller is not told of
  queue_shape shape_{};
  std::uint32_t list_bytes_ = 0;
  std::size_t cq_offset_ = 0;
  std::size_t heads_offset_ = 0;
  std::size_t lists_offset_ = 0;
  std::size_t spare_offset_ = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
