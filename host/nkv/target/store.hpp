// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>
#include <nkv/target/list_page_writer.hpp>
#include <nkv/target/waker.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nkv::inline NKV_ABI {
namespace target {

enum class store_verb : std::uint8_t { store, retrieve, remove, exist, list };

/// How a store ended an operation. The executor turns it into the status of the namespace's key encoding.
enum class store_result : std::uint8_t {
  ok,
  absent,             ///< no such key
  present,            ///< must_not_exist, and the key exists
  capacity_exceeded,  ///< the namespace is full
  no_memory,          ///< an allocation failed
  invalid,            ///< the store cannot take these arguments
  unsupported,        ///< the store does not have this verb or option
  aborted,            ///< cancel() came in time: nothing was changed
  unavailable,        ///< the back end cannot be reached now; nothing was changed
  unknown,            ///< a Store or Delete was sent to the back end, and whether it happens is not known
  denied,             ///< the back end does not let the target do this
  failed,             ///< the back end failed
};

class store_operation;

/// Which of a key's values it is, as the store's back end counts them; for comparing.
struct value_version {
  std::uint64_t place = 0;
  std::uint64_t number = 0;

  /// Whether there is one: a store may not count.
  [[nodiscard]] constexpr bool known() const noexcept { return number != 0; }
  [[nodiscard]] friend constexpr bool operator==(const value_version&, const value_version&) noexcept = default;
};

/// A value as a store holds it: constant for as long as it is kept, whatever becomes of the key.
struct held_value {
  byte_span bytes;
  std::shared_ptr<const void> keep;  ///< null: there is none; the store outlives it
};

/// Where the operations of asynchronous stores come back to: any thread gives them, one thread takes them.
///
/// Intrusive, without allocation and without a lock. Destroyed only when idle() holds.
class finished_operations {
 public:
  explicit finished_operations(waker& w) noexcept : waker_(&w) {}
  finished_operations(const finished_operations&) = delete;
  finished_operations& operator=(const finished_operations&) = delete;

  /// Hands `op` back and wakes the taker. `op` is not the caller's any more. Any thread.
  inline void give(store_operation& op) noexcept;

  /// Everything given so far, in the order in which it was given, linked by store_operation::next; null for nothing.
  /// The taker's thread.
  [[nodiscard]] inline store_operation* take() noexcept;

  /// Whether a thread is within give(). It wakes the taker before it leaves and not when it has left, so a taker that
  /// waits for idle() does not sleep while this is true. After a take() it is true for every giver whose operation was
  /// taken and who has not left. The taker's thread.
  [[nodiscard]] bool giving() const noexcept { return givers_.load(std::memory_order_relaxed) != 0; }

  /// Whether no thread is within give() and nothing waits to be taken. Where every operation has been taken, true
  /// stays true: then, and not before, may this and the waker be destroyed.
  [[nodiscard]] bool idle() const noexcept {
    // Acquire: orders all that the last giver did before its release below before the destruction that follows.
    return givers_.load(std::memory_order_acquire) == 0 && first_.load(std::memory_order_relaxed) == nullptr;
  }

 private:
  waker* waker_;
  std::atomic<store_operation*> first_{nullptr};  // the newest; each points to the one given before it
  std::atomic<std::uint32_t> givers_{0};
};

/// One operation on a store, from submit() until it is done. The submitter owns it and everything it points to, and
/// leaves all of that alone in between.
///
/// `data` is the client's own memory where the transport shares it: the value of a Store is copied from there once (the
/// client may change it meanwhile, which gives a mixed value and harms nobody), and what is read goes there directly.
class store_operation {
 public:
  // What is asked.
  store_verb verb = store_verb::retrieve;
  bool must_exist = false;
  bool must_not_exist = false;
  bool no_compress = false;  ///< a hint
  bool ephemeral = false;    ///< the value may be evicted under memory pressure
  bool touch = false;        ///< a Store without data: restarts the time to live of a key that exists
  bool raw = false;          ///< a Retrieve of what is stored, not decompressed
  bool object_name = false;  ///< `key` is what the back end calls the object itself; only some stores have that
  bool count_all = false;    ///< a List whose `true_length` is that of the whole rest of the listing
  std::uint32_t ttl_s = 0;   ///< 0: no time to live given
  byte_span key;  ///< 1 to 255 bytes; List: the first key wanted, which need not exist, or none for the first
  /// Store: the value. Retrieve: room for the value's beginning, filled as far as the value goes.
  span<const mutable_byte_span> data;
  std::uint64_t data_bytes = 0;  ///< the sum of `data`
  /// Retrieve: set, in place of `data`: takes the value, of one that is longer than `data_bytes` the beginning.
  held_value* whole = nullptr;
  list_page_writer* page = nullptr;  ///< List: where the keys go, in rising order where the store has an order

