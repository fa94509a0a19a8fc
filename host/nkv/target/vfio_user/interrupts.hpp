// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/host/vfio_user/socket.hpp>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

namespace wire = host::vfio_user;

/// The eventfds that a client has set for the interrupts of its device: one INTx, `vectors` MSI-X. Neither MSI nor
/// error and request interrupts are ever raised; their eventfds are taken and kept. On the poller's thread alone.
class interrupts {
 public:
  explicit interrupts(std::uint16_t vectors) {
    lines_[static_cast<std::size_t>(wire::irq_index::intx)].resize(1);
    lines_[static_cast<std::size_t>(wire::irq_index::msix)].resize(vectors);
    lines_[static_cast<std::size_t>(wire::irq_index::error)].resize(1);
    lines_[static_cast<std::size_t>(wire::irq_index::request)].resize(1);
  }

  /// @return 0 where there is no such kind, or it has none
  [[nodiscard]] std::uint32_t count(std::uint32_t index) const noexcept {
    return index < lines_.size() ? static_cast<std::uint32_t>(lines_[index].size()) : 0;
  }

  /// Carries a DEVICE_SET_IRQS out. @param data the payload after the fixed part
  /// @return 0, or EINVAL for an index, range, combination of flags or number of descriptors that makes no sense, a
  ///         descriptor that is no eventfd
  [[nodiscard]] int set(const wire::irq_set& request, byte_span data, wire::received_fds& fds) noexcept {
    if (request.index >= lines_.size()) return EINVAL;
    std::vector<line>& lines = lines_[request.index];
    if (request.start > lines.size() || request.count > lines.size() - request.start) return EINVAL;
    const std::uint32_t kind =
        request.flags & (wire::irq_set::data_none | wire::irq_set::data_bool | wire::irq_set::data_eventfd);
    const std::uint32_t action = request.flags & ~kind;
    const bool whole = request.start == 0 && request.count == 0;
    switch (kind) {
      case wire::irq_set::data_none:
        if (action == wire::irq_set::action_trigger && whole) {
          for (line& l : lines) l = {};
          return 0;
        }
        break;
      case wire::irq_set::data_bool:
        if (data.size() < request.count) return EINVAL;
        break;
      case wire::irq_set::data_eventfd:
        if (action != wire::irq_set::action_trigger) return EINVAL;
        return assign(lines, request, fds);
      default: return EINVAL;
    }
    if (request.count == 0) return EINVAL;
    for (std::uint32_t i = 0; i < request.count; ++i) {
      if (kind == wire::irq_set::data_bool && data[i] == std::byte{0}) continue;
      line& l = lines[request.start + i];
      switch (action) {
        case wire::irq_set::action_trigger: signal(l); break;
        case wire::irq_set::action_mask: l.masked = true; break;
        case wire::irq_set::action_unmask:
          l.masked = false;
          if (std::exchange(l.waiting, false)) signal(l);
          break;
        default: return EINVAL;
      }
    }
    return 0;
  }

  /// Raises MSI-X vector `vector`; where the client uses none, INTx stands in for vector 0.
  void raise(std::uint16_t vector) noexcept {
    std::vector<line>& msix = lines_[static_cast<std::size_t>(wire::irq_index::msix)];
    if (vector < msix.size() && msix[vector].eventfd.valid()) {
      signal(msix[vector]);
    } else if (vector == 0) {
      signal(lines_[static_cast<std::size_t>(wire::irq_index::intx)][0]);
    }
  }

 private:
  struct line {
    host::unique_fd eventfd;
    bool masked = false;
    bool waiting = false;  ///< raised while masked
  };

  /// Each line its descriptor, or none at all to take away what is set.
  [[nodiscard]] static int assign(std::vector<line>& lines, const wire::irq_set& request,
                                  wire::received_fds& fds) noexcept {
    if (request.count == 0 || (fds.size() != 0 && fds.size() != request.count)) return EINVAL;
    std::array<host::unique_fd, wire::max_message_fds> taken;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      taken[i] = fds.take(i);
      if (!is_eventfd(taken[i].get())) return EINVAL;
      // Written by the poller's thread, which serves others too: a counter that is full must not block it.
      const int flags = ::fcntl(taken[i].get(), F_GETFL);
      if (flags < 0 || ::fcntl(taken[i].get(), F_SETFL, flags | O_NONBLOCK) != 0) return EINVAL;
    }
    for (std::uint32_t i = 0; i < request.count; ++i) {
      line& l = lines[request.start + i];
      l.eventfd = i < fds.size() ? std::move(taken[i]) : host::unique_fd{};
      l.waiting = false;
    }
    return 0;
  }
  static void signal(line& l) noexcept {
    if (!l.eventfd.valid()) return;
    if (l.masked) {
      l.waiting = true;
      return;
    }
    // The client shares the open file and could have taken the flag off again: so it is not written while it is full.
    pollfd one{l.eventfd.get(), POLLOUT, 0};
    if (::poll(&one, 1, 0) != 1 || (one.revents & POLLOUT) == 0) return;
    const std::uint64_t count = 1;
    [[maybe_unused]] const ssize_t n = ::write(l.eventfd.get(), &count, sizeof(count));
  }
  [[nodiscard]] static bool is_eventfd(int fd) noexcept {
    std::array<char, 64> name{};
    std::array<char, 64> target{};
    std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd);
    const ssize_t n = ::readlink(name.data(), target.data(), target.size());
    return n > 0 && std::string_view(target.data(), static_cast<std::size_t>(n)) == "anon_inode:[eventfd]";
  }

  std::array<std::vector<line>, wire::irq_index_count> lines_;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
