// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/status_code.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// Which of many operations has ended, and how.
struct any_outcome {
  std::size_t index = 0;  ///< of its ticket; the number of tickets where none has ended
  outcome value{};
};

/// Waits for the first of many operations that ends. Its ticket is taken out of the span (it is not valid any more), so
/// that the next call waits for the others; tickets that are not valid are passed over. Where several have ended, the
/// first of them in the span. The queue's thread rule applies; no ticket is in two threads' spans. Host and device.
/// @return the index with what namespace_ref::poll() returns of a ticket that has ended, client/stale_ticket and
///         client/disconnected or outcome_unknown among it; or, with the number of tickets for an index,
///         - client/timed_out     none ended before the deadline; all stay valid
///         - client/stale_ticket  none is valid
template <class Namespace, waiting_clock Clock>
[[nodiscard]] NKV_HD any_outcome wait_any(const Namespace& ns, span<kv_ticket> tickets,
                                          deadline<Clock> until) noexcept {
  const auto& queue = ns.queue();
  any_outcome none{tickets.size(), {}};
  for (std::uint32_t spins = 0;; ++spins) {
    // Once for all of them.
    queue.reap(queue.capacity());
    bool open = false;
    for (std::size_t i = 0; i < tickets.size(); ++i) {
      if (!tickets[i].valid()) continue;
      open = true;
      const completion c = queue.take_recorded(tickets[i].ticket);
      if (c.status == status(client_status::would_block)) continue;
      const any_outcome out{i, ns.outcome_of(tickets[i], c)};
      tickets[i] = {};
      return out;
    }
    if (!open) {
      none.value.status = client_status::stale_ticket;
      return none;
    }
    if (((spins & 15u) == 15u || until.at_ns() == 0) && until.expired()) {
      none.value.status = client_status::timed_out;
      return none;
    }
    Clock::relax(spins);
  }
}

}  // namespace nkv::inline NKV_ABI
