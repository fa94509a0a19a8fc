// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/connect.hpp>

#include <nkv/target/inproc_server.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/vfio_user/server.hpp>
#include <support/gated_store.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using host::controller;

namespace {

host::deadline soon(std::uint64_t ms = 10'000) { return host::deadline::after_ms(ms); }

/// Two namespaces of memory: nsid 1 with keys in the command, nsid 2 with keys in the payload.
std::shared_ptr<target::subsystem> make_subsystem() {
  auto s = std::make_shared<target::subsystem>();
  REQUIRE(s->add(std::make_shared<target::kv_namespace>(target::namespace_options{},
                                                        std::make_shared<target::memory_store>()))
              .ok());
  target::namespace_options head;
  head.nsid = 2;
  head.key_encoding = key_encoding::payload_head;
  REQUIRE(s->add(std::make_shared<target::kv_namespace>(head, std::make_shared<target::memory_store>())).ok());
  return s;
}

/// The same target at both kinds of endpoint.
struct served {
  std::shared_ptr<target::subsystem> subsystem = make_subsystem();
  target::inproc_server inproc{"connect_test", subsystem};
  nkv_test::temporary_folder folder;
  target::poller poller;
  target::vfio_user::server vfio_user{subsystem, poller};

  served() {
    REQUIRE(inproc.error().ok());
    REQUIRE(poller.start().ok());
    REQUIRE(vfio_user.start(folder.path()).ok());
  }
  ~served() {
    vfio_user.stop();
    poller.stop();
  }
  std::vector<std::string> endpoints() const {
    return {"inproc:connect_test", "vfio-user:" + folder.path(), "trtype:VFIOUSER traddr:" + folder.path() + "/cntrl"};
  }
};

std::vector<std::byte> pattern(std::size_t n, unsigned seed) {
  std::vector<std::byte> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<std::byte>((i * 31 + i / 251 + seed) & 0xff);
  return v;
}

}  // namespace

TEST_SUITE("host/connect") {
  TEST_CASE("connect: no endpoint, no such target, no such transport") {
    CHECK(host::connect("nonsense").error() == status(client_status::bad_argument));
    CHECK(host::connect("inproc:nobody").error() == status(client_status::not_found));
    CHECK(host::connect("vfio-user:/nowhere/at/all").error() == status(client_status::not_found));
    CHECK(host::connect("tcp://localhost").error() == status(client_status::unsupported));
    CHECK(host::connect("rdma://[::1]:4420/nqn.x").error() == status(client_status::unsupported));
    CHECK(host::connect("dev:/dev/ng0n1").error() == status(client_status::unsupported));
  }

  TEST_CASE("connect: a first program, over every endpoint and both encodings") {
    served target;
    for (const std::string& where : target.endpoints()) {
      CAPTURE(where);
      const auto c = host::connect(where, {}, soon());
      REQUIRE(c);
      CHECK(c->doorbells_mapped());
      const auto all = c->namespaces();
      REQUIRE(all);
      REQUIRE(all->size() == 2);
      CHECK((*all)[0].is_kv());
      for (const std::uint32_t nsid : {1u, 2u}) {
        CAPTURE(nsid);
        const auto space = c->open_namespace(nsid, {}, soon());
        REQUIRE(space);
        CHECK(space->profile().quirks.encoding == (nsid == 1 ? key_encoding::inline_cdw : key_encoding::payload_head));
        CHECK(space->profile().quirks.reads_head_without_data_direction == (nsid == 2));
        const std::string name = nsid == 1 ? "hello" : "a key of more than sixteen bytes";
        const key_view k = key_view::from_text(name);
        for (const std::size_t n :
             {std::size_t{0}, std::size_t{5}, std::size_t{4095}, std::size_t{1} << 20, std::size_t{20} << 20}) {
          CAPTURE(n);
          const std::vector<std::byte> value = pattern(n, nsid);
          CHECK(space->store(k, {value.data(), n}, soon()).ok());
          CHECK(space->exist(k, soon()).ok());
          const auto back = space->retrieve_all(k, soon());
          REQUIRE(back);
          CHECK(*back == value);
        }
        // Registered memory: nothing is copied.
        const auto before = c->statistics();
        const auto memory = c->allocate(1 << 20);
        REQUIRE(memory);
        CHECK(memory->kind() == host::registration::zero_copy);
        std::memset(memory->data() + 3, 0x5a, 1000);
        CHECK(space->ref().store(k, *memory->value(3, 1000), soon()).ok());
        const outcome got = space->ref().retrieve(k, *memory->value(8191, 2000), soon());
        CHECK(got.ok());
        CHECK(got.length_bytes == 1000);
        CHECK(std::memcmp(memory->data() + 8191, memory->data() + 3, 1000) == 0);
        CHECK(memory->data()[8191 + 1000] == std::byte{0});
        CHECK(c->statistics().staged_in_bytes == before.staged_in_bytes);
        CHECK(space->remove(k, soon()).ok());
        CHECK(space->exist(k, soon()).status.is_key_does_not_exist());
        CHECK(space->retrieve_all(k, soon()).error().is_key_does_not_exist());
      }
    }
  }

  TEST_CASE("listing: every key, over several pages, both encodings") {
    served target;
    for (const std::string& where : {target.endpoints()[0], target.endpoints()[1]}) {
      const auto c = host::connect(where, {}, soon());
      REQUIRE(c);
      for (const std::uint32_t nsid : {1u, 2u}) {
        const auto space = c->open_namespace(nsid, {}, soon());
        REQUIRE(space);
        std::vector<std::string> expected;
        for (int i = 0; i < 600; ++i) {
          expected.push_back("key-" + std::to_string(100000 + i) + (nsid == 2 ? std::string(230, 'x') : ""));
          REQUIRE(space->store(key_view::from_text(expected.back()), {}, soon()).ok());
        }
        std::vector<std::string> seen;
        const auto note = [&](key_view k) {
          seen.emplace_back(reinterpret_cast<const char*>(k.data()), k.size());
          return true;
        };
        CHECK(space->for_each_key({}, note, soon()).ok());
        CHECK(seen == expected);
        unsigned few = 0;
        CHECK(space->for_each_key(key_view::from_text("key-1005"), [&](key_view) { return ++few < 10; }, soon()).ok());
        CHECK(few == 10);
        for (const std::string& k : expected) REQUIRE(space->remove(key_view::from_text(k), soon()).ok());
      }
    }
  }

  TEST_CASE("memory of the caller: staged over vfio-user unless it has a descriptor; zero copy in the process") {
    served target;
    const key_view k = key_view::from_text("mine");
    std::vector<std::byte> mine = pattern(50'001, 9);
    {
      const auto c = host::connect(target.endpoints()[0], {}, soon());
      REQUIRE(c);
      const auto r = c->register_memory(mine.data(), mine.size());
      REQUIRE(r);
      CHECK(r->kind() == host::registration::zero_copy);
      const auto space = c->open_namespace(1, {}, soon());
      REQUIRE(space);
      CHECK(space->ref().store(k, r->value(), soon()).ok());
    }
    const auto c = host::connect(target.endpoints()[1], {}, soon());
    REQUIRE(c);
    const auto space = c->open_namespace(1, {}, soon());
    REQUIRE(space);
    std::vector<std::byte> copy(mine.size());
    const auto r = c->register_memory(copy.data(), copy.size());
    REQUIRE(r);
    CHECK(r->kind() == host::registration::staged);
    CHECK(space->ref().retrieve(k, r->value(), soon()).ok());
    CHECK(copy[1] == std::byte{0});
    CHECK(r->stage_out(0, copy.size()).ok());
    CHECK(copy == mine);
    CHECK(c->statistics().staged_out_bytes == copy.size());
    host::memory_options strict;
    strict.allow_staging = false;
    CHECK(c->register_memory(copy.data(), copy.size(), -1, 0, strict).error() == status(client_status::staged_refused));

    const int fd = ::memfd_create("callers", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(::ftruncate(fd, 65536) == 0);
    REQUIRE(::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    auto* const at = static_cast<std::byte*>(::mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(at != MAP_FAILED);
    auto shared_memory = c->register_memory(at, 65536, fd);
    REQUIRE(shared_memory);
    CHECK(shared_memory->kind() == host::registration::zero_copy);
    CHECK(space->ref().retrieve(k, *shared_memory->value(1, 60'000), soon()).ok());
    CHECK(std::memcmp(at + 1, mine.data(), mine.size()) == 0);
    CHECK(shared_memory->release(soon()).ok());
    ::munmap(at, 65536);
    ::close(fd);
  }

  TEST_CASE("many controllers, queue pairs and threads in one process, and queue pairs shared by threads") {
    served target;
    std::vector<std::thread> threads;
    std::atomic<unsigned> wrong{0};
    const auto one = host::connect(target.endpoints()[1], {}, soon());
    REQUIRE(one);
    const auto common = one->open_namespace<shared>(2, {}, soon());
    REQUIRE(common);
    for (unsigned i = 0; i < 6; ++i)
      threads.emplace_back([&, i] {
        const auto own = host::connect(target.endpoints()[i % 2], {}, soon());
        if (!own) return void(++wrong);
        const auto space = own->open_namespace(1, {}, soon());
        const auto memory = one->allocate(64 * 1024);
        if (!space || !memory) return void(++wrong);
        for (unsigned n = 0; n < 100; ++n) {
          const std::string name = "k" + std::to_string(i) + "-" + std::to_string(n % 7);
          const key_view k = key_view::from_text(name);
          const std::vector<std::byte> value = pattern(100 + n * 37, i + n);
          if (!space->store(k, {value.data(), value.size()}, soon()).ok()) ++wrong;
          const auto back = space->retrieve_all(k, soon());
          if (!back || *back != value) ++wrong;
          std::memcpy(memory->data(), value.data(), value.size());
          if (!common->ref().store(k, *memory->value(0, value.size()), soon()).ok()) ++wrong;
          const outcome o = common->ref().retrieve(k, *memory->value(32768, 32768), soon());
          if (!o.ok() || o.length_bytes != value.size() ||
              std::memcmp(memory->data() + 32768, value.data(), value.size()) != 0)
            ++wrong;
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
  }

  TEST_CASE("reset and shutdown of a real controller; commands under way end") {
    served target;
    for (const std::string& where : target.endpoints()) {
      CAPTURE(where);
      auto c = host::connect(where, {}, soon());
      REQUIRE(c);
      auto space = c->open_namespace(1, {}, soon());
      REQUIRE(space);
      const auto memory = c->allocate(1 << 20);
      REQUIRE(memory);
      const key_view k = key_view::from_text("k");
      CHECK(space->ref().store(k, memory->value(), soon()).ok());
      CHECK(c->check(soon()).ok());
      CHECK(c->reset(soon()).ok());
      CHECK(space->exist(k).status == status(client_status::disconnected));
      space = c->open_namespace(1, {}, soon());
      REQUIRE(space);
      // Registered memory is still registered.
      CHECK(space->ref().retrieve(k, memory->value(), soon()).ok());
      CHECK(c->shutdown(soon()).ok());
      CHECK(space->exist(k).status == status(client_status::disconnected));
      CHECK(c->statistics().mapped_bytes == 0);
      CHECK(c->statistics().abandoned_bytes == 0);
    }
  }

  TEST_CASE("the inproc target ends under a client -> disconnected, fenced, nothing abandoned") {
    auto s = make_subsystem();
    auto server = std::make_unique<target::inproc_server>("ends", s);
    const auto c = host::connect("inproc:ends", {}, soon());
    REQUIRE(c);
    const auto space = c->open_namespace(1, {}, soon());
    REQUIRE(space);
    server.reset();
    CHECK(c->check(soon()) == status(client_status::disconnected));
    CHECK(space->queue().ref().liveness() == queue_liveness::fenced);
    CHECK(space->exist(key_view::from_text("k"), soon()).status == status(client_status::disconnected));
    CHECK(c->allocate(4096).error() == status(client_status::disconnected));
  }

  TEST_CASE("an event loop: readable when completions arrive; clear(), then poll, and none is missed") {
    served target;
    for (const std::string& endpoint : target.endpoints()) {
      CAPTURE(endpoint);
      auto c = host::connect(endpoint, {}, soon());
      REQUIRE(c);
      host::namespace_options how;
      how.queue.completion_event = true;
      const auto space = c->open_namespace(1, how, soon());
      REQUIRE(space);
      const host::completion_event& event = space->queue().event();
      REQUIRE(event.valid());
      const auto& ns = space->ref();
      const key_view k = key_view::from_text("k");
      for (std::size_t round = 0; round < 200; ++round) {
        std::vector<kv_ticket> tickets;
        for (std::size_t i = 0; i <= round % 7; ++i) tickets.push_back(*ns.submit(operation::exist(k)));
        const host::deadline until = soon();
        while (!tickets.empty()) {
          pollfd one{event.fd(), POLLIN, 0};
          // Without a deadline of its own a missed completion would end here.
          REQUIRE(::poll(&one, 1, static_cast<int>(until.left_ns() / 1'000'000)) == 1);
          CHECK(event.clear() != 0);
          for (std::size_t i = 0; i < tickets.size();) {
            const outcome o = ns.poll(tickets[i]);
            if (o.status == status(client_status::would_block)) {
              ++i;
              continue;
            }
            CHECK(o.status.is_key_does_not_exist());
            tickets.erase(tickets.begin() + static_cast<std::ptrdiff_t>(i));
          }
        }
      }
      // Another queue has none, and raises none here.
      event.clear();
      const auto other = c->open_namespace(1, {}, soon());
      REQUIRE(other);
      CHECK_FALSE(other->queue().event().valid());
      CHECK(other->exist(k, soon()).status.is_key_does_not_exist());
      pollfd one{event.fd(), POLLIN, 0};
      CHECK(::poll(&one, 1, 0) == 0);
    }
  }

  TEST_CASE("statistics: queue_full of queues that are there and that were") {
    served target;
    auto c = host::connect(target.endpoints()[0], {}, soon());
    REQUIRE(c);
    for (std::uint64_t i = 0; i < 2; ++i) {
      host::namespace_options how;
      how.queue.entries = 2;
      const auto space = c->open_namespace(1, how, soon());
      REQUIRE(space);
      const std::uint64_t before = c->statistics().queue_full;
      CHECK(before == i);
      const kv_ticket t = *space->ref().submit(operation::exist(key_view::from_text("k")));
      CHECK(space->ref().submit(operation::exist(key_view::from_text("k"))).error() ==
            status(client_status::queue_full));
      CHECK(c->statistics().queue_full == before + 1);
      CHECK(space->ref().wait(t, soon()).status.is_key_does_not_exist());
    }
    CHECK(c->statistics().queue_full == 2);
    CHECK(c->statistics().late_completions == 0);
    CHECK(c->statistics().stray_completions == 0);
  }

  TEST_CASE("the target's process is killed with a command under way -> the waiter ends, memory is fenced") {
    nkv_test::temporary_folder folder;
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto s = std::make_shared<target::subsystem>();
      bool ok = s->add(std::make_shared<target::kv_namespace>(target::namespace_options{},
                                                              std::make_shared<target::memory_store>()))
                    .ok();
      target::poller p;
      target::vfio_user::server server(s, p);
      ok = ok && p.start().ok() && server.start(folder.path()).ok();
      const char byte = ok ? 'y' : 'n';
      ok = ::write(ready[1], &byte, 1) == 1 && ok;
      for (;;) ::pause();
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    REQUIRE(byte == 'y');
    ::close(ready[0]);
    ::close(ready[1]);

    auto c = host::connect("vfio-user:" + folder.path(), {}, soon());
    REQUIRE(c);
    const auto space = c->open_namespace(1, {}, soon());
    REQUIRE(space);
    const auto memory = c->allocate(1 << 20);
    REQUIRE(memory);
    const key_view k = key_view::from_text("k");
    CHECK(space->ref().store(k, memory->value(), soon()).ok());
    // kill() returns before the process has stopped: a poller still running on another core would answer.
    REQUIRE(::kill(child, SIGSTOP) == 0);
    int how = 0;
    REQUIRE(::waitpid(child, &how, WUNTRACED) == child);
    REQUIRE(WIFSTOPPED(how));
    const auto t = space->ref().submit(operation::store(k, memory->value()));
    REQUIRE(t);
    CHECK(!space->ref().quiesced(*t));
    ::kill(child, SIGKILL);
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(c->check(soon()) == status(client_status::disconnected));
    CHECK(space->ref().poll(*t).status == status(client_status::outcome_unknown));
    CHECK(space->ref().quiesced(*t));
    CHECK(space->store(k, {}, soon()).status == status(client_status::disconnected));
    CHECK(c->reset(soon()) == status(client_status::disconnected));
    CHECK(c->statistics().abandoned_bytes == 0);
  }
}
