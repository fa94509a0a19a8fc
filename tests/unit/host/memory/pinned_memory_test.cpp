// SPDX-License-Identifier: BSD-3-Clause
//
// GPUs are the model of support/model_gpu.hpp.
#include <nkv/host/memory/gpu_mapping.hpp>
#include <nkv/host/memory/pinned_memory.hpp>
#include <support/modelled_gpu.hpp>
#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <utility>

using namespace nkv;
using host::attachment;
using host::gpu_mapping;
using host::host_range;
using host::pinned_memory;

namespace {

struct fixture {
  nkv_test::modelled gpu;
  std::shared_ptr<nkv_test::script> s = std::make_shared<nkv_test::script>();
  std::shared_ptr<attachment> a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));
  fixture() { s->by_fd = true; }
};
host::deadline soon() { return host::deadline::after_ms(1000); }
bool mapped(const void* at) { return ::msync(const_cast<void*>(at), 4096, MS_ASYNC) == 0; }

}  // namespace

TEST_SUITE("host/memory/pinned_memory") {
  TEST_CASE("gpu_mapping: addresses inside are translated, others are null; taken back once") {
    fixture f;
    f.gpu.model->device_offset = 0x10000;
    const auto page = host::region::create(8192);
    REQUIRE(page);
    auto m = gpu_mapping::create(f.gpu.cuda(), page->data(), 8192, host_range::memory);
    REQUIRE(m);
    CHECK(reinterpret_cast<std::uintptr_t>(m->on_device(page->data() + 8191)) ==
          reinterpret_cast<std::uintptr_t>(page->data()) + 8191 + 0x10000);
    CHECK(m->on_device(page->data() + 8192) == nullptr);
    CHECK(m->on_device(page->data() - 1) == nullptr);
    gpu_mapping moved = *std::move(m);
    CHECK(f.gpu.model->registered.size() == 1);
    CHECK(moved.release() == status());
    CHECK(f.gpu.model->registered.empty());
    CHECK(moved.release() == status());
    CHECK(moved.on_device(page->data()) == nullptr);
    CHECK(gpu_mapping::create(nullptr, page->data(), 8192, host_range::memory).error() ==
          status(client_status::bad_argument));
  }

  TEST_CASE("gpu_mapping: a child takes nothing back") {
    fixture f;
    const auto page = host::region::create(4096);
    auto m = gpu_mapping::create(f.gpu.cuda(), page->data(), 4096, host_range::memory);
    REQUIRE(m);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      static_cast<void>(m->release());
      ::_exit(f.gpu.model->registered.size() == 1 ? 0 : 1);
    }
    int end = -1;
    REQUIRE(::waitpid(child, &end, 0) == child);
    CHECK(end == 0);
  }

  TEST_CASE("create: one memory for the controller and for GPUs of both vendors, given back in order") {
    fixture f;
    f.gpu.model->device_offset = 0x10000;
    std::byte* at = nullptr;
    {
      const auto m = pinned_memory::create(f.a, 5000, {f.gpu.cuda(), f.gpu.hip()}, {}, soon());
      REQUIRE(m);
      at = m->data();
      CHECK(m->size_bytes() == 8192);
      CHECK(f.s->mapped.at(reinterpret_cast<std::uintptr_t>(at)) == 8192);
      CHECK(m->value(16, 4)->address == reinterpret_cast<std::uintptr_t>(at) + 16);
      CHECK(m->value(8190, 4).error() == status(client_status::bad_argument));
      CHECK(m->value(16, 4, host::memory_place::gpu_plain).error() == status(client_status::unsupported));
      CHECK(reinterpret_cast<std::uintptr_t>(m->on_device(4096)) ==
            reinterpret_cast<std::uintptr_t>(at) + 4096 + 0x10000);
      CHECK(m->on_device(8192) == nullptr);
      CHECK(m->on_device(0, 1) == m->on_device(0, 0));
      CHECK(m->on_device(0, 2) == nullptr);
      CHECK(f.gpu.model->registered.count(at) == 1);
      CHECK(f.gpu.model->hip_registered.count(at) == 1);
    }
    CHECK(f.s->mapped.empty());
    CHECK(f.gpu.model->registered.empty());  // the model keeps what was unmapped before it was taken back
    CHECK(f.gpu.model->hip_registered.empty());
    CHECK(!mapped(at));
  }

  TEST_CASE("create: a refusal by the GPU or by the target leaves nothing behind") {
    fixture f;
    const auto cuda = f.gpu.cuda();
    f.s->refuse_map = true;
    CHECK(pinned_memory::create(f.a, 4096, {cuda}, {}, soon()).error() == status(client_status::system_error));
    CHECK(f.gpu.model->registered.empty());
    f.s->refuse_map = false;
    f.gpu.model->fails = {{"cuMemHostRegister_v2", 2}};
    CHECK(pinned_memory::create(f.a, 4096, {cuda}, {}, soon()).error() == status(client_status::driver_error));
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("end: where the target does not let go, the memory stays mapped and is counted; the GPU lets go") {
    fixture f;
    std::byte* at = nullptr;
    {
      const auto m = pinned_memory::create(f.a, 4096, {f.gpu.cuda()}, {}, soon());
      REQUIRE(m);
      at = m->data();
      f.s->refuse_unmap = true;
    }
    CHECK(mapped(at));
    CHECK(f.a->count().abandoned == 4096);
    CHECK(f.gpu.model->registered.empty());
  }
}
