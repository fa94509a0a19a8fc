// SPDX-License-Identifier: BSD-3-Clause
//
// GPUs are the model of support/model_gpu.hpp.
#include <nkv/host/memory/gpu_memory.hpp>
#include <support/modelled_gpu.hpp>
#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <utility>

using namespace nkv;
using host::attachment;
using host::gpu_memory;
using host::gpu_memory_kind;
using host::memory_place;
using host::visibility;

namespace {

struct fixture {
  nkv_test::modelled gpu;
  std::shared_ptr<nkv_test::script> s = std::make_shared<nkv_test::script>();
  std::shared_ptr<attachment> a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));
  fixture() { s->by_fd = true; }
  host::result<gpu_memory> make(const std::shared_ptr<host::gpu_driver>& d, std::size_t size = 5000,
                                gpu_memory_kind kind = gpu_memory_kind::plain) {
    return gpu_memory::create(a, d, size, kind, host::deadline::after_ms(1000));
  }
};

}  // namespace

TEST_SUITE("host/memory/gpu_memory") {
  TEST_CASE("create: whole pieces, mapped at the device's address, and given back") {
    fixture f;
    {
      const auto m = f.make(f.gpu.cuda());
      REQUIRE(m);
      CHECK(m->size_bytes() == 5000);
      CHECK(f.s->mapped.at(reinterpret_cast<std::uintptr_t>(m->on_device())) == gpu_memory::granularity_bytes);
      const auto part = m->value(10, 20, memory_place::host_memory, visibility::by_completion);
      REQUIRE(part);
      CHECK(part->address == reinterpret_cast<std::uintptr_t>(m->on_device()) + 10);
      CHECK(part->length_bytes == 20);
      CHECK(m->value(4990, 11, memory_place::host_memory, visibility::by_step).error() ==
            status(client_status::bad_argument));
    }
    CHECK(f.s->mapped.empty());
    CHECK(f.gpu.model->allocated.empty());
  }

  TEST_CASE("value: an unordered combination is refused until the visibility step is undertaken") {
    fixture f;
    f.gpu.model->attributes[118] = 0;
    const auto m = f.make(f.gpu.cuda());
    REQUIRE(m);
    const status no = client_status::unsupported;
    CHECK(m->value(0, 1, memory_place::host_memory, visibility::by_completion).error() == no);
    CHECK(m->value(0, 1, memory_place::host_memory, visibility::by_step));
    CHECK(m->value(0, 1, memory_place::gpu_plain, visibility::by_completion));
    const auto amd = f.make(f.gpu.hip());
    REQUIRE(amd);
    CHECK(amd->value(0, 1, memory_place::host_memory, visibility::by_step).error() == no);
    CHECK(amd->value(0, 1, memory_place::host_memory, visibility::between_kernels));
    const auto fine = f.make(f.gpu.hip(), 1, gpu_memory_kind::fine_grained);
    REQUIRE(fine);
    CHECK(fine->place() == memory_place::gpu_fine_grained);
    CHECK(fine->value(0, 1, memory_place::host_memory, visibility::by_step));
  }

  TEST_CASE("create: what refuses says so, nothing is staged and nothing stays") {
    fixture f;
    const auto d = f.gpu.cuda();
    CHECK(f.make(nullptr).error() == status(client_status::bad_argument));
    CHECK(f.make(d, 0).error() == status(client_status::bad_argument));
    f.s->by_fd = false;  // the target is in this process and would follow the address itself
    CHECK(f.make(d).error() == status(client_status::staged_refused));
    f.s->by_fd = true;
    f.s->refuse_map = true;
    CHECK(f.make(d).error() == status(client_status::system_error));
    f.s->refuse_map = false;
    f.gpu.model->misaligned = 512;
    CHECK(f.make(d).error() == status(client_status::unsupported));
    f.gpu.model->misaligned = 0;
    f.gpu.model->fails = {{"cuMemGetHandleForAddressRange", 801}};
    CHECK(f.make(d).error().detail() == 801);
    f.gpu.model->fails = {{"cuMemAlloc_v2", 2}};
    CHECK(f.make(d).error().detail() == 2);
    f.gpu.model->fails.clear();
    f.gpu.model->attributes.erase(124);
    CHECK(f.make(f.gpu.cuda()).error() == status(client_status::unsupported));
    CHECK(f.gpu.model->allocated.empty());
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("create_unshared: nobody is told, no value lies in it, and it is freed") {
    fixture f;
    {
      auto m = gpu_memory::create_unshared(f.a, f.gpu.cuda(), 8192, gpu_memory_kind::fine_grained);
      REQUIRE(m);
      CHECK(f.s->mapped.empty());
      CHECK(f.gpu.model->allocated.size() == 1);
      CHECK(m->place() == memory_place::gpu_fine_grained);
      CHECK(m->value(0, 1, memory_place::host_memory, visibility::by_step).error() ==
            status(client_status::bad_argument));
    }
    CHECK(f.gpu.model->allocated.empty());
    CHECK(gpu_memory::create_unshared(f.a, nullptr, 8192, gpu_memory_kind::plain).error() ==
          status(client_status::bad_argument));
    f.gpu.model->fails = {{"cuMemAlloc_v2", 2}};
    CHECK(gpu_memory::create_unshared(f.a, f.gpu.cuda(), 1, gpu_memory_kind::plain).error().detail() == 2);
  }

  TEST_CASE("keep: at its end still mapped and allocated, and counted; given back where the controller is fenced") {
    fixture f;
    for (const bool fenced : {false, true}) {
      auto m = f.make(f.gpu.cuda());
      REQUIRE(m);
      CHECK(m->reached_through(f.a.get()));
      CHECK_FALSE(m->reached_through(nullptr));
      CHECK_FALSE(m->kept());
      m->keep();
      const gpu_memory moved = *std::move(m);
      CHECK(moved.kept());
      if (fenced) f.a->declare_fenced();
    }
    CHECK(f.gpu.model->allocated.size() == 1);
    CHECK(f.s->mapped.size() == 1);
    CHECK(f.a->count().abandoned == gpu_memory::granularity_bytes);
  }

  TEST_CASE("end: where the target does not let go, the memory is not freed and is counted") {
    fixture f;
    {
      const auto m = f.make(f.gpu.cuda());
      REQUIRE(m);
      f.s->refuse_unmap = true;
    }
    CHECK(f.gpu.model->allocated.size() == 1);
    CHECK(f.a->count().abandoned == gpu_memory::granularity_bytes);
  }
}
