// SPDX-License-Identifier: BSD-3-Clause
//
// Against the model of support/model_gpu.hpp: what we ask of a driver and what we make of its answers, not a GPU.
#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/gpu_driver.hpp>
#include <nkv/host/memory/region.hpp>
#include <nkv/host/memory/shared_library.hpp>
#include <support/modelled_gpu.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

using namespace nkv;
using host::cuda_driver;
using host::gpu_memory_kind;
using host::host_range;
using host::region;
using host::remote_writes;

TEST_SUITE("host/memory/cuda_driver") {
  TEST_CASE("open: no library, one without the functions, no device -> each its own status and words") {
    nkv_test::modelled gpu;
    std::string why;
    CHECK(cuda_driver::open({0, "libnkv-is-not-there.so.1"}, why).error() == status(client_status::not_found));
    CHECK(why.find("libnkv-is-not-there.so.1 is not there: ") == 0);
    CHECK(cuda_driver::open({0, "libc.so.6"}, why).error() == status(client_status::unsupported));
    CHECK(why == "libc.so.6 has no function cuInit");
    gpu.model->devices = 0;
    CHECK(cuda_driver::open({0, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    CHECK(why == "no device");
    gpu.model->devices = 2;
    CHECK(cuda_driver::open({2, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    CHECK(why == "no device 2 of 2");
    CHECK(cuda_driver::open({-1, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    gpu.model->fails = {{"cuInit", 100}};
    CHECK(cuda_driver::open({0, NKV_MODEL_GPU}, why).error() == status(client_status::not_found));
    CHECK(why == "cuInit: CUDA_ERROR_NO_DEVICE (100)");
    gpu.model->fails = {{"cuDevicePrimaryCtxRetain", 2}};
    const auto refused = cuda_driver::open({0, NKV_MODEL_GPU}, why);
    CHECK(refused.error() == status(client_status::driver_error));
    CHECK(refused.error().detail() == 2);
    CHECK(why == "cuDevicePrimaryCtxRetain: unknown error (2)");
    CHECK(gpu.model->retained == 0);
  }

  TEST_CASE("open: facts as the attributes have them; the context is given back at the end") {
    nkv_test::modelled gpu;
    {
      const auto d = gpu.cuda();
      CHECK(gpu.model->retained == 1);
      CHECK(d->facts().name == "Model GPU");
      CHECK(d->facts().maps_host_memory);
      CHECK(d->facts().exports_dma_buf);
      CHECK(d->facts().writes == remote_writes::owner);
    }
    CHECK(gpu.model->retained == 0);
    gpu.model->attributes = {{118, 200}};
    CHECK(gpu.cuda()->facts().writes == remote_writes::all_devices);
    CHECK(!gpu.cuda()->facts().maps_host_memory);
    CHECK(!gpu.cuda()->facts().exports_dma_buf);
    gpu.model->attributes = {{118, 0}};
    CHECK(gpu.cuda()->facts().writes == remote_writes::unordered);
  }

  TEST_CASE("register_host: flags by what is registered; a refusal by the driver's name; no context is left behind") {
    nkv_test::modelled gpu;
    gpu.model->device_offset = 0x1000000;
    const auto d = gpu.cuda();
    const auto page = region::create(4096);
    REQUIRE(page);
    const auto there = d->register_host(page->data(), 4096, host_range::memory);
    REQUIRE(there);
    CHECK(reinterpret_cast<std::uintptr_t>(*there) == reinterpret_cast<std::uintptr_t>(page->data()) + 0x1000000);
    CHECK(gpu.model->last_flags == 3);
    const auto twice = d->register_host(page->data(), 4096, host_range::memory);
    CHECK(twice.error().detail() == 712);
    CHECK(d->describe(twice.error()).find("CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED (712): ") == 0);
    CHECK(d->unregister_host(page->data()) == status());
    CHECK(gpu.model->registered.empty());
    REQUIRE(d->register_host(page->data(), 4096, host_range::io_memory));
    CHECK(gpu.model->last_flags == 7);
    CHECK(d->unregister_host(page->data()) == status());
    gpu.model->fails = {{"cuMemHostRegister_v2", 800}};
    const auto refused = d->register_host(page->data(), 4096, host_range::io_memory);
    CHECK(d->describe(refused.error()) ==
          "CUDA_ERROR_NOT_PERMITTED (800): I/O memory is mapped for root alone, or with the driver's "
          "PeerMappingOverride=1");
    gpu.model->fails = {{"cuMemHostGetDevicePointer_v2", 1}};
    CHECK(!d->register_host(page->data(), 4096, host_range::memory));
    CHECK(gpu.model->registered.empty());
    gpu.model->fails = {{"cuCtxPushCurrent_v2", 201}};
    CHECK(d->register_host(page->data(), 4096, host_range::memory).error().detail() == 201);
    CHECK(gpu.model->pushed == 0);
  }

  TEST_CASE("allocate, export_dma_buf, free: a descriptor of its own, nothing left after a failure") {
    nkv_test::modelled gpu;
    const auto d = gpu.cuda();
    const auto at = d->allocate(8192, gpu_memory_kind::plain);
    REQUIRE(at);
    const auto shared = d->export_dma_buf(*at, 8192);
    REQUIRE(shared);
    CHECK(shared->fd.valid());
    CHECK(shared->offset_bytes == 0);
    CHECK(d->free(*at) == status());
    CHECK(d->free(*at).detail() == 1);
    gpu.model->fails = {{"cuPointerSetAttribute", 1}};
    CHECK(!d->allocate(8192, gpu_memory_kind::plain));
    CHECK(gpu.model->allocated.empty());
    gpu.model->attributes.erase(124);
    CHECK(gpu.cuda()->export_dma_buf(nullptr, 4096).error() == status(client_status::unsupported));
  }

  TEST_CASE(
      "clear, copy_in, copy_out, store_word: through the GPU, in a stream of their own that goes with the driver") {
    nkv_test::modelled gpu;
    gpu.model->no_host_access = true;
    gpu.model->fresh_byte = 0xee;
    {
      const auto d = gpu.cuda();
      CHECK(d->facts().stores_words);
      CHECK(gpu.model->open_streams.size() == 2);
      const auto at = d->allocate(8192, gpu_memory_kind::plain);
      REQUIRE(at);
      const std::uint32_t in[3] = {1, 2, 3};
      std::uint32_t out[4] = {};
      CHECK(d->copy_in(*at + 4096, in, sizeof in) == status());
      CHECK(d->store_word(reinterpret_cast<std::uint32_t*>(*at + 4100), 9) == status());
      CHECK(d->copy_out(out, *at + 4096, sizeof out) == status());
      CHECK(out[0] == 1);
      CHECK(out[1] == 9);
      CHECK(out[2] == 3);
      CHECK(out[3] == 0xeeeeeeee);
      CHECK(d->clear(*at + 4096, 16) == status());
      CHECK(d->copy_out(out, *at + 4096, sizeof out) == status());
      for (const std::uint32_t word : out) CHECK(word == 0);
      gpu.model->fails = {{"cuMemsetD8Async", 1}, {"cuMemcpyHtoDAsync_v2", 2}, {"cuMemcpyDtoHAsync_v2", 3}};
      gpu.model->fails["cuStreamWriteValue32_v2"] = 4;
      CHECK(d->clear(*at, 16).detail() == 1);
      CHECK(d->copy_in(*at, in, sizeof in).detail() == 2);
      CHECK(d->copy_out(out, *at, sizeof out).detail() == 3);
      CHECK(d->store_word(reinterpret_cast<std::uint32_t*>(*at), 9).detail() == 4);
      gpu.model->fails = {{"cuStreamSynchronize", 719}};
      CHECK(d->copy_in(*at, in, sizeof in).detail() == 719);
      CHECK(gpu.model->pushed == 0);
      gpu.model->fails.clear();
      CHECK(d->free(*at) == status());
    }
    CHECK(gpu.model->open_streams.empty());
    std::string why;
    gpu.model->fails = {{"cuStreamCreate", 2}};
    CHECK(cuda_driver::open({0, NKV_MODEL_GPU}, why).error().detail() == 2);
    CHECK(why == "cuStreamCreate: unknown error (2)");
    CHECK(gpu.model->retained == 0);
  }

  TEST_CASE("free: a word that is still to be stored is stored before, and nowhere else") {
    nkv_test::modelled gpu;
    gpu.model->stream_stalls = true;
    const auto d = gpu.cuda();
    const auto at = d->allocate(4096, gpu_memory_kind::plain);
    REQUIRE(at);
    CHECK(d->store_word(reinterpret_cast<std::uint32_t*>(*at), 9) == status());
    CHECK(gpu.model->waiting.size() == 1);  // asked for, and not waited for
    CHECK(d->free(*at) == status());
    CHECK(gpu.model->stored_nowhere == 0);
  }

  TEST_CASE("flush_remote_writes: asked of the driver where writes are unordered, and there alone") {
    nkv_test::modelled gpu;
    CHECK(gpu.cuda()->flush_remote_writes() == status());
    CHECK(gpu.model->flushes == 0);
    gpu.model->attributes[118] = 0;
    CHECK(gpu.cuda()->flush_remote_writes() == status());
    CHECK(gpu.model->flushes == 1);
    gpu.model->attributes[117] = 2;
    CHECK(gpu.cuda()->flush_remote_writes() == status(client_status::unsupported));
  }
}
