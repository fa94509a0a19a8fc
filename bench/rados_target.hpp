// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "failure.hpp"
#include "rados_load.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace bench::rados {

/// A module whose only function never ends: (func (export "run") (param i32 i32) (result i32) (loop (br 0)) i32.const
/// 0).
inline constexpr unsigned char endless_module[] = {
    0x00, 'a',  's',  'm',  0x01, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x03, 0x02,
    0x01, 0x00, 0x05, 0x03, 0x01, 0x00, 0x01, 0x07, 0x10, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00,
    0x03, 'r',  'u',  'n',  0x00, 0x00, 0x0a, 0x0b, 0x01, 0x09, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x41, 0x00, 0x0b};
inline constexpr const char* endless_key = "endless";
inline constexpr std::uint32_t hash_op = 1, endless_op = 2;
inline constexpr std::uint32_t plain_nsid = 1, cached_nsid = 2;

[[nodiscard]] inline std::string sha256_of(nkv::byte_span data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1)
    throw failure("libcrypto has no SHA-256");
  std::string out;
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

/// The configuration of the target, in a file for this object's life.
class configuration {
 public:
  configuration(const std::string& conf, const std::string& pool, const std::string& wasmtime) {
    std::string path = std::filesystem::temp_directory_path().string() + "/nkv-bench-config-XXXXXX";
    const int fd = ::mkstemp(path.data());
    if (fd < 0) throw failure("no file for a configuration");
    ::close(fd);
    path_ = path;
    const nlohmann::json store = {{"type", "rados"}, {"rados_namespace", "bench"}};
    nlohmann::json execute = nlohmann::json::array();
    execute.push_back({{"op", hash_op}, {"runtime", "builtin"}, {"function", "xxh64"}, {"tier", "large"}});
    nlohmann::json all = {{"poller", {{"spin_us", 50}}}};
    if (!wasmtime.empty()) {
      all["execute"]["wasmtime"] = wasmtime;
      const nkv::byte_span module(reinterpret_cast<const std::byte*>(endless_module), sizeof endless_module);
      execute.push_back({{"op", endless_op},
                         {"runtime", "wasm"},
                         {"function", "run"},
                         {"module", {{"key", object_of(endless_key)}}},
                         {"sha256", sha256_of(module)},
                         {"tier", "small"}});
    }
    const nlohmann::json plain = {{"nsid", plain_nsid}, {"store", store}, {"execute", execute}};
    const nlohmann::json cached = {
        {"nsid", cached_nsid}, {"store", store}, {"execute", execute}, {"cache", {{"freshness", "immutable"}}}};
    all["subsystems"] = {{{"rados", {{"pool", pool}, {"conf", conf}}}, {"namespaces", {plain, cached}}}};
    std::ofstream file(path_);
    file << all.dump();
    file.close();
    if (!file) throw failure("cannot write " + path_);
  }
  configuration(const configuration&) = delete;
  configuration& operator=(const configuration&) = delete;
  ~configuration() { ::unlink(path_.c_str()); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace bench::rados
