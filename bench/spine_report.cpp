// SPDX-License-Identifier: BSD-3-Clause
#include "spine_report.hpp"

#include "statistics.hpp"

#include "common/human.hpp"
#include "common/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace bench {

namespace {

// What the figures are to come to, and what SPDK's client and target reach on a machine of this kind.
constexpr double first_ns = 200e3;
constexpr double idle_percent = 1;
constexpr double exist_round_trips = 4;
constexpr double skeleton_share = 0.7;
constexpr double spdk_round_trip_ns = 120;
constexpr double spdk_retrieve_ns = 1080;
constexpr double spdk_retrieves_per_s = 1.78e6;
constexpr double memcpy_share = 0.9;
constexpr double exist_instructions = 120;
constexpr double retrieve_instructions = 150;

std::string rate_text(double per_s) {
  return per_s >= 1e6   ? fmt::format("{:.2f} M/s", per_s / 1e6)
         : per_s >= 1e3 ? fmt::format("{:.1f} k/s", per_s / 1e3)
                        : fmt::format("{:.1f} /s", per_s);
}
std::string time_text(double ns) { return tools::human_time(static_cast<std::uint64_t>(std::llround(ns))); }

/// Of a figure that should be at most, or at least, what is wanted.
spine_goal goal(std::string text, std::string wanted, std::string measured, double value, double limit, bool at_most) {
  spine_goal g{std::move(text), std::move(wanted), std::move(measured), at_most ? value <= limit : value >= limit, {}};
  if (!g.reached) g.missed_by = fmt::format("{:.0f} %", std::abs(value - limit) / limit * 100);
  return g;
}

bool is(const spine_row& r, verb v, std::uint32_t block, std::uint32_t depth) {
  return r.what.what == v && r.what.block_bytes == block && r.what.depth == depth &&
         r.what.style == call_style::tickets;
}

nlohmann::ordered_json json_of(const spine_row& r) {
  nlohmann::ordered_json out = {
      {"name", r.transport + "/" + r.what.name()},
      {"transport", r.transport},
      {"operation", name_of(r.what.what)},
      {"call_style", name_of(r.what.style)},
      {"block_size_bytes", r.what.block_bytes},
      {"batch_size", r.what.depth},
      {"working_set_bytes", r.what.working_set_bytes},
      {"touched", r.what.touched},
      {"operations_per_s", r.operations_per_s},
      {"bandwidth_gb_per_s", r.bandwidth_gb_per_s()},
      {"latency_avg_ns", r.latency_avg_ns},
      {"latency_p50_ns", r.latency_p50_ns},
      {"latency_p90_ns", r.latency_p90_ns},
      {"latency_p99_ns", r.latency_p99_ns},
      {"allocations_per_op", r.allocations_per_op},
      {"syscalls_per_op", nullptr},
      {"yields_per_op", nullptr},
      {"wakes_per_op", nullptr},
      {"sq_doorbells_per_op", r.sq_doorbells_per_op},
      {"cq_doorbells_per_op", r.cq_doorbells_per_op},
      {"staged_bytes_per_op", r.staged_bytes_per_op},
      {"round_trip_floor_ns", r.round_trip_ns},
      {"latency_p50_in_round_trips", r.latency_in_round_trips.middle},
      {"latency_p50_in_round_trips_low", r.latency_in_round_trips.low},
      {"latency_p50_in_round_trips_high", r.latency_in_round_trips.high},
      {"skeleton_operations_per_s", r.skeleton_operations_per_s},
      {"skeleton_latency_p50_ns", r.skeleton_latency_p50_ns},
      {"ratio_to_skeleton", r.ratio_to_skeleton.middle},
      {"ratio_to_skeleton_low", r.ratio_to_skeleton.low},
      {"ratio_to_skeleton_high", r.ratio_to_skeleton.high},
  };
  if (r.syscalls_per_op) out["syscalls_per_op"] = *r.syscalls_per_op;
  if (r.yields_per_op) out["yields_per_op"] = *r.yields_per_op;
  if (r.wakes_per_op) out["wakes_per_op"] = *r.wakes_per_op;
  if (r.memcpy_gb_per_s) out["memcpy_gb_per_s"] = *r.memcpy_gb_per_s;
  if (r.ratio_to_memcpy) {
    out["ratio_to_memcpy"] = r.ratio_to_memcpy->middle;
    out["ratio_to_memcpy_low"] = r.ratio_to_memcpy->low;
    out["ratio_to_memcpy_high"] = r.ratio_to_memcpy->high;
  }
  out["windows"] = r.windows;
  out["disturbed_windows"] = r.disturbed_windows;
  out["disturbed"] = r.disturbed;
  return out;
}

nlohmann::ordered_json json_of(const spread& s) { return {{"low", s.low}, {"median", s.middle}, {"high", s.high}}; }

}  // namespace

