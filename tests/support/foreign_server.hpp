// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/foreign_controller.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace nkv_test::foreign {

/// A vfio-user server that is not the library's: the other end of the library's transport, written apart from it and
/// from its target, in any of the ways in which servers of the field differ (see modes). One thread, one client at a
/// time.
class server {
 public:
  explicit server(const modes& how) : how_(how) {}
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() {
    drop_client();
    if (listener_ >= 0) ::close(listener_);
    if (page_fd_ >= 0) ::close(page_fd_);
    if (page_ != nullptr) ::munmap(page_, bar_bytes);
  }

  /// Listens at `folder`/cntrl; where there is a file `folder`/lies, it tells them. @return what went wrong; empty for
  /// nothing
  std::string start(const std::string& folder) {
    lies_.open(folder + "/lies", false);
    page_fd_ = ::memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (page_fd_ < 0 || ::ftruncate(page_fd_, bar_bytes) != 0) return failure("memfd");
    if (!how_.unsealed && ::fcntl(page_fd_, F_ADD_SEALS, F_SEAL_SHRINK) != 0) return failure("seal");
    void* const at = ::mmap(nullptr, bar_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd_, 0);
    if (at == MAP_FAILED) return failure("mmap");
    page_ = static_cast<unsigned char*>(at);
    controller_.emplace(how_, memory_, store_, lies_, doorbells());

    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string path = folder + "/cntrl";
    if (path.size() >= sizeof name.sun_path) return "the path is too long: " + path;
    std::memcpy(name.sun_path, path.c_str(), path.size());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener_ < 0) return failure("socket");
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) return failure("bind");
    return ::listen(listener_, 8) == 0 ? std::string() : failure("listen");
  }

  /// Serves until `stop` can be read or has ended. @return why it ended
  enum class end { stopped, probed, failed };
  end serve(int stop) {
    unsigned idle = 0;
    for (;;) {
      const bool looks = client_ >= 0 && !how_.no_mmap && controller_->enabled();
      if (looks && controller_->work()) {
        idle = 0;
        continue;
      }
      // Doorbells are words that somebody writes and nobody announces.
      timespec pause{0, idle < looks_before_sleep ? 0 : 50'000};
      if (looks && idle < looks_before_sleep) {
        ++idle;
        ::sched_yield();
      }
      const bool accepts = client_ < 0 || !how_.one_client;
      pollfd fds[3] = {{stop, POLLIN, 0}, {accepts ? listener_ : -1, POLLIN, 0}, {client_, POLLIN, 0}};
      if (::ppoll(fds, 3, looks ? &pause : nullptr, nullptr) < 0 && errno != EINTR) return end::failed;
      // What came first is answered first: a client that left before the next one, both before the end.
      if (fds[2].revents != 0) {
        idle = 0;
        if (!serve_message()) {
          const bool probed = !agreed_;
          drop_client();
          if (probed && how_.ends_when_probed) return end::probed;
        }
      } else if (fds[1].revents != 0) {
        take_client();
      } else if (fds[0].revents != 0) {
        return end::stopped;
      }
    }
  }

 private:
  using bytes = std::vector<unsigned char>;
  static constexpr std::size_t bar_bytes = 0x4000;
  static constexpr unsigned looks_before_sleep = 3000;
  static constexpr std::uint32_t most_message_bytes = 1u << 20;

  static std::string failure(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

  void take_client() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    if (client_ >= 0) {
      ::close(fd);
      return;
    }
    // A message that began and does not end does not keep the server for ever.
    const timeval limit{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    client_ = fd;
    agreed_ = false;
  }
  void drop_client() {
    if (client_ >= 0) ::close(client_);
    client_ = -1;
    silent_ = false;
    last_reply_.clear();
    if (controller_) controller_->reset();
    memory_.clear();
  }

  /// @return whether all of it came. Descriptors that came along are kept in fds_.
  bool receive(unsigned char* to, std::size_t size) {
    while (size != 0) {
      alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
      iovec part{to, size};
      msghdr m{};
      m.msg_iov = &part;
      m.msg_iovlen = 1;
      m.msg_control = control;
      m.msg_controllen = sizeof control;
      const ssize_t n = ::recvmsg(client_, &m, MSG_CMSG_CLOEXEC);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      for (const cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c))) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
          fds_.push_back(fd);
        }
      }
      to += n;
      size -= static_cast<std::size_t>(n);
    }
    return true;
  }

  bool reply(int error, const bytes& payload, int fd = -1) {
    if ((request_flags_ & 0x10) != 0) return true;
    bytes message(16);
    const bool other_id = lies_.now(lie::wrong_message_id);
    put(message.data() + 0, static_cast<std::uint16_t>(request_id_ + (other_id ? 1 : 0)));
    put(message.data() + 2, request_command_);
    put(message.data() + 4, static_cast<std::uint32_t>(16 + (error == 0 ? payload.size() : 0)));
    put(message.data() + 8, std::uint32_t{error == 0 ? 0x01u : 0x21u});
    put(message.data() + 12, static_cast<std::uint32_t>(error));
    if (error == 0) message.insert(message.end(), payload.begin(), payload.end());
    if (silent_) return true;
    if (!last_reply_.empty() && lies_.now(lie::out_of_order)) send(last_reply_, {});
    last_reply_ = message;
    if (lies_.now(lie::reply_too_long)) put(message.data() + 4, std::uint32_t{0x7fffffff});
    if (lies_.now(lie::reply_too_short)) put(message.data() + 4, std::uint32_t{8});
    const bool closes = lies_.now(lie::closes_in_message);
    if (closes || lies_.now(lie::stops_in_message)) {
      message.resize(static_cast<std::size_t>(lies_.random() % message.size()));
      if (!message.empty()) send(message, {});
      silent_ = !closes;
      return !closes;
    }
    std::vector<int> fds(lies_.now(lie::too_many_fds) ? 20 : 0, page_fd_);
    if (fd >= 0) fds.push_back(fd);
    return send(message, fds);
  }

  bool send(bytes& message, const std::vector<int>& fds) const {
    alignas(cmsghdr) char control[CMSG_SPACE(32 * sizeof(int))] = {};
    const std::size_t fds_bytes = fds.size() * sizeof(int);
    iovec part{message.data(), message.size()};
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    if (!fds.empty()) {
      m.msg_control = control;
      m.msg_controllen = CMSG_SPACE(fds_bytes);
      cmsghdr* const c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(fds_bytes);
      std::memcpy(CMSG_DATA(c), fds.data(), fds_bytes);
    }
    return ::sendmsg(client_, &m, MSG_NOSIGNAL) == static_cast<ssize_t>(message.size());
  }

  /// @return false where the client is gone or not to be understood
  bool serve_message() {
    unsigned char head[16];
    const bool came = receive(head, sizeof head) && get<std::uint32_t>(head + 4) >= sizeof head &&
                      get<std::uint32_t>(head + 4) <= most_message_bytes;
    bytes payload(came ? get<std::uint32_t>(head + 4) - sizeof head : 0);
    const bool all = came && receive(payload.data(), payload.size());
    bool good = false;
    if (all) {
      request_id_ = get<std::uint16_t>(head);
      request_command_ = get<std::uint16_t>(head + 2);
      request_flags_ = get<std::uint32_t>(head + 8);
      if (how_.slow_registers) {
        const timespec a_millisecond{0, 1'000'000};
        ::nanosleep(&a_millisecond, nullptr);
      }
      good = agreed_ || request_command_ == 1 ? answer(payload) : false;
    }
    for (const int fd : fds_) ::close(fd);
    fds_.clear();
    return good;
  }

  bool answer(bytes& p) {
    if (lies_.now(lie::bar_shrinks)) shrink();
    if (request_command_ == 2 && lies_.now(lie::map_fails)) return reply(EINVAL, {});
    if (request_command_ == 3 && lies_.now(lie::unmap_fails)) return reply(EINVAL, {});
    switch (request_command_) {
      case 1: return agree(p);
      case 2:
        if (p.size() < 32) return reply(EINVAL, {});
        return reply(memory_.map(get<std::uint64_t>(p.data() + 16), get<std::uint64_t>(p.data() + 24),
                                 fds_.empty() ? -1 : fds_[0], get<std::uint64_t>(p.data() + 8),
                                 get<std::uint32_t>(p.data() + 4)),
                     {});
      case 3:
        if (p.size() < 24) return reply(EINVAL, {});
        return reply(memory_.unmap(get<std::uint64_t>(p.data() + 8), get<std::uint64_t>(p.data() + 16)), p);
      case 4: {
        bytes info(16);
        put(info.data() + 0, std::uint32_t{16});
        put(info.data() + 4, std::uint32_t{3});  // can be reset, is a PCI device
        put(info.data() + 8, std::uint32_t{9});
        put(info.data() + 12, std::uint32_t{5});
        return reply(0, info);
      }
      case 5: return describe_region(p);
      case 7: {
        if (p.size() < 16) return reply(EINVAL, {});
        const std::uint32_t index = get<std::uint32_t>(p.data() + 8);
        p.resize(16);
        put(p.data() + 12, std::uint32_t{index == 2 ? 512u : index == 0 || index > 2 ? 1u : 0u});
        return reply(index < 5 ? 0 : EINVAL, p);
      }
      case 8: return reply(0, {});
      case 9: return read_region(p);
      case 10: return write_region(p);
      case 13: controller_->reset(); return reply(0, {});
      default: return reply(EINVAL, {});
    }
  }

  bool agree(const bytes& p) {
    if (agreed_ || p.size() < 4 || get<std::uint16_t>(p.data()) != 0) {
      reply(EINVAL, {});
      return false;
    }
    if (p.size() > 4 && p.back() != 0) {
      reply(EINVAL, {});
      return false;
    }
    agreed_ = true;
    const std::string text = R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}})";
    bytes version(4);
    put(version.data() + 2, std::min(get<std::uint16_t>(p.data() + 2), std::uint16_t{2}));
    version.insert(version.end(), text.begin(), text.end());
    version.push_back(0);
    return reply(0, version);
  }

  bool describe_region(const bytes& p) {
    if (p.size() < 12) return reply(EINVAL, {});
    const std::uint32_t room = get<std::uint32_t>(p.data());
    const std::uint32_t index = get<std::uint32_t>(p.data() + 8);
    if (index > 8) return reply(EINVAL, {});
    const bool maps = index == 0 && !how_.no_mmap;
    constexpr std::uint64_t sizes[9] = {bar_bytes, 0, 0, 0, 0x2000, 0x1000, 0, 0x1000, 0};
    bytes info(maps && room >= 64 ? 64 : 32);
    put(info.data() + 0, std::uint32_t{maps ? 64u : 32u});
    put(info.data() + 4, std::uint32_t{sizes[index] == 0 ? 0u : maps ? 0xfu : 3u});
    put(info.data() + 8, index);
    put(info.data() + 16, sizes[index]);
    if (info.size() == 64) {
      put(info.data() + 12, std::uint32_t{32});
      put(info.data() + 32, std::uint16_t{1});  // a sparse mmap capability: one area, the doorbells
      put(info.data() + 34, std::uint16_t{1});
      put(info.data() + 40, std::uint32_t{1});
      put(info.data() + 48, std::uint64_t{0x1000});
      put(info.data() + 56, std::uint64_t{controller::doorbell_bytes});
      const int other = other_fd();
      const bool sent = reply(0, info, other == its_own ? page_fd_ : other);
      if (other >= 0) ::close(other);
      return sent;
    }
    return reply(0, info);
  }

  static constexpr int its_own = -2;
  /// What a liar gives for the memory of its doorbells. @return a descriptor, -1 for none, or its_own
  int other_fd() {
    if (lies_.now(lie::no_fd)) return -1;
    if (lies_.now(lie::foreign_fd)) return ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const bool is_short = lies_.now(lie::short_fd);
    if (!is_short && !lies_.now(lie::unsealed_fd)) return its_own;
    const int fd = ::memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const bool made = ::ftruncate(fd, is_short ? 0x1000 : bar_bytes) == 0 &&
                      (!is_short || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    return made ? fd : its_own;
  }

  /// Cuts the memory that the client has mapped, and goes on with a copy of its own.
  void shrink() {
    bytes copy(page_, page_ + bar_bytes);
    if (::ftruncate(page_fd_, 0) != 0) return;
    ::mmap(page_, bar_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    std::memcpy(page_, copy.data(), bar_bytes);
  }

  struct access {
    std::uint64_t at;
    std::uint32_t region;
    std::uint32_t count;
  };
  static access access_of(const bytes& p) {
    return {get<std::uint64_t>(p.data()), get<std::uint32_t>(p.data() + 8), get<std::uint32_t>(p.data() + 12)};
  }

  bool read_region(bytes& p) {
    if (p.size() < 16) return reply(EINVAL, {});
    const access a = access_of(p);
    if (a.count == 0 || a.count > 4096) return reply(EINVAL, {});
    p.resize(16 + a.count);
    std::memset(p.data() + 16, 0, a.count);
    if (a.region == 0) {
      if ((a.count != 4 && a.count != 8) || a.at % 4 != 0) return reply(EINVAL, {});
      if (a.at >= 0x1000) return reply(EPERM, {});
      const std::uint64_t value = controller_->read_register(a.at, a.count);
      std::memcpy(p.data() + 16, &value, a.count);
    } else if (a.region == 7) {
      if (a.at > sizeof config_ || a.count > sizeof config_ - a.at) return reply(EINVAL, {});
      std::memcpy(p.data() + 16, config_ + a.at, a.count);
    }
    return reply(0, p);
  }

  bool write_region(bytes& p) {
    if (p.size() < 16) return reply(EINVAL, {});
    const access a = access_of(p);
    if (p.size() - 16 != a.count) return reply(EINVAL, {});
    const unsigned char* const from = p.data() + 16;
    if (a.region == 0) {
      if ((a.count != 4 && a.count != 8) || a.at % 4 != 0) return reply(EINVAL, {});
      if (a.at >= 0x1000) {
        if (a.count != 4 || a.at - 0x1000 >= controller::doorbell_bytes) return reply(EINVAL, {});
        __atomic_store_n(doorbells() + (a.at - 0x1000) / 4, get<std::uint32_t>(from), __ATOMIC_RELEASE);
        // Commands run within the write.
        while (controller_->work()) {
        }
      } else {
        controller_->write_register(a.at, a.count, a.count == 8 ? get<std::uint64_t>(from) : get<std::uint32_t>(from));
      }
    } else if (a.region == 7) {
      if (a.at > sizeof config_ || a.count > sizeof config_ - a.at) return reply(EINVAL, {});
      std::memcpy(config_ + a.at, from, a.count);
    }
    p.resize(16);
    return reply(0, p);
  }

  [[nodiscard]] std::uint32_t* doorbells() const { return reinterpret_cast<std::uint32_t*>(page_ + 0x1000); }

  const modes how_;
  int listener_ = -1;
  int client_ = -1;
  int page_fd_ = -1;
  unsigned char* page_ = nullptr;
  unsigned char config_[256] = {0x58, 0x4e, 0x01, 0x00};
  bool agreed_ = false;
  bool silent_ = false;
  bytes last_reply_;
  std::vector<int> fds_;
  std::uint16_t request_id_ = 0;
  std::uint16_t request_command_ = 0;
  std::uint32_t request_flags_ = 0;
  memory memory_;
  store store_;
  lies lies_;
  std::optional<controller> controller_;  // from start() on
};

}  // namespace nkv_test::foreign
