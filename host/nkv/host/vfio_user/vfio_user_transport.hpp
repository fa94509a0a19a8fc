// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/json_number.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/host/vfio_user/socket.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/status_code.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace host {

/// How a vfio_user_transport connects.
struct vfio_user_options {
  /// Take a doorbell page whose memory is not sealed against shrinking, as SPDK's target offers it (a plain file).
  /// A target that shrinks it then ends this process with SIGBUS at the next doorbell; not so without map_doorbells.
  bool allow_unsealed = false;
  /// Map the doorbells where the target lets it; without, they go over the socket, a message each.
  bool map_doorbells = true;
  /// Let the target sleep until a doorbell's writer wakes it, where it can. Without, it looks now and then: for
  /// doorbells that kernels ring, which can wake nobody.
  bool wake = true;
};

/// A controller served over vfio-user: a UNIX socket for what is slow, shared memory for what is fast.
///
/// Written from the vfio-user Protocol Specification of the libvfio-user project. The target sees this process's memory
/// at its own addresses (IOVA = VA) and only what map_dma shared by its descriptor.
///
/// A connection that lost its place in the stream (a call that timed out after its request was sent, a malformed or
/// foreign reply) is shut: a late reply is never taken for another's, and every later call is `disconnected`.
///
/// Thread rule: any thread, as memory_transport says; one call at a time is on the socket, and waiting for it counts
/// against the call's own deadline.
class vfio_user_transport final : public memory_transport {
 public:
  /// Connects, agrees on the version, maps the doorbells and lets the device become bus master.
  ///
  /// @param address the socket's path, or that of the folder in which it is called `cntrl`
  /// @return
  /// - not_found: neither is there; disconnected: nobody listens, or the peer hung up
  /// - busy: the target accepted the connection and did not begin to answer by the deadline. Targets that serve one
  ///   client at a time let a second one wait like this. An answer that began and did not end is timed_out
  /// - unsupported: another major version, a device that is no PCI device, a BAR0 without doorbells, or doorbells in
  ///   memory that is not sealed against shrinking (see vfio_user_options::allow_unsealed)
  /// - protocol_error: an answer that the protocol does not allow
  /// - system_error: a call failed here, or the errno that the target answered
  [[nodiscard]] static host::result<std::unique_ptr<vfio_user_transport>> connect(const std::string& address,
                                                                                  deadline until,
                                                                                  vfio_user_options options = {}) {
    std::string path = address;
    struct stat what{};
    if (::stat(path.c_str(), &what) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return status{client_status::not_found};
      return vfio_user::system_failure(errno);
    }
    if (S_ISDIR(what.st_mode)) path += path.back() == '/' ? "cntrl" : "/cntrl";
    host::result<unique_fd> fd = vfio_user::message_socket::connect(path, until);
    if (!fd) return fd.error();
    return over(*std::move(fd), until, options);
  }

  /// The same over a stream socket that is connected already, e.g. one of a socketpair().
  [[nodiscard]] static host::result<std::unique_ptr<vfio_user_transport>> over(unique_fd connected, deadline until,
                                                                               vfio_user_options options = {}) {
    std::unique_ptr<vfio_user_transport> made{new (std::nothrow) vfio_user_transport(std::move(connected))};
    if (made == nullptr) return vfio_user::system_failure(ENOMEM);
    if (const status s = made->open(options, until); !s.ok()) return s;
    return made;
  }

  /// Closes the connection: the target then destroys the controller and lets go of the memory.
  ~vfio_user_transport() override {
    socket_.shut();
    if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
  }

