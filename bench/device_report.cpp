// SPDX-License-Identifier: BSD-3-Clause
#include "device_report.hpp"

#include "common/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace bench {

namespace {

const char* name_of(device_source s) {
  switch (s) {
    case device_source::complete: return "complete";
    case device_source::partial: return "partial";
    case device_source::baseline: return "baseline";
    case device_source::published: return "published, not measured here";
  }
  return "";
}

struct column {
  std::string name;
  std::string heading;  ///< empty: in the JSON alone
};

std::vector<column> columns_of(const device_result& r) {
  std::vector<column> out = {
      {"ptx_executed_per_op", "PTX"},
      {"ptx_executed_per_op_mean_of_64", "mean"},
      {"ptx_static_instructions", "static"},
      {"registers", "regs"},
      {"stack_bytes", "stack"},
      {"spill_bytes", "spill"},
      {"atomics_per_op", "atomics"},
      {"fences_system_per_op", "f.sys"},
      {"fences_device_per_op", "f.gpu"},
      {"fences_block_per_op", "f.cta"},
      {"loads_per_op", "loads"},
      {"stores_per_op", "stores"},
      {"sq_doorbells_per_op", "SQ"},
      {"cq_doorbells_per_op", "CQ"},
  };
  for (const int threads : {32, 128, 256}) {
    const auto add = [&](const char* name, const std::string& heading) {
      out.push_back({fmt::format("{}_{}_threads", name, threads), heading});
    };
    add("ptx_executed_per_op", fmt::format("PTX {}", threads));
    add("ptx_executed_per_op_least", "");
    add("ptx_executed_per_op_most", "");
    add("atomics_per_op", "");
    add("loads_per_op", "");
    add("sq_doorbells_per_op", "SQ");
    add("cq_doorbells_per_op", "CQ");
  }
  for (const std::string& gpu : r.gpus) {
    out.push_back({gpu + "_instructions", gpu});
    out.push_back({gpu + "_waits", "waits"});
    out.push_back({gpu + "_vgprs", "VGPR"});
    out.push_back({gpu + "_sgprs", "SGPR"});
    out.push_back({gpu + "_scratch_bytes", "scratch"});
    out.push_back({gpu + "_spilled_vgprs", "spV"});
    out.push_back({gpu + "_spilled_sgprs", "spS"});
  }
  return out;
}

std::string number(double v) {
  const bool whole = v == static_cast<double>(static_cast<long long>(v));
  return whole || v >= 100 ? fmt::format("{:.0f}", v) : fmt::format("{:.3g}", v);
}
std::string number(const std::optional<double>& v) { return v ? number(*v) : "-"; }

const device_row* row(const device_result& r, const std::string& name) {
  const auto found = std::find_if(r.rows.begin(), r.rows.end(), [&](const device_row& d) { return d.name == name; });
  return found == r.rows.end() ? nullptr : &*found;
}
std::optional<double> value(const device_result& r, const std::string& name, const std::string& column) {
  const device_row* const found = row(r, name);
  return found == nullptr ? std::nullopt : found->value(column);
}
std::optional<double> ratio(std::optional<double> a, std::optional<double> b) {
  return a && b && *b != 0 ? std::optional(*a / *b) : std::nullopt;
}

/// Of all rows of complete operations; nothing where one of them is not known.
std::optional<double> sum(const device_result& r, const std::string& column) {
  std::optional<double> total;
  for (const device_row& d : r.rows) {
    if (d.source != device_source::complete) continue;
    const auto v = d.value(column);
    if (!v) return std::nullopt;
    total = total.value_or(0) + *v;
  }
  return total;
}

constexpr const char* threads_256 = "ptx_executed_per_op_256_threads";

}  // namespace

