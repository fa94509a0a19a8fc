// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"
#include "common/key_text.hpp"
#include "nkv/command.hpp"
#include "nkv/input.hpp"

#include <fmt/format.h>

#include <memory>

namespace tools {

void add_store(CLI::App& app, program& p) {
  struct arguments {
    std::string key;
    std::string file = "-";
    nkv::store_options how;
  };
  CLI::App* command = app.add_subcommand("store", "Store a value under a key, replacing what is there");
  const auto a = std::make_shared<arguments>();
  command->add_option("KEY", a->key, "The key")->required();
  CLI::Option* file = command->add_option("FILE", a->file, "The value; - or nothing: standard input");
  CLI::Option* must =
      command->add_flag("--must-exist", a->how.must_exist, "Only replace: exit 1 where the key does not exist");
  command->add_flag("--must-not-exist", a->how.must_not_exist, "Only create: exit 1 where the key exists")
      ->excludes(must);
  command->add_option("--ttl", a->how.ttl_s, "The key ceases to exist after so many seconds")
      ->type_name("SECONDS")
      ->check(CLI::Range(std::uint32_t{1}, ~std::uint32_t{0}));
  command->add_flag("--ephemeral", a->how.ephemeral, "The target may drop the value when it needs room");
  command->add_flag("--touch", a->how.touch, "Store nothing: restart the key's time to live, to --ttl where given")
      ->excludes(file);
  command->add_flag("--no-compress", a->how.no_compress, "Ask the target not to compress the value");
  command->callback([a, &p] {
    p.run = [a, &p] {
      const nkv::key key = typed_key(a->key, p.options);
      const session s(p.options);
      session::value v;
      if (!a->how.touch) v = read_input(s, a->file, 0, s.longest_value(key.size()));
      s.run(nkv::operation::store(key, {v.memory.value().address, v.length_bytes}, a->how));
      if (p.options.json) {
        nlohmann::json out = json_of(key);
        out["length_bytes"] = v.length_bytes;
        fmt::print("{}\n", out.dump());
      }
    };
  });
}

}  // namespace tools
