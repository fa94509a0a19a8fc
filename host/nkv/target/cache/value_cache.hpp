// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/cache/cache_options.hpp>
#include <nkv/target/linked_list.hpp>
#include <nkv/target/store.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// Values by key, the least recently used going first where there is no room; and what else is to be known of a key
/// while somebody asks for it or writes it. Not for concurrent use.
/// @tparam Asked what asks the back end for a key's value; only pointers to it are kept
template <class Asked>
class value_cache {
 public:
  /// A key. It stays where it is until release() finds it without use.
  struct slot {
    held_value value;  ///< none where `keep` is null
    value_version version;
    std::uint64_t expires_ms = 0;
    Asked* asking = nullptr;    ///< under way, and others may wait for it too
    std::uint32_t writers = 0;  ///< Stores and Deletes under way
    slot* next = nullptr;       ///< the cache's own: used after this one
    slot* previous = nullptr;

    [[nodiscard]] bool has_value() const noexcept { return value.keep != nullptr; }
    [[nodiscard]] const std::string& key() const noexcept { return *key_; }

   private:
    friend class value_cache;
    const std::string* key_ = nullptr;
  };

  value_cache(std::uint64_t max_bytes, std::uint64_t max_values) noexcept
      : max_bytes_(max_bytes), max_values_(max_values) {}
  value_cache(const value_cache&) = delete;
  value_cache& operator=(const value_cache&) = delete;

  /// @return null where nothing is known of the key
  [[nodiscard]] slot* find(byte_span key) noexcept {
    const auto at = slots_.find(text_of(key));
    return at == slots_.end() ? nullptr : &at->second;
  }
  /// The key's slot, made where there is none. Throws std::bad_alloc
  [[nodiscard]] slot& at(byte_span key) {
    const std::string_view text = text_of(key);
    auto found = slots_.find(text);
    if (found == slots_.end()) {
      found = slots_.try_emplace(std::string(text)).first;
      found->second.key_ = &found->first;
    }
    return found->second;
  }

  /// The value was used: others go before it.
  void use(slot& s) noexcept {
    by_use_.remove(s);
    by_use_.append(s);
  }

  /// Puts a value where there is none, and evicts others until it has room. One that could not have it is not kept.
  void insert(slot& s, held_value value, const value_version& version, std::uint64_t expires_ms) noexcept {
    const std::uint64_t more = charge(s, value);
    if (more > max_bytes_ || max_values_ == 0) return;
    while (bytes_ + more > max_bytes_ || values_ == max_values_) {
      slot& oldest = *by_use_.first;
      drop(oldest);
      ++evictions_;
      release(oldest);
    }
    s.value = std::move(value);
    s.version = version;
    s.expires_ms = expires_ms;
    bytes_ += more;
    ++values_;
    by_use_.append(s);
  }
  /// Lets the value go. @pre s.has_value()
  void drop(slot& s) noexcept {
    by_use_.remove(s);
    bytes_ -= charge(s, s.value);
    --values_;
    s.value = {};
  }
  /// Forgets the key, unless something is still to be known of it.
  void release(slot& s) noexcept {
    if (!s.has_value() && s.asking == nullptr && s.writers == 0) slots_.erase(slots_.find(std::string_view(s.key())));
  }

  [[nodiscard]] std::uint64_t values() const noexcept { return values_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t evictions() const noexcept { return evictions_; }
  /// Keys of which something is known.
  [[nodiscard]] std::size_t keys() const noexcept { return slots_.size(); }

 private:
  /// Looked up by a view: without a string for each command.
  struct hash_of_text {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
  };

  static std::string_view text_of(byte_span key) noexcept {
    return {reinterpret_cast<const char*>(key.data()), key.size()};
  }
  static std::uint64_t charge(const slot& s, const held_value& value) noexcept {
    // What came from a socket lies in whole pages.
    constexpr std::uint64_t page_bytes = 4096, bookkeeping_bytes = 256;
    return (value.bytes.size() + page_bytes - 1) / page_bytes * page_bytes + s.key().size() + bookkeeping_bytes;
  }

  const std::uint64_t max_bytes_;
  const std::uint64_t max_values_;
  std::unordered_map<std::string, slot, hash_of_text, std::equal_to<>> slots_;
  linked_list<slot> by_use_;  // those with values
  std::uint64_t bytes_ = 0;
  std::uint64_t values_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
