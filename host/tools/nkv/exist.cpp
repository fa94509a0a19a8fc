// SPDX-License-Identifier: BSD-3-Clause
#include "common/key_text.hpp"
#include "nkv/command.hpp"
#include "nkv/in_flight.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace tools {

namespace {

constexpr std::size_t depth = 64;

struct answer {
  bool exists = false;
  nkv::outcome outcome;
};

std::vector<answer> ask(const session& s, const std::vector<nkv::key>& keys) {
  std::vector<answer> answers(keys.size());
  std::size_t next = 0;
  in_flight window(s, depth);
  window.run(
      [&](std::size_t) -> std::optional<nkv::operation> {
        if (next == keys.size()) return std::nullopt;
        const std::size_t i = next++;
        return nkv::operation::exist(keys[i], i);
      },
      [&](std::size_t, const nkv::operation& op, const nkv::outcome& o) {
        if (!o.ok() && !o.status.is_key_does_not_exist()) throw s.failure_of(o, op);
        answers[op.user_tag] = {o.ok(), o};
      });
  return answers;
}

}  // namespace

void add_exist(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("exist", "Say which keys exist; exit 1 unless all do");
  const auto typed = std::make_shared<std::vector<std::string>>();
  command->add_option("KEY", *typed, "The keys")->required();
  command->callback([typed, &p] {
    p.run = [typed, &p] {
      std::vector<nkv::key> keys;
      for (const std::string& text : *typed) keys.push_back(typed_key(text, p.options));
      const session s(p.options);
      const std::vector<answer> answers = ask(s, keys);
      nlohmann::json list = nlohmann::json::array();
      for (std::size_t i = 0; i < keys.size(); ++i) {
        const answer& a = answers[i];
        if (p.options.json) {
          nlohmann::json one = json_of(keys[i]);
          one["exists"] = a.exists;
          if (a.outcome.length_known) one["length_bytes"] = a.outcome.length_bytes;
          list.push_back(std::move(one));
        } else if (!p.options.quiet) {
          fmt::print("{}\t{}\n", a.exists ? "yes" : "no", text_of(keys[i]));
        }
      }
      if (p.options.json) fmt::print("{}\n", nlohmann::json{{"keys", list}}.dump());
      const auto missing = std::count_if(answers.begin(), answers.end(), [](const answer& a) { return !a.exists; });
      // The answer stands above; the exit code alone says it again.
      if (missing != 0) throw failure(exit_unmet, "");
    };
  });
}

}  // namespace tools
