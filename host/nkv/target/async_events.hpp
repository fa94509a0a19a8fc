// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/spec/opcode.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a controller tells its client unasked (NVMe Base 2.0, Figures 147 to 150).
enum class async_event : std::uint8_t {
  doorbell_unknown,    ///< a doorbell of no queue was written
  doorbell_invalid,    ///< a value that no such queue can have
  namespaces_changed,  ///< the list of namespaces
};

/// Asynchronous Event Requests that wait for something to happen, and events that wait for a request.
///
/// An event that was reported is not reported again until the log page that explains it has been read. Not for
/// concurrent use.
class async_events {
 public:
  static constexpr std::size_t limit = 4;  ///< AERL + 1

  /// Holds a request. @return false where as many as allowed are held
  [[nodiscard]] bool hold(std::uint16_t cid) noexcept {
    if (held_ == limit) return false;
    cids_[held_++] = cid;
    return true;
  }
  /// Gives up a held request. @return whether it was there
  bool abort(std::uint16_t cid) noexcept {
    for (std::size_t i = 0; i < held_; ++i) {
      if (cids_[i] != cid) continue;
      for (--held_; i < held_; ++i) cids_[i] = cids_[i + 1];
      return true;
    }
    return false;
  }

  void raise(async_event e) noexcept { pending_ |= bit(e); }
  /// The log page of `e` was read: it may be reported again.
  void acknowledge(log_page_id lid) noexcept {
    for (const async_event e : all)
      if (log_page(e) == lid) reported_ &= ~bit(e);
  }

  /// The next completion: a held request's cid and its DW0.
  /// @param notices feature 0Bh: which notices are wanted
  /// @return false for none
  [[nodiscard]] bool next(std::uint32_t notices, std::uint16_t& cid, std::uint32_t& dw0) noexcept {
    if (pending_ == 0 || held_ == 0) return false;
    for (const async_event e : all) {
      if ((pending_ & bit(e)) == 0 || (reported_ & bit(e)) != 0) continue;
      pending_ &= ~bit(e);
      if (e == async_event::namespaces_changed && (notices & 0x100u) == 0) continue;
      reported_ |= bit(e);
      cid = cids_[0];
      abort(cid);
      // Bits 2:0 type, 15:8 information, 23:16 log page.
      const std::uint32_t type = e == async_event::namespaces_changed ? 2 : 0;
      const std::uint32_t information = e == async_event::doorbell_invalid ? 1 : 0;
      dw0 = type | (information << 8) | (static_cast<std::uint32_t>(log_page(e)) << 16);
      return true;
    }
    return false;
  }

  /// Whether next() may have something to say; cheap.
  [[nodiscard]] bool waiting() const noexcept { return (pending_ & ~reported_) != 0 && held_ != 0; }
  [[nodiscard]] std::size_t held() const noexcept { return held_; }
  void clear() noexcept { *this = {}; }

 private:
  static constexpr async_event all[] = {async_event::doorbell_unknown, async_event::doorbell_invalid,
                                        async_event::namespaces_changed};
  static constexpr std::uint32_t bit(async_event e) noexcept { return 1u << static_cast<unsigned>(e); }
  static constexpr log_page_id log_page(async_event e) noexcept {
    return e == async_event::namespaces_changed ? log_page_id::changed_namespaces : log_page_id::error_information;
  }

  std::uint16_t cids_[limit] = {};
  std::size_t held_ = 0;
  std::uint32_t pending_ = 0;
  std::uint32_t reported_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
