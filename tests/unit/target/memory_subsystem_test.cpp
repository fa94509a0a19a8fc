// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/memory_subsystem.hpp>

#include <doctest/doctest.h>

TEST_SUITE("target/memory_subsystem") {
  TEST_CASE("memory_subsystem: one namespace, nsid 1, as the options have it") {
    const auto plain = nkv::target::memory_subsystem();
    REQUIRE(plain != nullptr);
    REQUIRE(plain->namespaces()->size() == 1);
    CHECK(plain->namespaces()->front()->nsid() == 1);
    CHECK(plain->namespaces()->front()->key_encoding() == nkv::key_encoding::inline_cdw);

    nkv::target::namespace_options ns;
    ns.nsid = 9;
    ns.key_encoding = nkv::key_encoding::payload_head;
    nkv::target::memory_store_options store;
    store.max_value_bytes = 77;
    const auto other = nkv::target::memory_subsystem(ns, store);
    REQUIRE(other != nullptr);
    CHECK(other->namespaces()->front()->nsid() == 9);
    CHECK(other->namespaces()->front()->max_key_bytes() == 255);
    CHECK(other->namespaces()->front()->max_value_bytes() == 77);
  }

  TEST_CASE("memory_subsystem: an nsid that none can have -> null") {
    nkv::target::namespace_options ns;
    ns.nsid = 0;
    CHECK(nkv::target::memory_subsystem(ns) == nullptr);
  }
}
