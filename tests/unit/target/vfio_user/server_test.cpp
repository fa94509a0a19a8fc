// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/server.hpp>
#include <support/vfio_user_target.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace nkv;
using nkv_test::peer;
using nkv_test::vfio_user_client;
using nkv_test::vfio_user_target;
using target::vfio_user::server_options;

namespace {

bool exists(const std::string& path) {
  struct stat s{};
  return ::lstat(path.c_str(), &s) == 0;
}

std::uint64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

/// Stores and retrieves a page `times` times. @return how many went wrong
int exercise(vfio_user_client& c, nkv_test::raw_client::queue& q, int times, unsigned seed) {
  int wrong = 0;
  std::byte* const data = c.client.pages(1);
  std::byte* const back = c.client.pages(1);
  const std::string key = "key" + std::to_string(seed);
  for (int n = 0; n < times; ++n) {
    std::memset(data, static_cast<int>(seed) + n, 4096);
    std::memset(back, 0, 4096);
    if (!c.client.run(q, c.client.kv(0x01, key, data, 4096)).status().ok()) ++wrong;
    const cqe e = c.client.run(q, c.client.kv(0x02, key, back, 4096));
    if (!e.status().ok() || e.dw0() != 4096 || std::memcmp(data, back, 4096) != 0) ++wrong;
  }
  return wrong;
}

}  // namespace

