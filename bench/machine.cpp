// SPDX-License-Identifier: BSD-3-Clause
#include "machine.hpp"

#include <nkv/base/config.hpp>

#include <fmt/format.h>

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>

namespace bench {

namespace {

/// The text behind `field` and a colon in a file of such lines.
std::string field_of(const char* path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field, 0) != 0) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t at = line.find_first_not_of(" \t", colon + 1);
    return at == std::string::npos ? std::string() : line.substr(at);
  }
  return {};
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The commit that stands in the environment, or that of the source tree now.
std::string commit() {
  if (const char* const given = std::getenv("NKV_BENCH_COMMIT"); given != nullptr && *given != '\0') return given;
  const std::string command =
      fmt::format("git -C '{}' describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null", NKV_BENCH_SOURCE_DIR);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  char text[128] = {};
  if (pipe == nullptr || std::fgets(text, sizeof text, pipe.get()) == nullptr) return "unknown";
  std::string out = text;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out.empty() ? "unknown" : out;
}

std::string date_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

nlohmann::ordered_json provenance(const std::vector<std::string>& arguments, const std::vector<int>& processors) {
  utsname system{};
  ::uname(&system);
  nlohmann::ordered_json machine = {
      {"processor", field_of("/proc/cpuinfo", "model name")},
      {"architecture", system.machine},
      {"processors", ::sysconf(_SC_NPROCESSORS_ONLN)},
      {"memory_bytes",
       static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))},
      {"kernel", fmt::format("{} {}", system.sysname, system.release)},
      {"hypervisor", field_of("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos},
      {"clocksource", first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource")},
      {"transparent_hugepages", first_line("/sys/kernel/mm/transparent_hugepage/enabled")},
      {"load_average_1min", load_average()},
  };
  return {
      {"nkv_version", fmt::format("{}.{}.{}", NKV_VERSION_MAJOR, NKV_VERSION_MINOR, NKV_VERSION_PATCH)},
      {"commit", commit()},
      {"date_utc", date_utc()},
      {"arguments", arguments},
      {"compiler", NKV_BENCH_COMPILER},
      {"compiler_flags", NKV_BENCH_FLAGS},
      {"processors_used", processors},
      {"machine", std::move(machine)},
  };
}

double load_average() {
  double out = -1;
  return ::getloadavg(&out, 1) == 1 ? out : -1;
}

}  // namespace bench
