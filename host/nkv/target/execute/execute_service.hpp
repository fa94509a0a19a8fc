// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execution.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/execute/program_source.hpp>
#include <nkv/target/linked_list.hpp>
#include <nkv/target/store.hpp>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// How much Execute may take of the machine. A plain aggregate.
struct execute_service_options {
  unsigned workers = 0;                                   ///< runs at a time; 0: half of the processors, at least one
  std::uint32_t max_under_way = 256;                      ///< commands that run or wait; one more is told to come again
  std::uint64_t max_held_bytes = std::uint64_t{1} << 30;  ///< of the values of these; one goes ahead whatever its size
  std::uint64_t load_timeout_ns = 10'000'000'000;         ///< a command that waits longer for its module is killed
  int nice = 10;                                          ///< of the threads that run and load: others go first
};

/// Something about Execute that a log should have. The views live as long as the call.
struct execute_event {
  std::string_view what;  ///< "run failed", "module refused", ...
  std::uint32_t op_id = 0;
  std::string_view runtime;
  std::string_view function;
  std::string_view module;  ///< the name of the module as it is bound; may hold any bytes
  std::string_view why;
  std::uint64_t unreported = 0;  ///< so many went before without being told
};
/// Called from several threads, one at a time; returns soon, and calls nothing of the service's.
using execute_report = std::function<void(const execute_event&)>;

/// Runs what Execute asks for, on a bounded number of threads of its own that yield to others; loads programs on one
/// more, so that a slow compile holds up nobody who does not wait for it; and stops what takes too long, with a third.
/// The threads start with the first command. A run that nothing stops (a function_program's) is waited for.
///
/// A command's way: waiting for its program, if that is not at hand; waiting for a thread; running. It ends
/// exactly once, by its operation's finish(), or at once within begin() or cancel().
class execute_service {
 public:
  /// @param source what brings programs that bindings name; null: there is nothing but programs given in code
  explicit execute_service(execute_service_options options = {}, std::shared_ptr<program_source> source = {},
                           execute_report report = {})
      : options_(options), source_(std::move(source)), report_(std::move(report)) {
    if (options_.workers == 0) options_.workers = std::max(1u, std::thread::hardware_concurrency() / 2);
    options_.max_under_way = std::max(1u, options_.max_under_way);
  }
  execute_service(const execute_service&) = delete;
  execute_service& operator=(const execute_service&) = delete;
  /// No command is under way. Waits for a load to end.
  ~execute_service() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    load_.notify_all();
    watch_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  /// Takes over a command whose value is there. Any thread.
  /// @return done: e.result says how it ended; later: e.operation->finish() will be called, e.ended set before
  [[nodiscard]] progress begin(execution& e) noexcept {
    const std::unique_lock lock(mutex_);
    const std::uint64_t held = e.value.bytes.size();
    if (under_way_ >= options_.max_under_way || (under_way_ != 0 && held_bytes_ + held > options_.max_held_bytes))
      return ended(e, run_result::busy);
    if (!start_threads()) return ended(e, run_result::no_memory);
    e.run.value = e.value.bytes;
    e.run.input = {e.input.data(), e.input.size()};
    e.run.limits = e.binding->limits;
    e.program = e.binding->program;
    if (e.program == nullptr && source_ == nullptr) return ended(e, run_result::no_runtime);
    if (e.program == nullptr) e.program = source_->find(*e.binding);
    if (e.program != nullptr) {
      if (const run_result r = allowed(e); r != run_result::ok) return ended(e, r);
    }
    ++under_way_;
    held_bytes_ += held;
    if (e.program != nullptr) {
      wait_for_thread(e);
    } else {
      e.at = execution::stage::loading;
      e.until_ns = host::steady_clock::now_ns() + options_.load_timeout_ns;
      loading_.append(e);
      load_.notify_one();
      watch_.notify_one();
    }
    return progress::later;
  }

