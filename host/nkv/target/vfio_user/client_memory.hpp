// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/dma_map.hpp>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

namespace wire = host::vfio_user;

/// Which memory of a client a server maps.
///
/// A client that shrinks a file which the server has mapped ends the server with SIGBUS, for all its clients. Memory
/// files that carry F_SEAL_SHRINK cannot shrink; nothing else is taken unless it is asked for.
struct client_memory_options {
  /// Take files without the seal, e.g. in a tmpfs or hugetlbfs of a virtual machine. Only for clients that are trusted
  /// not to truncate them, and whose file system always answers.
  bool accept_unsealed = false;
  /// Take dma-bufs, whose size cannot change and whose exporter decides what a processor's access means. One that
  /// cannot be mapped is refused with its errno.
  bool accept_dma_buf = false;
  /// Take sealed memory files of huge pages. A client can still give back pages of its own by punching a hole; where
  /// the pool has no page left when the server next touches it, that too is a SIGBUS.
  bool accept_huge_pages = true;
  std::size_t max_regions = 1024;
  std::uint64_t max_bytes = std::uint64_t{1} << 43;  ///< address space, of all regions together
};

/// The memory that one client has shared, mapped here. On the poller's thread alone.
class client_memory {
 public:
  /// @param owner the controller that reaches the memory; outlives this
  client_memory(controller& owner, const client_memory_options& options) noexcept : owner_(owner), options_(options) {}
  client_memory(const client_memory&) = delete;
  client_memory& operator=(const client_memory&) = delete;
  /// Unmaps everything. @pre owner.quiet(), and no command is fetched any more
  ~client_memory() {
    for (const mapped& m : regions_) {
      static_cast<void>(owner_.unmap_dma(m.iova, m.size));
      ::munmap(m.at, m.length);
    }
  }

  /// Maps what a DMA_MAP asks for. An identical repeat is success and changes nothing.
  /// @param fd what came with the message; not valid() where nothing did. Not needed any more afterwards
  /// @return 0, or the errno of the reply:
  /// - EINVAL: no descriptor, no or unknown access, size 0, an end beyond 2^64 or beyond the file, an overlap
  /// - EPERM: a descriptor that the options do not take
  /// - ENOSPC: as many regions or bytes as allowed; what mmap() says, e.g. EACCES
  [[nodiscard]] int map(const wire::dma_map& request, const host::unique_fd& fd) {
    constexpr std::uint32_t known = wire::dma_map::readable | wire::dma_map::writable;
    if (!fd.valid() || request.flags == 0 || (request.flags & ~known) != 0 || request.size == 0) return EINVAL;
    if (request.size - 1 > ~std::uint64_t{0} - request.address) return EINVAL;
    constexpr auto largest = static_cast<std::uint64_t>(INT64_MAX);
    if (request.offset > largest || request.size > largest - request.offset) return EINVAL;
    struct stat file{};
    if (::fstat(fd.get(), &file) != 0) return errno;
    for (const mapped& m : regions_) {
      if (m.iova - request.address >= request.size && request.address - m.iova >= m.size) continue;
      const bool same = m.iova == request.address && m.size == request.size && m.offset == request.offset &&
                        m.flags == request.flags && m.device == file.st_dev && m.inode == file.st_ino;
      return same ? 0 : EINVAL;
    }
    std::uint64_t file_bytes = 0;
    std::uint64_t page_bytes = 0;
    if (const int error = judge(fd.get(), file, file_bytes, page_bytes); error != 0) return error;
    if (request.offset + request.size > file_bytes) return EINVAL;
    if (regions_.size() >= options_.max_regions || request.size > options_.max_bytes - bytes_) return ENOSPC;

    const std::uint64_t lead = request.offset % page_bytes;
    const std::uint64_t length = (lead + request.size + page_bytes - 1) / page_bytes * page_bytes;
    const int protection = ((request.flags & wire::dma_map::readable) != 0 ? PROT_READ : 0) |
                           ((request.flags & wire::dma_map::writable) != 0 ? PROT_WRITE : 0);
    void* at = ::mmap(nullptr, length, protection, MAP_SHARED, fd.get(), static_cast<off_t>(request.offset - lead));
    if (at == MAP_FAILED) return errno;
    // A fork of this process has no use for a client's memory, and would keep it.
    ::madvise(at, length, MADV_DONTFORK);
    dma_region region;
    region.iova = request.address;
    region.length_bytes = request.size;
    region.local = static_cast<std::byte*>(at) + lead;
    region.readable = (request.flags & wire::dma_map::readable) != 0;
    region.writable = (request.flags & wire::dma_map::writable) != 0;
    if (const status s = owner_.map_dma(region); !s.ok()) {
      ::munmap(at, length);
      return s.detail() == ENOSPC || s.detail() == ENOMEM ? s.detail() : EINVAL;
    }
    regions_.push_back({request.address, request.size, request.offset, request.flags, file.st_dev, file.st_ino,
                        region.local, at, length, false});
    bytes_ += request.size;
    return 0;
  }

