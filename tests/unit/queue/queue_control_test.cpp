// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/queue/queue_control.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>

using namespace nkv;

TEST_SUITE("queue/queue_control") {
  TEST_CASE("layout: parts follow one another and are aligned") {
    for (const std::uint32_t n : {2u, 16u, 32768u}) {
      const queue_control_layout l = queue_control_layout::of({n, n});
      CHECK(l.records_offset >= sizeof(queue_counters));
      CHECK(l.records_offset % 16 == 0);
      CHECK(l.marks_offset >= l.records_offset + sizeof(cid_record) * (n - 1));
      CHECK(l.free_offset >= l.marks_offset + sizeof(std::uint32_t) * n);
      CHECK(l.size_bytes >= l.free_offset + sizeof(std::uint32_t) * ((n - 1 + 31) / 32));
      CHECK(l.size_bytes % 64 == 0);
    }
  }

  TEST_CASE("counters that different threads write share no cache line") {
    const std::size_t lines[] = {offsetof(queue_counters, sq_next) / 64, offsetof(queue_counters, sq_rung) / 64,
                                 offsetof(queue_counters, cq_head) / 64, offsetof(queue_counters, liveness) / 64};
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < i; ++j) CHECK(lines[i] != lines[j]);
    CHECK(alignof(queue_counters) == 64);
  }
}
