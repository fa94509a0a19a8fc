// SPDX-License-Identifier: BSD-3-Clause
//
// A queue made for a kernel, used as a kernel uses it by a host thread: memory, bookkeeping and doorbells are reached
// by the addresses that a GPU's driver gave (a model of one, whose addresses are the host's), against the embedded
// target in another process.
#include <support/modelled_gpu.hpp>
#include <system/system.hpp>

#include <nkv/device/device.hpp>

#include <signal.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

using namespace nkv_test;
namespace device = nkv::device;
namespace host = nkv::host;

namespace {

device::deadline kernel_soon() { return device::deadline::after_ms(60'000); }

host::connect_options for_kernels() {
  host::connect_options how;
  how.vfio_user.wake = false;
  return how;
}

}  // namespace

TEST_SUITE("system/device_queue") {
  TEST_CASE("a queue, its doorbells and a value in pinned memory -> stored and retrieved by device code") {
    modelled gpu;
    {
      served target(served::vfio_user, "plain");
      const host::controller c = target.connect(for_kernels());
      const auto driver = gpu.cuda();
      host::queue_options how;
      how.gpu = driver;
      const auto queue = c.create_queue_pair<nkv::shared>(how, soon());
      REQUIRE_MESSAGE(queue, host::describe(queue.error()));
      const auto doorbells = c.map_doorbells(driver);
      REQUIRE_MESSAGE(doorbells, host::describe(doorbells.error()));
      const auto values = c.allocate_pinned(8192, {driver}, {}, soon());
      REQUIRE_MESSAGE(values, host::describe(values.error()));
      const auto ref = queue->device_ref<device::queue_pair_ref<nkv::shared>>(*doorbells);
      REQUIRE(ref);
      const opened<nkv::exclusive> opened_by_host = open<nkv::exclusive>(c, 1, 2);
      const device::namespace_ref<nkv::shared> ns(*ref, opened_by_host.profile());

      std::byte* const there = values->on_device();
      for (int round = 0; round < 300; ++round) {
        std::memset(there, round, 1000);
        CHECK(ns.store(bytes_of("device"), *values->value(0, 1000), kernel_soon()).status == status());
        const outcome found = ns.retrieve(bytes_of("device"), *values->value(4096, 4096), kernel_soon());
        CHECK(found.status == status());
        CHECK(found.length_bytes == 1000);
        REQUIRE(std::memcmp(there, there + 4096, 1000) == 0);
      }
      CHECK(ref->outstanding() == 0);

      const auto report = host::describe(c.what_works(gpu.hip(), ""));
      CHECK(report.find("queue in mapped host memory: yes\n") == 0);
      CHECK(report.find("value in mapped host memory: yes\n") != std::string::npos);
    }
    CHECK(gpu.model->registered.empty());  // whatever was unmapped before it was taken back would be here
    CHECK(gpu.model->hip_registered.empty());
  }

  TEST_CASE("device addresses that are not the host's: every pointer of the ref is the device's") {
    modelled gpu;
    gpu.model->device_offset = 0x100000000;
    served target(served::vfio_user, "plain");
    const host::controller c = target.connect(for_kernels());
    host::queue_options how;
    how.gpu = gpu.cuda();
    const auto queue = c.create_queue_pair<nkv::exclusive>(how, soon());
    REQUIRE(queue);
    const auto doorbells = c.map_doorbells(how.gpu);
    REQUIRE(doorbells);
    const auto ref = queue->device_ref<device::queue_pair_ref<nkv::exclusive>>(*doorbells);
    REQUIRE(ref);
    // A ref is plain words: none of its pointers is a host address, but for what the controller is told of scratch.
    struct raw {
      std::uint64_t word[sizeof(*ref) / 8];
    };
    raw of_device;
    std::memcpy(&of_device, &*ref, sizeof of_device);
    int pointers = 0;
    int addresses = 0;
    for (const auto& [at, size] : gpu.model->registered)
      for (const std::uint64_t w : of_device.word) {
        const auto first = reinterpret_cast<std::uintptr_t>(at);
        if (w >= first && w < first + size) ++addresses;
        if (w >= first + 0x100000000 && w < first + 0x100000000 + size) ++pointers;
      }
    CHECK(addresses == 2);
    CHECK(pointers == 7);  // both rings, the bookkeeping, two of scratch, two doorbells
  }

  TEST_CASE("a queue in GPU memory -> device code alone touches it; the target's process maps its dma-buf") {
    modelled gpu;
    gpu.model->no_host_access = true;  // whoever touches it outside play_kernel() ends the test
    gpu.model->fresh_byte = 0xee;
    const auto driver = gpu.cuda();
    {
      served target(served::vfio_user, "plain");
      const host::controller c = target.connect(for_kernels());
      const opened<nkv::exclusive> opened_by_host = open<nkv::exclusive>(c, 1, 2);
      const auto doorbells = c.map_doorbells(driver);
      REQUIRE(doorbells);
      host::queue_options how;
      how.entries = 4;
      how.gpu = driver;
      how.place = host::memory_place::gpu_plain;
      const auto run = [&](auto sharing) {
        using sharing_type = decltype(sharing);
        const auto before = c.statistics().queue_full;
        const auto queue = c.create_queue_pair<sharing_type>(how, soon());
        REQUIRE_MESSAGE(queue, host::describe(queue.error()));
        const auto values = c.allocate_on_gpu(driver, 8192);
        REQUIRE_MESSAGE(values, host::describe(values.error()));
        const auto part = [&](std::size_t at) {
          return *values->value(at, 4096, queue->place(), host::visibility::by_completion);
        };
        const auto ref = queue->template device_ref<device::queue_pair_ref<sharing_type>>(*doorbells);
        REQUIRE(ref);
        const device::namespace_ref<sharing_type> ns(*ref, opened_by_host.profile());
        gpu.model->play_kernel(true);
        std::byte* const there = values->on_device();
        for (int round = 0; round < 100; ++round) {
          std::memset(there, round, 1000);
          CHECK(ns.store(bytes_of("device"), {part(0).address, 1000, 0}, kernel_soon()).status == status());
          const outcome found = ns.retrieve(bytes_of("device"), part(4096), kernel_soon());
          CHECK(found.status == status());
          CHECK(found.length_bytes == 1000);
          REQUIRE(std::memcmp(there, there + 4096, 1000) == 0);
        }
        CHECK(ref->outstanding() == 0);
        CHECK(ref->counters().stray_completions == 0);
        const nkv::queue_counters& seen = ref->counters();
        const_cast<nkv::queue_counters&>(seen).queue_full = 5;
        gpu.model->play_kernel(false);
        CHECK(c.statistics().queue_full == before);
      };
      run(nkv::exclusive{});
      CHECK(c.statistics().queue_full == 5);  // read back at its end
      auto room = c.allocate_on_gpu(driver, 3 * c.queue_room_bytes(how));
      REQUIRE(room);
      how.room = {std::make_shared<host::gpu_memory>(*std::move(room)), 2 * c.queue_room_bytes(how)};
      run(nkv::shared{});
      CHECK(c.statistics().queue_full == 10);

      // A target that dies under it: the kernel hears of it.
      const auto queue = c.create_queue_pair<nkv::exclusive>(how, soon());
      REQUIRE(queue);
      const auto ref = queue->device_ref<device::queue_pair_ref<nkv::exclusive>>(*doorbells);
      REQUIRE(ref);
      target.process().end(SIGKILL);
      const device::namespace_ref<nkv::exclusive> ns(*ref, opened_by_host.profile());
      const host::deadline heard = soon();
      while (opened_by_host.look() == nkv::queue_liveness::open && !heard.expired()) {
      }
      gpu.model->play_kernel(true);
      CHECK(ns.exist(bytes_of("device"), kernel_soon()).status == status(client::disconnected));
      gpu.model->play_kernel(false);
    }
    CHECK(gpu.model->allocated.empty());
    CHECK(gpu.model->stored_nowhere == 0);
  }

  TEST_CASE("a queue in GPU memory, and a target that takes no dma-buf, or one in this process -> refused") {
    modelled gpu;
    gpu.model->sealed_dma_buf = false;
    host::queue_options how;
    how.gpu = gpu.cuda();
    how.place = host::memory_place::gpu_plain;
    served target(served::vfio_user, "plain");
    const auto refused = target.connect(for_kernels()).create_queue_pair<nkv::shared>(how, soon());
    CHECK(refused.error() == status(client::system_error));
    CHECK(refused.error().detail() == EPERM);
    served here(served::inproc, "plain");
    CHECK(here.connect().create_queue_pair<nkv::shared>(how, soon()).error() == status(client::staged_refused));
    CHECK(gpu.model->allocated.empty());
  }

  TEST_CASE("no GPU was named, a sleeping target, a target in this process -> refused") {
    modelled gpu;
    served target(served::vfio_user, "plain");
    const auto driver = gpu.cuda();
    {
      const host::controller sleeps = target.connect();
      CHECK(sleeps.map_doorbells(driver).error() == status(client::unsupported));
    }
    const host::controller c = target.connect(for_kernels());
    const auto plain = c.create_queue_pair<nkv::shared>({}, soon());
    REQUIRE(plain);
    const auto doorbells = c.map_doorbells(driver);
    REQUIRE(doorbells);
    CHECK(plain->device_ref<device::queue_pair_ref<nkv::shared>>(*doorbells).error() == status(client::bad_argument));
    // The target takes sealed memory files alone, and a dma-buf has no seals.
    gpu.model->sealed_dma_buf = false;
    const auto refused = c.allocate_on_gpu(driver, 4096);
    CHECK(refused.error() == status(client::system_error));
    CHECK(refused.error().detail() == EPERM);
    CHECK(gpu.model->allocated.empty());
    served here(served::inproc, "plain");
    CHECK(here.connect().allocate_on_gpu(driver, 4096).error() == status(client::staged_refused));
  }

  TEST_CASE("doorbells in a BAR that the caller mapped -> rung there as a device's registers, and by no other ref") {
    modelled gpu;
    served target(served::vfio_user, "plain");
    const host::controller c = target.connect(for_kernels());
    const auto bar = host::region::create(4096);  // what plays it: nobody answers
    REQUIRE(bar);
    auto* const base = reinterpret_cast<std::uint32_t*>(bar->data());
    host::queue_options how;
    how.gpu = gpu.cuda();
    const auto queue = c.create_queue_pair<nkv::exclusive>(how, soon());
    REQUIRE(queue);
    const auto in_bar = host::gpu_doorbells::create_in_bar(how.gpu, {base, 4096});
    REQUIRE(in_bar);
    CHECK(gpu.model->last_flags == 7);
    const auto shared_page = c.map_doorbells(how.gpu);
    REQUIRE(shared_page);
    using for_bar = device::queue_pair_ref<nkv::exclusive, device::bar_doorbell>;
    using for_page = device::queue_pair_ref<nkv::exclusive>;
    CHECK(queue->device_ref<for_page>(*in_bar).error() == status(client::bad_argument));
    CHECK(queue->device_ref<for_bar>(*shared_page).error() == status(client::bad_argument));
    const auto ref = queue->device_ref<for_bar>(*in_bar);
    REQUIRE(ref);
    REQUIRE(ref->submit(nkv::sqe{}));
    REQUIRE(ref->submit(nkv::sqe{}));
    CHECK(base[2 * queue->qid()] == 2);
  }

  TEST_CASE("a value in what plays GPU memory -> the target writes into it by its descriptor") {
    modelled gpu;
    served target(served::vfio_user, "plain");
    const host::controller c = target.connect();
    const auto memory = c.allocate_on_gpu(gpu.cuda(), 8192);
    REQUIRE_MESSAGE(memory, host::describe(memory.error()));
    const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 4);
    const auto part = [&](std::size_t at) {
      return *memory->value(at, 4096, host::memory_place::host_memory, host::visibility::by_completion);
    };
    std::memset(memory->on_device(), 0x5a, 4096);
    CHECK(ns.ref().store(bytes_of("gpu"), part(0), soon()).status == status());
    CHECK(ns.ref().retrieve(bytes_of("gpu"), part(4096), soon()).status == status());
    CHECK(std::memcmp(memory->on_device(), memory->on_device() + 4096, 4096) == 0);
  }
}
