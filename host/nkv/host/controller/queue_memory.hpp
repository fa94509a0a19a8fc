// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
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

/// The memory of one queue pair: rings, scratch of the CIDs and a spare page in one region that the controller reaches,
/// the bookkeeping in a block that it does not. Pages are taken when they are touched.
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
  /// @return the memory, mapped; or client/bad_argument for a shape or sizes that are not valid, or what
  /// region::create()
  ///         and attachment::map() return
  [[nodiscard]] static host::result<queue_memory> create(std::shared_ptr<attachment> to, queue_shape shape,
                                                         std::uint32_t page_bytes, std::uint32_t list_bytes,
                                                         deadline until) {
    if (!shape.valid() || list_bytes < 64 || (list_bytes & (list_bytes - 1)) != 0 || page_bytes < spare_bytes)
      return status{client_status::bad_argument};
    queue_memory m;
    m.shape_ = shape;
    m.list_bytes_ = list_bytes;
    const std::size_t cids = shape.cids();
    m.cq_offset_ = up(sizeof(sqe) * shape.sq_entries, page_bytes);
    m.heads_offset_ = m.cq_offset_ + up(sizeof(cqe) * shape.cq_entries, page_bytes);
    m.lists_offset_ = m.heads_offset_ + up(std::size_t{scratch::head_bytes} * cids, page_bytes);
    m.spare_offset_ = m.lists_offset_ + up(std::size_t{list_bytes} * cids, page_bytes);

    host::result<private_block> control = private_block::create(queue_control_layout::of(shape).size_bytes);
    if (!control) return control.error();
    region_options how;
    how.alignment_bytes = page_bytes;
    how.name = "nkv-queue";
    host::result<region> memory = region::create(m.spare_offset_ + spare_bytes, how);
    if (!memory) return memory.error();
    if (const status s = to->map(memory->dma(), until); !s.ok()) {
      if (!attachment::surely_unmapped(s)) to->bury(*std::move(memory));
      return s;
    }
    m.control_ = *std::move(control);
    m.region_ = *std::move(memory);
    m.attachment_ = std::move(to);
    return m;
  }

  /// What a queue_pair_ref is made of.
  [[nodiscard]] queue_pair_parts parts(std::uint16_t qid) const noexcept {
    queue_pair_parts p;
    p.sq = reinterpret_cast<sqe*>(region_.data());
    p.cq = reinterpret_cast<const cqe*>(region_.data() + cq_offset_);
    p.control = control_.data();
    p.arena = {region_.data() + heads_offset_, address(heads_offset_), region_.data() + lists_offset_,
               address(lists_offset_), list_bytes_};
    p.shape = shape_;
    p.qid = qid;
    return p;
  }
  [[nodiscard]] queue_counters& counters() const noexcept {
    return *reinterpret_cast<queue_counters*>(control_.data());
  }
  [[nodiscard]] const queue_shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::uint64_t sq_address() const noexcept { return address(0); }
  [[nodiscard]] std::uint64_t cq_address() const noexcept { return address(cq_offset_); }
  [[nodiscard]] std::byte* spare() const noexcept { return region_.data() + spare_offset_; }
  [[nodiscard]] value_ref spare_value(std::size_t length_bytes) const noexcept {
    return {address(spare_offset_), length_bytes, 0};
  }
  [[nodiscard]] bool empty() const noexcept { return region_.empty(); }

  /// Zeroes both rings. @pre the controller does not use them
  void zero_rings() noexcept {
    // And not what is between them: with pages of 2 MiB that is a thousand times as much, all of it taken.
    std::memset(region_.data(), 0, sizeof(sqe) * shape_.sq_entries);
    std::memset(region_.data() + cq_offset_, 0, sizeof(cqe) * shape_.cq_entries);
  }

  /// @see attachment::dispose; empty afterwards
  void dispose(deadline until) {
    if (attachment_ == nullptr) return;
    attachment_->dispose(region_, until);
    clear();
  }
  /// @see attachment::bury; empty afterwards
  void bury() {
    if (attachment_ == nullptr) return;
    attachment_->bury(std::move(region_));
    clear();
  }

 private:
  static constexpr std::uint64_t teardown_ms = 1000;

  static constexpr std::size_t up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }
  [[nodiscard]] std::uint64_t address(std::size_t offset) const noexcept {
    return reinterpret_cast<std::uintptr_t>(region_.data()) + offset;
  }
  void clear() noexcept {
    region_ = region{};
    control_ = private_block{};
    attachment_.reset();
  }

  std::shared_ptr<attachment> attachment_;
  region region_;
  private_block control_;
  queue_shape shape_{};
  std::uint32_t list_bytes_ = 0;
  std::size_t cq_offset_ = 0;
  std::size_t heads_offset_ = 0;
  std::size_t lists_offset_ = 0;
  std::size_t spare_offset_ = 0;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
