// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/host/vfio_user/protocol.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target::vfio_user {

namespace wire = host::vfio_user;

/// Puts messages together from a stream that may come byte by byte. No input or output of its own, so that it can be
/// fed anything.
///
/// Put bytes where want() says, at most as many, and tell their number with advance(). want() never reaches beyond the
/// message that is being read: descriptors that came with its bytes are its own.
class message_parser {
 public:
  enum class state {
    incomplete,  ///< more bytes are needed
    complete,    ///< header() and payload() are one message; next() goes on
    malformed,   ///< a length that no message has; the stream has no meaning any more
  };

  message_parser() { payload_.reserve(typical_payload_bytes); }

  /// Where the next bytes go. Never empty while incomplete. Valid until the next call that is not const.
  [[nodiscard]] mutable_byte_span want() noexcept {
    if (state_ != state::incomplete) return {};
    if (have_ < sizeof(head_)) return {reinterpret_cast<std::byte*>(&head_) + have_, sizeof(head_) - have_};
    const std::size_t at = have_ - sizeof(head_);
    return {payload_.data() + at, payload_.size() - at};
  }

  /// `bytes` more are in the place that want() gave. @pre bytes <= want().size()
  state advance(std::size_t bytes) {
    if (state_ != state::incomplete) return state_;
    const bool in_header = have_ < sizeof(head_);
    have_ += bytes;
    if (have_ < sizeof(head_)) return state_;
    if (in_header) {
      if (head_.message_bytes < sizeof(head_) || head_.message_bytes > wire::max_message_bytes) {
        return state_ = state::malformed;
      }
      payload_.resize(head_.message_bytes - sizeof(head_));
    }
    if (have_ == sizeof(head_) + payload_.size()) state_ = state::complete;
    return state_;
  }

  [[nodiscard]] state current() const noexcept { return state_; }
  /// Whether a message has begun and is not complete.
  [[nodiscard]] bool within_message() const noexcept { return state_ == state::incomplete && have_ != 0; }
  /// @pre complete
  [[nodiscard]] const wire::header& header() const noexcept { return head_; }
  /// @pre complete
  [[nodiscard]] byte_span payload() const noexcept { return {payload_.data(), payload_.size()}; }

  /// Forgets the complete message and begins with the next.
  void next() noexcept {
    if (state_ != state::complete) return;
    state_ = state::incomplete;
    have_ = 0;
    payload_.clear();
  }

 private:
  static constexpr std::size_t typical_payload_bytes = 128;

  wire::header head_;
  std::vector<std::byte> payload_;
  std::size_t have_ = 0;
  state state_ = state::incomplete;
};

}  // namespace target::vfio_user
}  // namespace nkv::inline NKV_ABI
