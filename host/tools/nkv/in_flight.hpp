// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "nkv/session.hpp"

#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/host/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tools {

/// Keeps several operations of one namespace under way. Each has a slot, a number below the depth, for whatever its
/// owner keeps beside it: the key, the memory.
class in_flight {
 public:
  in_flight(const session& s, std::size_t depth) : session_(s) {
    const std::size_t most = s.ns().queue().capacity();
    slots_.resize(depth < 1 ? 1 : depth < most ? depth : most);
  }

  [[nodiscard]] std::size_t depth() const noexcept { return slots_.size(); }

  /// Runs operations until there are no more.
  /// @param next `std::optional<operation> next(slot)`: the next operation, to use that slot; nothing where there is
  /// none
  ///             now, and it is asked again when one has ended. Keys and memory stay until `done` was called
  /// @param done `done(slot, operation, outcome)`; a throw ends the run, and nothing is under way afterwards that could
  ///             write into memory that is then unregistered
  template <class Next, class Done>
  void run(Next&& next, Done&& done) {
    const auto& ns = session_.ns().ref();
    std::uint64_t look_ns = 0;
    std::size_t under_way = 0;
    for (std::uint32_t idle = 0;;) {
      bool sent = false;
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].used) continue;
        std::optional<nkv::operation> op = next(i);
        if (!op) break;
        const auto ticket = ns.submit(*op, nkv::submit_mode::defer);
        if (!ticket) {
          nkv::outcome refused;
          refused.status = ticket.error();
          done(i, *op, refused);
          continue;
        }
        slots_[i] = {true, *op, *ticket, session_.options().deadline()};
        ++under_way;
        sent = true;
      }
      if (sent) ns.ring();
      if (under_way == 0) return;
      bool progress = false;
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        slot& s = slots_[i];
        if (!s.used) continue;
        const nkv::outcome o = ns.poll(s.ticket);
        if (o.status == nkv::status(nkv::client_status::would_block)) continue;
        s.used = false;
        --under_way;
        progress = true;
        done(i, s.op, o);
      }
      if (progress) {
        idle = 0;
        look_ns = 0;
        continue;
      }
      nkv::host::steady_clock::relax(idle++);
      if (idle % 64 != 0) continue;
      const std::uint64_t now = nkv::host::steady_clock::now_ns();
      if (look_ns == 0) look_ns = now + look_interval_ns;
      if (now < look_ns) continue;
      look_ns = now + look_interval_ns;
      // Nobody else notices a lost connection: it ends every operation under way, at the next look at its ticket.
      static_cast<void>(session_.controller().check(nkv::host::deadline::after_ms(1000)).ok());
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        slot& s = slots_[i];
        if (!s.used || !s.until.expired()) continue;
        static_cast<void>(ns.cancel(s.ticket).ok());
        s.used = false;
        --under_way;
        nkv::outcome late;
        late.status = s.op.mutates() ? nkv::client_status::outcome_unknown : nkv::client_status::timed_out;
        late.ticket = s.ticket.ticket;
        done(i, s.op, late);
      }
    }
  }

 private:
  static constexpr std::uint64_t look_interval_ns = 20'000'000;

  struct slot {
    bool used = false;
    nkv::operation op;
    nkv::kv_ticket ticket;
    nkv::host::deadline until;
  };

  const session& session_;
  std::vector<slot> slots_;
};

}  // namespace tools
