// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/target/cache/cache_options.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/execute/program_source.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/rados/rados_options.hpp>
#include <nkv/target/subsystem.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// A namespace and its store.
struct configured_namespace {
  namespace_options options;
  memory_store_options store;
  std::optional<rados_store_options> rados;  ///< in place of `store`: in the subsystem's cluster
  std::optional<cache_options> cache;        ///< before that
};

/// A subsystem and its namespaces.
struct configured_subsystem {
  subsystem_options options;
  controller_options controller;               ///< what every controller of it offers
  std::optional<rados_cluster_options> rados;  ///< where those of its namespaces are that are in RADOS
  std::vector<configured_namespace> namespaces;
};

/// Where clients connect.
struct listener_options {
  std::string endpoint;             ///< `vfio-user:DIR`: the socket DIR/cntrl
  std::string subnqn;               ///< of the subsystem that is served
  unsigned socket_mode = 0600;      ///< permissions of the socket
  std::uint32_t max_clients = 256;  ///< at a time; one more waits in the socket's queue
  bool map_doorbells = true;        ///< clients may map the doorbells; else each comes as a message
  bool accept_unsealed = false;     ///< take clients' memory files that can shrink; see client_memory_options
  bool accept_dma_buf = false;      ///< take clients' dma-bufs
};

/// Execute, for all namespaces together.
struct execute_options {
  execute_service_options service;
  program_source_options programs;
  std::string wasmtime;                         ///< the path of libwasmtime.so; empty: where the system has it
  std::map<std::string, std::string> runtimes;  ///< others: a name for bindings, and the path of a shared library
};

/// A whole target, as a configuration gives it.
struct target_options {
  poller_options poller;
  execute_options execute;
  std::vector<configured_subsystem> subsystems;
  std::vector<listener_options> listeners;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
