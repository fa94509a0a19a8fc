// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {
namespace host {

/// Something that the controller had to say: DW0 of an Asynchronous Event Request's completion (NVMe Base 2.0, Figures
/// 146 to 150). A plain value.
struct async_event {
  enum class type_code : std::uint8_t { error = 0, smart_health = 1, notice = 2, io_command_set = 6, vendor = 7 };

  type_code type = type_code::error;
  std::uint8_t information = 0;  ///< what it means depends on the type; notice 0: the namespaces have changed
  std::uint8_t log_page = 0;     ///< the page that has more; it was read, which lets the next such event come

  [[nodiscard]] static constexpr async_event from_dw0(std::uint32_t dw0) noexcept {
    return {static_cast<type_code>(dw0 & 7u), static_cast<std::uint8_t>(dw0 >> 8),
            static_cast<std::uint8_t>(dw0 >> 16)};
  }
  [[nodiscard]] constexpr bool namespaces_changed() const noexcept {
    return type == type_code::notice && information == 0;
  }
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
