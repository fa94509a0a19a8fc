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
            // Everybody asks for a word of their own: that of the group, or one beyond it.
            expect(g.ranks(rank >= from, rank % 2) == (rank % 2 == 1 ? 0 : (1u << size) - (1u << from)));
          }
        });
      }
      for (std::thread& t : threads) t.join();
      CHECK(wrong.load() == 0);
    }
  }

  TEST_CASE("ranks of a group of more than a word") {
    constexpr std::uint32_t size = 70;
    host_lanes lanes(size);
    std::atomic<std::uint32_t> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint32_t rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        const host_group g(lanes, rank);
        const std::uint64_t expected = rank % 3 == 0 ? 0x5555555555555555u : rank % 3 == 1 ? 0x15u : 0;
        if (g.ranks(rank % 2 == 0, rank % 3) != expected) wrong.fetch_add(1);
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(wrong.load() == 0);
  }
}
