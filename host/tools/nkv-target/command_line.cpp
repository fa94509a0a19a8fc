// SPDX-License-Identifier: BSD-3-Clause
#include "nkv-target/command_line.hpp"

#include "common/help.hpp"
#include "nkv-target/namespace_flag.hpp"

#include <nkv/base/config.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/target/config.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tools {

namespace {

constexpr const char* footer = R"(NAMESPACES
  Without --namespace and --config there is one: nsid 1, inline_cdw, in memory. --namespace takes
  KEY=VALUE pairs with commas between them:
    nsid=N              1 to 1024 (default 1), each once
    name=TEXT           for people; not seen by clients
    encoding=WORD       inline_cdw (default): keys of 1 to 16 bytes, as the NVMe KV Command Set has them;
                        payload_head: 1 to 255 bytes, as RADOS-NKV has them
    max-key=N           the longest key in bytes
    max-value=SIZE      the longest value, at most 128MiB (default)
    capacity=SIZE       of all keys and values, default 4GiB
    max-keys=N          what Identify says; nothing is refused for it
    read-only           Store and Delete are refused
    nguid=HEX           32 digits; default: made from the subsystem's name and the nsid
  Values are held in this process's memory and are gone when it ends.

CONFIGURATION FILE
  A JSON object. Every field may be left out, save a listener's endpoint; an unknown one is refused.
  Sizes are numbers of bytes or text with a unit: "64MiB", "10 GB".
    {"poller": {"spin_us": 200, "foreign_poll_us": 100},
     "subsystems": [
       {"subnqn": "nqn.2026-11.io.nkv:default", "serial": "...", "model": "...",
        "max_controllers": 1024, "max_queue_entries": 1024, "max_io_queue_pairs": 64,
        "max_transfer_bytes": "256MiB", "sgl": true,
        "rados": {"pool": "kv", "conf": "/etc/ceph/ceph.conf", "user": "admin", "keyring": "...",
                  "op_timeout_s": 5, "mon_timeout_s": 5, "max_operations": 768, "max_bytes": "96MiB"},
        "namespaces": [
          {"nsid": 1, "name": "x", "nguid": "...", "key_encoding": "inline_cdw", "read_only": false,
           "max_key_bytes": 16, "max_value_bytes": "64MiB", "max_keys": 0,
           "optimal_granularity_bytes": 4096, "reads_head": true,
           "store": {"type": "memory", "capacity_bytes": "4GiB", "kept_block_bytes": "256MiB"}},
          {"nsid": 2, "name": "y", "store": {"type": "rados", "rados_namespace": "y", "ttl": false},
           "cache": {"freshness": "validated", "max_bytes": "1GiB", "max_values": 1048576}}]}],
     "listeners": [
       {"endpoint": "vfio-user:DIR", "subnqn": "...", "socket_mode": "0600", "max_clients": 256,
        "map_doorbells": true, "accept_unsealed": false, "accept_dma_buf": false}]}

RADOS
  A subsystem with "rados" is a pool of a Ceph cluster; a namespace whose store is of type "rados" is a
  RADOS namespace of it, by default the one with its name. A pair is an object, whose name is the key in
  lowercase hexadecimal digits: what `rados put` wrote there can be retrieved, and the other way round.
  With "ttl" times to live are kept, in an attribute of each object; else they are refused.
  With "cache" values that were retrieved, or that modules ran on, are kept in memory. How they are kept
  fresh has to be said: "validated", each is asked for in the cluster, without its data, before it is
  given out, so that others may write the objects; "sole_writer", nobody does but clients of this
  namespace; "immutable", a key's value never changes.
  Keys and secrets stay in the keyring. What the cluster cannot do now is answered with a status within
  two time-outs, and logged; nothing has to be restarted when it can again.

READINESS
  Once all listeners are open one line for each goes to standard output, or to the descriptor of
  --ready-fd, which is then closed: "ready vfio-user:DIR". Wait for it rather than for the socket.

SIGNALS
  SIGTERM, SIGINT  stop: the sockets are taken away, operations under way end, exit 0
  SIGHUP           nothing: the configuration is read once

EXIT STATUS
  0  stopped by a signal, or --check found nothing wrong
  1  the system refused something it needs
  2  a mistake in the command line or the configuration; the message names the field
  3  a listener could not be opened, e.g. because another process serves the socket

EXAMPLES
  nkv-target --listen vfio-user:/tmp/kv
  nkv-target --listen vfio-user:/tmp/kv --namespace nsid=1 --namespace nsid=2,encoding=payload_head,capacity=1GiB
  nkv-target --config target.json --check
)";

