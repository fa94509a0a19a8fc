// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/connection.hpp>
#include <support/vfio_user_target.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace nkv;
using nkv_test::bytes;
using nkv_test::get;
using nkv_test::message;
using nkv_test::peer;
using nkv_test::put;
using nkv_test::vfio_user_client;
using nkv_test::vfio_user_target;

namespace {

bytes words(std::initializer_list<std::uint32_t> values) {
  bytes b;
  for (const std::uint32_t v : values) put(b, v);
  return b;
}
bytes version(std::uint16_t major, std::uint16_t minor, const std::string& json = {}) {
  bytes b;
  put(b, major);
  put(b, minor);
  if (!json.empty()) {
    b.insert(b.end(), json.begin(), json.end());
    b.push_back(0);
  }
  return b;
}
bytes region_info(std::uint32_t argsz, std::uint32_t index) {
  bytes b = words({argsz, 0, index, 0});
  b.resize(32);
  return b;
}
bytes access(std::uint64_t offset, std::uint32_t region, std::uint32_t count, const bytes& data = {}) {
  bytes b;
  put(b, offset);
  put(b, region);
  put(b, count);
  b.insert(b.end(), data.begin(), data.end());
  return b;
}
bytes dma_map(std::uint64_t address, std::uint64_t size, std::uint64_t offset = 0, std::uint32_t flags = 3) {
  bytes b = words({32, flags});
  put(b, offset);
  put(b, address);
  put(b, size);
  return b;
}
bytes dma_unmap(std::uint64_t address, std::uint64_t size, std::uint32_t flags = 0) {
  bytes b = words({24, flags});
  put(b, address);
  put(b, size);
  return b;
}
bool is_error(const message& reply, std::uint32_t error) {
  return reply.flags == 0x21 && reply.error == error && reply.payload.empty();
}
bool alive(const peer& p) { return p.ask(nkv_test::cmd_get_info, words({16, 0, 0, 0})).flags == 1; }

/// A store whose Retrieves end when they are told to.
class slow_store final : public target::store {
 public:
  target::progress submit(target::store_operation& op) noexcept override {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(&op);
    ++submitted;
    return target::progress::later;
  }
  void cancel(target::store_operation&) noexcept override { ++cancelled; }
  std::uint64_t max_value_bytes() const noexcept override { return 4096; }
  /// Writes into the clients' memory and ends what waits.
  void release() {
    std::vector<target::store_operation*> ops;
    {
      const std::lock_guard lock(mutex_);
      ops.swap(waiting_);
    }
    for (target::store_operation* op : ops) {
      for (const mutable_byte_span& s : op->data) std::memset(s.data(), 0x77, s.size());
      op->finish(target::store_result::ok, op->data_bytes);
    }
  }
  std::atomic<int> submitted{0};
  std::atomic<int> cancelled{0};

 private:
  std::mutex mutex_;
  std::vector<target::store_operation*> waiting_;
};

}  // namespace

