// SPDX-License-Identifier: BSD-3-Clause
#include "rados_report.hpp"

#include "common/human.hpp"
#include "common/table.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace bench::rados {

namespace {

std::string rate(double per_s, std::uint32_t block) {
  return block == long_bytes ? fmt::format("{:.2f} GB/s", per_s * block / 1e9) : fmt::format("{:.1f} k/s", per_s / 1e3);
}
std::string time(double ns) { return tools::human_time(static_cast<std::uint64_t>(ns)); }

}  // namespace

std::vector<goal> goals_of(const std::vector<row>& rows) {
  std::vector<goal> out;
  for (const row& r : rows) {
    const double share = r.what.block_bytes == long_bytes ? 0.95 : 0.85;
    if (r.what.depth > 1)
      out.push_back(goal{r.what.name() + ", share of native librados's rate", fmt::format(">= {:.2f}", share),
                         fmt::format("{:.2f}", r.ratio), r.ratio >= share});
    else if (r.what.block_bytes == short_bytes)
      out.push_back(goal{r.what.name() + ", added to native librados's p50", "< 30 us",
                         fmt::format("{:.1f} us", r.added_ns / 1e3), r.added_ns < 30e3});
  }
  return out;
}

void print(const std::vector<row>& rows, const std::vector<goal>& goals, const nlohmann::ordered_json& beside) {
  using align = tools::table::align;
  tools::table t({{"load", align::left},
                  {"nkv", align::right},
                  {"librados", align::right},
                  {"ratio", align::right},
                  {"rados bench", align::right},
                  {"nkv p50", align::right},
                  {"librados p50", align::right},
                  {"nkv p99", align::right},
                  {"librados p99", align::right}});
  for (const row& r : rows)
    t.add({r.what.name(), rate(r.nkv_per_s, r.what.block_bytes), rate(r.native_per_s, r.what.block_bytes),
           fmt::format("{:.2f}", r.ratio),
           r.rados_bench_per_s == 0 ? "-" : rate(r.rados_bench_per_s, r.what.block_bytes), time(r.nkv_p50_ns),
           time(r.native_p50_ns), time(r.nkv_p99_ns), time(r.native_p99_ns)});
  fmt::print("{}\n", t.text());
  for (const auto& [name, value] : beside.items()) fmt::print("{}: {}\n", name, value.dump());
  tools::table g({{"to reach", align::left}, {"wanted", align::right}, {"measured", align::right}, {"", align::left}});
  for (const goal& one : goals) g.add({one.text, one.wanted, one.measured, one.reached ? "reached" : "not reached"});
  fmt::print("\n{}", g.text());
}

nlohmann::ordered_json json_of(const nlohmann::ordered_json& origin, const std::vector<row>& rows,
                               const std::vector<goal>& goals, const nlohmann::ordered_json& beside) {
  nlohmann::ordered_json out = {{"origin", origin}, {"rows", nlohmann::json::array()}, {"beside", beside}};
  for (const row& r : rows)
    out["rows"].push_back({{"name", r.what.name()},
                           {"operation", name_of(r.what.what)},
                           {"block_size_bytes", r.what.block_bytes},
                           {"depth", r.what.depth},
                           {"nkv_operations_per_s", r.nkv_per_s},
                           {"librados_operations_per_s", r.native_per_s},
                           {"ratio_to_librados", r.ratio},
                           {"rados_bench_operations_per_s", r.rados_bench_per_s},
                           {"nkv_latency_p50_ns", r.nkv_p50_ns},
                           {"librados_latency_p50_ns", r.native_p50_ns},
                           {"nkv_latency_p99_ns", r.nkv_p99_ns},
                           {"librados_latency_p99_ns", r.native_p99_ns},
                           {"added_latency_p50_ns", r.added_ns}});
  out["goals"] = nlohmann::json::array();
  for (const goal& g : goals)
    out["goals"].push_back({{"text", g.text}, {"wanted", g.wanted}, {"measured", g.measured}, {"reached", g.reached}});
  return out;
}

}  // namespace bench::rados