TEST_SUITE("target/vfio_user/server") {
  TEST_CASE("a client over vfio-user: bring-up, Store, Retrieve, Delete, with mapped doorbells and without") {
    vfio_user_target t;
    for (const bool mapped : {true, false}) {
      host::vfio_user_options options;
      options.map_doorbells = mapped;
      vfio_user_client c(t.folder.path(), options);
      CHECK((c.transport->doorbells().base != nullptr) == mapped);
      CHECK((c.transport->doorbells().wake_fd >= 0) == mapped);
      auto q = c.bring_up();
      CHECK(exercise(c, q, 50, 1) == 0);
      CHECK(c.client.run(q, c.client.kv(0x10, "key1")).status().ok());
      CHECK(c.client.run(q, c.client.kv(0x14, "key1")).status() == status{status_code_type::generic, 0x87});
      CHECK(c.client.disable() == 0);
      CHECK(c.transport->unmap_dma(c.memory(), vfio_user_client::soon()).ok());
    }
    CHECK(t.comes_to(0));
  }

  TEST_CASE("a server whose doorbells cannot be mapped") {
    server_options options;
    options.connection.map_doorbells = false;
    vfio_user_target t(options);
    vfio_user_client c(t.folder.path());
    CHECK(c.transport->doorbells().base == nullptr);
    auto q = c.bring_up();
    CHECK(exercise(c, q, 20, 1) == 0);
  }

  TEST_CASE("several clients at once, each with its own controller and memory") {
    vfio_user_target t;
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (unsigned i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        vfio_user_client c(t.folder.path());
        auto q = c.bring_up();
        wrong += exercise(c, q, 100, 10 * i);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(t.comes_to(0));
  }

  TEST_CASE("a client that dies with live queues: its controller goes, others notice nothing") {
    vfio_user_target t;
    vfio_user_client stays(t.folder.path());
    auto q = stays.bring_up();
    {
      vfio_user_client dies(t.folder.path());
      auto dead = dies.bring_up();
      dies.client.post(dead, dies.client.kv(0x14, "k"), 7);
      dies.client.ring(dead);
    }
    CHECK(t.comes_to(1));
    CHECK(exercise(stays, q, 20, 3) == 0);
  }

  TEST_CASE("a sleeping target: next to no processor time, and woken by a doorbell") {
    vfio_user_target t;
    vfio_user_client c(t.folder.path());
    auto q = c.bring_up();
    for (int round = 0; round < 3; ++round) {
      const auto until = host::deadline::after_ms(10'000);
      // Seen once is enough: what is left of the bring-up may have it get up again.
      std::uint32_t asleep = 0;
      while ((asleep = __atomic_load_n(c.transport->doorbells().asleep, __ATOMIC_SEQ_CST)) == 0 && !until.expired())
        ::usleep(500);
      REQUIRE(asleep == 1);
      const std::uint64_t sleeps = t.poller.sleeps();
      const std::uint64_t before = cpu_ns();
      ::usleep(100'000);
      CHECK(cpu_ns() - before < 20'000'000);
      // It slept through: nothing of its own makes it look.
      CHECK(t.poller.sleeps() <= sleeps + 1);
      CHECK(exercise(c, q, 3, 5) == 0);
    }
  }

  TEST_CASE("a client that cannot wake the target is looked after all the same") {
    vfio_user_target t;
    // As a client of another make does it: the version without our capability, and no eventfd fetched.
    peer p = t.join("{}");
    vfio_user_client helper(t.folder.path());  // for its arena alone
    nkv_test::message info = p.ask(nkv_test::cmd_get_region_info, [] {
      nkv_test::bytes b;
      for (const std::uint32_t v : {4096u, 0u, 0u, 0u}) nkv_test::put(b, v);
      b.resize(32);
      return b;
    }());
    REQUIRE(info.fds.size() == 1);
    void* doorbells = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, info.fds[0], 0x1000);
    REQUIRE(doorbells != MAP_FAILED);
    ::close(info.fds[0]);
    nkv_test::bytes map;
    nkv_test::put<std::uint32_t>(map, 32);
    nkv_test::put<std::uint32_t>(map, 3);
    nkv_test::put<std::uint64_t>(map, 0);
    nkv_test::put<std::uint64_t>(map, reinterpret_cast<std::uintptr_t>(helper.arena));
    nkv_test::put<std::uint64_t>(map, vfio_user_client::arena_bytes);
    REQUIRE(p.ask(nkv_test::cmd_dma_map, map, {helper.fd.get()}).flags == 1);
    nkv_test::raw_client& c = helper.client;
    c.port.doorbells = static_cast<std::uint32_t*>(doorbells);
    c.port.rung = [] {};
    c.port.write = [&](std::uint32_t offset, unsigned width, std::uint64_t value) {
      nkv_test::bytes b;
      nkv_test::put<std::uint64_t>(b, offset);
      nkv_test::put<std::uint32_t>(b, 0);
      nkv_test::put<std::uint32_t>(b, width);
      b.resize(16 + width);
      std::memcpy(b.data() + 16, &value, width);
      REQUIRE(p.ask(nkv_test::cmd_region_write, b).flags == 1);
    };
    c.port.read = [&](std::uint32_t offset, unsigned width) {
      nkv_test::bytes b;
      nkv_test::put<std::uint64_t>(b, offset);
      nkv_test::put<std::uint32_t>(b, 0);
      nkv_test::put<std::uint32_t>(b, width);
      const nkv_test::message reply = p.ask(nkv_test::cmd_region_read, b);
      REQUIRE(reply.payload.size() == 16 + width);
      std::uint64_t value = 0;
      std::memcpy(&value, reply.payload.data() + 16, width);
      return value;
    };
    REQUIRE(c.enable() == 1);
    auto q = c.make_queue(1, 16);
    REQUIRE(c.create_pair(q));
    for (int i = 0; i < 3; ++i) {
      ::usleep(5'000);  // longer than it spins
      CHECK(c.run(q, c.kv(0x14, "none")).status() == status{status_code_type::generic, 0x87});
    }
    ::munmap(doorbells, 4096);
  }

  TEST_CASE("1000 connects, some with a word and some without: none stays, no descriptor is lost") {
    vfio_user_target t;
    vfio_user_client stays(t.folder.path());
    auto q = stays.bring_up();
    const std::size_t before = nkv_test::open_fds();
    for (int i = 0; i < 1000; ++i) {
      if (i % 10 == 0) {
        const peer p = t.join();
      } else {
        const peer p = t.connect();
        REQUIRE(p.fd() >= 0);
        if (i % 3 == 0) p.send(nkv_test::bytes{1, 2, 3});
      }
    }
    CHECK(t.comes_to(1));
    CHECK(nkv_test::open_fds() == before);
    CHECK(exercise(stays, q, 5, 9) == 0);
  }

  TEST_CASE("more clients than allowed wait unanswered, and are served when there is room") {
    server_options options;
    options.max_connections = 2;
    vfio_user_target t(options);
    const peer first = t.join();
    peer second = t.join();
    CHECK(host::vfio_user_transport::connect(t.folder.path(), host::deadline::after_ms(50)).error() ==
          status{client_status::busy});
    host::result<std::unique_ptr<host::vfio_user_transport>> third = status{client_status::timed_out};
    std::thread waits(
        [&] { third = host::vfio_user_transport::connect(t.folder.path(), host::deadline::after_ms(10'000)); });
    second.close();
    waits.join();
    CHECK(third.has_value());
  }

  TEST_CASE("no descriptor left for a client: it waits, the target does not spin, and serves it when there is one") {
    vfio_user_target t;
    vfio_user_client stays(t.folder.path());
    auto q = stays.bring_up();
    const peer waits(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = host::vfio_user::socket_address::of(t.folder.path() + "/cntrl");
    REQUIRE(address);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    // Descriptors are given out from below: none below this one is free.
    std::vector<host::unique_fd> filled;
    filled.emplace_back(::dup(0));
    const int first_free = filled.back().get();
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(first_free) + 1;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const int connected = ::connect(waits.fd(), address->get(), address->size());
    ::usleep(20'000);
    const std::uint64_t cpu = cpu_ns();
    ::usleep(60'000);
    const std::uint64_t used = cpu_ns() - cpu;
    const std::size_t served = t.server.connections();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(connected == 0);
    CHECK(served == 1);
    CHECK(used < 20'000'000);
    CHECK(waits.ask(nkv_test::cmd_version, {0, 0, 1, 0}).flags == 1);
    CHECK(exercise(stays, q, 2, 1) == 0);
  }

  TEST_CASE("a client that never introduces itself is cut off, one that has is not") {
    server_options options;
    options.handshake_timeout_ns = 50'000'000;
    vfio_user_target t(options);
    const peer known = t.join();
    const peer silent = t.connect();
    const peer half = t.connect();
    half.send(nkv_test::bytes{0, 0, 1, 0, 40});
    CHECK(silent.closed_by_peer());
    CHECK(half.closed_by_peer());
    CHECK(t.comes_to(1));
    CHECK(known.ask(nkv_test::cmd_get_info, {16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}).flags == 1);
  }

  TEST_CASE("stop: clients are cut off, the socket is gone, and the place is free again") {
    vfio_user_target t;
    vfio_user_client c(t.folder.path());
    auto q = c.bring_up();
    t.server.stop();
    CHECK(t.server.connections() == 0);
    CHECK_FALSE(c.transport->connected());
    CHECK_FALSE(exists(t.folder.path() + "/cntrl"));
    CHECK_FALSE(exists(t.folder.path() + "/cntrl.lock"));
    target::vfio_user::server again(t.subsystem, t.poller);
    CHECK(again.start(t.folder.path()).ok());
    CHECK(again.start(t.folder.path()) == status{client_status::bad_argument});
    vfio_user_client d(t.folder.path());
    auto r = d.bring_up();
    CHECK(exercise(d, r, 2, 1) == 0);
  }

  TEST_CASE("start: a poller that does not run -> timed_out or disconnected, and no socket stays behind") {
    nkv_test::temporary_folder folder;
    target::poller poller;
    REQUIRE(poller.start().ok());
    poller.stop();
    target::vfio_user::server server(std::make_shared<target::subsystem>(), poller);
    CHECK(server.start(folder.path()) == status{client_status::disconnected});
    CHECK_FALSE(exists(folder.path() + "/cntrl"));
  }
}
