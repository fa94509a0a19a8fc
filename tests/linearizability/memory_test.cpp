// SPDX-License-Identifier: BSD-3-Clause
//
// The checker on histories made by hand, and the memory store through controllers and the client library.
#include "clients.hpp"

#include <nkv/target/cache/cached_store.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace target = nkv::target;
using namespace nkv_test;
using verb = recorded::verb;
using answer = recorded::answer;

namespace {

/// One of a history: [begin, end] asked told value
recorded op(std::uint64_t begin, std::uint64_t end, verb v, answer a, std::uint64_t value = 0) {
  return {begin, end, 0, v, a, value};
}
bool good(std::vector<recorded> history) { return not_linearizable(std::move(history)).empty(); }

std::shared_ptr<target::subsystem> subsystem_of(std::shared_ptr<target::store> store) {
  auto out = std::make_shared<target::subsystem>(target::subsystem_options{});
  target::namespace_options options;
  options.nsid = 1;
  REQUIRE(out->add(std::make_shared<target::kv_namespace>(options, std::move(store))).ok());
  return out;
}

}  // namespace

TEST_SUITE("linearizability/memory") {
  TEST_CASE("the checker: what could have happened one after another") {
    CHECK(good({}));
    CHECK(good({op(0, 1, verb::retrieve, answer::absent), op(2, 3, verb::store, answer::ok, 1),
                op(4, 5, verb::retrieve, answer::ok, 1), op(6, 7, verb::remove, answer::ok),
                op(8, 9, verb::exist, answer::absent)}));
    // Beside a Store either is found, and nothing older once the newer was.
    CHECK(good({op(0, 1, verb::store, answer::ok, 1), op(2, 9, verb::store, answer::ok, 2),
                op(3, 4, verb::retrieve, answer::ok, 1), op(5, 6, verb::retrieve, answer::ok, 2)}));
    CHECK_FALSE(good({op(0, 1, verb::store, answer::ok, 1), op(2, 9, verb::store, answer::ok, 2),
                      op(3, 4, verb::retrieve, answer::ok, 2), op(5, 6, verb::retrieve, answer::ok, 1)}));
    // Two Stores at a time: in either order, but in one.
    CHECK(good({op(0, 5, verb::store, answer::ok, 1), op(1, 6, verb::store, answer::ok, 2),
                op(7, 8, verb::retrieve, answer::ok, 1), op(9, 10, verb::retrieve, answer::ok, 1)}));
    CHECK_FALSE(good({op(0, 5, verb::store, answer::ok, 1), op(1, 6, verb::store, answer::ok, 2),
                      op(7, 8, verb::retrieve, answer::ok, 1), op(9, 10, verb::retrieve, answer::ok, 2)}));
  }

  TEST_CASE("the checker: stale, lost, early and impossible answers are found") {
    CHECK_FALSE(good({op(0, 1, verb::store, answer::ok, 1), op(2, 3, verb::store, answer::ok, 2),
                      op(4, 5, verb::retrieve, answer::ok, 1)}));
    CHECK_FALSE(good({op(0, 1, verb::store, answer::ok, 1), op(2, 3, verb::retrieve, answer::absent)}));
    CHECK_FALSE(good({op(0, 1, verb::retrieve, answer::ok, 1), op(2, 3, verb::store, answer::ok, 1)}));
    CHECK_FALSE(good({op(0, 1, verb::store_new, answer::ok, 1), op(2, 3, verb::store_new, answer::ok, 2)}));
    CHECK_FALSE(good({op(0, 5, verb::store_new, answer::ok, 1), op(1, 6, verb::store_new, answer::ok, 2)}));
    CHECK_FALSE(good({op(0, 1, verb::store_existing, answer::ok, 1)}));
    CHECK_FALSE(good({op(0, 1, verb::store_new, answer::present, 1)}));
    CHECK(good({op(0, 5, verb::store_new, answer::ok, 1), op(1, 6, verb::store_new, answer::present, 2)}));
    CHECK_FALSE(good(
        {op(0, 1, verb::store, answer::ok, 1), op(2, 3, verb::remove, answer::ok), op(4, 5, verb::exist, answer::ok)}));
  }

  TEST_CASE("the checker: an operation of which nothing is known may happen later, once, or never") {
    CHECK(good({op(0, 1, verb::store, answer::unknown, 1), op(2, 3, verb::retrieve, answer::absent),
                op(4, 5, verb::retrieve, answer::ok, 1)}));
    CHECK(good({op(0, 1, verb::store, answer::unknown, 1), op(2, 3, verb::store, answer::ok, 2),
                op(4, 5, verb::retrieve, answer::ok, 1), op(6, 7, verb::retrieve, answer::ok, 1)}));
    CHECK_FALSE(good({op(0, 1, verb::store, answer::unknown, 1), op(2, 3, verb::store, answer::ok, 2),
                      op(4, 5, verb::retrieve, answer::ok, 1), op(6, 7, verb::retrieve, answer::ok, 2)}));
    CHECK(good({op(0, 1, verb::store, answer::nothing, 1), op(2, 3, verb::retrieve, answer::absent)}));
    CHECK_FALSE(good({op(0, 1, verb::store, answer::nothing, 1), op(2, 3, verb::retrieve, answer::ok, 1)}));
  }

  TEST_CASE("clients of the memory store") {
    for (std::uint64_t seed = 1; seed <= NKV_SEEDS; ++seed) {
      target::inproc_server server("linearizability", subsystem_of(std::make_shared<target::memory_store>()));
      REQUIRE(server.error().ok());
      const run_result r = run_clients({.seed = seed, .operations = NKV_OPERATIONS}, [](unsigned) {
        return std::make_unique<nkv_register_client>("inproc:linearizability");
      });
      INFO("seed ", seed);
      CHECK(r.wrong == "");
      CHECK(r.operations > NKV_OPERATIONS - 10);
      CHECK(r.found > r.operations / 10);
      CHECK(r.failed == 0);
      CHECK(r.unknown == 0);
    }
  }

  TEST_CASE("a stale Retrieve is found: values that change behind a cache that believes they do not") {
    const auto store = std::make_shared<target::memory_store>();
    const target::cache_options never_changes{.freshness = target::cache_freshness::immutable};
    target::inproc_server cached("cached", subsystem_of(std::make_shared<target::cached_store>(store, never_changes)));
    target::inproc_server direct("direct", subsystem_of(store));
    const run_result r = run_clients({.seed = 1, .operations = 3000}, [](unsigned c) {
      return std::make_unique<nkv_register_client>(c % 2 == 0 ? "inproc:cached" : "inproc:direct");
    });
    CHECK(r.wrong.find("no order explains") == 0);
  }
}
