// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/cache/cache_options.hpp>
#include <nkv/target/cache/value_cache.hpp>
#include <nkv/target/linked_list.hpp>
#include <nkv/target/rados/expiry.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>
#include <nkv/target/waker.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// A store with a cache before it: the whole values that Retrieve and Execute have read.
///
/// A value that is not there is read once, however many ask: they wait for the one who reads. What is read is what the
/// first of them has room for; a value that is longer than that is given to them and not kept. Store and Delete take
/// the value out before their completion, and from their beginning to their end nothing is read for the cache and
/// nothing given out of it: Retrieves then go to the back end one by one, and what was being read before is not kept.
/// So a Retrieve that begins after a Store has ended never finds less than that Store. For values that others may have
/// changed (cache_freshness::validated) whoever comes while the back end is being asked waits for the next answer,
/// which is one for all of them: an answer only counts for those who came before its question.
///
/// List, raw values and objects by name pass by, and so does Exist unless what is cached says it all.
class cached_store final : public store, private waker {
 public:
  cached_store(std::shared_ptr<store> behind, const cache_options& options)
      : behind_(std::move(behind)), options_(options), cache_(options.max_bytes, options.max_values) {}
  /// Nobody waits, so nothing is asked any more; who gave the last answer may still be on the way out.
  ~cached_store() override {
    while (!answers_.idle()) std::this_thread::yield();
  }

  [[nodiscard]] progress submit(store_operation& op) noexcept override {
    op.store_state = nullptr;
    op.cache_state = &passed_by;
    switch (op.verb) {
      case store_verb::store:
      case store_verb::remove: return write(op);
      case store_verb::retrieve: return op.raw || op.object_name ? behind_->submit(op) : retrieve(op);
      case store_verb::exist: return exist(op);
      case store_verb::list: break;
    }
    return behind_->submit(op);
  }

  [[nodiscard]] progress proceed(store_operation& op) noexcept override {
    if (op.cache_state == &passed_by) return behind_->proceed(op);
    if (op.verb == store_verb::retrieve) return go_on_copying(op);
    static_cast<writing*>(op.cache_state)->sliced = false;
    return noted(op, behind_->proceed(op));
  }

  void cancel(store_operation& op) noexcept override {
    std::unique_lock lock(mutex_);
    if (op.cache_state == nullptr) return;  // ending
    if (op.cache_state == &passed_by) {
      lock.unlock();
      return behind_->cancel(op);
    }
    if (op.verb != store_verb::retrieve) {
      const bool here = static_cast<writing*>(op.cache_state)->sliced;
      lock.unlock();
      behind_->cancel(op);
      if (here) written(op);
      return;
    }
    auto* const r = static_cast<reading*>(op.cache_state);
    // The last one stays for the answer: what the store behind does is always for somebody, whom the target's bounds
    // count.
    if (r->in != nullptr && r->previous == nullptr && r->next == nullptr) return;
    const std::unique_ptr<reading> ending(r);
    op.cache_state = nullptr;
    if (r->in == nullptr) {
      op.result = store_result::aborted;  // between two slices of its copy
      return;
    }
    r->in->remove(*r);
    lock.unlock();
    op.finish(store_result::aborted, 0);
  }

