// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/tree.hpp"

#include "nkv/failure.hpp"

#include <fmt/format.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

namespace tools {

using nkv::host::unique_fd;

namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

const char* kind_of(mode_t mode) {
  if (S_ISLNK(mode)) return "symbolic link";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISBLK(mode) || S_ISCHR(mode)) return "device";
  return "no regular file";
}

}  // namespace

tree_listing list_tree(const std::string& folder) {
  tree_listing out;
  // A list rather than recursion: a deep tree does not use the stack up.
  std::vector<std::string> folders{""};
  const unique_fd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) throw failure(exit_local, fmt::format("cannot open {}: {}", folder, std::strerror(errno)));
  while (!folders.empty()) {
    const std::string prefix = std::move(folders.back());
    folders.pop_back();
    unique_fd fd(prefix.empty() ? ::openat(root.get(), ".", folder_flags)
                                : ::openat(root.get(), prefix.substr(0, prefix.size() - 1).c_str(), folder_flags));
    DIR* opened = fd.valid() ? ::fdopendir(fd.get()) : nullptr;
    if (opened == nullptr) {
      out.failed.push_back({prefix, std::strerror(errno)});
      continue;
    }
    static_cast<void>(fd.release());
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(opened, &::closedir);
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      std::string path = prefix + entry->d_name;
      struct stat what{};
      if (::fstatat(::dirfd(dir.get()), entry->d_name, &what, AT_SYMLINK_NOFOLLOW) != 0) {
        out.failed.push_back({std::move(path), std::strerror(errno)});
      } else if (S_ISDIR(what.st_mode)) {
        folders.push_back(std::move(path) + '/');
      } else if (S_ISREG(what.st_mode)) {
        out.files.push_back({std::move(path), static_cast<std::uint64_t>(what.st_size), what.st_mode & 0777u});
      } else {
        out.skipped.push_back({std::move(path), kind_of(what.st_mode)});
      }
    }
  }
  const auto by_path = [](const auto& a, const auto& b) { return a.path < b.path; };
  std::sort(out.files.begin(), out.files.end(), by_path);
  std::sort(out.skipped.begin(), out.skipped.end(), by_path);
  std::sort(out.failed.begin(), out.failed.end(), by_path);
  return out;
}

tree_writer::tree_writer(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  root_ = unique_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_.valid()) throw failure(exit_local, fmt::format("cannot open {}: {}", folder, std::strerror(errno)));
}

unique_fd tree_writer::open_parent(std::string_view path, bool make, std::string& name) const {
  unique_fd at(::openat(root_.get(), ".", folder_flags));
  for (;;) {
    const std::size_t slash = path.find('/');
    name = path.substr(0, slash);
    if (slash == std::string_view::npos || !at.valid()) return at;
    // O_NOFOLLOW: a link in the way is an error, wherever it leads.
    int next = ::openat(at.get(), name.c_str(), folder_flags);
    if (next < 0 && errno == ENOENT && make) {
      if (::mkdirat(at.get(), name.c_str(), 0777) != 0 && errno != EEXIST) return unique_fd{};
      next = ::openat(at.get(), name.c_str(), folder_flags);
    }
    at = unique_fd(next);
    path.remove_prefix(slash + 1);
  }
}

bool tree_writer::exists(std::string_view path) const {
  std::string name;
  const unique_fd parent = open_parent(path, false, name);
  // A file or a link where a folder should be is in the way, too.
  if (!parent.valid()) return errno != ENOENT;
  struct stat what{};
  return ::fstatat(parent.get(), name.c_str(), &what, AT_SYMLINK_NOFOLLOW) == 0;
}

std::string tree_writer::write(std::string_view path, nkv::byte_span content, unsigned mode, bool replace) const {
  std::string name;
  const unique_fd parent = open_parent(path, true, name);
  if (!parent.valid()) return std::strerror(errno);
  const std::string first = replace ? fmt::format(".nkv-export-{}", ::getpid()) : name;
  if (replace) static_cast<void>(::unlinkat(parent.get(), first.c_str(), 0));
  unique_fd fd(::openat(parent.get(), first.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return std::strerror(errno);
  const auto undo = [&] {
    const int error = errno;
    static_cast<void>(::unlinkat(parent.get(), first.c_str(), 0));
    return std::string(std::strerror(error));
  };
  for (std::size_t at = 0; at < content.size();) {
    const ssize_t n = ::write(fd.get(), content.data() + at, content.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return undo();
    at += static_cast<std::size_t>(n);
  }
  // As a file that is created: what the process's mask takes away is taken away.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(fd.get(), mode & ~mask & 0777u) != 0 || ::close(fd.release()) != 0) return undo();
  if (replace && ::renameat(parent.get(), first.c_str(), parent.get(), name.c_str()) != 0) return undo();
  return {};
}

}  // namespace tools
