// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execute_limits.hpp>
#include <nkv/target/execute/execute_runtime.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/execute/execution.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using namespace nkv::target;

namespace {

/// Where executions come back to; waited for as a controller's thread would.
class service_client final : public waker {
 public:
  void wake() noexcept override {}
  void wait_for(unsigned n) {
    while (ended < n) {
      for (store_operation* op = home.take(); op != nullptr; op = op->next) ++ended;
      ::usleep(200);
    }
    while (!home.idle()) ::usleep(200);
  }
  finished_operations home{*this};
  unsigned ended = 0;
};

/// Runs until it is told to stop, or for ever.
class runs_until_stopped final : public program {
 public:
  [[nodiscard]] run_result run(program_run& run) const noexcept override {
    ++running;
    while (!run.stopped()) ::usleep(200);
    --running;
    return run_result::killed;
  }
  void interrupt() const noexcept override { ++interrupts; }
  mutable std::atomic<unsigned> running{0}, interrupts{0};
};

/// A source that loads when it is let.
class gated_source final : public program_source {
 public:
  [[nodiscard]] std::shared_ptr<const program> find(const execute_binding&) noexcept override {
    const std::lock_guard lock(mutex);
    return made;
  }
  [[nodiscard]] run_result load(const execute_binding&, store&, std::string& why) noexcept override {
    ++loads;
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return open; });
    if (result == run_result::ok) {
      made = to_make;
    } else {
      why = "as the test wants it";
    }
    return result;
  }
  void let(run_result r, std::shared_ptr<const program> p = {}) {
    const std::lock_guard lock(mutex);
    open = true;
    result = r;
    to_make = std::move(p);
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  run_result result = run_result::ok;
  std::shared_ptr<const program> made, to_make;
  std::atomic<unsigned> loads{0};
};

constexpr std::uint64_t for_ever_ns = 600'000'000'000;

/// One Execute without a controller.
struct lone_execution {
  lone_execution(service_client& c, const std::shared_ptr<const execute_allowlist>& list, std::uint32_t op)
      : e(list, list->at(op), {&room, 1}, sizeof result) {
    operation.home = &c.home;
    e.operation = &operation;
    e.from = std::make_shared<memory_store>();
    e.value.keep = e.from;
  }
  std::byte result[16] = {};
  nkv::mutable_byte_span room{result, sizeof result};
  store_operation operation;
  execution e;
};

std::shared_ptr<const execute_allowlist> list_of(execute_binding b) {
  execute_allowlist out;
  out[1] = std::move(b);
  return std::make_shared<const execute_allowlist>(std::move(out));
}

execute_binding running(std::shared_ptr<const program> p, std::uint64_t wall_ns = for_ever_ns) {
  execute_binding b;
  b.program = std::move(p);
  b.limits.wall_ns = wall_ns;
  return b;
}

}  // namespace

