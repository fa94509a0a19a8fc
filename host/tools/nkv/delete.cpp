// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/command.hpp"

#include <fmt/format.h>

#include <memory>

namespace tools {

void add_delete(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("delete", "Delete a key; most targets do not say whether it was there");
  const auto key = std::make_shared<std::string>();
  command->add_option("KEY", *key, "The key")->required();
  command->callback([key, &p] {
    p.run = [key, &p] {
      const nkv::key k = typed_key(*key, p.options);
      const session s(p.options);
      s.run(nkv::operation::remove(k));
      if (p.options.json) fmt::print("{}\n", json_of(k).dump());
    };
  });
}

}  // namespace tools
