// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/target/rados/rados_options.hpp>

#include <rados/librados.hpp>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// A connection to the cluster.
class rados_session {
 public:
  librados::Rados rados;

  rados_session* next_retired = nullptr;  ///< rados_cluster's own
};

/// A pool and RADOS namespace of one connection. Operations keep it, and by it the connection.
class rados_pool {
 public:
  std::shared_ptr<rados_session> session;
  librados::IoCtx io;

  /// Whether the cluster has no such pool any more: then each of its objects seems absent. Asks nobody, since the
  /// answer that made somebody ask came with a map of the cluster at least as new.
  [[nodiscard]] bool gone() noexcept {
    try {
      std::string name;
      return session->rados.pool_reverse_lookup(io.get_id(), &name) == -ENOENT;
    } catch (...) {
      return true;
    }
  }
};

/// Where a store is: its pool while that can be reached.
class rados_place {
 public:
  explicit rados_place(const rados_store_options& where) : pool_name(where.pool), space(where.rados_namespace) {}

  const std::string pool_name;
  const std::string space;

  /// @return the pool; null while the cluster, or the pool in it, cannot be reached. Any thread
  [[nodiscard]] std::shared_ptr<rados_pool> pool() const noexcept {
    const std::lock_guard lock(mutex_);
    return pool_;
  }
  void set(std::shared_ptr<rados_pool> pool) noexcept {
    const std::lock_guard lock(mutex_);
    pool_.swap(pool);
  }
  /// Takes the pool away, if it still is this one. @return whether it was
  bool drop(const rados_pool* pool) noexcept {
    std::shared_ptr<rados_pool> old;
    const std::lock_guard lock(mutex_);
    if (pool_ == nullptr || pool_.get() != pool) return false;
    pool_.swap(old);
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<rados_pool> pool_;
};

/// An operation's turn to be with librados. Lives until `go` was called, or withdraw() has taken it back.
struct rados_turn {
  std::uint64_t bytes = 0;
  /// Called when the turn has come after all, from a thread of librados's.
  /// @param in_time false where it waited for longer than an operation may take: then it holds no room
  void (*go)(rados_turn& turn, bool in_time) noexcept = nullptr;

  // rados_cluster's own.
  std::uint64_t since_ns = 0;
  rados_turn* next = nullptr;
  rados_turn* previous = nullptr;
};

/// A cluster: the connection, made again when it was lost; the pools that stores are in, opened again when they were
/// gone; and how many operations are with librados at a time.
///
/// Credits: librados blocks the caller once an Objecter's own throttle is used up (`objecter_inflight_ops`,
/// `objecter_inflight_op_bytes`). These are kept above ours, so that no call blocks in it; what has no credit waits
/// here.
///
/// One thread of its own, which connects, opens pools and lists objects, for which librados has no call that does not
/// block. Thread rule: any thread; not destroyed by one of librados's.
class rados_cluster {
 public:
  /// Reads the configuration and begins to connect, again and again if need be.
  /// @param report may be empty
  /// @param[out] error why there is none
  /// @return null where the configuration is no good, a file that cannot be read mostly, and where no thread can be had
  [[nodiscard]] static std::unique_ptr<rados_cluster> create(rados_cluster_options options, rados_report report,
                                                             std::string& error) {
    for (const std::string& path : {options.conf, options.keyring}) {
      if (path.empty() || ::access(path.c_str(), R_OK) == 0) continue;
      error = path + ": " + std::strerror(errno);
      return nullptr;
    }
    std::unique_ptr<rados_cluster> out(new rados_cluster(std::move(options), std::move(report)));
    librados::Rados probe;
    if (const int r = out->configure(probe, error); r != 0) return nullptr;
    std::string text;
    const auto number = [&](const char* name, std::uint64_t otherwise) {
      return probe.conf_get(name, text) == 0 ? std::strtoull(text.c_str(), nullptr, 10) : otherwise;
    };
    // The second is in MiB. An OSD refuses what is longer than either.
    out->max_value_bytes_ =
        std::min<std::uint64_t>(number("osd_max_object_size", 128u << 20), number("osd_max_write_size", 90) << 20);
    probe.shutdown();
    try {
      out->start();
    } catch (const std::system_error& e) {
      error = e.what();
      return nullptr;
    }
    return out;
  }
  rados_cluster(const rados_cluster&) = delete;
  rados_cluster& operator=(const rados_cluster&) = delete;
  /// @pre no store in it exists
  ~rados_cluster() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] const rados_cluster_options& options() const noexcept { return options_; }
  /// The longest value that an OSD takes, as far as this configuration tells.
  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept { return max_value_bytes_; }

