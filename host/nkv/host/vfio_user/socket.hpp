// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/spec/status_code.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host::vfio_user {

/// A failed system call as a status.
[[nodiscard]] inline status system_failure(int error) noexcept {
  return {client_status::system_error, static_cast<std::uint16_t>(error > 0 && error <= 0xffff ? error : EIO)};
}

/// Waits until `fd` shows one of `events` (or an error or hang-up, which the next call on it will report).
/// @return success, or timed_out at the deadline; a deadline that has passed looks once
[[nodiscard]] inline status wait_for(int fd, short events, deadline until) noexcept {
  for (;;) {
    const std::uint64_t left_ns = until.left_ns();
    timespec left{};
    // A year in one call at most: time_t has the room, and the loop looks again.
    constexpr std::uint64_t longest_s = 365ull * 24 * 3600;
    const std::uint64_t left_s = left_ns / 1'000'000'000u;
    left.tv_sec = static_cast<time_t>(left_s < longest_s ? left_s : longest_s);
    left.tv_nsec = static_cast<long>(left_ns % 1'000'000'000u);
    pollfd one{fd, events, 0};
    const int ready = ::ppoll(&one, 1, &left, nullptr);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return system_failure(errno);
    if (left_ns == 0) return client_status::timed_out;
  }
}

/// The descriptors that came with a message; what nobody takes is closed.
class received_fds {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// Descriptor `i`, now the caller's; not valid() where there is none, or it was taken before.
  [[nodiscard]] unique_fd take(std::size_t i) noexcept { return i < count_ ? std::move(fds_[i]) : unique_fd{}; }
  void clear() noexcept {
    for (std::size_t i = 0; i < count_; ++i) fds_[i].reset();
    count_ = 0;
  }
  /// @return false, and `fd` closed, where the list is full
  bool add(unique_fd fd) noexcept {
    if (count_ == fds_.size()) return false;
    fds_[count_++] = std::move(fd);
    return true;
  }

 private:
  std::array<unique_fd, max_message_fds> fds_;
  std::size_t count_ = 0;
};

/// What one receiving system call gave.
struct received_bytes {
  std::size_t bytes = 0;      ///< 0 with no error: the peer closed its end
  int error = 0;              ///< errno; EAGAIN: nothing there now
  bool too_many_fds = false;  ///< more came than a message may carry; those beyond are closed
  pid_t sender = 0;           ///< the process that sent them, where SO_PASSCRED is on and it can be named; else 0
};

/// Receives once, without waiting, at most `into.size()` bytes and appends their descriptors, closed on exec, to `fds`.
[[nodiscard]] inline received_bytes receive_some(int socket, mutable_byte_span into, received_fds& fds) noexcept {
  // Room for twice what is taken: a few too many are then seen, closed one by one and reported; the kernel itself
  // closes what is beyond.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 2 * max_message_fds) + CMSG_SPACE(sizeof(ucred))> control;
  iovec data{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  received_bytes got;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    got.error = errno == EWOULDBLOCK ? EAGAIN : errno;
    return got;
  }
  got.bytes = static_cast<std::size_t>(n);
  got.too_many_fds = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    const std::size_t length = c->cmsg_len - CMSG_LEN(0);
    if (c->cmsg_type == SCM_RIGHTS) {
      for (std::size_t i = 0; i + sizeof(int) <= length; i += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
        if (!fds.add(unique_fd{fd})) got.too_many_fds = true;
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS && length >= sizeof(ucred)) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
      got.sender = credentials.pid;
    }
  }
  return got;
}

/// Sends once, without waiting, as much of `parts` as the socket takes; `fds` go with the first byte.
/// @return bytes sent, or -errno (-EAGAIN: none now); a peer that is gone gives -EPIPE and raises no signal
[[nodiscard]] inline ssize_t send_some(int socket, span<const iovec> parts, span<const int> fds) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_message_fds)> control{};
  if (fds.size() > max_message_fds) return -EINVAL;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t n = 0;
  do {
    n = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -static_cast<ssize_t>(errno) : n;
}

