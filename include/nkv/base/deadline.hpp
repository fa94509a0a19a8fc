// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <concepts>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// What a wait needs of the world it runs in: the time, from any fixed start and never backwards, and a way to pass a
/// moment. `relax(n)` is called with the number of fruitless looks so far and may give the processor away.
template <class C>
concept waiting_clock = requires(std::uint32_t spins) {
  { C::now_ns() } noexcept -> std::same_as<std::uint64_t>;
  { C::relax(spins) } noexcept;
};

/// A moment on `Clock` after which a wait ends. A plain value; host and device.
template <waiting_clock Clock>
class deadline {
 public:
  using clock = Clock;

  /// Has passed already: look once, do not wait.
  constexpr deadline() noexcept = default;
  /// @param at_ns nanoseconds on `Clock`
  NKV_HD explicit constexpr deadline(std::uint64_t at_ns) noexcept : at_ns_(at_ns) {}

  /// `timeout_ns` from now; a sum beyond the clock's range is its end.
  [[nodiscard]] NKV_HD static deadline after_ns(std::uint64_t timeout_ns) noexcept {
    const std::uint64_t now = Clock::now_ns();
    return deadline{timeout_ns > ~std::uint64_t{0} - now ? ~std::uint64_t{0} : now + timeout_ns};
  }
  [[nodiscard]] NKV_HD static deadline after_us(std::uint64_t timeout_us) noexcept {
    return after_ns(scaled(timeout_us, 1000));
  }
  [[nodiscard]] NKV_HD static deadline after_ms(std::uint64_t timeout_ms) noexcept {
    return after_ns(scaled(timeout_ms, 1000000));
  }

  [[nodiscard]] NKV_HD constexpr std::uint64_t at_ns() const noexcept { return at_ns_; }
  [[nodiscard]] NKV_HD bool expired() const noexcept { return Clock::now_ns() >= at_ns_; }
  /// Nanoseconds left, 0 once it has passed.
  [[nodiscard]] NKV_HD std::uint64_t left_ns() const noexcept {
    const std::uint64_t now = Clock::now_ns();
    return now >= at_ns_ ? 0 : at_ns_ - now;
  }

 private:
  NKV_HD static constexpr std::uint64_t scaled(std::uint64_t value, std::uint64_t by) noexcept {
    return value > ~std::uint64_t{0} / by ? ~std::uint64_t{0} : value * by;
  }

  std::uint64_t at_ns_ = 0;
};

}  // namespace nkv::inline NKV_ABI