  /// Ends a command that begin() took, as soon as that is possible: at once, by its finish(), where it waits; where it
  /// runs, when the run has noticed. Not for one whose operation was taken from finished_operations. Any thread.
  void cancel(execution& e) noexcept {
    std::unique_lock lock(mutex_);
    if (e.ended) return;
    if (e.at == execution::stage::running) {
      e.run.stop();
      e.program->interrupt();
      return;
    }
    (e.at == execution::stage::loading ? loading_ : waiting_).remove(e);
    leave(e, run_result::killed);
    lock.unlock();
    e.operation->finish(store_result::ok, 0);
  }

  /// How many commands run or wait. Any thread.
  [[nodiscard]] std::uint32_t under_way() const noexcept {
    const std::lock_guard lock(mutex_);
    return under_way_;
  }

 private:
  using line = linked_list<execution>;

  static constexpr std::chrono::milliseconds tick{10};

  static progress ended(execution& e, run_result r) noexcept {
    e.ended = true;
    e.result = r;
    return progress::done;
  }

  static run_result allowed(const execution& e) noexcept {
    if (!e.program->writes()) return run_result::ok;
    if (e.read_only) return run_result::read_only;
    return e.binding->writes ? run_result::ok : run_result::not_allowed;
  }

  void wait_for_thread(execution& e) noexcept {
    e.at = execution::stage::waiting;
    waiting_.append(e);
    work_.notify_one();
  }

  /// Under the lock; what is left is to call finish(), without it.
  void leave(execution& e, run_result r) noexcept {
    --under_way_;
    held_bytes_ -= e.value.bytes.size();
    static_cast<void>(ended(e, r));
  }

