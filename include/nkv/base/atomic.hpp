// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/scope.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// The world's own atomic accesses: GCC's builtins on the host, nvcc's and HIP's scoped builtins in a kernel.
///
/// Every queue template takes its accesses from a policy of this shape, so that an exploring policy can replace it.
/// `T` is a 4- or 8-byte integer, naturally aligned. The read-modify-write functions are acquire-release and return
/// the value before the change. Host and device; any thread.
///
/// On x86 an acquire and a release are plain moves that the compiler keeps in order. On arm64 they are `ldar` (or
/// `ldapr`) and `stlr`, and a read-modify-write is `swpal` or its like, or a loop of `ldaxr` and `stlxr`. That orders
/// for other processors; a store that a device takes as its signal is mapped_doorbell's business.
struct native_atomics {
  /// An ordinary access to memory that other threads use too, but never at the same time: what orders them is the
  /// atomic access that the comment beside it names. An exploring policy sees these and finds where that is missing.
  template <class T>
  [[nodiscard]] NKV_HD static T load_plain(const T* p) noexcept {
    return *p;
  }
  template <class T>
  NKV_HD static void store_plain(T* p, T value) noexcept {
    *p = value;
  }
  /// Sixteen of them: a submission queue entry. @param p aligned to 16 bytes
  NKV_HD NKV_INLINE static void store_plain(std::uint32_t* p, const std::uint32_t (&dw)[16]) noexcept {
    auto* const q = static_cast<std::uint32_t*>(__builtin_assume_aligned(p, 16));
    for (int i = 0; i < 16; i += 4) {
      q[i] = dw[i];
      q[i + 1] = dw[i + 1];
      q[i + 2] = dw[i + 2];
      q[i + 3] = dw[i + 3];
    }
  }

  /// A number that is another for threads that are likely to ask for the same word at the same moment, where there is
  /// a cheap one: which of several that are as good each is to try.
  [[nodiscard]] NKV_HD static std::uint32_t turn() noexcept { return 0; }

