// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/temporary_folder.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

/// The other end of vfio-user for tests, written apart from the library: its own layouts and numbers, blocking calls
/// with a time limit, and nothing that stops it from sending nonsense.
namespace nkv_test {

using bytes = std::vector<unsigned char>;

template <class T>
void put(bytes& to, T value) {
  static_assert(std::is_integral_v<T>);
  const std::size_t at = to.size();
  to.resize(at + sizeof(value));
  std::memcpy(to.data() + at, &value, sizeof(value));
}
template <class T>
T get(const bytes& from, std::size_t at) {
  T value{};
  if (at + sizeof(value) <= from.size()) std::memcpy(&value, from.data() + at, sizeof(value));
  return value;
}

/// How many descriptors this process has open.
inline std::size_t open_fds() {
  std::size_t n = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  while (::readdir(folder) != nullptr) ++n;
  ::closedir(folder);
  return n - 3;  // ".", ".." and the folder itself
}

/// A memory file of `size` bytes. @param seals F_SEAL_..., 0 for none
inline int make_memory(std::uint64_t size, int seals) {
  const int fd = ::memfd_create("nkv-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0 || (seals != 0 && ::fcntl(fd, F_ADD_SEALS, seals) != 0)) {
    ::close(fd);
    return -1;
  }
  return fd;
}

struct message {
  std::uint16_t id = 0;
  std::uint16_t command = 0;
  std::uint32_t flags = 0;
  std::uint32_t error = 0;
  bytes payload;
  std::vector<int> fds;
  /// Written instead of the real length; 0: the real one.
  std::uint32_t claimed_bytes = 0;

