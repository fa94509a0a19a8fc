// SPDX-License-Identifier: BSD-3-Clause
//
// Against the model of support/model_gpu.hpp: what we ask of a driver and what we make of its answers, not a GPU.
#include <nkv/host/memory/hip_driver.hpp>
#include <nkv/host/memory/region.hpp>
#include <support/modelled_gpu.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace nkv;
using host::gpu_memory_kind;
using host::hip_driver;
using host::host_range;

TEST_SUITE("host/memory/hip_driver") {
  TEST_CASE("open: no library, one without the functions, no device -> each its own status and words") {
    nkv_test::modelled gpu;
    std::string why;
    CHECK(hip_driver::open({0, "libnkv-is-not-there.so"}, why).error() == status(client_status::not_found));
    CHECK(why.find("libnkv-is-not-there.so is not there: ") == 0);
    CHECK(hip_driver::open({0, "libc.so.6"}, why).error() == status(client_status::unsupported));
    CHECK(why == "libc.so.6 has no function hipInit");
    gpu.model->devices = 0;
    CHECK(hip_driver::open({0, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    CHECK(why == "no device");
    gpu.model->fails = {{"hipInit", 101}};  // as ROCm 5.2 has it on a machine without a GPU
    CHECK(hip_driver::open({0, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    CHECK(why == "hipInit: unknown error (101)");
    gpu.model->fails = {{"hipInit", 1}};
    const auto refused = hip_driver::open({0, NKV_MODEL_GPU}, why);
    CHECK(refused.error() == status(client_status::driver_error));
    CHECK(why == "hipInit: hipErrorInvalidValue (1)");
  }

  TEST_CASE("open: host memory is tried, and the thread's device is as before") {
    nkv_test::modelled gpu;
    CHECK(gpu.hip()->facts().maps_host_memory);
    CHECK(gpu.hip()->facts().same_address);
    CHECK(gpu.hip()->facts().exports_dma_buf);
    CHECK(gpu.model->hip_registered.empty());
    CHECK(gpu.model->device == 7);
    gpu.model->fails = {{"hipHostRegister", 1}};
    CHECK(!gpu.hip()->facts().maps_host_memory);
    gpu.model->fails = {{"hipHostGetDevicePointer", 1}};
    CHECK(!gpu.hip()->facts().maps_host_memory);
    CHECK(gpu.model->hip_registered.empty());
    CHECK(gpu.model->device == 7);
    std::string why;
    const auto without_hsa = hip_driver::open({0, NKV_MODEL_GPU, "libnkv-is-not-there.so"}, why);
    REQUIRE(without_hsa);
    CHECK(!(*without_hsa)->facts().exports_dma_buf);
    CHECK((*without_hsa)->export_dma_buf(nullptr, 4096).error() == status(client_status::unsupported));
  }

  TEST_CASE("allocate: the kind that was asked for; export_dma_buf: HSA's offset, and its failures by their numbers") {
    nkv_test::modelled gpu;
    gpu.model->dma_buf_offset = 4096;
    const auto d = gpu.hip();
    const auto plain = d->allocate(8192, gpu_memory_kind::plain);
    REQUIRE(plain);
    CHECK(gpu.model->last_flags == 0);
    CHECK(d->free(*plain) == status());
    const auto fine = d->allocate(8192, gpu_memory_kind::fine_grained);
    REQUIRE(fine);
    CHECK(gpu.model->last_flags == 1);
    const auto shared = d->export_dma_buf(*fine, 8192);
    REQUIRE(shared);
    CHECK(shared->offset_bytes == 4096);
    gpu.model->fails = {{"hsa_amd_portable_export_dmabuf", 0x1008}};
    CHECK(d->describe(d->export_dma_buf(*fine, 8192).error()) == "HSA status 4104");
    CHECK(d->free(*fine) == status());
    CHECK(d->describe(d->free(*fine)) == "hipErrorInvalidValue (1)");
  }

  TEST_CASE("clear, copy_in, copy_out, store_word, free: as the other driver's, on the device that was asked for") {
    nkv_test::modelled gpu;
    gpu.model->no_host_access = true;
    gpu.model->fresh_byte = 0xee;
    {
      const auto d = gpu.hip();
      CHECK(d->facts().stores_words);
      CHECK(gpu.model->open_streams.size() == 2);
      const auto at = d->allocate(4096, gpu_memory_kind::fine_grained);
      REQUIRE(at);
      const std::uint32_t in[3] = {1, 2, 3};
      std::uint32_t out[4] = {};
      CHECK(d->copy_in(*at, in, sizeof in) == status());
      gpu.model->stream_stalls = true;
      CHECK(d->store_word(reinterpret_cast<std::uint32_t*>(*at) + 1, 9) == status());
      CHECK(gpu.model->waiting.size() == 1);  // asked for, and not waited for
      CHECK(d->copy_out(out, *at, sizeof out) == status());
      CHECK(out[1] == 9);
      CHECK(out[2] == 3);
      CHECK(out[3] == 0xeeeeeeee);
      CHECK(d->clear(*at, 16) == status());
      CHECK(d->copy_out(out, *at, sizeof out) == status());
      for (const std::uint32_t word : out) CHECK(word == 0);
      CHECK(d->copy_in(nullptr, in, 1).detail() == 1);
      CHECK(d->store_word(reinterpret_cast<std::uint32_t*>(*at), 9) == status());
      CHECK(d->free(*at) == status());
      CHECK(gpu.model->stored_nowhere == 0);
      CHECK(gpu.model->device == 7);
    }
    CHECK(gpu.model->open_streams.empty());
  }

  TEST_CASE("register_host: I/O memory is locked by HSA into the host's fine-grained pool, other memory by HIP") {
    nkv_test::modelled gpu;
    gpu.model->device_offset = 0x10000;
    const auto d = gpu.hip();
    const auto page = nkv::host::region::create(4096);
    REQUIRE(page);
    const auto there = d->register_host(page->data(), 4096, host_range::io_memory);
    REQUIRE(there);
    CHECK(reinterpret_cast<std::uintptr_t>(*there) == reinterpret_cast<std::uintptr_t>(page->data()) + 0x10000);
    CHECK(gpu.model->hsa_locked.size() == 1);
    CHECK(gpu.model->hip_registered.empty());
    CHECK(d->unregister_host(page->data()) == status());
    CHECK(gpu.model->hsa_locked.empty());
    CHECK(d->unregister_host(page->data()).detail() == 713);  // HIP's: it is not locked any more
    REQUIRE(d->register_host(page->data(), 4096, host_range::memory));
    CHECK(gpu.model->hip_registered.size() == 1);
    CHECK(gpu.model->hsa_locked.empty());
    CHECK(d->unregister_host(page->data()) == status());
    gpu.model->fails = {{"hsa_amd_memory_lock_to_pool", 0x1008}};
    CHECK(d->describe(d->register_host(page->data(), 4096, host_range::io_memory).error()) == "HSA status 4104");
    std::string why;
    const auto without_hsa = hip_driver::open({0, NKV_MODEL_GPU, "libnkv-is-not-there.so"}, why);
    REQUIRE(without_hsa);
    REQUIRE((*without_hsa)->register_host(page->data(), 4096, host_range::io_memory));
    CHECK(gpu.model->last_flags == 6);
    CHECK((*without_hsa)->unregister_host(page->data()) == status());
  }

  TEST_CASE("flush_remote_writes: HSA's register of the GPU is written; where there is none -> unsupported") {
    nkv_test::modelled gpu;
    CHECK(gpu.hip()->facts().flushes_remote_writes);
    CHECK(gpu.model->allocated.empty());
    CHECK(gpu.model->hdp_flush == 0);
    CHECK(gpu.hip()->flush_remote_writes() == status());
    CHECK(gpu.model->hdp_flush == 1);
    gpu.model->has_hdp_flush = false;
    CHECK_FALSE(gpu.hip()->facts().flushes_remote_writes);
    CHECK(gpu.hip()->flush_remote_writes() == status(client_status::unsupported));
    gpu.model->has_hdp_flush = true;
    std::string why;
    const auto without_hsa = hip_driver::open({0, NKV_MODEL_GPU, "libnkv-is-not-there.so"}, why);
    REQUIRE(without_hsa);
    CHECK((*without_hsa)->flush_remote_writes() == status(client_status::unsupported));
  }
}