  void expect(span<const byte_span> keys) noexcept override { behind_->expect(keys); }
  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return behind_->max_value_bytes(); }
  [[nodiscard]] std::uint32_t max_key_bytes() const noexcept override { return behind_->max_key_bytes(); }
  [[nodiscard]] bool has_ttl() const noexcept override { return behind_->has_ttl(); }
  [[nodiscard]] store_usage usage() const noexcept override { return behind_->usage(); }

  /// Any thread.
  [[nodiscard]] cache_statistics statistics() const noexcept {
    const std::lock_guard lock(mutex_);
    cache_statistics out = counted_;
    out.evictions = cache_.evictions();
    out.values = cache_.values();
    out.bytes = cache_.bytes();
    return out;
  }

 private:
  struct question;
  using cache = value_cache<question>;
  using slot = cache::slot;

  /// Retrieves that wait, in the order in which they came.
  struct reading;
  struct line : linked_list<reading> {
    void append(reading& r) noexcept {
      linked_list::append(r);
      r.in = this;
    }
    void remove(reading& r) noexcept {
      linked_list::remove(r);
      r.in = nullptr;
    }
    void append_all(line& other) noexcept {
      while (other.first != nullptr) {
        reading& r = *other.first;
        other.remove(r);
        append(r);
      }
    }
  };
  /// A Retrieve that waits, or that is copied slice by slice.
  struct reading {
    store_operation* op = nullptr;
    line* in = nullptr;  ///< null: it is copied
    reading* next = nullptr;
    reading* previous = nullptr;
    held_value value;  ///< while it is copied
  };
  /// A Store or Delete with the store behind.
  struct writing {
    slot* of;
    finished_operations* home;
    bool sliced = false;  ///< that store has said `more`
  };
  /// The back end is asked for a value, or for its version where `value` is known.
  struct question {
    store_operation op;
    std::string key;
    slot* of = nullptr;  ///< null: nothing is to be cached
    bool validates = false;
    held_value value;
    value_version version;
    line waiting;  ///< came before it was asked, or may be content with that
    line late;     ///< came after
  };

  static constexpr std::uint64_t slice_bytes = 256 * 1024;
  static constexpr std::uint64_t past_caches_bytes = std::uint64_t{1} << 20;
  static constexpr std::size_t most_doubted = 65536;

  /// What of an operation's `cache_state` says that the store behind has it, and nothing of it is known here.
  static inline char passed_by = 0;

  static progress ended(store_operation& op, store_result r) noexcept {
    op.result = r;
    return progress::done;
  }

  // What is cached
  // --------------------------------------------------------------------------------------------------

  /// Whether the back end has to be asked about the key each time.
  [[nodiscard]] bool validates(const slot& s) const noexcept {
    return options_.freshness == cache_freshness::validated || all_doubted_ ||
           (!doubted_.empty() && doubted_.count(s.key()) != 0);
  }
  void invalidate(slot& s) noexcept {
    if (!s.has_value()) return;
    cache_.drop(s);
    ++counted_.invalidations;
  }
  /// Whether the slot's value is as good as the back end's.
  [[nodiscard]] bool hit(slot& s) noexcept {
    if (!s.has_value() || s.writers != 0 || validates(s)) return false;
    // The time of day is read for values that have an end.
    if (s.expires_ms != ~std::uint64_t{0} && expiry::now_ms() >= s.expires_ms) {
      invalidate(s);
      return false;
    }
    cache_.use(s);
    ++counted_.hits;
    return true;
  }

  progress exist(store_operation& op) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (slot* const s = cache_.find(op.key); s != nullptr) {
        if (hit(*s)) {
          op.true_length = s->value.bytes.size();
          return ended(op, store_result::ok);
        }
        cache_.release(*s);
      }
    }
    return behind_->submit(op);
  }

  // Retrieve
  // --------------------------------------------------------------------------------------------------------

  progress retrieve(store_operation& op) noexcept {
    held_value value;
    question* asked = nullptr;
    bool waits = false;
    try {
      const std::lock_guard lock(mutex_);
      slot* s = cache_.find(op.key);
      if (s != nullptr && hit(*s)) {
        value = s->value;
      } else if (s == nullptr || s->writers == 0) {
        auto r = std::make_unique<reading>();
        r->op = &op;
        if (s != nullptr && s->asking != nullptr) {
          (validates(*s) ? s->asking->late : s->asking->waiting).append(*r);
        } else {
          auto q = std::make_unique<question>();
          q->key.assign(reinterpret_cast<const char*>(op.key.data()), op.key.size());
          slot& own = cache_.at(op.key);
          own.asking = q.get();
          q->of = &own;
          q->waiting.append(*r);
          prepare(*q);
          asked = q.release();
        }
        op.cache_state = r.release();
        waits = true;
      }
    } catch (...) {
      return ended(op, store_result::no_memory);
    }
    if (value.keep != nullptr) return copy(op, std::move(value));
    if (!waits) return behind_->submit(op);
    // From here on it may have ended, by another's answer.
    ask(asked);
    return progress::later;
  }

  /// Gives a value to an operation that has not waited.
  progress copy(store_operation& op, held_value value) noexcept {
    op.true_length = value.bytes.size();
    if (op.whole != nullptr || std::min<std::uint64_t>(op.data_bytes, value.bytes.size()) <= slice_bytes) {
      give(op, value);
      return ended(op, store_result::ok);
    }
    auto* const r = new (std::nothrow) reading;
    if (r == nullptr) return ended(op, store_result::no_memory);
    r->op = &op;
    r->value = std::move(value);
    op.cache_state = r;
    op.store_scratch[0] = op.store_scratch[1] = op.store_scratch[2] = 0;
    return go_on_copying(op);
  }
  static progress go_on_copying(store_operation& op) noexcept {
    auto* const r = static_cast<reading*>(op.cache_state);
    std::uint64_t& done = op.store_scratch[0];
    const std::uint64_t wanted = std::min<std::uint64_t>(op.data_bytes, r->value.bytes.size());
    scatter_cursor at{op.store_scratch[1], op.store_scratch[2], wanted >= past_caches_bytes};
    done += at.write(op.data, r->value.bytes.data() + done, std::min(wanted - done, slice_bytes));
    op.store_scratch[1] = at.index;
    op.store_scratch[2] = at.offset;
    if (done != wanted) return progress::more;
    delete r;
    return ended(op, store_result::ok);
  }
  static void give(store_operation& op, const held_value& value) noexcept {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(op.data_bytes, value.bytes.size()));
    if (op.whole != nullptr) {
      *op.whole = {{value.bytes.data(), n}, value.keep};
      return;
    }
    scatter_cursor to;
    to.past_caches = n >= past_caches_bytes;
    to.write(op.data, value.bytes.data(), n);
  }

  /// What those who wait in the question need. Under the lock. @pre q.key and q.of
  void prepare(question& q) noexcept {
    store_operation& op = q.op;
    op.key = {reinterpret_cast<const std::byte*>(q.key.data()), q.key.size()};
    op.home = &answers_;
    op.owner = &q;
    op.store_state = nullptr;
    op.data_bytes = 0;
    op.version = {};
    op.expires_ms = ~std::uint64_t{0};
    q.validates = q.of != nullptr && q.of->has_value();
    if (q.validates) {
      // Kept, since it may be evicted meanwhile.
      q.value = q.of->value;
      q.version = q.of->version;
      op.verb = store_verb::exist;
      op.whole = nullptr;
      ++counted_.validations;
    } else {
      q.value = {};
      op.verb = store_verb::retrieve;
      op.whole = &q.value;
      for (const reading* r = q.waiting.first; r != nullptr; r = r->next)
        op.data_bytes = std::max(op.data_bytes, r->op->data_bytes);
      ++counted_.fills;
    }
  }

  /// Asks, and goes on for as long as answers come at once. Without the lock.
  void ask(question* q) noexcept {
    while (q != nullptr) {
      progress p = behind_->submit(q->op);
      while (p == progress::more) p = behind_->proceed(q->op);
      if (p == progress::later) return;
      q = answered(*q);
    }
  }

  /// Ends those who can be content with the answer. @return the same question, for the others; null where there are
  /// none
  question* answered(question& q) noexcept {
    line content;
    store_result result = q.op.result;
    const bool found = result == store_result::ok;
    std::uint64_t length = q.op.true_length;
    held_value value;
    question* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      slot* const s = q.of;
      if (s != nullptr) s->asking = nullptr;
      if (q.validates) {
        const bool same = found && q.op.version.known() && q.op.version == q.version;
        if (same) {
          if (s != nullptr && s->has_value()) cache_.use(*s);
          for (const reading* r = q.waiting.first; r != nullptr; r = r->next) ++counted_.hits;
          value = std::move(q.value);
          length = value.bytes.size();
        } else if (s != nullptr && (found || result == store_result::absent)) {
          invalidate(*s);
        }
        // Changed: they wait for what it is now.
        if (same || !found) content.append_all(q.waiting);
      } else {
        value = std::move(q.value);
        const bool whole = found && value.bytes.size() == length;
        if (found && value.keep == nullptr) result = store_result::no_memory;
        if (whole && s != nullptr && value.keep != nullptr) cache_.insert(*s, value, q.op.version, q.op.expires_ms);
        for (reading* r = q.waiting.first; r != nullptr;) {
          reading* const after = r->next;
          // With less than was asked for the store behind has given all that it will.
          if (result != store_result::ok || whole || r->op->data_bytes <= value.bytes.size() ||
              value.bytes.size() < q.op.data_bytes) {
            q.waiting.remove(*r);
            content.append(*r);
          }
          r = after;
        }
      }
      q.waiting.append_all(q.late);
      for (reading* r = content.first; r != nullptr; r = r->next) r->op->cache_state = nullptr;
      if (q.waiting.first != nullptr) {
        if (s != nullptr) s->asking = &q;
        prepare(q);
        next = &q;
      } else if (s != nullptr) {
        cache_.release(*s);
      }
    }
    while (content.first != nullptr) {
      const std::unique_ptr<reading> r(content.first);
      content.remove(*r);
      if (result == store_result::ok) give(*r->op, value);
      r->op->finish(result, result == store_result::ok ? length : 0);
    }
    if (next == nullptr) delete &q;
    return next;
  }

  // Store, Delete
  // ----------------------------------------------------------------------------------------------------------

  progress write(store_operation& op) noexcept {
    try {
      auto w = std::make_unique<writing>(writing{nullptr, op.home});
      const std::lock_guard lock(mutex_);
      slot& s = cache_.at(op.key);
      w->of = &s;
      ++s.writers;
      if (s.asking != nullptr) {
        s.asking->of = nullptr;
        s.asking = nullptr;
      }
      op.cache_state = w.release();
    } catch (...) {
      return ended(op, store_result::no_memory);
    }
    op.home = &answers_;
    return noted(op, behind_->submit(op));
  }

  /// What the store behind said of a Store or Delete that it has.
  progress noted(store_operation& op, progress p) noexcept {
    // After `later` the operation may have ended already.
    if (p == progress::done) written(op);
    if (p == progress::more) static_cast<writing*>(op.cache_state)->sliced = true;
    return p;
  }

  /// It has ended; its completion is still to come.
  void written(store_operation& op) noexcept {
    const std::lock_guard lock(mutex_);
    const std::unique_ptr<writing> w(static_cast<writing*>(op.cache_state));
    op.cache_state = nullptr;
    op.home = w->home;
    slot& s = *w->of;
    --s.writers;
    switch (op.result) {
      case store_result::present:
      case store_result::capacity_exceeded:
      case store_result::invalid:
      case store_result::unsupported:
      case store_result::aborted:
      case store_result::unavailable:
      case store_result::denied: break;  // nothing was changed
      case store_result::unknown:
      case store_result::failed: doubt(s); [[fallthrough]];
      default: invalidate(s);
    }
    cache_.release(s);
  }

  /// The key may change at any time from now on.
  void doubt(const slot& s) noexcept {
    if (options_.freshness != cache_freshness::sole_writer || all_doubted_) return;
    try {
      all_doubted_ = doubted_.size() == most_doubted;
      if (!all_doubted_) doubted_.insert(s.key());
    } catch (...) {
      all_doubted_ = true;
    }
  }

  // Answers
  // ------------------------------------------------------------------------------------------------------------

  /// The store behind has given operations back: takes them, on the giver's thread, one thread at a time. What they
  /// lead to may end up here again.
  void wake() noexcept override {
    if (wakes_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
    for (std::uint32_t seen = 1;;) {
      for (store_operation* op = answers_.take(); op != nullptr;) {
        store_operation* const after = op->next;
        if (op->cache_state != nullptr) {
          written(*op);
          op->home->give(*op);
        } else {
          ask(answered(*static_cast<question*>(op->owner)));
        }
        op = after;
      }
      const std::uint32_t before = wakes_.fetch_sub(seen, std::memory_order_acq_rel);
      if (before == seen) return;
      seen = before - seen;
    }
  }

  const std::shared_ptr<store> behind_;
  const cache_options options_;

  mutable std::mutex mutex_;
  cache cache_;
  cache_statistics counted_;
  std::unordered_set<std::string> doubted_;
  bool all_doubted_ = false;

  finished_operations answers_{*this};
  std::atomic<std::uint32_t> wakes_{0};
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
