// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file target.hpp
/// The embedded target: subsystems, namespaces, stores, and the servers that offer them. What needs librados or
/// libcrypto is not among it: <nkv/target/rados/rados_store.hpp>, <nkv/target/execute/module_loader.hpp>.

#include <nkv/host/host.hpp>

#include <nkv/target/admin_executor.hpp>
#include <nkv/target/async_events.hpp>
#include <nkv/target/byte_size.hpp>
#include <nkv/target/config.hpp>
#include <nkv/target/config_object.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/data_pointer_reader.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/execute/builtin_runtime.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execute_config.hpp>
#include <nkv/target/execute/execute_limits.hpp>
#include <nkv/target/execute/execute_runtime.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/execute/execution.hpp>
#include <nkv/target/execute/function_program.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/execute/program_source.hpp>
#include <nkv/target/execute/runtime_library.hpp>
#include <nkv/target/execute/wasm_runtime.hpp>
#include <nkv/target/execute/wasmtime_library.hpp>
#include <nkv/target/identify_pages.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/json_text.hpp>
#include <nkv/target/key_table.hpp>
#include <nkv/target/kv_executor.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/list_page_writer.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/memory_subsystem.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/rados/expiry.hpp>
#include <nkv/target/rados/object_name.hpp>
#include <nkv/target/rados/rados_options.hpp>
#include <nkv/target/request.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>
#include <nkv/target/stored_key.hpp>
#include <nkv/target/streaming_copy.hpp>
#include <nkv/target/subsystem.hpp>
#include <nkv/target/target_options.hpp>
#include <nkv/target/value_block.hpp>
#include <nkv/target/vfio_user/client_memory.hpp>
#include <nkv/target/vfio_user/connection.hpp>
#include <nkv/target/vfio_user/doorbell_memory.hpp>
#include <nkv/target/vfio_user/interrupts.hpp>
#include <nkv/target/vfio_user/listening_socket.hpp>
#include <nkv/target/vfio_user/message_parser.hpp>
#include <nkv/target/vfio_user/pci_config_space.hpp>
#include <nkv/target/vfio_user/server.hpp>
#include <nkv/target/waker.hpp>
