// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>

namespace nkv::inline NKV_ABI {
namespace target {

class block_pool;

/// The bytes of one value, counted references to them in front, in a line of the cache of their own: copies are dearest
/// where the two sides are not aligned alike. While there is more than one reference nobody writes.
struct alignas(64) value_block {
  std::atomic<std::uint32_t> references{1};
  std::uint32_t size_class = 0;
  union {
    std::uint64_t length_bytes = 0;
    value_block* next_free;
  };

  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] const std::byte* data() const noexcept { return reinterpret_cast<const std::byte*>(this + 1); }
};
static_assert(sizeof(value_block) == 64);

/// Makes and takes back value blocks. Small ones come from the allocator; large ones are mapped, and a bounded amount
/// of them is kept for the next value of such a size: faulting in 64 MiB of new pages costs more than copying them.
/// Any thread.
class block_pool {
 public:
  /// @param kept_bytes how much memory of large blocks is kept at most while nobody uses it
  explicit block_pool(std::uint64_t kept_bytes) noexcept : limit_bytes_(kept_bytes) {}
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;
  /// Every block has been released.
  ~block_pool() {
    for (unsigned c = 0; c < classes; ++c)
      while (value_block* b = free_[c]) {
        free_[c] = b->next_free;
        ::munmap(b, class_bytes(c));
      }
  }

  /// A block of `length_bytes`, of any content, with one reference; null where there is no memory.
  [[nodiscard]] value_block* allocate(std::uint64_t length_bytes) noexcept {
    if (length_bytes > largest_bytes) return nullptr;
    const std::uint64_t total = length_bytes + sizeof(value_block);
    value_block* block = nullptr;
    if (total < mapped_from_bytes) {
      void* const memory = ::operator new(total, std::align_val_t{alignof(value_block)}, std::nothrow);
      if (memory == nullptr) return nullptr;
      block = new (memory) value_block;
      block->size_class = classes;
    } else {
      const unsigned c = class_of(total);
      {
        const std::lock_guard lock(mutex_);
        block = free_[c];
        if (block != nullptr) {
          free_[c] = block->next_free;
          held_bytes_ -= class_bytes(c);
        }
      }
      void* const memory = block != nullptr ? block : map(class_bytes(c));
      if (memory == nullptr) return nullptr;
      block = new (memory) value_block;
      block->size_class = c;
    }
    block->length_bytes = length_bytes;
    return block;
  }

  /// Another reference, for a reader that found the block while it could not go away.
  static void retain(value_block* block) noexcept { block->references.fetch_add(1, std::memory_order_relaxed); }

  /// Gives one reference back; null is nothing.
  void release(value_block* block) noexcept {
    if (block == nullptr) return;
    // Acquire-release: orders every reader's last load before the memory is used anew.
    if (block->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (block->size_class == classes) {
      block->~value_block();
      ::operator delete(static_cast<void*>(block), std::align_val_t{alignof(value_block)});
      return;
    }
    const std::uint64_t bytes = class_bytes(block->size_class);
    value_block* surplus = nullptr;
    {
      const std::lock_guard lock(mutex_);
      // The size at hand is the likeliest to be asked for next: what is kept of others makes room for it.
      for (unsigned c = 0; bytes <= limit_bytes_ && held_bytes_ + bytes > limit_bytes_ && c < classes;) {
        if (c == block->size_class || free_[c] == nullptr) {
          ++c;
          continue;
        }
        value_block* const other = free_[c];
        free_[c] = other->next_free;
        held_bytes_ -= class_bytes(c);
        other->next_free = surplus;
        surplus = other;
      }
      value_block** const list = held_bytes_ + bytes <= limit_bytes_ ? &free_[block->size_class] : &surplus;
      if (list != &surplus) held_bytes_ += bytes;
      block->next_free = *list;
      *list = block;
    }
    while (surplus != nullptr) {
      value_block* const next = surplus->next_free;
      ::munmap(surplus, class_bytes(surplus->size_class));
      surplus = next;
    }
  }

  /// Bytes kept for later.
  [[nodiscard]] std::uint64_t held_bytes() const noexcept {
    const std::lock_guard lock(mutex_);
    return held_bytes_;
  }

 private:
  static constexpr std::uint64_t mapped_from_bytes = 128 * 1024;
  static constexpr unsigned smallest_shift = 17;
  static constexpr unsigned steps = 8;  // sizes to a power of two, so that at most 1/8 of the address space is unused
  static constexpr unsigned classes = 24 * steps;
  static constexpr std::uint64_t largest_bytes = std::uint64_t{1} << 39;
  static constexpr std::uint64_t huge_page_bytes = 2 * 1024 * 1024;

  static unsigned class_of(std::uint64_t total) noexcept {
    const unsigned shift = static_cast<unsigned>(std::bit_width(total - 1)) - 1;  // 2^shift < total <= 2^(shift + 1)
    const std::uint64_t step = (std::uint64_t{1} << shift) / steps;
    const auto above = static_cast<unsigned>((total - (std::uint64_t{1} << shift) + step - 1) / step);  // 1 to steps
    return (shift - (smallest_shift - 1)) * steps + above - 1;
  }
  static std::uint64_t class_bytes(unsigned c) noexcept {
    const std::uint64_t base = std::uint64_t{1} << (c / steps + smallest_shift - 1);
    return base + (c % steps + 1) * (base / steps);
  }

  static void* map(std::uint64_t bytes) noexcept {
    const std::uint64_t slack = bytes >= huge_page_bytes ? huge_page_bytes : 0;
    void* const raw =
        ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    if (slack == 0) return raw;
    // Huge pages where the system gives them: they begin at their own multiple.
    const auto at = reinterpret_cast<std::uintptr_t>(raw);
    const std::uintptr_t aligned = (at + huge_page_bytes - 1) & ~(huge_page_bytes - 1);
    if (aligned != at) ::munmap(raw, aligned - at);
    if (const std::uint64_t rest = at + slack - aligned; rest != 0)
      ::munmap(reinterpret_cast<void*>(aligned + bytes), rest);
    ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }

  const std::uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::uint64_t held_bytes_ = 0;
  value_block* free_[classes] = {};
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
