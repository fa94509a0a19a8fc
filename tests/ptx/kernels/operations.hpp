// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/nkv.hpp>

#include <cstdint>

namespace nkv_test {

/// What users (a user is a thread, or a warp that acts as one) do with operations that the host made, and how each
/// ended. In guest memory; the same layout on both sides.
struct operations_job {
  std::uint32_t per_user = 0;
  std::uint64_t timeout_ns = 0;
  const nkv::operation* operations = nullptr;  ///< per_user of each user, one user's after the other's
  const std::uint8_t* takes_part = nullptr;    ///< 0: the user leaves that one out
  nkv::outcome* outcomes = nullptr;
};

/// What a group is asked besides.
struct asking_job {
  std::uint64_t timeout_ns = 0;
  const nkv::key_view* keys = nullptr;
  std::uint64_t key_count = 0;
  std::uint64_t* found = nullptr;  ///< of each group, `words` each
  std::uint64_t words = 0;
  std::uint64_t* counted = nullptr;   ///< of each thread: how many, or 2^32 + the status
  nkv::kv_ticket* tickets = nullptr;  ///< of each group, key_count each
  std::uint32_t* ended = nullptr;     ///< of each thread: in which order its group's tickets ended, key_count each
  std::uint32_t* statuses = nullptr;  ///< the same: how
};

/// Keys that each thread makes of tokens of its own.
struct keys_job {
  nkv::lineage_salt salt{nkv::lineage_fields{}};
  std::uint32_t tokens_each = 0;  ///< of a block; a thread has two
  const std::uint32_t* tokens = nullptr;
  nkv::key* keys = nullptr;  ///< three a thread
};
/// By content, by content with a tag, and the second block's by lineage.
NKV_HD inline void make_keys(const keys_job& job, std::uint32_t thread, nkv::key* out) noexcept {
  const std::uint32_t* const first = job.tokens + std::size_t{thread} * 2 * job.tokens_each;
  const nkv::byte_span content(reinterpret_cast<const std::byte*>(first), std::size_t{job.tokens_each} * 4);
  out[0] = nkv::content_key(content);
  out[1] = nkv::tagged_content_key(std::byte{1}, content);
  const nkv::span<const std::uint32_t> blocks[] = {{first, job.tokens_each},
                                                   {first + job.tokens_each, job.tokens_each}};
  nkv::lineage_hash name;
  for (const auto& tokens : blocks) name = name.child(job.salt, tokens);
  out[2] = nkv::key::from(name.view()).value_or(nkv::key{});
}

}  // namespace nkv_test