  // What came of it.
  store_result result = store_result::ok;
  std::uint64_t true_length = 0;  ///< Retrieve, Exist: the value's length, whatever `data` took; List: see count_all
  value_version version;          ///< Retrieve, Exist: of the value; where the store counts them
  std::uint64_t expires_ms = ~std::uint64_t{0};  ///< Retrieve: when the value ends, since 1970 (UTC); ones: it stays

  // The store's own, from submit() on.
  void* store_state = nullptr;
  std::uint64_t store_scratch[3] = {};
  void* cache_state = nullptr;  ///< of a store that hands operations on to another

  // The submitter's own.
  finished_operations* home = nullptr;  ///< where a store gives the operation back; set before submit()
  void* owner = nullptr;
  store_operation* next = nullptr;

  /// Ends an operation for which submit() said `later`: exactly once, from any thread. The store does not touch the
  /// operation or the client's memory after this.
  void finish(store_result r, std::uint64_t length) noexcept {
    result = r;
    true_length = length;
    home->give(*this);
  }
};

inline void finished_operations::give(store_operation& op) noexcept {
  // Counted, since the taker may see the operation, find itself at rest and be destroyed before wake() is called.
  givers_.fetch_add(1, std::memory_order_relaxed);
  store_operation* before = first_.load(std::memory_order_relaxed);
  // Release: orders the result and the data before the taker's acquiring exchange of `first_`.
  do op.next = before;
  while (!first_.compare_exchange_weak(before, &op, std::memory_order_release, std::memory_order_relaxed));
  waker_->wake();
  // Release: the last touch of this object, before the acquire in idle().
  givers_.fetch_sub(1, std::memory_order_release);
}

inline store_operation* finished_operations::take() noexcept {
  if (first_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  store_operation* newest = first_.exchange(nullptr, std::memory_order_acquire);
  store_operation* oldest = nullptr;
  while (newest != nullptr) {
    store_operation* const before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  return oldest;
}

/// What became of submit() or proceed().
enum class progress : std::uint8_t {
  done,   ///< result and true_length are set
  more,   ///< the same thread calls proceed() soon: a slice of a long copy was done
  later,  ///< finish() will be called
};

struct store_usage {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  ///< of keys and values
};

/// Keys and values: what a namespace is made of. Shared by all controllers that have the namespace; every function is
/// called from any number of threads.
class store {
 public:
  store() = default;
  store(const store&) = delete;
  store& operator=(const store&) = delete;
  /// No operation is outstanding.
  virtual ~store() = default;

  /// Begins `op`. Never blocks for long: waits belong to `later`, long copies to `more`.
  [[nodiscard]] virtual progress submit(store_operation& op) noexcept = 0;

  /// Goes on with an operation that answered `more`, on the thread that submitted it.
  [[nodiscard]] virtual progress proceed(store_operation& op) noexcept {
    static_cast<void>(op);
    return progress::done;
  }

  /// Asks that `op` end soon. After `more` it ends here: op is `aborted`, nothing was changed, proceed() is not called
  /// again. After `later` it is a wish: finish() comes in any case, with `aborted` where the wish was granted; since it
  /// may be coming just now, nothing of `op` may be written here. On the thread that submitted it; not for an operation
  /// that was taken from finished_operations.
  virtual void cancel(store_operation& op) noexcept { static_cast<void>(op); }

  /// Hints that operations on these keys are about to be submitted, on this thread: a store may begin to fetch what it
  /// will need. Changes nothing; keys may be of any length and content.
  virtual void expect(span<const byte_span> keys) noexcept { static_cast<void>(keys); }

  /// The longest value that the store takes.
  [[nodiscard]] virtual std::uint64_t max_value_bytes() const noexcept = 0;
  /// The longest key that the store takes, at most 255.
  [[nodiscard]] virtual std::uint32_t max_key_bytes() const noexcept { return 255; }
  /// Whether times to live are kept.
  [[nodiscard]] virtual bool has_ttl() const noexcept { return false; }
  [[nodiscard]] virtual store_usage usage() const noexcept { return {}; }
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
