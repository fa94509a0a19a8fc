// SPDX-License-Identifier: BSD-3-Clause
//
// nkv_foreign_server FOLDER [--mode NAME[,NAME...]]: a vfio-user server with a KV controller that is not the library's,
// at FOLDER/cntrl, until its standard input ends. Says `ready` when it listens. The names are in
// support/foreign_modes.hpp. Where there is a file FOLDER/lies it lies as that says: support/foreign_lies.hpp.
//
// Exit status: 0 the standard input ended, 1 an error, 2 usage, 3 somebody probed a server that ends then.
#include <support/foreign_server.hpp>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  nkv_test::foreign::modes modes;
  if (argc != 2 && !(argc == 4 && std::string(argv[2]) == "--mode")) {
    std::printf("nkv_foreign_server FOLDER [--mode NAME[,NAME...]]\n");
    return 2;
  }
  if (argc == 4) {
    if (const std::string unknown = modes.parse(argv[3]); !unknown.empty()) {
      std::printf("no mode %s\n", unknown.c_str());
      return 2;
    }
  }
  nkv_test::foreign::server server(modes);
  if (const std::string error = server.start(argv[1]); !error.empty()) {
    std::printf("%s\n", error.c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  switch (server.serve(0)) {
    case nkv_test::foreign::server::end::stopped: return 0;
    case nkv_test::foreign::server::end::probed: return 3;
    default: return 1;
  }
}
