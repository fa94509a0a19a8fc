// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/memory_store.hpp>
#include <nkv/target/subsystem.hpp>

#include <doctest/doctest.h>

#include <memory>

using namespace nkv;

namespace {
std::shared_ptr<target::kv_namespace> make(std::uint32_t nsid) {
  target::namespace_options o;
  o.nsid = nsid;
  return std::make_shared<target::kv_namespace>(o, std::make_shared<target::memory_store>());
}
}  // namespace

TEST_SUITE("target/subsystem") {
  TEST_CASE(
      "add, remove: by rising nsid; impossible or taken nsids -> bad_argument; a table once taken does not change") {
    target::subsystem s;
    const std::uint64_t version = s.version();
    CHECK(s.add(nullptr) == status{client_status::bad_argument});
    for (const std::uint32_t nsid : {0u, 1025u, 0xffffffffu})
      CHECK(s.add(make(nsid)) == status{client_status::bad_argument});
    CHECK(s.version() == version);
    for (const std::uint32_t nsid : {7u, 1u, 1024u, 3u}) CHECK(s.add(make(nsid)).ok());
    CHECK(s.add(make(7)) == status{client_status::bad_argument});
    CHECK(s.version() == version + 4);
    const auto before = s.namespaces();
    CHECK(s.remove(2) == status{client_status::not_found});
    CHECK(s.remove(3).ok());
    CHECK(s.remove(3) == status{client_status::not_found});
    CHECK(before->size() == 4);
    const auto after = s.namespaces();
    REQUIRE(after->size() == 3);
    CHECK((*after)[0]->nsid() == 1);
    CHECK((*after)[1]->nsid() == 7);
    CHECK((*after)[2]->nsid() == 1024);
  }

  TEST_CASE("controller ids: all different, never 0 or FFFFh, back late, none left -> no_cntlid") {
    target::subsystem_options o;
    o.max_controllers = 3;
    target::subsystem s(o);
    CHECK(s.allocate_cntlid() == 1);
    CHECK(s.allocate_cntlid() == 2);
    s.release_cntlid(1);
    CHECK(s.allocate_cntlid() == 3);
    CHECK(s.allocate_cntlid() == 1);
    CHECK(s.allocate_cntlid() == target::subsystem::no_cntlid);
    s.release_cntlid(0);
    s.release_cntlid(9);
    s.release_cntlid(2);
    CHECK(s.allocate_cntlid() == 2);
  }
}
