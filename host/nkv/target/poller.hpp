// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/waker.hpp>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// Something that a poller drives: a controller. Every function is called on the poller's thread alone.
class pollable {
 public:
  /// Does what there is to do, a bounded amount of it.
  /// @return how much was done; 0 lets the thread go to sleep, so a peer's garbage does not count
  virtual unsigned poll() noexcept = 0;

  /// A word that a client reads after ringing a doorbell: nonzero while the thread sleeps, and the client then writes
  /// its wake eventfd. Null where there is no such client. Lives as long as this is registered.
  [[nodiscard]] virtual std::uint32_t* asleep_word() noexcept { return nullptr; }

  /// Whether a live client has no way to wake the thread: it then looks every `foreign_poll_us` instead of blocking.
  [[nodiscard]] virtual bool needs_polling() noexcept { return false; }

 protected:
  ~pollable() = default;
};

struct poller_options {
  std::uint64_t spin_ns = 200'000;        ///< how long to spin after the last work before going to sleep
  std::uint32_t foreign_poll_us = 100;    ///< how long to sleep while some client cannot wake the thread
  std::uint64_t fd_interval_ns = 50'000;  ///< how often to look at file descriptors while spinning
};

/// One thread that polls controllers while there is work, and sleeps in epoll while there is none.
///
/// Sleeping: each asleep word becomes 1, everything is looked at once more, and only then does the thread block. A
/// client rings its doorbell, then reads the word; so either the thread sees the doorbell or the client sees the word
/// and writes the eventfd. While it sleeps the thread uses no processor time, however many clients are connected.
///
/// Thread rule: start(), stop(), post(), call() and wake() from any thread; everything else on the thread itself, or
/// before start(). stop() and the destructor not from the thread.
class poller final : public waker {
 public:
  using fd_callback = std::function<void(std::uint32_t events)>;

  explicit poller(poller_options options = {}) : options_(options) {}
  poller(const poller&) = delete;
  poller& operator=(const poller&) = delete;
  ~poller() {
    stop();
    if (epoll_fd_ >= 0) ::close(epoll_fd_);
    if (wake_fd_ >= 0) ::close(wake_fd_);
  }

  /// Starts the thread.
  /// @return system_error with the errno of epoll, eventfd or the thread; bad_argument where it was started before
  [[nodiscard]] status start() noexcept {
    const status opened = open();
    if (!opened.ok()) return opened;
    const std::lock_guard lock(mutex_);
    if (state_ != state::fresh) return client_status::bad_argument;
    // The program's signal handlers shall run on its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread_, nullptr, &poller::entry, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return system_error(error);
    pthread_setname_np(thread_, "nkv-poller");
    state_ = state::running;
    return {};
  }

  /// Ends the thread after what was posted before has run; later posts are refused. Waits for it. Idempotent.
  void stop() noexcept {
    bool join = false;
    {
      const std::lock_guard lock(mutex_);
      join = state_ == state::running;
      state_ = state::stopped;
      posted_count_.fetch_add(1);  // a reason to look
    }
    wake();
    if (join) pthread_join(thread_, nullptr);
  }

