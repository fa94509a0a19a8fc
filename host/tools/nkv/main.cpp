// SPDX-License-Identifier: BSD-3-Clause
#include "common/help.hpp"
#include "nkv/command.hpp"
#include "nkv/failure.hpp"

#include <nkv/base/config.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>

namespace {

constexpr const char* footer = R"(KEYS
  A key has 1 to 255 bytes (1 to 16 in a namespace that carries keys in the command itself: see `nkv info`). On the
  command line it is text, or with --key-format hex hexadecimal digits. In what is printed, a key that does not read
  as text stands as 0x and its digits. A key that begins with a dash comes behind --.

ENDPOINTS
  vfio-user:DIR                the socket DIR/cntrl, as `nkv-target --listen vfio-user:DIR` makes it
  "trtype:VFIOUSER traddr:DIR" the same as SPDK writes it

EXIT STATUS
  0  done
  1  the key does not exist, or --must-exist or --must-not-exist was not met
  2  a mistake in the command line
  3  no connection to the target, or it was lost
  4  the operation was refused: the message names the opcode, the status, the namespace and the key
  5  the deadline passed (--timeout); whether a Store or Delete took place is then not known
  6  a file could not be read or written
  7  import or export left files out, and named them

ENVIRONMENT
  NKV_ENDPOINT  the endpoint where --endpoint is not given

EXAMPLES
  nkv-target --listen vfio-user:/tmp/kv &
  export NKV_ENDPOINT=vfio-user:/tmp/kv
  echo hello | nkv store greeting
  nkv retrieve greeting
  nkv store --must-not-exist lock /dev/null || echo taken
  nkv retrieve --key-format hex 00ff10 value.bin
  nkv import /usr/include && nkv list --paths && nkv export copy
)";

void add_global_options(CLI::App& app, tools::global_options& o) {
  app.add_option("-e,--endpoint", o.endpoint, "Where the target is")->envname("NKV_ENDPOINT")->type_name("ENDPOINT");
  app.add_option("-n,--nsid", o.nsid, "The namespace; may be left out where there is one KV namespace")
      ->check(CLI::Range(std::uint32_t{1}, 0xfffffffeu))
      ->type_name("N");
  app.add_option_function<std::string>(
         "--key-format", [&o](const std::string& format) { o.hex_keys = format == "hex"; },
         "How keys are written on the command line: text (the default) or hex")
      ->check(CLI::IsMember({"text", "hex"}))
      ->type_name("FORMAT");
  app.add_option_function<std::string>(
         "--key-encoding",
         [&o](const std::string& encoding) {
           o.encoding.reset();
           if (encoding == "inline_cdw") o.encoding = nkv::key_encoding::inline_cdw;
           if (encoding == "payload_head") o.encoding = nkv::key_encoding::payload_head;
         },
         "Where the namespace carries keys: auto (the default: found out), inline_cdw or payload_head")
      ->check(CLI::IsMember({"auto", "inline_cdw", "payload_head"}))
      ->type_name("ENCODING");
  app.add_option_function<std::string>(
         "--quirks",
         [&o](const std::string& name) {
           o.quirks.reset();
           if (name == "standard") o.quirks = nkv::quirks::standard();
           if (name == "rados-nkv") o.quirks = nkv::quirks::rados_nkv_forwarder();
           if (name == "qemu") o.quirks = nkv::quirks::qemu_kv();
           if (name == "kvssd") o.quirks = nkv::quirks::vfio_user_kvssd();
         },
         "Which target it is: auto (the default: found out), standard, rados-nkv, qemu or kvssd")
      ->check(CLI::IsMember({"auto", "standard", "rados-nkv", "qemu", "kvssd"}))
      ->type_name("TARGET");
  app.add_flag("--allow-unsealed", o.allow_unsealed,
               "Take doorbells in memory that the target could take away, as SPDK offers them");
  app.add_option("--timeout", o.timeout_s, "Deadline of each operation and of connecting, in seconds")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86400.0))
      ->type_name("SECONDS");
  app.add_flag("--json", o.json, "Results and errors as one JSON object on standard output");
  app.add_flag("-q,--quiet", o.quiet, "No progress, no summaries, no message for a key that does not exist");
}

int report(const tools::failure& f, const tools::global_options& options) {
  if (options.json) {
    nlohmann::json error = f.details.is_object() ? f.details : nlohmann::json::object();
    error["message"] = f.message;
    error["exit_code"] = static_cast<int>(f.code);
    if (!f.message.empty())
      fmt::print("{}\n",
                 nlohmann::json{{"error", error}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  if (!f.message.empty() && !(options.quiet && f.code == tools::exit_unmet)) fmt::print(stderr, "nkv: {}\n", f.message);
  return f.code;
}

}  // namespace

int main(int argc, char** argv) {
  tools::program program;
  CLI::App app("nkv: store, retrieve, delete, list and execute on an NVMe key-value namespace", "nkv");
  app.footer(footer);
  app.set_version_flag("--version",
                       fmt::format("nkv {}.{}.{}", NKV_VERSION_MAJOR, NKV_VERSION_MINOR, NKV_VERSION_PATCH));
  app.require_subcommand(1);
  app.fallthrough();
  app.formatter(std::make_shared<tools::help_formatter>());
  add_global_options(app, program.options);
  tools::add_info(app, program);
  tools::add_store(app, program);
  tools::add_retrieve(app, program);
  tools::add_delete(app, program);
  tools::add_exist(app, program);
  tools::add_list(app, program);
  tools::add_import(app, program);
  tools::add_export(app, program);
  tools::add_execute(app, program);
  tools::add_placement(app, program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? tools::exit_ok : tools::exit_usage;
  }
  int result = tools::exit_ok;
  try {
    program.run();
    result = program.result;
  } catch (const tools::failure& f) {
    result = report(f, program.options);
  } catch (const std::exception& e) {
    result = report({tools::exit_local, e.what()}, program.options);
  }
  // A full disk or a closed pipe shows when the last of the output goes out.
  if (std::fflush(stdout) != 0 && result == tools::exit_ok) {
    fmt::print(stderr, "nkv: cannot write standard output\n");
    result = tools::exit_local;
  }
  return result;
}
