// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/group.hpp>

namespace {

template <class Group>
void alone(const Group& threads) {
  CHECK(threads.rank() == 0);
  CHECK(threads.size() == 1);
  threads.sync();
  CHECK(threads.broadcast(42) == 42);
  std::uint32_t total = 9;
  CHECK(threads.before(true, total) == 0);
  CHECK(total == 1);
  CHECK(threads.before(false, total) == 0);
  CHECK(total == 0);
  CHECK(threads.lowest(true) == 0);
  CHECK(threads.lowest(false) == 1);
  CHECK(threads.ranks(true, 0) == 1);
  CHECK(threads.ranks(false, 0) == 0);
  CHECK(threads.ranks(true, 1) == 0);
}

}  // namespace

// On a host each is one thread; what many do is host_group_test's, and the kernels' of tests/ptx.
TEST_SUITE("device/group") {
  TEST_CASE("a thread") { alone(nkv::device::thread_group()); }
  TEST_CASE("a warp") {
    alone(nkv::device::warp_group());
    alone(nkv::device::warp_group::whole());
  }
  TEST_CASE("a block") {
    nkv::device::block_group_memory memory;
    alone(nkv::device::block_group(memory));
  }
}
