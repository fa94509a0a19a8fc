// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/queue/queue_shape.hpp>

#include <doctest/doctest.h>

#include <initializer_list>

using namespace nkv;

TEST_SUITE("queue/queue_shape") {
  TEST_CASE("valid: powers of two, the completion queue no shorter") {
    CHECK(queue_shape{2, 2}.valid());
    CHECK(queue_shape{32768, 65536}.valid());
    CHECK(queue_shape{128, 256}.valid());
    for (const queue_shape s : {queue_shape{}, queue_shape{1, 2}, queue_shape{3, 4}, queue_shape{4, 2},
                                queue_shape{4, 6}, queue_shape{65536, 65536}, queue_shape{2, 131072}})
      CHECK_FALSE(s.valid());
  }

  TEST_CASE("fitting: what the controller allows, never more") {
    CHECK(queue_shape::fitting(128, 1024) == queue_shape{128, 256});
    CHECK(queue_shape::fitting(100, 1024) == queue_shape{64, 128});
    CHECK(queue_shape::fitting(1024, 256) == queue_shape{256, 256});
    CHECK(queue_shape::fitting(2, 2) == queue_shape{2, 2});
    CHECK(queue_shape::fitting(100000, 65536) == queue_shape{32768, 65536});
    CHECK(queue_shape::fitting(1000000, 1000000) == queue_shape{32768, 65536});
    CHECK_FALSE(queue_shape::fitting(1, 256).valid());
    CHECK_FALSE(queue_shape::fitting(128, 1).valid());
    CHECK_FALSE(queue_shape::fitting(0, 0).valid());
    for (std::uint32_t n = 2; n < 3000; n += 13)
      for (std::uint32_t most = 2; most < 3000; most += 17) {
        const queue_shape s = queue_shape::fitting(n, most);
        CHECK((s.valid() && s.sq_entries <= n && s.cq_entries <= most));
      }
  }

  TEST_CASE("cq_head_interval: never so long that the controller is out of room for good") {
    for (std::uint32_t sq = 2; sq <= 32768; sq *= 2)
      for (std::uint32_t cq = sq; cq <= 65536; cq *= 2) {
        const queue_shape s{sq, cq};
        CHECK(s.cq_head_interval() >= 1);
        // All that may be outstanding fits beside what was consumed and not rung; or the doorbell comes within a ring.
        if (cq > sq)
          CHECK(s.cq_head_interval() + s.cids() <= cq - 1);
        else
          CHECK(s.cq_head_interval() <= cq - 1);
      }
  }
}
