// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file config.hpp
/// What the compiler and its target are, as macros that are always defined as 0 or 1. This is the only header of the
/// core that looks at a compiler's own macros.

#if defined(__cplusplus) && __cplusplus < 202002L
#error "nkv needs C++20: compile with -std=c++20 or newer"
#endif

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "nkv needs a little-endian machine: NVMe structures are little-endian and are written in place"
#endif

#define NKV_VERSION_MAJOR 0
#define NKV_VERSION_MINOR 1
#define NKV_VERSION_PATCH 0

/// The inline namespace of every name, so that two versions of nkv can live in one process. A program that vendors a
/// private copy may define it to a name of its own before the first include.
#ifndef NKV_ABI
#define NKV_ABI v0_1
#endif

/// 1 while nvcc compiles this translation unit (either pass).
#if defined(__CUDACC__)
#define NKV_CUDA 1
#else
#define NKV_CUDA 0
#endif

/// 1 while clang or hipcc compiles this translation unit as HIP (either pass).
#if defined(__HIP__) && !defined(__CUDACC__)
#define NKV_HIP 1
#else
#define NKV_HIP 0
#endif

/// 1 in the pass that generates code for an NVIDIA GPU.
#if defined(__CUDA_ARCH__)
#define NKV_ON_CUDA 1
#else
#define NKV_ON_CUDA 0
#endif

/// 1 in the pass that generates code for an AMD GPU.
#if NKV_HIP && defined(__HIP_DEVICE_COMPILE__)
#define NKV_ON_HIP 1
#else
#define NKV_ON_HIP 0
#endif

/// 1 in either.
#if NKV_ON_CUDA || NKV_ON_HIP
#define NKV_ON_GPU 1
#else
#define NKV_ON_GPU 0
#endif

#if (defined(__x86_64__) || defined(__i386__)) && !NKV_ON_CUDA && !NKV_ON_HIP
#define NKV_ON_X86 1
#else
#define NKV_ON_X86 0
#endif

#if defined(__aarch64__) && !NKV_ON_CUDA && !NKV_ON_HIP
#define NKV_ON_ARM64 1
#else
#define NKV_ON_ARM64 0
#endif

/// Marks a function that runs on the host and in a kernel.
#if NKV_CUDA
#define NKV_HD __host__ __device__
#elif NKV_HIP
#define NKV_HD __attribute__((host)) __attribute__((device))
#else
#define NKV_HD
#endif

/// Marks a step of the submission or completion path, which is worth its call only where its arguments are known: the
/// operation's kind, mostly, folds away what the others would need.
#if NKV_CUDA
#define NKV_INLINE __forceinline__
#else
#define NKV_INLINE inline __attribute__((always_inline))
#endif

/// Marks a long function that a kernel calls from several places: inlined into each it would cost minutes of compiling
/// and the kernel's instruction cache.
#if NKV_CUDA
#define NKV_NOINLINE __noinline__
#else
#define NKV_NOINLINE __attribute__((noinline))
#endif

/// Before a loop of few rounds that a kernel is to have once: copies of it cost registers and instruction cache.
#if NKV_ON_GPU
#define NKV_NO_UNROLL _Pragma("unroll 1")
#else
#define NKV_NO_UNROLL
#endif

/// Marks the seldom taken part of a short function: apart from it on a host, so that the rest stays in registers; in
/// place in a kernel, where a call would put its arguments on a stack and most of it folds away with what is known.
#if NKV_ON_GPU
#define NKV_COLD NKV_INLINE
#else
#define NKV_COLD NKV_NOINLINE
#endif
