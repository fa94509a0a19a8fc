// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

namespace nkv::inline NKV_ABI {
namespace target {

/// Things in the order in which they came, linked by their own `next` and `previous`: neither coming nor going
/// allocates or searches. Owns nothing; each thing is in one list at a time, and goes before it ends.
template <class T>
struct linked_list {
  T* first = nullptr;
  T* last = nullptr;

  /// @pre `t` is in no list that links by these members
  void append(T& t) noexcept {
    t.next = nullptr;
    t.previous = last;
    (last != nullptr ? last->next : first) = &t;
    last = &t;
  }
  /// @pre `t` is in this list
  void remove(T& t) noexcept {
    (t.previous != nullptr ? t.previous->next : first) = t.next;
    (t.next != nullptr ? t.next->previous : last) = t.previous;
  }
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
