// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"
#include "common/key_text.hpp"
#include "common/table.hpp"
#include "nkv/command.hpp"
#include "nkv/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace tools {

namespace {

struct list_arguments {
  std::string start;
  std::uint64_t count = 0;
  bool paths = false;
  std::string manifest_key{manifest::default_key};
};

/// Calls `each(key)` with no command under way, so that it may take its time: a terminal may be in no hurry.
template <class Each>
void for_each_key(const session& s, const list_arguments& a, Each&& each) {
  constexpr std::size_t at_once = 16384;
  const bool in_pieces = s.profile().quirks.list_continues;
  nkv::key start = a.start.empty() ? nkv::key{} : typed_key(a.start, s.options());
  std::uint64_t given = 0;
  std::vector<nkv::key> keys;
  for (bool first = true;; first = false) {
    keys.clear();
    const nkv::key begin = start;
    const nkv::outcome o = s.ns().for_each_key(
        begin,
        [&](nkv::key_view key) {
          // The start is inclusive, and the last piece's last key is this one's.
          if (!first && key == begin.view()) return true;
          keys.push_back(*nkv::key::from(key));
          return !in_pieces || keys.size() < at_once;
        },
        s.options().deadline());
    if (!o.ok()) throw s.failure_of(o, nkv::operation::list(begin, {}, nullptr));
    for (const nkv::key& key : keys) {
      each(key);
      if (++given == a.count) return;
    }
    if (!in_pieces || keys.size() < at_once) return;
    start = keys.back();
  }
}

void list_keys(const session& s, const list_arguments& a) {
  const bool json = s.options().json;
  const bool hex = s.options().hex_keys;
  std::uint64_t count = 0;
  if (json) fmt::print("{{\"keys\":[");
  for_each_key(s, a, [&](const nkv::key& key) {
    if (json) {
      fmt::print("{}{}", count == 0 ? "" : ",\n", json_of(key).dump());
    } else if (hex) {
      fmt::print("{}\n", hex_of(key));
    } else {
      fmt::print("{}\n", text_of(key));
    }
    ++count;
  });
  if (json) fmt::print("],\"count\":{}}}\n", count);
}

std::string printable(const std::string& path) {
  std::string out = path;
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c == 0x7f; }, '?');
  return out;
}

/// The manifest's files, with what the listing says of their keys; then the keys that are no file's.
void list_paths(const session& s, const list_arguments& a) {
  const nkv::key manifest_key = typed_key(a.manifest_key, global_options{});
  const std::optional<manifest> m = load_manifest(s, manifest_key);
  if (!m)
    throw failure(exit_unmet,
                  fmt::format("there is no manifest under the key {}: nothing was imported", a.manifest_key));
  std::set<std::string> there;
  for_each_key(s, a, [&](const nkv::key& key) { there.insert(hex_of(key)); });

  table out({{"size", table::align::right}, {"path"}});
  nlohmann::json files = nlohmann::json::array();
  nlohmann::json others = nlohmann::json::array();
  std::set<std::string> named{hex_of(manifest_key)};
  for (const nkv::key& part : m->parts) named.insert(hex_of(part));
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (const manifest_entry& e : m->entries) {
    const std::string hex = hex_of(e.key);
    named.insert(hex);
    const bool exists = there.count(hex) != 0;
    // A listing that begins late or ends early says nothing of the others.
    if (!exists && (!a.start.empty() || a.count != 0)) continue;
    out.add({human_bytes(e.size_bytes), printable(e.path) + (exists ? "" : "  (its key does not exist)")});
    if (s.options().json) {
      nlohmann::json one = json_of(e.key);
      one["path"] = e.path;
      one["size"] = e.size_bytes;
      one["hash"] = hex_of(e.hash);
      one["exists"] = exists;
      files.push_back(std::move(one));
    }
    bytes += e.size_bytes;
    ++count;
  }
  std::size_t more = 0;
  for (const std::string& hex : there) {
    if (named.count(hex) != 0) continue;
    const nkv::result<nkv::key> key = nkv::key::from_hex({hex.data(), hex.size()});
    out.add({"", "key " + text_of(*key)});
    if (s.options().json) others.push_back(json_of(*key));
    ++more;
  }
  if (s.options().json) {
    const nlohmann::json all = {{"files", files}, {"other_keys", others}};
    fmt::print("{}\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", out.text());
  if (!s.options().quiet) {
    fmt::print(stderr, "{} files, {}", human_count(count), human_bytes(bytes));
    if (more != 0) fmt::print(stderr, "; {} other keys", human_count(more));
    fmt::print(stderr, "\n");
  }
}

}  // namespace

void add_list(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("list", "Print the keys, one a line");
  const auto a = std::make_shared<list_arguments>();
  command->add_option("START", a->start, "Begin with this key or the next one there is");
  command->add_option("--count", a->count, "At most so many keys")->type_name("N");
  command->add_flag("--paths", a->paths, "Print what import stored by its paths, with sizes, and then the other keys");
  command->add_option("--manifest", a->manifest_key, "The key of the manifest")
      ->capture_default_str()
      ->type_name("KEY");
  command->callback([a, &p] {
    p.run = [a, &p] {
      const session s(p.options);
      if (a->paths) {
        list_paths(s, *a);
      } else {
        list_keys(s, *a);
      }
    };
  });
}

}  // namespace tools
