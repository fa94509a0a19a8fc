// SPDX-License-Identifier: BSD-3-Clause
//
// Values in a Ceph cluster, which NKV_CEPH_CONF and NKV_CEPH_POOL name: clients of nkv beside programs that use the
// objects themselves; with and without a cache.
#include "clients.hpp"

#include <nkv/target/cache/cached_store.hpp>
#include <nkv/target/inproc_server.hpp>
#include <nkv/target/rados/object_name.hpp>
#include <nkv/target/rados/rados_cluster.hpp>
#include <nkv/target/rados/rados_store.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace target = nkv::target;
using namespace nkv_test;

namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  REQUIRE_MESSAGE(value != nullptr, name);
  return value;
}

/// By librados.
class librados_register_client final : public register_client {
 public:
  librados_register_client(librados::Rados& rados, const std::string& space) {
    if (rados.ioctx_create(environment("NKV_CEPH_POOL").c_str(), io_) != 0) throw std::runtime_error("no pool");
    io_.set_namespace(space);
  }

  void perform(recorded& r) override {
    const std::string key = "k" + std::to_string(r.key);
    const std::string name = target::object_name({reinterpret_cast<const std::byte*>(key.data()), key.size()});
    int error = 0;
    librados::bufferlist bl;
    std::uint64_t size = 0;
    std::time_t when = 0;
    switch (r.asked) {
      case recorded::verb::retrieve:
        error = io_.read(name, bl, 4096, 0);
        if (error >= 0) r.value = number_of_value({reinterpret_cast<const std::byte*>(bl.c_str()), bl.length()});
        break;
      case recorded::verb::exist: error = io_.stat(name, &size, &when); break;
      case recorded::verb::remove:
        error = io_.remove(name);
        if (error == -ENOENT) error = 0;
        break;
      case recorded::verb::store:
      case recorded::verb::store_new:
      case recorded::verb::store_existing: {
        const std::vector<std::byte> value = value_of_number(r.value);
        bl.append(reinterpret_cast<const char*>(value.data()), static_cast<unsigned>(value.size()));
        librados::ObjectWriteOperation write;
        if (r.asked == recorded::verb::store_new) write.create(true);
        if (r.asked == recorded::verb::store_existing) write.assert_exists();
        write.write_full(bl);
        error = io_.operate(name, &write);
        break;
      }
    }
    r.told = error >= 0         ? recorded::answer::ok
             : error == -ENOENT ? recorded::answer::absent
             : error == -EEXIST ? recorded::answer::present
             : r.changes()      ? recorded::answer::unknown
                                : recorded::answer::nothing;
  }

 private:
  librados::IoCtx io_;
};

struct fixture {
  std::unique_ptr<target::rados_cluster> cluster;
  librados::Rados others;

  fixture() {
    target::rados_cluster_options options;
    options.conf = environment("NKV_CEPH_CONF");
    std::string error;
    cluster = target::rados_cluster::create(options, {}, error);
    REQUIRE_MESSAGE(cluster != nullptr, error);
    REQUIRE(others.init("admin") == 0);
    REQUIRE(others.conf_read_file(environment("NKV_CEPH_CONF").c_str()) == 0);
    REQUIRE(others.conf_set("log_file", "") == 0);
    REQUIRE(others.connect() == 0);
  }
  ~fixture() { others.shutdown(); }

  /// Half of the clients by nkv, half by librados.
  run_result run(const run_options& options, std::optional<target::cache_options> how, bool foreign,
                 target::cache_statistics& cached) {
    static unsigned spaces = 0;
    target::rados_store_options where;
    where.pool = environment("NKV_CEPH_POOL");
    where.rados_namespace = "linearizability" + std::to_string(spaces++);
    std::shared_ptr<target::store> store = std::make_shared<target::rados_store>(*cluster, where);
    REQUIRE(cluster->wait_until_ready(nkv::host::deadline::after_ns(60'000'000'000)));
    std::shared_ptr<target::cached_store> cache;
    if (how) store = cache = std::make_shared<target::cached_store>(store, *how);
    auto subsystem = std::make_shared<target::subsystem>(target::subsystem_options{});
    REQUIRE(subsystem->add(std::make_shared<target::kv_namespace>(target::namespace_options{}, store)).ok());
    target::inproc_server server("linearizability", subsystem);
    const run_result r = run_clients(options, [&](unsigned c) -> std::unique_ptr<register_client> {
      if (foreign && c % 2 != 0) return std::make_unique<librados_register_client>(others, where.rados_namespace);
      return std::make_unique<nkv_register_client>("inproc:linearizability");
    });
    if (cache != nullptr) cached = cache->statistics();
    MESSAGE(r.operations, " operations, ", r.found, " values found, ", r.unknown, " with unknown outcome, ",
            cached.hits, " cache hits, ", cached.fills, " fills, ", cached.invalidations, " invalidations");
    CHECK(r.failed == 0);
    CHECK(r.unknown == 0);
    return r;
  }
};

// All of them together are more than 10^5.
constexpr std::uint64_t operations = 18'000;

}  // namespace

TEST_SUITE("linearizability/rados") {
  TEST_CASE_FIXTURE(fixture, "clients of nkv and of librados, without a cache") {
    for (const std::uint64_t seed : {1u, 2u}) {
      target::cache_statistics none;
      INFO("seed ", seed);
      CHECK(run({.seed = seed, .operations = operations}, std::nullopt, true, none).wrong == "");
    }
  }

  TEST_CASE_FIXTURE(fixture, "with a cache whose values are validated, beside others who write them") {
    for (const std::uint64_t seed : {3u, 4u, 5u}) {
      target::cache_statistics s;
      INFO("seed ", seed);
      CHECK(run({.seed = seed, .operations = operations}, target::cache_options{}, true, s).wrong == "");
      CHECK(s.hits > operations / 100);
      CHECK(s.invalidations > operations / 100);
    }
  }

  TEST_CASE_FIXTURE(fixture, "with a cache of a namespace that nobody else writes") {
    target::cache_statistics s;
    const target::cache_options how{.freshness = target::cache_freshness::sole_writer, .max_values = 2};
    CHECK(run({.seed = 6, .operations = operations}, how, false, s).wrong == "");
    CHECK(s.hits > operations / 100);
    CHECK(s.evictions > 0);
  }

  TEST_CASE_FIXTURE(fixture, "a cache that believes nobody else writes, and others do -> found") {
    target::cache_statistics s;
    const target::cache_options how{.freshness = target::cache_freshness::sole_writer};
    CHECK(run({.seed = 7, .operations = 3000}, how, true, s).wrong.find("no order explains") == 0);
  }
}
