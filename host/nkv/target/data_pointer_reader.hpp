// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/scatter_list.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nkv::inline NKV_ABI {
namespace target {

/// Walks a command's data pointer, from the first byte on, and gives the memory that it names.
///
/// PRPs, PRP lists and SGLs lie in memory that the client can still change: each entry is read once, into memory of
/// this object, and checked there. A client can name what it likes: what it names is either within its own regions or
/// refused, and the walk ends, since each step takes data or counts against `max_descriptors`.
///
/// Order of calls: open(); first_byte() if wanted; expect(); take() as often as wanted. Not for concurrent use.
class data_pointer_reader {
 public:
  /// @param map lives as long as this
  explicit data_pointer_reader(const dma_map& map, std::uint32_t max_descriptors = 65536) noexcept
      : map_(&map), max_descriptors_(max_descriptors) {}

  /// CC.MPS: the page of PRPs. @param page_bytes a power of two, 4096 or more
  void set_page_bytes(std::uint32_t page_bytes) noexcept { page_bytes_ = page_bytes; }

  /// Begins with another data pointer.
  void open(const data_pointer& pointer) noexcept {
    pointer_ = pointer;
    piece_left_ = 0;
    step_ = pointer.format == psdt::prp ? step::prp1 : step::sgl1;
    after_bytes_ = 0;
    descriptors_ = 0;
    chunk_at_ = chunk_count_ = 0;
    segment_left_ = 0;
    last_segment_ = false;
  }

  /// Whether there is a data pointer at all: an all-zero one is none.
  [[nodiscard]] bool present() const noexcept { return pointer_.low != 0 || pointer_.high != 0; }

  /// The first byte of the data, without moving. Before expect().
  /// @param[out] value unchanged on failure
  /// @return success, data_transfer_error (0/04h) where it is not memory that may be read; as take() for an SGL
  [[nodiscard]] status first_byte(std::byte& value) noexcept {
    std::uint64_t address = pointer_.low;
    if (step_ != step::prp1) {
      if (const status s = next_block(); !s.ok()) return s;
      address = piece_address_;
    }
    const std::byte* const p = map_->translate(address, 1, dma_access::read);
    if (p == nullptr) return generic(generic_status::data_transfer_error);
    copy_once(&value, p, 1);
    return {};
  }

  /// Says how many bytes will be taken in all, on which the meaning of PRP2 depends. Once, before the first take().
  void expect(std::uint64_t total_bytes) noexcept {
    if (step_ != step::prp1) return;
    piece_address_ = pointer_.low;
    piece_left_ = std::min<std::uint64_t>(total_bytes, page_bytes_ - (pointer_.low & (page_bytes_ - 1)));
    after_bytes_ = total_bytes - piece_left_;
    step_ = step::prp2;
  }

  /// Appends the memory of the next `bytes` bytes.
  /// @return data_transfer_error (0/04h) for what is not in one of the client's regions with that access;
  ///         sgl_length_invalid (0/0Fh) where the SGL ends before, or more is taken than was expected;
  ///         invalid_prp_offset (0/13h); sgl_type_invalid (0/11h) for all but data blocks and segments by address;
  ///         invalid_sgl_segment (0/0Dh) for a segment of a wrong length or in a wrong place;
  ///         invalid_sgl_count (0/0Eh); internal_error (0/06h) where there is no memory
  [[nodiscard]] status take(std::uint64_t bytes, dma_access want, scatter_list& out) noexcept {
    while (bytes != 0) {
      if (piece_left_ == 0) {
        const status s = step_ == step::prp2 || step_ == step::prp_list ? next_page() : next_block();
        if (!s.ok()) return s;
      }
      const std::uint64_t n = std::min(bytes, piece_left_);
      std::byte* const p = map_->translate(piece_address_, n, want);
      if (p == nullptr) return generic(generic_status::data_transfer_error);
      if (!out.add(p, n)) return generic(generic_status::internal_error);
      piece_address_ += n;
      piece_left_ -= n;
      bytes -= n;
    }
    return {};
  }

 private:
  enum class step : std::uint8_t { prp1, prp2, prp_list, sgl1, segment, end };
  static constexpr std::uint32_t chunk_entries = 64;

  static status generic(std::uint8_t sc) noexcept { return {status_code_type::generic, sc}; }

  /// The next PRP entry's page.
  status next_page() noexcept {
    if (after_bytes_ == 0) return generic(generic_status::sgl_length_invalid);
    std::uint64_t entry = pointer_.high;
    if (step_ == step::prp2 && after_bytes_ > page_bytes_) {
      if ((entry & 7) != 0) return generic(generic_status::invalid_prp_offset);
      list_address_ = entry;
      step_ = step::prp_list;
    }
    if (step_ == step::prp_list) {
      const status s = next_list_entry(entry);
      if (!s.ok()) return s;
    }
    if ((entry & (page_bytes_ - 1)) != 0) return generic(generic_status::invalid_prp_offset);
    piece_address_ = entry;
    piece_left_ = std::min<std::uint64_t>(after_bytes_, page_bytes_);
    after_bytes_ -= piece_left_;
    return {};
  }

