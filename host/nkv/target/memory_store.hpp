// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/clock.hpp>
#include <nkv/target/key_table.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>
#include <nkv/target/stored_key.hpp>
#include <nkv/target/value_block.hpp>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <shared_mutex>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

struct memory_store_options {
  std::uint64_t capacity_bytes = std::uint64_t{4} << 30;  ///< of keys and values
  std::uint64_t max_keys = 0;                             ///< 0: one for every 256 bytes of capacity, at least 65536
  std::uint64_t max_value_bytes = std::uint64_t{128} << 20;
  std::uint64_t kept_block_bytes = std::uint64_t{256} << 20;  ///< memory of large values kept for the next ones
  std::function<std::uint64_t()> now_ns = {};                 ///< for times to live; empty: the steady clock
};

/// Keys and values in this process's memory.
///
/// Values are copied outside every lock, save short ones: readers hold a reference to what they read, a Store fills
/// memory of its own and publishes it. Short ones are copied, and overwritten where they stand, under the lock. What a
/// Store does is atomic and visible at once; a Retrieve sees one value, never a mixture. List goes through the keys in
/// rising order, the start included.
///
/// A key whose time to live is over does not exist from that moment on; its memory is given back when it is next looked
/// for, when the keys are listed, when room is needed, or bit by bit by later Stores. Ephemeral values go first when
/// room is needed, the least recently used before the others.
class memory_store final : public store {
 public:
  explicit memory_store(memory_store_options options = {})
      : options_(std::move(options)), pool_(options_.kept_block_bytes) {
    // Without a seed the order within the buckets is guessable and nothing else is lost.
    [[maybe_unused]] const ssize_t n = ::getrandom(hasher_.seed, sizeof hasher_.seed, GRND_NONBLOCK);
    if (options_.max_keys == 0) options_.max_keys = std::max<std::uint64_t>(options_.capacity_bytes / 256, 65536);
    if (!options_.now_ns) options_.now_ns = [] { return host::steady_clock::now_ns(); };
  }
  ~memory_store() override {
    for (shard& s : shards_) s.by_key.for_each([this](entry& e) { pool_.release(e.value); });
  }

  [[nodiscard]] progress submit(store_operation& op) noexcept override {
    op.store_state = nullptr;
    op.store_scratch[0] = op.store_scratch[1] = op.store_scratch[2] = 0;
    op.result = store_result::ok;
    op.true_length = 0;
    if (op.object_name) return ended(op, store_result::unsupported);
    switch (op.verb) {
      case store_verb::store: return op.touch ? ended(op, touch(op)) : begin_store(op, true);
      case store_verb::retrieve: return begin_retrieve(op, true);
      case store_verb::remove: return ended(op, remove(op));
      case store_verb::exist: return ended(op, exist(op));
      case store_verb::list: return list(op);
    }
    return ended(op, store_result::unsupported);
  }

  [[nodiscard]] progress proceed(store_operation& op) noexcept override {
    if (op.verb == store_verb::store) return op.store_state == nullptr ? begin_store(op, false) : go_on_store(op);
    if (op.verb == store_verb::list) return list(op);
    return op.store_state == nullptr ? begin_retrieve(op, false) : go_on_retrieve(op);
  }

  void cancel(store_operation& op) noexcept override {
    if (op.verb == store_verb::list) {
      delete static_cast<list_position*>(op.store_state);
    } else {
      pool_.release(static_cast<value_block*>(op.store_state));
    }
    op.store_state = nullptr;
    op.result = store_result::aborted;
  }

