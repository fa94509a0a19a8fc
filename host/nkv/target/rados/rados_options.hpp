// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// How to reach a Ceph cluster. A plain aggregate, in programs without librados too.
struct rados_cluster_options {
  std::string conf;                   ///< path of its ceph.conf; empty: where librados looks by itself
  std::string user = "client.admin";  ///< whose key is used
  std::string keyring;                ///< path of the file with that key; empty: what the ceph.conf says
  /// Whole seconds, which is what librados counts in. After so many an operation that no OSD has answered ends, and so
  /// does an attempt to connect that no monitor has answered.
  std::uint32_t op_timeout_s = 5;
  std::uint32_t mon_timeout_s = 5;
  /// How many operations, and bytes of values in them, are with librados at a time; what is beyond waits its turn here.
  /// One operation goes ahead whatever its size.
  std::uint32_t max_operations = 768;
  std::uint64_t max_bytes = std::uint64_t{96} << 20;
};

/// Where in a cluster a namespace's keys and values are.
struct rados_store_options {
  std::string pool;
  std::string rados_namespace;        ///< may be empty, which is a namespace of its own
  std::uint32_t max_key_bytes = 255;  ///< objects whose names are those of longer keys are not listed
  /// Keeps times to live, in an attribute of each object that nkv stores: what Retrieve and Exist ask of an object is
  /// then a little more, and conditional commands take two operations in place of one.
  bool ttl = false;
  std::uint64_t max_value_bytes = 0;  ///< 0: as long as the cluster takes
};

/// Something that a log should have. The views live as long as the call.
struct rados_event {
  bool trouble = false;          ///< something is wrong; else something is well, or well again
  std::string_view what;         ///< "connected", "pool opened", "operation failed", ...
  std::string_view pool;         ///< empty where it is about the cluster
  std::string_view space;        ///< the RADOS namespace
  std::string_view why;          ///< the error in words; never a key, a value or a secret
  std::uint64_t unreported = 0;  ///< so many of the same kind went before without being told
};
/// Called from several threads, one at a time for each cluster; returns soon, and calls nothing of the cluster's.
using rados_report = std::function<void(const rados_event&)>;

}  // namespace target
}  // namespace nkv::inline NKV_ABI
