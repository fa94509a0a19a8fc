// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"
#include "common/key_text.hpp"
#include "common/progress_bar.hpp"
#include "nkv/command.hpp"
#include "nkv/in_flight.hpp"
#include "nkv/manifest.hpp"
#include "nkv/slot_memory.hpp"
#include "nkv/tree.hpp"

#include <nkv/host/clock.hpp>
#include <nkv/kv/content_hash.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace tools {

namespace {

struct export_arguments {
  std::string folder;
  std::string manifest_key{manifest::default_key};
  unsigned depth = 32;
  bool force = false;
};

std::string shown(const std::string& path) {
  std::string out = path;
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

/// A list for a message, cut where it is long.
[[noreturn]] void refuse(const std::string& what, const std::vector<std::string>& paths, exit_code code) {
  constexpr std::size_t most = 20;
  std::string text = what;
  for (std::size_t i = 0; i < std::min(paths.size(), most); ++i) text += "\n  " + paths[i];
  if (paths.size() > most) text += fmt::format("\n  ... and {} more", paths.size() - most);
  throw failure(code, text, {{"paths", paths}});
}

/// Looks at the whole manifest before anything is written: it may be somebody else's.
void check(const session& s, const manifest& m) {
  std::vector<std::string> unsafe;
  std::vector<std::string> twice;
  std::vector<std::string> impossible;
  std::set<std::string> paths;
  for (const manifest_entry& e : m.entries) {
    if (!is_safe_path(e.path)) unsafe.push_back(shown(e.path));
    if (!paths.insert(e.path).second) twice.push_back(shown(e.path));
    if (!s.profile().check_key(e.key).ok() || e.size_bytes > s.longest_value(e.key.size()))
      impossible.push_back(shown(e.path));
  }
  if (!unsafe.empty())
    refuse("the manifest has paths that lead out of the folder; nothing was written:", unsafe, exit_refused);
  if (!twice.empty()) refuse("the manifest has paths twice; nothing was written:", twice, exit_refused);
  if (!impossible.empty())
    refuse("the manifest has keys or sizes that this namespace cannot hold; nothing was written:", impossible,
           exit_refused);
}

int run_export(const session& s, const export_arguments& a) {
  const std::uint64_t begin_ns = nkv::host::steady_clock::now_ns();
  const nkv::key manifest_key = typed_key(a.manifest_key, global_options{});
  const std::optional<manifest> m = load_manifest(s, manifest_key);
  if (!m)
    throw failure(exit_unmet,
                  fmt::format("there is no manifest under the key {}: nothing was imported", a.manifest_key));
  check(s, *m);
  const tree_writer out(a.folder);
  if (!a.force) {
    std::vector<std::string> there;
    for (const manifest_entry& e : m->entries)
      if (out.exists(e.path)) there.push_back(shown(e.path));
    if (!there.empty())
      refuse("there are files already; nothing was written (--force replaces them):", there, exit_local);
  }

  in_flight window(s, a.depth);
  slot_memory memory(s, window.depth());
  std::vector<std::pair<std::string, std::string>> failed;
  progress_bar bar(s.options().quiet || s.options().json ? progress_bar::style::none : progress_bar::on_terminal(),
                   "exporting", m->entries.size());
  std::size_t next = 0;
  std::size_t ended = 0;
  std::size_t written = 0;
  std::uint64_t written_bytes = 0;
  const auto one = [&](const manifest_entry& e, std::size_t slot, const nkv::operation& op,
                       const nkv::outcome& o) -> std::string {
    if (o.status.is_key_does_not_exist()) return "its key does not exist any more";
    if (o.status == nkv::status(nkv::client_status::value_too_large)) return "its value is longer than it was";
    if (!o.ok()) throw s.failure_of(o, op);
    if (o.length_known && o.length_bytes != e.size_bytes) return "its value is shorter than it was";
    const nkv::byte_span content{memory.of(slot).data(), static_cast<std::size_t>(e.size_bytes)};
    if (!(nkv::content_key(content).view() == e.hash.view())) return "its value is another than it was";
    return out.write(e.path, content, e.mode, a.force);
  };
  window.run(
      [&](std::size_t slot) -> std::optional<nkv::operation> {
        if (next == m->entries.size()) return std::nullopt;
        const manifest_entry& e = m->entries[next];
        if (!memory.has_room(e.size_bytes)) return std::nullopt;
        const nkv::host::registration& block = memory.take(slot, e.size_bytes);
        return nkv::operation::retrieve(e.key, {block.value().address, e.size_bytes}, {}, next++);
      },
      [&](std::size_t slot, const nkv::operation& op, const nkv::outcome& o) {
        const manifest_entry& e = m->entries[op.user_tag];
        std::string why = one(e, slot, op, o);
        memory.give_back(slot);
        if (why.empty()) {
          ++written;
          written_bytes += e.size_bytes;
        } else {
          failed.emplace_back(shown(e.path), std::move(why));
        }
        bar.update(++ended, written_bytes);
      });
  bar.clear();

  const double seconds = static_cast<double>(nkv::host::steady_clock::now_ns() - begin_ns) / 1e9;
  if (s.options().json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [path, why] : failed) list.push_back({{"path", path}, {"why", why}});
    const nlohmann::json report = {
        {"files", written}, {"bytes", written_bytes}, {"seconds", seconds}, {"failed", list}};
    fmt::print("{}\n", report.dump());
  } else {
    for (const auto& [path, why] : failed) fmt::print(stderr, "nkv: not exported: {}: {}\n", path, why);
    if (!s.options().quiet)
      fmt::print("exported {} files, {}, in {:.1f} s ({})\n", human_count(written), human_bytes(written_bytes), seconds,
                 human_rate(written_bytes, seconds));
  }
  return failed.empty() ? exit_ok : exit_partial;
}

}  // namespace

void add_export(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("export", "Write the files that were imported below a folder");
  const auto a = std::make_shared<export_arguments>();
  command->add_option("DIR", a->folder, "The folder; made where it is missing")->required();
  command->add_option("--manifest", a->manifest_key, "The key of the manifest")
      ->capture_default_str()
      ->type_name("KEY");
  command->add_option("--depth", a->depth, "Files under way at once")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1024u))
      ->type_name("N");
  command->add_flag("--force", a->force, "Replace files that are there already");
  command->callback([a, &p] {
    p.run = [a, &p] {
      const session s(p.options);
      p.result = run_export(s, *a);
    };
  });
}

}  // namespace tools
