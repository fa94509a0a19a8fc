// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/raw_client.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>
#include <nkv/host/unique_fd.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>

namespace nkv_test {

inline bytes words(std::initializer_list<std::uint32_t> values) {
  bytes b;
  for (const std::uint32_t v : values) put(b, v);
  return b;
}

/// A memory file with its mapping, at the address that the target is told.
struct shared_memory {
  explicit shared_memory(std::size_t size_bytes, int seals = F_SEAL_SHRINK)
      : size(size_bytes),
        fd(make_memory(size_bytes, seals)),
        at(static_cast<std::byte*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0))) {
    REQUIRE(at != MAP_FAILED);
  }
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;
  ~shared_memory() { ::munmap(at, size); }
  [[nodiscard]] std::uint64_t address() const { return reinterpret_cast<std::uintptr_t>(at); }

  const std::size_t size;
  const nkv::host::unique_fd fd;
  std::byte* const at;
};

/// A client that may send whatever it likes, messages and commands: nothing of the library is between it and the
/// target. Enabled, its arena shared, with an I/O queue pair. Not for threads.
struct hostile_client {
  static constexpr std::size_t arena_bytes = 1 << 20;

  explicit hostile_client(const std::string& folder)
      : socket(peer::connect(folder + "/cntrl")), arena(arena_bytes), client(arena.at, arena_bytes, arena.address()) {
    REQUIRE(socket.fd() >= 0);
    bytes version{0, 0, 1, 0};
    for (const char c : std::string("{}")) version.push_back(static_cast<unsigned char>(c));
    version.push_back(0);
    REQUIRE(socket.ask(cmd_version, version).flags == 1);
    bytes region = words({4096, 0, 0, 0});
    region.resize(32);
    const message info = socket.ask(cmd_get_region_info, region);
    REQUIRE(info.fds.size() == 1);
    doorbells = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, info.fds[0], 0x1000);
    ::close(info.fds[0]);
    REQUIRE(doorbells != MAP_FAILED);
    REQUIRE(map(arena) == 0);
    client.port.doorbells = static_cast<std::uint32_t*>(doorbells);
    // It leaves the processor to others meanwhile: what another client sees of it shall be the target's doing.
    client.port.step = [] { ::usleep(50); };
    client.port.write = [this](std::uint32_t offset, unsigned width, std::uint64_t value) {
      bytes b = access(offset, width);
      b.resize(16 + width);
      std::memcpy(b.data() + 16, &value, width);
      REQUIRE(socket.ask(cmd_region_write, b).flags == 1);
    };
    client.port.read = [this](std::uint32_t offset, unsigned width) {
      const message reply = socket.ask(cmd_region_read, access(offset, width));
      REQUIRE(reply.payload.size() == 16 + width);
      std::uint64_t value = 0;
      std::memcpy(&value, reply.payload.data() + 16, width);
      return value;
    };
    bring_up();
  }
  hostile_client(const hostile_client&) = delete;
  hostile_client& operator=(const hostile_client&) = delete;
  ~hostile_client() { ::munmap(doorbells, 4096); }

  void bring_up() {
    REQUIRE(client.enable() == 1);
    io = pair(1);
  }
  raw_client::queue pair(std::uint16_t qid) {
    raw_client::queue q = client.make_queue(qid, 16);
    REQUIRE(client.create_pair(q));
    return q;
  }

  static constexpr std::uint32_t readable = 1;
  static constexpr std::uint32_t writable = 2;
  /// @return the errno of the answer, 0 for success
  std::uint32_t map(std::uint64_t address, std::uint64_t size, int fd,
                    std::uint32_t flags = readable | writable) const {
    bytes b = words({32, flags});
    for (const std::uint64_t v : {std::uint64_t{0}, address, size}) put(b, v);
    return socket.ask(cmd_dma_map, b, fd >= 0 ? std::vector<int>{fd} : std::vector<int>{}).error;
  }
  std::uint32_t map(const shared_memory& m, std::uint32_t flags = readable | writable) const {
    return map(m.address(), m.size, m.fd.get(), flags);
  }
  static bytes unmapping(std::uint64_t address, std::uint64_t size) {
    bytes b = words({24, 0});
    put(b, address);
    put(b, size);
    return b;
  }
  std::uint32_t unmap(const shared_memory& m) const {
    return socket.ask(cmd_dma_unmap, unmapping(m.address(), m.size)).error;
  }
  /// Whether the command is answered. @param[out] how with what
  bool answered(const nkv::sqe& command, nkv::status& how) {
    const std::uint16_t cid = next_cid_++;
    client.post(io, command, cid);
    client.ring(io);
    const auto e = client.wait(io, cid);
    if (e) how = e->status();
    return e.has_value();
  }
  /// Whether the command is answered, with an error.
  bool refused(const nkv::sqe& command) {
    nkv::status how;
    return answered(command, how) && !how.ok();
  }
  /// Whether an ordinary command is answered as it should be.
  bool alive() {
    nkv::status how;
    return answered(client.kv(0x14, "none"), how) && how.is_key_does_not_exist();
  }
  /// Whether the controller answers admin commands.
  bool admin_alive() {
    nkv::sqe keep_alive;
    keep_alive.dw[0] = 0x18;
    return client.run(client.admin, keep_alive).status().ok();
  }
  bool fatal() { return (client.port.read(nkv::reg::csts, 4) & 2) != 0; }

  peer socket;
  shared_memory arena;
  void* doorbells = MAP_FAILED;
  raw_client client;
  raw_client::queue io;

 private:
  static bytes access(std::uint32_t offset, std::uint32_t width) {
    bytes b;
    put<std::uint64_t>(b, offset);
    put<std::uint32_t>(b, 0);
    put(b, width);
    return b;
  }
  std::uint16_t next_cid_ = 1000;
};

}  // namespace nkv_test
