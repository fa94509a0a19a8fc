// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "processors.hpp"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace bench {

/// The thread at the other end of a floor: on a processor of its own it runs what it is given, and sleeps in between.
class far_side {
 public:
  /// What runs there: until the flag is set, which it looks at when there is nothing to do.
  using work = std::function<void(const std::atomic<bool>& stop)>;

  /// @param processor -1: not pinned
  explicit far_side(int processor)
      : thread_([this, processor] {
          if (processor >= 0) pin_to(processor);
          id_.store(::gettid());
          loop();
        }) {
    while (id_.load() == 0) std::this_thread::yield();
  }
  far_side(const far_side&) = delete;
  far_side& operator=(const far_side&) = delete;
  ~far_side() {
    stop();
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// @pre nothing runs
  void start(work w) {
    {
      const std::lock_guard lock(mutex_);
      stop_.store(false);
      work_ = std::move(w);
    }
    changed_.notify_all();
  }

  /// Waits until what runs has ended.
  void stop() {
    stop_.store(true);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return work_ == nullptr; });
  }

  [[nodiscard]] pid_t thread_id() const noexcept { return id_.load(); }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || work_ != nullptr; });
      if (work_ == nullptr) return;
      lock.unlock();
      work_(stop_);
      lock.lock();
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  work work_;
  bool ended_ = false;
  std::atomic<bool> stop_{false};
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

/// Starts and ends a piece of work on the far side.
class far_work {
 public:
  far_work(far_side& far, far_side::work w) : far_(far) { far_.start(std::move(w)); }
  far_work(const far_work&) = delete;
  far_work& operator=(const far_work&) = delete;
  ~far_work() { far_.stop(); }

 private:
  far_side& far_;
};

}  // namespace bench
