// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/store.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a namespace is, as a configuration gives it. A plain aggregate.
struct namespace_options {
  std::uint32_t nsid = 1;
  std::string name;                      ///< for people and programs that configure; not on the wire
  std::array<std::uint8_t, 16> nguid{};  ///< all zero: made from the subsystem's NQN and the nsid
  nkv::key_encoding key_encoding = nkv::key_encoding::inline_cdw;
  bool read_only = false;                          ///< Store and Delete are refused
  std::uint32_t max_key_bytes = 0;                 ///< 0: as long as encoding and store allow
  std::uint64_t max_value_bytes = 0;               ///< 0: as long as the store allows
  std::uint64_t max_keys = 0;                      ///< what Identify says (MNKS); 0: none stated
  std::uint32_t optimal_granularity_bytes = 4096;  ///< NOVG
  /// payload_head: Exist and Delete whose key length field is 0 read the key from the head of their data, although the
  /// opcodes say that they have none. Without it such a command is refused, as the newest deployed target does.
  bool reads_head = true;
  execute_allowlist operations{};  ///< what Execute runs, to begin with; everything else is refused
};

/// A namespace: its options, the store with its keys and values, and what Execute runs beside them. Shared by the
/// controllers that have it; constant, the store and the allowlist excepted. Any thread.
class kv_namespace {
 public:
  /// @param s what holds the keys and values; several namespaces must not share one
  /// @param executions what runs programs, which namespaces may share; null: one of its own
  kv_namespace(namespace_options options, std::shared_ptr<target::store> s,
               std::shared_ptr<execute_service> executions = {})
      : options_(std::move(options)),
        store_(std::move(s)),
        executions_(executions != nullptr ? std::move(executions) : std::make_shared<execute_service>()),
        operations_(std::make_shared<const execute_allowlist>(std::move(options_.operations))) {
    options_.operations.clear();
    const std::uint32_t key = std::min(longest_key_bytes(options_.key_encoding), store_->max_key_bytes());
    max_key_bytes_ = options_.max_key_bytes == 0 ? key : std::min(key, options_.max_key_bytes);
    const std::uint64_t value = std::min<std::uint64_t>(store_->max_value_bytes(), 0xffffffffu);
    max_value_bytes_ = options_.max_value_bytes == 0 ? value : std::min(value, options_.max_value_bytes);
  }

  [[nodiscard]] const namespace_options& options() const noexcept { return options_; }
  [[nodiscard]] std::uint32_t nsid() const noexcept { return options_.nsid; }
  [[nodiscard]] nkv::key_encoding key_encoding() const noexcept { return options_.key_encoding; }
  [[nodiscard]] bool read_only() const noexcept { return options_.read_only; }
  [[nodiscard]] std::uint32_t max_key_bytes() const noexcept { return max_key_bytes_; }
  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept { return max_value_bytes_; }
  [[nodiscard]] target::store& store() const noexcept { return *store_; }
  [[nodiscard]] const std::shared_ptr<target::store>& shared_store() const noexcept { return store_; }
  [[nodiscard]] execute_service& executions() const noexcept { return *executions_; }

  /// The allowlist as it is now. It does not change; the next one is another.
  [[nodiscard]] std::shared_ptr<const execute_allowlist> operations() const noexcept {
    const std::lock_guard lock(operations_mutex_);
    return operations_;
  }
  /// Takes another allowlist's place. Commands that have begun go on with theirs.
  void allow(execute_allowlist operations) {
    auto next = std::make_shared<const execute_allowlist>(std::move(operations));
    const std::lock_guard lock(operations_mutex_);
    operations_.swap(next);
  }

 private:
  namespace_options options_;
  std::shared_ptr<target::store> store_;
  std::shared_ptr<execute_service> executions_;
  mutable std::mutex operations_mutex_;
  std::shared_ptr<const execute_allowlist> operations_;
  std::uint32_t max_key_bytes_ = 0;
  std::uint64_t max_value_bytes_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
