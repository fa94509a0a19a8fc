// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/model_namespace.hpp"

#include <doctest/doctest.h>
#include <nkv/client/lone_thread.hpp>

#include <cstring>
#include <vector>

using namespace nkv;
using nkv_test::model_namespace;
using nkv_test::soon;
using nkv_test::text_key;

// What it is for is sharded_reader_test's and sharded_writer_test's.
TEST_SUITE("client/lone thread") {
  TEST_CASE("does what the namespace does") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    ns.hold = true;
    const lone_thread team;
    CHECK(team.leads());
    const result<kv_ticket> t = team.submit(ns.ref, operation::exist(text_key("k"), 3));
    REQUIRE(t);
    CHECK(team.poll(ns.ref, *t).status == status(client_status::would_block));
    CHECK_FALSE(team.quiesced(ns.ref, *t));
    team.cancel(ns.ref, *t);
    CHECK(ns.ref.poll(*t).status == status(client_status::cancelled));
    ns.hold = false;
    while (!team.quiesced(ns.ref, *t)) nkv::host::steady_clock::relax(0);
    CHECK(team.submit(ns.ref, operation::exist(key_view())).error() == status(client_status::bad_argument));
    CHECK(team.expired(nkv::host::deadline()));
    CHECK_FALSE(team.expired(soon()));
  }

  TEST_CASE("hashes and copies") {
    std::vector<std::byte> from(20000, std::byte{7}), to(20000);
    CHECK(lone_thread::checksum({from.data(), from.size()}, 5) == shard_checksum::of({from.data(), from.size()}, 5));
    lone_thread::copy(to.data(), from.data(), 19999);
    CHECK(std::memcmp(to.data(), from.data(), 19999) == 0);
    CHECK(to[19999] == std::byte{0});
  }
}
