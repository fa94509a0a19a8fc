// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/queue_map.hpp>
#include <nkv/device/queue_pair.hpp>

#include <algorithm>
#include <set>
#include <vector>

using nkv::device::grid_place;
using nkv::device::queue_of;

namespace {

template <class Sharing>
struct refs {
  using ref_type = nkv::device::namespace_ref<Sharing>;
  explicit refs(std::size_t count) : all(count) {}
  /// Which queue a user has; -1 for none.
  [[nodiscard]] std::ptrdiff_t of(std::uint32_t user) const {
    const ref_type* q = queue_of(nkv::span<const ref_type>(all.data(), all.size()), user);
    return q == nullptr ? -1 : q - all.data();
  }
  std::vector<ref_type> all;
};

}  // namespace

TEST_SUITE("device/queue map") {
  TEST_CASE("shared queues: users are spread to within one, those that follow one another never on the same") {
    for (const std::uint32_t queues : {1u, 2u, 3u, 7u, 16u, 100u}) {
      const refs<nkv::shared> r(queues);
      for (const std::uint32_t users : {1u, 5u, 64u, 1000u}) {
        std::vector<std::uint32_t> load(queues, 0);
        for (std::uint32_t u = 0; u < users; ++u) {
          REQUIRE(r.of(u) >= 0);
          ++load[static_cast<std::size_t>(r.of(u))];
          // As many as there are queues, from any of them on, have one each.
          std::set<std::ptrdiff_t> distinct;
          for (std::uint32_t i = 0; i < queues; ++i) distinct.insert(r.of(u + i));
          CHECK(distinct.size() == queues);
        }
        const auto [least, most] = std::minmax_element(load.begin(), load.end());
        CHECK(*most - *least <= 1);
      }
    }
  }

  TEST_CASE_TEMPLATE("queues of one user each: none has two, and who finds none is told", Sharing, nkv::exclusive,
                     nkv::block_shared) {
    const refs<Sharing> r(5);
    std::set<std::ptrdiff_t> taken;
    for (std::uint32_t u = 0; u < 5; ++u) CHECK(taken.insert(r.of(u)).second);
    CHECK(taken.count(-1) == 0);
    CHECK(r.of(5) == -1);
    CHECK(r.of(0xffffffffu) == -1);
  }

  TEST_CASE("no queues") {
    CHECK(refs<nkv::shared>(0).of(0) == -1);
    CHECK(refs<nkv::exclusive>(0).of(0) == -1);
  }

  TEST_CASE("every thread, warp and block of a grid has a number of its own, without gaps") {
    for (const std::uint32_t warp : {1u, 32u, 64u}) {
      for (const std::uint32_t threads : {1u, 31u, 32u, 33u, 64u, 100u, 256u}) {
        constexpr std::uint32_t blocks = 3;
        std::set<std::uint32_t> all_threads, all_warps;
        for (std::uint32_t b = 0; b < blocks; ++b) {
          for (std::uint32_t t = 0; t < threads; ++t) {
            const grid_place p = grid_place::at(b, t, threads, warp);
            CHECK(p.block == b);
            CHECK(all_threads.insert(p.thread).second);
            // A warp's number is new with its first lane, and the same for the others.
            CHECK(all_warps.insert(p.warp).second == (t % warp == 0));
          }
        }
        CHECK(*all_threads.rbegin() == blocks * threads - 1);
        CHECK(*all_warps.rbegin() == all_warps.size() - 1);
      }
    }
    const grid_place here = grid_place::here();
    CHECK(here.thread == 0);
    CHECK(here.warp == 0);
    CHECK(here.block == 0);
  }
}