  bytes encode() const {
    bytes b;
    put(b, id);
    put(b, command);
    put(b, claimed_bytes != 0 ? claimed_bytes : static_cast<std::uint32_t>(16 + payload.size()));
    put(b, flags);
    put(b, error);
    b.insert(b.end(), payload.begin(), payload.end());
    return b;
  }
};

/// One end of a stream socket, blocking.
class peer {
 public:
  peer() = default;
  explicit peer(int fd) : fd_(fd) { limit(10'000); }
  peer(peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  peer& operator=(peer&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~peer() { close(); }

  /// Connects to a socket file; fd() is -1 where that fails.
  static peer connect(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof(address.sun_path), "%s", path.c_str());
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      ::close(fd);
      return {};
    }
    return peer(fd);
  }

  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Every call on the socket ends after this.
  void limit(int milliseconds) const {
    const timeval t{milliseconds / 1000, (milliseconds % 1000) * 1000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
  }

  /// @return whether all of it was sent; `fds` go with the first byte
  bool send(const bytes& b, const std::vector<int>& fds = {}, std::size_t chunk = ~std::size_t{0}) const {
    std::size_t at = 0;
    while (at < b.size()) {
      iovec data{const_cast<unsigned char*>(b.data()) + at, std::min(chunk, b.size() - at)};
      std::vector<char> control(CMSG_SPACE(sizeof(int) * fds.size()));
      msghdr m{};
      m.msg_iov = &data;
      m.msg_iovlen = 1;
      if (at == 0 && !fds.empty()) {
        m.msg_control = control.data();
        m.msg_controllen = control.size();
        cmsghdr* c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
      }
      const ssize_t n = ::sendmsg(fd_, &m, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }
  bool send(const message& m, std::size_t chunk = ~std::size_t{0}) const { return send(m.encode(), m.fds, chunk); }

  /// @return whether a whole message came; what came of it otherwise is dropped. The descriptors are the caller's.
  bool receive(message& m) const {
    m = {};
    bytes head(16);
    if (!receive_all(head, m.fds)) return false;
    m.id = get<std::uint16_t>(head, 0);
    m.command = get<std::uint16_t>(head, 2);
    const auto size = get<std::uint32_t>(head, 4);
    m.flags = get<std::uint32_t>(head, 8);
    m.error = get<std::uint32_t>(head, 12);
    if (size < 16 || size > (1u << 20)) return false;
    m.payload.resize(size - 16);
    return receive_all(m.payload, m.fds);
  }

  /// Sends a command and receives the next message.
  message ask(std::uint16_t command, bytes payload = {}, std::vector<int> fds = {}, std::uint16_t id = 0x77) const {
    message m;
    m.id = id;
    m.command = command;
    m.payload = std::move(payload);
    m.fds = std::move(fds);
    message reply;
    reply.error = 0xffffffffu;
    if (!send(m) || !receive(reply)) reply = {0, 0, 0, 0xffffffffu, {}, {}, 0};
    return reply;
  }

  /// Whether the other end closes within the time limit; bytes that come before are dropped.
  bool closed_by_peer() const {
    char sink[4096];
    for (;;) {
      const ssize_t n = ::recv(fd_, sink, sizeof(sink), 0);
      if (n == 0) return true;
      if (n < 0) return errno == ECONNRESET;
    }
  }

 private:
  bool receive_all(bytes& into, std::vector<int>& fds) const {
    std::size_t at = 0;
    while (at < into.size()) {
      iovec data{into.data() + at, into.size() - at};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 64)];
      msghdr m{};
      m.msg_iov = &data;
      m.msg_iovlen = 1;
      m.msg_control = control;
      m.msg_controllen = sizeof(control);
      const ssize_t n = ::recvmsg(fd_, &m, MSG_CMSG_CLOEXEC);
      for (cmsghdr* c = n > 0 ? CMSG_FIRSTHDR(&m) : nullptr; c != nullptr; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        for (std::size_t i = 0; i + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); i += sizeof(int)) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
          fds.push_back(fd);
        }
      }
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }

  int fd_ = -1;
};

/// The numbers of the specification, as far as tests name them.
enum : std::uint16_t {
  cmd_version = 1,
  cmd_dma_map = 2,
  cmd_dma_unmap = 3,
  cmd_get_info = 4,
  cmd_get_region_info = 5,
  cmd_get_region_io_fds = 6,
  cmd_get_irq_info = 7,
  cmd_set_irqs = 8,
  cmd_region_read = 9,
  cmd_region_write = 10,
  cmd_dma_read = 11,
  cmd_dma_write = 12,
  cmd_reset = 13,
};

/// A server that answers from a script, on a thread of its own and over a socketpair. Its answers are those of a target
/// with mappable doorbells and a wake eventfd; `on` replaces them, command by command.
class scripted_server {
 public:
  /// Changes or replaces the reply to a request; false: none is sent.
  using answer = std::function<bool(const message& request, message& reply)>;

  scripted_server() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
      client_fd = ends[0];
      here_ = peer(ends[1]);
    }
    doorbell_fd = make_memory(0x2000, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    wake_fd = ::eventfd(0, EFD_CLOEXEC);
  }
  scripted_server(const scripted_server&) = delete;
  scripted_server& operator=(const scripted_server&) = delete;
  ~scripted_server() {
    join();
    here_.close();
    if (client_fd >= 0) ::close(client_fd);
    ::close(doorbell_fd);
    ::close(wake_fd);
  }

  /// Serves until the client closes or the script ends. Call after the members are set.
  void start() {
    thread_ = std::thread([this] { serve(); });
  }
  /// Ends the thread: the client's end is closed, or told so here.
  void join() {
    if (!thread_.joinable()) return;
    ::shutdown(here_.fd(), SHUT_RDWR);
    thread_.join();
  }
  /// The client's end, now the caller's.
  int take_client_fd() { return std::exchange(client_fd, -1); }
  const peer& here() const { return here_; }

  int client_fd = -1;
  int doorbell_fd = -1;
  int wake_fd = -1;
  std::map<std::uint16_t, answer> on;
  /// Replies are sent in pieces of this size.
  std::size_t chunk = ~std::size_t{0};
  /// After this many bytes of replies the connection is closed in the middle of whatever it is.
  std::size_t cut_after = ~std::size_t{0};
  std::string version_json =
      R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"nkv_wake":{"asleep_offset":8188}}})";

  /// Read after join().
  std::vector<message> requests;
  std::size_t sent_bytes = 0;

  /// What is answered where `on` says nothing.
  void standard(const message& request, message& reply) const {
    switch (request.command) {
      case cmd_version:
        put<std::uint16_t>(reply.payload, 0);
        put<std::uint16_t>(reply.payload, 1);
        reply.payload.insert(reply.payload.end(), version_json.begin(), version_json.end());
        reply.payload.push_back(0);
        break;
      case cmd_get_info:
        for (const std::uint32_t v : {16u, 3u, 9u, 5u}) put(reply.payload, v);
        break;
      case cmd_get_region_info:
        for (const std::uint32_t v : {64u, 0xfu, 0u, 32u}) put(reply.payload, v);
        for (const std::uint64_t v : {0x2000ull, 0ull}) put<std::uint64_t>(reply.payload, v);
        put<std::uint16_t>(reply.payload, 1);  // sparse mmap
        put<std::uint16_t>(reply.payload, 1);
        for (const std::uint32_t v : {0u, 1u, 0u}) put(reply.payload, v);
        for (const std::uint64_t v : {0x1000ull, 0x1000ull}) put<std::uint64_t>(reply.payload, v);
        reply.fds.push_back(doorbell_fd);
        break;
      case cmd_get_region_io_fds:
        for (const std::uint32_t v : {56u, 0u, 0u, 1u}) put(reply.payload, v);
        for (const std::uint64_t v : {0x1000ull, 0x1000ull}) put<std::uint64_t>(reply.payload, v);
        for (const std::uint32_t v : {0u, 0u, 0u, 0u}) put(reply.payload, v);
        put<std::uint64_t>(reply.payload, 0);
        reply.fds.push_back(wake_fd);
        break;
      case cmd_get_irq_info:
        for (const std::uint32_t v : {16u, 1u, get<std::uint32_t>(request.payload, 8), 7u}) put(reply.payload, v);
        break;
      case cmd_region_read:
        reply.payload = request.payload;
        reply.payload.resize(16 + get<std::uint32_t>(request.payload, 12), 0x5a);
        break;
      case cmd_region_write: reply.payload.assign(request.payload.begin(), request.payload.begin() + 16); break;
      case cmd_dma_unmap: reply.payload = request.payload; break;
      default: break;
    }
  }

 private:
  void serve() {
    message request;
    while (here_.receive(request)) {
      for (int& fd : request.fds) {
        ::close(fd);
        fd = -1;
      }
      requests.push_back(request);
      message reply;
      reply.id = request.id;
      reply.command = request.command;
      reply.flags = 1;
      bool send = (request.flags & 0x10) == 0;
      if (const auto at = on.find(request.command); at != on.end()) {
        send = at->second(request, reply);
      } else {
        standard(request, reply);
      }
      if (!send) continue;
      bytes b = reply.encode();
      const bool cut = sent_bytes + b.size() > cut_after;
      if (cut) b.resize(cut_after - sent_bytes);
      if (!here_.send(b, b.empty() ? std::vector<int>{} : reply.fds, chunk)) return;
      sent_bytes += b.size();
      if (cut) {
        ::shutdown(here_.fd(), SHUT_RDWR);
        return;
      }
    }
  }

  peer here_;
  std::thread thread_;
};

}  // namespace nkv_test
