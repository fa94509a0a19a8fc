// SPDX-License-Identifier: BSD-3-Clause
#include "nkv-target/command_line.hpp"
#include "nkv-target/execute_runtimes.hpp"
#include "nkv-target/rados_clusters.hpp"

#include <nkv/host/describe.hpp>
#include <nkv/host/unique_fd.hpp>
#include <nkv/target/cache/cache_options.hpp>
#include <nkv/target/cache/cached_store.hpp>
#include <nkv/target/config.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/vfio_user/server.hpp>

#include <fmt/format.h>

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace {

namespace target = nkv::target;
using level = tools::event_log::level;

/// The signals that the program waits for, blocked in every thread, so that they are read in one place.
sigset_t awaited_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  return set;
}

/// Reads signals until one says to stop.
void wait_for_stop(int signal_fd, const tools::event_log& log) {
  for (;;) {
    signalfd_siginfo info{};
    const ssize_t n = ::read(signal_fd, &info, sizeof info);
    if (n < 0 && errno == EINTR) continue;
    if (n != static_cast<ssize_t>(sizeof info)) return;
    const auto number = static_cast<int>(info.ssi_signo);
    if (number != SIGHUP) {
      log.write(level::info, "stopping", {{"signal", ::strsignal(number)}});
      return;
    }
    log.write(level::info, "ignored", {{"signal", "SIGHUP"}, {"why", "the configuration is read once"}});
  }
}

/// Says that all listeners are open.
void tell_ready(const tools::target_command& command) {
  std::string text;
  for (const target::listener_options& l : command.options.listeners) text += "ready " + l.endpoint + '\n';
  const int fd = command.ready_fd >= 0 ? command.ready_fd : STDOUT_FILENO;
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      // Nobody listens any more; who is served does not mind.
      command.log.write(level::warning, "readiness not told", {{"why", std::strerror(errno)}});
      break;
    }
    at += static_cast<std::size_t>(n);
  }
  if (command.ready_fd >= 0) ::close(command.ready_fd);
}

target::vfio_user::server_options server_options_of(const target::listener_options& l,
                                                    const target::controller_options& controller) {
  target::vfio_user::server_options out;
  out.socket_mode = l.socket_mode;
  out.max_connections = l.max_clients;
  out.connection.controller = controller;
  out.connection.map_doorbells = l.map_doorbells;
  out.connection.memory.accept_unsealed = l.accept_unsealed;
  out.connection.memory.accept_dma_buf = l.accept_dma_buf;
  return out;
}

int serve(const tools::target_command& command) {
  const tools::event_log& log = command.log;
  const sigset_t signals = awaited_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const nkv::host::unique_fd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!signal_fd.valid()) {
    log.write(level::error, "failed", {{"what", "signalfd"}, {"why", std::strerror(errno)}});
    return tools::target_failed;
  }

  struct served {
    std::shared_ptr<target::subsystem> subsystem;
    const target::configured_subsystem* from;
  };
  tools::rados_clusters clusters(log);
  // Looked for where something may need it.
  bool executes = false;
  for (const target::configured_subsystem& s : command.options.subsystems)
    for (const target::configured_namespace& ns : s.namespaces) executes = executes || !ns.options.operations.empty();
  // Ends before the clusters: it may be reading a module.
  const std::shared_ptr<target::execute_service> executions =
      executes ? tools::make_executions(command.options.execute, log) : nullptr;
  std::map<std::string, served> subsystems;
  for (std::size_t i = 0; i < command.options.subsystems.size(); ++i) {
    const target::configured_subsystem& s = command.options.subsystems[i];
    std::string why;
    subsystems[s.options.subnqn] = {clusters.make(s, executions, why), &s};
    if (subsystems[s.options.subnqn].subsystem == nullptr) {
      fmt::print(stderr, "nkv-target: subsystems[{}].{}\n", i, why);
      return tools::target_usage;
    }
    for (const target::configured_namespace& ns : s.namespaces) {
      log.write(
          level::info, "namespace",
          {{"subnqn", s.options.subnqn},
           {"nsid", fmt::format("{}", ns.options.nsid)},
           {"name", ns.options.name},
           {"key_encoding", ns.options.key_encoding == nkv::key_encoding::inline_cdw ? "inline_cdw" : "payload_head"},
           {"read_only", ns.options.read_only ? "true" : "false"},
           {"pool", ns.rados ? ns.rados->pool : std::string()},
           {"rados_namespace", ns.rados ? ns.rados->rados_namespace : std::string()},
           {"capacity_bytes", ns.rados ? std::string() : fmt::format("{}", ns.store.capacity_bytes)}});
    }
  }
  clusters.wait_until_ready();

  target::poller poller(command.options.poller);
  if (const nkv::status s = poller.start(); !s.ok()) {
    log.write(level::error, "failed", {{"what", "the polling thread"}, {"why", nkv::host::describe(s)}});
    return tools::target_failed;
  }
  std::vector<std::unique_ptr<target::vfio_user::server>> servers;
  for (const target::listener_options& l : command.options.listeners) {
    const served& what = subsystems.at(l.subnqn);
    auto server = std::make_unique<target::vfio_user::server>(what.subsystem, poller,
                                                              server_options_of(l, what.from->controller));
    const std::string directory = *target::vfio_user_directory(l.endpoint);
    if (const nkv::status s = server->start(directory); !s.ok()) {
      const std::string why =
          s == nkv::status(nkv::client_status::busy) ? "another process serves it" : nkv::host::describe(s);
      log.write(level::error, "cannot listen", {{"endpoint", l.endpoint}, {"why", why}});
      return tools::target_listen;
    }
    log.write(level::info, "listening", {{"endpoint", l.endpoint}, {"socket", server->path()}, {"subnqn", l.subnqn}});
    servers.push_back(std::move(server));
  }
  tell_ready(command);
  wait_for_stop(signal_fd.get(), log);
  // Servers before the thread that drives them.
  servers.clear();
  poller.stop();
  for (const auto& [subnqn, what] : subsystems)
    for (const auto& ns : *what.subsystem->namespaces())
      if (const auto* const cache = dynamic_cast<const target::cached_store*>(&ns->store()); cache != nullptr) {
        const target::cache_statistics s = cache->statistics();
        log.write(level::info, "cache",
                  {{"subnqn", subnqn},
                   {"nsid", fmt::format("{}", ns->nsid())},
                   {"hits", fmt::format("{}", s.hits)},
                   {"validations", fmt::format("{}", s.validations)},
                   {"fills", fmt::format("{}", s.fills)},
                   {"evictions", fmt::format("{}", s.evictions)},
                   {"invalidations", fmt::format("{}", s.invalidations)},
                   {"values", fmt::format("{}", s.values)},
                   {"bytes", fmt::format("{}", s.bytes)}});
      }
  log.write(level::info, "stopped");
  return tools::target_ok;
}

}  // namespace

int main(int argc, char** argv) {
  const std::variant<tools::target_command, int> command = tools::read_command_line(argc, argv);
  if (const int* code = std::get_if<int>(&command)) return *code;
  const auto& c = std::get<tools::target_command>(command);
  if (c.check_only) {
    fmt::print("the configuration is good\n");
    return tools::target_ok;
  }
  return serve(c);
}
