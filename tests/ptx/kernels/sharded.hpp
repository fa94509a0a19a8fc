// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/nkv.hpp>

#include <cstdint>

namespace nkv_test {

/// What a group does with one object: any of put, read and remove, in this order. In guest memory; the same layout on
/// both sides.
struct sharded_job {
  bool puts = false;
  bool reads = false;
  bool removes = false;
  std::uint64_t nonce = 0;
  std::uint64_t shard_bytes = 0;
  std::uint64_t from_bytes = 0;  ///< where reading begins
  std::uint64_t timeout_ns = 0;
  nkv::key_view key{};
  nkv::sharded_writer_memory writer{};  ///< without slots, which are each thread's own
  nkv::sharded_reader_memory reader{};
  nkv::local_range<const std::byte> source{};
  nkv::local_range<std::byte> destination{};
  std::uint32_t* statuses = nullptr;  ///< of each thread: put, open, read, remove
  std::uint64_t* lengths = nullptr;   ///< of each thread: as open() found it
};

}  // namespace nkv_test
