// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace nkv_test {

/// A folder that goes with this object, and what is in it.
class temporary_folder {
 public:
  temporary_folder() {
    // Short: a socket's path has 107 characters at most.
    std::string name = std::filesystem::temp_directory_path().string() + "/nkv-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace nkv_test
