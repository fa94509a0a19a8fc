// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "tick_clock.hpp"

#include "common/human.hpp"

#include <nkv/host/clock.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

enum class verb : std::uint8_t { exist, retrieve, store };
/// How the client asks: submit() and poll(), the call that blocks, or nkv::batch.
enum class call_style : std::uint8_t { tickets, blocking, batch };

[[nodiscard]] inline const char* name_of(verb v) noexcept {
  return v == verb::exist ? "exist" : v == verb::retrieve ? "retrieve" : "store";
}
[[nodiscard]] inline const char* name_of(call_style s) noexcept {
  return s == call_style::tickets ? "tickets" : s == call_style::blocking ? "blocking" : "batch";
}

/// What is done again and again: one row of the report.
struct load {
  verb what = verb::exist;
  call_style style = call_style::tickets;
  std::uint32_t block_bytes = 0;        ///< length of the values; Exist moves none of it
  std::uint32_t depth = 1;              ///< operations under way at a time
  std::uint64_t working_set_bytes = 0;  ///< of the values that are gone through, each once before any comes again
  bool touched = false;                 ///< a byte of each 64 is read after a Retrieve, written before a Store

  [[nodiscard]] std::uint32_t keys() const noexcept {
    return working_set_bytes <= block_bytes ? 1 : static_cast<std::uint32_t>(working_set_bytes / block_bytes);
  }
  [[nodiscard]] std::uint64_t moved_bytes() const noexcept { return what == verb::exist ? 0 : block_bytes; }
  [[nodiscard]] std::string name() const {
    std::string size = tools::human_bytes(block_bytes) + "/set " + tools::human_bytes(working_set_bytes);
    std::string out =
        fmt::format("{}/{}/depth {}/{}{}", name_of(what), size, depth, name_of(style), touched ? "/touched" : "");
    std::erase(out, ' ');
    return out;
  }
};

/// The key of value number `index`: 16 bytes made of two products, so that making one costs next to nothing.
struct made_key {
  std::uint64_t words[2];
  made_key(std::uint64_t index, std::uint64_t block_bytes) noexcept
      : words{(index + 1) * 0x9e3779b97f4a7c15u, (block_bytes << 32) ^ index} {}
};

/// Every number below `keys`, a power of two, once and then again, in an order without a pattern that matters: a linear
/// congruential sequence of full period.
class key_order {
 public:
  explicit key_order(std::uint32_t keys) noexcept : mask_(keys - 1) {}
  [[nodiscard]] std::uint32_t next() noexcept {
    at_ = at_ * 1664525u + 1013904223u;
    return at_ & mask_;
  }

 private:
  std::uint32_t mask_;
  std::uint32_t at_ = 0;
};

inline void read_lines(const std::byte* from, std::size_t bytes) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes; i += 64) sum += *reinterpret_cast<const std::uint64_t*>(from + i);
  __asm__ volatile("" : : "r"(sum));
}
inline void write_lines(std::byte* to, std::size_t bytes, std::uint64_t with) noexcept {
  for (std::size_t i = 0; i < bytes; i += 64) *reinterpret_cast<std::uint64_t*>(to + i) = with;
  __asm__ volatile("" : : : "memory");
}

/// Between two fruitless looks. Each side has a processor of its own; where there is only one it is given away.
inline void between_looks(bool alone, std::uint32_t looks) noexcept {
  if (alone) nkv::host::steady_clock::relax(looks < 64 ? looks : 1u << 20);
}

/// How long a window is.
struct window_limits {
  std::uint64_t ticks = 0;
  std::uint64_t least_operations = 1;
  std::uint64_t warm_operations = 1;  ///< before it, at the same depth
};

struct window_times {
  std::uint64_t operations = 0;
  std::uint64_t ticks = 0;
};

/// Keeps `l.depth` operations under way, or one batch of them after the other, for one window. What is not under way
/// yet is submitted, then one ring; then looks, the oldest first, until something has ended.
///
/// @tparam Port submit(slot, key index), ring(), poll(slot) -> whether it has ended, and is not under way any more
/// @param[out] latencies in ticks, from the look at the clock before the submission to the one after the completion,
///                       less what a look costs; as many as it has capacity for
/// @param begin, end called at the two ends of the window, outside of what is timed
template <class Port, class Begin, class End>
window_times drive(Port& port, const load& l, const window_limits& limits, const tick_clock& clock, bool alone,
                   std::vector<std::uint32_t>& latencies, Begin&& begin, End&& end) {
  std::vector<std::uint64_t> started(l.depth);
  key_order order(l.keys());
  const bool whole_batches = l.style == call_style::batch;
  const std::uint64_t clock_ticks = clock.read_ticks();
  std::uint64_t sent = 0;
  std::uint64_t done = 0;
  std::uint64_t window_from = 0;
  std::uint64_t start = 0;
  bool measuring = false;
  bool ending = false;
  window_times out;
  std::uint32_t sent_slot = 0;
  std::uint32_t done_slot = 0;
  std::uint64_t now = tick_clock::now();
  for (;;) {
    if (!ending && (!whole_batches || sent == done)) {
      for (; sent - done < l.depth; ++sent) {
        port.submit(sent_slot, order.next());
        started[sent_slot] = now;
        if (++sent_slot == l.depth) sent_slot = 0;
      }
      port.ring();
    }
    if (sent == done) break;
    const std::uint64_t before = done;
    const std::uint32_t first_slot = done_slot;
    for (std::uint32_t looks = 0;; ++looks) {
      while (done != sent && port.poll(done_slot)) {
        ++done;
        if (++done_slot == l.depth) done_slot = 0;
      }
      if (done != before) break;
      between_looks(alone, looks);
    }
    now = tick_clock::now();
    if (ending) continue;
    if (measuring) {
      std::uint32_t slot = first_slot;
      for (std::uint64_t i = before; i != done; ++i) {
        const std::uint64_t took = now - started[slot];
        if (latencies.size() != latencies.capacity())
          latencies.push_back(static_cast<std::uint32_t>(took > clock_ticks ? took - clock_ticks : 0));
        if (++slot == l.depth) slot = 0;
      }
      if (now - start >= limits.ticks && done - window_from >= limits.least_operations) {
        out = {done - window_from, now - start};
        end();
        ending = true;
      }
    } else if (done >= limits.warm_operations && (!whole_batches || done == sent)) {
      measuring = true;
      window_from = done;
      begin();
      now = start = tick_clock::now();
    }
  }
  return out;
}

}  // namespace bench
