// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/queue_memory.hpp>
#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

using namespace nkv;
using host::attachment;
using host::queue_memory;

namespace {

struct fixture {
  std::shared_ptr<nkv_test::script> s = std::make_shared<nkv_test::script>();
  std::shared_ptr<attachment> a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));

  host::result<queue_memory> make(queue_shape shape, std::uint32_t page = 4096, std::uint32_t list = 512) {
    return queue_memory::create(a, shape, page, list, host::deadline::after_ms(1000));
  }
};

}  // namespace

TEST_SUITE("host/controller/queue_memory") {
  TEST_CASE("parts: rings, heads, lists and the spare page are apart, aligned, inside one mapping, and zero") {
    for (const std::uint32_t page : {4096u, 65536u}) {
      for (const queue_shape shape : {queue_shape{2, 2}, queue_shape{128, 256}, queue_shape{1024, 1024}}) {
        for (const std::uint32_t list : {64u, 512u, 4096u, 16384u}) {
          fixture f;
          const auto m = f.make(shape, page, list);
          REQUIRE(m);
          const queue_pair_parts p = m->parts(7);
          CHECK(p.qid == 7);
          CHECK(p.shape == shape);
          CHECK(p.arena.list_bytes == list);
          CHECK(reinterpret_cast<std::uintptr_t>(p.control) % 64 == 0);
          CHECK(p.arena.heads_address == reinterpret_cast<std::uintptr_t>(p.arena.heads));
          CHECK(p.arena.lists_address == reinterpret_cast<std::uintptr_t>(p.arena.lists));
          CHECK(m->sq_address() == reinterpret_cast<std::uintptr_t>(p.sq));
          CHECK(m->cq_address() == reinterpret_cast<std::uintptr_t>(p.cq));
          CHECK(m->spare_value(9).address == reinterpret_cast<std::uintptr_t>(m->spare()));
          CHECK(m->spare_value(9).length_bytes == 9);
          const std::pair<std::uintptr_t, std::uint64_t> parts[] = {
              {m->sq_address(), 64ull * shape.sq_entries},
              {m->cq_address(), 16ull * shape.cq_entries},
              {p.arena.heads_address, std::uint64_t{scratch::head_bytes} * shape.cids()},
              {p.arena.lists_address, std::uint64_t{list} * shape.cids()},
              {m->spare_value(0).address, queue_memory::spare_bytes},
          };
          REQUIRE(f.s->mapped.size() == 1);
          const auto [base, size] = *f.s->mapped.begin();
          std::uintptr_t end = base;
          for (const auto& [at, n] : parts) {
            CHECK(at >= end);
            CHECK(at % page == 0);
            end = at + n;
          }
          CHECK(end <= base + size);
          const auto* const bytes = reinterpret_cast<const std::byte*>(base);
          CHECK(std::all_of(bytes, bytes + size, [](std::byte b) { return b == std::byte{0}; }));
        }
      }
    }
  }

  TEST_CASE("create: what cannot be -> bad_argument, and nothing is mapped") {
    fixture f;
    const status bad = client_status::bad_argument;
    CHECK(f.make({1, 1}).error() == bad);
    CHECK(f.make({4, 2}).error() == bad);
    CHECK(f.make({3, 4}).error() == bad);
    CHECK(f.make({4, 4}, 4096, 63).error() == bad);
    CHECK(f.make({4, 4}, 4096, 96).error() == bad);
    CHECK(f.make({4, 4}, 512).error() == bad);
    CHECK(f.s->mapped.empty());
    f.s->refuse_map = true;
    CHECK(f.make({4, 4}).error() == status(client_status::system_error));
    CHECK(f.a->count().buried == 0);
  }

  TEST_CASE("zero_rings: both rings, and nothing between or behind them") {
    fixture f;
    auto m = f.make({8, 16});
    REQUIRE(m);
    const queue_pair_parts p = m->parts(1);
    std::memset(static_cast<void*>(p.sq), 1, 64 * 8);
    std::memset(m->spare() - 1, 1, 2);
    p.arena.heads[0] = std::byte{5};
    const_cast<cqe*>(p.cq)[15].dw[3] = 7;
    p.sq[8].dw[0] = 9;
    m->zero_rings();
    CHECK(p.sq[8].dw[0] == 9);
    CHECK(p.sq[7].dw[15] == 0);
    CHECK(p.cq[15].dw[3] == 0);
    CHECK(p.arena.heads[0] == std::byte{5});
    CHECK(m->spare()[0] == std::byte{1});
  }

  TEST_CASE("create: a map that nobody answered -> the memory is kept, since the target may have done it") {
    fixture f;
    f.s->lost = true;
    CHECK(f.make({8, 16}).error() == status(client_status::disconnected));
    CHECK(f.a->count().buried != 0);
    f.a->declare_fenced();
    CHECK(f.a->count().buried == 0);
  }

  TEST_CASE("its end: disposed of; buried: kept until the controller is fenced") {
    fixture f;
    {
      const auto m = f.make({8, 16});
      REQUIRE(m);
      CHECK(f.s->mapped.size() == 1);
    }
    CHECK(f.s->mapped.empty());
    auto m = f.make({8, 16});
    REQUIRE(m);
    queue_memory moved;
    moved = *std::move(m);
    CHECK(m->empty());
    const std::uint64_t at = moved.sq_address();
    moved.bury();
    CHECK(moved.empty());
    CHECK(f.s->mapped.size() == 1);
    CHECK(f.a->count().buried != 0);
    CHECK(::msync(reinterpret_cast<void*>(at), 4096, MS_ASYNC) == 0);
    f.a->declare_fenced();
    CHECK(f.a->count().buried == 0);
    CHECK(f.s->mapped.empty());
    CHECK(::msync(reinterpret_cast<void*>(at), 4096, MS_ASYNC) == -1);
  }
}
