// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv-target/log.hpp"

#include <nkv/target/config.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/subsystem.hpp>
#include <nkv/target/target_options.hpp>

#if NKV_WITH_RADOS
#include <nkv/target/rados/rados_cluster.hpp>
#include <nkv/target/rados/rados_store.hpp>
#endif

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

namespace tools {

/// The Ceph clusters that the subsystems are in. Lives longer than these.
class rados_clusters {
 public:
  explicit rados_clusters(const event_log& log) noexcept : log_(log) {}

  /// The subsystem, with a connection of its own where it needs one.
  /// @param executions what runs Execute for it; may be null
  /// @return null, and `error`: what is wrong with the configuration, beginning with the field within the subsystem
  [[nodiscard]] std::shared_ptr<nkv::target::subsystem> make(
      const nkv::target::configured_subsystem& from, const std::shared_ptr<nkv::target::execute_service>& executions,
      std::string& error) {
#if NKV_WITH_RADOS
    if (from.rados) {
      const event_log& log = log_;
      auto cluster = nkv::target::rados_cluster::create(
          *from.rados, [&log](const nkv::target::rados_event& e) { write(log, e); }, error);
      if (cluster == nullptr) {
        error = "rados: " + error;
        return nullptr;
      }
      nkv::target::rados_cluster& made = *cluster;
      clusters_.push_back(std::move(cluster));
      const auto in_cluster = [&made](const nkv::target::rados_store_options& where) {
        return std::make_shared<nkv::target::rados_store>(made, where);
      };
      return nkv::target::make_subsystem(from, in_cluster, executions);
    }
#else
    if (from.rados) {
      error = "rados: this nkv-target was built without librados";
      return nullptr;
    }
#endif
    return nkv::target::make_subsystem(from, {}, executions);
  }

  /// Waits until every pool is open, as long as an attempt to connect may take. One that is not is looked for as long
  /// as the program runs.
  void wait_until_ready() {
#if NKV_WITH_RADOS
    for (const auto& cluster : clusters_) {
      const std::uint64_t most_ns = (cluster->options().mon_timeout_s + 1) * std::uint64_t{1'000'000'000};
      if (!cluster->wait_until_ready(nkv::host::deadline::after_ns(most_ns)))
        log_.write(event_log::level::warning, "serving without the cluster",
                   {{"conf", cluster->options().conf}, {"user", cluster->options().user}});
    }
#endif
  }

 private:
#if NKV_WITH_RADOS
  static void write(const event_log& log, const nkv::target::rados_event& e) {
    log.write(e.trouble ? event_log::level::warning : event_log::level::info, "rados",
              {{"what", std::string(e.what)},
               {"pool", std::string(e.pool)},
               {"rados_namespace", std::string(e.space)},
               {"why", std::string(e.why)},
               {"unreported", e.unreported == 0 ? std::string() : fmt::format("{}", e.unreported)}});
  }
  std::vector<std::unique_ptr<nkv::target::rados_cluster>> clusters_;
#endif
  const event_log& log_;
};

}  // namespace tools