  template <class T, scope S>
  [[nodiscard]] NKV_HD static T load_relaxed(const T* p, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    if constexpr (S == scope::thread) return *p;
    return __nv_atomic_load_n(const_cast<T*>(p), __NV_ATOMIC_RELAXED, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_load(p, __ATOMIC_RELAXED, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_load_n(p, __ATOMIC_RELAXED);
#endif
  }

  /// The words of a completion queue entry, each of them relaxed; that of index 1, which no completion of this library
  /// uses, is read or 0.
  /// @param last the fourth; the first is aligned to 16 bytes
  template <scope S>
  NKV_HD NKV_INLINE static void load_relaxed_up_to(const std::uint32_t* last, std::uint32_t (&out)[4],
                                                   scope_constant<S> s) noexcept {
    out[0] = load_relaxed(last - 3, s);
    out[1] = 0;
    out[2] = load_relaxed(last - 1, s);
    out[3] = load_relaxed(last, s);
  }

  template <class T, scope S>
  [[nodiscard]] NKV_HD static T load_acquire(const T* p, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    if constexpr (S == scope::thread) return *p;
    return __nv_atomic_load_n(const_cast<T*>(p), __NV_ATOMIC_ACQUIRE, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_load(p, __ATOMIC_ACQUIRE, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#endif
  }

  template <class T, scope S>
  NKV_HD static void store_relaxed(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    if constexpr (S == scope::thread)
      *p = value;
    else
      __nv_atomic_store_n(p, value, __NV_ATOMIC_RELAXED, cuda_scope(s));
#elif NKV_ON_HIP
    __hip_atomic_store(p, value, __ATOMIC_RELAXED, hip_scope(s));
#else
    static_cast<void>(s);
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
#endif
  }

  template <class T, scope S>
  NKV_HD static void store_release(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    if constexpr (S == scope::thread)
      *p = value;
    else
      __nv_atomic_store_n(p, value, __NV_ATOMIC_RELEASE, cuda_scope(s));
#elif NKV_ON_HIP
    __hip_atomic_store(p, value, __ATOMIC_RELEASE, hip_scope(s));
#else
    static_cast<void>(s);
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
#endif
  }

  template <class T, scope S>
  NKV_HD static T exchange(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    return __nv_atomic_exchange_n(p, value, __NV_ATOMIC_ACQ_REL, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_exchange(p, value, __ATOMIC_ACQ_REL, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL);
#endif
  }

  template <class T, scope S>
  NKV_HD static T fetch_add(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    return __nv_atomic_fetch_add(p, value, __NV_ATOMIC_ACQ_REL, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_fetch_add(p, value, __ATOMIC_ACQ_REL, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_fetch_add(p, value, __ATOMIC_ACQ_REL);
#endif
  }

  template <class T, scope S>
  NKV_HD static T fetch_or(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    return __nv_atomic_fetch_or(p, value, __NV_ATOMIC_ACQ_REL, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_fetch_or(p, value, __ATOMIC_ACQ_REL, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_fetch_or(p, value, __ATOMIC_ACQ_REL);
#endif
  }

  template <class T, scope S>
  NKV_HD static T fetch_and(T* p, T value, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    return __nv_atomic_fetch_and(p, value, __NV_ATOMIC_ACQ_REL, cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_fetch_and(p, value, __ATOMIC_ACQ_REL, hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_fetch_and(p, value, __ATOMIC_ACQ_REL);
#endif
  }

  /// Replaces `expected` by `desired`; on failure `expected` holds what was found.
  /// @return whether it was replaced. Acquire-release on success, acquire on failure.
  template <class T, scope S>
  NKV_HD static bool compare_exchange(T* p, T& expected, T desired, scope_constant<S> s) noexcept {
#if NKV_ON_CUDA
    return __nv_atomic_compare_exchange_n(p, &expected, desired, false, __NV_ATOMIC_ACQ_REL, __NV_ATOMIC_ACQUIRE,
                                          cuda_scope(s));
#elif NKV_ON_HIP
    return __hip_atomic_compare_exchange_strong(p, &expected, desired, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE,
                                                hip_scope(s));
#else
    static_cast<void>(s);
    return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
#endif
  }

 private:
#if NKV_ON_CUDA
  template <scope S>
  __device__ static constexpr int cuda_scope(scope_constant<S>) noexcept {
    return S == scope::system   ? __NV_THREAD_SCOPE_SYSTEM
           : S == scope::device ? __NV_THREAD_SCOPE_DEVICE
           : S == scope::block  ? __NV_THREAD_SCOPE_BLOCK
                                : __NV_THREAD_SCOPE_THREAD;
  }
#elif NKV_ON_HIP
  template <scope S>
  NKV_HD static constexpr int hip_scope(scope_constant<S>) noexcept {
    return S == scope::system   ? __HIP_MEMORY_SCOPE_SYSTEM
           : S == scope::device ? __HIP_MEMORY_SCOPE_AGENT
           : S == scope::block  ? __HIP_MEMORY_SCOPE_WORKGROUP
                                : __HIP_MEMORY_SCOPE_SINGLETHREAD;
  }
#endif
};

/// The same functions without atomicity, for state that one thread alone touches. The scope is accepted so that one
/// template serves both.
struct plain_accesses {
  template <class T, class S>
  [[nodiscard]] NKV_HD static constexpr T load_relaxed(const T* p, S) noexcept {
    return *p;
  }
  template <class T, class S>
  [[nodiscard]] NKV_HD static constexpr T load_acquire(const T* p, S) noexcept {
    return *p;
  }
  template <class T, class S>
  NKV_HD static constexpr void store_relaxed(T* p, T value, S) noexcept {
    *p = value;
  }
  template <class T, class S>
  NKV_HD static constexpr void store_release(T* p, T value, S) noexcept {
    *p = value;
  }
};

}  // namespace nkv::inline NKV_ABI
