// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/model_gpu.hpp>

#include <doctest/doctest.h>
#include <nkv/host/memory/cuda_driver.hpp>
#include <nkv/host/memory/hip_driver.hpp>
#include <nkv/host/memory/shared_library.hpp>

#include <memory>
#include <string>

namespace nkv_test {

/// The model as a driver of either vendor, fresh for each test.
class modelled {
 public:
  modelled() {
    const char* names[] = {NKV_MODEL_GPU};
    const auto library = nkv::host::shared_library::open(names, why);
    REQUIRE_MESSAGE(library.valid(), why);
    model_gpu* (*state)() = nullptr;
    REQUIRE(library.find(state, "nkv_model_gpu_state"));
    model = state();
    *model = model_gpu{};
  }
  [[nodiscard]] std::shared_ptr<nkv::host::gpu_driver> cuda() const {
    auto d = nkv::host::cuda_driver::open({0, NKV_MODEL_GPU}, why);
    REQUIRE_MESSAGE(d, why);
    return *d;
  }
  [[nodiscard]] std::shared_ptr<nkv::host::gpu_driver> hip() const {
    auto d = nkv::host::hip_driver::open({0, NKV_MODEL_GPU, NKV_MODEL_GPU}, why);
    REQUIRE_MESSAGE(d, why);
    return *d;
  }

  model_gpu* model = nullptr;
  mutable std::string why;
};

}  // namespace nkv_test