spread spread_of(const std::vector<double>& values) {
  std::vector<double> v = values;
  const double low = percentile(v, 25);
  const double high = percentile(v, 75);
  return {low, median(std::move(v)), high};
}

std::vector<spine_goal> goals_of(const spine_result& r) {
  std::vector<spine_goal> out;
  std::vector<const spine_row*> moving;
  for (const spine_row& row : r.rows) {
    const std::string where = row.transport + ", set of " + tools::human_bytes(row.what.working_set_bytes) +
                              (row.what.touched ? ", touched" : "");
    if (is(row, verb::exist, 4096, 1)) {
      const double n = row.latency_in_round_trips.middle;
      out.push_back(goal("Exist, depth 1, p50, round trips (" + where + ")",
                         fmt::format("<= {:.0f}", exist_round_trips), fmt::format("{:.2f}", n), n, exist_round_trips,
                         true));
    }
    if (row.what.what != verb::exist && row.what.style == call_style::tickets) moving.push_back(&row);
    // SPDK's figures go with its floor: with another one they are scaled.
    const double scale = row.round_trip_ns / spdk_round_trip_ns;
    if (is(row, verb::retrieve, 4096, 1) && !row.what.touched) {
      const double limit = spdk_retrieve_ns * scale;
      out.push_back(goal("4 KiB Retrieve, depth 1, p50, scaled by the floor (" + where + ")", "< " + time_text(limit),
                         time_text(row.latency_p50_ns), row.latency_p50_ns, limit, true));
    }
    if (is(row, verb::retrieve, 4096, 32) && !row.what.touched) {
      const double limit = spdk_retrieves_per_s / scale;
      out.push_back(goal("4 KiB Retrieve, depth 32, rate, scaled by the floor (" + where + ")", "> " + rate_text(limit),
                         rate_text(row.operations_per_s), row.operations_per_s, limit, false));
    }
    if (row.ratio_to_memcpy && row.what.what == verb::retrieve) {
      const double share = row.ratio_to_memcpy->middle;
      out.push_back(goal("64 MiB Retrieve, share of a memcpy (" + where + ")", fmt::format(">= {:.1f}", memcpy_share),
                         fmt::format("{:.2f}", share), share, memcpy_share, false));
    }
  }
  if (!moving.empty()) {
    const auto reached = std::count_if(moving.begin(), moving.end(), [](const spine_row* row) {
      return row->ratio_to_skeleton.middle >= skeleton_share;
    });
    const spine_row& least = **std::min_element(moving.begin(), moving.end(), [](const auto* a, const auto* b) {
      return a->ratio_to_skeleton.middle < b->ratio_to_skeleton.middle;
    });
    const double share = least.ratio_to_skeleton.middle;
    out.push_back(
        goal(fmt::format("every Retrieve and Store, share of the skeleton's rate ({} of {} reach it; the least: {}/{})",
                         reached, moving.size(), least.transport, least.what.name()),
             fmt::format(">= {:.1f}", skeleton_share), fmt::format("{:.2f}", share), share, skeleton_share, false));
  }
  for (const instruction_count& c : r.instructions.rows) {
    if (c.operation == "store") continue;
    const double limit = c.operation == "exist" ? exist_instructions : retrieve_instructions;
    out.push_back(goal(
        fmt::format("{}, instructions to submit and complete, {}", c.operation == "exist" ? "Exist" : "Retrieve",
                    c.batch_size == 1 ? std::string("one at a time") : fmt::format("in batches of {}", c.batch_size)),
        fmt::format("<= {:.0f}", limit), fmt::format("{:.0f}", c.submit + c.complete), c.submit + c.complete, limit,
        true));
  }
  if (r.idle) {
    out.push_back(goal("first Exist after 2 ms of rest, p99 (" + r.idle->transport + ")", "< " + time_text(first_ns),
                       time_text(r.idle->first_p99_ns), r.idle->first_p99_ns, first_ns, true));
    out.push_back(goal("processor time of a target at rest (" + r.idle->transport + ")",
                       fmt::format("< {:.0f} %", idle_percent), fmt::format("{:.2f} %", r.idle->processor_percent),
                       r.idle->processor_percent, idle_percent, true));
  }
  double allocations = 0;
  double syscalls = 0;
  bool syscalls_known = !r.rows.empty();
  for (const spine_row& row : r.rows) {
    allocations = std::max(allocations, row.allocations_per_op);
    syscalls_known = syscalls_known && row.syscalls_per_op.has_value();
    syscalls = std::max(syscalls, row.syscalls_per_op.value_or(0));
  }
  const auto none = [&](const char* text, double most) {
    spine_goal g{text, "0", fmt::format("{:.4g}", most), most == 0, {}};
    if (!g.reached) g.missed_by = g.measured;
    out.push_back(std::move(g));
  };
  if (r.allocations_counted && !r.rows.empty())
    none("allocations of the client per operation, the most of all rows", allocations);
  if (syscalls_known)
    none("system calls of the client per operation, yields and wake-ups apart, the most of all rows", syscalls);
  return out;
}

