// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/command.hpp"

#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/hip_driver.hpp>
#include <nkv/host/memory/user_iommu.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tools {

namespace {

using nkv::host::gpu_driver;

/// What one vendor's driver can do here; without one, why there is none.
struct report {
  const char* name;
  std::string device;  ///< empty: there is no driver
  std::string why;
  std::vector<nkv::host::placement> all;
};

template <class Driver>
report look(const char* name, const std::optional<nkv::host::controller>& target, const global_options& options) {
  report r{name, {}, {}, {}};
  const auto driver = Driver::open({}, r.why);
  const std::shared_ptr<gpu_driver> gpu = driver ? *driver : nullptr;
  if (gpu != nullptr) r.device = gpu->facts().name.empty() ? "a GPU" : gpu->facts().name;
  r.all = target ? target->what_works(gpu, r.why, options.deadline())
                 : nkv::host::what_works(gpu, r.why, nullptr, options.deadline());
  return r;
}

void print(const std::vector<report>& reports, const nkv::host::user_iommu& pcie) {
  for (const report& r : reports) {
    if (r.device.empty()) {
      fmt::print("{}: {}\n", r.name, r.why);
    } else {
      fmt::print("{}: {}\n{}", r.name, r.device, nkv::host::describe(r.all));
    }
  }
  fmt::print("PCIe devices for programs: {}: {}\n", pcie.usable() ? "yes" : "no", pcie.text());
}

nlohmann::json json_of(const report& r) {
  nlohmann::json out = {{"placements", nlohmann::json::array()}};
  if (r.device.empty()) {
    out["why"] = r.why;
  } else {
    out["device"] = r.device;
  }
  for (const nkv::host::placement& p : r.all)
    out["placements"].push_back({{"thing", name_of(p.thing)}, {"where", p.where}, {"can", p.can.ok()}, {"why", p.why}});
  return out;
}

void show(const global_options& options) {
  std::optional<nkv::host::controller> target;
  // A kernel wakes nobody.
  if (!options.endpoint.empty()) target.emplace(connect(options, false));
  const nkv::host::user_iommu pcie = nkv::host::user_iommu::look();
  const std::vector<report> reports = {look<nkv::host::cuda_driver>("CUDA", target, options),
                                       look<nkv::host::hip_driver>("HIP", target, options)};
  if (!options.json) return print(reports, pcie);
  nlohmann::json all = {{"pcie", {{"can", pcie.usable()}, {"why", pcie.text()}}}};
  for (const report& r : reports) all[r.name] = json_of(r);
  fmt::print("{}\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

void add_placement(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand(
      "placement", "Show where queues, doorbells and values of a kernel can live here, and why not elsewhere");
  command->add_option("ENDPOINT", p.options.endpoint,
                      "The target that shall reach them; without one, what this machine can do alone");
  command->callback([&p] { p.run = [&p] { show(p.options); }; });
}

}  // namespace tools
