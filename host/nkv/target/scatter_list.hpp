// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>
#include <nkv/target/streaming_copy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// The memory of one transfer, piece by piece, in this process. Keeps its room from one command to the next: without
/// allocation in the steady state. Not for concurrent use.
class scatter_list {
 public:
  static constexpr std::size_t inline_spans = 8;

  scatter_list() noexcept = default;
  scatter_list(const scatter_list&) = delete;
  scatter_list& operator=(const scatter_list&) = delete;
  ~scatter_list() { delete[] heap_; }

  /// Appends a piece; one that goes on where the last ended only lengthens it.
  /// @return false where there is no memory for it
  [[nodiscard]] bool add(std::byte* data, std::size_t length) noexcept {
    if (length == 0) return true;
    bytes_ += length;
    if (count_ != 0) {
      mutable_byte_span& last = begin()[count_ - 1];
      if (last.data() + last.size() == data) {
        last = {last.data(), last.size() + length};
        return true;
      }
    }
    if (count_ == capacity_ && !grow()) return false;
    begin()[count_++] = {data, length};
    return true;
  }

  void clear() noexcept {
    count_ = 0;
    bytes_ = 0;
  }
  /// As clear(), and gives an unusually large room back.
  void recycle() noexcept {
    clear();
    if (capacity_ <= kept_spans) return;
    delete[] heap_;
    heap_ = nullptr;
    capacity_ = inline_spans;
  }

  [[nodiscard]] span<const mutable_byte_span> spans() const noexcept {
    return {heap_ != nullptr ? heap_ : inline_, count_};
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::size_t kept_spans = 4096;

  mutable_byte_span* begin() noexcept { return heap_ != nullptr ? heap_ : inline_; }

  [[gnu::noinline]] bool grow() noexcept {
    auto* const larger = new (std::nothrow) mutable_byte_span[capacity_ * 4];
    if (larger == nullptr) return false;
    const mutable_byte_span* const from = begin();
    for (std::size_t i = 0; i < count_; ++i) larger[i] = from[i];
    delete[] heap_;
    heap_ = larger;
    capacity_ *= 4;
    return true;
  }

  mutable_byte_span inline_[inline_spans];
  mutable_byte_span* heap_ = nullptr;
  std::size_t capacity_ = inline_spans;
  std::size_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

/// A place within the pieces of a transfer, moving forwards: copies from and to them in slices of any size.
struct scatter_cursor {
  std::size_t index = 0;
  std::size_t offset = 0;
  bool past_caches = false;  ///< what is copied is a part of more than a cache holds

  /// Copies up to `length` bytes into the pieces. @return how many fitted
  std::size_t write(span<const mutable_byte_span> to, const std::byte* from, std::size_t length) noexcept {
    return walk(to, length, [&](std::byte* p, std::size_t done, std::size_t n) { copy(p, from + done, n); });
  }
  /// Copies up to `length` bytes out of the pieces. @return how many there were
  std::size_t read(span<const mutable_byte_span> from, std::byte* to, std::size_t length) noexcept {
    const std::size_t n =
        walk(from, length, [&](std::byte* p, std::size_t at, std::size_t count) { copy(to + at, p, count); });
    // A client may be changing what was read: from here on the compiler looks at the copy alone.
    __asm__ volatile("" ::: "memory");
    return n;
  }

 private:
  void copy(std::byte* to, const std::byte* from, std::size_t bytes) const noexcept {
    if (past_caches) {
      streaming_copy(to, from, bytes);
    } else {
      std::memcpy(to, from, bytes);
    }
  }

  template <class Copy>
  std::size_t walk(span<const mutable_byte_span> pieces, std::size_t length, Copy&& copy) noexcept {
    std::size_t done = 0;
    while (done != length && index < pieces.size()) {
      const std::size_t n = std::min(length - done, pieces[index].size() - offset);
      if (n != 0) copy(pieces[index].data() + offset, done, n);
      done += n;
      offset += n;
      if (offset == pieces[index].size()) {
        ++index;
        offset = 0;
      }
    }
    return done;
  }
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
