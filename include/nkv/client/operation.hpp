// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/command/retrieve.hpp>
#include <nkv/command/store.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/opcode.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nkv::inline NKV_ABI {

/// One key/value operation, as data: what a batch is made of, and what submit() takes. Made by the factory of its name.
///
/// The key's bytes are copied when the operation is submitted; the value's memory belongs to the command from then
/// until it has completed or is quiesced. A plain value; host and device.
struct operation {
  kv_opcode opcode = kv_opcode::exist;
  store_options store_opts{};
  retrieve_options retrieve_opts{};
  key_view key{};
  value_ref value{};
  std::byte* local = nullptr;      ///< List and Execute: `value` as this code reaches it
  std::uint32_t op_id = 0;         ///< Execute
  std::uint32_t input_bytes = 0;   ///< Execute
  std::uint32_t result_bytes = 0;  ///< Execute
  std::uint64_t user_tag = 0;      ///< the caller's own; handed back in the outcome

  /// Store `value` under `key`.
  [[nodiscard]] NKV_HD static constexpr operation store(key_view key, const value_ref& value,
                                                        const store_options& options = {},
                                                        std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::store, .store_opts = options, .key = key, .value = value, .user_tag = user_tag};
  }
  /// Retrieve the value of `key` into `buffer`.
  [[nodiscard]] NKV_HD static constexpr operation retrieve(key_view key, const value_ref& buffer,
                                                           const retrieve_options& options = {},
                                                           std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::retrieve, .retrieve_opts = options, .key = key, .value = buffer, .user_tag = user_tag};
  }
  /// Delete `key`.
  [[nodiscard]] NKV_HD static constexpr operation remove(key_view key, std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::remove, .key = key, .user_tag = user_tag};
  }
  /// Ask whether `key` exists.
  [[nodiscard]] NKV_HD static constexpr operation exist(key_view key, std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::exist, .key = key, .user_tag = user_tag};
  }
  /// List keys from `start`, itself included, into `buffer`; the empty view lists from the first.
  /// @param local the same memory as this code reaches it; its first bytes are written before the command is published
  [[nodiscard]] NKV_HD static constexpr operation list(key_view start, const value_ref& buffer, std::byte* local,
                                                       std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::list, .key = start, .value = buffer, .local = local, .user_tag = user_tag};
  }
  /// Run operation `op_id` on the value of `key`.
  /// @param buffer holds the payload `[u16 length][key][input]`, and takes the result. The head is written here; the
  ///               input stands at execute_input_offset(key) already. Where the result is found says
  ///               execute_result_offset().
  /// @param local  the same memory as this code reaches it
  [[nodiscard]] NKV_HD static constexpr operation execute(std::uint32_t op_id, key_view key, const value_ref& buffer,
                                                          std::byte* local, std::uint32_t input_bytes,
                                                          std::uint32_t result_bytes,
                                                          std::uint64_t user_tag = 0) noexcept {
    return {.opcode = kv_opcode::execute,
            .key = key,
            .value = buffer,
            .local = local,
            .op_id = op_id,
            .input_bytes = input_bytes,
            .result_bytes = result_bytes,
            .user_tag = user_tag};
  }

  /// Whether the operation may change what is stored, so that a lost completion leaves its outcome unknown.
  [[nodiscard]] NKV_HD constexpr bool mutates() const noexcept { return opcode_mutates(opcode); }
  [[nodiscard]] NKV_HD static constexpr bool opcode_mutates(kv_opcode opc) noexcept {
    return opc == kv_opcode::store || opc == kv_opcode::remove || opc == kv_opcode::execute;
  }
};
static_assert(std::is_trivially_copyable_v<operation>);

/// Where in an Execute buffer the input begins.
[[nodiscard]] NKV_HD constexpr std::size_t execute_input_offset(key_view key) noexcept { return 2 + key.size(); }

}  // namespace nkv::inline NKV_ABI