  bool start_threads() noexcept {
    if (started_) return !broken_;
    started_ = true;
    // What the threads start inherits its mask: the program's signal handlers shall run on its own threads.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      threads_.reserve(options_.workers + 2);
      threads_.emplace_back([this] { watch(); });
      if (source_ != nullptr) threads_.emplace_back([this] { load(); });
      for (unsigned i = 0; i < options_.workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      // With some of them there is a service, if a slower one; without any worker there is none.
      if (threads_.size() < (source_ != nullptr ? 3u : 2u)) broken_ = true;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return !broken_;
  }

  void yield_to_others(const char* name) const noexcept {
    ::pthread_setname_np(::pthread_self(), name);
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), options_.nice);
  }

  // Runs
  // ----------------------------------------------------------------------------------------------------------------

  void work() noexcept {
    yield_to_others("nkv-execute");
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return stopping_ || waiting_.first != nullptr; });
      if (stopping_) return;
      execution& e = *waiting_.first;
      waiting_.remove(e);
      e.at = execution::stage::running;
      e.until_ns = host::steady_clock::now_ns() + e.run.limits.wall_ns;
      running_.append(e);
      watch_.notify_one();
      lock.unlock();
      const run_result r = e.program->run(e.run);
      if (r != run_result::ok) report("run failed", e, r == run_result::killed ? "stopped" : e.run.why());
      lock.lock();
      running_.remove(e);
      leave(e, r);
      lock.unlock();
      // Nothing of it is this thread's any more.
      e.operation->finish(store_result::ok, 0);
      lock.lock();
    }
  }

  // Programs
  // ------------------------------------------------------------------------------------------------------------

  void load() noexcept {
    yield_to_others("nkv-load");
    std::unique_lock lock(mutex_);
    for (;;) {
      load_.wait(lock, [this] { return stopping_ || loading_.first != nullptr; });
      if (stopping_) return;
      // The command may end meanwhile; these stay.
      const std::shared_ptr<const execute_allowlist> list = loading_.first->allowlist;
      const std::shared_ptr<store> from = loading_.first->from;
      const execute_binding& binding = *loading_.first->binding;
      lock.unlock();
      std::string why;
      const run_result r = source_->load(binding, *from, why);
      line over;
      lock.lock();
      // All who wait for this one, or for another that came with it.
      for (execution* e = loading_.first; e != nullptr;) {
        execution* const next = e->next;
        run_result result = r;
        e->program = r == run_result::ok ? source_->find(*e->binding) : nullptr;
        const bool same = e->binding == &binding;
        if (e->program != nullptr) {
          result = allowed(*e);
          if (result == run_result::not_allowed) why = "the module exports kv_write, and the binding does not say so";
        }
        if (e->program != nullptr || same) {
          loading_.remove(*e);
          if (e->program != nullptr && result == run_result::ok) {
            wait_for_thread(*e);
          } else {
            // Made, and gone from a cache that is too small for it.
            if (result == run_result::ok) result = run_result::no_memory;
            over.append(*e);
            leave(*e, result);
          }
        }
        e = next;
      }
      lock.unlock();
      if (over.first != nullptr) report("module refused", *over.first, why);
      while (over.first != nullptr) {
        execution& e = *over.first;
        over.remove(e);
        e.operation->finish(store_result::ok, 0);
      }
      lock.lock();
    }
  }

  // Time
  // ----------------------------------------------------------------------------------------------------------------

  void watch() noexcept {
    ::pthread_setname_np(::pthread_self(), "nkv-watch");
    std::unique_lock lock(mutex_);
    for (;;) {
      watch_.wait(lock, [this] { return stopping_ || running_.first != nullptr || loading_.first != nullptr; });
      if (stopping_) return;
      watch_.wait_for(lock, tick, [this] { return stopping_; });
      const std::uint64_t now = host::steady_clock::now_ns();
      // Again with every tick: a run may begin to listen only after it was told.
      for (execution* e = running_.first; e != nullptr; e = e->next) {
        if (now >= e->until_ns) e->run.stop();
        if (e->run.stopped()) e->program->interrupt();
      }
      line over;
      for (execution* e = loading_.first; e != nullptr;) {
        execution* const next = e->next;
        if (now >= e->until_ns) {
          loading_.remove(*e);
          over.append(*e);
          leave(*e, run_result::killed);
        }
        e = next;
      }
      if (over.first == nullptr) continue;
      lock.unlock();
      report("module not loaded in time", *over.first, "");
      while (over.first != nullptr) {
        execution& e = *over.first;
        over.remove(e);
        e.operation->finish(store_result::ok, 0);
      }
      lock.lock();
    }
  }

  /// At most one a second: clients cause them.
  void report(std::string_view what, const execution& e, std::string_view why) noexcept {
    if (!report_) return;
    try {
      const std::lock_guard lock(report_mutex_);
      constexpr std::uint64_t interval_ns = 1'000'000'000;
      const std::uint64_t now = host::steady_clock::now_ns();
      if (reported_ns_ != 0 && now - reported_ns_ < interval_ns) {
        ++unreported_;
        return;
      }
      reported_ns_ = now;
      std::uint32_t op_id = 0;
      for (const auto& [id, binding] : *e.allowlist)
        if (&binding == e.binding) op_id = id;
      report_({what, op_id, e.binding->runtime, e.binding->function, e.binding->module.name, why,
               std::exchange(unreported_, 0)});
    } catch (...) {
      return;  // a line that the log lacks
    }
  }

  execute_service_options options_;
  const std::shared_ptr<program_source> source_;
  const execute_report report_;

  mutable std::mutex mutex_;
  std::condition_variable work_, load_, watch_;
  line loading_, waiting_, running_;
  std::uint32_t under_way_ = 0;
  std::uint64_t held_bytes_ = 0;
  bool started_ = false;
  bool broken_ = false;
  bool stopping_ = false;
  std::vector<std::thread> threads_;

  std::mutex report_mutex_;
  std::uint64_t reported_ns_ = 0;
  std::uint64_t unreported_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
