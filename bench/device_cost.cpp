// SPDX-License-Identifier: BSD-3-Clause
#include "device_measure.hpp"
#include "device_report.hpp"
#include "failure.hpp"
#include "machine.hpp"
#include "subcommand.hpp"

#include "ptx/kernel_run.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <stdlib.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

namespace bench {

namespace {

struct device_options {
  std::string json;
  bool quick = false;
};

struct contention {
  std::uint32_t threads;
  std::uint64_t latency_ticks;
};

struct kernel_row {
  const char* entry;
  const char* name;
  device_source source;
  bool contended;
};

constexpr kernel_row kernel_rows[] = {
    {"exclusive_retrieve", "exclusive Retrieve", device_source::complete, false},
    {"exclusive_exist", "exclusive Exist", device_source::complete, false},
    {"exclusive_store", "exclusive Store", device_source::complete, false},
    {"exclusive_bar_retrieve", "exclusive Retrieve, doorbell in a BAR", device_source::complete, false},
    {"exclusive_each_deadline", "exclusive Retrieve, a deadline made for each", device_source::complete, false},
    {"shared_retrieve", "shared Retrieve", device_source::complete, true},
    {"shared_exist", "shared Exist", device_source::complete, false},
    {"shared_store", "shared Store", device_source::complete, false},
    {"warp_retrieve", "shared Retrieve, a warp together", device_source::complete, true},
    {"block_retrieve", "block_shared Retrieve, a block together", device_source::complete, true},
    {"exclusive_no_deadline", "exclusive Retrieve without deadline", device_source::partial, false},
    {"exclusive_no_decoding", "exclusive Retrieve without decoding", device_source::partial, false},
    {"exclusive_no_occupancy", "exclusive Retrieve without occupancy check and CID", device_source::partial, false},
    {"exclusive_bare", "exclusive Retrieve without any check", device_source::partial, false},
    {"baseline_retrieve", "BaM-like baseline Retrieve", device_source::baseline, true},
};

/// A folder that goes with this value.
class scratch_folder {
 public:
  scratch_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "nkv-device-cost-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw failure("cannot make a folder " + name);
    path_ = name;
  }
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }
  [[nodiscard]] std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// What bench/device/compile.py says.
nlohmann::ordered_json compile(const scratch_folder& folder, const std::vector<std::string>& gpus) {
  std::string command = fmt::format("python3 '{}/bench/device/compile.py' '{}'", NKV_BENCH_SOURCE_DIR, folder.name());
  for (const std::string& gpu : gpus) command += " " + gpu;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw failure("cannot run python3");
  std::string text;
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof part, pipe)) text.append(part, n);
  const int status = ::pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw failure("the measuring kernels do not compile");
  return nlohmann::ordered_json::parse(text);
}

/// @return whether the kernel's figures are there
bool add_figures(device_row& row, const std::string& entry, const nlohmann::ordered_json& made,
                 const std::string& prefix) {
  if (made.contains("missing")) {
    row.missing += (row.missing.empty() ? "" : "; ") + made.at("missing").get<std::string>();
    return false;
  }
  const auto& kernels = made.at("kernels");
  if (!kernels.contains(entry)) throw failure(entry + " did not come out of the compiler");
  for (const auto& [name, figure] : kernels.at(entry).items()) row.values[prefix + name] = figure.get<double>();
  return true;
}