  /// What the cluster knows this client by, "10.0.0.1:0/123456789"; empty while there is no connection.
  [[nodiscard]] std::string address() {
    std::shared_ptr<rados_session> session;
    {
      const std::lock_guard lock(mutex_);
      session = session_;
    }
    return session == nullptr ? std::string() : session->rados.get_addrs();
  }

  /// A place for a store. Its pool is there as soon as it could be opened.
  [[nodiscard]] std::shared_ptr<rados_place> place(const rados_store_options& where) {
    auto out = std::make_shared<rados_place>(where);
    const std::lock_guard lock(mutex_);
    places_.push_back(out);
    attention_ = true;
    try_at_ns_ = 0;
    changed_.notify_all();
    return out;
  }

  /// Waits until every place has its pool. @return false where the deadline came first
  [[nodiscard]] bool wait_until_ready(host::deadline until) {
    std::unique_lock lock(mutex_);
    while (attention_ || settling_ || session_ == nullptr) {
      const std::uint64_t left_ns = until.left_ns();
      if (left_ns == 0) return false;
      settled_.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(left_ns, 1'000'000'000)));
    }
    return true;
  }

  /// The pool of `place` is gone: it is looked for again.
  void lost_pool(rados_place& place, const rados_pool* pool) noexcept {
    if (!place.drop(pool)) return;
    const std::lock_guard lock(mutex_);
    attention_ = true;
    changed_.notify_all();
  }
  /// The cluster will have nothing more to do with this connection: another one is made.
  void lost_session(const rados_session* session) noexcept {
    const std::lock_guard lock(mutex_);
    if (session_.get() != session) return;
    reconnect_ = attention_ = true;
    changed_.notify_all();
  }

  // Credits
  // -------------------------------------------------------------------------------------------------------------------

  /// @return true: go ahead, and release(turn.bytes) when the operation has ended. false: turn.go will be called
  [[nodiscard]] bool take_turn(rados_turn& turn) noexcept {
    const std::lock_guard lock(credit_mutex_);
    if (first_ == nullptr && fits(turn.bytes)) {
      count(turn.bytes);
      return true;
    }
    turn.since_ns = host::steady_clock::now_ns();
    turn.next = nullptr;
    turn.previous = last_;
    (last_ != nullptr ? last_->next : first_) = &turn;
    last_ = &turn;
    return false;
  }
  /// Takes a turn out of those that wait.
  /// @param which says whether a turn is meant
  /// @return the turn, whose `go` will not be called; null where none that waits is meant
  template <class Which>
  [[nodiscard]] rados_turn* withdraw(const Which& which) noexcept {
    const std::lock_guard lock(credit_mutex_);
    rados_turn* t = first_;
    while (t != nullptr && !which(*t)) t = t->next;
    if (t != nullptr) unlink(*t);
    return t;
  }
  /// Gives the room of an operation back, and lets others begin.
  void release(std::uint64_t bytes) noexcept {
    rados_turn* late = nullptr;
    rados_turn* begin = nullptr;
    {
      const std::lock_guard lock(credit_mutex_);
      --operations_;
      bytes_ -= bytes;
      if (first_ == nullptr) return;
      const std::uint64_t now = host::steady_clock::now_ns();
      const std::uint64_t most_ns = std::uint64_t{options_.op_timeout_s} * 1'000'000'000;
      // In the order in which they came, so the first is the one that has waited longest.
      while (first_ != nullptr && now - first_->since_ns >= most_ns) move_first(late);
      while (first_ != nullptr && fits(first_->bytes)) {
        count(first_->bytes);
        move_first(begin);
      }
    }
    go(late, false);
    go(begin, true);
  }
  /// Operations with librados, and those that wait for their turn.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> operations() const noexcept {
    const std::lock_guard lock(credit_mutex_);
    std::uint64_t waiting = 0;
    for (const rados_turn* t = first_; t != nullptr; t = t->next) ++waiting;
    return {operations_, waiting};
  }

  // Others
  // --------------------------------------------------------------------------------------------------------------------

