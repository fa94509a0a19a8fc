// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/execute_limits.hpp>
#include <nkv/target/scatter_list.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace nkv::inline NKV_ABI {
namespace target {

/// How a run ended, or why there was none.
enum class run_result : std::uint8_t {
  ok,
  killed,         ///< stopped: it used up its limits, or somebody asked for it
  failed,         ///< the program's own fault: a trap, an exception, a result that is none
  value_refused,  ///< the value is too long for the program or its limits
  no_memory,
  not_allowed,  ///< the binding cannot be honoured: the module is absent, is not the one allowed, or is none
  read_only,    ///< the program may write, and the namespace is read-only
  no_runtime,   ///< the target has no such engine
  busy,         ///< as many run and wait as may
};

/// One run of a program: what it works on, and where its result goes. The engine's side of an Execute.
class program_run {
 public:
  byte_span value;  ///< constant, and alive for as long as the run takes
  byte_span input;  ///< the client's, exactly as long as the client said
  execute_limits limits;

  /// @param room the client's memory, of which the first `room_bytes` are the result's
  program_run(span<const mutable_byte_span> room, std::uint64_t room_bytes) noexcept
      : room_(room), room_bytes_(room_bytes) {}
  program_run(const program_run&) = delete;
  program_run& operator=(const program_run&) = delete;

  /// Hands the result over; once, as the last thing of a run that went well. What the client has no room for is left
  /// out, and its whole length is told.
  void give(byte_span result) noexcept {
    scatter_cursor{}.write(room_, result.data(), std::min<std::uint64_t>(result.size(), room_bytes_));
    result_bytes_ = result.size();
  }
  [[nodiscard]] std::uint64_t result_bytes() const noexcept { return result_bytes_; }

  /// Says why the run failed, for the target's log.
  void explain(std::string_view why) noexcept {
    try {
      why_ = why;
    } catch (...) {
      why_.clear();
    }
  }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

  /// Whether the run shall end now, with `killed`. Cheap: to be asked every millisecond or so.
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_acquire); }
  /// Asks that it end; program::interrupt() follows. Any thread.
  void stop() noexcept { stopped_.store(true, std::memory_order_release); }

 private:
  const span<const mutable_byte_span> room_;
  const std::uint64_t room_bytes_;
  std::uint64_t result_bytes_ = 0;
  std::string why_;
  std::atomic<bool> stopped_{false};
};

/// What Execute runs: made by an execute_runtime, or in code (see function_program). Constant; run() by any number of
/// threads at once.
class program {
 public:
  program() = default;
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  virtual ~program() = default;

  /// Runs on one value. Holds to the limits, ends soon where stopped() says so, and throws nothing. On a thread of the
  /// execute_service.
  [[nodiscard]] virtual run_result run(program_run& run) const noexcept = 0;

  /// Whether it may change what is stored.
  [[nodiscard]] virtual bool writes() const noexcept { return false; }

  /// Has every run under way ask stopped() soon, where they would not by themselves. Any thread, again and again.
  virtual void interrupt() const noexcept {}
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