  status next_list_entry(std::uint64_t& entry) noexcept {
    if (chunk_at_ == chunk_count_) {
      const std::uint64_t pages = (after_bytes_ + page_bytes_ - 1) / page_bytes_;
      std::uint64_t in_page = (page_bytes_ - (list_address_ & (page_bytes_ - 1))) / 8;
      if (in_page == 1 && pages > 1) {
        // The last entry of a list's page leads to the next page of the list, unless it is the last of all. A page of
        // the list begins at a page, so that each holds entries besides the one that leads on: this comes to an end.
        std::uint64_t next = 0;
        if (!copy(list_address_, &next, sizeof next)) return generic(generic_status::data_transfer_error);
        if ((next & (page_bytes_ - 1)) != 0) return generic(generic_status::invalid_prp_offset);
        list_address_ = next;
        in_page = page_bytes_ / 8;
      }
      std::uint64_t n = std::min<std::uint64_t>(pages, chunk_entries);
      n = std::min(n, pages > in_page ? in_page - 1 : in_page);
      if (!copy(list_address_, chunk_, n * 8)) return generic(generic_status::data_transfer_error);
      list_address_ += n * 8;
      chunk_at_ = 0;
      chunk_count_ = static_cast<std::uint32_t>(n);
    }
    std::memcpy(&entry, reinterpret_cast<const std::byte*>(chunk_) + chunk_at_ * 8u, 8);
    ++chunk_at_;
    return {};
  }

  /// The next SGL data block that is not empty.
  status next_block() noexcept {
    if (piece_left_ != 0) return {};
    for (;;) {
      sgl_descriptor d;
      bool last_of_segment = true;
      if (step_ == step::sgl1) {
        d = pointer_.sgl1();
        step_ = step::end;
      } else if (step_ == step::segment) {
        if (segment_left_ == 0) return generic(generic_status::sgl_length_invalid);
        const status s = next_descriptor(d);
        if (!s.ok()) return s;
        last_of_segment = segment_left_ == 0;
      } else {
        return generic(generic_status::sgl_length_invalid);
      }
      if (d.subtype() != 0) return generic(generic_status::sgl_type_invalid);
      const bool leads_on = d.type() == sgl_type::segment || d.type() == sgl_type::last_segment;
      if (!leads_on && d.type() != sgl_type::data_block) return generic(generic_status::sgl_type_invalid);
      if (++descriptors_ > max_descriptors_) return generic(generic_status::invalid_sgl_count);
      if (leads_on) {
        // Only the last descriptor of a segment leads on, and that of a last segment does not.
        if (!last_of_segment || last_segment_ || d.length_bytes == 0 || d.length_bytes % sizeof d != 0)
          return generic(generic_status::invalid_sgl_segment);
        segment_address_ = d.address;
        segment_left_ = d.length_bytes / static_cast<std::uint32_t>(sizeof d);
        last_segment_ = d.type() == sgl_type::last_segment;
        chunk_at_ = chunk_count_ = 0;
        step_ = step::segment;
        continue;
      }
      if (step_ == step::segment && last_of_segment && !last_segment_)
        return generic(generic_status::invalid_sgl_segment);
      if (d.length_bytes == 0) continue;
      piece_address_ = d.address;
      piece_left_ = d.length_bytes;
      return {};
    }
  }

  status next_descriptor(sgl_descriptor& d) noexcept {
    if (chunk_at_ == chunk_count_) {
      const std::uint32_t n = std::min(segment_left_, chunk_entries);
      if (!copy(segment_address_, chunk_, n * sizeof d)) return generic(generic_status::data_transfer_error);
      segment_address_ += n * sizeof d;
      chunk_at_ = 0;
      chunk_count_ = n;
    }
    d = chunk_[chunk_at_++];
    --segment_left_;
    return {};
  }

  bool copy(std::uint64_t address, void* to, std::uint64_t bytes) const noexcept {
    const std::byte* const p = map_->translate(address, bytes, dma_access::read);
    if (p == nullptr) return false;
    copy_once(to, p, bytes);
    return true;
  }

  const dma_map* map_;
  std::uint32_t max_descriptors_;
  std::uint32_t page_bytes_ = 4096;

  data_pointer pointer_;
  step step_ = step::end;
  bool last_segment_ = false;
  std::uint32_t descriptors_ = 0;
  std::uint64_t piece_address_ = 0;
  std::uint64_t piece_left_ = 0;
  std::uint64_t after_bytes_ = 0;  ///< PRP: expected beyond the current piece
  std::uint64_t list_address_ = 0;
  std::uint64_t segment_address_ = 0;
  std::uint32_t segment_left_ = 0;  ///< descriptors not given yet
  std::uint32_t chunk_at_ = 0;
  std::uint32_t chunk_count_ = 0;
  sgl_descriptor chunk_[chunk_entries];  ///< descriptors, or twice as many PRP entries
};

/// Data that lies ready in one piece of this process's memory: what a server of a message-based transport has fetched
/// for a command, or will send. The same calls as data_pointer_reader.
class staged_data {
 public:
  explicit staged_data(mutable_byte_span staging) noexcept : staging_(staging) {}

  [[nodiscard]] bool present() const noexcept { return !staging_.empty(); }
  [[nodiscard]] status first_byte(std::byte& value) const noexcept {
    if (staging_.empty()) return {status_code_type::generic, generic_status::sgl_length_invalid};
    value = staging_[0];
    return {};
  }
  void expect(std::uint64_t) noexcept {}
  [[nodiscard]] status take(std::uint64_t bytes, dma_access, scatter_list& out) noexcept {
    if (bytes > staging_.size() - at_) return {status_code_type::generic, generic_status::sgl_length_invalid};
    if (!out.add(staging_.data() + at_, bytes)) return {status_code_type::generic, generic_status::internal_error};
    at_ += bytes;
    return {};
  }

 private:
  mutable_byte_span staging_;
  std::size_t at_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