std::vector<device_row> published_rows() {
  std::vector<device_row> out;
  const auto add = [&out](const char* name, const char* cited, std::map<std::string, double> values) {
    out.push_back({name, device_source::published, cited, {}, std::move(values)});
  };
  const auto shape = [](double statically, double executed, double registers, double atomics) {
    return std::map<std::string, double>{{"ptx_static_instructions", statically},
                                         {"ptx_executed_per_op", executed},
                                         {"registers", registers},
                                         {"atomics_per_op", atomics},
                                         {"spill_bytes", 0}};
  };
  const auto with = [](std::map<std::string, double> base, std::initializer_list<std::pair<const char*, double>> more) {
    for (const auto& [name, v] : more) base[name] = v;
    return base;
  };
  add("BaM", "bam@315fadf",
      with(shape(347, 303, 28, 15), {{"sq_doorbells_per_op", 1},
                                     {"cq_doorbells_per_op", 1},
                                     {"loads_per_op", 56},
                                     {"stores_per_op", 14},
                                     {"ptx_executed_per_op_32_threads", 933},
                                     {"ptx_executed_per_op_128_threads", 2254},
                                     {threads_256, 4016},
                                     {"sq_doorbells_per_op_32_threads", 0.03}}));
  add("uPCIe, one block", "upcie@e3f7dac",
      with(shape(136, 126, 26, 0), {{"sq_doorbells_per_op", 1},
                                    {"cq_doorbells_per_op", 1},
                                    {"ptx_executed_per_op_32_threads", 287},
                                    {threads_256, 586}}));
  add("rocm-xio primitives, one thread", "rocm-xio@581c5e1",
      with(shape(101, 96, 22, 0), {{"sq_doorbells_per_op", 1}, {"cq_doorbells_per_op", 1}}));
  add("rocm-xio gpuKernel", "rocm-xio@581c5e1", with(shape(2388, 176, 64, 0), {{"stack_bytes", 10272}}));
  add("DOCA GPU-shared, DBREC", "DOCA GPUNetIO open v2.0.1",
      with(shape(229, 176, 38, 5), {{"ptx_executed_per_op_32_threads", 504}, {threads_256, 1981}}));
  add("DOCA GPU-shared, NO_DBR", "DOCA GPUNetIO open v2.0.1", shape(213, 156, 38, 4));
  add("lean exclusive, nothing checked", "a queue made for the comparison",
      with(shape(90, 85, 30, 0), {{"sq_doorbells_per_op", 1}}));
  add("lean shared, nothing checked", "a queue made for the comparison",
      with(shape(366, 175, 32, 2), {{"sq_doorbells_per_op", 1},
                                    {"ptx_executed_per_op_32_threads", 312},
                                    {"ptx_executed_per_op_128_threads", 686},
                                    {threads_256, 1245}}));
  return out;
}

std::vector<device_gate> gates_of(const device_result& r) {
  const auto of = [&r](const char* name, const std::string& column) { return value(r, name, column); };
  std::vector<device_gate> out = {
      {"exclusive Retrieve: PTX executed", 96, of("exclusive Retrieve", "ptx_executed_per_op")},
      {"exclusive Retrieve: atomics", 0, of("exclusive Retrieve", "atomics_per_op")},
      {"exclusive Retrieve: fences of the system's scope", 1, of("exclusive Retrieve", "fences_system_per_op")},
      {"shared Retrieve: PTX executed", 200, of("shared Retrieve", "ptx_executed_per_op")},
      {"shared Retrieve: atomics", 4, of("shared Retrieve", "atomics_per_op")},
      {"shared, a warp together, 32 threads: SQ doorbells an operation", 0.04,
       of("shared Retrieve, a warp together", "sq_doorbells_per_op_32_threads")},
      {"block_shared, a block together, 32 threads: SQ doorbells an operation", 0.04,
       of("block_shared Retrieve, a block together", "sq_doorbells_per_op_32_threads")},
  };
  const auto baseline = of("BaM-like baseline Retrieve", threads_256);
  out.push_back({"shared, each thread alone, 256 threads: PTX of the baseline's", 0.4,
                 ratio(of("shared Retrieve", threads_256), baseline)});
  out.push_back({"shared, a warp together, 256 threads: PTX of the baseline's", 0.4,
                 ratio(of("shared Retrieve, a warp together", threads_256), baseline)});
  out.push_back({"block_shared, a block together, 256 threads: PTX of the baseline's", 0.15,
                 ratio(of("block_shared Retrieve, a block together", threads_256), baseline)});
  out.push_back({"sm_90, all rows: bytes of stack", 0, sum(r, "stack_bytes")});
  out.push_back({"sm_90, all rows: bytes spilled", 0, sum(r, "spill_bytes")});
  for (const std::string& gpu : r.gpus) {
    out.push_back({gpu + ", all rows: bytes of scratch", 0, sum(r, gpu + "_scratch_bytes")});
    out.push_back({gpu + ", all rows: VGPRs spilled", 0, sum(r, gpu + "_spilled_vgprs")});
    out.push_back({gpu + ", all rows: SGPRs spilled, into VGPRs", 0, sum(r, gpu + "_spilled_sgprs")});
  }
  return out;
}

std::vector<device_step> steps_of(const device_result& r) {
  std::vector<device_step> out;
  const std::string complete = "exclusive Retrieve";
  const auto all = value(r, complete, "ptx_executed_per_op");
  const std::string prefix = complete + " without ";
  for (const device_row& d : r.rows) {
    const auto left = d.value("ptx_executed_per_op");
    if (!all || !left || d.name.compare(0, prefix.size(), prefix) != 0) continue;
    out.push_back({complete, d.name.substr(prefix.size()), *all - *left});
  }
  return out;
}

