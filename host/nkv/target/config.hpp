// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/kv/key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/target/cache/cache_options.hpp>
#include <nkv/target/cache/cached_store.hpp>
#include <nkv/target/config_object.hpp>
#include <nkv/target/execute/execute_config.hpp>
#include <nkv/target/json_text.hpp>
#include <nkv/target/target_options.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// A configuration, or what is wrong with it.
struct config_parsed {
  std::optional<target_options> options;
  config_error error;
};

inline constexpr std::uint64_t longest_value_bytes = std::uint64_t{128} << 20;

/// Reads where a subsystem's pool is.
/// @param[out] pool its name
[[nodiscard]] inline rados_cluster_options read_rados(const nlohmann::json& json, std::string path, std::string& pool,
                                                      config_error& error) {
  rados_cluster_options out;
  config_object fields(json, std::move(path), error);
  fields.read("pool", pool, 1, 255);
  if (fields.ok() && pool.empty()) fields.refuse(fields.path_of("pool"), "needed: the name of a pool");
  fields.read("conf", out.conf, 1, 4095);
  fields.read("user", out.user, 1, 255);
  // librados takes the type with the name, and says nothing of use where it lacks.
  if (fields.ok() && out.user.find('.') == std::string::npos) out.user = "client." + out.user;
  fields.read("keyring", out.keyring, 1, 4095);
  fields.read_number("op_timeout_s", out.op_timeout_s, 1, 3600);
  fields.read_number("mon_timeout_s", out.mon_timeout_s, 1, 3600);
  fields.read_number("max_operations", out.max_operations, 1, 65536);
  fields.read_size("max_bytes", out.max_bytes, 1, std::uint64_t{1} << 40);
  fields.finish();
  return out;
}

/// Reads a namespace's cache.
[[nodiscard]] inline cache_options read_cache(const nlohmann::json& json, std::string path, config_error& error) {
  cache_options out;
  config_object fields(json, std::move(path), error);
  fields.read_word<cache_freshness>("freshness", out.freshness,
                                    {{"validated", cache_freshness::validated},
                                     {"immutable", cache_freshness::immutable},
                                     {"sole_writer", cache_freshness::sole_writer}});
  if (fields.ok() && !fields.has("freshness"))
    fields.refuse(fields.path_of("freshness"), "needed: \"validated\", \"immutable\" or \"sole_writer\"");
  fields.read_size("max_bytes", out.max_bytes, 1, std::uint64_t{1} << 50);
  fields.read_number("max_values", out.max_values, 1, std::uint64_t{1} << 40);
  fields.finish();
  return out;
}