  /// Runs `work` on the thread, soon, in the order of the posts.
  /// @return false where it was stopped: `work` will not run. Before start() it is kept until then.
  bool post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      if (state_ == state::stopped) return false;
      posted_.push_back(std::move(work));
      posted_count_.fetch_add(1);
    }
    wake();
    return true;
  }

  /// Runs `work` on the thread and returns when it is done; on the thread itself, at once.
  /// @return timed_out where it had not begun at the deadline: it will not run; disconnected where there is no thread
  [[nodiscard]] status call(const std::function<void()>& work, host::deadline until) {
    if (on_thread()) {
      work();
      return {};
    }
    struct shared_state {
      std::mutex mutex;
      std::condition_variable changed;
      enum { waiting, begun, done, dropped } phase = waiting;
    };
    // Outlives this call where the deadline passes first.
    const auto shared = std::make_shared<shared_state>();
    struct finisher {
      std::shared_ptr<shared_state> shared;
      explicit finisher(std::shared_ptr<shared_state> s) noexcept : shared(std::move(s)) {}
      finisher(const finisher&) = delete;
      finisher& operator=(const finisher&) = delete;
      // The work was destroyed without being run: the thread has ended.
      ~finisher() {
        const std::lock_guard lock(shared->mutex);
        if (shared->phase == shared_state::waiting) shared->phase = shared_state::dropped;
        shared->changed.notify_all();
      }
    };
    const bool accepted = post([guard = std::make_shared<finisher>(shared), &work] {
      {
        const std::lock_guard lock(guard->shared->mutex);
        if (guard->shared->phase != shared_state::waiting) return;  // given up: `work` may be gone
        guard->shared->phase = shared_state::begun;
      }
      work();
      const std::lock_guard lock(guard->shared->mutex);
      guard->shared->phase = shared_state::done;
      guard->shared->changed.notify_all();
    });
    if (!accepted) return client_status::disconnected;
    std::unique_lock lock(shared->mutex);
    while (shared->phase == shared_state::waiting) {
      const std::uint64_t left = until.left_ns();
      if (left == 0) {
        shared->phase = shared_state::dropped;
        return client_status::timed_out;
      }
      wait_for(shared->changed, lock, left);
    }
    // What has begun is waited for: `work` lives on the caller's stack, and nothing on the thread blocks.
    while (shared->phase == shared_state::begun) shared->changed.wait(lock);
    return shared->phase == shared_state::done ? status{} : status{client_status::disconnected};
  }

  /// Whether the caller is the poller's thread.
  [[nodiscard]] bool on_thread() const noexcept {
    return thread_known_.load(std::memory_order_acquire) && pthread_equal(thread_self_, pthread_self()) != 0;
  }

  /// Calls `callback` with the events when `fd` is ready. @param events EPOLLIN and others of epoll_ctl(2)
  /// @return system_error with its errno. The fd stays the caller's; remove_fd before closing it.
  [[nodiscard]] status add_fd(int fd, std::uint32_t events, fd_callback callback) {
    const status opened = open();
    if (!opened.ok()) return opened;
    if (by_fd_.count(fd) != 0) return system_error(EEXIST);
    const std::uint64_t id = ++last_id_;
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return system_error(errno);
    by_fd_[fd] = id;
    callbacks_[id] = std::make_shared<fd_callback>(std::move(callback));
    return {};
  }

  /// Changes the events of an fd that was added. @return not_found, or system_error with the errno
  [[nodiscard]] status modify_fd(int fd, std::uint32_t events) noexcept {
    const auto at = by_fd_.find(fd);
    if (at == by_fd_.end()) return client_status::not_found;
    epoll_event event{};
    event.events = events;
    event.data.u64 = at->second;
    return epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0 ? status{} : system_error(errno);
  }

  /// An eventfd that a client writes to wake the thread. Edge triggered and never read: the client holds the same open
  /// file, and could take the count away or make a read block.
  /// @return as add_fd; remove_fd before closing it
  [[nodiscard]] status add_wake_fd(int fd) {
    return add_fd(fd, EPOLLIN | EPOLLET, [](std::uint32_t) {});
  }

  /// No callback for `fd` runs after this, one in progress excepted. Does nothing where it is not there.
  void remove_fd(int fd) noexcept {
    const auto at = by_fd_.find(fd);
    if (at == by_fd_.end()) return;
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    callbacks_.erase(at->second);
    by_fd_.erase(at);
  }

  /// Polls `p` from now on. It lives until remove() or the end of the thread.
  void add(pollable& p) {
    pollables_.push_back(&p);
    posted_count_.fetch_add(1);  // it may have work, and its asleep word is not set yet
  }
  /// Does not call `p` again. Allowed from within a callback and from within p.poll().
  void remove(pollable& p) noexcept {
    // Only cleared, since it may be called from within the loop over them.
    for (pollable*& entry : pollables_)
      if (entry == &p) entry = nullptr;
  }

  /// Wakes the thread where it sleeps; costs a system call only then.
  void wake() noexcept override {
    // Store-load: what the caller published before is ordered before the look at `sleeping_`, and in sleep() the store
    // of `sleeping_` before the look at what is published. Both are sequentially consistent: one of the two is seen.
    wakes_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) == 0) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof one);
  }

  /// How often the thread went to sleep, for tests and counters. Any thread.
  [[nodiscard]] std::uint64_t sleeps() const noexcept { return sleeps_.load(std::memory_order_relaxed); }

 private:
  enum class state { fresh, running, stopped };

  static status system_error(int error) noexcept {
    return {client_status::system_error, static_cast<std::uint16_t>(error)};
  }

  static void wait_for(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, std::uint64_t ns) {
    constexpr std::uint64_t longest_ns = 3'600'000'000'000;
    changed.wait_for(lock, std::chrono::nanoseconds(std::min(ns, longest_ns)));
  }

  status open() noexcept {
    const std::lock_guard lock(mutex_);
    if (epoll_fd_ >= 0) return {};
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) return system_error(errno);
    const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event interest{};
    interest.events = EPOLLIN | EPOLLET;
    interest.data.u64 = 0;
    if (event < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest) != 0) {
      const int error = errno;
      if (event >= 0) ::close(event);
      ::close(epoll);
      return system_error(error);
    }
    epoll_fd_ = epoll;
    wake_fd_ = event;
    return {};
  }

  static void* entry(void* self) noexcept {
    static_cast<poller*>(self)->run();
    return nullptr;
  }

  void run() noexcept {
    thread_self_ = pthread_self();
    thread_known_.store(true, std::memory_order_release);
    std::uint64_t busy_until_ns = host::steady_clock::now_ns() + options_.spin_ns;
    std::uint64_t next_fds_ns = 0;
    std::uint32_t idle_passes = 0;
    unsigned done = 0;
    for (std::uint32_t pass = 0;; ++pass) {
      done += look();
      if (stopping_) break;
      if (done == 0) host::steady_clock::relax(++idle_passes);
      // The clock is read every few passes only: a pass over an idle controller costs about as much as reading it.
      if (pass % passes_per_clock != 0) continue;
      const std::uint64_t now = host::steady_clock::now_ns();
      if (now >= next_fds_ns) {
        done += dispatch(0);
        next_fds_ns = now + options_.fd_interval_ns;
      }
      if (done != 0) {
        done = 0;
        idle_passes = 0;
        busy_until_ns = now + options_.spin_ns;
      } else if (now >= busy_until_ns) {
        // Looking because some client cannot wake us is not a reason to spin again.
        if (sleep()) busy_until_ns = host::steady_clock::now_ns() + options_.spin_ns;
        idle_passes = 0;
      }
    }
    run_posted();
  }

  /// One pass over everything but the file descriptors. @return how much was done
  unsigned look() noexcept {
    unsigned done = 0;
    if (posted_count_.load(std::memory_order_acquire) != posted_seen_) done += run_posted();
    // By index: a pollable may add another, which moves the array.
    bool removed = false;
    for (std::size_t i = 0; i < pollables_.size(); ++i) {
      if (pollables_[i] != nullptr) done += pollables_[i]->poll();
      removed = removed || pollables_[i] == nullptr;
    }
    if (removed) pollables_.erase(std::remove(pollables_.begin(), pollables_.end(), nullptr), pollables_.end());
    return done;
  }

  unsigned run_posted() noexcept {
    std::vector<std::function<void()>> work;
    {
      const std::lock_guard lock(mutex_);
      posted_seen_ = posted_count_.load(std::memory_order_relaxed);
      work.swap(posted_);
      stopping_ = state_ == state::stopped;
    }
    for (std::function<void()>& f : work) f();
    return static_cast<unsigned>(work.size()) + 1;
  }

  /// Blocks until something wakes it. @return whether there was anything to do
  bool sleep() noexcept {
    const std::uint64_t wakes_before = wakes_.load(std::memory_order_seq_cst);
    for (pollable* p : pollables_)
      if (p != nullptr)
        if (std::uint32_t* word = p->asleep_word()) native_atomics::exchange(word, std::uint32_t{1}, system_scope);
    sleeping_.store(1, std::memory_order_seq_cst);
    // Store-load, between processes: the stores of the asleep words above before the loads of the doorbells below. A
    // client exchanges its doorbell, then loads its word. Acquire and release do not order this.
    store_load_barrier();
    const unsigned done = look();
    unsigned events = 0;
    const bool timed = std::any_of(pollables_.begin(), pollables_.end(),
                                   [](pollable* p) { return p != nullptr && p->needs_polling(); });
    if (done == 0 && wakes_.load(std::memory_order_seq_cst) == wakes_before) {
      sleeps_.fetch_add(1, std::memory_order_relaxed);
      events = dispatch(timed ? static_cast<std::int64_t>(options_.foreign_poll_us) * 1000 : -1);
    }
    sleeping_.store(0, std::memory_order_relaxed);
    for (pollable* p : pollables_)
      if (p != nullptr)
        if (std::uint32_t* word = p->asleep_word()) native_atomics::store_relaxed(word, std::uint32_t{0}, system_scope);
    return done + events != 0 || !timed;
  }

  static void store_load_barrier() noexcept {
#if NKV_ON_X86
    __asm__ volatile("mfence" ::: "memory");
#elif NKV_ON_ARM64
    __asm__ volatile("dmb ish" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
  }

  /// Waits for events for `timeout_ns` (0 not at all, -1 without end) and runs their callbacks. @return their number
  unsigned dispatch(std::int64_t timeout_ns) noexcept {
    epoll_event events[64];
    int n = 0;
    if (timeout_ns > 0) {
      timespec t{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
      n = epoll_pwait2(epoll_fd_, events, 64, &t, nullptr);
      if (n < 0 && errno == ENOSYS) {  // kernels before 5.11
        nanosleep(&t, nullptr);
        n = epoll_wait(epoll_fd_, events, 64, 0);
      }
    } else {
      n = epoll_wait(epoll_fd_, events, 64, timeout_ns < 0 ? -1 : 0);
    }
    for (int i = 0; i < n; ++i) {
      // Not there any more where an earlier callback of this round removed it; ids are not reused, fds are.
      const std::uint64_t id = events[i].data.u64;  // a copy: the kernel's structure is packed
      const auto at = callbacks_.find(id);
      if (at == callbacks_.end()) continue;
      const std::shared_ptr<fd_callback> keep = at->second;  // it may remove itself
      (*keep)(events[i].events);
    }
    return n > 0 ? static_cast<unsigned>(n) : 0;
  }

  static constexpr std::uint32_t passes_per_clock = 16;

  const poller_options options_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  pthread_t thread_{};
  pthread_t thread_self_{};
  std::atomic<bool> thread_known_{false};

  std::mutex mutex_;  // state_, posted_
  state state_ = state::fresh;
  std::vector<std::function<void()>> posted_;
  std::atomic<std::uint32_t> posted_count_{0};

  std::atomic<std::uint64_t> wakes_{0};
  std::atomic<std::uint32_t> sleeping_{0};
  std::atomic<std::uint64_t> sleeps_{0};

  // The thread's own.
  std::uint32_t posted_seen_ = 0;
  bool stopping_ = false;
  std::vector<pollable*> pollables_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<int, std::uint64_t> by_fd_;
  std::unordered_map<std::uint64_t, std::shared_ptr<fd_callback>> callbacks_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