void add_executed(device_row& row, const measured_kernel& kernel, const std::vector<contention>& contended) {
  auto& v = row.values;
  const device_cost one = cost_of_one(kernel);
  v["ptx_executed_per_op"] = one.instructions;
  v["atomics_per_op"] = one.atomics;
  v["fences_system_per_op"] = one.fences_system;
  v["fences_device_per_op"] = one.fences_device;
  v["fences_block_per_op"] = one.fences_block;
  v["loads_per_op"] = one.loads;
  v["stores_per_op"] = one.stores;
  const device_cost many = cost_of_many(kernel);
  v["ptx_executed_per_op_mean_of_64"] = many.instructions;
  v["sq_doorbells_per_op"] = many.sq_doorbells;
  v["cq_doorbells_per_op"] = many.cq_doorbells;
  v["ptx_static_instructions"] = static_cast<double>(static_instructions(kernel));
  for (const contention& c : contended) {
    const contended_cost cost = cost_contended(kernel, c.threads, c.latency_ticks);
    const std::string of = fmt::format("_{}_threads", c.threads);
    v["ptx_executed_per_op" + of] = cost.mean.instructions;
    v["ptx_executed_per_op_least" + of] = cost.least_instructions;
    v["ptx_executed_per_op_most" + of] = cost.most_instructions;
    v["atomics_per_op" + of] = cost.mean.atomics;
    v["loads_per_op" + of] = cost.mean.loads;
    v["sq_doorbells_per_op" + of] = cost.mean.sq_doorbells;
    v["cq_doorbells_per_op" + of] = cost.mean.cq_doorbells;
  }
}

int run_device_cost(const device_options& options, const std::vector<std::string>& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  device_result result;
  result.origin = provenance(arguments, {});
  std::vector<contention> contended = {{32, 200}};
  result.gpus = {"gfx942"};
  if (!options.quick) {
    contended.insert(contended.end(), {{128, 200}, {256, 500}});
    result.gpus.emplace_back("gfx1151");
  }

  const scratch_folder folder;
  const nlohmann::ordered_json made = compile(folder, result.gpus);
  const auto& nvcc = made.at("nvcc");
  const bool has_nvcc = !nvcc.contains("missing");
  const auto keep = [&result](const std::string& name, nlohmann::ordered_json one) {
    one.erase("kernels");
    result.compilers[name] = std::move(one);
  };
  keep("nvcc", nvcc);
  for (const std::string& gpu : result.gpus) keep(gpu, made.at("amd").at(gpu));

  std::string cost_text;
  std::string baseline_text;
  if (has_nvcc) {
    cost_text = nkv_test::kernel_run::read_file(folder.file("cost.ptx"));
    baseline_text = nkv_test::kernel_run::read_file(folder.file("baseline.ptx"));
  }
  bool complete = true;
  for (const kernel_row& k : kernel_rows) {
    device_row row;
    row.name = k.name;
    row.source = k.source;
    const bool is_baseline = k.source == device_source::baseline;
    if (add_figures(row, k.entry, nvcc, "")) {
      add_executed(row, {k.entry, is_baseline ? baseline_text : cost_text},
                   k.contended ? contended : std::vector<contention>());
    } else {
      complete = false;
    }
    for (const std::string& gpu : result.gpus) {
      // The baseline is CUDA's alone.
      if (!is_baseline && !add_figures(row, k.entry, made.at("amd").at(gpu), gpu + "_")) complete = false;
    }
    result.rows.push_back(std::move(row));
  }
  for (device_row& row : published_rows()) result.rows.push_back(std::move(row));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  print(result);
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << json_of(result).dump(2) << '\n';
    file.close();
    if (!file) throw failure("cannot write " + options.json);
  }
  if (!complete) fmt::print(stderr, "nkv-bench: a compiler is missing, and with it rows of the table\n");
  return complete ? 0 : 1;
}

constexpr const char* device_cost_footer = R"(WHAT IS MEASURED
  Kernels that do one operation again and again are compiled by nvcc for sm_90, and their PTX is
  executed by an interpreter against a model controller: what is counted is instructions, not time,
  and no GPU is needed. ptxas says what registers, stack and spills they take. Clang compiles the
  same kernels for AMD's GPUs, and their text is counted. Beside them stands a queue written the way
  that BaM's is described, and what is published of other systems.
)";

}  // namespace

void add_device_cost(CLI::App& app, program& p) {
  CLI::App* const command =
      app.add_subcommand("device-cost", "What one operation costs in a kernel, in instructions of a GPU");
  command->footer(device_cost_footer);
  const auto o = std::make_shared<device_options>();
  command->add_option("--json", o->json, "Write the results there too")->type_name("FILE");
  command->add_flag("--quick", o->quick, "One AMD GPU, and at most 32 threads on a queue");
  command->callback([&p, o] { p.run = [&p, o] { return run_device_cost(*o, p.arguments); }; });
}

}  // namespace bench
