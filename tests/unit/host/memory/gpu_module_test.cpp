// SPDX-License-Identifier: BSD-3-Clause
//
// Against the model of support/model_gpu.hpp: what we ask of a driver and what we make of its answers, not a GPU.
#include <nkv/host/memory/gpu_module.hpp>
#include <support/modelled_gpu.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace nkv;
using host::gpu_module;

namespace {

host::deadline in_ms(std::uint64_t ms) { return host::deadline::after_ms(ms); }

/// What both vendors' drivers have to do alike.
void of_either(const std::function<void(nkv_test::modelled&, std::shared_ptr<host::gpu_driver>)>& test) {
  for (const bool cuda : {true, false}) {
    CAPTURE(cuda);
    nkv_test::modelled gpu;
    if (!cuda) gpu.model->device = 0;
    test(gpu, cuda ? gpu.cuda() : gpu.hip());
    CHECK(gpu.model->modules.empty());
    CHECK(gpu.model->pushed == 0);
  }
}

}  // namespace

TEST_SUITE("host/memory/gpu_module") {
  TEST_CASE("run: one launch of the kernel, with its arguments, and back when it has ended") {
    of_either([](nkv_test::modelled& gpu, std::shared_ptr<host::gpu_driver> driver) {
      auto m = gpu_module::load(driver, "text of a_kernel and another");
      REQUIRE(m);
      int looks = 0;
      std::uint64_t number = 0;
      char letter = 0;
      gpu.model->carry_out = [&](const nkv_test::model_gpu::launch& l) {
        number = *static_cast<const std::uint64_t*>(l.arguments[0]);
        letter = *static_cast<const char*>(l.arguments[1]);
        gpu.model->state_of_kernels = [&] { return ++looks < 3 ? 600 : 0; };
        return 0;
      };
      CHECK(m->run("a_kernel", {3, 64}, in_ms(10'000), std::uint64_t{77}, 'x').ok());
      CHECK(looks == 3);
      CHECK(number == 77);
      CHECK(letter == 'x');
      REQUIRE(gpu.model->launched.size() == 1);
      CHECK(gpu.model->launched[0].image == "text of a_kernel and another");
      CHECK(gpu.model->launched[0].blocks == 3);
      CHECK(gpu.model->launched[0].threads == 64);
      // In a stream of their own: a copy does not wait for them.
      const auto at = driver->allocate(4096, host::gpu_memory_kind::plain);
      REQUIRE(at);
      CHECK(driver->clear(*at, 4096).ok());
      CHECK(gpu.model->copied_in.size() == 1);
      CHECK(gpu.model->copied_in.count(gpu.model->launched[0].stream) == 0);
      CHECK(driver->free(*at).ok());
      gpu.model->state_of_kernels = nullptr;
      gpu.model->carry_out = nullptr;
      CHECK(m->run("another", {1, 1}, in_ms(10'000)).ok());
      // Moved, it is unloaded once.
      gpu_module other = *std::move(m);
      CHECK(gpu.model->modules.size() == 1);
      other = gpu_module();
      CHECK(gpu.model->modules.empty());
      CHECK(other.run("a_kernel", {1, 1}, in_ms(1)) == status(client_status::bad_argument));
    });
  }

  TEST_CASE("what went wrong: no code for this GPU, no such kernel, not launched, failed") {
    of_either([](nkv_test::modelled& gpu, std::shared_ptr<host::gpu_driver> driver) {
      const auto failed = [](int code) {
        return status(client_status::driver_error, static_cast<std::uint16_t>(code));
      };
      CHECK(gpu_module::load(driver, "").error() == status(client_status::bad_argument));
      CHECK(gpu_module::load(nullptr, "a_kernel").error() == status(client_status::bad_argument));
      CHECK(gpu_module::load(driver, "bad").error() == failed(200));
      auto m = gpu_module::load(driver, "a_kernel");
      REQUIRE(m);
      CHECK(m->run("no_kernel", {1, 1}, in_ms(1)) == failed(500));
      CHECK(m->run("a_kernel", {0, 1}, in_ms(1)) == status(client_status::bad_argument));
      CHECK(m->run("a_kernel", {1, 0}, in_ms(1)) == status(client_status::bad_argument));
      CHECK(gpu.model->launched.empty());
      gpu.model->carry_out = [](const auto&) { return 701; };
      CHECK(m->run("a_kernel", {1, 1}, in_ms(1)) == failed(701));
      gpu.model->carry_out = [&](const auto&) {
        gpu.model->state_of_kernels = [] { return 719; };
        return 0;
      };
      CHECK(m->run("a_kernel", {1, 1}, in_ms(1)) == failed(719));
      gpu.model->state_of_kernels = nullptr;
    });
  }

  TEST_CASE("too late -> timed_out; it is waited for later, and is not unloaded under way") {
    of_either([](nkv_test::modelled& gpu, std::shared_ptr<host::gpu_driver> driver) {
      {
        auto m = gpu_module::load(driver, "a_kernel");
        REQUIRE(m);
        gpu.model->carry_out = [&](const auto&) {
          gpu.model->state_of_kernels = [] { return 600; };
          return 0;
        };
        CHECK(m->run("a_kernel", {1, 1}, in_ms(2)) == status(client_status::timed_out));
        CHECK(m->wait(in_ms(1)) == status(client_status::timed_out));
        // The next one is not even looked for.
        CHECK(m->run("no_kernel", {1, 1}, in_ms(1)) == status(client_status::timed_out));
      }
      CHECK(gpu.model->modules.size() == 1);
      gpu.model->modules.clear();
      auto m = gpu_module::load(driver, "a_kernel");
      REQUIRE(m);
      CHECK(m->wait(in_ms(0)) == status(client_status::timed_out));
      gpu.model->state_of_kernels = nullptr;
      CHECK(m->wait(in_ms(0)).ok());
      // The kernel that was left behind has its driver still.
      *m = gpu_module();
      driver.reset();
      CHECK(gpu.model->open_streams.size() == 2);
    });
  }
}