nlohmann::ordered_json json_of(const spine_result& r) {
  nlohmann::ordered_json out = {{"tool", "nkv-bench spine"}};
  out.update(r.origin);
  out["duration_s"] = r.seconds;
  out["counting"] = {
      {"latency",
       "from before a submission to after its outcome was taken and, where touched, the value read; what a "
       "look at the clock costs (clock_read_ns) is taken off"},
      {"allocations", r.allocations_counted ? "malloc and its like, and operator new, by the client's thread"
                                            : "not counted: not the GNU C library"},
      {"syscalls",
       r.syscalls_not_counted.empty()
           ? std::string(
                 "all of the client's thread, by ptrace, in a window of its own; apart from them sched_yield, and "
                 "writes of 8 bytes, which wake a target that sleeps")
           : "not counted: " + r.syscalls_not_counted},
      {"doorbells", "by the client's queue pair"},
  };
  out["floors"] = {{"clock_read_ns", r.clock_read_ns}, {"round_trip_ns", json_of(spread_of(r.round_trips_ns))}};
  if (!r.memcpys_gb_per_s.empty()) out["floors"]["memcpy_64mib_gb_per_s"] = json_of(spread_of(r.memcpys_gb_per_s));
  out["rows"] = nlohmann::ordered_json::array();
  for (const spine_row& row : r.rows) out["rows"].push_back(json_of(row));
  if (r.idle) {
    out["idle"] = {{"transport", r.idle->transport},
                   {"processor_percent", r.idle->processor_percent},
                   {"first_exist_p50_ns", r.idle->first_p50_ns},
                   {"first_exist_p99_ns", r.idle->first_p99_ns},
                   {"first_exists", r.idle->firsts}};
  }
  nlohmann::ordered_json& counts = out["instructions"];
  counts = nlohmann::ordered_json::object();
  if (!r.instructions.skipped.empty()) {
    counts["skipped"] = r.instructions.skipped;
  } else if (!r.instructions.rows.empty()) {
    counts["empty_poll_instructions"] = r.instructions.empty_poll;
    counts["rows"] = nlohmann::ordered_json::array();
    for (const instruction_count& c : r.instructions.rows)
      counts["rows"].push_back({{"operation", c.operation},
                                {"block_size_bytes", c.operation == "exist" ? 0 : 4096},
                                {"batch_size", c.batch_size},
                                {"submit_instructions", c.submit},
                                {"complete_instructions", c.complete},
                                {"instructions_per_op", c.submit + c.complete}});
  }
  out["goals"] = nlohmann::ordered_json::array();
  for (const spine_goal& g : goals_of(r))
    out["goals"].push_back({{"goal", g.text},
                            {"wanted", g.wanted},
                            {"measured", g.measured},
                            {"reached", g.reached},
                            {"missed_by", g.missed_by}});
  return out;
}

