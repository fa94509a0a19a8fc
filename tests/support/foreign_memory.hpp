// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace nkv_test::foreign {

/// A little-endian number at a place of any alignment (this runs on little-endian machines).
template <class T>
T get(const unsigned char* at) {
  static_assert(std::is_integral_v<T>);
  T value{};
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <class T>
void put(unsigned char* at, T value) {
  static_assert(std::is_integral_v<T>);
  std::memcpy(at, &value, sizeof value);
}

/// A run of bytes of the client's memory.
struct piece {
  unsigned char* at = nullptr;
  std::size_t bytes = 0;
};

/// The memory that a client shared by descriptor.
class memory {
 public:
  memory() = default;
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  ~memory() { clear(); }

  /// @return an errno, 0 for none. The descriptor stays the caller's.
  int map(std::uint64_t address, std::uint64_t bytes, int fd, std::uint64_t offset, std::uint32_t flags) {
    if (regions_.size() == most_regions || bytes == 0 || address + bytes < address || flags == 0 || flags > 3)
      return EINVAL;
    for (const region& r : regions_)
      if (address < r.address + r.bytes && r.address < address + bytes) return EINVAL;
    // A region without a descriptor is taken and cannot be used.
    unsigned char* at = nullptr;
    if (fd >= 0) {
      void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
      if (mapped == MAP_FAILED) return errno;
      at = static_cast<unsigned char*>(mapped);
    }
    regions_.push_back({address, bytes, at});
    return 0;
  }
  int unmap(std::uint64_t address, std::uint64_t bytes) {
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      if (regions_[i].address != address || regions_[i].bytes != bytes) continue;
      if (regions_[i].at != nullptr) ::munmap(regions_[i].at, bytes);
      regions_.erase(regions_.begin() + static_cast<std::ptrdiff_t>(i));
      return 0;
    }
    return ENOENT;
  }
  void clear() {
    while (!regions_.empty()) unmap(regions_.back().address, regions_.back().bytes);
  }

  /// @return the bytes, null where they do not lie in one region
  [[nodiscard]] unsigned char* reach(std::uint64_t address, std::uint64_t bytes) const {
    for (const region& r : regions_)
      if (r.at != nullptr && address >= r.address && address - r.address <= r.bytes &&
          bytes <= r.bytes - (address - r.address))
        return r.at + (address - r.address);
    return nullptr;
  }

 private:
  static constexpr std::size_t most_regions = 64;
  struct region {
    std::uint64_t address;
    std::uint64_t bytes;
    unsigned char* at;
  };
  std::vector<region> regions_;
};

}  // namespace nkv_test::foreign
