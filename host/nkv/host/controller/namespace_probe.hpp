// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/kv/quirks.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/status_code.hpp>

#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace nkv::inline NKV_ABI {
namespace host {

/// Finds out where a namespace carries keys, without side effects: by Retrieves of a random key that nobody has. The
/// key has 16 bytes, or as many as the namespace takes; of a few bytes somebody may have it, which tells as much as a
/// miss.
///
/// A Retrieve of 16 bytes in command dwords, into a zeroed buffer, is answered 87h (either type) by a target that looks
/// there; one that looks at the head of the data finds a key of length 0 there and answers 0/02h, which the same
/// Retrieve with the key in a head confirms by 87h. The status code type of a miss does not tell them apart: both kinds
/// use both.
///
/// @param queue  any queue of the controller; one thread at a time uses it meanwhile
/// @param base   nsid and limits; its quirks are not looked at
/// @param buffer 4096 bytes or fewer that the controller reaches and that nobody else uses
/// @param local  the same bytes here
/// @return the encoding, or client/encoding_unknown where the answers fit neither; client/timed_out or disconnected,
/// and
///         the controller may still write into `buffer`; client/system_error without random bytes
template <class Queue>
[[nodiscard]] nkv::result<key_encoding> probe_key_encoding(const Queue& queue, const namespace_profile& base,
                                                           const value_ref& buffer, std::byte* local, deadline until) {
  std::byte random[max_inline_key_bytes];
  if (::getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
    return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
  const std::size_t longest = base.limits.max_key_bytes;
  const key_view nobodys{random, longest != 0 && longest < sizeof random ? longest : sizeof random};

  namespace_profile asked = base;
  asked.limits.max_key_bytes = max_key_bytes;
  asked.quirks = quirks::of(key_encoding::inline_cdw);
  std::memset(local, 0, static_cast<std::size_t>(buffer.length_bytes));
  const outcome in_dwords = namespace_ref<Queue>(queue, asked).retrieve(nobodys, buffer, until);
  const bool there = in_dwords.ok() || in_dwords.status == status(client_status::value_too_large);
  if (in_dwords.status.is_key_does_not_exist() || (nobodys.size() < sizeof random && there))
    return key_encoding::inline_cdw;
  if (in_dwords.status.is_client() && !(in_dwords.status == status(client_status::value_too_large)))
    return in_dwords.status;
  if (!(in_dwords.status == status(status_code_type::generic, generic_status::invalid_field)))
    return status{client_status::encoding_unknown};

  asked.quirks = quirks::of(key_encoding::payload_head);
  const outcome in_head = namespace_ref<Queue>(queue, asked).retrieve(nobodys, buffer, until);
  if (in_head.status.is_key_does_not_exist()) return key_encoding::payload_head;
  if (in_head.status == status(client_status::timed_out) || in_head.status == status(client_status::disconnected))
    return in_head.status;
  return status{client_status::encoding_unknown};
}

/// Finds out whether Exist and Delete of a payload_head namespace reach keys above 16 bytes: an Exist of a random one
/// is answered 87h by a target that reads the head, and by an error where only the command dwords count.
/// @return whether they do; client/timed_out or disconnected; client/system_error without random bytes
template <class Queue>
[[nodiscard]] nkv::result<bool> probe_long_keys(const Queue& queue, const namespace_profile& base, deadline until) {
  std::byte random[max_inline_key_bytes + 8];
  if (::getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
    return status{client_status::system_error, static_cast<std::uint16_t>(errno)};
  namespace_profile asked = base;
  asked.limits.max_key_bytes = max_key_bytes;
  asked.quirks.reads_head_without_data_direction = true;
  const outcome o = namespace_ref<Queue>(queue, asked).exist(key_view{random, sizeof random}, until);
  if (o.status == status(client_status::timed_out) || o.status == status(client_status::disconnected)) return o.status;
  return o.status.is_key_does_not_exist();
}

}  // namespace host
}  // namespace nkv::inline NKV_ABI
