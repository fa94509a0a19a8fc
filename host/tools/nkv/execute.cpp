// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"
#include "nkv/command.hpp"
#include "nkv/input.hpp"

#include <nkv/target/byte_size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace tools {

void add_execute(CLI::App& app, program& p) {
  struct arguments {
    std::uint32_t op = 0;
    std::string key;
    std::string file;
    std::string result_max = "1MiB";
  };
  CLI::App* command =
      app.add_subcommand("execute", "Run an operation that the target offers on a key's value, and print its result");
  const auto a = std::make_shared<arguments>();
  command->add_option("OP", a->op, "The operation's number")->required();
  command->add_option("KEY", a->key, "The key")->required();
  command->add_option("FILE", a->file, "The operation's input; -: standard input; nothing: none");
  command->add_option("--result-max", a->result_max, "Room for the result; a longer one is an error")
      ->capture_default_str()
      ->type_name("SIZE");
  command->callback([a, &p] {
    p.run = [a, &p] {
      if (p.options.json) throw failure(exit_usage, "execute has no --json: the result is what it prints");
      const auto room = nkv::target::parse_byte_size(a->result_max);
      if (!room || *room > 0xffffffffu)
        throw failure(exit_usage, "--result-max: expected a size, got " + a->result_max);
      const nkv::key key = typed_key(a->key, p.options);
      const session s(p.options);
      const std::uint64_t input_at = nkv::execute_input_offset(key);
      const std::uint64_t result_at = nkv::execute_result_offset(s.profile(), key);
      session::value input;
      if (a->file.empty()) {
        input.memory = s.allocate(input_at);
      } else {
        input = read_input(s, a->file, input_at, s.longest_value(key.size()));
      }
      // The buffer is as long as what is sent or what may come back, whichever is more: some targets take all of it for
      // input, so no longer.
      const std::uint64_t length = std::max(input_at + input.length_bytes, result_at + *room);
      if (length > input.memory.size_bytes()) {
        nkv::host::registration larger = s.allocate(length);
        std::memcpy(larger.data(), input.memory.data(), static_cast<std::size_t>(input_at + input.length_bytes));
        input.memory = std::move(larger);
      }
      const nkv::operation op =
          nkv::operation::execute(a->op, key, {input.memory.value().address, length}, input.memory.data(),
                                  static_cast<std::uint32_t>(input.length_bytes), static_cast<std::uint32_t>(*room));
      const nkv::outcome o = s.run(op);
      const std::uint64_t there = std::min(o.length_known ? o.length_bytes : *room, *room);
      write_output("-", {input.memory.data() + result_at, static_cast<std::size_t>(there)});
    };
  });
}

}  // namespace tools