/// Reads one namespace.
/// @param path which messages begin with; what is wrong goes to `error`, whose `what` is empty where nothing is
/// @param pool of the subsystem; empty where it has none
[[nodiscard]] inline configured_namespace read_namespace(const nlohmann::json& json, std::string path,
                                                         const std::string& pool, config_error& error) {
  configured_namespace out;
  namespace_options& o = out.options;
  config_object fields(json, std::move(path), error);
  fields.read_number("nsid", o.nsid, 1, subsystem::max_nsid);
  fields.read("name", o.name, 1, 255);
  std::string nguid;
  fields.read("nguid", nguid, 32, 32);
  if (!nguid.empty() && fields.ok()) {
    const nkv::result<key> bytes = key::from_hex({nguid.data(), nguid.size()});
    if (!bytes) {
      fields.refuse(fields.path_of("nguid"), "expected 32 hexadecimal digits, got \"" + nguid + '"');
    } else {
      for (std::size_t i = 0; i < o.nguid.size(); ++i) o.nguid[i] = static_cast<std::uint8_t>((*bytes)[i]);
    }
  }
  fields.read_word<nkv::key_encoding>(
      "key_encoding", o.key_encoding,
      {{"inline_cdw", key_encoding::inline_cdw}, {"payload_head", key_encoding::payload_head}});
  fields.read("read_only", o.read_only);
  fields.read_number("max_key_bytes", o.max_key_bytes, 1, longest_key_bytes(o.key_encoding));
  fields.read_size("max_value_bytes", o.max_value_bytes, 1, longest_value_bytes);
  fields.read_number("max_keys", o.max_keys, 0, 0xffffffffu);
  fields.read_number("optimal_granularity_bytes", o.optimal_granularity_bytes, 0, 0xffffffffu);
  fields.read("reads_head", o.reads_head);
  if (o.key_encoding != key_encoding::payload_head && fields.has("reads_head"))
    fields.refuse(fields.path_of("reads_head"), "only with key_encoding \"payload_head\"");
  if (const nlohmann::json* store = fields.find("store")) {
    config_object s(*store, fields.path_of("store"), error);
    enum class kind { memory, rados };
    kind type = kind::memory;
    s.read_word<kind>("type", type, {{"memory", kind::memory}, {"rados", kind::rados}});
    if (type == kind::memory) {
      s.read_size("capacity_bytes", out.store.capacity_bytes, 1, std::uint64_t{1} << 50);
      s.read_size("kept_block_bytes", out.store.kept_block_bytes, 0, std::uint64_t{1} << 50);
    } else {
      out.rados.emplace();
      out.rados->pool = pool;
      out.rados->rados_namespace = o.name;
      s.read("rados_namespace", out.rados->rados_namespace, 0, 256);
      s.read("ttl", out.rados->ttl);
      const std::uint32_t longest = longest_key_bytes(o.key_encoding);
      out.rados->max_key_bytes = o.max_key_bytes == 0 ? longest : o.max_key_bytes;
      if (s.ok() && pool.empty()) s.refuse(s.path_of("type"), "\"rados\", and the subsystem has no \"rados\"");
    }
    s.finish();
  }
  if (const nlohmann::json* cache = fields.find("cache")) {
    out.cache = read_cache(*cache, fields.path_of("cache"), error);
    if (fields.ok() && !out.rados)
      fields.refuse(fields.path_of("cache"), "only for a namespace in RADOS; others are in memory anyhow");
  }
  fields.read_array("execute", most_bindings, [&](const nlohmann::json& element, const std::string& where) {
    execute_binding b;
    const std::uint32_t op_id = read_binding(element, where, b, error);
    if (!fields.ok()) return;
    if (b.module.is_object_name && !out.rados)
      fields.refuse(where + ".module.object", "only for a namespace in RADOS; elsewhere a module has a key");
    if (!o.operations.emplace(op_id, std::move(b)).second)
      fields.refuse(where + ".op", fmt::format("{} is bound by another entry", op_id));
  });
  fields.finish();
  if (o.max_value_bytes != 0) out.store.max_value_bytes = o.max_value_bytes;
  if (out.rados) out.rados->max_value_bytes = o.max_value_bytes;
  return out;
}

