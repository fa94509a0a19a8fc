// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/attachment.hpp>
#include <support/modelled_gpu.hpp>
#include <support/scripted_controller.hpp>
#include <support/wipes_on_fork.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

using namespace nkv;
using host::attachment;
using host::region;

namespace {

struct fixture {
  std::shared_ptr<nkv_test::script> s = std::make_shared<nkv_test::script>();
  std::shared_ptr<attachment> a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));
};

host::deadline soon() { return host::deadline::after_ms(1000); }
std::uint32_t of(queue_liveness l) { return static_cast<std::uint32_t>(l); }

}  // namespace

TEST_SUITE("host/memory/attachment") {
  TEST_CASE("create: without a transport -> bad_argument") {
    CHECK(attachment::create(nullptr).error() == status(client_status::bad_argument));
  }

  TEST_CASE("look: lost tells every queue once, fenced when the peer is gone; neither is taken back") {
    fixture f;
    queue_counters early{}, late{};
    f.a->watch(&early);
    CHECK(f.a->look() == queue_liveness::open);
    CHECK(early.liveness == of(queue_liveness::open));
    f.s->lost = true;
    CHECK(f.a->look() == queue_liveness::lost);
    CHECK(early.liveness == of(queue_liveness::lost));
    f.a->watch(&late);
    CHECK(late.liveness == of(queue_liveness::lost));
    f.a->unwatch(&late);
    f.s->gone = true;
    CHECK(f.a->look() == queue_liveness::fenced);
    CHECK(early.liveness == of(queue_liveness::fenced));
    CHECK(late.liveness == of(queue_liveness::lost));
    f.a->declare_lost();
    CHECK(f.a->liveness() == queue_liveness::fenced);
    CHECK(f.a->usable() == status(client_status::disconnected));
  }

  TEST_CASE("reopen: queues that were fenced stay so when the controller is lost again") {
    fixture f;
    queue_counters old{}, fresh{};
    f.a->watch(&old);
    f.a->declare_lost();
    f.a->declare_fenced();
    f.a->reopen();
    CHECK(f.a->usable().ok());
    f.a->watch(&fresh);
    CHECK(fresh.liveness == of(queue_liveness::open));
    CHECK(old.liveness == of(queue_liveness::fenced));
    f.a->declare_lost();
    CHECK(fresh.liveness == of(queue_liveness::lost));
    CHECK(old.liveness == of(queue_liveness::fenced));
    f.a->unwatch(&old);
    f.a->unwatch(&fresh);
  }

  TEST_CASE("watch, in GPU memory: told by the driver, counted at its end, fenced once; a child tells nobody") {
    nkv_test::modelled gpu;
    gpu.model->no_host_access = true;
    const auto driver = gpu.cuda();
    const auto at = driver->allocate(4096, host::gpu_memory_kind::plain);
    REQUIRE(at);
    REQUIRE(driver->clear(*at, 4096) == status());
    auto* const there = reinterpret_cast<queue_counters*>(*at);
    const auto told = [&] {
      queue_counters copy;
      CHECK(driver->copy_out(&copy, *at, sizeof copy) == status());
      return copy.liveness;
    };
    queue_counters counted{};
    counted.stray_completions = 3;

    fixture f;
    f.a->watch(there, driver);
    CHECK(told() == of(queue_liveness::open));
    REQUIRE(driver->copy_in(*at, &counted, sizeof counted) == status());
    if (nkv_test::wipes_on_fork()) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        f.a->declare_lost();
        ::_exit(told() == of(queue_liveness::wiped) ? 0 : 1);  // the model, unlike a driver, answers a child
      }
      int end = -1;
      REQUIRE(::waitpid(child, &end, 0) == child);
      CHECK(end == 0);
    }
    gpu.model->stream_stalls = true;  // as a GPU whose kernels leave no room
    f.a->declare_lost();
    CHECK(gpu.model->waiting.size() == 1);
    gpu.model->stream_stalls = false;
    f.a->declare_fenced();
    CHECK(told() == of(queue_liveness::fenced));
    CHECK(f.a->queue_counts().stray_completions == 0);
    f.a->reopen();
    f.a->declare_lost();
    CHECK(told() == of(queue_liveness::fenced));
    f.a->unwatch(there);
    CHECK(f.a->queue_counts().stray_completions == 3);
    CHECK(driver->free(*at) == status());
    CHECK(gpu.model->stored_nowhere == 0);
  }

  TEST_CASE("map: a range that wraps, is empty or overlaps -> bad_argument") {
    fixture f;
    const auto at = [](std::uintptr_t p, std::uint64_t n) {
      return host::dma_memory{reinterpret_cast<std::byte*>(p), n, 3, 0};
    };
    const status bad = client_status::bad_argument;
    CHECK(f.a->map(at(0x10000, 0), soon()) == bad);
    CHECK(f.a->map(at(0x10000, ~std::uint64_t{0}), soon()) == bad);
    CHECK(f.a->map(at(0x10000, 0x2000), soon()).ok());
    CHECK(f.a->map(at(0x11fff, 1), soon()) == bad);
    CHECK(f.a->map(at(0xffff, 2), soon()) == bad);
    CHECK(f.a->map(at(0x1000, 0x100000), soon()) == bad);
    CHECK(f.a->map(at(0x12000, 1), soon()).ok());
    CHECK(f.a->map(at(0xffff, 1), soon()).ok());
    CHECK(f.a->mapped_bytes() == 0x2002);
    CHECK(f.a->unmap(at(0x10000, 0x2000), soon()).ok());
    CHECK(f.a->unmap(at(0x10000, 0x2000), soon()).ok());  // not mapped: nothing to do
    CHECK(f.s->unmapped.size() == 1);
    CHECK(f.a->map(at(0x11fff, 1), soon()).ok());
    f.a->unmap_all(soon());
    CHECK(f.a->mapped_bytes() == 0);
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("dispose: given back once the target let go, left mapped where it may write") {
    fixture f;
    region kept = *region::create(4096);
    region freed = *region::create(4096);
    std::byte* const kept_at = kept.data();
    std::byte* const freed_at = freed.data();
    REQUIRE(f.a->map(kept.dma(), soon()).ok());
    REQUIRE(f.a->map(freed.dma(), soon()).ok());
    f.a->dispose(freed, soon());
    CHECK(freed.empty());
    CHECK(::msync(freed_at, 4096, MS_ASYNC) == -1);
    f.s->lost = true;
    f.a->dispose(kept, soon());
    CHECK(kept.empty());
    CHECK(::msync(kept_at, 4096, MS_ASYNC) == 0);
    CHECK(f.a->count().abandoned == 4096);
    ::munmap(kept_at, 4096);
  }

  TEST_CASE("its end: what is buried goes where the peer is gone, and stays where it may live") {
    for (const bool gone : {false, true}) {
      fixture f;
      region r = *region::create(4096);
      std::byte* const at = r.data();
      REQUIRE(f.a->map(r.dma(), soon()).ok());
      f.a->bury(std::move(r));
      CHECK(f.a->count().buried == 4096);
      f.s->lost = true;
      f.s->gone = gone;
      f.a.reset();
      CHECK((::msync(at, 4096, MS_ASYNC) == 0) == !gone);
      if (!gone) ::munmap(at, 4096);
    }
  }
}
