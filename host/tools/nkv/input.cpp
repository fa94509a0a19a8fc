// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/input.hpp"

#include "common/human.hpp"

#include <nkv/host/unique_fd.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tools {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& file) {
  throw failure(exit_local, fmt::format("cannot {} {}: {}", what, file == "-" ? "standard input or output" : file,
                                        std::strerror(errno)));
}

}  // namespace

session::value read_input(const session& s, const std::string& file, std::uint64_t offset_bytes, std::uint64_t most) {
  nkv::host::unique_fd opened;
  int fd = STDIN_FILENO;
  if (file != "-") {
    opened = nkv::host::unique_fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    fd = opened.get();
    if (fd < 0) fail("open", file);
  }
  const auto too_large = [&](std::uint64_t bytes, const char* or_more) {
    return failure(exit_refused,
                   fmt::format("{} has {}{} bytes, a value of this namespace at most {} ({})",
                               file == "-" ? "standard input" : file, bytes, or_more, most, human_bytes(most)));
  };
  struct stat what{};
  if (::fstat(fd, &what) != 0) fail("read", file);
  if (S_ISDIR(what.st_mode)) throw failure(exit_local, file + " is a directory");
  // A file's size is where to begin; how much there is, reading tells.
  const auto size = S_ISREG(what.st_mode) ? static_cast<std::uint64_t>(what.st_size) : 0;
  if (size > most) throw too_large(size, "");
  session::value out;
  std::uint64_t room = std::min(std::max<std::uint64_t>(size, 1 << 20), most) + 1;
  out.memory = s.allocate(offset_bytes + room);
  for (;;) {
    if (out.length_bytes == room) {
      if (room > most) throw too_large(room, " or more");
      room = std::min(room * 2, most + 1);
      nkv::host::registration larger = s.allocate(offset_bytes + room);
      std::memcpy(larger.data(), out.memory.data(), static_cast<std::size_t>(offset_bytes + out.length_bytes));
      out.memory = std::move(larger);
    }
    const ssize_t n = ::read(fd, out.memory.data() + offset_bytes + out.length_bytes,
                             static_cast<std::size_t>(room - out.length_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read", file);
    if (n == 0) break;
    out.length_bytes += static_cast<std::uint64_t>(n);
  }
  if (out.length_bytes > most) throw too_large(out.length_bytes, "");
  return out;
}

void write_output(const std::string& file, nkv::byte_span bytes) {
  nkv::host::unique_fd opened;
  int fd = STDOUT_FILENO;
  if (file != "-") {
    opened = nkv::host::unique_fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    fd = opened.get();
    if (fd < 0) fail("open", file);
  }
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", file);
    at += static_cast<std::size_t>(n);
  }
  // Some file systems say only now that there was no room.
  if (opened.valid() && ::close(opened.release()) != 0) fail("write", file);
}

}  // namespace tools