struct arguments {
  std::vector<std::string> listen;
  std::string config;
  std::vector<std::string> namespaces;
  std::string subnqn;
  std::string socket_mode;
  std::string max_transfer;
  bool prp_only = false;
  bool no_map_doorbells = false;
  std::optional<std::uint64_t> max_clients;
  std::optional<std::uint64_t> queue_entries;
  std::optional<std::uint64_t> queue_pairs;
  std::optional<std::uint64_t> spin_us;
  std::optional<std::uint64_t> foreign_poll_us;
};

std::optional<std::string> read_file(const std::string& path, std::string& error) {
  constexpr std::size_t most = (std::size_t{1} << 20) + 1;
  const nkv::host::unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    error = std::strerror(errno);
    return std::nullopt;
  }
  std::string text;
  char buffer[4096];
  // No further than what is refused for its length, whatever the file is.
  while (text.size() < most) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error = std::strerror(errno);
      return std::nullopt;
    }
    if (n == 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

int mistake(const std::string& text) {
  fmt::print(stderr, "nkv-target: {}\n", text);
  return target_usage;
}

/// What is wrong with a configuration that was made of flags, by the flags' names.
std::string by_flag(const nkv::target::config_error& error, const arguments& a) {
  static constexpr std::pair<std::string_view, std::string_view> flags[] = {
      {"subsystems[0].subnqn", "--subnqn"},
      {"subsystems[0].max_transfer_bytes", "--mdts"},
      {"subsystems[0].sgl", "--prp-only"},
      {"subsystems[0].max_queue_entries", "--queue-entries"},
      {"subsystems[0].max_io_queue_pairs", "--queue-pairs"},
      {"poller.spin_us", "--spin-us"},
      {"poller.foreign_poll_us", "--foreign-poll-us"},
      {"--listen.socket_mode", "--socket-mode"},
      {"--listen.max_clients", "--max-clients"},
      {"--listen.endpoint", "--listen"},
  };
  for (const auto& [field, flag] : flags)
    if (error.where == field) return fmt::format("{}: {}", flag, error.what);
  for (std::size_t i = 0; i < a.namespaces.size(); ++i) {
    const std::string prefix = fmt::format("subsystems[0].namespaces[{}].", i);
    if (error.where.substr(0, prefix.size()) == prefix)
      return fmt::format("--namespace {}: {}: {}", a.namespaces[i], error.where.substr(prefix.size()), error.what);
  }
  return error.text();
}

/// The flags as a configuration, on top of the one that is read already.
std::string apply(const arguments& a, nkv::target::target_options& options) {
  nkv::target::config_error error;
  if (a.config.empty()) {
    nlohmann::json subsystem = nlohmann::json::object();
    if (!a.subnqn.empty()) subsystem["subnqn"] = a.subnqn;
    if (!a.max_transfer.empty()) subsystem["max_transfer_bytes"] = a.max_transfer;
    if (a.prp_only) subsystem["sgl"] = false;
    if (a.queue_entries) subsystem["max_queue_entries"] = *a.queue_entries;
    if (a.queue_pairs) subsystem["max_io_queue_pairs"] = *a.queue_pairs;
    nlohmann::json all = {{"subsystems", nlohmann::json::array()}};
    if (a.spin_us) all["poller"]["spin_us"] = *a.spin_us;
    if (a.foreign_poll_us) all["poller"]["foreign_poll_us"] = *a.foreign_poll_us;
    if (!a.namespaces.empty()) subsystem["namespaces"] = nlohmann::json::array();
    for (const std::string& flag : a.namespaces) {
      std::string why;
      subsystem["namespaces"].push_back(namespace_from_flag(flag, why));
      if (!why.empty()) return fmt::format("--namespace {}: {}", flag, why);
    }
    all["subsystems"].push_back(std::move(subsystem));
    nkv::target::config_parsed parsed = nkv::target::read_config(all);
    if (!parsed.options) return by_flag(parsed.error, a);
    options = *std::move(parsed.options);
  }
  for (const std::string& endpoint : a.listen) {
    nlohmann::json listener = {{"endpoint", endpoint}};
    if (!a.socket_mode.empty()) listener["socket_mode"] = a.socket_mode;
    if (a.max_clients) listener["max_clients"] = *a.max_clients;
    if (a.no_map_doorbells) listener["map_doorbells"] = false;
    options.listeners.push_back(nkv::target::read_listener(listener, "--listen", error));
    if (!error.what.empty()) return by_flag(error, a);
  }
  error = nkv::target::complete(options);
  if (!error.what.empty()) return error.text();
  if (options.listeners.empty())
    return "nothing to listen on: give --listen vfio-user:DIR, or listeners in the configuration";
  return {};
}

}  // namespace