  /// Runs `job` on the cluster's thread, one after the other. @return false for want of memory
  [[nodiscard]] bool post(std::function<void()> job) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    } catch (...) {
      return false;
    }
    changed_.notify_all();
    return true;
  }

  /// Reports, the same thing at most once in a while.
  void report(bool trouble, std::string_view what, std::string_view pool, std::string_view space,
              std::string_view why) noexcept {
    if (!report_) return;
    try {
      const std::lock_guard lock(report_mutex_);
      constexpr std::uint64_t interval_ns = 5'000'000'000;
      constexpr std::size_t most_kinds = 256;
      std::string kind;
      for (const std::string_view part : {what, pool, space, why}) kind.append(part).push_back('\0');
      if (told_.size() >= most_kinds) told_.clear();
      auto& [at_ns, unreported] = told_[std::move(kind)];
      const std::uint64_t now = host::steady_clock::now_ns();
      if (trouble && at_ns != 0 && now - at_ns < interval_ns) {
        ++unreported;
        return;
      }
      at_ns = now;
      report_({trouble, what, pool, space, why, std::exchange(unreported, 0)});
    } catch (...) {
    }
  }

 private:
  static constexpr std::uint64_t retry_ns = 500'000'000;

  rados_cluster(rados_cluster_options options, rados_report report)
      : options_(std::move(options)), report_(std::move(report)) {}

  void start() {
    // What the thread starts inherits its mask: the program's signal handlers shall run on its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { work(); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  int configure(librados::Rados& rados, std::string& error) const {
    const auto failed = [&](const char* what, int r) {
      error = std::string(what) + ": " + std::strerror(-r);
      return r;
    };
    if (const int r = rados.init2(options_.user.c_str(), "ceph", 0); r != 0) return failed(options_.user.c_str(), r);
    if (const int r = rados.conf_read_file(options_.conf.empty() ? nullptr : options_.conf.c_str()); r != 0)
      return failed(options_.conf.empty() ? "ceph.conf" : options_.conf.c_str(), r);
    const std::uint64_t bytes = options_.max_bytes + (std::uint64_t{256} << 20);
    const std::pair<const char*, std::string> settings[] = {
        {"keyring", options_.keyring},
        {"client_mount_timeout", std::to_string(options_.mon_timeout_s)},
        {"rados_mon_op_timeout", std::to_string(options_.mon_timeout_s)},
        {"rados_osd_op_timeout", std::to_string(options_.op_timeout_s)},
        // Above our own credits, and room for the listings, which take none.
        {"objecter_inflight_ops", std::to_string(options_.max_operations + 256)},
        {"objecter_inflight_op_bytes", std::to_string(bytes)},
        // An operation that is not answered makes the Objecter ask for a newer map of the cluster, by its own default
        // only after 10 s: with time-outs shorter than that it would never learn that an OSD came back elsewhere.
        {"objecter_tick_interval", "0.25"},
        {"objecter_timeout", std::to_string(options_.op_timeout_s * 0.25)},
        // A guest in this process writes nothing anywhere and opens no socket of its own.
        {"log_to_stderr", "false"},
        {"err_to_stderr", "false"},
        {"log_file", " "},
        {"admin_socket", " "},
    };
    for (const auto& [name, value] : settings) {
      if (value.empty()) continue;
      if (const int r = rados.conf_set(name, value == " " ? "" : value.c_str()); r != 0) return failed(name, r);
    }
    return 0;
  }

  // The thread
  // ----------------------------------------------------------------------------------------------------------------

  void work() noexcept {
    pthread_setname_np(pthread_self(), "nkv-rados");
    std::unique_lock lock(mutex_);
    for (;;) {
      if (retired_ != nullptr) {
        rados_session* const old = std::exchange(retired_, retired_->next_retired);
        lock.unlock();
        delete old;
        lock.lock();
        --sessions_;
        continue;
      }
      if (!jobs_.empty()) {
        std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
        continue;
      }
      if (stopping_) {
        if (session_ != nullptr) {
          forget_session(lock);
          continue;
        }
        if (sessions_ == 0) return;
        // What keeps one is about to let go of it.
        changed_.wait(lock);
        continue;
      }
      if (!attention_) {
        changed_.wait(lock);
        continue;
      }
      const std::uint64_t now = host::steady_clock::now_ns();
      if (now < try_at_ns_) {
        changed_.wait_for(lock, std::chrono::nanoseconds(try_at_ns_ - now));
        continue;
      }
      // What turns up while the lock is let go is looked at afterwards.
      attention_ = false;
      settling_ = true;
      if (std::exchange(reconnect_, false)) forget_session(lock);
      if (!settle(lock)) {
        attention_ = true;
        try_at_ns_ = host::steady_clock::now_ns() + retry_ns;
      }
      settling_ = false;
      if (!attention_) settled_.notify_all();
    }
  }

  /// No new operation begins on the connection; it ends with the last that is under way. Unlocks meanwhile.
  void forget_session(std::unique_lock<std::mutex>& lock) noexcept {
    const std::vector<std::weak_ptr<rados_place>> places = places_;
    std::shared_ptr<rados_session> old = std::move(session_);
    lock.unlock();
    for (const std::weak_ptr<rados_place>& weak : places)
      if (const std::shared_ptr<rados_place> p = weak.lock()) p->set(nullptr);
    old.reset();
    lock.lock();
  }

  /// Connects where there is no connection, and opens the pools that are not open. Unlocks meanwhile.
  /// @return whether all of it is done
  bool settle(std::unique_lock<std::mutex>& lock) noexcept {
    try {
      if (session_ == nullptr) {
        lock.unlock();
        std::shared_ptr<rados_session> made = connect();
        lock.lock();
        if (made == nullptr) return false;
        session_ = std::move(made);
      }
      std::erase_if(places_, [](const std::weak_ptr<rados_place>& p) { return p.expired(); });
      const std::vector<std::weak_ptr<rados_place>> places = places_;
      const std::shared_ptr<rados_session> session = session_;
      lock.unlock();
      bool all = true;
      for (const std::weak_ptr<rados_place>& weak : places) {
        const std::shared_ptr<rados_place> p = weak.lock();
        if (p != nullptr && p->pool() == nullptr) all = open(*p, session) && all;
      }
      lock.lock();
      return all;
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      return false;
    }
  }

  std::shared_ptr<rados_session> connect() {
    auto fresh = std::make_unique<rados_session>();
    {
      const std::lock_guard lock(mutex_);
      ++sessions_;
    }
    // Whoever lets go of it last may be a thread of librados's, and that cannot end librados: ours does.
    std::shared_ptr<rados_session> made(fresh.release(), [this](rados_session* s) noexcept { retire(s); });
    std::string why;
    int r = configure(made->rados, why);
    if (r == 0) {
      r = made->rados.connect();
      if (r != 0) why = r == -ETIMEDOUT ? "no monitor answers" : std::strerror(-r);
    }
    if (r != 0) {
      report(true, "cannot connect", {}, {}, why);
      return nullptr;
    }
    report(false, "connected", {}, {}, {});
    return made;
  }
  void retire(rados_session* s) noexcept {
    // Notified within the lock: as soon as it is let go, the thread may end and all of this be gone.
    const std::lock_guard lock(mutex_);
    s->next_retired = std::exchange(retired_, s);
    changed_.notify_all();
  }

  bool open(rados_place& place, const std::shared_ptr<rados_session>& session) {
    auto pool = std::make_shared<rados_pool>();
    pool->session = session;
    if (const int r = session->rados.ioctx_create(place.pool_name.c_str(), pool->io); r != 0) {
      report(true, "cannot open the pool", place.pool_name, place.space,
             r == -ENOENT ? "there is no such pool" : std::strerror(-r));
      return false;
    }
    pool->io.set_namespace(place.space);
    place.set(std::move(pool));
    report(false, "pool opened", place.pool_name, place.space, {});
    return true;
  }

  // Credits, the lock held
  // ----------------------------------------------------------------------------------------------------

  [[nodiscard]] bool fits(std::uint64_t bytes) const noexcept {
    return operations_ == 0 || (operations_ < options_.max_operations && bytes <= options_.max_bytes &&
                                bytes_ <= options_.max_bytes - bytes);
  }
  void count(std::uint64_t bytes) noexcept {
    ++operations_;
    bytes_ += bytes;
  }
  void unlink(rados_turn& t) noexcept {
    (t.previous != nullptr ? t.previous->next : first_) = t.next;
    (t.next != nullptr ? t.next->previous : last_) = t.previous;
  }
  /// To the end of another list, which is linked by `next` alone.
  void move_first(rados_turn*& list) noexcept {
    rados_turn* const t = first_;
    unlink(*t);
    t->next = nullptr;
    rados_turn** end = &list;
    while (*end != nullptr) end = &(*end)->next;
    *end = t;
  }
  static void go(rados_turn* list, bool in_time) noexcept {
    while (list != nullptr) {
      rados_turn* const t = std::exchange(list, list->next);
      t->go(*t, in_time);
    }
  }

  const rados_cluster_options options_;
  const rados_report report_;
  std::uint64_t max_value_bytes_ = 0;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable settled_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::weak_ptr<rados_place>> places_;
  std::shared_ptr<rados_session> session_;
  rados_session* retired_ = nullptr;  ///< nobody uses these any more
  std::size_t sessions_ = 0;          ///< that are not deleted yet
  std::uint64_t try_at_ns_ = 0;
  bool attention_ = true;  ///< something is not connected or open
  bool settling_ = false;
  bool reconnect_ = false;
  bool stopping_ = false;

  mutable std::mutex credit_mutex_;
  std::uint64_t operations_ = 0;
  std::uint64_t bytes_ = 0;
  rados_turn* first_ = nullptr;
  rados_turn* last_ = nullptr;

  std::mutex report_mutex_;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> told_;  ///< when, and how many since
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
