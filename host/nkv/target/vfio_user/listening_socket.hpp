// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/socket.hpp>
#include <nkv/spec/status_code.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

namespace wire = host::vfio_user;

/// A socket file that this process alone serves: claimed before it is bound, taken away when that ends.
///
/// Beside the socket lies a lock file, `NAME.lock`. Who holds it serves the socket, so that of two servers started at
/// once one is refused; the kernel lets go of it when the process ends, however it ends.
class listening_socket {
 public:
  listening_socket() noexcept = default;
  listening_socket(const listening_socket&) = delete;
  listening_socket& operator=(const listening_socket&) = delete;
  ~listening_socket() { close(); }

  /// Listens.
  /// @param address a folder, made with mode 0700 where it is missing, in which the socket is called `cntrl`; or the
  ///        socket itself, where the path ends in `/cntrl` or a socket is there
  /// @return
  /// - busy: another process serves the socket
  /// - bad_argument: something other than a socket has its name, or a name that no address holds
  /// - not_found: the folder's own folder is missing; system_error: with the errno, e.g. EACCES, or EPERM for a stale
  ///   socket of another user
  [[nodiscard]] status open(const std::string& address, unsigned mode) {
    if (address.empty()) return client_status::bad_argument;
    std::string path = address;
    struct stat what{};
    const bool there = ::stat(path.c_str(), &what) == 0;
    constexpr std::string_view name = "/cntrl";
    const bool named = path.size() > name.size() && path.compare(path.size() - name.size(), name.size(), name) == 0;
    if (there ? S_ISDIR(what.st_mode) : !named) {
      while (path.size() > 1 && path.back() == '/') path.pop_back();
      if (!there && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failure(errno);
      path += name;
    }
    if (const status s = claim(path + ".lock"); !s.ok()) return s;
    const status s = bind(path, mode);
    if (!s.ok()) close();
    return s;
  }

  /// Takes the socket file away, if it is still this one, and lets others serve it.
  void close() noexcept {
    struct stat now{};
    if (fd_.valid() && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) {
      ::unlink(path_.c_str());
    }
    fd_.reset();
    // While it is held: whoever has opened it by then finds that its file is no longer the one with the name.
    if (lock_.valid()) ::unlink(lock_path_.c_str());
    lock_.reset();
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  static constexpr int backlog = 128;
  static constexpr int lock_attempts = 16;

  [[nodiscard]] static status failure(int error) noexcept {
    if (error == ENOENT || error == ENOTDIR) return client_status::not_found;
    return wire::system_failure(error);
  }

  [[nodiscard]] status claim(const std::string& path) {
    for (int attempt = 0; attempt < lock_attempts; ++attempt) {
      host::unique_fd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
      if (!fd.valid()) return failure(errno);
      if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? status{client_status::busy} : failure(errno);
      }
      struct stat held{};
      struct stat named{};
      if (::fstat(fd.get(), &held) != 0) return failure(errno);
      // Taken away by the server before us, between our open and our lock.
      if (::stat(path.c_str(), &named) != 0 || named.st_dev != held.st_dev || named.st_ino != held.st_ino) continue;
      lock_ = std::move(fd);
      lock_path_ = path;
      return {};
    }
    return client_status::busy;
  }

  [[nodiscard]] status bind(const std::string& path, unsigned mode) {
    struct stat old{};
    if (::lstat(path.c_str(), &old) == 0) {
      if (!S_ISSOCK(old.st_mode)) return client_status::bad_argument;
      if (old.st_uid != ::geteuid()) return failure(EPERM);
      // The lock is ours, so no server of this kind has it; a server of another kind would answer.
      const auto probe = wire::message_socket::connect(path, host::deadline{});
      if (!(probe.error() == status{client_status::disconnected})) return client_status::busy;
      if (::unlink(path.c_str()) != 0) return failure(errno);
    } else if (errno != ENOENT) {
      return failure(errno);
    }
    auto address = wire::socket_address::of(path);
    if (!address) return address.error();
    host::unique_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd.valid()) return failure(errno);
    if (::bind(fd.get(), address->get(), address->size()) != 0) {
      return errno == EADDRINUSE ? status{client_status::busy} : failure(errno);
    }
    // Nobody connects before listen(): the file never lets in more than its mode says.
    struct stat now{};
    if (::chmod(path.c_str(), mode & 0777) != 0 || ::lstat(path.c_str(), &now) != 0 ||
        ::listen(fd.get(), backlog) != 0) {
      const int error = errno;
      ::unlink(path.c_str());
      return failure(error);
    }
    fd_ = std::move(fd);
    path_ = path;
    device_ = now.st_dev;
    inode_ = now.st_ino;
    return {};
  }

  host::unique_fd lock_;
  std::string lock_path_;
  host::unique_fd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
