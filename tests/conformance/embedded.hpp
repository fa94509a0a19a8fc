// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/target_process.hpp>
#include <support/target_shapes.hpp>

#include <nkv/host/describe.hpp>
#include <nkv/target/inproc_server.hpp>

#include <memory>
#include <string>

namespace nkv_test {

/// A target for a run of the suite without one of its own.
class served_target {
 public:
  /// @param how   inproc: the embedded one in this process; vfio-user: in another; foreign: the server that is not ours
  /// @param shape of the embedded target, or the foreign server's modes
  /// @param[out] endpoint where it is
  /// @return what went wrong; empty for nothing
  std::string start(const std::string& how, const std::string& shape, std::string& endpoint) {
    if (how != "inproc") {
      endpoint = "vfio-user:" + folder_.path();
      if (how == "foreign") return process_.start(NKV_FOREIGN_SERVER, {folder_.path(), "--mode", shape});
      return process_.start(NKV_TEST_TARGET, {folder_.path(), shape});
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
