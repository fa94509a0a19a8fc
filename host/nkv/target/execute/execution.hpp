// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// One Execute, from its command to its completion. First its value is retrieved, then an execute_service has it.
struct execution {
  /// @param b stays as it is for as long as `list`, which this keeps
  /// @param room, room_bytes as for program_run; the spans live until the completion
  execution(std::shared_ptr<const execute_allowlist> list, const execute_binding& b, span<const mutable_byte_span> room,
            std::uint64_t room_bytes)
      : allowlist(std::move(list)), binding(&b), run(room, room_bytes) {}

  // What is asked.
  std::shared_ptr<const execute_allowlist> allowlist;
  const execute_binding* binding;
  std::shared_ptr<store> from;  ///< the namespace's
  bool read_only = false;       ///< the namespace is
  held_value value;
  std::vector<std::byte> input;
  program_run run;
  store_operation* operation = nullptr;  ///< given back to its home when it is over

  // Of the thread that drives the command.
  bool begun = false;      ///< a service has it
  bool cancelled = false;  ///< before that

  // What came of it.
  bool ended = false;
  run_result result = run_result::ok;

  // The service's own, from begin() on.
  enum class stage : std::uint8_t { loading, waiting, running } at = stage::loading;
  std::shared_ptr<const target::program> program;
  std::uint64_t until_ns = 0;
  execution* next = nullptr;
  execution* previous = nullptr;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
