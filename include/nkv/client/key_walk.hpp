// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/list_padding.hpp>
#include <nkv/kv/list_page.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// What follows a page of a listing.
enum class walk_step : std::uint8_t {
  next_page,  ///< List again, from start()
  ended,      ///< there are no more keys, or none are wanted
  failed,     ///< see error()
};

/// A walk through a namespace's keys, page by page: from which key to list next, and when it is over.
///
///     key_walk walk(profile, start);
///     do o = list(walk.start(), buffer); while (walk.take(o, page, each) == walk_step::next_page);
///
/// One thread at a time; host and device.
class key_walk {
 public:
  /// @param start lives until the first take()
  NKV_HD constexpr key_walk(const namespace_profile& profile, key_view start) noexcept
      : first_(start),
        longest_key_bytes_(profile.longest_key_bytes()),
        padding_(profile.quirks.list_padding),
        continues_(profile.quirks.list_continues) {}

  /// The shortest page that a walk may use. Each page but the first begins with the last key of the one before, so one
  /// without room for two keys of the longest kind could not be told from the end of the listing.
  [[nodiscard]] NKV_HD static constexpr std::size_t least_page_bytes(const namespace_profile& profile) noexcept {
    if (!profile.quirks.list_continues) return list_page::header_bytes;
    return list_page::header_bytes + 2 * list_entry_bytes(profile.quirks.list_padding, profile.longest_key_bytes());
  }

  /// Where the next page begins. The view lives as long as the walk.
  [[nodiscard]] NKV_HD constexpr key_view start() const noexcept { return continued_ ? key_view(last_) : first_; }

  /// Calls `each(key_view)` for every key of a page that has not been given, until it returns false.
  /// @param o    how its List ended
  /// @param page the whole buffer
  template <class Each>
  [[nodiscard]] NKV_HD walk_step take(const outcome& o, byte_span page,
                                      Each&& each) noexcept(noexcept(each(key_view{}))) {
    // That the listing is longer than the page is no more than is known of every page, where it can be continued.
    const bool in_part = o.status == status(client_status::value_too_large);
    if (!o.ok() && !(in_part && continues_)) return fail(o.status);
    list_page entries(page, padding_, longest_key_bytes_);
    key_view seen;
    while (!entries.done()) {
      const result<key_view> k = entries.next();
      if (!k) break;
      // The start is inclusive, and was given with the page before.
      if (continued_ && *k == key_view(last_)) continue;
      if (!each(*k)) return walk_step::ended;
      seen = *k;
    }
    if (!entries.error()) return fail(entries.error());
    // Of a listing in one piece whose length nobody tells, only the room that is left says that it is whole.
    if (!continues_ && !o.length_known && entries.rest_bytes() < list_entry_bytes(padding_, longest_key_bytes_))
      return fail(client_status::value_too_large);
    if (seen.empty() || !continues_) return walk_step::ended;
    last_ = *key::from(seen);
    continued_ = true;
    return walk_step::next_page;
  }

  /// Why the walk failed; success where it did not.
  [[nodiscard]] NKV_HD constexpr status error() const noexcept { return error_; }

 private:
  NKV_HD constexpr walk_step fail(status s) noexcept {
    error_ = s;
    return walk_step::failed;
  }

  key_view first_;
  key last_{};
  status error_{};
  std::size_t longest_key_bytes_ = max_key_bytes;
  list_padding padding_ = list_padding::whole_entry;
  bool continues_ = true;
  bool continued_ = false;
};

}  // namespace nkv::inline NKV_ABI
