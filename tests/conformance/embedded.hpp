// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/target_process.hpp>
#include <support/target_shapes.hpp>

#include <nkv/host/describe.hpp>
#include <nkv/target/inproc_server.hpp>

#include <memory>
#include <string>

namespace nkv_test {

/// An embedded target for a run of the suite without one of its own.
class embedded_target {
 public:
  /// @param how inproc: in this process; vfio-user: in another
  /// @param[out] endpoint where it is
  /// @return what went wrong; empty for nothing
  std::string start(const std::string& how, const std::string& shape, std::string& endpoint) {
    if (how == "vfio-user") {
      endpoint = "vfio-user:" + folder_.path();
      return process_.start(NKV_TEST_TARGET, shape, folder_.path());
    }
    const target_shape made = target_shape::named(shape);
    if (made.subsystem == nullptr) return "no shape " + shape;
    nkv::target::inproc_server_options options;
    options.controller = made.controller;
    server_ = std::make_unique<nkv::target::inproc_server>("conformance", made.subsystem, options);
    endpoint = "inproc:conformance";
    return server_->error().ok() ? std::string() : nkv::host::describe(server_->error());
  }

 private:
  temporary_folder folder_;
  target_process process_;
  std::unique_ptr<nkv::target::inproc_server> server_;
};

}  // namespace nkv_test