  /// See memory_transport. A doorbell is not read back by every target (SPDK's answers EPERM).
  [[nodiscard]] nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width_bytes,
                                                         deadline until) override {
    if ((width_bytes != 4 && width_bytes != 8) || offset % width_bytes != 0) return status{client_status::bad_argument};
    std::uint64_t value = 0;
    const status s =
        read_region(vfio_user::region_index::bar0, offset, {reinterpret_cast<std::byte*>(&value), width_bytes}, until);
    if (!s.ok()) return s;
    return value;
  }

  /// See memory_transport. Where the doorbells are not mapped (doorbells().base is null), a write of a doorbell is
  /// posted: success says that it is on its way, in order with whatever this transport sends later.
  [[nodiscard]] status write_register(std::uint32_t offset, unsigned width_bytes, std::uint64_t value,
                                      deadline until) override {
    if ((width_bytes != 4 && width_bytes != 8) || offset % width_bytes != 0) return client_status::bad_argument;
    const bool posted = offset >= reg::doorbells && doorbells_.base == nullptr;
    return write_region(vfio_user::region_index::bar0, offset,
                        {reinterpret_cast<const std::byte*>(&value), width_bytes}, posted, until);
  }

  /// See memory_transport. The descriptor is duplicated to the target by the kernel; the caller may close its own.
  /// @return also bad_argument for no memory
  [[nodiscard]] status map_dma(const dma_memory& memory, deadline until) override {
    if (memory.fd < 0) return client_status::staged_refused;
    if (memory.address == nullptr || memory.length_bytes == 0) return client_status::bad_argument;
    vfio_user::dma_map request;
    request.flags = vfio_user::dma_map::readable | vfio_user::dma_map::writable;
    request.offset = memory.fd_offset;
    request.address = reinterpret_cast<std::uintptr_t>(memory.address);
    request.size = memory.length_bytes;
    exchange call(*this, until);
    return call.run(vfio_user::command::dma_map, vfio_user::bytes_of(request), {}, {&memory.fd, 1});
  }

  /// See memory_transport: the target answers when no access can follow.
  [[nodiscard]] status unmap_dma(const dma_memory& memory, deadline until) override {
    vfio_user::dma_unmap request;
    request.address = reinterpret_cast<std::uintptr_t>(memory.address);
    request.size = memory.length_bytes;
    exchange call(*this, until);
    return call.run(vfio_user::command::dma_unmap, vfio_user::bytes_of(request), {}, {});
  }

  [[nodiscard]] status reset(deadline until) override {
    exchange call(*this, until);
    return call.run(vfio_user::command::device_reset, {}, {}, {});
  }

  [[nodiscard]] doorbell_page doorbells() const noexcept override { return doorbells_; }
  [[nodiscard]] bool shares_by_fd() const noexcept override { return true; }
  [[nodiscard]] bool connected() noexcept override { return !socket_.hung_up(); }

  /// True only when the process that answered us has ended. It is known by the credentials that the kernel adds to its
  /// replies, and held by a pidfd, which no other process inherits; a process in a pid namespace that cannot be seen
  /// from here is never known to be gone, nor is a target within this process.
  [[nodiscard]] bool peer_gone() noexcept override {
    if (!peer_.valid()) return false;
    pollfd one{peer_.get(), POLLIN, 0};
    int ready = 0;
    do {
      ready = ::poll(&one, 1, 0);
    } while (ready < 0 && errno == EINTR);
    return ready == 1 && (one.revents & POLLIN) != 0;
  }

  /// How many interrupts of a kind the device has.
  /// @return the number, or disconnected, timed_out, protocol_error, system_error (the errno that the target answered)
  [[nodiscard]] nkv::result<std::uint32_t> interrupt_count(vfio_user::irq_index kind, deadline until) {
    vfio_user::irq_info request;
    request.index = static_cast<std::uint32_t>(kind);
    exchange call(*this, until);
    const status s = call.run(vfio_user::command::device_get_irq_info, vfio_user::bytes_of(request), {}, {});
    if (!s.ok()) return s;
    vfio_user::irq_info reply;
    if (!vfio_user::read_at(call.reply(), 0, reply)) return status{client_status::protocol_error};
    return reply.count;
  }

  /// `vector` is one of MSI-X.
  [[nodiscard]] status set_interrupt(std::uint32_t vector, int eventfd, deadline until) override {
    vfio_user::irq_set request;
    request.flags = vfio_user::irq_set::data_eventfd | vfio_user::irq_set::action_trigger;
    request.index = static_cast<std::uint32_t>(vfio_user::irq_index::msix);
    request.start = vector;
    request.count = 1;
    exchange call(*this, until);
    return call.run(vfio_user::command::device_set_irqs, vfio_user::bytes_of(request), {},
                    {&eventfd, eventfd < 0 ? std::size_t{0} : std::size_t{1}});
  }

 private:
  /// What a peer may ask of us while we wait for its reply before we take it for broken.
  static constexpr unsigned max_foreign_commands = 64;
  /// Room that a reply with capabilities or descriptors may take.
  static constexpr std::uint32_t reply_room_bytes = 4096;
  /// Doorbells of 65,536 queue pairs at the smallest stride.
  static constexpr std::uint64_t max_doorbell_bytes = 512 * 1024;
  static constexpr std::uint32_t pci_command_offset = 4;
  static constexpr std::uint16_t pci_bus_master = 0x4;
  static constexpr std::uint16_t pci_interrupt_disable = 0x400;

  explicit vfio_user_transport(unique_fd connected) noexcept : socket_(std::move(connected)) {}

  /// One request and its reply. Holds the connection from the first to the last use of the reply.
  class exchange {
   public:
    exchange(vfio_user_transport& transport, deadline until) noexcept : transport_(transport), until_(until) {
      // Not a timed mutex: ThreadSanitizer of the compilers in use does not know its clocked lock.
      while (!(locked_ = transport.mutex_.try_lock())) {
        if (until.expired()) break;
        const timespec pause{0, lock_retry_ns};
        ::nanosleep(&pause, nullptr);
      }
    }
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;
    ~exchange() {
      if (locked_) transport_.mutex_.unlock();
    }

    /// Sends a request and waits for its reply, of any length.
    /// @return the reply's own error as system_error; see the class for the rest
    [[nodiscard]] status run(vfio_user::command what, byte_span payload, byte_span data, span<const int> fds) noexcept {
      if (const status s = send(what, 0, payload, data, fds); !s.ok()) return s;
      vfio_user::message_socket& socket = transport_.socket_;
      for (unsigned foreign = 0;;) {
        vfio_user::header head;
        fds_.clear();
        const mutable_byte_span room{transport_.reply_.data(), transport_.reply_.size()};
        if (const status s = socket.receive(head, room, reply_bytes_, fds_, until_); !s.ok()) {
          // The reply may still come, and must not meet another call.
          socket.shut();
          return s;
        }
        if (head.is_command() && foreign++ < max_foreign_commands) {
          if (const status s = refuse(head); !s.ok()) return s;
          continue;
        }
        if (!head.is_reply() || head.message_id != id_ || head.command != static_cast<std::uint16_t>(what)) {
          return broken();
        }
        if ((head.flags & vfio_user::message_flag::error) != 0) {
          return vfio_user::system_failure(static_cast<int>(head.error & 0x7fffffffu));
        }
        return {};
      }
    }

    /// Sends a request that has no reply.
    [[nodiscard]] status post(vfio_user::command what, byte_span payload, byte_span data) noexcept {
      return send(what, vfio_user::message_flag::no_reply, payload, data, {});
    }

    /// The reply's payload and its descriptors. @pre run() succeeded
    [[nodiscard]] byte_span reply() const noexcept { return {transport_.reply_.data(), reply_bytes_}; }
    [[nodiscard]] vfio_user::received_fds& fds() noexcept { return fds_; }

    /// The peer is not to be believed any more.
    [[nodiscard]] status broken() noexcept {
      transport_.socket_.shut();
      return client_status::protocol_error;
    }

   private:
    static constexpr long lock_retry_ns = 20'000;

    [[nodiscard]] status send(vfio_user::command what, std::uint32_t flags, byte_span payload, byte_span data,
                              span<const int> fds) noexcept {
      if (!locked_ || (until_.expired() && !transport_.socket_.is_shut())) return client_status::timed_out;
      if (fds.size() > transport_.peer_max_fds_) return client_status::unsupported;
      id_ = ++transport_.last_id_;
      vfio_user::header head;
      head.message_id = id_;
      head.command = static_cast<std::uint16_t>(what);
      head.flags = vfio_user::message_flag::type_command | flags;
      return transport_.socket_.send(head, payload, data, fds, until_);
    }
    /// Answers a command of the server's: all memory is shared by descriptor, so it needs none.
    [[nodiscard]] status refuse(const vfio_user::header& asked) noexcept {
      if ((asked.flags & vfio_user::message_flag::no_reply) != 0) return {};
      vfio_user::header head;
      head.message_id = asked.message_id;
      head.command = asked.command;
      head.flags = vfio_user::message_flag::type_reply | vfio_user::message_flag::error;
      head.error = ENOTSUP;
      const status s = transport_.socket_.send(head, {}, {}, {}, until_);
      if (!s.ok()) transport_.socket_.shut();
      return s;
    }

    vfio_user_transport& transport_;
    const deadline until_;
    bool locked_ = false;
    std::uint16_t id_ = 0;
    std::size_t reply_bytes_ = 0;
    vfio_user::received_fds fds_;
  };

  [[nodiscard]] status open(const vfio_user_options& options, deadline until) {
    if (const status s = negotiate(options, until); !s.ok()) return s;
    if (const status s = identify_device(until); !s.ok()) return s;
    if (const status s = find_doorbells(options, until); !s.ok()) return s;
    if (asleep_offset_.has_value() && doorbells_.base != nullptr) {
      if (const status s = find_wake(until); !s.ok()) return s;
    }
    return become_bus_master(until);
  }

  [[nodiscard]] status negotiate(const vfio_user_options& options, deadline until) {
    static_assert(vfio_user::max_message_fds == 16 && vfio_user::max_transfer_bytes == 32768, "as in the text below");
    // A capability that the client did not propose is none that a server may answer with, so ours is proposed too.
    constexpr std::string_view with_wake =
        R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":32768,"nkv_wake":{}}})";
    constexpr std::string_view without = R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":32768}})";
    const std::string_view data = options.wake ? with_wake : without;
    const vfio_user::version proposed;
    exchange call(*this, until);
    // The text's own terminator goes with it.
    const status s = call.run(vfio_user::command::version, vfio_user::bytes_of(proposed),
                              {reinterpret_cast<const std::byte*>(data.data()), data.size() + 1}, {});
    if (s == status{client_status::timed_out} && !socket_.begun()) return client_status::busy;
    if (!s.ok()) return s;
    vfio_user::version agreed;
    if (!vfio_user::read_at(call.reply(), 0, agreed)) return call.broken();
    if (agreed.major != proposed.major) {
      socket_.shut();
      return client_status::unsupported;
    }
    if (agreed.minor > proposed.minor) return call.broken();
    const byte_span text = call.reply().subspan(sizeof(agreed));
    std::string_view json{reinterpret_cast<const char*>(text.data()), text.size()};
    json = json.substr(0, json.find('\0'));
    peer_max_fds_ = vfio_user::default_message_fds;
    if (const auto fds = vfio_user::find_json_number(json, {"capabilities", "max_msg_fds"})) peer_max_fds_ = *fds;
    if (options.wake) asleep_offset_ = vfio_user::find_json_number(json, {"capabilities", "nkv_wake", "asleep_offset"});
    server_pid_ = socket_.sender();
    if (server_pid_ > 0) peer_.reset(static_cast<int>(::syscall(SYS_pidfd_open, server_pid_, 0)));
    return {};
  }

  [[nodiscard]] status identify_device(deadline until) {
    const vfio_user::device_info request;
    exchange call(*this, until);
    const status s = call.run(vfio_user::command::device_get_info, vfio_user::bytes_of(request), {}, {});
    if (!s.ok()) return s;
    vfio_user::device_info info;
    if (!vfio_user::read_at(call.reply(), 0, info)) return call.broken();
    // The pidfd was opened for a number, after the first reply. That the same number answered again, and that the
    // process of the pidfd has not ended, make it the one who answers.
    if (socket_.sender() != server_pid_ || peer_gone()) peer_.reset();
    if ((info.flags & vfio_user::device_info::pci) == 0 || info.region_count == 0) return client_status::unsupported;
    has_config_ = info.region_count > static_cast<std::uint32_t>(vfio_user::region_index::config);
    return {};
  }

  [[nodiscard]] status find_doorbells(const vfio_user_options& options, deadline until) {
    vfio_user::region_info request;
    request.argsz = reply_room_bytes;
    exchange call(*this, until);
    const status s = call.run(vfio_user::command::device_get_region_info, vfio_user::bytes_of(request), {}, {});
    if (!s.ok()) return s;
    vfio_user::region_info info;
    if (!vfio_user::read_at(call.reply(), 0, info)) return call.broken();
    // An admin queue and one I/O queue at the least.
    if (info.size < reg::doorbells + 4 * sizeof(std::uint32_t)) return client_status::unsupported;
    vfio_user::sparse_area area;
    switch (vfio_user::find_mappable_area(call.reply(), reg::doorbells, area)) {
      case vfio_user::mapping::malformed: return call.broken();
      case vfio_user::mapping::none: return {};
      case vfio_user::mapping::found: break;
    }
    const unique_fd fd = call.fds().take(0);
    // A target may say that it can be mapped and give no descriptor with it: doorbells then go over the socket.
    if (!options.map_doorbells || !fd.valid()) return {};
    return map(fd.get(), info.offset, area, options);
  }

  /// Maps `area` from the first doorbell on.
  [[nodiscard]] status map(int fd, std::uint64_t region_offset, const vfio_user::sparse_area& area,
                           const vfio_user_options& options) noexcept {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::uint64_t length = area.offset + area.size - reg::doorbells;
    if (length > max_doorbell_bytes) length = max_doorbell_bytes;
    if (region_offset > ~std::uint64_t{0} / 2) return client_status::protocol_error;
    const std::uint64_t begin = region_offset + reg::doorbells;
    const std::uint64_t lead = begin % page;
    if (!options.allow_unsealed) {
      // A memory file without the seal may shrink at any time, and then the next doorbell would be a SIGBUS.
      const int seals = ::fcntl(fd, F_GET_SEALS);
      if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return client_status::unsupported;
    }
    struct stat file{};
    if (::fstat(fd, &file) != 0) return vfio_user::system_failure(errno);
    if (file.st_size < 0 || begin + length > static_cast<std::uint64_t>(file.st_size))
      return client_status::protocol_error;
    void* at = ::mmap(nullptr, lead + length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(begin - lead));
    if (at == MAP_FAILED) return vfio_user::system_failure(errno);
    mapped_ = at;
    mapped_bytes_ = lead + length;
    doorbells_.base = reinterpret_cast<std::uint32_t*>(static_cast<std::byte*>(at) + lead);
    doorbells_.length_bytes = static_cast<std::uint32_t>(length);
    if (reinterpret_cast<std::uintptr_t>(doorbells_.base) % alignof(std::uint64_t) != 0) {
      doorbells_ = {};
      return client_status::protocol_error;
    }
    return {};
  }

  /// Fetches the eventfd that wakes the target. A target that announced it and does not give it is not refused: it is
  /// then not woken, and looks by itself as it does for clients that know nothing of it.
  [[nodiscard]] status find_wake(deadline until) {
    const std::uint64_t offset = *asleep_offset_;
    if (offset < reg::doorbells || offset % sizeof(std::uint32_t) != 0) return client_status::protocol_error;
    if (doorbells_.length_bytes < sizeof(std::uint32_t) ||
        offset - reg::doorbells > doorbells_.length_bytes - sizeof(std::uint32_t))
      return client_status::protocol_error;
    vfio_user::region_io_fds request;
    request.argsz = reply_room_bytes;
    exchange call(*this, until);
    const status s = call.run(vfio_user::command::device_get_region_io_fds, vfio_user::bytes_of(request), {}, {});
    if (s == status{client_status::system_error}) return {};
    if (!s.ok()) return s;
    vfio_user::region_io_fds info;
    if (!vfio_user::read_at(call.reply(), 0, info)) return call.broken();
    if (info.count == 0) return {};
    // The entries' size is said by the reply: 40 bytes today, more some day.
    const std::size_t entries = call.reply().size() - sizeof(info);
    const std::size_t stride = entries / info.count;
    if (stride < sizeof(vfio_user::io_fd)) return call.broken();
    for (std::uint32_t i = 0; i < info.count; ++i) {
      vfio_user::io_fd entry;
      if (!vfio_user::read_at(call.reply(), sizeof(info) + i * stride, entry)) return call.broken();
      if (entry.type != vfio_user::io_fd::ioeventfd || entry.offset > reg::doorbells ||
          reg::doorbells - entry.offset >= entry.size) {
        continue;
      }
      unique_fd fd = call.fds().take(entry.fd_index);
      if (!fd.valid() || !is_eventfd(fd.get())) return call.broken();
      // Written on a command's path, so it never blocks: a counter that is full already wakes whoever waits for it.
      const int flags = ::fcntl(fd.get(), F_GETFL);
      if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return vfio_user::system_failure(errno);
      wake_ = std::move(fd);
      doorbells_.wake_fd = wake_.get();
      doorbells_.asleep = doorbells_.base + (offset - reg::doorbells) / sizeof(std::uint32_t);
      return {};
    }
    return {};
  }

  /// A write to anything else could block, or go to a file that the peer chose.
  [[nodiscard]] static bool is_eventfd(int fd) noexcept {
    std::array<char, 64> name{};
    std::array<char, 64> target{};
    std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd);
    const ssize_t n = ::readlink(name.data(), target.data(), target.size());
    return n > 0 && std::string_view(target.data(), static_cast<std::size_t>(n)) == "anon_inode:[eventfd]";
  }

  /// Bus master on, INTx off, as a driver does. Few targets look, so that one without a configuration space, or one
  /// that does not take the write, is not refused.
  [[nodiscard]] status become_bus_master(deadline until) {
    if (!has_config_) return {};
    std::uint16_t value = 0;
    status s = read_region(vfio_user::region_index::config, pci_command_offset,
                           {reinterpret_cast<std::byte*>(&value), sizeof(value)}, until);
    if (!s.ok() && s != status{client_status::system_error}) return s;
    if (!s.ok()) value = 0;
    value = static_cast<std::uint16_t>(value | pci_bus_master | pci_interrupt_disable);
    s = write_region(vfio_user::region_index::config, pci_command_offset, vfio_user::bytes_of(value), false, until);
    return s == status{client_status::system_error} ? status{} : s;
  }

  [[nodiscard]] status read_region(vfio_user::region_index region, std::uint64_t offset, mutable_byte_span into,
                                   deadline until) {
    vfio_user::region_access request;
    request.offset = offset;
    request.region = static_cast<std::uint32_t>(region);
    request.count = static_cast<std::uint32_t>(into.size());
    exchange call(*this, until);
    const status s = call.run(vfio_user::command::region_read, vfio_user::bytes_of(request), {}, {});
    if (!s.ok()) return s;
    vfio_user::region_access reply;
    if (!vfio_user::read_at(call.reply(), 0, reply) || reply.count != request.count ||
        call.reply().size() != sizeof(reply) + into.size()) {
      return call.broken();
    }
    std::memcpy(into.data(), call.reply().data() + sizeof(reply), into.size());
    return {};
  }

  [[nodiscard]] status write_region(vfio_user::region_index region, std::uint64_t offset, byte_span data, bool posted,
                                    deadline until) {
    vfio_user::region_access request;
    request.offset = offset;
    request.region = static_cast<std::uint32_t>(region);
    request.count = static_cast<std::uint32_t>(data.size());
    exchange call(*this, until);
    if (posted) return call.post(vfio_user::command::region_write, vfio_user::bytes_of(request), data);
    const status s = call.run(vfio_user::command::region_write, vfio_user::bytes_of(request), data, {});
    if (!s.ok()) return s;
    vfio_user::region_access reply;
    if (!vfio_user::read_at(call.reply(), 0, reply) || reply.count != request.count) return call.broken();
    return {};
  }

  std::mutex mutex_;  // the stream, last_id_, reply_
  vfio_user::message_socket socket_;
  std::uint16_t last_id_ = 0;
  std::array<std::byte, vfio_user::max_message_bytes - sizeof(vfio_user::header)> reply_;

  // What connecting found out; unchanged afterwards.
  std::uint64_t peer_max_fds_ = vfio_user::default_message_fds;
  std::optional<std::uint64_t> asleep_offset_;
  bool has_config_ = false;
  pid_t server_pid_ = 0;
  unique_fd peer_;
  unique_fd wake_;
  void* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  doorbell_page doorbells_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
