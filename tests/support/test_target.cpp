// SPDX-License-Identifier: BSD-3-Clause
//
// nkv_test_target FOLDER SHAPE: serves an embedded target at vfio-user:FOLDER until its standard input ends. Says
// `ready` when it does. The shapes are in support/target_shapes.hpp.
#include <support/target_shapes.hpp>

#include <nkv/host/describe.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/vfio_user/server.hpp>

#include <unistd.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const nkv_test::target_shape shape = nkv_test::target_shape::named(argv[2]);
  if (shape.subsystem == nullptr) {
    std::printf("no shape %s\n", argv[2]);
    return 2;
  }
  nkv::target::poller poller;
  if (const nkv::status s = poller.start(); !s.ok()) {
    std::printf("the poller: %s\n", nkv::host::describe(s).c_str());
    return 1;
  }
  nkv::target::vfio_user::server_options options;
  options.connection.controller = shape.controller;
  nkv::target::vfio_user::server server(shape.subsystem, poller, options);
  if (const nkv::status s = server.start(argv[1]); !s.ok()) {
    std::printf("%s: %s\n", argv[1], nkv::host::describe(s).c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
  server.stop();
  poller.stop();
  return 0;
}