/// Reads one subsystem.
[[nodiscard]] inline configured_subsystem read_subsystem(const nlohmann::json& json, std::string path,
                                                         config_error& error) {
  configured_subsystem out;
  config_object fields(json, std::move(path), error);
  fields.read("subnqn", out.options.subnqn, 1, 223);
  fields.read("serial", out.options.serial, 1, 20);
  fields.read("model", out.options.model, 1, 40);
  fields.read_number("max_controllers", out.options.max_controllers, 1, 0xffef);
  fields.read_number("max_queue_entries", out.controller.max_queue_entries, 2, 65536);
  fields.read_number("max_io_queue_pairs", out.controller.max_io_queue_pairs, 1, 64);
  fields.read_size("max_transfer_bytes", out.controller.max_transfer_bytes, 0, std::uint64_t{1} << 31);
  if (const std::uint64_t n = out.controller.max_transfer_bytes;
      fields.ok() && n != 0 && (n < 8192 || !std::has_single_bit(n)))
    fields.refuse(fields.path_of("max_transfer_bytes"),
                  fmt::format("expected 0 or a power of two of at least 8 KiB, got {}", n));
  fields.read("sgl", out.controller.sgl);
  std::string pool;
  if (const nlohmann::json* rados = fields.find("rados"))
    out.rados = read_rados(*rados, fields.path_of("rados"), pool, error);
  std::set<std::uint32_t> nsids;
  const auto one_namespace = [&](const nlohmann::json& element, const std::string& where) {
    configured_namespace ns = read_namespace(element, where, pool, error);
    if (!fields.ok()) return;
    if (!nsids.insert(ns.options.nsid).second)
      fields.refuse(where + ".nsid", fmt::format("{} is taken by another namespace of the subsystem", ns.options.nsid));
    out.namespaces.push_back(std::move(ns));
  };
  if (!fields.read_array("namespaces", subsystem::max_nsid, one_namespace)) out.namespaces.emplace_back();
  for (const configured_namespace& ns : out.namespaces) {
    if (fields.ok() && !out.controller.sgl && ns.options.key_encoding == key_encoding::payload_head)
      fields.refuse(fields.path_of("sgl"),
                    fmt::format("false, and keys of nsid {} come in payload heads, which need SGLs", ns.options.nsid));
  }
  fields.finish();
  return out;
}

/// The directory of a `vfio-user:DIR` endpoint; nothing for other text.
[[nodiscard]] inline std::optional<std::string> vfio_user_directory(std::string_view endpoint) {
  constexpr std::string_view prefix = "vfio-user:";
  if (endpoint.substr(0, prefix.size()) != prefix || endpoint.size() == prefix.size()) return std::nullopt;
  return std::string(endpoint.substr(prefix.size()));
}

/// Reads one listener.
[[nodiscard]] inline listener_options read_listener(const nlohmann::json& json, std::string path, config_error& error) {
  listener_options out;
  config_object fields(json, std::move(path), error);
  // The address of a socket has 107 bytes, of which "/cntrl" takes six.
  fields.read("endpoint", out.endpoint, 1, 10 + 107 - 6);
  if (fields.ok() && !vfio_user_directory(out.endpoint))
    fields.refuse(fields.path_of("endpoint"),
                  "expected \"vfio-user:DIRECTORY\"" + (out.endpoint.empty() ? "" : ", got \"" + out.endpoint + '"'));
  fields.read("subnqn", out.subnqn, 1, 223);
  fields.read_mode("socket_mode", out.socket_mode);
  fields.read_number("max_clients", out.max_clients, 1, 1024);
  fields.read("map_doorbells", out.map_doorbells);
  fields.read("accept_unsealed", out.accept_unsealed);
  fields.read("accept_dma_buf", out.accept_dma_buf);
  fields.finish();
  return out;
}

/// Checks what no field alone shows, and fills in what follows from the rest: every listener's subsystem.
/// @return what is wrong; its `what` is empty where nothing is
[[nodiscard]] inline config_error complete(target_options& options) {
  std::set<std::string> names;
  if (options.subsystems.empty()) return {"subsystems", "expected at least one"};
  for (std::size_t i = 0; i < options.subsystems.size(); ++i) {
    if (!names.insert(options.subsystems[i].options.subnqn).second)
      return {fmt::format("subsystems[{}].subnqn", i),
              fmt::format("\"{}\" is taken by another subsystem", options.subsystems[i].options.subnqn)};
  }
  std::set<std::string> endpoints;
  for (std::size_t i = 0; i < options.listeners.size(); ++i) {
    listener_options& l = options.listeners[i];
    if (!endpoints.insert(l.endpoint).second)
      return {fmt::format("listeners[{}].endpoint", i), fmt::format("\"{}\" is taken by another listener", l.endpoint)};
    if (l.subnqn.empty()) {
      if (options.subsystems.size() != 1)
        return {fmt::format("listeners[{}].subnqn", i), "needed where there are several subsystems"};
      l.subnqn = options.subsystems.front().options.subnqn;
    } else if (names.count(l.subnqn) == 0) {
      return {fmt::format("listeners[{}].subnqn", i), fmt::format("there is no subsystem \"{}\"", l.subnqn)};
    }
  }
  return {};
}

