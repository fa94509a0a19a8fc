// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv-target/log.hpp"

#include <nkv/target/execute/builtin_runtime.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/execute/runtime_library.hpp>
#include <nkv/target/execute/wasm_runtime.hpp>
#include <nkv/target/target_options.hpp>

#if NKV_WITH_EXECUTE
#include <nkv/target/execute/module_loader.hpp>
#endif

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

namespace tools {

/// What runs Execute for all namespaces: the built-in functions, WebAssembly where libwasmtime is found, and the
/// engines that the configuration names. One that cannot be loaded is logged; what it would run is refused.
/// @param log lives longer
[[nodiscard]] inline std::shared_ptr<nkv::target::execute_service> make_executions(
    const nkv::target::execute_options& options, const event_log& log) {
  const auto report = [&log](const nkv::target::execute_event& e) {
    log.write(event_log::level::warning, "execute",
              {{"what", std::string(e.what)},
               {"op", fmt::format("{}", e.op_id)},
               {"runtime", std::string(e.runtime)},
               {"function", std::string(e.function)},
               {"module", std::string(e.module)},
               {"why", std::string(e.why)},
               {"unreported", e.unreported == 0 ? std::string() : fmt::format("{}", e.unreported)}});
  };
  std::shared_ptr<nkv::target::program_source> source;
#if NKV_WITH_EXECUTE
  nkv::target::module_loader::runtimes engines;
  engines["builtin"] = std::make_shared<nkv::target::builtin_runtime>();
  const auto add = [&](const std::string& name, const std::string& path, const auto& open) {
    std::string why;
    engines[name] = open(path, why);
    const bool there = engines[name] != nullptr;
    log.write(there ? event_log::level::info : event_log::level::warning, "runtime",
              {{"name", name}, {"library", path}, {"what", there ? "loaded" : "not loaded"}, {"why", why}});
  };
  add("wasm", options.wasmtime, nkv::target::wasm_runtime::create);
  for (const auto& [name, path] : options.runtimes) add(name, path, nkv::target::open_runtime);
  source = std::make_shared<nkv::target::module_loader>(std::move(engines), options.programs);
#endif
  return std::make_shared<nkv::target::execute_service>(options.service, std::move(source), report);
}

}  // namespace tools
