// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/atomics.hpp>

#include <cstdint>

TEST_SUITE("device/atomics") {
  TEST_CASE("queue entries at once, and the rest as the world's own") {
    alignas(16) std::uint32_t words[24] = {};
    std::uint32_t entry[16];
    for (std::uint32_t i = 0; i < 16; ++i) entry[i] = i + 1;
    nkv::device::atomics::store_plain(&words[4], entry);
    for (std::uint32_t i = 0; i < 24; ++i) CHECK(words[i] == (i < 4 || i >= 20 ? 0 : i - 3));
    std::uint32_t completion[4];
    nkv::device::atomics::load_relaxed_up_to(&words[11], completion, nkv::system_scope);
    CHECK(completion[0] == 5);
    CHECK(completion[2] == 7);
    CHECK(completion[3] == 8);
    nkv::device::atomics::store_plain(&words[0], 9u);
    CHECK(nkv::device::atomics::load_plain(&words[0]) == 9);
    CHECK(nkv::device::atomics::fetch_add(&words[0], 1u, nkv::system_scope) == 9);
    CHECK(words[0] == 10);
  }
}
