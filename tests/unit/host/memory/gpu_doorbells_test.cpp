// SPDX-License-Identifier: BSD-3-Clause
//
// GPUs are the model of support/model_gpu.hpp.
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory/gpu_doorbells.hpp>
#include <nkv/host/memory/region.hpp>
#include <support/modelled_gpu.hpp>
#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>

using namespace nkv;
using host::attachment;
using host::gpu_doorbells;

namespace {

struct fixture {
  nkv_test::modelled gpu;
  host::region memory = *host::region::create(8192);
  std::shared_ptr<attachment> a;
  explicit fixture(bool sleeps = false, bool mapped = true) {
    const auto s = std::make_shared<nkv_test::script>();
    host::doorbell_page& page = s->doorbells;
    if (mapped) page.base = reinterpret_cast<std::uint32_t*>(memory.data() + 4096);
    page.length_bytes = 4096;
    if (sleeps) page.asleep = page.base + 1000;
    a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));
  }
};

}  // namespace

TEST_SUITE("host/memory/gpu_doorbells") {
  TEST_CASE("of: each queue's two words as the device reaches them, none beyond the page") {
    fixture f;
    f.gpu.model->device_offset = 0x10000;
    {
      const auto d = gpu_doorbells::create(f.a, f.gpu.cuda());
      REQUIRE(d);
      CHECK(f.gpu.model->registered.at(f.memory.data() + 4096) == 4096);
      CHECK(f.gpu.model->last_flags == 3);
      const auto bells = d->of(3, 4);
      REQUIRE(bells);
      const auto page = reinterpret_cast<std::uintptr_t>(f.memory.data()) + 4096 + 0x10000;
      CHECK(reinterpret_cast<std::uintptr_t>(bells->sq_tail) == page + 24);
      CHECK(reinterpret_cast<std::uintptr_t>(bells->cq_head) == page + 28);
      CHECK(d->of(511, 4));
      CHECK(d->of(512, 4).error() == status(client_status::bad_argument));
      // One registration a controller and GPU: a second one is the driver's to refuse.
      CHECK(gpu_doorbells::create(f.a, f.gpu.cuda()).error().detail() == 712);
    }
    CHECK(f.gpu.model->registered.empty());
    CHECK(gpu_doorbells().of(1, 4).error() == status(client_status::bad_argument));
  }

  TEST_CASE("create_in_bar: the caller's mapping, registered as I/O memory; what is none is refused") {
    fixture f;
    f.gpu.model->device_offset = 0x10000;
    auto* const base = reinterpret_cast<std::uint32_t*>(f.memory.data() + 4096);
    {
      const auto d = gpu_doorbells::create_in_bar(f.gpu.cuda(), {base, 100});
      REQUIRE(d);
      CHECK(d->in_bar());
      CHECK(f.gpu.model->last_flags == 7);
      CHECK(f.gpu.model->registered.at(f.memory.data() + 4096) == 4096);
      const auto bells = d->of(1, 16);  // as far apart as the device has them
      REQUIRE(bells);
      CHECK(reinterpret_cast<std::uintptr_t>(bells->sq_tail) == reinterpret_cast<std::uintptr_t>(base) + 32 + 0x10000);
      CHECK(reinterpret_cast<std::uintptr_t>(bells->cq_head) == reinterpret_cast<std::uintptr_t>(base) + 48 + 0x10000);
      CHECK(d->of(3, 16).error() == status(client_status::bad_argument));  // 96 and 112 of 100
    }
    CHECK(f.gpu.model->registered.empty());
    CHECK_FALSE(gpu_doorbells::create(f.a, f.gpu.cuda())->in_bar());
    const status bad = client_status::bad_argument;
    CHECK(gpu_doorbells::create_in_bar(f.gpu.cuda(), {}).error() == bad);
    CHECK(gpu_doorbells::create_in_bar(f.gpu.cuda(), {base, 0}).error() == bad);
    CHECK(gpu_doorbells::create_in_bar(nullptr, {base, 100}).error() == bad);
    auto* const odd = reinterpret_cast<std::uint32_t*>(f.memory.data() + 4097);
    CHECK(gpu_doorbells::create_in_bar(f.gpu.cuda(), {odd, 100}).error() == bad);
    f.gpu.model->fails = {{"cuMemHostRegister_v2", 800}};
    CHECK(gpu_doorbells::create_in_bar(f.gpu.cuda(), {base, 100}).error().detail() == 800);
  }

  TEST_CASE("create: no mapped doorbells, or a target that sleeps -> unsupported, nothing registered") {
    fixture none(false, false);
    CHECK(gpu_doorbells::create(none.a, none.gpu.cuda()).error() == status(client_status::unsupported));
    fixture sleeps(true);
    CHECK(gpu_doorbells::create(sleeps.a, sleeps.gpu.cuda()).error() == status(client_status::unsupported));
    CHECK(sleeps.gpu.model->registered.empty());
  }
}
