// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/failure.hpp"

#include <nkv/host/host.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/quirks.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace tools {

/// The options that every subcommand has.
struct global_options {
  std::string endpoint;
  std::uint32_t nsid = 0;  ///< 0: the only KV namespace
  bool hex_keys = false;
  std::optional<nkv::key_encoding> encoding;
  std::optional<nkv::quirks> quirks;  ///< not given: found out
  bool allow_unsealed = false;
  double timeout_s = 30;
  bool json = false;
  bool quiet = false;

  [[nodiscard]] nkv::host::deadline deadline() const {
    return nkv::host::deadline::after_ms(static_cast<std::uint64_t>(timeout_s * 1000));
  }
  /// How a namespace is opened.
  [[nodiscard]] nkv::host::namespace_options opening() const {
    nkv::host::namespace_options how;
    how.encoding = encoding;
    how.quirks = quirks;
    return how;
  }
};

/// {"key": characters where it reads as text, "key_hex": digits}
[[nodiscard]] nlohmann::json json_of(nkv::key_view key);

/// A key as it was typed; ends the program where it is none.
[[nodiscard]] nkv::key typed_key(const std::string& typed, const global_options& options);

/// A controller, connected to; ends the program where there is none.
/// @param wake see nkv::host::vfio_user_options
[[nodiscard]] nkv::host::controller connect(const global_options& options, bool wake = true);

/// A connection with one namespace open. Every call either succeeds or ends the program with a message that names the
/// operation.
class session {
 public:
  using namespace_type = nkv::host::kv_namespace<nkv::exclusive>;

  explicit session(const global_options& options);

  [[nodiscard]] const global_options& options() const noexcept { return options_; }
  [[nodiscard]] const nkv::host::controller& controller() const noexcept { return controller_; }
  [[nodiscard]] const namespace_type& ns() const noexcept { return *ns_; }
  [[nodiscard]] const nkv::namespace_profile& profile() const noexcept { return ns_->profile(); }
  /// The longest value that one command carries under a key of `key_bytes` bytes.
  [[nodiscard]] std::uint64_t longest_value(std::size_t key_bytes) const;

  /// Memory that the target reaches.
  [[nodiscard]] nkv::host::registration allocate(std::uint64_t bytes) const;

  /// Runs an operation to its end. A status that is no success ends the program.
  nkv::outcome run(const nkv::operation& op) const;

  /// What the program says and exits with for an outcome that is no success.
  [[nodiscard]] failure failure_of(const nkv::outcome& o, const nkv::operation& op) const;

  /// The value of a key in registered memory, with the memory grown until it fits.
  struct value {
    nkv::host::registration memory;
    std::uint64_t length_bytes = 0;
    [[nodiscard]] nkv::byte_span bytes() const noexcept {
      return {memory.data(), static_cast<std::size_t>(length_bytes)};
    }
  };
  [[nodiscard]] value retrieve(nkv::key_view key, const nkv::retrieve_options& how = {}) const;
  /// The same, nothing where there is no such key.
  [[nodiscard]] std::optional<value> retrieve_if_there(nkv::key_view key) const;

  /// Stores bytes that lie anywhere.
  void store(nkv::key_view key, nkv::byte_span bytes, const nkv::store_options& how = {}) const;

 private:
  /// @param[out] last success, or that there is no such key
  value retrieve(nkv::key_view key, const nkv::retrieve_options& how, nkv::outcome& last) const;

  const global_options& options_;
  nkv::host::controller controller_;
  std::optional<namespace_type> ns_;
};

}  // namespace tools
