// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/session.hpp"

#include <nkv/kv/content_hash.hpp>
#include <nkv/kv/key.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tools {

/// One file of a tree that was imported.
struct manifest_entry {
  std::string path;  ///< relative, '/' between its parts; any bytes but NUL
  nkv::key key;      ///< of the value
  std::uint64_t size_bytes = 0;
  nkv::key hash;         ///< BLAKE2b-128 of the content, 16 bytes
  unsigned mode = 0644;  ///< permissions, 0777 and less
};

/// What a tree in a namespace consists of.
///
/// Stored as JSON under one key, by default "nkv.manifest":
///
///     {"nkv_manifest": 1, "files": 2, "bytes": 300, "entries": [
///       {"path": "a/b.h", "key": "612f622e68", "size": 100, "hash": "<32 hexadecimal digits>", "mode": "0644"}, ...]}
///
/// `key` is hexadecimal; a path that is not UTF-8 stands as hexadecimal digits in `path_hex`. Where that is longer than
/// a value may be, the entries are in parts, each a value {"nkv_manifest_part": 1, "entries": [...]} under the
/// BLAKE2b-128 hash of its own bytes, and the root has `"parts": ["<hash>", ...]` in place of `"entries"`; a part may
/// have parts in turn. The root is stored last, so a reader sees the old manifest or the new one, never a mixture.
struct manifest {
  static constexpr std::string_view default_key = "nkv.manifest";
  static constexpr unsigned version = 1;

  std::vector<manifest_entry> entries;
  std::vector<nkv::key> parts;  ///< the keys of all parts, however deep
};

/// The manifest under `key`; nothing where there is no such key. What is there and is no manifest ends the program.
[[nodiscard]] std::optional<manifest> load_manifest(const session& s, nkv::key_view key);

/// Stores `m.entries` under `key`, parts first, and fills in `m.parts`.
void save_manifest(const session& s, nkv::key_view key, manifest& m);

/// Whether a path from a manifest stays below the folder that it is taken from: relative, not empty, without empty
/// parts,
/// ".", ".." and NUL, and no longer than a path can be.
[[nodiscard]] bool is_safe_path(std::string_view path);

/// For the JSON texts of a manifest. @return nothing for what is none, with what is wrong in `error`
struct manifest_text {
  std::vector<manifest_entry> entries;
  std::vector<nkv::key> parts;
};
[[nodiscard]] std::optional<manifest_text> parse_manifest(std::string_view text, bool root, std::string& error);

}  // namespace tools
