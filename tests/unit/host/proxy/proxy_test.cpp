// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/proxy/proxy.hpp>
#include <support/attach_scripted.hpp>
#include <support/wipes_on_fork.hpp>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;

namespace {

/// A controller that answers as a script says, and what a proxy over it is made of.
struct rig {
  explicit rig(std::uint32_t entries = 8, std::uint32_t lower_entries = 8) {
    options.entries = entries;
    s->add_kv(1);
    c = *attach(s);
    values = *c->allocate(4096);
    below.queue.entries = lower_entries;
    below.encoding = key_encoding::inline_cdw;
  }

  host::kv_namespace<exclusive> open() { return *c->open_namespace(1, below); }

  host::result<host::proxy<shared>> make() {
    host::kv_namespace<exclusive> ns = open();
    const host::proxy_layout layout = host::proxy_layout_of(ns.profile().limits, options);
    memory = *host::private_block::create(layout.queue_bytes);
    scratch = *c->allocate(layout.scratch_bytes);
    return host::proxy<shared>::create(std::move(ns), {memory.data(), nullptr, &scratch, nullptr}, {values.value()},
                                       options);
  }

  /// Every command from now on is held back until script::release().
  void hold() {
    const std::lock_guard lock(s->mutex);
    s->on_command = [](std::uint16_t qid, const sqe&) -> std::optional<script::answer> {
      if (qid == 0) return std::nullopt;
      return script::answer{{}, 0, true};
    };
  }
  bool held(std::size_t count) {
    const host::deadline until = soon(60'000);
    for (std::uint32_t spins = 0;; ++spins) {
      {
        const std::lock_guard lock(s->mutex);
        if (s->held_back.size() == count) return true;
      }
      if (until.expired()) return false;
      host::steady_clock::relax(spins);
    }
  }

  script_ptr s = std::make_shared<script>();
  std::optional<host::controller> c;
  host::namespace_options below;
  host::proxy_options options;
  host::registration values;
  host::private_block memory;
  host::registration scratch;
};

const key_view a_key = key_view::from_text("k");

/// The proxy's thread sees what became of the controller when it looks.
bool fenced_soon(const host::proxy<shared>& p) {
  const host::deadline until = soon(60'000);
  while (p.liveness() != queue_liveness::fenced && !until.expired()) std::this_thread::yield();
  return p.liveness() == queue_liveness::fenced;
}

status answer_of(const namespace_ref<queue_pair_ref<shared, mapped_doorbell<>>>& ns, const kv_ticket& t) {
  return ns.wait(t, soon(60'000)).status;
}

}  // namespace

TEST_SUITE("host/proxy/proxy") {
  TEST_CASE("create: what cannot be carried is refused") {
    using made = host::proxy<shared>;
    rig r;
    const host::proxy_layout layout = host::proxy_layout_of(r.open().profile().limits, r.options);
    const host::private_block queue = *host::private_block::create(layout.queue_bytes + 64);
    const host::registration scratch = *r.c->allocate(layout.scratch_bytes);
    const status bad{client_status::bad_argument};
    CHECK(made::create(r.open(), {nullptr, nullptr, &scratch, nullptr}, {}, r.options).error() == bad);
    CHECK(made::create(r.open(), {queue.data(), nullptr, nullptr, nullptr}, {}, r.options).error() == bad);
    CHECK(made::create(r.open(), {queue.data() + 32, nullptr, &scratch, nullptr}, {}, r.options).error() == bad);
    CHECK(made::create(r.open(), {queue.data(), queue.data() + 4, &scratch, nullptr}, {}, r.options).error() == bad);
    CHECK(made::create(r.open(), {queue.data(), nullptr, &scratch, scratch.data() + 8}, {}, r.options).error() == bad);
    const host::registration less = *r.c->allocate(layout.scratch_bytes - 1);
    CHECK(made::create(r.open(), {queue.data(), nullptr, &less, nullptr}, {}, r.options).error() == bad);
    host::proxy_options one = r.options;
    one.entries = 1;
    CHECK(made::create(r.open(), {queue.data(), nullptr, &scratch, nullptr}, {}, one).error() == bad);
    std::vector<std::byte> plain(layout.scratch_bytes);
    const host::registration staged = *r.c->register_memory(plain.data(), plain.size());
    REQUIRE(staged.kind() == host::registration::staged);
    CHECK(made::create(r.open(), {queue.data(), nullptr, &staged, nullptr}, {}, r.options).error() ==
          status(client_status::staged_refused));
    host::kv_namespace<exclusive> dead = r.open();
    r.s->lost = true;
    CHECK(made::create(std::move(dead), {queue.data(), nullptr, &scratch, nullptr}, {}, r.options).error() ==
          status(client_status::disconnected));
  }

  TEST_CASE("poll: by the caller, without a thread; values elsewhere are refused") {
    rig r;
    auto p = r.make();
    REQUIRE(p);
    host::proxy<shared>& made = *p;
    const auto ns = made.ref();
    r.s->on_command = [](std::uint16_t qid, const sqe& command) -> std::optional<script::answer> {
      if (qid == 0 || command.opc() != static_cast<std::uint8_t>(kv_opcode::store)) return std::nullopt;
      return script::answer{};
    };
    CHECK(ns.profile().nsid == 1);
    CHECK(made.capacity() == 7);
    const auto there = ns.submit(operation::exist(a_key));
    const auto good = ns.submit(operation::store(a_key, *r.values.value(0, 100)));
    const auto elsewhere = ns.submit(operation::store(a_key, {r.values.value().address + 4096, 1, 0}));
    REQUIRE(elsewhere);
    CHECK(made.poll() == 3);
    while (made.poll() != 0) {
    }
    CHECK(answer_of(ns, *there).is_key_does_not_exist());
    CHECK(answer_of(ns, *good) == status());
    CHECK(answer_of(ns, *elsewhere) == status(status_code_type::generic, generic_status::data_transfer_error));
    CHECK(made.statistics().forwarded == 2);
    CHECK(made.statistics().refused == 1);
    CHECK(made.liveness() == queue_liveness::open);
  }

  TEST_CASE("start: once; the thread carries, also after it has slept; stop: once, and the queue is over") {
    rig r;
    r.options.spin_ns = 1;
    r.options.sleep_ns = 1000;
    auto p = r.make();
    REQUIRE(p);
    CHECK(p->start() == status());
    CHECK(p->start() == status(client_status::bad_argument));
    host::proxy<shared> moved = *std::move(p);
    const auto ns = moved.ref();
    for (int i = 0; i < 50; ++i) CHECK(ns.exist(a_key, soon(60'000)).status.is_key_does_not_exist());
    CHECK(moved.stop(soon()) == status());
    CHECK(moved.stop(soon()) == status());
    CHECK(moved.start() == status(client_status::bad_argument));
    CHECK(moved.liveness() == queue_liveness::fenced);
    CHECK(ns.submit(operation::exist(a_key)).error() == status(client_status::disconnected));
  }

  TEST_CASE("stop: waits for what is under way; what was not fetched is disconnected") {
    rig r(8, 4);
    auto p = r.make();
    REQUIRE(p);
    r.hold();
    const auto ns = p->ref();
    std::vector<kv_ticket> tickets;
    for (int i = 0; i < 5; ++i) tickets.push_back(*ns.submit(operation::exist(a_key)));
    // No thread: what is released before stop() begins makes no room that somebody fetches into.
    while (p->poll() != 0) {
    }
    REQUIRE(r.held(3));
    std::thread later([&] { r.s->release({}, 42); });
    CHECK(p->stop(soon(60'000)) == status());
    later.join();
    for (int i = 0; i < 3; ++i) CHECK(answer_of(ns, tickets[static_cast<std::size_t>(i)]) == status());
    for (std::size_t i = 3; i < 5; ++i) {
      CHECK(answer_of(ns, tickets[i]) == status(client_status::disconnected));
      CHECK(ns.queue().quiesced(tickets[i].ticket));
    }
    CHECK(p->statistics().forwarded == 3);
  }

  TEST_CASE("stop: what does not end in time -> timed_out; a Store's outcome is unknown and its memory not quiesced") {
    rig r;
    auto p = r.make();
    REQUIRE(p);
    r.hold();
    const auto ns = p->ref();
    const auto t = ns.submit(operation::store(a_key, *r.values.value(0, 100)));
    REQUIRE(t);
    REQUIRE(p->start() == status());
    REQUIRE(r.held(1));
    CHECK(p->stop(soon(5)) == status(client_status::timed_out));
    CHECK(p->stop(soon(5)) == status(client_status::timed_out));
    CHECK(answer_of(ns, *t) == status(client_status::outcome_unknown));
    CHECK_FALSE(ns.queue().quiesced(t->ticket));
    CHECK(p->liveness() == queue_liveness::lost);
  }

  TEST_CASE("the connection is lost -> the proxy notices by itself and is dead; gone -> quiesced") {
    rig r;
    auto p = r.make();
    REQUIRE(p);
    r.hold();
    REQUIRE(p->start() == status());
    const auto ns = p->ref();
    const auto stored = ns.submit(operation::store(a_key, *r.values.value(0, 100)));
    const auto asked = ns.submit(operation::exist(a_key));
    REQUIRE(r.held(2));
    r.s->lost = true;
    CHECK(answer_of(ns, *stored) == status(client_status::outcome_unknown));
    CHECK(answer_of(ns, *asked) == status(client_status::disconnected));
    CHECK_FALSE(ns.queue().quiesced(stored->ticket));
    CHECK(p->liveness() == queue_liveness::lost);
    r.s->gone = true;
    CHECK(fenced_soon(*p));
    CHECK(ns.queue().quiesced(stored->ticket));
    CHECK(p->stop(soon()) == status(client_status::disconnected));
  }

  TEST_CASE("the controller is reset -> the proxy is dead, and stays so") {
    rig r;
    auto p = r.make();
    REQUIRE(p);
    r.hold();
    REQUIRE(p->start() == status());
    const auto ns = p->ref();
    const auto t = ns.submit(operation::store(a_key, *r.values.value(0, 100)));
    REQUIRE(r.held(1));
    CHECK(r.c->reset(soon()) == status());
    CHECK(answer_of(ns, *t) == status(client_status::outcome_unknown));
    CHECK(fenced_soon(*p));
    CHECK(ns.queue().quiesced(t->ticket));
    CHECK(ns.exist(a_key, soon()).status == status(client_status::disconnected));
  }

  TEST_CASE("fork: the child's proxy does nothing and ends at once, the parent's goes on") {
    if (!wipes_on_fork()) return;
    rig r;
    auto p = r.make();
    REQUIRE(p);
    REQUIRE(p->start() == status());
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int wrong = 0;
      if (p->liveness() != queue_liveness::wiped) wrong |= 1;
      if (p->poll() != 0) wrong |= 2;
      if (!(p->stop(soon()) == status(client_status::forked))) wrong |= 4;
      {
        const host::proxy<shared> end = *std::move(p);
      }
      ::_exit(wrong);
    }
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(WIFEXITED(how));
    CHECK(WEXITSTATUS(how) == 0);
    CHECK(p->ref().exist(a_key, soon(60'000)).status.is_key_does_not_exist());
    CHECK(p->stop(soon(60'000)) == status());
  }
}