TEST_SUITE("target/vfio_user/connection") {
  TEST_CASE("VERSION: the smaller minor, our limits, the wake announced to who knows it") {
    const vfio_user_target t;
    for (const std::uint16_t minor : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{9}}) {
      const peer p = t.connect();
      const message reply = p.ask(nkv_test::cmd_version, version(0, minor, R"({"capabilities":{"nkv_wake":{}}})"));
      REQUIRE(reply.flags == 1);
      CHECK(reply.id == 0x77);
      CHECK(reply.command == 1);
      REQUIRE(reply.payload.size() > 5);
      CHECK(get<std::uint16_t>(reply.payload, 0) == 0);
      CHECK(get<std::uint16_t>(reply.payload, 2) == (minor < 2 ? minor : 2));
      CHECK(reply.payload.back() == 0);
      const std::string json(reply.payload.begin() + 4, reply.payload.end() - 1);
      CHECK(json.find("\"asleep_offset\":8188") != std::string::npos);
      CHECK(json.find("\"max_msg_fds\":16") != std::string::npos);
    }
    for (const char* json : {"", "{}", "{\"capabilities\":{}}"}) {
      const peer p = t.connect();
      const message reply = p.ask(nkv_test::cmd_version, version(0, 1, json));
      REQUIRE(reply.flags == 1);
      CHECK(std::string(reply.payload.begin() + 4, reply.payload.end()).find("nkv_wake") == std::string::npos);
    }
  }

  TEST_CASE("VERSION: refusals, answered and then cut off") {
    const vfio_user_target t;
    const std::size_t before = nkv_test::open_fds();
    std::vector<bytes> bad = {version(1, 0),
                              bytes{0, 0, 1},
                              version(0, 1, "{"),
                              version(0, 1, "[]"),
                              version(0, 1, "{\"capabilities\":1}"),
                              version(0, 1, "{\"capabilities\":{\"max_msg_fds\":-1}}"),
                              version(0, 1, "{\"capabilities\":{\"max_msg_fds\":1025}}"),
                              version(0, 1, "{\"capabilities\":{\"max_msg_fds\":\"8\"}}"),
                              version(0, 1, "{\"a\":" + std::string(3000, '[')),
                              version(0, 1, std::string(9000, ' ') + "{}")};
    bytes open_ended = version(0, 1, "{} ");
    open_ended.pop_back();
    bad.push_back(open_ended);
    for (const bytes& payload : bad) {
      const peer p = t.connect();
      CHECK(is_error(p.ask(nkv_test::cmd_version, payload), EINVAL));
      CHECK(p.closed_by_peer());
    }
    {
      const peer p = t.connect();
      const host::unique_fd fd(nkv_test::make_memory(10, 0));
      CHECK(is_error(p.ask(nkv_test::cmd_version, version(0, 1), {fd.get()}), EINVAL));
      CHECK(p.closed_by_peer());
    }
    {
      const peer p = t.connect();
      CHECK(is_error(p.ask(nkv_test::cmd_get_info, words({16, 0, 0, 0})), EINVAL));
      CHECK(p.closed_by_peer());
    }
    const peer twice = t.join();
    CHECK(is_error(twice.ask(nkv_test::cmd_version, version(0, 1)), EINVAL));
    CHECK(alive(twice));
    CHECK(t.comes_to(1));
    // The remaining client: its socket at both ends, its doorbells and its eventfd.
    CHECK(nkv_test::open_fds() == before + 4);
  }

  TEST_CASE("DEVICE_GET_INFO and the regions") {
    const vfio_user_target t;
    const peer p = t.join();
    const message info = p.ask(nkv_test::cmd_get_info, words({16, 0, 0, 0}));
    CHECK(info.payload == words({16, 3, 9, 5}));
    CHECK(is_error(p.ask(nkv_test::cmd_get_info, words({15, 0, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_get_info, words({16, 0, 0})), EINVAL));

    const std::uint64_t sizes[9] = {0x2000, 0, 0, 0, 0x1000, 0x1000, 0, 0x1000, 0};
    for (std::uint32_t i = 1; i < 9; ++i) {
      const message r = p.ask(nkv_test::cmd_get_region_info, region_info(4096, i));
      REQUIRE(r.payload.size() == 32);
      CHECK(get<std::uint32_t>(r.payload, 0) == 32);
      CHECK(get<std::uint32_t>(r.payload, 4) == (sizes[i] != 0 ? 3 : 0));
      CHECK(get<std::uint32_t>(r.payload, 8) == i);
      CHECK(get<std::uint64_t>(r.payload, 16) == sizes[i]);
      CHECK(r.fds.empty());
    }
    CHECK(is_error(p.ask(nkv_test::cmd_get_region_info, region_info(4096, 9)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_get_region_info, region_info(31, 0)), EINVAL));

    const message bar0 = p.ask(nkv_test::cmd_get_region_info, region_info(64, 0));
    REQUIRE(bar0.payload.size() == 64);
    CHECK(get<std::uint32_t>(bar0.payload, 0) == 64);
    CHECK(get<std::uint32_t>(bar0.payload, 4) == 0xf);
    CHECK(get<std::uint32_t>(bar0.payload, 12) == 32);
    CHECK(get<std::uint16_t>(bar0.payload, 32) == 1);
    CHECK(get<std::uint32_t>(bar0.payload, 40) == 1);
    CHECK(get<std::uint64_t>(bar0.payload, 48) == 0x1000);
    CHECK(get<std::uint64_t>(bar0.payload, 56) == 0x1000);
    REQUIRE(bar0.fds.size() == 1);
    CHECK((::fcntl(bar0.fds[0], F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) ==
          (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    ::close(bar0.fds[0]);

    // Without room for the capability: how much is needed, nothing that could be taken for a whole mappable region.
    const message small = p.ask(nkv_test::cmd_get_region_info, region_info(63, 0));
    REQUIRE(small.payload.size() == 32);
    CHECK(get<std::uint32_t>(small.payload, 0) == 64);
    CHECK(get<std::uint32_t>(small.payload, 4) == 3);
    CHECK(small.fds.empty());
  }

  TEST_CASE("a client that takes no descriptors is sent none") {
    const vfio_user_target t;
    const peer p = t.join(R"({"capabilities":{"max_msg_fds":0,"nkv_wake":{}}})");
    CHECK(p.ask(nkv_test::cmd_get_region_info, region_info(64, 0)).fds.empty());
    CHECK(p.ask(nkv_test::cmd_get_region_io_fds, words({4096, 0, 0, 0})).fds.empty());
  }

  TEST_CASE("DEVICE_GET_REGION_IO_FDS: the eventfd for who knows the asleep word, for BAR0 alone") {
    const vfio_user_target t;
    const peer p = t.join();
    const message r = p.ask(nkv_test::cmd_get_region_io_fds, words({4096, 0, 0, 0}));
    REQUIRE(r.payload.size() == 56);
    CHECK(get<std::uint32_t>(r.payload, 0) == 56);
    CHECK(get<std::uint32_t>(r.payload, 12) == 1);
    CHECK(get<std::uint64_t>(r.payload, 16) == 0x1000);
    CHECK(get<std::uint64_t>(r.payload, 24) == 0x1000);
    CHECK(get<std::uint32_t>(r.payload, 36) == 0);
    REQUIRE(r.fds.size() == 1);
    ::close(r.fds[0]);
    CHECK(p.ask(nkv_test::cmd_get_region_io_fds, words({55, 0, 0, 0})).payload == words({56, 0, 0, 0}));
    CHECK(p.ask(nkv_test::cmd_get_region_io_fds, words({4096, 0, 4, 0})).payload == words({16, 0, 4, 0}));
    CHECK(is_error(p.ask(nkv_test::cmd_get_region_io_fds, words({4096, 0, 9, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_get_region_io_fds, words({15, 0, 0, 0})), EINVAL));
    const peer foreign = t.join("{}");
    CHECK(foreign.ask(nkv_test::cmd_get_region_io_fds, words({4096, 0, 0, 0})).payload == words({16, 0, 0, 0}));
  }

  TEST_CASE("interrupts: their numbers, and an eventfd that is written when a completion queue has them enabled") {
    vfio_user_target t;
    vfio_user_client c(t.folder.path());
    CHECK(*c.transport->interrupt_count(host::vfio_user::irq_index::msix, vfio_user_client::soon()) == 65);
    CHECK(*c.transport->interrupt_count(host::vfio_user::irq_index::intx, vfio_user_client::soon()) == 1);
    CHECK(c.transport->interrupt_count(host::vfio_user::irq_index{5}, vfio_user_client::soon()).error().detail() ==
          EINVAL);
    const host::unique_fd event(::eventfd(0, EFD_CLOEXEC));
    REQUIRE(c.transport->set_interrupt(3, event.get(), vfio_user_client::soon()).ok());
    CHECK(c.transport->set_interrupt(65, event.get(), vfio_user_client::soon()).detail() == EINVAL);
    REQUIRE(c.client.enable() == 1);
    auto q = c.client.make_queue(1, 16);
    REQUIRE(c.client.run(c.client.admin, c.client.create_cq_sqe(q, 3u | 3u << 16)).status().ok());
    REQUIRE(c.client.run(c.client.admin, c.client.create_sq_sqe(q, 1)).status().ok());
    CHECK(c.client.run(q, c.client.kv(0x14, "k")).status() == status{status_code_type::generic, 0x87});
    pollfd one{event.get(), POLLIN, 0};
    CHECK(::poll(&one, 1, 10'000) == 1);
  }

  TEST_CASE("registers: 4 and 8 bytes, aligned; nothing else, nowhere else") {
    const vfio_user_target t;
    const peer p = t.join();
    const message cap = p.ask(nkv_test::cmd_region_read, access(0, 0, 8));
    REQUIRE(cap.payload.size() == 24);
    CHECK(get<std::uint64_t>(cap.payload, 0) == 0);
    CHECK(get<std::uint32_t>(cap.payload, 12) == 8);
    CHECK(((get<std::uint64_t>(cap.payload, 16) >> 43) & 1) == 1);
    CHECK(get<std::uint32_t>(p.ask(nkv_test::cmd_region_read, access(4, 0, 4)).payload, 16) ==
          get<std::uint32_t>(cap.payload, 20));
    const message written = p.ask(nkv_test::cmd_region_write, access(0x28, 0, 8, {0, 0x10, 0, 0, 1, 0, 0, 0}));
    CHECK(written.flags == 1);
    CHECK(written.payload == access(0x28, 0, 8));
    CHECK(get<std::uint64_t>(p.ask(nkv_test::cmd_region_read, access(0x28, 0, 8)).payload, 16) == 0x100001000);
    for (const std::uint32_t count : {0u, 1u, 2u, 3u, 16u, 4096u, 40'000u, 0xffffffffu}) {
      CAPTURE(count);
      CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0, 0, count)), EINVAL));
    }
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(2, 0, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(4, 0, 8)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0x2000, 0, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0x100000000, 0, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(~0ull, 0, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0, 1, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0, 9, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0, 0xffffffff, 4)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0x1000, 0, 4)), EPERM));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x1ffc, 0, 4, {1, 0, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x2000, 0, 4, {1, 0, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x100001000, 0, 4, {1, 0, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x14, 0, 4, {1, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x14, 0, 4, {1, 0, 0, 0, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0x14, 0, 2, {1, 0})), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, bytes(10)), EINVAL));
  }

  TEST_CASE("the other regions: configuration space, MSI-X table and pending bits") {
    const vfio_user_target t;
    const peer p = t.join();
    const message id = p.ask(nkv_test::cmd_region_read, access(0, 7, 64));
    REQUIRE(id.payload.size() == 80);
    CHECK((get<std::uint32_t>(id.payload, 16 + 8) >> 8) == 0x010802);
    CHECK(p.ask(nkv_test::cmd_region_write, access(4, 7, 2, {4, 4})).flags == 1);
    CHECK(get<std::uint16_t>(p.ask(nkv_test::cmd_region_read, access(4, 7, 2)).payload, 16) == 0x404);
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(4095, 7, 2)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(4095, 7, 2, {0, 0})), EINVAL));
    CHECK(p.ask(nkv_test::cmd_region_write, access(16, 4, 4, {1, 2, 3, 4})).flags == 1);
    CHECK(get<std::uint32_t>(p.ask(nkv_test::cmd_region_read, access(16, 4, 4)).payload, 16) == 0x04030201);
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0x1000, 4, 1)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_region_write, access(0xfff, 4, 2, {1, 2})), EINVAL));
    CHECK(p.ask(nkv_test::cmd_region_read, access(0, 5, 8)).payload.size() == 24);
    CHECK(is_error(p.ask(nkv_test::cmd_region_read, access(0xffc, 5, 8)), EINVAL));
    CHECK(p.ask(nkv_test::cmd_region_write, access(0, 5, 1, {9})).flags == 1);
    CHECK(p.ask(nkv_test::cmd_region_read, access(0, 5, 1)).payload.back() == 0);
    // A function level reset, asked for where PCI Express has it.
    CHECK(p.ask(nkv_test::cmd_region_write, access(0x24, 0, 4, {7, 0, 7, 0})).flags == 1);
    CHECK(p.ask(nkv_test::cmd_region_write, access(0x68, 7, 2, {0, 0x80})).payload == access(0x68, 7, 2));
    CHECK(get<std::uint32_t>(p.ask(nkv_test::cmd_region_read, access(0x24, 0, 4)).payload, 16) == 0);
  }

  TEST_CASE("DMA_MAP and DMA_UNMAP: errors are answered, descriptors never stay") {
    const vfio_user_target t;
    const peer p = t.join();
    const host::unique_fd sealed(nkv_test::make_memory(0x10000, F_SEAL_SHRINK));
    const host::unique_fd loose(nkv_test::make_memory(0x10000, 0));
    const std::size_t before = nkv_test::open_fds();
    CHECK(p.ask(nkv_test::cmd_dma_map, dma_map(0x10000, 0x2000), {sealed.get()}).flags == 1);
    CHECK(p.ask(nkv_test::cmd_dma_map, dma_map(0x10000, 0x2000), {sealed.get()}).flags == 1);
    CHECK(is_error(p.ask(nkv_test::cmd_dma_map, dma_map(0x11000, 0x2000), {sealed.get()}), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_map, dma_map(0x20000, 0x2000)), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_map, dma_map(0x20000, 0x2000), {sealed.get(), sealed.get()}), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_map, dma_map(0x20000, 0x2000), {loose.get()}), EPERM));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_map, bytes(31), {sealed.get()}), EINVAL));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_unmap, dma_unmap(0x10000, 0x1000)), ENOENT));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_unmap, dma_unmap(0x10000, 0x2000, 1)), ENOTSUP));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_unmap, bytes(23)), EINVAL));
    const message gone = p.ask(nkv_test::cmd_dma_unmap, dma_unmap(0x10000, 0x2000));
    CHECK(gone.flags == 1);
    CHECK(gone.payload == dma_unmap(0x10000, 0x2000));
    CHECK(is_error(p.ask(nkv_test::cmd_dma_unmap, dma_unmap(0x10000, 0x2000)), ENOENT));
    // Descriptors where none belong.
    CHECK(p.ask(nkv_test::cmd_get_info, words({16, 0, 0, 0}), {sealed.get(), loose.get()}).flags == 1);
    CHECK(nkv_test::open_fds() == before);
  }

  TEST_CASE("unknown commands -> ENOTSUP and the connection stays; NO_REPLY is kept") {
    const vfio_user_target t;
    const peer p = t.join();
    for (const std::uint16_t c :
         {std::uint16_t{0}, std::uint16_t{11}, std::uint16_t{12}, std::uint16_t{14}, std::uint16_t{15},
          std::uint16_t{16}, std::uint16_t{17}, std::uint16_t{18}, std::uint16_t{65535}}) {
      CHECK(is_error(p.ask(c, bytes(40)), ENOTSUP));
    }
    message quiet;
    quiet.flags = 0x10;
    for (std::uint16_t c = 0; c < 20; ++c) {
      quiet.command = c;
      quiet.payload = bytes(c);
      REQUIRE(p.send(quiet));
    }
    quiet.command = nkv_test::cmd_region_write;
    quiet.payload = access(0x24, 0, 4, {31, 0, 31, 0});
    REQUIRE(p.send(quiet));
    // Had any of them been answered, this would not be the next message.
    const message next = p.ask(nkv_test::cmd_region_read, access(0x24, 0, 4), {}, 0x4242);
    CHECK(next.id == 0x4242);
    CHECK(get<std::uint32_t>(next.payload, 16) == 0x001f001f);
  }

  TEST_CASE("what is no message cuts the client off, and no other") {
    const vfio_user_target t;
    const peer other = t.join();
    const std::size_t before = nkv_test::open_fds();
    SUBCASE("a length below the header's") {
      const peer p = t.join();
      message m;
      m.command = 4;
      m.claimed_bytes = 15;
      REQUIRE(p.send(m));
      CHECK(p.closed_by_peer());
    }
    SUBCASE("a length beyond 64 KiB") {
      const peer p = t.join();
      message m;
      m.command = 4;
      m.claimed_bytes = 65537;
      REQUIRE(p.send(m));
      CHECK(p.closed_by_peer());
    }
    SUBCASE("a reply") {
      const peer p = t.join();
      message m;
      m.command = 4;
      m.flags = 1;
      REQUIRE(p.send(m));
      CHECK(p.closed_by_peer());
    }
    SUBCASE("more descriptors than a message may carry, with one or over many pieces") {
      for (const bool at_once : {true, false}) {
        const peer p = t.join();
        const host::unique_fd fd(nkv_test::make_memory(10, 0));
        message m;
        m.command = 4;
        m.payload = bytes(40);
        const bytes all = m.encode();
        if (at_once) {
          REQUIRE(p.send(all, std::vector<int>(17, fd.get())));
        } else {
          // A byte and two descriptors at a time, within one message.
          bool sent = true;
          for (std::size_t i = 0; i < 20 && sent; ++i) sent = p.send(bytes{all[i]}, {fd.get(), fd.get()});
        }
        CHECK(p.closed_by_peer());
      }
    }
    SUBCASE("random bytes") {
      std::uint32_t x = 12345;
      for (int n = 0; n < 50; ++n) {
        const peer p = t.join();
        bytes b(200);
        for (unsigned char& c : b) c = static_cast<unsigned char>((x = x * 1664525 + 1013904223) >> 24);
        b[5] |= 0x80;  // a length that is too long by its second byte or its third
        b[6] |= 1;
        p.send(b);
        CHECK(p.closed_by_peer());
      }
    }
    CHECK(t.comes_to(1));
    CHECK(alive(other));
    CHECK(nkv_test::open_fds() == before);
  }

  TEST_CASE("a client that sends byte by byte is served, and delays nobody") {
    const vfio_user_target t;
    const peer slow = t.connect();
    const peer fast = t.join();
    message m;
    m.command = nkv_test::cmd_version;
    m.payload = version(0, 1, "{}");
    for (const unsigned char byte : m.encode()) {
      REQUIRE(slow.send(bytes{byte}));
      REQUIRE(alive(fast));
    }
    message reply;
    REQUIRE(slow.receive(reply));
    CHECK(reply.flags == 1);
    m.command = nkv_test::cmd_get_info;
    m.payload = words({16, 0, 0, 0});
    REQUIRE(slow.send(m, 1));
    REQUIRE(slow.receive(reply));
    CHECK(reply.payload == words({16, 3, 9, 5}));
  }

  TEST_CASE("many messages in one piece are answered in order") {
    const vfio_user_target t;
    const peer p = t.join();
    bytes all;
    for (std::uint16_t i = 0; i < 500; ++i) {
      message m;
      m.id = i;
      m.command = nkv_test::cmd_get_info;
      m.payload = words({16, 0, 0, 0});
      const bytes b = m.encode();
      all.insert(all.end(), b.begin(), b.end());
    }
    std::thread sender([&] { p.send(all); });
    for (std::uint16_t i = 0; i < 500; ++i) {
      message reply;
      REQUIRE(p.receive(reply));
      REQUIRE(reply.id == i);
    }
    sender.join();
  }

  TEST_CASE("a client that asks and never reads: bounded here, and nobody else is delayed") {
    const vfio_user_target t;
    const peer other = t.join();
    const peer deaf = t.join();
    deaf.limit(200);
    message m;
    m.command = nkv_test::cmd_region_read;
    m.payload = access(0, 7, 4096);
    // It comes to a stop, since the server stops to read.
    int sent = 0;
    while (sent < 20'000 && deaf.send(m)) ++sent;
    CHECK(sent < 20'000);
    for (int i = 0; i < 10; ++i) CHECK(alive(other));
    // And goes on where it stopped.
    deaf.limit(10'000);
    message reply;
    for (int i = 0; i < 20; ++i) CHECK(deaf.receive(reply));
  }

  TEST_CASE("DMA_UNMAP and reset are answered when no operation uses the memory any more") {
    const auto store = std::make_shared<slow_store>();
    vfio_user_target t({}, store);
    vfio_user_client c(t.folder.path());
    auto q = c.bring_up();
    // A value in a region of its own, so that the queues stay.
    const host::unique_fd fd(nkv_test::make_memory(0x1000, F_SEAL_SHRINK));
    void* at = ::mmap(nullptr, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    REQUIRE(at != MAP_FAILED);
    auto* const value = static_cast<std::byte*>(at);
    const host::dma_memory memory{value, 0x1000, fd.get(), 0};
    REQUIRE(c.transport->map_dma(memory, vfio_user_client::soon()).ok());
    sqe retrieve = c.client.kv(0x02, "k");
    retrieve.dw[10] = 4096;
    retrieve.set_dptr(data_pointer::prp(reinterpret_cast<std::uintptr_t>(value), 0));
    c.client.post(q, retrieve, 7);
    c.client.ring(q);
    const auto until = host::deadline::after_ms(10'000);
    while (store->submitted == 0 && !until.expired()) ::usleep(500);
    REQUIRE(store->submitted == 1);

    std::atomic<bool> answered{false};
    status result = client_status::timed_out;
    SUBCASE("DMA_UNMAP") {
      std::thread unmaps([&] {
        result = c.transport->unmap_dma(memory, vfio_user_client::soon());
        answered = true;
      });
      ::usleep(30'000);
      CHECK_FALSE(answered);
      // Others are served meanwhile.
      CHECK(alive(t.join()));
      store->release();
      unmaps.join();
      CHECK(result.ok());
      CHECK(value[0] == std::byte{0x77});
      CHECK(c.client.wait(q, 7).has_value());
    }
    SUBCASE("DEVICE_RESET") {
      std::thread resets([&] {
        result = c.transport->reset(vfio_user_client::soon());
        answered = true;
      });
      ::usleep(30'000);
      CHECK_FALSE(answered);
      store->release();
      resets.join();
      CHECK(result.ok());
      CHECK(store->cancelled == 1);
      CHECK((c.client.port.read(reg::csts, 4) & 1) == 0);
    }
    SUBCASE("the client goes away while its unmap waits: the memory stays mapped until the operation has ended") {
      std::thread unmaps([&] { result = c.transport->unmap_dma(memory, host::deadline::after_ms(50)); });
      unmaps.join();
      CHECK(result == status{client_status::timed_out});
      ::usleep(30'000);
      CHECK(t.server.connections() == 1);
      store->release();
      CHECK(t.comes_to(0));
      CHECK(value[0] == std::byte{0x77});
    }
    SUBCASE("the server stops") {
      std::thread stops([&] { t.server.stop(); });
      ::usleep(30'000);
      CHECK(t.server.connections() == 1);
      store->release();
      stops.join();
      CHECK(t.server.connections() == 0);
    }
    ::munmap(at, 0x1000);
  }

  TEST_CASE("the regions of queues are taken away: the controller stops and says so, nobody crashes") {
    vfio_user_target t;
    vfio_user_client c(t.folder.path());
    auto q = c.bring_up();
    REQUIRE(c.transport->unmap_dma(c.memory(), vfio_user_client::soon()).ok());
    c.client.post(q, c.client.kv(0x14, "k"), 7);
    c.client.ring(q);
    CHECK((c.client.port.read(reg::csts, 4) & 2) == 2);
    CHECK(c.transport->reset(vfio_user_client::soon()).ok());
    CHECK((c.client.port.read(reg::csts, 4) & 3) == 0);
  }
}
