// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/socket.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/subsystem.hpp>
#include <nkv/target/vfio_user/connection.hpp>
#include <nkv/target/vfio_user/listening_socket.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

/// How a server listens. A plain aggregate.
struct server_options {
  unsigned socket_mode = 0600;  ///< permissions of the socket: who may write it may connect
  /// Clients at one time. One more waits in the socket's queue, unanswered, until another leaves.
  std::size_t max_connections = 256;
  /// How long a client may take from connecting to a complete VERSION before it is cut off.
  std::uint64_t handshake_timeout_ns = 5'000'000'000;
  connection_options connection;
};

/// Serves a subsystem over vfio-user: each client that connects to the socket gets a controller of its own.
///
/// What a client may do to the server is bounded: messages of 64 KiB, so many descriptors, regions, connections, a time
/// to introduce itself. A client that does not keep to the protocol is cut off, and no other one notices.
///
/// Thread rule: start(), stop() and the destructor from any thread but the poller's, one at a time; the rest from any.
class server {
 public:
  /// @param p drives the clients' controllers; started before start(), and neither stopped nor destroyed before stop()
  server(std::shared_ptr<target::subsystem> s, poller& p, server_options options = {})
      : subsystem_(std::move(s)), poller_(p), options_(std::move(options)) {}
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() { stop(); }

  /// Listens, see listening_socket::open.
  /// @return as there; bad_argument where it has been started before; timed_out where the poller does not run
  [[nodiscard]] status start(const std::string& address) {
    if (started_) return client_status::bad_argument;
    if (const status s = socket_.open(address, options_.socket_mode); !s.ok()) return s;
    timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_.valid()) {
      const int error = errno;
      socket_.close();
      return wire::system_failure(error);
    }
    status begun;
    const status called = poller_.call(
        [&] {
          begun = poller_.add_fd(timer_.get(), EPOLLIN, [this](std::uint32_t) { on_timer(); });
          if (!begun.ok()) return;
          begun = poller_.add_fd(socket_.fd(), EPOLLIN, [this](std::uint32_t) { accept(); });
          if (!begun.ok()) poller_.remove_fd(timer_.get());
        },
        host::deadline::after_ns(call_timeout_ns));
    const status s = called.ok() ? begun : called;
    if (!s.ok()) {
      socket_.close();
      return s;
    }
    started_ = true;
    return {};
  }

  /// Takes the socket away, cuts all clients off and waits until the last of their operations has ended, since a
  /// store may still write into their memory. Idempotent.
  void stop() noexcept {
    if (!started_) return;
    started_ = false;
    // With the poller's thread gone there is nobody left who touches anything, and what is left is taken down here.
    const bool running = poller_
                             .call(
                                 [this] {
                                   poller_.remove_fd(socket_.fd());
                                   poller_.remove_fd(timer_.get());
                                   stopping_ = true;
                                   for (const auto& c : connections_) c->end();
                                 },
                                 host::deadline{~std::uint64_t{0}})
                             .ok();
    socket_.close();
    while (running && count_.load(std::memory_order_acquire) != 0) {
      const timespec pause{0, stop_poll_ns};
      ::nanosleep(&pause, nullptr);
    }
    connections_.clear();
  }

  /// The socket's path. @pre start() succeeded
  [[nodiscard]] const std::string& path() const noexcept { return socket_.path(); }
  /// Connections at the moment, those included that have not introduced themselves or are being taken down.
  [[nodiscard]] std::size_t connections() const noexcept { return count_.load(std::memory_order_acquire); }

 private:
  static constexpr std::uint64_t call_timeout_ns = 10'000'000'000;
  static constexpr long stop_poll_ns = 200'000;
  static constexpr unsigned accepts_per_event = 32;
  static constexpr std::uint64_t retry_ns = 100'000'000;

  void accept() {
    for (unsigned i = 0; i < accepts_per_event && !stopping_; ++i) {
      if (connections_.size() >= options_.max_connections) return listen_again_at(0);
      host::unique_fd fd{::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
      if (!fd.valid()) {
        // Descriptors or memory are short: without a pause the thread would do nothing else.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          listen_again_at(host::steady_clock::now_ns() + retry_ns);
        }
        if (errno == ECONNABORTED || errno == EINTR) continue;
        return;
      }
      auto made = std::make_unique<connection>(subsystem_, poller_, std::move(fd), options_.connection,
                                               [this](connection& c) { ended(c); });
      if (!made->begin().ok()) continue;
      connections_.push_back(std::move(made));
      count_.store(connections_.size(), std::memory_order_release);
      arm_timer();
    }
  }

  /// Stops to accept until a connection ends (0), or until then.
  void listen_again_at(std::uint64_t ns) {
    paused_ = true;
    retry_at_ns_ = ns;
    static_cast<void>(poller_.modify_fd(socket_.fd(), 0));
    arm_timer();
  }
  void listen_again() {
    if (!paused_ || stopping_) return;
    paused_ = false;
    retry_at_ns_ = 0;
    static_cast<void>(poller_.modify_fd(socket_.fd(), EPOLLIN));
  }

  /// A connection has ended and is within its own call: it goes a little later.
  void ended(connection& which) {
    const connection* const gone = &which;
    // Refused only by a poller that stops, and then stop() clears up.
    static_cast<void>(poller_.post([this, gone] {
      connections_.erase(
          std::remove_if(connections_.begin(), connections_.end(), [gone](const auto& c) { return c.get() == gone; }),
          connections_.end());
      listen_again();
      // Last: stop() lets this object go when it reads 0.
      count_.store(connections_.size(), std::memory_order_release);
    }));
  }

  void on_timer() {
    std::uint64_t expirations = 0;
    [[maybe_unused]] const ssize_t n = ::read(timer_.get(), &expirations, sizeof(expirations));
    const std::uint64_t now = host::steady_clock::now_ns();
    if (paused_ && retry_at_ns_ != 0 && now >= retry_at_ns_) listen_again();
    for (const auto& c : connections_) {
      if (introducing(*c) && now >= limit_ns(*c)) c->end();
    }
    arm_timer();
  }

  [[nodiscard]] static bool introducing(const connection& c) noexcept { return !c.negotiated() && !c.ending(); }
  /// When a client that has not introduced itself is cut off.
  [[nodiscard]] std::uint64_t limit_ns(const connection& c) const noexcept {
    const std::uint64_t left = ~std::uint64_t{0} - c.began_ns();
    return c.began_ns() + std::min(left, options_.handshake_timeout_ns);
  }

  /// The timer rings when the next connection has had its time to introduce itself. None is waited for: no timer, and
  /// the thread sleeps for as long as it likes.
  void arm_timer() {
    std::uint64_t next = retry_at_ns_ != 0 ? retry_at_ns_ : ~std::uint64_t{0};
    for (const auto& c : connections_) {
      if (introducing(*c)) next = std::min(next, limit_ns(*c));
    }
    itimerspec when{};
    if (next != ~std::uint64_t{0}) {
      when.it_value.tv_sec = static_cast<time_t>(next / 1'000'000'000);
      when.it_value.tv_nsec = static_cast<long>(next % 1'000'000'000);
    }
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
  }

  const std::shared_ptr<target::subsystem> subsystem_;
  poller& poller_;
  const server_options options_;
  listening_socket socket_;
  host::unique_fd timer_;
  bool started_ = false;
  std::atomic<std::size_t> count_{0};

  // The poller's thread's own.
  std::vector<std::unique_ptr<connection>> connections_;
  bool stopping_ = false;
  bool paused_ = false;
  std::uint64_t retry_at_ns_ = 0;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