/// A socket file's address, for a path of any length: one that does not fit sockaddr_un goes by its opened folder.
class socket_address {
 public:
  /// @return not_found where the folder of a long path is missing, bad_argument for an empty name or one too long,
  ///         system_error
  [[nodiscard]] static host::result<socket_address> of(const std::string& path) noexcept {
    socket_address a;
    a.address_.sun_family = AF_UNIX;
    if (path.empty() || path.find('\0') != std::string::npos) return status{client_status::bad_argument};
    if (path.size() < sizeof(a.address_.sun_path)) {
      std::memcpy(a.address_.sun_path, path.c_str(), path.size() + 1);
      return a;
    }
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const std::string_view name = std::string_view{path}.substr(slash == std::string::npos ? 0 : slash + 1);
    a.folder_.reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!a.folder_.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) return status{client_status::not_found};
      return system_failure(errno);
    }
    const int length = std::snprintf(a.address_.sun_path, sizeof(a.address_.sun_path), "/proc/self/fd/%d/%.*s",
                                     a.folder_.get(), static_cast<int>(name.size()), name.data());
    if (name.empty() || length < 0 || static_cast<std::size_t>(length) >= sizeof(a.address_.sun_path)) {
      return status{client_status::bad_argument};
    }
    return a;
  }
  socket_address(socket_address&&) noexcept = default;
  socket_address& operator=(socket_address&&) noexcept = default;

  /// Valid while this object lives.
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address_); }
  [[nodiscard]] socklen_t size() const noexcept { return sizeof(address_); }
  /// The path that the address names, to be used while this object lives.
  [[nodiscard]] const char* path() const noexcept { return address_.sun_path; }

 private:
  socket_address() noexcept = default;

  sockaddr_un address_{};
  unique_fd folder_;
};

