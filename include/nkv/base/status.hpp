// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

enum class status_code_type : std::uint8_t;
enum class client_status : std::uint8_t;

/// How an operation ended: a completion's status code type and status code, or one of the client's own.
///
/// Four bytes, a plain value. Two statuses are equal when type and code are; `dnr()` and `detail()` only explain.
/// Host and device, usable in constant expressions.
class [[nodiscard]] status {
 public:
  /// Success.
  constexpr status() noexcept = default;
  /// A status as a controller gives it.
  NKV_HD constexpr status(status_code_type sct, std::uint8_t sc, bool dnr = false) noexcept
      : sct_(static_cast<std::uint8_t>(sct)), sc_(sc), detail_(dnr ? dnr_bit : std::uint16_t{0}) {}
  /// One of the client's own; `detail` is the errno of a `system_error` and 0 elsewhere.
  NKV_HD constexpr status(client_status code, std::uint16_t detail = 0) noexcept
      : sct_(client_type), sc_(static_cast<std::uint8_t>(code)), detail_(detail) {}

  /// The status field of a completion: CQE bytes 15:14, phase bit included (NVMe Base 2.0, Figure 93).
  [[nodiscard]] NKV_HD static constexpr status from_cqe(std::uint16_t field) noexcept {
    status s;
    s.sc_ = static_cast<std::uint8_t>(field >> 1);
    s.sct_ = static_cast<std::uint8_t>((field >> 9) & 7u);
    s.detail_ = (field & 0x8000u) != 0 ? dnr_bit : std::uint16_t{0};
    return s;
  }

  [[nodiscard]] NKV_HD constexpr bool ok() const noexcept { return sct_ == 0 && sc_ == 0; }
  [[nodiscard]] NKV_HD constexpr explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] NKV_HD constexpr status_code_type sct() const noexcept { return static_cast<status_code_type>(sct_); }
  [[nodiscard]] NKV_HD constexpr std::uint8_t sc() const noexcept { return sc_; }
  /// Whether it is the client's own and not a controller's.
  [[nodiscard]] NKV_HD constexpr bool is_client() const noexcept { return sct_ == client_type; }
  /// Do Not Retry, from a controller's status.
  [[nodiscard]] NKV_HD constexpr bool dnr() const noexcept { return !is_client() && (detail_ & dnr_bit) != 0; }
  /// The errno of a `system_error`.
  [[nodiscard]] NKV_HD constexpr std::uint16_t detail() const noexcept {
    return is_client() ? detail_ : std::uint16_t{0};
  }

  /// 87h under either status code type: inline targets derived from QEMU answer 1/87h, others 0/87h.
  [[nodiscard]] NKV_HD constexpr bool is_key_does_not_exist() const noexcept { return sct_ <= 1 && sc_ == 0x87; }
  /// 89h under either status code type.
  [[nodiscard]] NKV_HD constexpr bool is_key_exists() const noexcept { return sct_ <= 1 && sc_ == 0x89; }

  [[nodiscard]] NKV_HD friend constexpr bool operator==(status a, status b) noexcept {
    return a.sct_ == b.sct_ && a.sc_ == b.sc_;
  }

 private:
  static constexpr std::uint8_t client_type = 8;
  static constexpr std::uint16_t dnr_bit = 0x8000;

  std::uint8_t sct_ = 0;
  std::uint8_t sc_ = 0;
  std::uint16_t detail_ = 0;
};
static_assert(sizeof(status) == 4);

}  // namespace nkv::inline NKV_ABI
