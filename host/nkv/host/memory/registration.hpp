// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// How memory is registered.
struct memory_options {
  /// Whether memory that the controller cannot reach may be served by a copy (see registration::staged). Without, it is
  /// refused with staged_refused.
  bool allow_staging = true;
  /// allocate(): 2 MiB pages, see region_options.
  bool hugetlb = false;
};

/// Memory that one controller reaches: values are stored from it and retrieved into it.
///
/// `zero_copy`: the controller works on the memory itself, which is owned here (allocate), shared by the caller with
/// its file descriptor, or in the same process as the target. `staged`: the controller works on a copy of equal size
/// owned here; stage_in() copies into it before a Store, stage_out() out of it after a Retrieve, and both are counted.
/// (Copies take memory only for the pages that are used.)
///
/// Register a whole arena once and name parts of it with value(): any number of commands at a time may use any parts.
/// The same address cannot be registered twice, nor overlapping ranges; two registrations of one controller are apart.
///
/// At its end the controller is told to let go. Commands that still use the memory then end in an error, and nothing is
/// written afterwards. Where the controller cannot be told (the connection is lost) and is not known to be gone, memory
/// owned here stays mapped for the life of the process, and memory of the caller's may still be written: release() says
/// so.
///
/// Moves only. Any thread may use a const registration; copies of staged ranges that overlap are the caller's to order.
class registration {
 public:
  enum kind_type : std::uint8_t {
    zero_copy,  ///< the controller works on the memory itself
    staged,     ///< the controller works on a copy
  };

