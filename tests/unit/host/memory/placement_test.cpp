// SPDX-License-Identifier: BSD-3-Clause
//
// GPUs are the model of support/model_gpu.hpp.
#include <nkv/host/memory/placement.hpp>
#include <support/modelled_gpu.hpp>
#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace nkv;
using host::attachment;
using host::what_works;

namespace {

host::deadline soon() { return host::deadline::after_ms(1000); }
std::string text(const std::shared_ptr<host::gpu_driver>& d, const std::shared_ptr<attachment>& a) {
  return describe(what_works(d, "no device", a, soon()));
}

}  // namespace

TEST_SUITE("host/memory/placement") {
  TEST_CASE("what_works: without a driver nothing does, and the reason is the driver's") {
    for (const host::placement& p : what_works(nullptr, "no device", nullptr, soon())) {
      CHECK(p.can == status(client_status::not_found));
      CHECK(p.why == "no device");
    }
  }

  TEST_CASE("what_works: each line is an attempt, taken back; refusals in words") {
    nkv_test::modelled gpu;
    const auto s = std::make_shared<nkv_test::script>();
    const std::shared_ptr<attachment> a = *attachment::create(std::make_unique<nkv_test::scripted_transport>(s));
    s->by_fd = true;
    CHECK(text(gpu.cuda(), a) ==
          "queue in mapped host memory: yes\n"
          "queue in GPU memory: yes\n"
          "queue in fine-grained GPU memory: yes\n"
          "doorbell in shared page: no: the target lets no doorbell be mapped, or sleeps until a CPU wakes it\n"
          "doorbell in PCIe BAR: no: for a BAR that the caller has mapped, by VFIO for one (" +
              host::user_iommu::look().text() +
              ")\n"
              "value in mapped host memory: yes\n"
              "value in GPU memory: yes: ordered\n"
              "value in fine-grained GPU memory: yes: ordered\n");
    CHECK(gpu.model->registered.empty());
    CHECK(gpu.model->allocated.empty());
    CHECK(s->mapped.empty());

    s->refuse_map = true;
    CHECK(text(gpu.cuda(), a)
              .find("value in GPU memory: no: the target does not take or cannot map the dma-buf (errno "
                    "22)\n") != std::string::npos);
    CHECK(text(gpu.cuda(), a)
              .find("queue in GPU memory: no: the target does not take or cannot map the dma-buf "
                    "(errno 22)\n") != std::string::npos);
    CHECK(text(gpu.hip(), nullptr)
              .find("queue in GPU memory: no: a kernel would poll it in vain: take fine-grained memory\n"
                    "queue in fine-grained GPU memory: yes\n") != std::string::npos);
    CHECK(text(gpu.hip(), nullptr).find("value in GPU memory: yes: fine-grained value\n") != std::string::npos);
    CHECK(text(gpu.hip(), nullptr).find("value in fine-grained GPU memory: yes: visibility step\n") !=
          std::string::npos);
    gpu.model->fails = {{"cuMemHostRegister_v2", 800}, {"cuMemAlloc_v2", 2}};
    std::string refused = text(gpu.cuda(), nullptr);
    CHECK(refused.find("queue in mapped host memory: no: CUDA_ERROR_NOT_PERMITTED (800)") == 0);
    CHECK(refused.find("value in GPU memory: no: unknown error (2)\n") != std::string::npos);
    gpu.model->fails = {{"cuMemcpyDtoHAsync_v2", 719}};
    refused = text(gpu.cuda(), nullptr);
    CHECK(refused.find("queue in GPU memory: no: unknown error (719)\n") != std::string::npos);
    gpu.model->fails = {{"cuMemGetHandleForAddressRange", 801}};
    refused = text(gpu.cuda(), nullptr);
    CHECK(refused.find("queue in GPU memory: no: unknown error (801)\n") != std::string::npos);
    CHECK(refused.find("value in GPU memory: no: unknown error (801)\n") != std::string::npos);
    gpu.model->loses_words = true;
    gpu.model->fails.clear();
    CHECK(
        text(gpu.cuda(), nullptr).find("queue in GPU memory: no: the driver stores no words for kernels that run\n") !=
        std::string::npos);
    CHECK(gpu.model->allocated.empty());
    gpu.model->attributes.erase(124);
    CHECK(text(gpu.cuda(), nullptr).find("value in GPU memory: no: the driver or the device exports no dma-buf\n") !=
          std::string::npos);
  }

  TEST_CASE("what_works: a BAR of the caller's is tried") {
    nkv_test::modelled gpu;
    const auto page = host::region::create(4096);
    REQUIRE(page);
    const host::doorbell_bar bar{reinterpret_cast<std::uint32_t*>(page->data()), 4096};
    const auto with_bar = [&] { return describe(what_works(gpu.cuda(), "", nullptr, soon(), bar)); };
    CHECK(with_bar().find("doorbell in PCIe BAR: yes\n") != std::string::npos);
    CHECK(gpu.model->registered.empty());
    gpu.model->fails = {{"cuMemHostRegister_v2", 800}};
    CHECK(with_bar().find("doorbell in PCIe BAR: no: CUDA_ERROR_NOT_PERMITTED (800): I/O memory") != std::string::npos);
    CHECK(describe(what_works(nullptr, "no device", nullptr, soon(), bar))
              .find("doorbell in PCIe BAR: no: no device\n") != std::string::npos);
  }
}