std::variant<target_command, int> read_command_line(int argc, char** argv) {
  target_command out;
  arguments a;
  bool json_log = false;
  std::string level = "info";
  CLI::App app("nkv-target: serve key-value namespaces to NVMe clients on this machine", "nkv-target");
  app.footer(footer);
  app.set_version_flag("--version",
                       fmt::format("nkv-target {}.{}.{}", NKV_VERSION_MAJOR, NKV_VERSION_MINOR, NKV_VERSION_PATCH));
  app.formatter(std::make_shared<help_formatter>());
  app.add_option("-l,--listen", a.listen,
                 "Where clients connect: vfio-user:DIR makes the socket DIR/cntrl; may be repeated")
      ->type_name("ENDPOINT")
      ->take_all();
  CLI::Option* config = app.add_option("-c,--config", a.config, "Read a configuration file")->type_name("FILE");
  app.add_option("--namespace", a.namespaces, "A namespace, see below; may be repeated")
      ->type_name("KEY=VALUE,...")
      ->take_all()
      ->excludes(config);
  app.add_option("--subnqn", a.subnqn, "Name of the subsystem")->type_name("NQN")->excludes(config);
  app.add_option("--socket-mode", a.socket_mode, "Permissions of the sockets of --listen, in octal (default 0600)")
      ->type_name("MODE");
  app.add_option("--max-clients", a.max_clients, "Clients of each socket of --listen at a time (default 256)")
      ->type_name("N");
  app.add_flag("--no-map-doorbells", a.no_map_doorbells,
               "Let no client of --listen map the doorbells: each ring comes as a message");
  app.add_option("--mdts", a.max_transfer, "The most data of one command, a power of two; 0: no limit (default 256MiB)")
      ->type_name("SIZE")
      ->excludes(config);
  app.add_flag("--prp-only", a.prp_only, "Take no SGLs, PRPs alone; for namespaces with inline_cdw keys")
      ->excludes(config);
  app.add_option("--queue-entries", a.queue_entries, "Entries of a queue at most (default 1024)")
      ->type_name("N")
      ->excludes(config);
  app.add_option("--queue-pairs", a.queue_pairs, "I/O queue pairs of a client at most (default 64)")
      ->type_name("N")
      ->excludes(config);
  app.add_option("--spin-us", a.spin_us, "How long to poll after the last work before going to sleep (default 200)")
      ->type_name("MICROSECONDS")
      ->excludes(config);
  app.add_option("--foreign-poll-us", a.foreign_poll_us,
                 "How often to look while a client is connected that cannot wake this program (default 100)")
      ->type_name("MICROSECONDS")
      ->excludes(config);
  app.add_option("--ready-fd", out.ready_fd, "Where to write the readiness line instead of standard output")
      ->type_name("FD")
      ->check(CLI::Range(0, 1 << 20));
  app.add_flag("--check", out.check_only, "Say whether the configuration is good, and exit");
  app.add_flag("--log-json", json_log, "Log lines on standard error as JSON objects, not as KEY=VALUE pairs");
  app.add_option("--log-level", level, "error, warning or info (default)")
      ->check(CLI::IsMember({"error", "warning", "info"}))
      ->type_name("LEVEL");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? target_ok : target_usage;
  }
  out.log.set_json(json_log);
  out.log.set_level(level == "error"     ? event_log::level::error
                    : level == "warning" ? event_log::level::warning
                                         : event_log::level::info);
  if (!a.config.empty()) {
    std::string why;
    const std::optional<std::string> text = read_file(a.config, why);
    if (!text) return mistake(a.config + ": " + why);
    nkv::target::config_parsed parsed = nkv::target::parse_config(*text);
    if (!parsed.options) return mistake(a.config + ": " + parsed.error.text());
    out.options = *std::move(parsed.options);
  }
  // Of a configuration's own fields nothing can be wrong any more.
  if (const std::string why = apply(a, out.options); !why.empty()) return mistake(why);
  return out;
}

}  // namespace tools
