// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/target/stored_key.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// Entries by their keys, made so that finding one touches two lines of memory: a slot of a flat array, by the hash,
/// and the entry itself. Entries stay where they are from insert() to erase(); their memory is kept for later ones.
///
/// @tparam Entry has a `stored_key key`, and a constructor that takes what the key is made from. At most a line of the
///               cache long, so that none lies across two.
/// Not for concurrent use.
template <class Entry>
class key_table {
  static_assert(alignof(Entry) == 64 && sizeof(Entry) == 64);

 public:
  key_table() noexcept = default;
  key_table(const key_table&) = delete;
  key_table& operator=(const key_table&) = delete;
  ~key_table() {
    for (slot& s : slots_)
      if (s.at != nullptr) s.at->~Entry();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// @return the key's entry; null where there is none
  [[nodiscard]] Entry* find(const hashed_key& key) const noexcept {
    if (size_ == 0) return nullptr;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = key.hash & mask;; i = (i + 1) & mask) {
      const slot& s = slots_[i];
      if (s.at == nullptr) return nullptr;
      if (s.hash == key.hash && s.at->key.is(key.bytes)) return s.at;
    }
  }

  /// Begins to fetch what find() will read first of a key with this hash.
  void prefetch_slot(std::uint64_t hash) const noexcept {
    if (size_ != 0) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  /// The same of its entry, found by the hash alone.
  void prefetch_entry(std::uint64_t hash) const noexcept {
    if (size_ == 0) return;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash & mask; slots_[i].at != nullptr; i = (i + 1) & mask)
      if (slots_[i].hash == hash) {
        __builtin_prefetch(slots_[i].at);
        return;
      }
  }

  /// Adds an entry. Throws std::bad_alloc, nothing changed.
  /// @pre there is none of this key
  Entry& insert(const hashed_key& key) {
    // Never full, so that each search comes to an end.
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    if (free_ == nullptr) add_room();
    void* const memory = std::exchange(free_, free_->next);
    Entry* e = nullptr;
    try {
      e = new (memory) Entry(key.bytes);
    } catch (...) {
      give_back(memory);
      throw;
    }
    put(slots_, {key.hash, e});
    ++size_;
    return *e;
  }

  /// Destroys an entry.
  /// @param hash of its key
  void erase(Entry& e, std::uint64_t hash) noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t hole = hash & mask;
    while (slots_[hole].at != &e) hole = (hole + 1) & mask;
    // Those behind that would not be found past an empty slot move up.
    for (std::size_t i = (hole + 1) & mask; slots_[i].at != nullptr; i = (i + 1) & mask) {
      if (((i - slots_[i].hash) & mask) < ((i - hole) & mask)) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
    --size_;
    e.~Entry();
    give_back(&e);
  }

  /// Calls `f(Entry&)` for each, in no order.
  template <class F>
  void for_each(F&& f) {
    for (slot& s : slots_)
      if (s.at != nullptr) f(*s.at);
  }

 private:
  struct slot {
    std::uint64_t hash = 0;
    Entry* at = nullptr;
  };
  struct free_room {
    free_room* next;
  };
  static constexpr std::size_t least_slots = 64;
  static constexpr std::size_t entries_at_once = 64;
  struct room {
    alignas(Entry) std::byte bytes[entries_at_once * sizeof(Entry)];
  };

  static void put(std::vector<slot>& slots, const slot& s) noexcept {
    const std::size_t mask = slots.size() - 1;
    std::size_t i = s.hash & mask;
    while (slots[i].at != nullptr) i = (i + 1) & mask;
    slots[i] = s;
  }

  void grow() {
    std::vector<slot> larger(slots_.empty() ? least_slots : slots_.size() * 2);
    for (const slot& s : slots_)
      if (s.at != nullptr) put(larger, s);
    slots_.swap(larger);
  }

  void add_room() {
    rooms_.push_back(std::unique_ptr<room>(new room));
    for (std::size_t i = entries_at_once; i-- != 0;) give_back(rooms_.back()->bytes + i * sizeof(Entry));
  }

  void give_back(void* memory) noexcept { free_ = new (memory) free_room{free_}; }

  std::vector<slot> slots_;  ///< a power of two of them, or none
  std::size_t size_ = 0;
  std::vector<std::unique_ptr<room>> rooms_;
  free_room* free_ = nullptr;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
