// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/span.hpp>
#include <nkv/host/unique_fd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tools {

/// A regular file below a folder.
struct tree_file {
  std::string path;  ///< relative, '/' between its parts
  std::uint64_t size_bytes = 0;
  unsigned mode = 0644;
};

/// Something below a folder that is left out, and why.
struct tree_remark {
  std::string path;
  std::string why;
};

/// What is below a folder.
struct tree_listing {
  std::vector<tree_file> files;      ///< by path
  std::vector<tree_remark> skipped;  ///< symbolic links, which are not followed; sockets, devices, ...
  std::vector<tree_remark> failed;   ///< what could not be looked at
};

/// Goes through a folder and those in it. A folder that cannot be opened at all ends the program.
[[nodiscard]] tree_listing list_tree(const std::string& folder);

/// A folder to write a tree into, which nothing leaves: neither ".." nor a symbolic link that lies there leads out of
/// it.
class tree_writer {
 public:
  /// Makes the folder where it is missing; ends the program where it cannot.
  explicit tree_writer(const std::string& folder);

  /// Whether something is at `path` already, a dangling symbolic link included.
  [[nodiscard]] bool exists(std::string_view path) const;

  /// Writes a file, its folders included. Without `replace` nothing that exists is touched; with it, the file appears
  /// whole or not at all.
  /// @return what went wrong, empty where nothing did
  [[nodiscard]] std::string write(std::string_view path, nkv::byte_span content, unsigned mode, bool replace) const;

 private:
  /// The folder that `path` is in, and what it is called there.
  [[nodiscard]] nkv::host::unique_fd open_parent(std::string_view path, bool make, std::string& name) const;

  nkv::host::unique_fd root_;
};

}  // namespace tools
