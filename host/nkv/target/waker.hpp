// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

namespace nkv::inline NKV_ABI {
namespace target {

/// Somebody who may be asleep and can be woken. Used by stores that finish operations on threads of their own.
class waker {
 public:
  /// Returns at once. What the caller wrote before is seen by the woken thread before it sleeps again. Any thread.
  virtual void wake() noexcept = 0;

 protected:
  ~waker() = default;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
