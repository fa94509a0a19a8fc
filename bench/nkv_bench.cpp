// SPDX-License-Identifier: BSD-3-Clause
#include "common/help.hpp"
#include "failure.hpp"
#include "subcommand.hpp"

#include <nkv/base/config.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <memory>

namespace {

constexpr const char* footer = R"(EXIT STATUS
  0  measured; whether a goal was reached does not matter
  1  something could not be measured, or an operation failed
  2  a mistake in the command line

EXAMPLES
  nkv-bench spine
  nkv-bench spine --json result.json --filter retrieve/4KiB
  nkv-bench device-cost --json result.json
  nkv-bench rados --json result.json
)";

}  // namespace

int main(int argc, char** argv) {
  bench::program program;
  program.arguments.assign(argv + 1, argv + argc);
  CLI::App app("nkv-bench: what an operation costs, beside what it cannot cost less than", "nkv-bench");
  app.footer(footer);
  app.set_version_flag("--version",
                       fmt::format("nkv-bench {}.{}.{}", NKV_VERSION_MAJOR, NKV_VERSION_MINOR, NKV_VERSION_PATCH));
  app.require_subcommand(1);
  app.formatter(std::make_shared<tools::help_formatter>());
  bench::add_spine(app, program);
  bench::add_spine_count(app, program);
  bench::add_device_cost(app, program);
#if NKV_WITH_RADOS
  bench::add_rados(app, program);
#endif
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  int result = 0;
  try {
    result = program.run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "nkv-bench: {}\n", e.what());
    result = 1;
  }
  if (std::fflush(stdout) != 0 && result == 0) {
    fmt::print(stderr, "nkv-bench: cannot write standard output\n");
    result = 1;
  }
  return result;
}
