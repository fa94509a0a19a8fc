// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <explore/explorer.hpp>

#include <cstdint>

namespace nkv_test {

/// What nkv::native_atomics is, over the memory of the explorer that is executing; outside of an execution plain
/// accesses. The scope does not matter: there is one of everything. With the fences that a device's policy is made of.
struct exploring_atomics {
  [[nodiscard]] static std::uint32_t turn() noexcept { return 0; }
  template <class T>
  [[nodiscard]] static T load_plain(const T* p) noexcept {
    explorer* e = of(p);
    return e ? e->load_ordinary(p) : *p;
  }
  template <class T>
  static void store_plain(T* p, T value) noexcept {
    if (explorer* e = of(p))
      e->store_ordinary(p, value);
    else
      *p = value;
  }
  static void store_plain(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    for (int i = 0; i < 16; ++i) store_plain(p + i, dw[i]);
  }
  template <class T, class S>
  [[nodiscard]] static T load_relaxed(const T* p, S) noexcept {
    explorer* e = of(p);
    return e ? e->load(p, false) : *p;
  }
  template <class S>
  static void load_relaxed_up_to(const std::uint32_t* last, std::uint32_t (&out)[4], S s) noexcept {
    out[0] = load_relaxed(last - 3, s);
    out[1] = 0;
    out[2] = load_relaxed(last - 1, s);
    out[3] = load_relaxed(last, s);
  }
  template <class T, class S>
  [[nodiscard]] static T load_acquire(const T* p, S) noexcept {
    explorer* e = of(p);
    return e ? e->load(p, true) : *p;
  }
  template <class T, class S>
  static void store_relaxed(T* p, T value, S) noexcept {
    if (explorer* e = of(p))
      e->store(p, value, false);
    else
      *p = value;
  }
  template <class T, class S>
  static void store_release(T* p, T value, S) noexcept {
    if (explorer* e = of(p))
      e->store(p, value, true);
    else
      *p = value;
  }
  template <class T, class S>
  static T exchange(T* p, T value, S) noexcept {
    return always("exchange", p, [=](T) { return value; });
  }
  template <class T, class S>
  static T fetch_add(T* p, T value, S) noexcept {
    return always("fetch_add", p, [=](T before) { return before + value; });
  }
  template <class T, class S>
  static T fetch_or(T* p, T value, S) noexcept {
    return always("fetch_or", p, [=](T before) { return before | value; });
  }
  template <class T, class S>
  static T fetch_and(T* p, T value, S) noexcept {
    return always("fetch_and", p, [=](T before) { return before & value; });
  }
  template <class T, class S>
  static bool compare_exchange(T* p, T& expected, T desired, S) noexcept {
    const T wanted = expected;
    bool replaced = false;
    if (explorer* e = of(p)) {
      expected = e->modify("compare_exchange", p, replaced, [=](T before, T& now) {
        now = desired;
        return before == wanted;
      });
    } else {
      replaced = *p == wanted;
      expected = *p;
      if (replaced) *p = desired;
    }
    if (replaced) expected = wanted;
    return replaced;
  }

  template <class S>
  static void fence_acquire(S) noexcept {
    if (explorer* e = explorer::current()) e->fence_acquire();
  }
  template <class S>
  static void fence_release(S) noexcept {
    if (explorer* e = explorer::current()) e->fence_release();
  }
  template <class S>
  static void fence_sequential(S) noexcept {
    if (explorer* e = explorer::current()) e->fence_sequential();
  }

 private:
  template <class T>
  static explorer* of(const T*) noexcept {
    static_assert(sizeof(T) == 4, "the model's words are of 4 bytes");
    return explorer::current();
  }
  template <class T, class Change>
  static T always(const char* what, T* p, const Change& change) noexcept {
    bool modified = true;
    if (explorer* e = of(p)) {
      return e->modify(what, p, modified, [=](T before, T& now) {
        now = change(before);
        return true;
      });
    }
    const T before = *p;
    *p = change(before);
    return before;
  }
};

}  // namespace nkv_test
