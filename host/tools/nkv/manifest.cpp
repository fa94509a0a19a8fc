// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/manifest.hpp"

#include "common/key_text.hpp"

#include <nkv/target/json_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace tools {

namespace {

constexpr std::size_t longest_path_bytes = 4095;
constexpr unsigned most_levels = 8;
// Parts are of a size that one reads quickly, whatever the longest value is.
constexpr std::uint64_t longest_part_bytes = std::uint64_t{8} << 20;

bool is_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char c = byte(i);
    const std::size_t length = c < 0x80                ? 1
                               : c >= 0xc2 && c < 0xe0 ? 2
                               : (c & 0xf0u) == 0xe0   ? 3
                               : c >= 0xf0 && c < 0xf5 ? 4
                                                       : 0;
    if (length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((byte(i + k) & 0xc0u) != 0x80) return false;
    if (length == 3 && ((c == 0xe0 && byte(i + 1) < 0xa0) || (c == 0xed && byte(i + 1) > 0x9f))) return false;
    if (length == 4 && ((c == 0xf0 && byte(i + 1) < 0x90) || (c == 0xf4 && byte(i + 1) > 0x8f))) return false;
    i += length;
  }
  return true;
}

std::string text_of(const manifest_entry& e) {
  nlohmann::json json = {{"key", hex_of(e.key)},
                         {"size", e.size_bytes},
                         {"hash", hex_of(e.hash)},
                         {"mode", fmt::format("{:04o}", e.mode)}};
  if (is_utf8(e.path)) {
    json["path"] = e.path;
  } else {
    json["path_hex"] = hex_of(nkv::key_view(reinterpret_cast<const std::byte*>(e.path.data()), e.path.size()));
  }
  return json.dump();
}

std::optional<std::string> unhex(std::string_view digits) {
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const nkv::result<nkv::key> one = nkv::key::from_hex({digits.data() + i, 2});
    if (!one) return std::nullopt;
    out += static_cast<char>((*one)[0]);
  }
  return out;
}

const std::string* text_at(const nlohmann::json& object, const char* name) {
  const auto at = object.find(name);
  return at == object.end() ? nullptr : at->get_ptr<const std::string*>();
}

std::optional<nkv::key> key_at(const nlohmann::json& value) {
  const std::string* digits = value.get_ptr<const std::string*>();
  if (digits == nullptr) return std::nullopt;
  const nkv::result<nkv::key> key = nkv::key::from_hex({digits->data(), digits->size()});
  if (!key) return std::nullopt;
  return *key;
}

/// @return what is wrong, null where nothing is
const char* read_entry(const nlohmann::json& json, manifest_entry& e) {
  if (!json.is_object()) return "is no object";
  if (const std::string* path = text_at(json, "path")) {
    e.path = *path;
  } else if (const std::string* digits = text_at(json, "path_hex")) {
    std::optional<std::string> path_bytes = unhex(*digits);
    if (!path_bytes) return "has a path_hex that is not hexadecimal";
    e.path = *std::move(path_bytes);
  } else {
    return "has no path";
  }
  const auto key = json.find("key");
  const auto hash = json.find("hash");
  const auto size = json.find("size");
  if (key == json.end() || hash == json.end() || size == json.end()) return "lacks key, hash or size";
  const std::optional<nkv::key> k = key_at(*key);
  const std::optional<nkv::key> h = key_at(*hash);
  if (!k) return "has no good key";
  if (!h || h->size() != nkv::content_key_bytes) return "has no good hash";
  if (!size->is_number_unsigned()) return "has no good size";
  e.key = *k;
  e.hash = *h;
  e.size_bytes = size->get<std::uint64_t>();
  if (const std::string* mode = text_at(json, "mode")) {
    unsigned value = 0;
    if (mode->empty() || mode->size() > 4) return "has no good mode";
    for (const char c : *mode) {
      if (c < '0' || c > '7') return "has no good mode";
      value = value * 8 + static_cast<unsigned>(c - '0');
    }
    // No set-user-id and the like from a stranger's manifest.
    e.mode = value & 0777u;
  }
  return nullptr;
}

void load_parts(const session& s, std::string_view text, bool root, const std::string& name, unsigned level,
                manifest& out) {
  std::string error;
  std::optional<manifest_text> parsed = parse_manifest(text, root, error);
  if (!parsed) throw failure(exit_refused, fmt::format("manifest {}: {}", name, error));
  std::move(parsed->entries.begin(), parsed->entries.end(), std::back_inserter(out.entries));
  for (const nkv::key& part : parsed->parts) {
    if (level == most_levels) throw failure(exit_refused, fmt::format("manifest {}: parts within parts", name));
    const session::value v = s.retrieve(part);
    // The key is the hash, so a part cannot contain itself, and a changed one is noticed.
    if (!(nkv::content_key(v.bytes()).view() == part.view()))
      throw failure(exit_refused, fmt::format("manifest {}: its part 0x{} was changed", name, hex_of(part)));
    out.parts.push_back(part);
    load_parts(s, {reinterpret_cast<const char*>(v.bytes().data()), v.bytes().size()}, false, name, level + 1, out);
  }
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > longest_path_bytes || path.find('\0') != std::string_view::npos) return false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = slash + 1;
  }
  return true;
}

