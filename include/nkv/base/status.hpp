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
      : bits_(static_cast<std::uint32_t>(sct) << 8 | sc | (dnr ? dnr_bit : 0u)) {}
  /// One of the client's own; `detail` is the errno of a `system_error`, the code of a `driver_error`, and 0 elsewhere.
  NKV_HD constexpr status(client_status code, std::uint16_t detail = 0) noexcept
      : bits_(client_type << 8 | static_cast<std::uint32_t>(code) | static_cast<std::uint32_t>(detail) << 16) {}

  /// The status field of a completion: CQE bytes 15:14, phase bit included (NVMe Base 2.0, Figure 93).
  [[nodiscard]] NKV_HD static constexpr status from_cqe(std::uint16_t field) noexcept {
    status s;
    // Bits 11:1 are code and type, side by side as they are here; bit 15 is Do Not Retry.
    s.bits_ = (static_cast<std::uint32_t>(field) >> 1 & 0x7ffu) | (static_cast<std::uint32_t>(field) & 0x8000u) << 16;
    return s;
  }

  [[nodiscard]] NKV_HD constexpr bool ok() const noexcept { return (bits_ & kind_mask) == 0; }
  [[nodiscard]] NKV_HD constexpr explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] NKV_HD constexpr status_code_type sct() const noexcept {
    return static_cast<status_code_type>(bits_ >> 8 & 0xffu);
  }
  [[nodiscard]] NKV_HD constexpr std::uint8_t sc() const noexcept { return static_cast<std::uint8_t>(bits_); }
  /// Whether it is the client's own and not a controller's.
  [[nodiscard]] NKV_HD constexpr bool is_client() const noexcept { return (bits_ & client_type << 8) != 0; }
  /// Do Not Retry, from a controller's status.
  [[nodiscard]] NKV_HD constexpr bool dnr() const noexcept { return !is_client() && (bits_ & dnr_bit) != 0; }
  /// The errno of a `system_error`, or the code of a `driver_error`.
  [[nodiscard]] NKV_HD constexpr std::uint16_t detail() const noexcept {
    return is_client() ? static_cast<std::uint16_t>(bits_ >> 16) : std::uint16_t{0};
  }

  /// The status as a word, to be handed from one thread to another.
  [[nodiscard]] NKV_HD constexpr std::uint32_t bits() const noexcept { return bits_; }
  /// What bits() gave, as a status again.
  [[nodiscard]] NKV_HD static constexpr status from_bits(std::uint32_t bits) noexcept {
    status s;
    s.bits_ = bits;
    return s;
  }

  /// 87h under either status code type: inline targets derived from QEMU answer 1/87h, others 0/87h.
  [[nodiscard]] NKV_HD constexpr bool is_key_does_not_exist() const noexcept { return (bits_ & kv_mask) == 0x87; }
  /// 89h under either status code type.
  [[nodiscard]] NKV_HD constexpr bool is_key_exists() const noexcept { return (bits_ & kv_mask) == 0x89; }

  [[nodiscard]] NKV_HD friend constexpr bool operator==(status a, status b) noexcept {
    return ((a.bits_ ^ b.bits_) & kind_mask) == 0;
  }

 private:
  static constexpr std::uint32_t client_type = 8;
  static constexpr std::uint32_t kind_mask = 0xffff;
  static constexpr std::uint32_t kv_mask = 0xfeff;  // type 0 or 1
  static constexpr std::uint32_t dnr_bit = 0x80000000;

  std::uint32_t bits_ = 0;  ///< bits 7:0 code, 15:8 type, 31:16 errno, or Do Not Retry in bit 31
};
static_assert(sizeof(status) == 4);

}  // namespace nkv::inline NKV_ABI
