// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/host/unique_fd.hpp>

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

namespace nkv::inline NKV_ABI {
namespace host {

/// Whether this process may have a PCIe device of its own: what maps a device's BAR, and lets it reach memory, goes
/// through VFIO's or iommufd's file and an IOMMU group.
struct user_iommu {
  int vfio_errno = 0;      ///< of opening /dev/vfio/vfio; 0: it can be opened
  int iommufd_errno = 0;   ///< of opening /dev/iommu
  std::size_t groups = 0;  ///< that the IOMMUs of this machine make

  [[nodiscard]] bool usable() const noexcept { return (vfio_errno == 0 || iommufd_errno == 0) && groups != 0; }

  /// Opens both files and closes them again, which changes nothing. Any thread.
  /// @param root in front of the paths: another system's root
  [[nodiscard]] static user_iommu look(const std::string& root = {}) {
    const auto opened = [&](const char* path) {
      return unique_fd{::open((root + path).c_str(), O_RDWR | O_CLOEXEC)}.valid() ? 0 : errno;
    };
    user_iommu found;
    found.vfio_errno = opened("/dev/vfio/vfio");
    found.iommufd_errno = opened("/dev/iommu");
    if (DIR* const folder = ::opendir((root + "/sys/kernel/iommu_groups").c_str()); folder != nullptr) {
      while (const dirent* const entry = ::readdir(folder)) found.groups += entry->d_name[0] != '.';
      ::closedir(folder);
    }
    return found;
  }

  /// For people: "/dev/vfio/vfio: Permission denied; /dev/iommu: No such file or directory; 12 IOMMU groups".
  [[nodiscard]] std::string text() const {
    const auto file = [](const char* path, int error) {
      return std::string(path) + ": " + (error == 0 ? "usable" : std::strerror(error)) + "; ";
    };
    return file("/dev/vfio/vfio", vfio_errno) + file("/dev/iommu", iommufd_errno) + std::to_string(groups) +
           (groups == 1 ? " IOMMU group" : " IOMMU groups");
  }
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