  /// Takes exactly this region away from the controller: no later command reaches it. It stays mapped until
  /// finish_unmap(), since commands that have begun may still use it.
  /// @return whether it was there
  [[nodiscard]] bool begin_unmap(std::uint64_t iova, std::uint64_t size) noexcept {
    const auto at = std::find_if(regions_.begin(), regions_.end(),
                                 [&](const mapped& m) { return m.iova == iova && m.size == size && !m.leaving; });
    if (at == regions_.end()) return false;
    static_cast<void>(owner_.unmap_dma(iova, size));
    at->leaving = true;
    return true;
  }

  /// Unmaps what begin_unmap() took away and no command uses any more.
  /// @return whether nothing is left to wait for
  [[nodiscard]] bool finish_unmap() noexcept {
    bool all = true;
    for (auto at = regions_.begin(); at != regions_.end();) {
      if (!at->leaving || owner_.uses(at->local, at->size)) {
        all = all && !at->leaving;
        ++at;
        continue;
      }
      ::munmap(at->at, at->length);
      bytes_ -= at->size;
      at = regions_.erase(at);
    }
    return all;
  }

  [[nodiscard]] std::size_t region_count() const noexcept { return regions_.size(); }

 private:
  struct mapped {
    std::uint64_t iova;
    std::uint64_t size;
    std::uint64_t offset;
    std::uint32_t flags;
    dev_t device;
    ino_t inode;
    std::byte* local;
    void* at;
    std::size_t length;
    bool leaving;
  };

  /// Whether the descriptor is one to be mapped, its size and its page size. @return 0 or an errno
  [[nodiscard]] int judge(int fd, const struct stat& file, std::uint64_t& file_bytes,
                          std::uint64_t& page_bytes) const noexcept {
    struct statfs system{};
    if (::fstatfs(fd, &system) != 0) return errno;
    page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (static_cast<std::uint64_t>(system.f_type) == DMA_BUF_MAGIC) {
      if (!options_.accept_dma_buf) return EPERM;
      const off_t end = ::lseek(fd, 0, SEEK_END);
      if (end < 0) return errno;
      file_bytes = static_cast<std::uint64_t>(end);
      return 0;
    }
    if (!S_ISREG(file.st_mode)) return EPERM;
    file_bytes = static_cast<std::uint64_t>(file.st_size);
    if (static_cast<std::uint64_t>(system.f_type) == HUGETLBFS_MAGIC) {
      if (!options_.accept_huge_pages) return EPERM;
      page_bytes = static_cast<std::uint64_t>(system.f_bsize);
    }
    const int seals = ::fcntl(fd, F_GET_SEALS);
    const bool sealed = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
    return sealed || options_.accept_unsealed ? 0 : EPERM;
  }

  controller& owner_;
  const client_memory_options options_;
  std::vector<mapped> regions_;
  std::uint64_t bytes_ = 0;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
