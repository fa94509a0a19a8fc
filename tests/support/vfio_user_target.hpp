// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/vfio_user/vfio_user_transport.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/vfio_user/server.hpp>
#include <support/raw_client.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace nkv_test {

/// A memory namespace behind a vfio-user socket in a folder of its own.
struct vfio_user_target {
  explicit vfio_user_target(nkv::target::vfio_user::server_options options = {},
                            std::shared_ptr<nkv::target::store> store = std::make_shared<nkv::target::memory_store>())
      : subsystem(std::make_shared<nkv::target::subsystem>()), server(subsystem, poller, std::move(options)) {
    REQUIRE(
        subsystem->add(std::make_shared<nkv::target::kv_namespace>(nkv::target::namespace_options{}, std::move(store)))
            .ok());
    REQUIRE(poller.start().ok());
    REQUIRE(server.start(folder.path()).ok());
  }
  ~vfio_user_target() {
    server.stop();
    poller.stop();
  }

  peer connect() const { return peer::connect(folder.path() + "/cntrl"); }
  /// A peer that has agreed on a version.
  peer join(const std::string& json = R"({"capabilities":{"max_msg_fds":8,"nkv_wake":{}}})") const {
    peer p = connect();
    bytes payload{0, 0, 1, 0};
    payload.insert(payload.end(), json.begin(), json.end());
    payload.push_back(0);
    const message reply = p.ask(cmd_version, payload);
    REQUIRE(reply.flags == 1);
    return p;
  }
  /// Waits until the server has this many connections. @return whether it came so
  bool comes_to(std::size_t connections) const {
    const auto until = nkv::host::deadline::after_ms(10'000);
    while (server.connections() != connections && !until.expired()) ::usleep(500);
    return server.connections() == connections;
  }

  temporary_folder folder;
  std::shared_ptr<nkv::target::subsystem> subsystem;
  nkv::target::poller poller;
  nkv::target::vfio_user::server server;
};

/// A client of the barest form over the library's transport, with a memory file shared as its arena.
struct vfio_user_client {
  static constexpr std::size_t arena_bytes = 1 << 20;

  explicit vfio_user_client(const std::string& address, nkv::host::vfio_user_options options = {})
      : fd(make_memory(arena_bytes, F_SEAL_SHRINK)),
        arena(static_cast<std::byte*>(::mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0))),
        client(arena, arena_bytes, reinterpret_cast<std::uintptr_t>(arena)) {
    REQUIRE(arena != MAP_FAILED);
    auto made = nkv::host::vfio_user_transport::connect(address, soon(), options);
    REQUIRE(made.error() == nkv::status{});
    transport = *std::move(made);
    REQUIRE(transport->map_dma(memory(), soon()).ok());
    const nkv::host::doorbell_page page = transport->doorbells();
    client.port.doorbells = page.base != nullptr ? page.base : unmapped;
    client.port.read = [this](std::uint32_t offset, unsigned width) {
      const auto r = transport->read_register(offset, width, soon());
      REQUIRE(r.has_value());
      return *r;
    };
    client.port.write = [this](std::uint32_t offset, unsigned width, std::uint64_t value) {
      REQUIRE(transport->write_register(offset, width, value, soon()).ok());
    };
    client.port.step = [] { ::sched_yield(); };
    client.port.rung = [this, page] {
      if (page.base == nullptr) {
        // Stored in `unmapped`, and sent: all of them, since it is not said which.
        for (std::uint32_t i = 0; i < unmapped_count; ++i) {
          if (unmapped[i] == sent[i]) continue;
          sent[i] = unmapped[i];
          REQUIRE(transport->write_register(0x1000 + 4 * i, 4, unmapped[i], soon()).ok());
        }
      } else if (page.asleep != nullptr && __atomic_load_n(page.asleep, __ATOMIC_SEQ_CST) != 0) {
        const std::uint64_t one = 1;
        REQUIRE(::write(page.wake_fd, &one, sizeof one) == sizeof one);
      }
    };
  }
  ~vfio_user_client() {
    transport.reset();
    ::munmap(arena, arena_bytes);
  }

  static nkv::host::deadline soon() { return nkv::host::deadline::after_ms(10'000); }
  nkv::host::dma_memory memory() const { return {arena, arena_bytes, fd.get(), 0}; }

  /// Enabled, with an I/O queue pair.
  raw_client::queue bring_up() {
    REQUIRE(client.enable() == 1);
    raw_client::queue q = client.make_queue(1, 64);
    REQUIRE(client.create_pair(q));
    return q;
  }

  nkv::host::unique_fd fd;
  std::byte* arena;
  std::unique_ptr<nkv::host::vfio_user_transport> transport;
  raw_client client;

 private:
  static constexpr std::uint32_t unmapped_count = 16;
  std::uint32_t unmapped[unmapped_count] = {};
  std::uint32_t sent[unmapped_count] = {};
};

}  // namespace nkv_test