/// Reads a configuration, before complete().
[[nodiscard]] inline config_parsed read_config(const nlohmann::json& json) {
  config_parsed out;
  target_options options;
  config_object fields(json, "", out.error);
  if (const nlohmann::json* poller = fields.find("poller")) {
    config_object p(*poller, "poller", out.error);
    std::uint64_t spin_us = options.poller.spin_ns / 1000;
    p.read_number("spin_us", spin_us, 0, 1'000'000);
    p.read_number("foreign_poll_us", options.poller.foreign_poll_us, 1, 1'000'000);
    p.finish();
    options.poller.spin_ns = spin_us * 1000;
  }
  const auto one_subsystem = [&](const nlohmann::json& element, const std::string& where) {
    options.subsystems.push_back(read_subsystem(element, where, out.error));
  };
  if (!fields.read_array("subsystems", 64, one_subsystem)) {
    options.subsystems.emplace_back();
    options.subsystems.back().namespaces.emplace_back();
  }
  if (const nlohmann::json* execute = fields.find("execute"))
    options.execute = read_execute(*execute, fields.path_of("execute"), out.error);
  fields.read_array("listeners", 64, [&](const nlohmann::json& element, const std::string& where) {
    options.listeners.push_back(read_listener(element, where, out.error));
  });
  fields.finish();
  if (fields.ok()) out.options = std::move(options);
  return out;
}

/// Reads the text of a configuration file. Without subsystems there is the default one, and a subsystem without
/// namespaces has nsid 1 in memory; so `{}` is a whole configuration, save that nobody can connect to it.
///
/// Every field is optional, except a listener's endpoint. A field that is unknown, given twice or of the wrong kind is
/// refused, and so is text that is longer or more deeply nested than any configuration.
[[nodiscard]] inline config_parsed parse_config(std::string_view text) {
  json_parsed json = parse_json(text);
  config_parsed out;
  if (!json.value) {
    out.error.what = std::move(json.error);
    return out;
  }
  out = read_config(*json.value);
  if (!out.options) return out;
  out.error = complete(*out.options);
  if (!out.error.what.empty()) out.options.reset();
  return out;
}

/// Makes the store of a namespace that is in RADOS: rados_store, in programs that have librados.
using rados_store_maker = std::function<std::shared_ptr<store>(const rados_store_options&)>;

/// A subsystem with its namespaces, each with a store of its own.
/// @param executions what runs Execute for all of them; null: each has a service of its own, and no runtimes
/// @return the subsystem, or null where an nsid is 0, too large or given twice (which no parsed configuration has), and
///         where a namespace is in RADOS and nothing makes its store
[[nodiscard]] inline std::shared_ptr<subsystem> make_subsystem(
    const configured_subsystem& from, const rados_store_maker& in_rados = {},
    const std::shared_ptr<execute_service>& executions = {}) {
  auto out = std::make_shared<subsystem>(from.options);
  for (const configured_namespace& ns : from.namespaces) {
    std::shared_ptr<store> s;
    if (!ns.rados) {
      s = std::make_shared<memory_store>(ns.store);
    } else if (in_rados) {
      s = in_rados(*ns.rados);
    }
    if (s != nullptr && ns.cache) s = std::make_shared<cached_store>(std::move(s), *ns.cache);
    namespace_options options = ns.options;
    for (auto& [op_id, binding] : options.operations)
      if (module_location& m = binding.module; m.is_object_name && !(m.pool.empty() && m.rados_namespace.empty())) {
        rados_store_options where;
        where.pool = m.pool.empty() ? ns.rados->pool : m.pool;
        where.rados_namespace = m.rados_namespace;
        m.store = in_rados ? in_rados(where) : nullptr;
      }
    if (s == nullptr || !out->add(std::make_shared<kv_namespace>(std::move(options), std::move(s), executions)).ok())
      return nullptr;
  }
  return out;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
