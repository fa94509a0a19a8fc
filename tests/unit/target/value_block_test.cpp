// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/value_block.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using namespace nkv;
using target::block_pool;
using target::value_block;

TEST_SUITE("target/value_block") {
  TEST_CASE("allocate: every length around every size class can be written to its last byte") {
    block_pool pool(0);
    std::vector<std::uint64_t> lengths = {0, 1, 15, 16, 4096};
    for (std::uint64_t power = 1u << 16; power <= (1u << 23); power *= 2)
      for (std::uint64_t eighth = 8; eighth < 16; ++eighth)
        for (int d = -17; d <= 17; ++d) lengths.push_back(power / 8 * eighth + static_cast<std::uint64_t>(d));
    for (const std::uint64_t length : lengths) {
      value_block* const b = pool.allocate(length);
      REQUIRE(b != nullptr);
      CHECK(b->length_bytes == length);
      CHECK(reinterpret_cast<std::uintptr_t>(b->data()) % 64 == 0);
      if (length != 0) {
        b->data()[0] = std::byte{1};
        b->data()[length - 1] = std::byte{2};
      }
      pool.release(b);
    }
    CHECK(pool.held_bytes() == 0);
  }

  TEST_CASE("allocate: what no memory can hold -> null") {
    block_pool pool(0);
    CHECK(pool.allocate(~std::uint64_t{0}) == nullptr);
    CHECK(pool.allocate(std::uint64_t{1} << 48) == nullptr);
  }

  TEST_CASE("release: a large block is kept for the next of its size, within the limit") {
    block_pool pool(5u << 20);
    value_block* const a = pool.allocate(4u << 20);
    value_block* const b = pool.allocate(4u << 20);
    pool.release(a);
    CHECK(pool.held_bytes() > 4u << 20);
    pool.release(b);  // beyond the limit
    CHECK(pool.held_bytes() <= 5u << 20);
    value_block* const c = pool.allocate((4u << 20) + 1000);
    CHECK(c == a);
    CHECK(c->length_bytes == (4u << 20) + 1000);
    CHECK(pool.held_bytes() == 0);
    pool.release(c);
  }

  TEST_CASE("release: what is kept of other sizes makes room for the latest") {
    block_pool pool(6u << 20);
    std::vector<value_block*> small;
    for (int i = 0; i < 6; ++i) small.push_back(pool.allocate(1000'000));
    for (value_block* const b : small) pool.release(b);
    const std::uint64_t before = pool.held_bytes();
    CHECK(before > 4u << 20);
    pool.release(pool.allocate(4u << 20));
    CHECK(pool.held_bytes() > 4u << 20);
    CHECK(pool.held_bytes() <= 6u << 20);
    // The large one, and of the others as many as there is room for.
    value_block* const large = pool.allocate(4u << 20);
    CHECK(pool.held_bytes() > 1000'000);
    CHECK(pool.held_bytes() < before - 2'000'000);
    // One that is larger than the limit takes nobody's place.
    pool.release(pool.allocate(8u << 20));
    CHECK(pool.held_bytes() > 1000'000);
    pool.release(large);
  }

  TEST_CASE("release: only the last reference frees") {
    block_pool pool(1u << 20);
    value_block* const a = pool.allocate(256 * 1024);
    block_pool::retain(a);
    pool.release(a);
    CHECK(pool.held_bytes() == 0);
    a->data()[0] = std::byte{1};
    pool.release(a);
    CHECK(pool.held_bytes() != 0);
    pool.release(nullptr);
  }
}