  void expect(span<const byte_span> keys) noexcept override {
    // What is in the cache anyway only costs.
    if (used_bytes_.load(std::memory_order_relaxed) < cached_bytes) return;
    std::array<hashed_key, most_expected> hashed;
    const std::size_t n = std::min(keys.size(), hashed.size());
    // Step by step for all, so that each step's accesses to memory go on side by side. Values are left out: the
    // processor sees a copy coming by itself, and an Exist does not need them.
    for (std::size_t i = 0; i < n; ++i) {
      hashed[i] = {keys[i], hasher_(keys[i])};
      shard& s = shard_of(hashed[i]);
      const std::lock_guard lock(s.mutex);
      s.by_key.prefetch_slot(hashed[i].hash);
    }
    for (std::size_t i = 0; i < n; ++i) {
      shard& s = shard_of(hashed[i]);
      const std::lock_guard lock(s.mutex);
      s.by_key.prefetch_entry(hashed[i].hash);
    }
  }

  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return options_.max_value_bytes; }
  [[nodiscard]] bool has_ttl() const noexcept override { return true; }
  /// Keys whose time is over count until their memory is given back.
  [[nodiscard]] store_usage usage() const noexcept override {
    return {keys_.load(std::memory_order_relaxed), used_bytes_.load(std::memory_order_relaxed)};
  }

 private:
  struct alignas(64) entry {
    explicit entry(byte_span k) : key(k) {}

    value_block* value = nullptr;
    std::uint64_t length_bytes = 0;  ///< the value's, here as well: Exist does not touch the value
    std::uint64_t ttl_ns = 0;
    /// 0: never; the entry is in `by_expiry` otherwise. Written under the shard's lock; List reads it without.
    std::atomic<std::uint64_t> expires_ns{0};
    std::uint64_t used_stamp = 0;  ///< 0: not ephemeral; the entry is in `by_use` otherwise
    const stored_key key;

    [[nodiscard]] std::uint64_t expires_at() const noexcept { return expires_ns.load(std::memory_order_relaxed); }
  };

  struct by_bytes {
    using is_transparent = void;
    bool operator()(const entry* a, const entry* b) const noexcept { return less(a->key.bytes(), b->key.bytes()); }
    bool operator()(const entry* a, byte_span b) const noexcept { return less(a->key.bytes(), b); }
    bool operator()(byte_span a, const entry* b) const noexcept { return less(a, b->key.bytes()); }

   private:
    static bool less(byte_span a, byte_span b) noexcept { return stored_key::compare(a, b) < 0; }
  };
  using order = std::set<const entry*, by_bytes>;

  // A part of the keys, chosen by hash, so that threads with different keys seldom meet.
  struct alignas(64) shard {
    std::mutex mutex;
    key_table<entry> by_key;
    std::set<std::pair<std::uint64_t, entry*>> by_expiry;
    std::map<std::uint64_t, entry*> by_use;
  };

  static constexpr std::size_t shard_count = 32;
  static constexpr std::uint64_t copy_under_lock_bytes = 16 * 1024;
  static constexpr std::uint64_t slice_bytes = 256 * 1024;
  static constexpr std::uint64_t past_caches_bytes = 16u << 20;
  static constexpr std::uint64_t cached_bytes = 4u << 20;
  static constexpr std::size_t most_expected = 16;
  static constexpr unsigned list_keys_under_lock = 256;
  static constexpr unsigned list_turns_at_once = 8;
  static constexpr unsigned listing_counted_keys = 16384;
  static constexpr unsigned reclaim_step = 4;
  static constexpr unsigned reclaim_in_list = 64;
  static constexpr unsigned reclaim_for_room = 64;

  static progress ended(store_operation& op, store_result r) noexcept {
    op.result = r;
    return progress::done;
  }

  // Store
  // --------------------------------------------------------------------------------------------------------------

  progress begin_store(store_operation& op, bool first) noexcept {
    if (op.data_bytes > options_.max_value_bytes) return ended(op, store_result::invalid);
    const hashed_key key{op.key, hasher_(op.key)};
    if (op.data_bytes <= copy_under_lock_bytes && overwrite(op, key)) return ended(op, store_result::ok);
    // Asked before the value is copied, to spare the copy; what counts is asked again in publish().
    if (op.must_exist || op.must_not_exist) {
      shard& s = shard_of(key);
      const std::lock_guard lock(s.mutex);
      const bool there = find(s, key) != nullptr;
      if (op.must_exist && !there) return ended(op, store_result::absent);
      if (op.must_not_exist && there) return ended(op, store_result::present);
    }
    if (op.key.size() + op.data_bytes > options_.capacity_bytes) return ended(op, store_result::capacity_exceeded);
    // A large value is copied in slices, and its memory is taken when its turn comes.
    if (first && op.data_bytes > slice_bytes) return progress::more;
    value_block* const block = pool_.allocate(op.data_bytes);
    if (block == nullptr) return ended(op, store_result::no_memory);
    op.store_state = block;
    return go_on_store(op);
  }

  /// Writes a short value over one of its length that nobody reads: no memory is taken and nothing is published.
  /// @return false, and nothing changed, where that is not all there is to do
  bool overwrite(store_operation& op, const hashed_key& key) noexcept {
    if (op.must_not_exist || op.ephemeral || op.ttl_s != 0) return false;
    shard& s = shard_of(key);
    const std::lock_guard lock(s.mutex);
    entry* const e = find(s, key);
    if (e == nullptr || e->length_bytes != op.data_bytes || e->expires_at() != 0 || e->used_stamp != 0) return false;
    // Whoever reads a value this short holds the lock, so there is no other reference.
    scatter_cursor{}.read(op.data, e->value->data(), op.data_bytes);
    return true;
  }

  progress go_on_store(store_operation& op) noexcept {
    auto* const block = static_cast<value_block*>(op.store_state);
    scatter_cursor at{op.store_scratch[1], op.store_scratch[2], block->length_bytes >= past_caches_bytes};
    std::uint64_t& done = op.store_scratch[0];
    const std::uint64_t n = std::min(block->length_bytes - done, slice_bytes);
    done += at.read(op.data, block->data() + done, n);
    op.store_scratch[1] = at.index;
    op.store_scratch[2] = at.offset;
    if (done != block->length_bytes) return progress::more;
    op.store_state = nullptr;
    return ended(op, publish(op, block));
  }

  /// Takes over `block`.
  store_result publish(store_operation& op, value_block* block) noexcept {
    const hashed_key key{op.key, hasher_(op.key)};
    shard& s = shard_of(key);
    const std::uint64_t ttl_ns = std::uint64_t{op.ttl_s} * 1'000'000'000u;
    const std::uint64_t expires_ns = ttl_ns != 0 ? options_.now_ns() + ttl_ns : 0;
    value_block* old = nullptr;
    store_result result = store_result::capacity_exceeded;
    // Room is made without the shard's lock, so the look at what is there is repeated; a few times, since others may
    // take the room.
    for (unsigned attempt = 0; attempt < 4; ++attempt) {
      std::uint64_t needed = 0;
      bool new_key = false;
      {
        const std::lock_guard lock(s.mutex);
        entry* n = find(s, key);
        if (op.must_exist && n == nullptr) {
          result = store_result::absent;
          break;
        }
        if (op.must_not_exist && n != nullptr) {
          result = store_result::present;
          break;
        }
        const std::uint64_t after = block->length_bytes + key.bytes.size();
        const std::uint64_t before = n != nullptr ? n->length_bytes + key.bytes.size() : 0;
        const bool was_ephemeral = n != nullptr && n->used_stamp != 0;
        const bool key_fits = n != nullptr || keys_.load(std::memory_order_relaxed) < options_.max_keys;
        if (key_fits && take_room(before, after)) {
          result = store_result::ok;
          try {
            if (n == nullptr) n = insert(s, key);
            if (expires_ns != 0) s.by_expiry.emplace(expires_ns, n);
          } catch (const std::bad_alloc&) {
            result = store_result::no_memory;
          }
          if (result == store_result::ok && op.ephemeral && n->used_stamp == 0) {
            try {
              add_use(s, *n);
            } catch (const std::bad_alloc&) {
              if (expires_ns != 0 && expires_ns != n->expires_at()) s.by_expiry.erase({expires_ns, n});
              result = store_result::no_memory;
            }
          }
          if (result != store_result::ok) {
            used_bytes_.fetch_sub(after - before, std::memory_order_relaxed);
            if (n != nullptr && n->value == nullptr) erase(s, *n, false);
            break;
          }
          entry& e = *n;
          if (const std::uint64_t was = e.expires_at(); was != 0 && was != expires_ns) s.by_expiry.erase({was, n});
          e.expires_ns.store(expires_ns, std::memory_order_relaxed);
          e.ttl_ns = ttl_ns;
          if (was_ephemeral) ephemeral_bytes_.fetch_sub(before, std::memory_order_relaxed);
          if (op.ephemeral) {
            use(s, *n);
            ephemeral_bytes_.fetch_add(after, std::memory_order_relaxed);
          } else if (e.used_stamp != 0) {
            s.by_use.erase(e.used_stamp);
            e.used_stamp = 0;
          }
          e.length_bytes = block->length_bytes;
          old = std::exchange(e.value, block);
          block = nullptr;
          if (expires_ns != 0) reclaim(s, reclaim_step);
          break;
        }
        needed = after > before ? after - before : 0;
        new_key = n == nullptr;
      }
      if (!make_room(needed, new_key)) break;
    }
    pool_.release(old);
    pool_.release(block);
    return result;
  }

  store_result touch(store_operation& op) noexcept {
    const hashed_key key{op.key, hasher_(op.key)};
    shard& s = shard_of(key);
    const std::lock_guard lock(s.mutex);
    entry* const n = find(s, key);
    if (n == nullptr) return store_result::absent;
    if (op.must_not_exist) return store_result::present;
    entry& e = *n;
    const std::uint64_t ttl_ns = op.ttl_s != 0 ? std::uint64_t{op.ttl_s} * 1'000'000'000u : e.ttl_ns;
    if (ttl_ns != 0) {
      const std::uint64_t expires_ns = options_.now_ns() + ttl_ns;
      if (const std::uint64_t was = e.expires_at(); was != expires_ns) {
        try {
          s.by_expiry.emplace(expires_ns, n);
        } catch (const std::bad_alloc&) {
          return store_result::no_memory;
        }
        if (was != 0) s.by_expiry.erase({was, n});
      }
      e.expires_ns.store(expires_ns, std::memory_order_relaxed);
      e.ttl_ns = ttl_ns;
    }
    use(s, *n);
    return store_result::ok;
  }

  // Retrieve, Exist, Delete
  // --------------------------------------------------------------------------------------------

  progress begin_retrieve(store_operation& op, bool first) noexcept {
    const hashed_key key{op.key, hasher_(op.key)};
    shard& s = shard_of(key);
    value_block* block = nullptr;
    {
      const std::lock_guard lock(s.mutex);
      entry* const n = find(s, key);
      if (n == nullptr) return ended(op, store_result::absent);
      use(s, *n);
      block = n->value;
      op.true_length = n->length_bytes;
      if (op.whole != nullptr) return ended(op, hold(*block, op));
      const std::uint64_t wanted = std::min(op.true_length, op.data_bytes);
      // A short copy costs less than two accesses to a shared counter.
      if (wanted <= copy_under_lock_bytes) {
        scatter_cursor{}.write(op.data, block->data(), wanted);
        return ended(op, store_result::ok);
      }
      if (first && wanted > slice_bytes) return progress::more;  // looked up again when its turn comes
      block_pool::retain(block);
    }
    op.store_state = block;
    return go_on_retrieve(op);
  }

  /// Under the lock.
  store_result hold(value_block& block, store_operation& op) noexcept {
    const auto length = static_cast<std::size_t>(std::min(op.true_length, op.data_bytes));
    try {
      // Short values are written in place, where nobody but the lock's holder may look.
      if (length <= copy_under_lock_bytes) {
        const auto copy = std::make_shared<std::vector<std::byte>>(block.data(), block.data() + length);
        *op.whole = {{copy->data(), length}, copy};
      } else {
        block_pool::retain(&block);
        // It releases the block as well where it throws.
        std::shared_ptr<const void> keep(&block, [this](value_block* b) { pool_.release(b); });
        *op.whole = {{block.data(), length}, std::move(keep)};
      }
      return store_result::ok;
    } catch (const std::bad_alloc&) {
      return store_result::no_memory;
    }
  }

  progress go_on_retrieve(store_operation& op) noexcept {
    auto* const block = static_cast<value_block*>(op.store_state);
    std::uint64_t& done = op.store_scratch[0];
    const std::uint64_t wanted = std::min(block->length_bytes, op.data_bytes);
    scatter_cursor at{op.store_scratch[1], op.store_scratch[2], wanted >= past_caches_bytes};
    done += at.write(op.data, block->data() + done, std::min(wanted - done, slice_bytes));
    op.store_scratch[1] = at.index;
    op.store_scratch[2] = at.offset;
    if (done != wanted) return progress::more;
    op.store_state = nullptr;
    pool_.release(block);
    return ended(op, store_result::ok);
  }

  store_result exist(store_operation& op) noexcept {
    const hashed_key key{op.key, hasher_(op.key)};
    shard& s = shard_of(key);
    const std::lock_guard lock(s.mutex);
    entry* const n = find(s, key);
    if (n == nullptr) return store_result::absent;
    op.true_length = n->length_bytes;
    return store_result::ok;
  }

  store_result remove(store_operation& op) noexcept {
    const hashed_key key{op.key, hasher_(op.key)};
    shard& s = shard_of(key);
    value_block* block = nullptr;
    {
      const std::lock_guard lock(s.mutex);
      entry* const n = find(s, key);
      if (n == nullptr) return store_result::absent;
      block = n->value;
      erase(s, *n, true);
    }
    pool_.release(block);
    return store_result::ok;
  }

  // List
  // ---------------------------------------------------------------------------------------------------------------

  /// The last key given, from where a long listing goes on.
  struct list_position {
    std::byte data[255];
    std::size_t size = 0;
    void assign(byte_span key) noexcept {
      size = key.size();
      std::memcpy(data, key.data(), size);
    }
    [[nodiscard]] byte_span bytes() const noexcept { return {data, size}; }
  };

  progress list(store_operation& op) noexcept {
    list_page_writer& page = *op.page;
    auto* const kept = static_cast<list_position*>(op.store_state);
    list_position position;
    if (kept != nullptr) position = *kept;
    // Keeps the lengths exact where few have expired; the keys are looked at one by one as well.
    if (kept == nullptr) reclaim_all(reclaim_in_list);
    std::uint64_t rest_bytes = 0;
    bool complete = false;
    for (unsigned turn = 0; turn < list_turns_at_once && !complete; ++turn) {
      const std::shared_lock lock(order_mutex_);
      const std::uint64_t now = options_.now_ns();
      auto at = position.size != 0 ? order_.upper_bound(position.bytes()) : order_.lower_bound(op.key);
      // A bounded number under the lock, so that writers get their turn.
      for (unsigned n = 0; n < list_keys_under_lock; ++n, ++at) {
        if (at == order_.end()) {
          complete = true;
          break;
        }
        const byte_span key = (*at)->key.bytes();
        const std::uint64_t expires = (*at)->expires_ns.load(std::memory_order_relaxed);
        if (expires == 0 || expires > now) {
          if (!page.add(key)) {
            if (op.count_all) rest_bytes = rest_of_listing(op, page, at);
            complete = true;
            break;
          }
        }
        position.assign(key);
      }
    }
    if (!complete) {
      auto* const p = kept != nullptr ? kept : new (std::nothrow) list_position;
      if (p == nullptr) return ended(op, store_result::no_memory);
      *p = position;
      op.store_state = p;
      return progress::more;
    }
    delete kept;
    op.store_state = nullptr;
    page.finish();
    op.true_length = page.bytes() + rest_bytes;
    return ended(op, store_result::ok);
  }

  // Holding the order's lock. Exact for a listing from the first key, and for one with up to `listing_counted_keys`
  // more; beyond that a lower bound, so that no client can keep the lock for long. Keys that have just expired may
  // count.
  std::uint64_t rest_of_listing(const store_operation& op, const list_page_writer& page,
                                order::const_iterator at) const noexcept {
    if (op.key.empty()) {
      const std::uint64_t all = order_bytes_ + list_page_writer::header_bytes;
      return all > page.bytes() ? all - page.bytes() : 0;
    }
    std::uint64_t bytes = 0;
    for (unsigned n = 0; at != order_.end() && n < listing_counted_keys; ++at, ++n)
      bytes += list_page_writer::entry_bytes((*at)->key.bytes().size());
    return bytes;
  }

  // Entries, each function with the shard's lock held
  // --------------------------------------------------------------------

  shard& shard_of(const hashed_key& key) noexcept { return shards_[key.hash >> 59]; }

  /// The key's entry, where it exists: what has expired goes.
  entry* find(shard& s, const hashed_key& key) noexcept {
    entry* const e = s.by_key.find(key);
    if (e == nullptr) return nullptr;
    if (const std::uint64_t expires = e->expires_at(); expires == 0 || expires > options_.now_ns()) [[likely]]
      return e;
    drop(s, *e);
    return nullptr;
  }

  /// An entry without a value yet. Throws std::bad_alloc, nothing changed.
  entry* insert(shard& s, const hashed_key& key) {
    entry& e = s.by_key.insert(key);
    try {
      const std::unique_lock lock(order_mutex_);
      order_.insert(&e);
      order_bytes_ += list_page_writer::entry_bytes(key.bytes.size());
    } catch (...) {
      s.by_key.erase(e, key.hash);
      throw;
    }
    keys_.fetch_add(1, std::memory_order_relaxed);
    return &e;
  }

  /// Takes the entry away; its value stays the caller's.
  void erase(shard& s, entry& e, bool counted) noexcept {
    if (const std::uint64_t expires = e.expires_at(); expires != 0) s.by_expiry.erase({expires, &e});
    const byte_span key = e.key.bytes();
    if (counted) used_bytes_.fetch_sub(e.length_bytes + key.size(), std::memory_order_relaxed);
    if (e.used_stamp != 0) {
      s.by_use.erase(e.used_stamp);
      if (counted) ephemeral_bytes_.fetch_sub(e.length_bytes + key.size(), std::memory_order_relaxed);
    }
    {
      const std::unique_lock lock(order_mutex_);
      order_.erase(&e);
      order_bytes_ -= list_page_writer::entry_bytes(key.size());
    }
    s.by_key.erase(e, hasher_(key));
    keys_.fetch_sub(1, std::memory_order_relaxed);
  }

  void drop(shard& s, entry& e) noexcept {
    value_block* const block = e.value;
    erase(s, e, true);
    pool_.release(block);
  }

  void add_use(shard& s, entry& e) {
    const std::uint64_t stamp = use_count_.fetch_add(1, std::memory_order_relaxed) + 1;
    s.by_use.emplace(stamp, &e);
    e.used_stamp = stamp;
  }

  /// Makes an ephemeral entry the most recently used.
  void use(shard& s, entry& e) noexcept {
    if (e.used_stamp == 0) return;
    auto handle = s.by_use.extract(e.used_stamp);  // moved with its memory: nothing is allocated
    e.used_stamp = use_count_.fetch_add(1, std::memory_order_relaxed) + 1;
    handle.key() = e.used_stamp;
    s.by_use.insert(s.by_use.end(), std::move(handle));
  }

  /// Gives back up to `most` entries whose time is over. @return whether there were any
  bool reclaim(shard& s, std::size_t most) noexcept {
    bool any = false;
    if (s.by_expiry.empty()) return any;
    const std::uint64_t now = options_.now_ns();
    while (most-- != 0 && !s.by_expiry.empty() && s.by_expiry.begin()->first <= now) {
      drop(s, *s.by_expiry.begin()->second);
      any = true;
    }
    return any;
  }

  // Room, no lock held
  // -------------------------------------------------------------------------------------------------

  bool take_room(std::uint64_t before, std::uint64_t after) noexcept {
    std::uint64_t used = used_bytes_.load(std::memory_order_relaxed);
    do {
      if (after > before && used - before + after > options_.capacity_bytes) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used - before + after, std::memory_order_relaxed));
    return true;
  }

  /// Gives back up to `most` expired entries of each shard. @return whether there were any
  bool reclaim_all(std::size_t most) noexcept {
    bool any = false;
    for (shard& s : shards_) {
      const std::lock_guard lock(s.mutex);
      any = reclaim(s, most) || any;
    }
    return any;
  }

  /// Lets expired and then ephemeral values go until `needed` more bytes fit, and one more key. @return whether they
  /// may
  bool make_room(std::uint64_t needed, bool new_key) noexcept {
    const auto fits = [&] {
      const std::uint64_t used = used_bytes_.load(std::memory_order_relaxed);
      return used <= options_.capacity_bytes && needed <= options_.capacity_bytes - used &&
             (!new_key || keys_.load(std::memory_order_relaxed) < options_.max_keys);
    };
    while (reclaim_all(reclaim_for_room))
      if (fits()) return true;
    // Nothing is evicted for what would not fit even then.
    const std::uint64_t used = used_bytes_.load(std::memory_order_relaxed);
    const std::uint64_t evictable = ephemeral_bytes_.load(std::memory_order_relaxed);
    const std::uint64_t lasting = used > evictable ? used - evictable : 0;
    if (lasting > options_.capacity_bytes || needed > options_.capacity_bytes - lasting) return false;
    while (!fits())
      if (!evict_one()) return false;
    return true;
  }

  /// The least recently used of all shards' ephemeral values. @return false where there is none
  bool evict_one() noexcept {
    shard* oldest = nullptr;
    std::uint64_t oldest_stamp = ~std::uint64_t{0};
    for (shard& s : shards_) {
      const std::lock_guard lock(s.mutex);
      if (s.by_use.empty() || s.by_use.begin()->first >= oldest_stamp) continue;
      oldest_stamp = s.by_use.begin()->first;
      oldest = &s;
    }
    if (oldest == nullptr) return false;
    const std::lock_guard lock(oldest->mutex);
    if (!oldest->by_use.empty()) drop(*oldest, *oldest->by_use.begin()->second);
    return true;
  }

  memory_store_options options_;
  block_pool pool_;
  key_hasher hasher_;
  std::array<shard, shard_count> shards_;

  // Taken after a shard's lock, never before one.
  std::shared_mutex order_mutex_;
  order order_;
  std::uint64_t order_bytes_ = 0;  ///< of all keys as List entries

  std::atomic<std::uint64_t> keys_{0};
  std::atomic<std::uint64_t> used_bytes_{0};
  std::atomic<std::uint64_t> ephemeral_bytes_{0};  ///< the part of used_bytes_ that may be evicted
  std::atomic<std::uint64_t> use_count_{0};
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
