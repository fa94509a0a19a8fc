// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/queue_memory.hpp>
#include <support/modelled_gpu.hpp>
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

  TEST_CASE("in GPU memory: parts are the device's, zero, of memory that no processor touches; parts() is a stand-in") {
    nkv_test::modelled gpu;
    gpu.model->no_host_access = true;
    gpu.model->fresh_byte = 0xee;
    fixture f;
    const auto driver = gpu.cuda();
    {
      auto m = queue_memory::create(f.a, {8, 16}, 4096, 512, host::deadline::after_ms(1000), driver,
                                    host::memory_place::gpu_plain);
      REQUIRE(m);
      CHECK(m->place() == host::memory_place::gpu_plain);
      CHECK(m->spare() == nullptr);
      CHECK(m->gpu() == driver);
      REQUIRE(gpu.model->allocated.size() == 2);
      REQUIRE(f.s->mapped.size() == 1);  // the rings; the bookkeeping is not the controller's
      const auto [base, size] = *f.s->mapped.begin();
      const queue_pair_parts p = m->device_parts(7);
      CHECK(reinterpret_cast<std::uintptr_t>(p.sq) == base);
      CHECK(m->sq_address() == base);
      CHECK(m->cq_address() == reinterpret_cast<std::uintptr_t>(p.cq));
      CHECK(p.arena.heads_address == reinterpret_cast<std::uintptr_t>(p.arena.heads));
      CHECK(p.arena.lists_address == reinterpret_cast<std::uintptr_t>(p.arena.lists));
      CHECK(p.arena.lists_address + 512 * 7 <= base + size);
      CHECK(p.qid == 7);
      CHECK(gpu.model->allocated.count(p.control) == 1);
      CHECK(reinterpret_cast<std::byte*>(m->counters()) == p.control);

      auto* const image = reinterpret_cast<queue_counters*>(m->parts(7).control);
      CHECK(m->parts(7).sq == nullptr);
      image->first_free = 5;
      image->liveness = static_cast<std::uint32_t>(queue_liveness::open);
      REQUIRE(m->publish() == status());
      CHECK(image->liveness == static_cast<std::uint32_t>(queue_liveness::lost));
      gpu.model->play_kernel(true);
      CHECK(m->counters()->first_free == 5);
      CHECK(m->counters()->liveness == static_cast<std::uint32_t>(queue_liveness::open));
      const auto* const bytes = reinterpret_cast<const std::byte*>(base);
      CHECK(std::all_of(bytes, reinterpret_cast<const std::byte*>(p.arena.lists) + 512 * 7,
                        [](std::byte b) { return b == std::byte{0}; }));
      gpu.model->play_kernel(false);
    }
    CHECK(gpu.model->allocated.empty());
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("in GPU memory: what is refused, and leaves nothing behind") {
    nkv_test::modelled gpu;
    fixture f;
    const auto make = [&](const std::shared_ptr<host::gpu_driver>& d, host::memory_place place) {
      return queue_memory::create(f.a, {8, 16}, 4096, 512, host::deadline::after_ms(1000), d, place).error();
    };
    using enum host::memory_place;
    CHECK(make(nullptr, gpu_plain) == status(client_status::bad_argument));
    CHECK(make(gpu.hip(), gpu_plain) == status(client_status::unsupported));
    CHECK(make(gpu.hip(), gpu_fine_grained) == status());
    f.s->by_fd = false;
    CHECK(make(gpu.cuda(), gpu_plain) == status(client_status::staged_refused));
    f.s->by_fd = true;
    f.s->refuse_map = true;
    CHECK(make(gpu.cuda(), gpu_plain) == status(client_status::system_error));
    f.s->refuse_map = false;
    gpu.model->fails = {{"cuMemsetD8Async", 719}};
    CHECK(make(gpu.cuda(), gpu_plain).detail() == 719);
    gpu.model->fails.clear();
    gpu.model->misaligned = 4096;  // a page of the processor's, not of the controller's
    const auto between =
        queue_memory::create(f.a, {8, 16}, 8192, 512, host::deadline::after_ms(1000), gpu.cuda(), gpu_plain);
    CHECK(between.error() == status(client_status::unsupported));
    CHECK(gpu.model->allocated.empty());
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("in the caller's GPU memory: queues beside each other in one mapping; buried -> all of it is kept") {
    nkv_test::modelled gpu;
    gpu.model->no_host_access = true;
    gpu.model->fresh_byte = 0xee;
    fixture f;
    const auto driver = gpu.cuda();
    const std::size_t room = queue_memory::room_bytes({8, 16}, 4096, 512);
    CHECK(room % 4096 == 0);
    const auto soon = host::deadline::after_ms(1000);
    auto memory = host::gpu_memory::create(f.a, driver, 2 * room, host::gpu_memory_kind::plain, soon);
    REQUIRE(memory);
    host::queue_room where{std::make_shared<host::gpu_memory>(*std::move(memory)), room};
    const auto make = [&](host::memory_place place = host::memory_place::gpu_plain) {
      return queue_memory::create(f.a, {8, 16}, 4096, 512, soon, driver, place, where);
    };
    std::byte* const base = where.memory->on_device();
    auto second = make();
    REQUIRE(second);
    CHECK(f.s->mapped.size() == 1);
    CHECK(second->sq_address() == reinterpret_cast<std::uintptr_t>(base) + room);
    CHECK(reinterpret_cast<std::byte*>(second->device_parts(1).sq) == base + room);
    CHECK(second->device_parts(1).arena.lists + 512 * 7 <= base + 2 * room);
    gpu.model->play_kernel(true);
    CHECK(base[room - 1] == std::byte{0xee});
    CHECK(std::all_of(base + room, base + 2 * room, [](std::byte b) { return b == std::byte{0}; }));
    gpu.model->play_kernel(false);

    const status bad = client_status::bad_argument;
    where.offset_bytes = room + 4096;
    CHECK(make().error() == bad);
    where.offset_bytes = std::size_t{0} - 4096;
    CHECK(make().error() == bad);
    where.offset_bytes = 64;
    CHECK(make().error() == bad);
    where.offset_bytes = 0;
    CHECK(make(host::memory_place::gpu_fine_grained).error() == bad);
    CHECK(make(host::memory_place::host_memory).error() == bad);
    CHECK(
        queue_memory::create(f.a, {8, 16}, 4096, 512, soon, gpu.cuda(), host::memory_place::gpu_plain, where).error() ==
        bad);
    const fixture other;
    CHECK(
        queue_memory::create(other.a, {8, 16}, 4096, 512, soon, driver, host::memory_place::gpu_plain, where).error() ==
        bad);
    {
      const auto first = make();
      REQUIRE(first);
      CHECK(first->sq_address() == reinterpret_cast<std::uintptr_t>(base));
    }
    CHECK_FALSE(where.memory->kept());
    second->bury();
    CHECK(where.memory->kept());
    CHECK(make().error() == bad);
    where.memory.reset();
    CHECK(f.s->mapped.size() == 1);
    CHECK(gpu.model->allocated.size() == 1);  // the bookkeeping went
  }

  TEST_CASE("in GPU memory: buried -> stays allocated and mapped") {
    nkv_test::modelled gpu;
    fixture f;
    auto m = queue_memory::create(f.a, {8, 16}, 4096, 512, host::deadline::after_ms(1000), gpu.cuda(),
                                  host::memory_place::gpu_plain);
    REQUIRE(m);
    m->bury();
    CHECK(m->empty());
    CHECK(f.s->mapped.size() == 1);
    CHECK(gpu.model->allocated.size() == 1);
    CHECK(f.a->count().abandoned != 0);
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
