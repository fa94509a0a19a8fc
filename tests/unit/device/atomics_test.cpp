// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/atomics.hpp>

#include <cstdint>

TEST_SUITE("device/atomics") {
  TEST_CASE("four words at once, and the rest as the world's own") {
    alignas(16) std::uint32_t words[8] = {};
    nkv::device::atomics::store_plain(&words[4], 1, 2, 3, 4);
    for (std::uint32_t i = 0; i < 8; ++i) CHECK(words[i] == (i < 4 ? 0 : i - 3));
    nkv::device::atomics::store_plain(&words[0], 9u);
    CHECK(nkv::device::atomics::load_plain(&words[0]) == 9);
    CHECK(nkv::device::atomics::fetch_add(&words[0], 1u, nkv::system_scope) == 9);
    CHECK(words[0] == 10);
  }
}