nlohmann::ordered_json json_of(const device_result& r) {
  nlohmann::ordered_json out = r.origin;
  out["device_compilers"] = r.compilers;
  out["duration_s"] = r.seconds;
  out["rows"] = nlohmann::ordered_json::array();
  const std::vector<column> columns = columns_of(r);
  for (const device_row& d : r.rows) {
    nlohmann::ordered_json one = {{"name", d.name}, {"source", name_of(d.source)}};
    if (!d.cited.empty()) one["cited"] = d.cited;
    if (!d.missing.empty()) one["missing"] = d.missing;
    for (const column& c : columns) {
      const auto v = d.value(c.name);
      one[c.name] = v ? nlohmann::ordered_json(*v) : nlohmann::ordered_json(nullptr);
    }
    out["rows"].push_back(std::move(one));
  }
  out["steps"] = nlohmann::ordered_json::array();
  for (const device_step& s : steps_of(r))
    out["steps"].push_back({{"row", s.row}, {"step", s.step}, {"ptx_executed_per_op", s.instructions}});
  out["goals"] = nlohmann::ordered_json::array();
  for (const device_gate& g : gates_of(r)) {
    out["goals"].push_back({{"goal", g.text},
                            {"at_most", g.at_most},
                            {"measured", g.measured ? nlohmann::ordered_json(*g.measured) : nullptr},
                            {"reached", g.reached()}});
  }
  return out;
}

void print(const device_result& r) {
  using tools::table;
  const auto right = table::align::right;
  const nlohmann::ordered_json& machine = r.origin.at("machine");
  fmt::print("{}, {} processors, {}; commit {}; {}\n", machine.at("processor").get<std::string>(),
             machine.at("processors").get<long>(), machine.at("kernel").get<std::string>(),
             r.origin.at("commit").get<std::string>(), r.origin.at("date_utc").get<std::string>());
  for (const auto& [name, compiler] : r.compilers.items()) {
    fmt::print("{}: {}\n", name,
               compiler.contains("missing") ? "missing: " + compiler.at("missing").get<std::string>()
                                            : fmt::format("{} [{}]", compiler.at("version").get<std::string>(),
                                                          compiler.at("flags").get<std::string>()));
  }

  std::vector<column> columns = columns_of(r);
  columns.erase(std::remove_if(columns.begin(), columns.end(), [](const column& c) { return c.heading.empty(); }),
                columns.end());
  std::vector<table::column> headings = {{"one operation, 16-byte key", table::align::left}};
  for (const column& c : columns) headings.push_back({c.heading, right});
  table rows(headings);
  const device_source* last = nullptr;
  std::string cited;
  for (const device_row& d : r.rows) {
    if (last == nullptr || *last != d.source) {
      rows.add({std::string(name_of(d.source)) + ":"});
    }
    last = &d.source;
    if (!d.cited.empty()) cited += fmt::format("{}{}: {}", cited.empty() ? "" : "; ", d.name, d.cited);
    std::vector<std::string> cells = {"  " + d.name};
    for (const column& c : columns) cells.push_back(number(d.value(c.name)));
    rows.add(cells);
  }
  fmt::print("\n{}", rows.text());
  for (const device_row& d : r.rows) {
    if (!d.missing.empty()) fmt::print("{}: missing: {}\n", d.name, d.missing);
  }
  fmt::print("Published, each system's own code through nvcc 13.0.88 for sm_90 and another interpreter: {}.\n", cited);
  fmt::print(
      "PTX: instructions executed, those that their predicate switches off included; one thread, a controller that "
      "answers at once: 9 operations less 8. mean: of 64. PTX 32, 128, 256: threads of one block on one queue of 1024 "
      "entries, completions out of order after 200, 200 and 500 ticks to twice that, 4 operations each, whole kernels, "
      "3 orders. SQ, CQ: doorbells an operation. f.: fences by scope. regs, stack, spill: of ptxas. AMD: instructions "
      "in the kernel's text. complete: with deadline, occupancy check and decoding.\n");

  if (const auto steps = steps_of(r); !steps.empty()) {
    table costs({{"what a step costs"}, {""}, {"PTX", right}});
    for (const device_step& s : steps) costs.add({s.row, s.step, number(s.instructions)});
    fmt::print(
        "\n{}A step that is left out lets the compiler lay out the rest otherwise: some seem to cost less than "
        "nothing.\n",
        costs.text());
  }

  table against({{"baseline"}, {"measured", right}, {"BaM, published", right}, {"ratio", right}});
  for (const char* const c : {"ptx_executed_per_op", "atomics_per_op", "loads_per_op", "stores_per_op",
                              "ptx_executed_per_op_32_threads", "ptx_executed_per_op_128_threads", threads_256}) {
    const auto ours = value(r, "BaM-like baseline Retrieve", c);
    const auto theirs = value(r, "BaM", c);
    if (!ours) continue;
    const auto part = ratio(ours, theirs);
    against.add({c, number(ours), number(theirs), part ? fmt::format("{:.2f}", *part) : "-"});
  }
  fmt::print(
      "\n{}The baseline was written from a description of the algorithm: fewer atomics and loads where nobody "
      "contends; where many do, looks at the completion queue are most of it, and their number hangs on how long its "
      "waits nap (8 ns to a microsecond here, not published).\n",
      against.text());

  table goals({{"goal"}, {"at most", right}, {"measured", right}, {""}});
  for (const device_gate& g : gates_of(r)) {
    goals.add({g.text, number(g.at_most), g.measured ? fmt::format("{:.4g}", *g.measured) : "-",
               !g.measured   ? "not measured"
               : g.reached() ? "reached"
                             : "missed"});
  }
  fmt::print("\n{}", goals.text());
}

}  // namespace bench
