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

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace tools {

namespace {

struct import_arguments {
  std::string folder;
  std::string prefix;
  std::string manifest_key{manifest::default_key};
  unsigned depth = 32;
  bool skip_too_large = false;
  bool replace_manifest = false;
};

nkv::byte_span bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// The key of a file: its path, where the namespace carries that and it is not the manifest's own; else the path's
/// hash.
nkv::key key_for(const session& s, std::string_view path, nkv::key_view manifest_key) {
  const nkv::result<nkv::key> whole = nkv::key::from(nkv::key_view(bytes_of(path)));
  if (whole && s.profile().check_key(*whole).ok() && !(whole->view() == manifest_key)) return *whole;
  return nkv::content_key(bytes_of(path));
}

class importer {
 public:
  importer(const session& s, const import_arguments& a)
      : s_(s), a_(a), manifest_key_(typed_key(a.manifest_key, global_options{})) {}

  int run() {
    const std::uint64_t begin_ns = nkv::host::steady_clock::now_ns();
    if (s_.profile().longest_key_bytes() < nkv::content_key_bytes)
      throw failure(exit_refused, "keys of this namespace are shorter than the 16 bytes that a hash takes");
    listing_ = list_tree(a_.folder);
    plan();
    manifest before = old_manifest();
    store_files();
    if (files_.empty() && !listing_.files.empty()) return report(begin_ns);
    manifest after = merged(before);
    save_manifest(s_, manifest_key_, after);
    drop_parts(before, after);
    return report(begin_ns);
  }

 private:
  struct planned {
    const tree_file* file = nullptr;
    std::string path;
    nkv::key key;
  };
  struct in_slot {
    std::size_t index = 0;
    nkv::key hash;
    std::uint64_t size_bytes = 0;
  };

  void plan() {
    std::vector<const tree_file*> too_large;
    std::map<std::string, std::string> taken;
    for (const tree_file& file : listing_.files) {
      planned p{&file, a_.prefix + file.path, {}};
      p.key = key_for(s_, p.path, manifest_key_);
      if (file.size_bytes > s_.longest_value(p.key.size())) {
        too_large.push_back(&file);
        continue;
      }
      const auto [at, fresh] = taken.emplace(hex_of(p.key), p.path);
      if (!fresh) throw failure(exit_refused, fmt::format("{} and {} have the same key", at->second, p.path));
      total_bytes_ += file.size_bytes;
      planned_.push_back(std::move(p));
    }
    if (too_large.empty()) return;
    const std::uint64_t most = s_.longest_value(nkv::content_key_bytes);
    if (a_.skip_too_large) {
      for (const tree_file* file : too_large) too_large_.push_back({file->path, human_bytes(file->size_bytes)});
      return;
    }
    std::string text =
        fmt::format("{} of the files are longer than a value may be ({}); nothing was imported:", too_large.size(),
                    human_bytes(most));
    nlohmann::json list = nlohmann::json::array();
    for (const tree_file* file : too_large) {
      text += fmt::format("\n  {}  ({})", file->path, human_bytes(file->size_bytes));
      list.push_back(file->path);
    }
    throw failure(exit_refused, text + "\n--skip-too-large imports the others", {{"too_large", list}});
  }

  /// Without its entries where they are to be forgotten; its parts are still there to be deleted.
  manifest old_manifest() const {
    try {
      manifest m = load_manifest(s_, manifest_key_).value_or(manifest{});
      if (a_.replace_manifest) m.entries.clear();
      return m;
    } catch (const failure& f) {
      if (f.code != exit_refused) throw;
      if (a_.replace_manifest) return {};
      throw failure(f.code, f.message + " (--replace-manifest begins a new one)", f.details);
    }
  }

  void store_files() {
    in_flight window(s_, a_.depth);
    slot_memory memory(s_, window.depth());
    std::vector<in_slot> slots(window.depth());
    progress_bar bar(s_.options().quiet || s_.options().json ? progress_bar::style::none : progress_bar::on_terminal(),
                     "importing", planned_.size());
    std::size_t next = 0;
    std::size_t ended = 0;
    window.run(
        [&](std::size_t slot) -> std::optional<nkv::operation> {
          for (; next < planned_.size(); ++next, ++ended) {
            const planned& p = planned_[next];
            if (!memory.has_room(p.file->size_bytes)) return std::nullopt;
            nkv::host::registration& block = memory.take(slot, p.file->size_bytes + 1);
            if (!read_file(p, block, slots[slot].size_bytes)) {
              memory.give_back(slot);
              continue;
            }
            slots[slot].index = next;
            slots[slot].hash = nkv::content_key({block.data(), static_cast<std::size_t>(slots[slot].size_bytes)});
            ++next;
            return nkv::operation::store(p.key, {block.value().address, slots[slot].size_bytes});
          }
          return std::nullopt;
        },
        [&](std::size_t slot, const nkv::operation& op, const nkv::outcome& o) {
          const planned& p = planned_[slots[slot].index];
          if (!o.ok()) {
            // A full namespace or a lost target ends everything; what is stored stays, the manifest is the old one.
            failure f = s_.failure_of(o, op);
            f.message = p.path + ": " + f.message;
            throw failure(f);
          }
          files_.push_back({p.path, p.key, slots[slot].size_bytes, slots[slot].hash, p.file->mode});
          stored_bytes_ += slots[slot].size_bytes;
          memory.give_back(slot);
          bar.update(++ended, stored_bytes_);
        });
  }

  /// Reads a file of about its listed size. @return whether it could be; else why not is remembered
  bool read_file(const planned& p, nkv::host::registration& block, std::uint64_t& size_bytes) {
    const auto give_up = [&](std::string why) {
      listing_.failed.push_back({p.file->path, std::move(why)});
      return false;
    };
    const nkv::host::unique_fd fd(
        ::open((a_.folder + '/' + p.file->path).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid()) return give_up(std::strerror(errno));
    size_bytes = 0;
    for (;;) {
      const ssize_t n = ::read(fd.get(), block.data() + size_bytes, block.size_bytes() - size_bytes);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return give_up(std::strerror(errno));
      if (n == 0) break;
      size_bytes += static_cast<std::uint64_t>(n);
      if (size_bytes == block.size_bytes()) return give_up("grew while it was read");
    }
    if (size_bytes > s_.longest_value(p.key.size())) return give_up("grew while it was read");
    return true;
  }

  manifest merged(const manifest& before) const {
    std::map<std::string, manifest_entry> by_path;
    for (const manifest_entry& e : before.entries) by_path[e.path] = e;
    for (const manifest_entry& e : files_) by_path[e.path] = e;
    manifest out;
    for (auto& [path, entry] : by_path) out.entries.push_back(std::move(entry));
    return out;
  }

  /// Deletes parts that the new manifest does not have. What this leaves behind on a failure is only room that is used.
  void drop_parts(const manifest& before, const manifest& after) const {
    std::set<std::string> used;
    for (const nkv::key& part : after.parts) used.insert(hex_of(part));
    for (const manifest_entry& e : after.entries) used.insert(hex_of(e.key));
    for (const nkv::key& part : before.parts)
      if (used.count(hex_of(part)) == 0) s_.run(nkv::operation::remove(part));
  }

  int report(std::uint64_t begin_ns) const {
    const double seconds = static_cast<double>(nkv::host::steady_clock::now_ns() - begin_ns) / 1e9;
    const bool whole = listing_.failed.empty() && too_large_.empty();
    if (s_.options().json) {
      const auto remarks = [](const std::vector<tree_remark>& list) {
        nlohmann::json out = nlohmann::json::array();
        for (const tree_remark& r : list) out.push_back({{"path", shown(r.path)}, {"why", r.why}});
        return out;
      };
      const nlohmann::json out = {{"files", files_.size()},
                                  {"bytes", stored_bytes_},
                                  {"seconds", seconds},
                                  {"skipped", remarks(listing_.skipped)},
                                  {"failed", remarks(listing_.failed)},
                                  {"too_large", remarks(too_large_)},
                                  {"manifest", json_of(manifest_key_)}};
      fmt::print("{}\n", out.dump());
    } else {
      for (const tree_remark& r : too_large_)
        fmt::print(stderr, "nkv: left out: {}: too large ({})\n", shown(r.path), r.why);
      for (const tree_remark& r : listing_.failed) fmt::print(stderr, "nkv: left out: {}: {}\n", shown(r.path), r.why);
      if (!s_.options().quiet) {
        for (const tree_remark& r : listing_.skipped)
          fmt::print(stderr, "nkv: left out: {}: {}\n", shown(r.path), r.why);
        fmt::print("imported {} files, {}, in {:.1f} s ({})\n", human_count(files_.size()), human_bytes(stored_bytes_),
                   seconds, human_rate(stored_bytes_, seconds));
      }
    }
    return whole ? exit_ok : exit_partial;
  }

  /// A path for a terminal or JSON, whatever bytes it has.
  static std::string shown(const std::string& path) {
    std::string out = path;
    std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
  }

  const session& s_;
  const import_arguments& a_;
  nkv::key manifest_key_;
  tree_listing listing_;
  std::vector<planned> planned_;
  std::vector<tree_remark> too_large_;
  std::vector<manifest_entry> files_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t stored_bytes_ = 0;
};

}  // namespace

void add_import(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("import", "Store every file below a folder, and a manifest of them");
  const auto a = std::make_shared<import_arguments>();
  command->add_option("DIR", a->folder, "The folder")->required();
  command->add_option("--prefix", a->prefix, "Put this in front of every path, e.g. sub/")->type_name("TEXT");
  command->add_option("--manifest", a->manifest_key, "The key of the manifest")
      ->capture_default_str()
      ->type_name("KEY");
  command->add_option("--depth", a->depth, "Files under way at once")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1024u))
      ->type_name("N");
  command->add_flag("--skip-too-large", a->skip_too_large,
                    "Leave out files that are longer than a value may be (exit 7), instead of refusing them all");
  command->add_flag("--replace-manifest", a->replace_manifest,
                    "Forget the files of earlier imports. Otherwise the manifest keeps them, save those replaced now");
  command->callback([a, &p] {
    p.run = [a, &p] {
      if (!a->prefix.empty() && !is_safe_path(a->prefix + "x"))
        throw failure(exit_usage, "--prefix: expected a relative path without \"..\", got \"" + a->prefix + '"');
      const session s(p.options);
      p.result = importer(s, *a).run();
    };
  });
}

}  // namespace tools
