// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/cache/cache_options.hpp>

#include <doctest/doctest.h>

TEST_SUITE("target/cache/cache_options") {
  TEST_CASE("the freshness that holds whoever writes is the default, and it is bounded") {
    const nkv::target::cache_options o;
    CHECK(o.freshness == nkv::target::cache_freshness::validated);
    CHECK(o.max_bytes == std::uint64_t{1} << 30);
    CHECK(o.max_values != 0);
  }
}
