// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <conformance/pattern.hpp>

#include <nkv/nkv.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace nkv_test {

class arena;

/// A piece of registered memory with bytes around it that nobody may change. Filled with `untouched` at first. Moves
/// only.
class buffer {
 public:
  static constexpr std::byte untouched{0xa5};

  buffer(buffer&& other) noexcept
      : arena_(std::exchange(other.arena_, nullptr)), base_(other.base_), data_(other.data_), size_(other.size_) {}
  buffer& operator=(buffer&&) = delete;
  inline ~buffer();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// As commands name it: everything, or its first `length` bytes.
  [[nodiscard]] inline nkv::value_ref ref() const noexcept;
  [[nodiscard]] inline nkv::value_ref ref(std::size_t length) const noexcept;

  void fill(std::uint64_t seed) const noexcept { fill_pattern(data_, size_, seed); }
  void wipe() const noexcept { std::memset(data_, static_cast<int>(untouched), size_); }
  /// Whether the first `length` bytes are the pattern of `seed`, and whether nothing from there on was written.
  [[nodiscard]] bool holds(std::uint64_t seed, std::size_t length) const noexcept {
    return length <= size_ && pattern_difference(data_, length, seed) == length;
  }
  [[nodiscard]] bool untouched_from(std::size_t offset) const noexcept {
    return offset <= size_ && fill_difference(data_ + offset, size_ - offset, untouched) == size_ - offset;
  }

 private:
  friend class arena;
  buffer(arena& a, std::size_t base, std::byte* data, std::size_t size) noexcept
      : arena_(&a), base_(base), data_(data), size_(size) {}

  arena* arena_;
  std::size_t base_;
  std::byte* data_;
  std::size_t size_;
};

/// Registered memory, handed out piece by piece with guards around each. One thread.
class arena {
 public:
  static constexpr std::size_t page_bytes = 4096;

  arena() = default;
  /// @param memory  page aligned, registered with the target's controller
  /// @param address of the same as the controller sees it
  arena(std::byte* memory, std::uint64_t address, std::size_t size) noexcept
      : memory_(memory), address_(address), size_(size) {}

  /// `size` bytes that begin `offset` bytes behind a page boundary.
  [[nodiscard]] buffer take(std::size_t size, std::size_t offset = 0) noexcept {
    const std::size_t total = guard_before(offset) + size + guard_after(offset + size);
    if (total > size_ - used_) std::abort();  // the suite asks for more than it registered
    const std::size_t base = used_;
    used_ += total;
    std::byte* const data = memory_ + base + guard_before(offset);
    std::memset(memory_ + base, static_cast<int>(guard), guard_before(offset));
    std::memset(data + size, static_cast<int>(guard), guard_after(offset + size));
    std::memset(data, static_cast<int>(buffer::untouched), size);
    return {*this, base, data, size};
  }

  [[nodiscard]] std::size_t left_bytes() const noexcept { return size_ - used_ - 4 * page_bytes; }
  [[nodiscard]] std::uint64_t address_of(const std::byte* at) const noexcept {
    return address_ + static_cast<std::uint64_t>(at - memory_);
  }

  /// Guards that were found changed since the last call, in words; empty where none was.
  [[nodiscard]] std::string damage() { return std::exchange(damage_, {}); }

 private:
  friend class buffer;
  static constexpr std::byte guard{0x5c};

  static std::size_t guard_before(std::size_t offset) noexcept { return page_bytes + offset % page_bytes; }
  static std::size_t guard_after(std::size_t end) noexcept { return 2 * page_bytes - end % page_bytes; }

  void give_back(const buffer& b) noexcept {
    const std::byte* const base = memory_ + b.base_;
    const auto before = static_cast<std::size_t>(b.data_ - base);
    const std::byte* const end = b.data_ + b.size_;
    const std::size_t after = guard_after(before + b.size_);
    if (const std::size_t at = fill_difference(base, before, guard); at != before)
      damage_ += std::to_string(before - at) + " bytes before a buffer of " + std::to_string(b.size_) + " bytes; ";
    if (const std::size_t at = fill_difference(end, after, guard); at != after)
      damage_ += std::to_string(at) + " bytes behind a buffer of " + std::to_string(b.size_) + " bytes; ";
    if (b.base_ < used_) used_ = b.base_;
  }

  std::byte* memory_ = nullptr;
  std::uint64_t address_ = 0;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::string damage_;
};

inline buffer::~buffer() {
  if (arena_ != nullptr) arena_->give_back(*this);
}
inline nkv::value_ref buffer::ref() const noexcept { return ref(size_); }
inline nkv::value_ref buffer::ref(std::size_t length) const noexcept { return {arena_->address_of(data_), length, 0}; }

}  // namespace nkv_test
