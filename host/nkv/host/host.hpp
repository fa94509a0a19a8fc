// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file host.hpp
/// The host side: endpoints, controllers, namespaces, memory, and the transports to a target.

#include <nkv/nkv.hpp>

#include <nkv/host/clock.hpp>
#include <nkv/host/connect.hpp>
#include <nkv/host/controller/admin_queue.hpp>
#include <nkv/host/controller/async_event.hpp>
#include <nkv/host/controller/completion_event.hpp>
#include <nkv/host/controller/controller.hpp>
#include <nkv/host/controller/controller_core.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/controller/kv_namespace.hpp>
#include <nkv/host/controller/namespace_info.hpp>
#include <nkv/host/controller/namespace_probe.hpp>
#include <nkv/host/controller/queue_memory.hpp>
#include <nkv/host/controller/queue_pair.hpp>
#include <nkv/host/deadline_lock.hpp>
#include <nkv/host/describe.hpp>
#include <nkv/host/doorbell.hpp>
#include <nkv/host/endpoint.hpp>
#include <nkv/host/inproc/inproc_transport.hpp>
#include <nkv/host/inproc/registry.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_doorbells.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/gpu_memory.hpp>
#include <nkv/host/memory/gpu_module.hpp>
#include <nkv/host/memory/ordering.hpp>
#include <nkv/host/memory/pinned_memory.hpp>
#include <nkv/host/memory/placement.hpp>
#include <nkv/host/memory/private_block.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory/registration.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/proxy/command_filter.hpp>
#include <nkv/host/proxy/proxy.hpp>
#include <nkv/host/proxy/proxy_layout.hpp>
#include <nkv/host/proxy/proxy_queue.hpp>
#include <nkv/host/result.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/host/vfio_user/json_number.hpp>
#include <nkv/host/vfio_user/protocol.hpp>
#include <nkv/host/vfio_user/socket.hpp>
#include <nkv/host/vfio_user/vfio_user_transport.hpp>
