// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/command.hpp"
#include "nkv/input.hpp"

#include <fmt/format.h>

#include <memory>

namespace tools {

void add_retrieve(CLI::App& app, program& p) {
  struct arguments {
    std::string key;
    std::string file = "-";
    nkv::retrieve_options how;
  };
  CLI::App* command = app.add_subcommand("retrieve", "Write a key's value to a file or to standard output");
  const auto a = std::make_shared<arguments>();
  command->add_option("KEY", a->key, "The key")->required();
  command->add_option("FILE", a->file,
                      "Where to; - or nothing: standard output. Left alone where there is no such key");
  command->add_flag("--raw", a->how.raw, "As it is stored, not decompressed");
  command->callback([a, &p] {
    p.run = [a, &p] {
      if (p.options.json && a->file == "-") throw failure(exit_usage, "retrieve --json needs a FILE for the value");
      const nkv::key key = typed_key(a->key, p.options);
      const session s(p.options);
      const session::value v = s.retrieve(key, a->how);
      write_output(a->file, v.bytes());
      if (p.options.json) {
        nlohmann::json out = json_of(key);
        out["length_bytes"] = v.length_bytes;
        fmt::print("{}\n", out.dump());
      }
    };
  });
}

}  // namespace tools