/// A connected stream of messages, the client's end. Each call ends by its deadline.
///
/// Once bytes of a message were lost or left unread the stream means nothing any more: it is then shut, as it is when
/// the peer hangs up, and every later call is `disconnected`. So a late reply is never taken for another's.
///
/// One thread sends and receives; hung_up(), is_shut() and shut() are for any thread.
class message_socket {
 public:
  message_socket() noexcept = default;
  /// Takes a connected stream socket over.
  explicit message_socket(unique_fd fd) noexcept : fd_(std::move(fd)), shut_(!fd_.valid()) {
    // Each message then names its sender: the process that serves us, not the one that called listen(). Where it cannot
    // be had, sender() stays 0.
    const int on = 1;
    if (fd_.valid()) ::setsockopt(fd_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
  }
  message_socket(const message_socket&) = delete;
  message_socket& operator=(const message_socket&) = delete;

  /// Connects to the socket file `path`.
  /// @return not_found where there is no such file, disconnected where nobody listens on it, busy where the queue of
  ///         connections stays full until the deadline, bad_argument for a path that no address holds, system_error
  [[nodiscard]] static host::result<unique_fd> connect(const std::string& path, deadline until) noexcept {
    host::result<socket_address> address = socket_address::of(path);
    if (!address) return address.error();
    unique_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd.valid()) return system_failure(errno);
    for (;;) {
      if (::connect(fd.get(), address->get(), address->size()) == 0) break;
      switch (errno) {
        case EINTR: continue;
        case ENOENT:
        case ENOTDIR: return status{client_status::not_found};
        case ECONNREFUSED: return status{client_status::disconnected};
        case EAGAIN: break;  // the listener's queue is full, and poll() does not tell when it has room
        default: return system_failure(errno);
      }
      if (until.expired()) return status{client_status::busy};
      const timespec pause{0, connect_retry_ns};
      ::nanosleep(&pause, nullptr);
    }
    return fd;
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// Sends one message; its message_bytes is filled in here.
  /// @return success, timed_out, disconnected, or bad_argument for a message beyond max_message_bytes (nothing is
  /// sent).
  ///         After timed_out the stream is usable only where nothing of the message went out.
  [[nodiscard]] status send(header head, byte_span payload, byte_span data, span<const int> fds,
                            deadline until) noexcept {
    if (is_shut()) return client_status::disconnected;
    std::size_t left = sizeof(head) + payload.size() + data.size();
    if (left > max_message_bytes || fds.size() > max_message_fds) return client_status::bad_argument;
    head.message_bytes = static_cast<std::uint32_t>(left);
    std::array<iovec, 3> parts{iovec{&head, sizeof(head)},
                               iovec{const_cast<std::byte*>(payload.data()), payload.size()},
                               iovec{const_cast<std::byte*>(data.data()), data.size()}};
    std::size_t first = 0;
    bool begun = false;
    while (left != 0) {
      const ssize_t n =
          send_some(fd_.get(), {parts.data() + first, parts.size() - first}, begun ? span<const int>{} : fds);
      if (n == -EAGAIN) {
        if (const status s = wait_for(fd_.get(), POLLOUT, until); !s.ok()) {
          if (begun) shut();
          return s;
        }
        continue;
      }
      if (n < 0) return lost(static_cast<int>(-n));
      begun = true;
      auto sent = static_cast<std::size_t>(n);
      left -= sent;
      for (; first < parts.size() && sent >= parts[first].iov_len; ++first) sent -= parts[first].iov_len;
      if (first < parts.size()) {
        parts[first].iov_base = static_cast<std::byte*>(parts[first].iov_base) + sent;
        parts[first].iov_len -= sent;
      }
    }
    return {};
  }

  /// Receives one message: its header, its payload into `payload`, its descriptors into `fds`.
  /// @return success, disconnected, timed_out (see begun()), or protocol_error for a length below the header's or
  ///         beyond `payload` and for more descriptors than a message may carry; after the last the stream is shut
  [[nodiscard]] status receive(header& head, mutable_byte_span payload, std::size_t& payload_bytes, received_fds& fds,
                               deadline until) noexcept {
    begun_ = false;
    if (is_shut()) return client_status::disconnected;
    mutable_byte_span into{reinterpret_cast<std::byte*>(&head), sizeof(head)};
    if (const status s = receive_all(into, fds, until); !s.ok()) return s;
    if (head.message_bytes < sizeof(head) || head.message_bytes - sizeof(head) > payload.size()) {
      shut();
      return client_status::protocol_error;
    }
    payload_bytes = head.message_bytes - sizeof(head);
    return receive_all(payload.subspan(0, payload_bytes), fds, until);
  }

  /// Whether the last receive() got the first byte of a message.
  [[nodiscard]] bool begun() const noexcept { return begun_; }
  /// The process that sent what was received last, where it can be named; else 0.
  [[nodiscard]] pid_t sender() const noexcept { return sender_; }

  /// Looks whether the peer has hung up or the stream was shut.
  [[nodiscard]] bool hung_up() const noexcept {
    if (is_shut()) return true;
    pollfd one{fd_.get(), POLLRDHUP, 0};
    int ready = 0;
    do {
      ready = ::poll(&one, 1, 0);
    } while (ready < 0 && errno == EINTR);
    return ready != 0 && (one.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0;
  }
  [[nodiscard]] bool is_shut() const noexcept { return __atomic_load_n(&shut_, __ATOMIC_ACQUIRE); }
  /// Ends the stream for both sides. The descriptor stays open until destruction, so that no other thread's poll meets
  /// a descriptor number that has become someone else's.
  void shut() noexcept {
    if (fd_.valid() && !__atomic_exchange_n(&shut_, true, __ATOMIC_ACQ_REL)) ::shutdown(fd_.get(), SHUT_RDWR);
  }

 private:
  static constexpr long connect_retry_ns = 1'000'000;

  [[nodiscard]] status receive_all(mutable_byte_span into, received_fds& fds, deadline until) noexcept {
    while (!into.empty()) {
      const received_bytes got = receive_some(fd_.get(), into, fds);
      if (got.error == EAGAIN) {
        if (const status s = wait_for(fd_.get(), POLLIN, until); !s.ok()) {
          if (begun_) shut();
          return s;
        }
        continue;
      }
      if (got.error != 0) return lost(got.error);
      if (got.bytes == 0) return lost(ECONNRESET);
      begun_ = true;
      sender_ = got.sender;
      if (got.too_many_fds) {
        shut();
        return client_status::protocol_error;
      }
      into = into.subspan(got.bytes);
    }
    return {};
  }
  [[nodiscard]] status lost(int error) noexcept {
    shut();
    // Whatever the reason, the way to the peer is gone; what is no loss of the peer keeps its errno.
    const bool peer =
        error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ESHUTDOWN || error == ECONNREFUSED;
    return peer ? status{client_status::disconnected} : system_failure(error);
  }

  unique_fd fd_;
  bool shut_ = true;
  bool begun_ = false;
  pid_t sender_ = 0;
};

}  // namespace host::vfio_user
}  // namespace nkv::inline NKV_ABI