std::optional<manifest_text> parse_manifest(std::string_view text, bool root, std::string& error) {
  const nkv::target::json_parsed json = nkv::target::parse_json(text, {std::size_t{256} << 20, 8});
  if (!json.value) {
    error = json.error;
    return std::nullopt;
  }
  const char* const magic = root ? "nkv_manifest" : "nkv_manifest_part";
  const auto version = json.value->is_object() ? json.value->find(magic) : json.value->end();
  if (!json.value->is_object() || version == json.value->end()) {
    error = fmt::format("no \"{}\"", magic);
    return std::nullopt;
  }
  if (*version != manifest::version) {
    error = fmt::format("version {} is not known here", version->dump(-1, ' ', true));
    return std::nullopt;
  }
  manifest_text out;
  const auto entries = json.value->find("entries");
  const auto parts = json.value->find("parts");
  if (entries != json.value->end() && entries->is_array()) {
    for (const nlohmann::json& one : *entries) {
      manifest_entry e;
      if (const char* wrong = read_entry(one, e)) {
        error = fmt::format("entry {} {}", out.entries.size(), wrong);
        return std::nullopt;
      }
      out.entries.push_back(std::move(e));
    }
  } else if (parts != json.value->end() && parts->is_array()) {
    for (const nlohmann::json& one : *parts) {
      const std::optional<nkv::key> key = key_at(one);
      if (!key || key->size() != nkv::content_key_bytes) {
        error = fmt::format("part {} has no good key", out.parts.size());
        return std::nullopt;
      }
      out.parts.push_back(*key);
    }
  } else {
    error = "neither entries nor parts";
    return std::nullopt;
  }
  return out;
}

std::optional<manifest> load_manifest(const session& s, nkv::key_view key) {
  const std::optional<session::value> v = s.retrieve_if_there(key);
  if (!v) return std::nullopt;
  manifest out;
  load_parts(s, {reinterpret_cast<const char*>(v->bytes().data()), v->bytes().size()}, true, text_of(key), 0, out);
  return out;
}

void save_manifest(const session& s, nkv::key_view key, manifest& m) {
  std::uint64_t bytes = 0;
  std::vector<std::string> items;
  for (const manifest_entry& e : m.entries) {
    items.push_back(text_of(e));
    bytes += e.size_bytes;
  }
  m.parts.clear();
  const std::string head =
      fmt::format("{{\"nkv_manifest\":{},\"files\":{},\"bytes\":{},", manifest::version, m.entries.size(), bytes);
  const std::string part_head = fmt::format("{{\"nkv_manifest_part\":{},", manifest::version);
  const std::uint64_t most_root = s.longest_value(key.size());
  const std::uint64_t most_part = std::min(s.longest_value(nkv::content_key_bytes), longest_part_bytes);
  const char* kind = "entries";
  for (;;) {
    const auto document = [&](const std::string& begin, std::size_t from, std::size_t to) {
      return fmt::format("{}\"{}\":[{}]}}", begin, kind,
                         fmt::join(items.begin() + static_cast<std::ptrdiff_t>(from),
                                   items.begin() + static_cast<std::ptrdiff_t>(to), ","));
    };
    const std::string whole = document(head, 0, items.size());
    if (whole.size() <= most_root) {
      s.store(key, nkv::byte_span(reinterpret_cast<const std::byte*>(whole.data()), whole.size()));
      return;
    }
    std::vector<std::string> refs;
    for (std::size_t from = 0; from < items.size();) {
      std::size_t to = from;
      std::uint64_t length = part_head.size() + std::strlen(kind) + 6;
      while (to < items.size() && length + items[to].size() + 1 <= most_part) length += items[to++].size() + 1;
      if (to == from)
        throw failure(exit_refused, "an entry of the manifest is longer than a value of this namespace may be");
      const std::string part = document(part_head, from, to);
      const nkv::byte_span bytes_of_part(reinterpret_cast<const std::byte*>(part.data()), part.size());
      const nkv::key name = nkv::content_key(bytes_of_part);
      s.store(name, bytes_of_part);
      m.parts.push_back(name);
      refs.push_back('"' + hex_of(name) + '"');
      from = to;
    }
    if (refs.size() >= items.size())
      throw failure(exit_refused, "values of this namespace are too short for a manifest");
    items = std::move(refs);
    kind = "parts";
  }
}

}  // namespace tools
