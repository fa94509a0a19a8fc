// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/user_iommu.hpp>
#include <support/temporary_folder.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

using nkv::host::user_iommu;

TEST_SUITE("host/memory/user_iommu") {
  TEST_CASE("look: what is there of VFIO, iommufd and the IOMMU's groups, in words") {
    const nkv_test::temporary_folder root;
    const auto look = [&] { return user_iommu::look(root.path()); };
    CHECK(look().text() ==
          "/dev/vfio/vfio: No such file or directory; /dev/iommu: No such file or directory; 0 IOMMU groups");
    CHECK_FALSE(look().usable());
    std::filesystem::create_directories(root.path() + "/dev/vfio");
    std::ofstream(root.path() + "/dev/vfio/vfio") << "";
    CHECK_FALSE(look().usable());  // a device without a group belongs to nobody
    std::filesystem::create_directories(root.path() + "/sys/kernel/iommu_groups/7");
    CHECK(look().usable());
    CHECK(look().text() == "/dev/vfio/vfio: usable; /dev/iommu: No such file or directory; 1 IOMMU group");
    std::filesystem::remove(root.path() + "/dev/vfio/vfio");
    std::filesystem::create_directories(root.path() +
                                        "/dev/iommu");  // which cannot be opened for writing, even by root
    std::filesystem::create_directories(root.path() + "/sys/kernel/iommu_groups/8");
    CHECK(look().iommufd_errno == EISDIR);
    CHECK(look().groups == 2);
    CHECK_FALSE(look().usable());
    std::filesystem::remove(root.path() + "/dev/iommu");
    std::ofstream(root.path() + "/dev/iommu") << "";
    CHECK(look().usable());
  }
}
