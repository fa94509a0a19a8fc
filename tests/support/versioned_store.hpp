// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace nkv_test {

/// Keys and values with versions, changed by others too; holds operations back as the test asks, in the order in which
/// they came, and counts them. Any thread.
class versioned_store final : public nkv::target::store {
 public:
  enum class answers {
    at_once,
    held,    ///< by let(), one at a time
    thread,  ///< by a thread of the store's own
  };
  explicit versioned_store(answers how = answers::at_once) : how_(how) {
    if (how == answers::thread) worker_ = std::thread([this] { work(); });
  }
  ~versioned_store() override {
    stop_ = true;
    if (worker_.joinable()) worker_.join();
  }

  /// What somebody else does. @param value none: removed
  void change(const std::string& key, std::optional<std::string> value, std::uint64_t expires_ms = ~std::uint64_t{0}) {
    const std::lock_guard lock(mutex_);
    put(key, std::move(value), expires_ms);
  }
  /// The next operation answers so, and does nothing.
  void fail_next(nkv::target::store_result r) {
    const std::lock_guard lock(mutex_);
    fails_ = r;
  }
  /// Of values. From now on.
  void give_at_most(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    most_bytes_ = bytes;
  }
  void hold(bool on) {
    const std::lock_guard lock(mutex_);
    how_ = on ? answers::held : answers::at_once;
  }
  /// Does the oldest that is held, on this thread. @return what is still to be told of it; null where there is none
  nkv::target::store_operation* perform_held() {
    const std::lock_guard lock(mutex_);
    if (held_.empty()) return nullptr;
    nkv::target::store_operation* const op = held_.front();
    held_.pop_front();
    perform(*op);
    return op;
  }
  static void tell(nkv::target::store_operation& op) { op.finish(op.result, op.true_length); }
  /// Both. @return false where there is none
  bool let() {
    nkv::target::store_operation* const op = perform_held();
    if (op != nullptr) tell(*op);
    return op != nullptr;
  }
  [[nodiscard]] std::size_t holds() const {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  /// How often a verb was asked for since the last call.
  unsigned asked(nkv::target::store_verb verb) {
    const std::lock_guard lock(mutex_);
    return std::exchange(asked_[static_cast<std::size_t>(verb)], 0u);
  }

  [[nodiscard]] nkv::target::progress submit(nkv::target::store_operation& op) noexcept override {
    const std::lock_guard lock(mutex_);
    ++asked_[static_cast<std::size_t>(op.verb)];
    if (how_ != answers::at_once) {
      held_.push_back(&op);
      return nkv::target::progress::later;
    }
    // As stores do that copy long values in slices.
    if (op.verb == nkv::target::store_verb::store && op.data_bytes > slice_bytes) return nkv::target::progress::more;
    perform(op);
    return nkv::target::progress::done;
  }
  [[nodiscard]] nkv::target::progress proceed(nkv::target::store_operation& op) noexcept override {
    const std::lock_guard lock(mutex_);
    perform(op);
    return nkv::target::progress::done;
  }
  void cancel(nkv::target::store_operation& op) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      const auto at = std::find(held_.begin(), held_.end(), &op);
      if (at == held_.end()) {
        // Between its slices; else it is being done, and ends by itself.
        if (how_ == answers::at_once) op.result = nkv::target::store_result::aborted;
        return;
      }
      held_.erase(at);
    }
    op.finish(nkv::target::store_result::aborted, 0);
  }
  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return std::uint64_t{1} << 30; }
  [[nodiscard]] bool has_ttl() const noexcept override { return true; }

  static constexpr std::uint64_t slice_bytes = 256 * 1024;

 private:
  struct entry {
    std::shared_ptr<const std::string> value;
    std::uint64_t version;
    std::uint64_t expires_ms;
  };

  void put(const std::string& key, std::optional<std::string> value, std::uint64_t expires_ms) {
    ++last_version_;
    if (value)
      entries_[key] = {std::make_shared<const std::string>(*std::move(value)), last_version_, expires_ms};
    else
      entries_.erase(key);
  }

  void perform(nkv::target::store_operation& op) {
    using nkv::target::store_result;
    using nkv::target::store_verb;
    op.true_length = 0;
    if (fails_) {
      op.result = *std::exchange(fails_, std::nullopt);
      return;
    }
    const std::string key(reinterpret_cast<const char*>(op.key.data()), op.key.size());
    const auto found = entries_.find(key);
    const bool there = found != entries_.end();
    op.result = store_result::ok;
    if (op.verb == store_verb::store) {
      if (op.must_not_exist && there) {
        op.result = store_result::present;
        return;
      }
      std::string value(op.data_bytes, '\0');
      nkv::target::scatter_cursor{}.read(op.data, reinterpret_cast<std::byte*>(value.data()), value.size());
      put(key, std::move(value), ~std::uint64_t{0});
      return;
    }
    if (!there) {
      op.result = store_result::absent;
      return;
    }
    if (op.verb == store_verb::remove) return put(key, std::nullopt, 0);
    const entry& e = found->second;
    op.true_length = e.value->size();
    op.version = {1, e.version};
    op.expires_ms = e.expires_ms;
    if (op.verb != store_verb::retrieve) return;
    const auto* const from = reinterpret_cast<const std::byte*>(e.value->data());
    const std::size_t n = std::min<std::size_t>({e.value->size(), op.data_bytes, most_bytes_});
    if (op.whole != nullptr) {
      *op.whole = {{from, n}, e.value};
    } else {
      nkv::target::scatter_cursor{}.write(op.data, from, n);
    }
  }

  void work() {
    while (!stop_)
      if (!let()) std::this_thread::yield();
  }

  mutable std::mutex mutex_;
  answers how_;
  std::map<std::string, entry> entries_;
  std::uint64_t last_version_ = 0;
  std::size_t most_bytes_ = ~std::size_t{0};
  std::optional<nkv::target::store_result> fails_;
  std::deque<nkv::target::store_operation*> held_;
  unsigned asked_[5] = {};
  std::atomic<bool> stop_{false};
  std::thread worker_;
};

}  // namespace nkv_test
