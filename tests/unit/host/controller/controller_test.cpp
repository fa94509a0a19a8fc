// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/controller.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <support/attach_scripted.hpp>
#include <support/wipes_on_fork.hpp>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;
using host::controller;

TEST_SUITE("host/controller/controller") {
  TEST_CASE("random Identify data -> a status or a bounded profile, never more") {
    std::mt19937_64 random(7);
    const auto fill = [&random](void* at, std::size_t n) {
      auto* const p = static_cast<unsigned char*>(at);
      for (std::size_t i = 0; i < n; ++i) p[i] = static_cast<unsigned char>(random());
    };
    unsigned opened = 0;
    for (int round = 0; round < 200; ++round) {
      const auto s = std::make_shared<script>();
      s->add_kv(1);
      s->on_command = [&, s = s.get()](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
        if (qid != 0) return std::nullopt;
        if (is_admin(a, admin_opcode::identify)) {
          fill(reinterpret_cast<void*>(a.dptr().low), 4096);
          auto* const page = reinterpret_cast<std::byte*>(a.dptr().low);
          // Half of the time a CSI descriptor stands first, so that what comes after is reached.
          if (cns_of(a) == 3 && round % 2 == 0) {
            page[0] = std::byte{4};
            page[1] = std::byte{1};
            page[4] = std::byte{1};
          }
          return script::answer{};
        }
        if (is_admin(a, admin_opcode::set_features))
          return script::answer{{}, static_cast<std::uint32_t>(random()), false};
        return std::nullopt;
      };
      const auto c = attach(s);
      REQUIRE(c);
      CHECK(c->max_queue_pairs() <= 64);
      static_cast<void>(c->namespaces(soon(500)).has_value());
      const auto ns = c->open_namespace(1, {}, soon(500));
      if (ns) {
        ++opened;
        CHECK(ns->profile().limits.max_key_bytes <= 255);
        CHECK(ns->queue().ref().list_bytes() <= (1u << 20));
      }
    }
    CHECK(opened > 0);
  }

  TEST_CASE("the connection is lost under way -> noticed long before the deadline; memory is kept") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    std::uintptr_t queue_memory = 0;
    std::uint64_t value = 0;
    {
      const auto c = attach(s);
      REQUIRE(c);
      const auto ns = c->open_namespace(1);
      REQUIRE(ns);
      queue_memory = reinterpret_cast<std::uintptr_t>(s->queues.at(1).sq);
      s->on_command = [&](std::uint16_t qid, const sqe& a) -> std::optional<script::answer> {
        if (qid == 0) return std::nullopt;
        value = a.dptr().low;
        s->lost = true;
        return script::answer{{}, 0, true};
      };
      std::byte mine[8];
      const std::uint64_t before = host::steady_clock::now_ns();
      CHECK(ns->retrieve(key_view::from_text("k"), {mine, 8}, soon(60'000)).status ==
            status(client_status::disconnected));
      CHECK(host::steady_clock::now_ns() - before < 10'000'000'000);
      CHECK(ns->queue().ref().liveness() == queue_liveness::lost);
      CHECK(c->check() == status(client_status::disconnected));
    }
    // The peer may live and write: neither the queue nor the value's memory may be anybody else's.
    CHECK(mapped(queue_memory));
    CHECK(mapped(value));
    std::memset(reinterpret_cast<void*>(value), 1, 8);
  }

  TEST_CASE("the connection is lost and the peer's process has ended -> fenced, and everything is given back") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    std::uintptr_t queue_memory = 0;
    {
      const auto c = attach(s);
      REQUIRE(c);
      const auto ns = c->open_namespace(1);
      REQUIRE(ns);
      queue_memory = reinterpret_cast<std::uintptr_t>(s->queues.at(1).sq);
      s->on_command = [&](std::uint16_t qid, const sqe&) -> std::optional<script::answer> {
        if (qid == 0) return std::nullopt;
        return script::answer{{}, 0, true};
      };
      const auto memory = c->allocate(4096);
      REQUIRE(memory);
      const auto t = ns->ref().submit(operation::retrieve(key_view::from_text("k"), memory->value()));
      REQUIRE(t);
      s->lost = true;
      CHECK(c->check() == status(client_status::disconnected));
      CHECK(ns->ref().poll(*t).status == status(client_status::disconnected));
      CHECK(!ns->ref().quiesced(*t));
      s->gone = true;
      CHECK(c->check() == status(client_status::disconnected));
      CHECK(ns->ref().quiesced(*t));
      CHECK(ns->ref().submit(operation::exist(key_view::from_text("k"))).error() ==
            status(client_status::disconnected));
    }
    CHECK(!mapped(queue_memory));
  }

  TEST_CASE("check: CSTS.CFS -> controller_fatal, waiters end, nothing new is sent; reset brings it back") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    s->queues_granted = 1;
    const auto c = attach(s);
    REQUIRE(c);
    CHECK(c->check().ok());
    auto ns = c->open_namespace(1);
    REQUIRE(ns);
    const key_view k = key_view::from_text("k");
    s->on_command = [](std::uint16_t qid, const sqe&) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      return script::answer{{}, 0, true};
    };
    const auto t = ns->ref().submit(operation::exist(k));
    REQUIRE(t);
    s->csts |= 2;
    CHECK(c->check() == status(client_status::controller_fatal));
    CHECK(c->check() == status(client_status::controller_fatal));
    CHECK(ns->ref().poll(*t).status == status(client_status::disconnected));
    CHECK(!ns->ref().quiesced(*t));
    CHECK(c->reset(soon()).ok());
    CHECK(c->check().ok());
    CHECK(s->enables == 2);
    // What the reset ended stays ended, and is quiesced now.
    CHECK(ns->ref().quiesced(*t));
    CHECK(ns->exist(k).status == status(client_status::disconnected));
    s->on_command = nullptr;
    auto fresh = c->open_namespace(1);
    REQUIRE(fresh);
    CHECK(fresh->exist(k).status.is_key_does_not_exist());
    // The old owner does not delete the new queue, which has its id: there is no other.
    CHECK(fresh->queue().qid() == ns->queue().qid());
    {
      const auto end = *std::move(ns);
    }
    CHECK(fresh->exist(k).status.is_key_does_not_exist());
    CHECK(s->deleted.empty());
  }

  TEST_CASE("reset: a controller that does not stop -> timed_out, and its queues stay lost") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    s->cap = (s->cap & ~(0xffull << 24)) | (1ull << 24);
    const auto c = attach(s);
    REQUIRE(c);
    const auto ns = c->open_namespace(1);
    REQUIRE(ns);
    s->never_disables = true;
    CHECK(c->reset(soon(100)) == status(client_status::timed_out));
    CHECK(ns->queue().ref().liveness() == queue_liveness::lost);
    s->never_disables = false;
    s->csts = 0;  // it stops at last
    CHECK(c->reset(soon()).ok());
    CHECK(ns->queue().ref().liveness() == queue_liveness::fenced);
  }

  TEST_CASE("shutdown: queues deleted, CC.SHN, CC.EN, memory taken back; what is left is dead") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    const auto ns = c->open_namespace(1);
    const auto other = c->create_queue_pair();
    const auto memory = c->allocate(4096);
    REQUIRE(ns);
    REQUIRE(other);
    REQUIRE(memory);
    s->cc_written.clear();
    CHECK(c->shutdown(soon()).ok());
    CHECK(s->deleted == std::vector<std::uint16_t>{2, 0x8002, 1, 0x8001});
    REQUIRE(s->cc_written.size() == 2);
    CHECK(((s->cc_written[0] >> 14) & 3u) == 1);
    CHECK((s->cc_written[0] & 1u) == 1);
    CHECK((s->cc_written[1] & 1u) == 0);
    CHECK(s->mapped.empty());
    CHECK(ns->queue().ref().liveness() == queue_liveness::fenced);
    CHECK(ns->exist(key_view::from_text("k")).status == status(client_status::disconnected));
    CHECK(c->allocate(4096).error() == status(client_status::disconnected));
    CHECK(c->open_namespace(1).error() == status(client_status::disconnected));
    CHECK(c->check() == status(client_status::disconnected));
    CHECK(c->reset() == status(client_status::disconnected));
    CHECK(c->shutdown(soon()).ok());
    CHECK(s->cc_written.size() == 2);
  }

  TEST_CASE("the controller goes first: namespaces and memory of it are dead, not dangling") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    std::optional<controller> c = *attach(s);
    auto ns = c->open_namespace(1);
    auto memory = c->allocate(4096);
    REQUIRE(ns);
    REQUIRE(memory);
    c.reset();
    CHECK((s->cc & 1u) == 0);
    CHECK(ns->exist(key_view::from_text("k")).status == status(client_status::disconnected));
    memory->data()[0] = std::byte{1};
    CHECK(memory->release(soon()).ok());
  }

  TEST_CASE("many threads: admin commands, memory, queues and a reset at once") {
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    const auto c = attach(s);
    REQUIRE(c);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> opened{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&, i] {
        while (!stop) {
          if (i == 0) {
            static_cast<void>(c->allocate(8192).has_value());
            static_cast<void>(c->check().ok());
          } else {
            const auto ns = c->open_namespace<shared>(1, {}, soon(500));
            if (!ns) continue;
            for (int n = 0; n < 20; ++n) static_cast<void>(ns->exist(key_view::from_text("k"), soon(200)).ok());
            ++opened;
          }
        }
      });
    const host::deadline until = soon(20'000);
    for (int i = 0; i < 5; ++i) {
      const unsigned seen = opened;
      while (opened < seen + 10 && !until.expired()) std::this_thread::yield();
      CHECK(c->reset(soon(10'000)).ok());
    }
    stop = true;
    for (std::thread& t : threads) t.join();
    CHECK(opened >= 50);
    CHECK(c->open_namespace(1));
    CHECK(c->statistics().abandoned_bytes == 0);
  }

  TEST_CASE("fork: the child gets client/forked and an empty queue, and its end leaves the parent alone") {
    if (!nkv_test::wipes_on_fork()) return;
    const auto s = std::make_shared<script>();
    s->add_kv(1);
    std::optional<controller> c = *attach(s);
    auto ns = c->open_namespace(1);
    REQUIRE(ns);
    const key_view k = key_view::from_text("k");
    const std::byte value[4] = {std::byte{7}, std::byte{7}, std::byte{7}, std::byte{7}};
    std::uint64_t staging = 0;
    s->on_command = [&](std::uint16_t, const sqe& a) -> std::optional<script::answer> {
      if (a.opc() == 0x01) staging = a.dptr().low;
      return std::nullopt;
    };
    static_cast<void>(ns->store(k, {value, 4}).ok());
    REQUIRE(staging != 0);
    const std::size_t sent = s->admin_commands.size();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int wrong = 0;
      if (!(ns->exist(k).status == status(client_status::forked))) wrong |= 1;
      const std::byte other[4]{};
      if (!(ns->store(k, {other, 4}).status == status(client_status::forked))) wrong |= 1;
      if (*reinterpret_cast<const std::byte*>(staging) != std::byte{7}) wrong |= 64;
      if (!(ns->ref().submit(operation::exist(k)).error() == status(client_status::forked))) wrong |= 2;
      if (!(c->allocate(4096).error() == status(client_status::forked))) wrong |= 4;
      if (!(c->check() == status(client_status::forked))) wrong |= 8;
      if (!(c->reset() == status(client_status::forked))) wrong |= 16;
      {
        const auto end = *std::move(ns);
      }
      c.reset();
      if (s->admin_commands.size() != sent || (s->cc & 1u) == 0) wrong |= 32;
      ::_exit(wrong);
    }
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(WIFEXITED(how));
    CHECK(WEXITSTATUS(how) == 0);
    CHECK(ns->exist(k).status.is_key_does_not_exist());
  }
}