TEST_SUITE("target/execute/execute_service") {
  TEST_CASE("tiers -> the deployed executor's limits") {
    CHECK(limits_of(execute_tier::standard).fuel == 100'000'000);
    CHECK(limits_of(execute_tier::small).wall_ns == 50'000'000);
    CHECK(limits_of(execute_tier::medium).memory_bytes == 8u << 20);
    CHECK(limits_of(execute_tier::large).memory_bytes == 64u << 20);
  }

  TEST_CASE("a run beyond its time -> killed, its program interrupted") {
    service_client c;
    execute_service s({.workers = 1});
    const auto p = std::make_shared<runs_until_stopped>();
    const auto list = list_of(running(p, 20'000'000));
    lone_execution one(c, list, 1);
    REQUIRE(s.begin(one.e) == progress::later);
    c.wait_for(1);
    CHECK(one.e.ended);
    CHECK(one.e.result == run_result::killed);
    CHECK(p->interrupts > 0);
    CHECK(s.under_way() == 0);
  }

  TEST_CASE("cancel -> at once where it waits, soon where it runs, nothing where it has ended") {
    service_client c;
    execute_service s({.workers = 1});
    const auto p = std::make_shared<runs_until_stopped>();
    const auto list = list_of(running(p));
    lone_execution first(c, list, 1), second(c, list, 1), third(c, list, 1);
    for (lone_execution* const x : {&first, &second, &third}) REQUIRE(s.begin(x->e) == progress::later);
    while (p->running != 1) ::usleep(200);
    s.cancel(second.e);
    CHECK(second.e.ended);
    CHECK(s.under_way() == 2);
    s.cancel(second.e);
    s.cancel(first.e);
    while (!(s.under_way() == 1 && p->running == 1)) ::usleep(200);
    s.cancel(third.e);
    c.wait_for(3);
    for (lone_execution* const x : {&first, &second, &third}) CHECK(x->e.result == run_result::killed);
    CHECK(s.under_way() == 0);
  }

  TEST_CASE("more than may be under way, or values of more bytes -> busy") {
    service_client c;
    const auto p = std::make_shared<runs_until_stopped>();
    const auto list = list_of(running(p));
    const std::vector<std::byte> bytes(100);
    {
      execute_service s({.workers = 1, .max_under_way = 2});
      lone_execution first(c, list, 1), second(c, list, 1), third(c, list, 1);
      CHECK(s.begin(first.e) == progress::later);
      CHECK(s.begin(second.e) == progress::later);
      CHECK(s.begin(third.e) == progress::done);
      CHECK(third.e.result == run_result::busy);
      s.cancel(second.e);
      s.cancel(first.e);
      c.wait_for(2);
    }
    execute_service s({.workers = 1, .max_held_bytes = 99});
    lone_execution first(c, list, 1), second(c, list, 1), third(c, list, 1);
    for (lone_execution* const x : {&first, &second}) x->e.value.bytes = {bytes.data(), bytes.size()};
    // The first goes ahead whatever its size.
    CHECK(s.begin(first.e) == progress::later);
    CHECK(s.begin(second.e) == progress::done);
    CHECK(second.e.result == run_result::busy);
    s.cancel(first.e);
    c.wait_for(3);
    CHECK(s.begin(third.e) == progress::later);
    s.cancel(third.e);
    c.wait_for(4);
  }

  TEST_CASE("a program that is loaded first: once for all who wait; who waits too long is killed") {
    service_client c;
    const auto source = std::make_shared<gated_source>();
    std::string log;
    std::mutex log_mutex;
    execute_service s({.workers = 1, .load_timeout_ns = 30'000'000}, source, [&](const execute_event& event) {
      const std::lock_guard lock(log_mutex);
      log += std::string(event.what) + ';';
    });
    execute_binding named;
    named.runtime = "some";
    const auto list = list_of(named);
    lone_execution late(c, list, 1), cancelled(c, list, 1);
    REQUIRE(s.begin(late.e) == progress::later);
    REQUIRE(s.begin(cancelled.e) == progress::later);
    s.cancel(cancelled.e);
    CHECK(cancelled.e.ended);
    c.wait_for(2);
    CHECK(late.e.result == run_result::killed);
    source->let(run_result::ok, std::make_shared<function_program>(
                                    [](nkv::byte_span, nkv::byte_span) { return std::vector<std::byte>(3); }));
    while (source->find(named) == nullptr) ::usleep(200);
    lone_execution after(c, list, 1);
    REQUIRE(s.begin(after.e) == progress::later);
    c.wait_for(3);
    CHECK(after.e.result == run_result::ok);
    CHECK(after.e.run.result_bytes() == 3);
    CHECK(source->loads == 1);
    const std::lock_guard lock(log_mutex);
    CHECK(log == "module not loaded in time;");
  }

  TEST_CASE("a program that cannot be loaded -> all who wait for it are told why, and the log") {
    service_client c;
    const auto source = std::make_shared<gated_source>();
    std::string log;
    std::mutex log_mutex;
    execute_service s({.workers = 1}, source, [&](const execute_event& event) {
      const std::lock_guard lock(log_mutex);
      log += std::string(event.why) + ';';
      CHECK(event.op_id == 1);
    });
    execute_binding named;
    named.runtime = "some";
    const auto list = list_of(named);
    lone_execution first(c, list, 1), second(c, list, 1);
    REQUIRE(s.begin(first.e) == progress::later);
    REQUIRE(s.begin(second.e) == progress::later);
    source->let(run_result::not_allowed);
    c.wait_for(2);
    CHECK(first.e.result == run_result::not_allowed);
    CHECK(second.e.result == run_result::not_allowed);
    const std::lock_guard lock(log_mutex);
    CHECK(log == "as the test wants it;");
  }

  TEST_CASE("no source -> bindings that only name a program have no runtime") {
    service_client c;
    execute_service s;
    const auto list = list_of({});
    lone_execution one(c, list, 1);
    CHECK(s.begin(one.e) == progress::done);
    CHECK(one.e.result == run_result::no_runtime);
  }
}
