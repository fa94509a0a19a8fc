// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file device.hpp
/// The device side of nkv: what a kernel includes. The operations themselves are the core's, `namespace_ref`; here is
/// what a GPU adds: its clock, its doorbells, and threads that act together.

#include <nkv/nkv.hpp>

#include <nkv/device/atomics.hpp>
#include <nkv/device/clock.hpp>
#include <nkv/device/collective.hpp>
#include <nkv/device/doorbell.hpp>
#include <nkv/device/group.hpp>
#include <nkv/device/queue_map.hpp>
#include <nkv/device/queue_pair.hpp>
#include <nkv/device/shard_team.hpp>
#include <nkv/device/world.hpp>
