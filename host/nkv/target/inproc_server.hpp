// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/inproc/registry.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/subsystem.hpp>

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

struct inproc_server_options {
  controller_options controller;
  poller_options poller;
};

/// Serves a subsystem within this process, at `inproc:NAME`, on a thread of its own. Each client gets its own
/// controller, and may use any memory of the process that it maps.
///
/// Destroying it disconnects the clients: when the destructor has returned no client memory is touched any more, except
/// where a store does not end an operation within 10 seconds of its being cancelled. Clients may outlive it. Any
/// thread.
class inproc_server {
 public:
  /// Starts serving. See error().
  /// @param name what clients say after `inproc:`
  inproc_server(std::string name, std::shared_ptr<subsystem> s, inproc_server_options options = {})
      : name_(std::move(name)), service_(std::make_shared<service>(std::move(s), std::move(options))) {
    error_ = service_->start();
    if (error_.ok()) error_ = host::inproc_registry::process().add(name_, service_);
  }
  inproc_server(const inproc_server&) = delete;
  inproc_server& operator=(const inproc_server&) = delete;
  ~inproc_server() {
    host::inproc_registry::process().remove(name_, service_.get());
    service_->stop();
  }

  /// Success, or why it does not serve: busy where the name is taken, bad_argument for an empty one, system_error.
  [[nodiscard]] status error() const noexcept { return error_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// How often the thread went to sleep.
  [[nodiscard]] std::uint64_t sleeps() const noexcept { return service_->poller_.sleeps(); }

 private:
  /// One client's: on the poller's thread, but for the doorbell page and the wake fd, which the client uses as well.
  struct session {
    alignas(doorbell_page_bytes) std::uint32_t doorbells[doorbell_page_bytes / 4] = {};
    int wake_fd = -1;
    std::vector<host::unique_fd> interrupts;  ///< the client's eventfds, by vector
    std::unique_ptr<controller> ctrl;

    session() = default;
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() {
      if (wake_fd >= 0) ::close(wake_fd);
    }
  };

  static constexpr std::uint64_t patience_ms = 10'000;

  static void nap() noexcept {
    const timespec t{0, 50'000};
    nanosleep(&t, nullptr);
  }

  class service final : public host::inproc_service, public std::enable_shared_from_this<service> {
    std::shared_ptr<subsystem> subsystem_;
    inproc_server_options options_;
    std::vector<std::shared_ptr<session>> sessions_;
    bool closing_ = false;

   public:
    service(std::shared_ptr<subsystem> s, inproc_server_options options)
        : subsystem_(std::move(s)), options_(std::move(options)), poller_(options_.poller) {}
    ~service() override { stop(); }

    status start() noexcept { return poller_.start(); }

    void stop() {
      const auto until = host::deadline::after_ms(patience_ms);
      bool quiet = false;
      // Nobody may connect between the look at the sessions and the end of the thread.
      status s = poller_.call(
          [&] {
            closing_ = true;
            for (const auto& one : sessions_) one->ctrl->close();
          },
          until);
      while (s.ok() && !quiet && !until.expired()) {
        s = poller_.call(
            [&] {
              quiet =
                  std::all_of(sessions_.begin(), sessions_.end(), [](const auto& one) { return one->ctrl->quiet(); });
            },
            until);
        if (!quiet) nap();
      }
      poller_.stop();
      // The thread has ended: what was its own is this thread's now.
      for (const auto& one : sessions_) {
        if (one->ctrl == nullptr) continue;
        if (one->ctrl->quiet()) {
          one->ctrl = nullptr;
        } else {
          // A store's thread will yet touch it: abandoned, never reused.
          static_cast<void>(one->ctrl.release());
          all_quiet_ = false;
        }
      }
      sessions_.clear();
      ended_.store(true, std::memory_order_release);
    }

    [[nodiscard]] host::result<std::unique_ptr<host::memory_transport>> connect(host::deadline until) override {
      host::result<std::shared_ptr<session>> made{status{client_status::disconnected}};
      const status s = poller_.call([&] { made = open_session(); }, until);
      if (!s.ok()) return s;
      if (!made) return made.error();
      return std::unique_ptr<host::memory_transport>(new connection(shared_from_this(), *std::move(made)));
    }

    // On the thread.

    host::result<std::shared_ptr<session>> open_session() {
      if (closing_) return status{client_status::disconnected};
      auto one = std::make_shared<session>();
      one->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (one->wake_fd < 0) return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
      controller_options how = options_.controller;
      one->interrupts.resize(how.max_io_queue_pairs + std::size_t{1});
      how.interrupt_vectors = static_cast<std::uint16_t>(one->interrupts.size());
      // The session lives longer than its controller.
      how.raise_interrupt = [fds = &one->interrupts](std::uint16_t vector) {
        const std::uint64_t one_more = 1;
        // A full counter (EAGAIN) is one that nobody has read: readable it is.
        if (vector < fds->size() && (*fds)[vector].valid()) {
          [[maybe_unused]] const ssize_t n = ::write((*fds)[vector].get(), &one_more, sizeof one_more);
        }
      };
      auto made = controller::create(subsystem_, std::move(how), one->doorbells, poller_);
      if (!made) return made.error();
      if (const status s = poller_.add_wake_fd(one->wake_fd); !s.ok()) return s;
      one->ctrl = *std::move(made);
      one->ctrl->set_client_can_wake(true);
      poller_.add(*one->ctrl);
      sessions_.push_back(one);
      return one;
    }

    /// Ends a session as soon as its controller is quiet. @return whether it has ended
    bool end_session(const std::shared_ptr<session>& one) {
      const auto at = std::find(sessions_.begin(), sessions_.end(), one);
      if (at == sessions_.end()) return true;
      one->ctrl->close();
      if (!one->ctrl->quiet()) return false;
      poller_.remove(*one->ctrl);
      poller_.remove_fd(one->wake_fd);
      one->ctrl = nullptr;
      sessions_.erase(at);
      return true;
    }

    poller poller_;
    std::atomic<bool> ended_{false};
    bool all_quiet_ = true;
  };

  class connection final : public host::memory_transport {
   public:
    connection(std::shared_ptr<service> s, std::shared_ptr<session> one) noexcept
        : service_(std::move(s)), session_(std::move(one)) {}
    ~connection() override {
      const auto until = host::deadline::after_ms(patience_ms);
      bool ended = false;
      while (!ended && !until.expired()) {
        const status s = service_->poller_.call([&] { ended = service_->end_session(session_); }, until);
        if (!s.ok()) break;
        if (!ended) nap();
      }
    }

    [[nodiscard]] nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width_bytes,
                                                           host::deadline until) override {
      nkv::result<std::uint64_t> value{status{client_status::disconnected}};
      const status s = on_controller([&](controller& c) { value = c.read_register(offset, width_bytes); }, until);
      return s.ok() ? value : nkv::result<std::uint64_t>{s};
    }
    [[nodiscard]] status write_register(std::uint32_t offset, unsigned width_bytes, std::uint64_t value,
                                        host::deadline until) override {
      status written;
      const status s =
          on_controller([&](controller& c) { written = c.write_register(offset, width_bytes, value); }, until);
      return s.ok() ? written : s;
    }
    [[nodiscard]] status map_dma(const host::dma_memory& memory, host::deadline until) override {
      status mapped;
      dma_region region;
      region.iova = reinterpret_cast<std::uintptr_t>(memory.address);
      region.length_bytes = memory.length_bytes;
      region.local = memory.address;
      const status s = on_controller([&](controller& c) { mapped = c.map_dma(region); }, until);
      return s.ok() ? mapped : s;
    }
    [[nodiscard]] status unmap_dma(const host::dma_memory& memory, host::deadline until) override {
      // Again and again until commands that have begun are through with it. A repeat after a timeout finds the region
      // removed, and is told the same as if it had waited.
      const auto iova = reinterpret_cast<std::uintptr_t>(memory.address);
      const std::pair<std::uint64_t, std::uint64_t> range(iova, memory.length_bytes);
      status removed;
      bool used = false;
      const auto look = [&](controller& c) {
        used = c.uses(memory.address, memory.length_bytes);
        const auto at = std::find(leaving_.begin(), leaving_.end(), range);
        if (!used && at != leaving_.end()) leaving_.erase(at);
      };
      status s = on_controller(
          [&](controller& c) {
            removed = c.unmap_dma(iova, memory.length_bytes);
            if (removed.ok()) {
              leaving_.push_back(range);
            } else if (std::find(leaving_.begin(), leaving_.end(), range) != leaving_.end()) {
              removed = status{};
            }
            if (removed.ok()) look(c);
          },
          until);
      if (s.ok() && !removed.ok()) return removed;
      while (s.ok() && used) {
        if (until.expired()) return client_status::timed_out;
        nap();
        s = on_controller(look, until);
      }
      return s;
    }
    [[nodiscard]] status set_interrupt(std::uint32_t vector, int eventfd, host::deadline until) override {
      host::unique_fd own;
      if (eventfd >= 0) {
        own.reset(::fcntl(eventfd, F_DUPFD_CLOEXEC, 0));
        // The poller must not wait for room in it.
        if (!own.valid() || ::fcntl(own.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0)
          return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
      }
      bool there = false;
      const status s = on_controller(
          [&](controller&) {
            there = vector < session_->interrupts.size();
            if (there) session_->interrupts[vector] = std::move(own);
          },
          until);
      if (!s.ok()) return s;
      return there ? status{} : status{client_status::bad_argument};
    }
    [[nodiscard]] status reset(host::deadline until) override {
      return on_controller([](controller& c) { c.reset(); }, until);
    }
    [[nodiscard]] host::doorbell_page doorbells() const noexcept override {
      host::doorbell_page page;
      page.base = session_->doorbells;
      page.length_bytes = asleep_word_offset;
      page.asleep = session_->doorbells + asleep_word_offset / 4;
      page.wake_fd = session_->wake_fd;
      return page;
    }
    [[nodiscard]] bool shares_by_fd() const noexcept override { return false; }
    [[nodiscard]] bool connected() noexcept override { return !service_->ended_.load(std::memory_order_acquire); }
    [[nodiscard]] bool peer_gone() noexcept override {
      return service_->ended_.load(std::memory_order_acquire) && service_->all_quiet_;
    }

   private:
    template <class F>
    status on_controller(F&& f, host::deadline until) {
      status inner;
      const status s = service_->poller_.call(
          [&] {
            if (session_->ctrl != nullptr) {
              f(*session_->ctrl);
            } else {
              inner = client_status::disconnected;
            }
          },
          until);
      return s.ok() ? inner : s;
    }

    std::shared_ptr<service> service_;
    std::shared_ptr<session> session_;
    /// Regions that were removed while commands used them, and whose unmap_dma() has not yet said so. On the poller's
    /// thread.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> leaving_;
  };

  std::string name_;
  std::shared_ptr<service> service_;
  status error_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
