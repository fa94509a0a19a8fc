// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <memory>

using namespace nkv;

TEST_SUITE("target/kv_namespace") {
  TEST_CASE("limits: the least of what is configured, the encoding's and the store's") {
    const auto store = std::make_shared<target::memory_store>(target::memory_store_options{.max_value_bytes = 5000});
    target::namespace_options o;
    const auto make = [&] { return target::kv_namespace(o, store); };
    CHECK(make().max_key_bytes() == 16);
    CHECK(make().max_value_bytes() == 5000);
    o.max_key_bytes = 255;
    o.max_value_bytes = 6000;
    CHECK(make().max_key_bytes() == 16);
    CHECK(make().max_value_bytes() == 5000);
    o.key_encoding = key_encoding::payload_head;
    o.max_value_bytes = 4000;
    CHECK(make().max_key_bytes() == 255);
    CHECK(make().max_value_bytes() == 4000);
    o.max_key_bytes = 0;
    CHECK(make().max_key_bytes() == 255);
    o.max_key_bytes = 20;
    CHECK(make().max_key_bytes() == 20);
  }
}
