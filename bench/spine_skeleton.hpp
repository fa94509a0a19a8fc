// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "far_side.hpp"
#include "spine_load.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace bench {

/// Memory of this process alone, as a target holds its values in; huge pages for large values, as nkv-target asks for.
class value_memory {
 public:
  value_memory(std::size_t bytes, bool huge) : bytes_(bytes) {
    void* const at = ::mmap(nullptr, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return;
    mapped_ = at;
    const auto first = reinterpret_cast<std::uintptr_t>(at);
    data_ = static_cast<std::byte*>(at) + (alignment - first % alignment) % alignment;
    if (huge) ::madvise(data_, bytes, MADV_HUGEPAGE);
    std::memset(data_, 0x5a, bytes);
  }
  value_memory(const value_memory&) = delete;
  value_memory& operator=(const value_memory&) = delete;
  ~value_memory() {
    if (mapped_ != nullptr) ::munmap(mapped_, bytes_ + alignment);
  }
  /// Null where there is not so much.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  static constexpr std::size_t alignment = 2u << 20;

  std::size_t bytes_;
  void* mapped_ = nullptr;
  std::byte* data_ = nullptr;
};

/// The work that no client and no target can leave out, and no other: a 64-byte entry stored in a ring, a word that
/// says so, the value copied by the other thread, a 16-byte entry with a phase stored in the ring back. No checks, no
/// keys looked up, no CIDs, no state; completions in order. A port of drive().
template <verb What>
class skeleton {
 public:
  /// @param client memory that values are retrieved into and stored from; `held` where the far side has them; both
  ///               l.keys() * l.block_bytes bytes
  /// @param entries of the submission ring, a power of two above l.depth; the completion ring has twice as many
  skeleton(const load& l, std::byte* client, std::byte* held, std::uint32_t entries)
      : load_(l),
        client_(client),
        held_(held),
        mask_(entries - 1),
        completion_mask_(2 * entries - 1),
        phase_bit_(static_cast<std::uint32_t>(__builtin_ctz(2 * entries))),
        submissions_(std::make_unique<submission[]>(entries)),
        completions_(std::make_unique<completion[]>(2 * std::size_t{entries})),
        doorbell_(std::make_unique<doorbell_line>()),
        positions_(l.depth),
        indices_(l.depth) {}

  /// The far side: a plain loop.
  void respond(const std::atomic<bool>& stop, bool alone) noexcept {
    std::uint32_t head = 0;
    for (std::uint32_t looks = 0;; ++looks) {
      // Acquire: pairs with ring(); the entries are read after the word that says they are there.
      const std::uint32_t tail = __atomic_load_n(&doorbell_->tail, __ATOMIC_ACQUIRE);
      if (tail == head) {
        if (looks > 1000 && stop.load(std::memory_order_relaxed)) return;
        between_looks(alone, looks);
        continue;
      }
      looks = 0;
      for (; head != tail; ++head) {
        submission command;
        std::memcpy(&command, &submissions_[head & mask_], sizeof command);
        if (command.length != 0)
          std::memcpy(reinterpret_cast<void*>(command.to), reinterpret_cast<const void*>(command.from), command.length);
        completion& c = completions_[head & completion_mask_];
        __atomic_store_n(&c.dw0, command.length, __ATOMIC_RELAXED);
        __atomic_store_n(&c.reserved, 0u, __ATOMIC_RELAXED);
        __atomic_store_n(&c.queue, head & mask_, __ATOMIC_RELAXED);
        // Release: the value and the rest of the entry come before the phase.
        __atomic_store_n(&c.id_and_phase, (head & mask_) | (((head >> phase_bit_) & 1u) ^ 1u) << 16, __ATOMIC_RELEASE);
      }
    }
  }

  void submit(std::uint32_t slot, std::uint32_t index) noexcept {
    const made_key key(index, load_.block_bytes);
    std::byte* const mine = client_ + std::size_t{index} * load_.block_bytes;
    std::byte* const its = held_ + std::size_t{index} * load_.block_bytes;
    constexpr bool store = What == verb::store;
    if (store && load_.touched) write_lines(mine, load_.block_bytes, tail_);
    submission& s = submissions_[tail_ & mask_];
    s.opcode_and_id = static_cast<std::uint32_t>(What) | (tail_ & mask_) << 16;
    s.nsid = 1;
    s.key_low = key.words[0];
    s.reserved[0] = 0;
    s.from = reinterpret_cast<std::uintptr_t>(store ? mine : its);
    s.to = reinterpret_cast<std::uintptr_t>(store ? its : mine);
    s.length = static_cast<std::uint32_t>(load_.moved_bytes());
    s.key_bytes = sizeof key;
    s.reserved[1] = 0;
    s.key_high = key.words[1];
    positions_[slot] = tail_++;
    indices_[slot] = index;
  }

  void ring() noexcept {
    // Release: the entries come before the word that says they are there.
    __atomic_store_n(&doorbell_->tail, tail_, __ATOMIC_RELEASE);
  }

  [[nodiscard]] bool poll(std::uint32_t slot) noexcept {
    const std::uint32_t position = positions_[slot];
    const completion& c = completions_[position & completion_mask_];
    // Acquire: pairs with respond(); the value is read after the phase.
    const std::uint32_t last = __atomic_load_n(&c.id_and_phase, __ATOMIC_ACQUIRE);
    if (((last >> 16) & 1u) != (((position >> phase_bit_) & 1u) ^ 1u)) return false;
    if (What == verb::retrieve && load_.touched)
      read_lines(client_ + std::size_t{indices_[slot]} * load_.block_bytes, load_.block_bytes);
    return true;
  }

 private:
  struct alignas(64) submission {
    std::uint32_t opcode_and_id = 0;
    std::uint32_t nsid = 0;
    std::uint64_t key_low = 0;
    std::uint64_t reserved[2] = {};
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::uint32_t length = 0;
    std::uint32_t key_bytes = 0;
    std::uint64_t key_high = 0;
  };
  static_assert(sizeof(submission) == 64);
  struct alignas(16) completion {
    std::uint32_t dw0 = 0;
    std::uint32_t reserved = 0;
    std::uint32_t queue = 0;
    std::uint32_t id_and_phase = 0;
  };
  static_assert(sizeof(completion) == 16);
  struct alignas(128) doorbell_line {
    std::uint32_t tail = 0;
  };

  load load_;
  std::byte* client_;
  std::byte* held_;
  std::uint32_t mask_;
  std::uint32_t completion_mask_;
  std::uint32_t phase_bit_;
  std::unique_ptr<submission[]> submissions_;
  std::unique_ptr<completion[]> completions_;
  std::unique_ptr<doorbell_line> doorbell_;
  // The client's own.
  std::vector<std::uint32_t> positions_;
  std::vector<std::uint32_t> indices_;
  std::uint32_t tail_ = 0;
};

}  // namespace bench
