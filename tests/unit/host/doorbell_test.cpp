// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/doorbell.hpp>
#include <nkv/host/memory_transport.hpp>

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using host::doorbell_page;
using host::host_doorbell;

namespace {

/// A transport that has only doorbells.
class doorbell_transport final : public host::memory_transport {
 public:
  doorbell_page page{};
  std::vector<std::pair<std::uint32_t, std::uint64_t>> written;

  nkv::result<std::uint64_t> read_register(std::uint32_t, unsigned, host::deadline) override {
    return std::uint64_t{0};
  }
  status write_register(std::uint32_t offset, unsigned width, std::uint64_t value, host::deadline until) override {
    CHECK(width == 4);
    CHECK(!until.expired());
    written.emplace_back(offset, value);
    return {};
  }
  status map_dma(const host::dma_memory&, host::deadline) override { return {}; }
  status unmap_dma(const host::dma_memory&, host::deadline) override { return {}; }
  status reset(host::deadline) override { return {}; }
  doorbell_page doorbells() const noexcept override { return page; }
  bool shares_by_fd() const noexcept override { return true; }
  bool connected() noexcept override { return true; }
  bool peer_gone() noexcept override { return false; }
};

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

}  // namespace

TEST_SUITE("host/doorbell") {
  TEST_CASE("ring: mapped -> one word each, at the stride that CAP says") {
    std::array<std::uint32_t, 1024> words{};
    doorbell_transport t;
    t.page = {words.data(), 4096, nullptr, -1};
    const host_doorbell d(t, 3, 4);
    CHECK(d.mapped());
    d.ring_sq_tail(17);
    d.ring_cq_head(5);
    CHECK(words[6] == 17);
    CHECK(words[7] == 5);
    const host_doorbell wide(t, 2, 16);
    wide.ring_sq_tail(9);
    wide.ring_cq_head(8);
    CHECK(words[16] == 9);
    CHECK(words[20] == 8);
    CHECK(t.written.empty());
    std::uint32_t used = 0;
    for (const std::uint32_t w : words) used += w != 0 ? 1 : 0;
    CHECK(used == 4);
  }

  TEST_CASE("ring: the target sleeps -> it is woken; it is awake -> no system call") {
    std::array<std::uint32_t, 1024> words{};
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(fd >= 0);
    doorbell_transport t;
    t.page = {words.data(), 4096, &words[1023], fd};
    const host_doorbell d(t, 1, 4);
    d.ring_sq_tail(1);
    CHECK(!readable(fd));
    words[1023] = 1;
    d.ring_sq_tail(2);
    CHECK(readable(fd));
    std::uint64_t count = 0;
    CHECK(::read(fd, &count, sizeof count) == sizeof count);
    // A target that waits for room in the completion queue waits for this one.
    d.ring_cq_head(1);
    CHECK(readable(fd));
    CHECK(words[2] == 2);
    CHECK(words[3] == 1);
    ::close(fd);
  }

  TEST_CASE("ring: a target that goes to sleep just then sees the doorbell, or is woken") {
    std::array<std::uint32_t, 1024> words{};
    std::uint32_t* const asleep = &words[1023];
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(fd >= 0);
    doorbell_transport t;
    t.page = {words.data(), 4096, asleep, fd};
    const host_doorbell d(t, 1, 4);
    constexpr std::uint32_t most = 1'000'000;
    std::atomic<std::uint32_t> round{0}, slept{0};
    std::atomic<bool> saw{false};
    std::thread target([&] {
      for (std::uint32_t i = 1; i <= most; ++i) {
        std::uint32_t now = 0;
        for (std::uint32_t spins = 0; (now = round.load(std::memory_order_acquire)) < i; ++spins)
          host::steady_clock::relax(spins);
        if (now > most) break;
        __atomic_exchange_n(asleep, 1u, __ATOMIC_SEQ_CST);
        saw.store(__atomic_load_n(&words[2], __ATOMIC_SEQ_CST) == i, std::memory_order_relaxed);
        slept.store(i, std::memory_order_release);
      }
    });
    const auto until = host::deadline::after_ms(250);
    std::uint32_t lost = 0;
    for (std::uint32_t i = 1; i <= most && lost == 0 && !until.expired(); ++i) {
      __atomic_store_n(asleep, 0u, __ATOMIC_RELAXED);
      round.store(i, std::memory_order_release);
      // As long as it takes the other to see it, more or less.
      for (std::uint32_t spin = 0; spin < i % 128; ++spin) __asm__ volatile("" ::: "memory");
      d.ring_sq_tail(i);
      for (std::uint32_t spins = 0; slept.load(std::memory_order_acquire) != i; ++spins)
        host::steady_clock::relax(spins);
      std::uint64_t count = 0;
      const bool woken = ::read(fd, &count, sizeof count) == sizeof count;
      if (!woken && !saw.load(std::memory_order_relaxed)) ++lost;
    }
    round.store(most + 1, std::memory_order_release);
    target.join();
    CHECK(lost == 0);
    ::close(fd);
  }

  TEST_CASE("ring: not mapped, or beyond the mapped page -> register writes") {
    doorbell_transport t;
    const host_doorbell d(t, 2, 8);
    CHECK(!d.mapped());
    d.ring_sq_tail(7);
    d.ring_cq_head(6);
    using write = std::pair<std::uint32_t, std::uint64_t>;
    REQUIRE(t.written.size() == 2);
    CHECK(t.written[0] == write{0x1000 + 4 * 8, 7});
    CHECK(t.written[1] == write{0x1000 + 5 * 8, 6});

    std::array<std::uint32_t, 4> words{};
    t.page = {words.data(), 16, nullptr, -1};
    CHECK(host_doorbell(t, 1, 4).mapped());
    CHECK(!host_doorbell(t, 2, 4).mapped());
  }

  TEST_CASE("ring: a doorbell that was made of nothing -> nothing") {
    const host_doorbell d;
    d.ring_sq_tail(1);
    d.ring_cq_head(1);
  }
}
