// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/list_memory.hpp>
#include <nkv/spec/sgl.hpp>

#include <doctest/doctest.h>

#include <type_traits>

TEST_SUITE("command/list_memory") {
  static_assert(std::is_aggregate_v<nkv::list_memory> && std::is_trivially_copyable_v<nkv::list_memory>);

  TEST_CASE("list_memory: when made -> no room; the least that is of use holds a segment of head and value") {
    const nkv::list_memory none;
    CHECK(none.local == nullptr);
    CHECK(none.address == 0);
    CHECK(none.length_bytes == 0);
    CHECK(nkv::list_memory::min_bytes >= 2 * sizeof(nkv::sgl_descriptor));
  }
}
