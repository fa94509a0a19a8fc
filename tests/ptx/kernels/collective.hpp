// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/nkv.hpp>

#include <cstdint>

namespace nkv_test {

/// How one operation of a thread ended, as the host reads it.
struct collective_record {
  std::uint32_t status = 0;  ///< nkv::status::bits()
  std::uint32_t length = 0;  ///< FFFFFFFFh where it is not known
  std::uint64_t tag = 0;
  std::uint64_t took_ns = 0;
  nkv::ticket ticket{};
};

/// What the collective kernels do, in guest memory; the same layout on both sides. Keys begin with the thread's number,
/// then the round's; a value's words are value_word().
struct collective_job {
  static constexpr std::uint32_t steps = 4;  ///< Store, Retrieve, Delete, Exist
  std::uint32_t rounds = 0;
  std::uint32_t value_words = 0;
  std::uint32_t key_bytes = 0;
  std::uint32_t second = 0;  ///< the kernels of tickets: an Exist besides the Retrieve
  std::uint64_t timeout_ns = 0;
  std::uint64_t skew_ns = 0;                   ///< how much later each lane's deadline is than that of the lane before
  std::uint64_t nap_ns = 0;                    ///< between submission and wait, of the kernels of tickets
  const std::byte* keys = nullptr;             ///< of each thread and round, key_room bytes apart
  std::uint32_t* values = nullptr;             ///< of each thread and round
  std::uint32_t* buffers = nullptr;            ///< of each thread and round
  collective_record* records = nullptr;        ///< of each thread, round and step
  const nkv::operation* operations = nullptr;  ///< what run_all() does
  nkv::outcome* outcomes = nullptr;
  std::uint64_t operation_count = 0;
  const nkv::key_view* prefix = nullptr;  ///< what longest_prefix() is asked
  std::uint64_t prefix_keys = 0;
  std::uint64_t* prefix_result = nullptr;  ///< of each thread: the number, or 2^32 + the status; how many failed

  static constexpr std::uint32_t key_room = 32;
  NKV_HD static constexpr std::uint32_t value_word(std::uint32_t thread, std::uint32_t round, std::uint32_t n) {
    return (thread << 20) + (round << 12) + n + 0x5000'0001u;
  }
  /// Whether a thread deletes its key of that round.
  NKV_HD static constexpr bool deletes(std::uint32_t thread, std::uint32_t round) { return (thread + round) % 3 == 0; }
};

}  // namespace nkv_test
