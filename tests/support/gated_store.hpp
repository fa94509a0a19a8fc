// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/target/memory_store.hpp>
#include <nkv/target/store.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

namespace nkv_test {

/// A memory_store that takes its time, as the keys ask for. What is asked of a key that begins with
///
///     hold   is not even begun until somebody asks, in any way, for the key `release`; the last held goes first.
///            A cancelled one ends at once, nothing done
///     slow   is done by another thread, in no order
///
/// and everything else at once.
class gated_store final : public nkv::target::store {
 public:
  gated_store() : worker_([this] { work(); }) {}
  ~gated_store() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    worker_.join();
  }

  [[nodiscard]] nkv::target::progress submit(nkv::target::store_operation& op) noexcept override {
    if (begins_with(op.key, "hold")) {
      const std::lock_guard lock(mutex_);
      held_.push_back(&op);
      return nkv::target::progress::later;
    }
    if (begins_with(op.key, "slow")) {
      {
        const std::lock_guard lock(mutex_);
        slow_.push_back(&op);
      }
      changed_.notify_one();
      return nkv::target::progress::later;
    }
    if (begins_with(op.key, "release")) release();
    return memory_.submit(op);
  }
  [[nodiscard]] nkv::target::progress proceed(nkv::target::store_operation& op) noexcept override {
    return memory_.proceed(op);
  }
  void cancel(nkv::target::store_operation& op) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (begins_with(op.key, "slow")) return;
      const auto at = std::find(held_.begin(), held_.end(), &op);
      if (at != held_.end()) {
        held_.erase(at);
        op.finish(nkv::target::store_result::aborted, 0);
        return;
      }
    }
    memory_.cancel(op);
  }

  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return memory_.max_value_bytes(); }
  [[nodiscard]] bool has_ttl() const noexcept override { return true; }
  [[nodiscard]] nkv::target::store_usage usage() const noexcept override { return memory_.usage(); }

 private:
  static bool begins_with(nkv::byte_span key, std::string_view text) noexcept {
    return key.size() >= text.size() && std::memcmp(key.data(), text.data(), text.size()) == 0;
  }

  void finish(nkv::target::store_operation& op) noexcept {
    nkv::target::progress p = memory_.submit(op);
    while (p == nkv::target::progress::more) p = memory_.proceed(op);
    op.finish(op.result, op.true_length);
  }

  void release() noexcept {
    std::vector<nkv::target::store_operation*> all;
    {
      const std::lock_guard lock(mutex_);
      all.swap(held_);
    }
    for (auto at = all.rbegin(); at != all.rend(); ++at) finish(**at);
  }

  void work() {
    std::minstd_rand order(7);
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !slow_.empty(); });
      if (slow_.empty()) return;
      // A moment for others to come, or there would be an order after all.
      changed_.wait_for(lock, std::chrono::milliseconds(1), [this] { return stopping_ || slow_.size() >= 4; });
      const std::size_t at = order() % slow_.size();
      nkv::target::store_operation* const op = slow_[at];
      slow_[at] = slow_.back();
      slow_.pop_back();
      lock.unlock();
      finish(*op);
      lock.lock();
    }
  }

  nkv::target::memory_store memory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<nkv::target::store_operation*> held_;
  std::vector<nkv::target::store_operation*> slow_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace nkv_test
