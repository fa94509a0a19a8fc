// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/host_group.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace nkv::device;

TEST_SUITE("device/host group") {
  TEST_CASE("every function, for groups of 1 to 9 threads, again and again") {
    for (std::uint32_t size = 1; size <= 9; ++size) {
      host_lanes lanes(size);
      std::vector<std::uint32_t> plain(size, 0);
      std::atomic<std::uint32_t> wrong{0};
      const auto expect = [&wrong](bool good) {
        if (!good) wrong.fetch_add(1);
      };
      std::vector<std::thread> threads;
      for (std::uint32_t rank = 0; rank < size; ++rank) {
        threads.emplace_back([&, rank] {
          const host_group g(lanes, rank);
          expect(g.rank() == rank && g.size() == size);
          for (std::uint32_t round = 0; round < 200; ++round) {
            plain[rank] = round + rank;
            g.sync();
            expect(plain[(rank + 1) % size] == round + (rank + 1) % size);
            expect(g.broadcast(rank * 100 + round, round % size) == round % size * 100 + round);
            std::uint32_t total = 0;
            const std::uint32_t before = g.before(rank % 2 == 1, total);
            expect(before == rank / 2 && total == size / 2);
            const std::uint32_t from = round % (size + 1);
            expect(g.lowest(rank >= from) == from);
          }
        });
      }
      for (std::thread& t : threads) t.join();
      CHECK(wrong.load() == 0);
    }
  }
}
