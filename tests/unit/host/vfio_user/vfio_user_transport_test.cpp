// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/vfio_user/vfio_user_transport.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using nkv::client_status;
using nkv::status;
using nkv::host::deadline;
using nkv::host::unique_fd;
using nkv::host::vfio_user_options;
using nkv::host::vfio_user_transport;
using nkv_test::get;
using nkv_test::message;
using nkv_test::put;
using nkv_test::scripted_server;

namespace {

using transport_result = nkv::host::result<std::unique_ptr<vfio_user_transport>>;

transport_result attach(scripted_server& server, std::uint64_t ms = 5000, vfio_user_options options = {}) {
  return vfio_user_transport::over(unique_fd(server.take_client_fd()), deadline::after_ms(ms), options);
}

deadline soon() { return deadline::after_ms(5000); }

/// Answers a command with an errno.
scripted_server::answer fails(std::uint32_t error) {
  return [error](const message&, message& reply) {
    reply.flags = 0x21;
    reply.error = error;
    return true;
  };
}

}  // namespace

TEST_SUITE("host/vfio_user/vfio_user_transport") {
  TEST_CASE("connect: the handshake, doorbells mapped, the wake eventfd fetched, bus master on") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    vfio_user_transport& t = **made;
    CHECK(t.connected());
    CHECK(t.shares_by_fd());
    const nkv::host::doorbell_page page = t.doorbells();
    REQUIRE(page.base != nullptr);
    CHECK(page.length_bytes == 0x1000);
    CHECK(page.asleep == page.base + 0xffc / 4);
    REQUIRE(page.wake_fd >= 0);

    // The same memory as the server's, at offset 1000h of its file.
    auto* theirs =
        static_cast<std::uint32_t*>(::mmap(nullptr, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED, server.doorbell_fd, 0));
    REQUIRE(theirs != MAP_FAILED);
    page.base[3] = 77;
    CHECK(theirs[0x1000 / 4 + 3] == 77);
    theirs[0x1ffc / 4] = 1;
    CHECK(*page.asleep == 1);
    ::munmap(theirs, 0x2000);
    const std::uint64_t one = 1;
    CHECK(::write(page.wake_fd, &one, sizeof(one)) == sizeof(one));
    std::uint64_t count = 0;
    CHECK(::read(server.wake_fd, &count, sizeof(count)) == sizeof(count));
    CHECK(count == 1);

    made->reset();
    server.join();
    REQUIRE(server.requests.size() >= 5);
    const message& version = server.requests[0];
    CHECK(version.command == nkv_test::cmd_version);
    CHECK(get<std::uint16_t>(version.payload, 0) == 0);
    CHECK(get<std::uint16_t>(version.payload, 2) <= 2);
    CHECK(version.payload.back() == 0);
    const std::string json(version.payload.begin() + 4, version.payload.end() - 1);
    CHECK(json.find("\"max_msg_fds\":") != std::string::npos);
    // Room enough that a target gives the capabilities.
    CHECK(get<std::uint32_t>(server.requests[2].payload, 0) == 4096);
    const message& last = server.requests.back();
    CHECK(last.command == nkv_test::cmd_region_write);
    CHECK(get<std::uint64_t>(last.payload, 0) == 4);
    CHECK(get<std::uint32_t>(last.payload, 8) == 7);
    CHECK((get<std::uint16_t>(last.payload, 16) & 0x404) == 0x404);
  }

  TEST_CASE("connect: byte by byte") {
    scripted_server server;
    server.chunk = 1;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->doorbells().base != nullptr);
  }

  TEST_CASE("connect: the connection cut after every byte of the handshake -> disconnected, nothing leaks") {
    std::size_t whole = 0;
    {
      scripted_server server;
      server.start();
      auto made = attach(server);
      REQUIRE(made);
      made->reset();
      server.join();
      whole = server.sent_bytes;
    }
    REQUIRE(whole > 200);
    const std::size_t before = nkv_test::open_fds();
    for (std::size_t cut = 0; cut < whole; ++cut) {
      CAPTURE(cut);
      scripted_server server;
      server.cut_after = cut;
      server.start();
      const auto made = attach(server);
      CHECK_FALSE(made.has_value());
      CHECK(made.error() == status{client_status::disconnected});
    }
    CHECK(nkv_test::open_fds() == before);
  }

  TEST_CASE("connect: the server falls silent after every byte of the handshake -> busy or timed_out by the deadline") {
    // The offsets within the first reply and around its ends; the rest goes as these do.
    for (const std::size_t bytes : {0u, 1u, 15u, 16u, 17u, 20u, 117u, 118u, 130u, 150u}) {
      CAPTURE(bytes);
      scripted_server server;
      std::size_t left = bytes;
      const nkv_test::peer& here = server.here();
      const auto part = [&](const message& request, message& reply) {
        server.standard(request, reply);
        nkv_test::bytes b = reply.encode();
        const std::size_t n = std::min(left, b.size());
        left -= n;
        b.resize(n);
        here.send(b, b.empty() ? std::vector<int>{} : reply.fds);
        return false;
      };
      for (const int c : {1, 4, 5, 6, 9, 10}) server.on[static_cast<std::uint16_t>(c)] = part;
      server.start();
      const std::uint64_t begin = nkv::host::steady_clock::now_ns();
      const auto made = attach(server, 50);
      const std::uint64_t took_ms = (nkv::host::steady_clock::now_ns() - begin) / 1'000'000;
      CHECK(made.error() == status{bytes == 0 ? client_status::busy : client_status::timed_out});
      CHECK(took_ms >= 49);
      CHECK(took_ms < 2000);
    }
  }

  TEST_CASE("connect: an endpoint that serves somebody else -> busy by the deadline; a missing one -> not_found") {
    const nkv_test::temporary_folder folder;
    CHECK(vfio_user_transport::connect(folder.path(), deadline::after_ms(50)).error() ==
          status{client_status::not_found});
    CHECK(vfio_user_transport::connect(folder.path() + "/none", deadline::after_ms(50)).error() ==
          status{client_status::not_found});
    const unique_fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = nkv::host::vfio_user::socket_address::of(folder.path() + "/cntrl");
    REQUIRE(address);
    REQUIRE(::bind(listener.get(), address->get(), address->size()) == 0);
    CHECK(vfio_user_transport::connect(folder.path(), deadline::after_ms(50)).error() ==
          status{client_status::disconnected});
    REQUIRE(::listen(listener.get(), 4) == 0);
    CHECK(vfio_user_transport::connect(folder.path(), deadline::after_ms(50)).error() == status{client_status::busy});
    CHECK(vfio_user_transport::connect(folder.path() + "/cntrl", deadline::after_ms(50)).error() ==
          status{client_status::busy});
  }

  TEST_CASE("connect: refusals, each with its own status") {
    scripted_server server;
    status expected = client_status::protocol_error;
    SUBCASE("VERSION answered with an errno") {
      server.on[1] = fails(EINVAL);
      expected = client_status::system_error;
    }
    SUBCASE("another major version") {
      server.on[1] = [](const message&, message& reply) {
        reply.payload = {1, 0, 0, 0};
        return true;
      };
      expected = client_status::unsupported;
    }
    SUBCASE("a minor version above ours") {
      server.on[1] = [](const message&, message& reply) {
        reply.payload = {0, 0, 3, 0};
        return true;
      };
    }
    SUBCASE("a VERSION reply without a version") {
      server.on[1] = [](const message&, message& reply) {
        reply.payload = {0, 0};
        return true;
      };
    }
    SUBCASE("no PCI device") {
      server.on[4] = [](const message&, message& reply) {
        for (const std::uint32_t v : {16u, 1u, 9u, 5u}) put(reply.payload, v);
        return true;
      };
      expected = client_status::unsupported;
    }
    SUBCASE("device info too short") {
      server.on[4] = [](const message&, message& reply) {
        put<std::uint32_t>(reply.payload, 16);
        return true;
      };
    }
    SUBCASE("BAR0 without doorbells") {
      server.on[5] = [](const message&, message& reply) {
        for (const std::uint32_t v : {32u, 3u, 0u, 0u}) put(reply.payload, v);
        for (const std::uint64_t v : {0x1000ull, 0ull}) put<std::uint64_t>(reply.payload, v);
        return true;
      };
      expected = client_status::unsupported;
    }
    SUBCASE("a capability chain that leaves the reply") {
      server.on[5] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.payload.pop_back();
        return true;
      };
    }
    SUBCASE("a region offset that overflows") {
      server.on[5] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        std::fill(reply.payload.begin() + 24, reply.payload.begin() + 32, static_cast<unsigned char>(0xff));
        return true;
      };
    }
    SUBCASE("a region that is longer than its file") {
      server.on[5] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.payload[25] = 0x10;  // offset 1000h: the area would end at 3000h
        return true;
      };
    }
    SUBCASE("an asleep word outside the doorbell page") {
      server.version_json = R"({"capabilities":{"nkv_wake":{"asleep_offset":8192}}})";
    }
    SUBCASE("an asleep word among the registers") {
      server.version_json = R"({"capabilities":{"nkv_wake":{"asleep_offset":4092}}})";
    }
    SUBCASE("an asleep word that is not aligned") {
      server.version_json = R"({"capabilities":{"nkv_wake":{"asleep_offset":8186}}})";
    }
    SUBCASE("an asleep word outside an area that is shorter than a word") {
      server.on[5] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.payload[56] = 2;  // 1002h bytes from 0: two of the doorbells
        reply.payload[57] = 0x10;
        reply.payload[49] = 0;
        return true;
      };
    }
    SUBCASE("a wake descriptor that is no eventfd") {
      server.on[6] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.fds = {server.doorbell_fd};
        return true;
      };
    }
    SUBCASE("a wake descriptor that did not come") {
      server.on[6] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.fds.clear();
        return true;
      };
    }
    SUBCASE("more descriptor entries than the reply has") {
      server.on[6] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.payload[12] = 200;
        return true;
      };
    }
    const std::size_t before = nkv_test::open_fds() - 1;  // the client's end, which attach() takes and closes
    server.start();
    const auto made = attach(server);
    CHECK_FALSE(made.has_value());
    CHECK(made.error() == expected);
    if (expected == status{client_status::system_error}) CHECK(made.error().detail() == EINVAL);
    server.join();
    CHECK(nkv_test::open_fds() == before);
  }

  TEST_CASE("connect: doorbells in memory that can shrink -> unsupported, unless allowed") {
    for (const bool allow : {false, true}) {
      scripted_server server;
      ::close(server.doorbell_fd);
      server.doorbell_fd = nkv_test::make_memory(0x2000, 0);
      server.start();
      vfio_user_options options;
      options.allow_unsealed = allow;
      const auto made = attach(server, 5000, options);
      CHECK(made.has_value() == allow);
      if (!allow) CHECK(made.error() == status{client_status::unsupported});
    }
  }

  TEST_CASE("connect: a target that knows nothing of sleeping, or refuses the eventfd -> no wake, still connected") {
    scripted_server server;
    SUBCASE("not announced") { server.version_json = R"({"capabilities":{"max_msg_fds":8}})"; }
    SUBCASE("no JSON at all") {
      server.on[1] = [](const message&, message& reply) {
        reply.payload = {0, 0, 1, 0};
        return true;
      };
    }
    SUBCASE("refused") { server.on[6] = fails(ENOTSUP); }
    SUBCASE("none of the page") {
      server.on[6] = [](const message&, message& reply) {
        for (const std::uint32_t v : {16u, 0u, 0u, 0u}) put(reply.payload, v);
        return true;
      };
    }
    server.start();
    const auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->doorbells().base != nullptr);
    CHECK((*made)->doorbells().asleep == nullptr);
    CHECK((*made)->doorbells().wake_fd == -1);
  }

  TEST_CASE("connect: a configuration space that refuses everything is no reason to refuse") {
    scripted_server server;
    server.on[9] = fails(EINVAL);
    server.on[10] = fails(EPERM);
    server.start();
    CHECK(attach(server).has_value());
  }

  TEST_CASE("read_register and write_register: values, widths, arguments") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    vfio_user_transport& t = **made;
    CHECK(*t.read_register(0x14, 4, soon()) == 0x5a5a5a5au);
    CHECK(*t.read_register(0, 8, soon()) == 0x5a5a5a5a5a5a5a5aull);
    CHECK(t.read_register(2, 4, soon()).error() == status{client_status::bad_argument});
    CHECK(t.read_register(4, 8, soon()).error() == status{client_status::bad_argument});
    CHECK(t.read_register(0, 2, soon()).error() == status{client_status::bad_argument});
    CHECK(t.write_register(0x28, 8, 0x1122334455667788ull, soon()).ok());
    CHECK(t.write_register(0x28, 16, 0, soon()) == status{client_status::bad_argument});
    made->reset();
    server.join();
    const message& last = server.requests.back();
    CHECK(last.command == nkv_test::cmd_region_write);
    CHECK((last.flags & 0x10) == 0);
    CHECK(get<std::uint64_t>(last.payload, 0) == 0x28);
    CHECK(get<std::uint32_t>(last.payload, 8) == 0);
    CHECK(get<std::uint32_t>(last.payload, 12) == 8);
    CHECK(get<std::uint64_t>(last.payload, 16) == 0x1122334455667788ull);
  }

  TEST_CASE("write_register: doorbells that are not mapped are posted, in order with what follows") {
    scripted_server server;
    vfio_user_options options;
    SUBCASE("not mappable") {
      server.on[5] = [](const message&, message& reply) {
        for (const std::uint32_t v : {32u, 3u, 0u, 0u}) put(reply.payload, v);
        for (const std::uint64_t v : {0x2000ull, 0ull}) put<std::uint64_t>(reply.payload, v);
        return true;
      };
    }
    SUBCASE("not wanted") { options.map_doorbells = false; }
    server.start();
    auto made = attach(server, 5000, options);
    REQUIRE(made);
    vfio_user_transport& t = **made;
    CHECK(t.doorbells().base == nullptr);
    CHECK(t.doorbells().wake_fd == -1);
    CHECK(t.write_register(0x1008, 4, 5, soon()).ok());
    CHECK(t.write_register(0x14, 4, 1, soon()).ok());
    made->reset();
    server.join();
    const message& doorbell = server.requests[server.requests.size() - 2];
    CHECK(get<std::uint64_t>(doorbell.payload, 0) == 0x1008);
    CHECK(doorbell.flags == 0x10);
    CHECK(server.requests.back().flags == 0);
  }

  TEST_CASE("map_dma: the message and its descriptor") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    vfio_user_transport& t = **made;
    const int fd = nkv_test::make_memory(0x3000, F_SEAL_SHRINK);
    std::byte here[1];
    nkv::host::dma_memory memory{here, 0x2000, fd, 0x1000};
    CHECK(t.map_dma(memory, soon()).ok());
    CHECK(t.unmap_dma(memory, soon()).ok());
    memory.fd = -1;
    CHECK(t.map_dma(memory, soon()) == status{client_status::staged_refused});
    memory.fd = fd;
    memory.length_bytes = 0;
    CHECK(t.map_dma(memory, soon()) == status{client_status::bad_argument});
    ::close(fd);
    made->reset();
    server.join();
    const message& map = server.requests[server.requests.size() - 2];
    CHECK(map.command == nkv_test::cmd_dma_map);
    CHECK(map.fds.size() == 1);
    REQUIRE(map.payload.size() == 32);
    CHECK(get<std::uint32_t>(map.payload, 0) == 32);
    CHECK(get<std::uint32_t>(map.payload, 4) == 3);
    CHECK(get<std::uint64_t>(map.payload, 8) == 0x1000);
    CHECK(get<std::uint64_t>(map.payload, 16) == reinterpret_cast<std::uintptr_t>(here));
    CHECK(get<std::uint64_t>(map.payload, 24) == 0x2000);
    const message& unmap = server.requests.back();
    CHECK(unmap.command == nkv_test::cmd_dma_unmap);
    REQUIRE(unmap.payload.size() == 24);
    CHECK(get<std::uint64_t>(unmap.payload, 8) == reinterpret_cast<std::uintptr_t>(here));
    CHECK(get<std::uint64_t>(unmap.payload, 16) == 0x2000);
  }

  TEST_CASE("map_dma: a target that takes no descriptors -> unsupported, nothing is sent") {
    scripted_server server;
    server.version_json = R"({"capabilities":{"max_msg_fds":0}})";
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    const int fd = nkv_test::make_memory(0x1000, F_SEAL_SHRINK);
    std::byte here[1];
    CHECK((*made)->map_dma({here, 0x1000, fd, 0}, soon()) == status{client_status::unsupported});
    ::close(fd);
    made->reset();
    server.join();
    CHECK(server.requests.back().command != nkv_test::cmd_dma_map);
  }

  TEST_CASE("errors that the target answers: the errno, and the connection stays") {
    scripted_server server;
    server.on[2] = fails(EEXIST);
    server.on[3] = fails(0);
    server.on[13] = [](const message&, message& reply) {  // an error reply that carries more than its header
      reply.flags = 0x21;
      reply.error = 0xffffffff;
      reply.payload.assign(100, 1);
      return true;
    };
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    vfio_user_transport& t = **made;
    const int fd = nkv_test::make_memory(0x1000, F_SEAL_SHRINK);
    std::byte here[1];
    const nkv::host::dma_memory memory{here, 0x1000, fd, 0};
    const status mapped = t.map_dma(memory, soon());
    CHECK(mapped == status{client_status::system_error});
    CHECK(mapped.detail() == EEXIST);
    const status unmapped = t.unmap_dma(memory, soon());
    CHECK(unmapped == status{client_status::system_error});
    CHECK(unmapped.detail() == EIO);
    CHECK(t.reset(soon()).detail() == EIO);
    CHECK(t.connected());
    CHECK(t.read_register(0, 8, soon()).has_value());
    ::close(fd);
  }

  TEST_CASE("replies that are not the call's -> protocol_error, and disconnected from then on") {
    scripted_server server;
    SUBCASE("another message id") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        reply.id = static_cast<std::uint16_t>(request.id + 1);
        return get<std::uint32_t>(request.payload, 8) == 0 || (reply.id = request.id, true);
      };
    }
    SUBCASE("another command") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.command = 10;
        return true;
      };
    }
    SUBCASE("neither command nor reply") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.flags = 2;
        return true;
      };
    }
    SUBCASE("too short") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.payload.pop_back();
        return true;
      };
    }
    SUBCASE("too long") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.payload.push_back(0);
        return true;
      };
    }
    SUBCASE("another count") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.payload[12] = 4;
        return true;
      };
    }
    SUBCASE("a length that no message has") {
      server.on[9] = [&](const message& request, message& reply) {
        server.standard(request, reply);
        if (get<std::uint32_t>(request.payload, 8) == 0) reply.claimed_bytes = 0x7fffffff;
        return true;
      };
    }
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->read_register(0, 8, soon()).error() == status{client_status::protocol_error});
    CHECK_FALSE((*made)->connected());
    CHECK((*made)->read_register(0, 8, soon()).error() == status{client_status::disconnected});
    CHECK((*made)->reset(soon()) == status{client_status::disconnected});
  }

  TEST_CASE("a reply after the deadline is nobody's: timed_out, then disconnected") {
    scripted_server server;
    message late;
    server.on[9] = [&](const message& request, message& reply) {
      server.standard(request, reply);
      if (get<std::uint32_t>(request.payload, 8) != 0) return true;
      late = reply;
      return false;
    };
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->read_register(0, 8, deadline::after_ms(30)).error() == status{client_status::timed_out});
    CHECK_FALSE((*made)->connected());
    server.join();
    server.here().send(late);
    CHECK((*made)->read_register(0, 8, soon()).error() == status{client_status::disconnected});
  }

  TEST_CASE("a deadline that has passed -> timed_out before anything is sent, and the connection stays") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->read_register(0, 8, deadline{}).error() == status{client_status::timed_out});
    CHECK((*made)->connected());
    CHECK((*made)->read_register(0, 8, soon()).has_value());
  }

  TEST_CASE("descriptors that nobody asked for are closed") {
    scripted_server server;
    const auto with_fds = [&](const message& request, message& reply) {
      server.standard(request, reply);
      for (int i = 0; i < 10; ++i) reply.fds.push_back(server.doorbell_fd);
      return true;
    };
    for (const int c : {1, 4, 5, 6, 9, 10, 13}) server.on[static_cast<std::uint16_t>(c)] = with_fds;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    const std::size_t connected = nkv_test::open_fds();
    CHECK((*made)->reset(soon()).ok());
    CHECK((*made)->read_register(0, 8, soon()).has_value());
    CHECK(nkv_test::open_fds() == connected);
  }

  TEST_CASE("commands from the server are refused, one by one, and bounded") {
    scripted_server server;
    int asked = 1;
    SUBCASE("some") { asked = 20; }
    SUBCASE("without end") { asked = 1000; }
    std::atomic<int> refused{0};
    server.on[13] = [&](const message&, message&) {
      message request;
      request.command = nkv_test::cmd_dma_read;
      request.payload.assign(16, 1);
      for (int i = 0; i < asked; ++i) {
        request.id = static_cast<std::uint16_t>(0x4000 + i);
        message answered;
        if (!server.here().send(request) || !server.here().receive(answered)) return false;
        if (answered.id == request.id && answered.command == request.command && answered.flags == 0x21 &&
            answered.error == ENOTSUP)
          ++refused;
      }
      return true;
    };
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    const status s = (*made)->reset(soon());
    if (asked == 20) {
      CHECK(s.ok());
      CHECK(refused == 20);
    } else {
      CHECK(s == status{client_status::protocol_error});
      CHECK_FALSE((*made)->connected());
    }
  }

  TEST_CASE("the server goes away: seen without a call, and by the next call") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK((*made)->connected());
    server.join();
    CHECK_FALSE((*made)->connected());
    CHECK((*made)->read_register(0, 8, soon()).error() == status{client_status::disconnected});
    // It lives in this process, so that nothing is known of its memory.
    CHECK_FALSE((*made)->peer_gone());
  }

  TEST_CASE("calls from many threads: one at a time on the socket, each with its own reply") {
    scripted_server server;
    server.on[9] = [&](const message& request, message& reply) {
      server.standard(request, reply);
      const auto offset = get<std::uint64_t>(request.payload, 0);
      if (get<std::uint32_t>(request.payload, 8) == 0) std::memcpy(reply.payload.data() + 16, &offset, 8);
      return true;
    };
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (unsigned i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < 50; ++n) {
          const auto v = (*made)->read_register(i * 8, 8, deadline::after_ms(20'000));
          if (!v || *v != i * 8) ++wrong;
          if (!(*made)->connected()) ++wrong;
        }
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
  }

  TEST_CASE("a call that waits for another's reply ends by its own deadline, and the other goes on") {
    scripted_server server;
    std::atomic<bool> inside{false};
    std::atomic<bool> go{false};
    server.on[13] = [&](const message&, message&) {
      inside = true;
      for (int i = 0; i < 5000 && !go; ++i) ::usleep(1000);
      return true;
    };
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    status slow = client_status::timed_out;
    std::thread other([&] { slow = (*made)->reset(deadline::after_ms(20'000)); });
    while (!inside) std::this_thread::yield();
    CHECK((*made)->read_register(0, 8, deadline::after_ms(20)).error() == status{client_status::timed_out});
    go = true;
    other.join();
    CHECK(slow.ok());
    CHECK((*made)->connected());
  }

  TEST_CASE("peer_gone: true when the serving process has ended, and not before") {
    scripted_server server;
    int to_child[2] = {-1, -1};
    REQUIRE(::pipe2(to_child, O_CLOEXEC) == 0);
    const int client = server.take_client_fd();
    const pid_t child = ::fork();
    if (child == 0) {
      // No more than system calls and the script's own loop, in a process that had one thread.
      ::close(client);
      ::close(to_child[1]);
      server.start();
      char c = 0;
      while (::read(to_child[0], &c, 1) < 0) {
      }
      ::_exit(0);
    }
    REQUIRE(child > 0);
    ::close(to_child[0]);
    auto made = vfio_user_transport::over(unique_fd(client), soon());
    REQUIRE(made);
    CHECK_FALSE((*made)->peer_gone());
    CHECK((*made)->connected());
    ::close(to_child[1]);
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK((*made)->peer_gone());
    // The descriptors of the other end live on in this process, which forked: the connection does not tell.
    CHECK((*made)->connected());
  }

  TEST_CASE("interrupts: their number, and an eventfd for one") {
    scripted_server server;
    server.start();
    auto made = attach(server);
    REQUIRE(made);
    CHECK(*(*made)->interrupt_count(nkv::host::vfio_user::irq_index::msix, soon()) == 7);
    CHECK((*made)->set_interrupt(3, server.wake_fd, soon()).ok());
    CHECK((*made)->set_interrupt(3, -1, soon()).ok());
    made->reset();
    server.join();
    const message& off = server.requests.back();
    const message& on = server.requests[server.requests.size() - 2];
    REQUIRE(on.payload.size() == 20);
    CHECK(get<std::uint32_t>(on.payload, 4) == (4u | 32u));
    CHECK(get<std::uint32_t>(on.payload, 8) == 2);
    CHECK(get<std::uint32_t>(on.payload, 12) == 3);
    CHECK(get<std::uint32_t>(on.payload, 16) == 1);
    CHECK(on.fds.size() == 1);
    CHECK(off.fds.empty());
  }
}