  registration() noexcept = default;
  registration(registration&& other) noexcept
      : attachment_(std::move(other.attachment_)),
        owned_(std::move(other.owned_)),
        mapped_(std::exchange(other.mapped_, {})),
        data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        kind_(other.kind_) {}
  registration& operator=(registration&& other) noexcept {
    if (this != &other) {
      end();
      attachment_ = std::move(other.attachment_);
      owned_ = std::move(other.owned_);
      mapped_ = std::exchange(other.mapped_, {});
      data_ = std::exchange(other.data_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      kind_ = other.kind_;
    }
    return *this;
  }
  ~registration() { end(); }

  /// New memory, zero at the start, owned here.
  /// @return the registration, or what region::create() and attachment::map() return
  [[nodiscard]] static host::result<registration> allocate(std::shared_ptr<attachment> to, std::size_t size_bytes,
                                                           const memory_options& options, deadline until) {
    region_options how;
    how.hugetlb = options.hugetlb;
    host::result<region> memory = region::create(size_bytes, how);
    if (!memory) return memory.error();
    registration r;
    r.data_ = memory->data();
    r.size_bytes_ = size_bytes;
    r.owned_ = *std::move(memory);
    const dma_memory reached = r.owned_.dma();
    return attach(std::move(r), std::move(to), reached, until);
  }

  /// The caller's memory, which stays valid until the registration has ended.
  /// @param fd        what backs it (a memfd, a hugetlbfs file, a dma-buf), to be shared with the target; -1: nothing
  /// does.
  ///                  Only used during the call. A target may ask that the file cannot shrink: nkv's own refuses one
  ///                  without F_SEAL_SHRINK, whose loss would kill it
  /// @param fd_offset of `memory` in it
  /// @return zero_copy where the controller can reach the memory, else staged; or
  ///         - client/bad_argument    no memory; it touches a range that is registered; with an fd: address or offset
  ///         not
  ///                                  at a page boundary, or the file ends before the memory does
  ///         - client/staged_refused  it can only be staged and the options do not allow it
  ///         - client/system_error    with the errno of the system here, or of the target
  [[nodiscard]] static host::result<registration> caller_memory(std::shared_ptr<attachment> to, void* memory,
                                                                std::size_t size_bytes, int fd, std::uint64_t fd_offset,
                                                                const memory_options& options, deadline until) {
    if (memory == nullptr || size_bytes == 0) return status{client_status::bad_argument};
    registration r;
    r.data_ = static_cast<std::byte*>(memory);
    r.size_bytes_ = size_bytes;
    const bool by_fd = to->transport().shares_by_fd();
    const dma_memory reached{r.data_, size_bytes, fd, fd_offset};
    if (!by_fd) return attach(std::move(r), std::move(to), reached, until);
    if (fd >= 0) {
      const std::uint64_t page = region::page_bytes();
      if (reinterpret_cast<std::uintptr_t>(memory) % page != 0 || fd_offset % page != 0)
        return status{client_status::bad_argument};
      struct stat what{};
      if (::fstat(fd, &what) != 0) return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
      // A target that maps beyond the end of the file would be killed by its first access there.
      if (S_ISREG(what.st_mode) && (fd_offset > static_cast<std::uint64_t>(what.st_size) ||
                                    size_bytes > static_cast<std::uint64_t>(what.st_size) - fd_offset))
        return status{client_status::bad_argument};
      const dma_memory pages{reached.address, (size_bytes + page - 1) / page * page, fd, fd_offset};
      return attach(std::move(r), std::move(to), pages, until);
    }
    if (!options.allow_staging) return status{client_status::staged_refused};
    host::result<region> copy = region::create(size_bytes);
    if (!copy) return copy.error();
    r.owned_ = *std::move(copy);
    r.kind_ = staged;
    const dma_memory bounce = r.owned_.dma();
    return attach(std::move(r), std::move(to), bounce, until);
  }

  [[nodiscard]] kind_type kind() const noexcept { return kind_; }
  /// The memory as this process sees it: the caller's, or what was allocated. Null once released.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] mutable_byte_span bytes() const noexcept { return {data_, size_bytes_}; }

  /// The bytes [offset_bytes, offset_bytes + length_bytes) as commands name them.
  /// @return the part, or client/bad_argument where it does not lie inside
  [[nodiscard]] nkv::result<value_ref> value(std::size_t offset_bytes, std::size_t length_bytes) const noexcept {
    if (!inside(offset_bytes, length_bytes)) return status{client_status::bad_argument};
    return value_ref{reinterpret_cast<std::uintptr_t>(reached()) + offset_bytes, length_bytes, 0};
  }
  /// All of it.
  [[nodiscard]] value_ref value() const noexcept {
    return {data_ == nullptr ? 0 : reinterpret_cast<std::uintptr_t>(reached()), size_bytes_, 0};
  }

  /// The same bytes as this process reaches what the controller works on: data() + offset, or the copy's.
  /// @return null where `offset_bytes` is not inside
  [[nodiscard]] std::byte* controller_side(std::size_t offset_bytes) const noexcept {
    return inside(offset_bytes, 0) ? reached() + offset_bytes : nullptr;
  }

  /// staged: copies a range to where the controller reaches it, before a command that reads it. zero_copy: nothing.
  /// @return success, or client/bad_argument where the range does not lie inside
  status stage_in(std::size_t offset_bytes, std::size_t length_bytes) const noexcept {
    if (!inside(offset_bytes, length_bytes)) return client_status::bad_argument;
    if (kind_ == zero_copy || length_bytes == 0) return {};
    std::memcpy(owned_.data() + offset_bytes, data_ + offset_bytes, length_bytes);
    attachment_->count().staged_in.fetch_add(length_bytes, std::memory_order_relaxed);
    return {};
  }

  /// staged: copies a range back, after a command that wrote it has completed. zero_copy: nothing.
  /// @return success, or client/bad_argument where the range does not lie inside
  status stage_out(std::size_t offset_bytes, std::size_t length_bytes) const noexcept {
    if (!inside(offset_bytes, length_bytes)) return client_status::bad_argument;
    if (kind_ == zero_copy || length_bytes == 0) return {};
    std::memcpy(data_ + offset_bytes, owned_.data() + offset_bytes, length_bytes);
    attachment_->count().staged_out.fetch_add(length_bytes, std::memory_order_relaxed);
    return {};
  }

  /// Ends the registration, and waits for the target to let go.
  /// @return success: the controller writes nothing into the memory any more, and the registration is empty. Else
  ///         client/disconnected or timed_out: it may; nothing has changed, and a later call may succeed, when the
  ///         target's process has ended or the controller was reset.
  [[nodiscard]] status release(deadline until) noexcept {
    if (attachment_ == nullptr) return {};
    if (!attachment_->quiesce(mapped_, until)) {
      return until.expired() && attachment_->liveness() == queue_liveness::open ? client_status::timed_out
                                                                                : client_status::disconnected;
    }
    owned_ = region{};
    clear();
    return {};
  }

 private:
  static constexpr std::uint64_t teardown_ms = 1000;

  static host::result<registration> attach(registration r, std::shared_ptr<attachment> to, const dma_memory& memory,
                                           deadline until) {
    const status s = to->map(memory, until);
    if (!s.ok()) {
      if (!attachment::surely_unmapped(s)) to->bury(std::move(r.owned_));
      r.clear();
      return s;
    }
    r.attachment_ = std::move(to);
    r.mapped_ = memory;
    r.mapped_.fd = -1;  // only lent
    return r;
  }

  [[nodiscard]] bool inside(std::size_t offset_bytes, std::size_t length_bytes) const noexcept {
    return data_ != nullptr && offset_bytes <= size_bytes_ && length_bytes <= size_bytes_ - offset_bytes;
  }
  [[nodiscard]] std::byte* reached() const noexcept { return kind_ == staged ? owned_.data() : data_; }

  void end() noexcept {
    if (attachment_ == nullptr) return;
    const deadline until = deadline::after_ms(teardown_ms);
    if (owned_.empty()) {
      if (!attachment_->quiesce(mapped_, until)) attachment_->count().unquiesced += size_bytes_;
    } else {
      attachment_->dispose(owned_, until);
    }
    clear();
  }

  void clear() noexcept {
    attachment_.reset();
    mapped_ = {};
    data_ = nullptr;
    size_bytes_ = 0;
  }

  std::shared_ptr<attachment> attachment_;
  region owned_;
  dma_memory mapped_{};
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  kind_type kind_ = zero_copy;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