void print(const spine_result& r) {
  using tools::table;
  const auto right = table::align::right;
  const nlohmann::ordered_json& machine = r.origin.at("machine");
  fmt::print("{}, {} processors, {}; load {:.1f}\n{} [{}]; commit {}; {}\n\n",
             machine.at("processor").get<std::string>(), machine.at("processors").get<long>(),
             machine.at("kernel").get<std::string>(), machine.at("load_average_1min").get<double>(),
             r.origin.at("compiler").get<std::string>(), r.origin.at("compiler_flags").get<std::string>(),
             r.origin.at("commit").get<std::string>(), r.origin.at("date_utc").get<std::string>());

  const spread trips = spread_of(r.round_trips_ns);
  fmt::print("Floors: round trip {:.0f} ns (middle half {:.0f} to {:.0f})", trips.middle, trips.low, trips.high);
  if (!r.memcpys_gb_per_s.empty()) {
    const spread copies = spread_of(r.memcpys_gb_per_s);
    fmt::print("; 64 MiB memcpy {:.2f} GB/s ({:.2f} to {:.2f})", copies.middle, copies.low, copies.high);
  }
  fmt::print("; a look at the clock {:.0f} ns, taken off\n\n", r.clock_read_ns);

  table rows(
      {{"operation"},       {"size", right},        {"depth", right},     {"set", right},       {"touched"},
       {"calls"},           {"rate", right},        {"GB/s", right},      {"p50", right},       {"p99", right},
       {"trips", right},    {"of skeleton", right}, {"quartiles", right}, {"of memcpy", right}, {"allocs", right},
       {"syscalls", right}, {"yields", right},      {"wakes", right},     {"sq bells", right},  {"cq bells", right},
       {"staged", right}});
  std::string transport;
  bool disturbed = false;
  for (const spine_row& row : r.rows) {
    if (row.transport != transport) rows.add({row.transport + ":"});
    transport = row.transport;
    disturbed = disturbed || row.disturbed;
    const auto per_op = [](std::optional<double> n) { return n ? fmt::format("{:.3g}", *n) : std::string("-"); };
    rows.add({std::string("  ") + name_of(row.what.what) + (row.disturbed ? " *" : ""),
              row.what.what == verb::exist ? "" : tools::human_bytes(row.what.block_bytes),
              fmt::format("{}", row.what.depth),
              tools::human_bytes(row.what.working_set_bytes),
              row.what.touched ? "yes" : "no",
              name_of(row.what.style),
              rate_text(row.operations_per_s),
              row.what.what == verb::exist ? "" : fmt::format("{:.2f}", row.bandwidth_gb_per_s()),
              time_text(row.latency_p50_ns),
              time_text(row.latency_p99_ns),
              fmt::format("{:.1f}", row.latency_in_round_trips.middle),
              fmt::format("{:.2f}", row.ratio_to_skeleton.middle),
              fmt::format("{:.2f}-{:.2f}", row.ratio_to_skeleton.low, row.ratio_to_skeleton.high),
              row.ratio_to_memcpy ? fmt::format("{:.2f}", row.ratio_to_memcpy->middle) : "",
              per_op(r.allocations_counted ? std::optional(row.allocations_per_op) : std::nullopt),
              per_op(row.syscalls_per_op),
              per_op(row.yields_per_op),
              per_op(row.wakes_per_op),
              per_op(row.sq_doorbells_per_op),
              per_op(row.cq_doorbells_per_op),
              per_op(row.staged_bytes_per_op)});
  }
  fmt::print("{}", rows.text());
  fmt::print(
      "trips: p50 in round trips. Per operation, of the client: allocs, syscalls, yields (sched_yield), wakes (of a "
      "target "
      "that sleeps: after 200 us without work), doorbells, "
      "staged bytes.\n");
  if (disturbed) fmt::print("*: a processor was taken away in some of the windows; there were too few others.\n");
  if (!r.syscalls_not_counted.empty()) fmt::print("syscalls not counted: {}\n", r.syscalls_not_counted);

  if (r.idle) {
    fmt::print("\nAt rest ({}): {:.2f} % of a processor; the first Exist after 2 ms p50 {}, p99 {} ({} times).\n",
               r.idle->transport, r.idle->processor_percent, time_text(r.idle->first_p50_ns),
               time_text(r.idle->first_p99_ns), r.idle->firsts);
  }

  if (!r.instructions.skipped.empty()) fmt::print("\nInstructions: skipped, {}\n", r.instructions.skipped);
  if (!r.instructions.rows.empty()) {
    table counts({{"instructions"}, {"batch", right}, {"submit", right}, {"complete", right}, {"together", right}});
    for (const instruction_count& c : r.instructions.rows)
      counts.add({c.operation, fmt::format("{}", c.batch_size), fmt::format("{:.1f}", c.submit),
                  fmt::format("{:.1f}", c.complete), fmt::format("{:.1f}", c.submit + c.complete)});
    counts.add({"empty poll", "", "", "", fmt::format("{:.1f}", r.instructions.empty_poll)});
    fmt::print("\n{}", counts.text());
  }

  table goals({{"goal"}, {"wanted", right}, {"measured", right}, {""}});
  for (const spine_goal& g : goals_of(r))
    goals.add({g.text, g.wanted, g.measured, g.reached ? "reached" : "missed by " + g.missed_by});
  fmt::print("\n{}", goals.text());
}

}  // namespace bench
