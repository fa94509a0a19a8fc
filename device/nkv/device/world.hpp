// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file world.hpp
/// What the machine that the current pass compiles for has of its own: `device::detail::world`, the same functions
/// everywhere. The one place that chooses.

#include <nkv/base/config.hpp>

#if NKV_ON_CUDA
#include <nkv/device/detail/cuda.hpp>
#elif NKV_ON_HIP
#include <nkv/device/detail/hip.hpp>
#else
#include <nkv/device/detail/host.hpp>
#endif
