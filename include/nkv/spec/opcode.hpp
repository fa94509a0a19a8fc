// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>

#include <cstdint>

namespace nkv::inline NKV_ABI {

/// I/O opcodes of the KV command set (KV Command Set 1.0c, Figure 8), and RADOS-NKV's vendor opcode Execute.
/// Bits 1:0 give the data direction: 00b none, 01b host to controller, 10b controller to host, 11b both.
enum class kv_opcode : std::uint8_t {
  flush = 0x00,
  store = 0x01,
  retrieve = 0x02,
  list = 0x06,
  remove = 0x10,
  exist = 0x14,
  execute = 0x83,
};

/// Admin opcodes (NVMe Base 2.0, Figure 138).
enum class admin_opcode : std::uint8_t {
  delete_sq = 0x00,
  create_sq = 0x01,
  get_log_page = 0x02,
  delete_cq = 0x04,
  create_cq = 0x05,
  identify = 0x06,
  abort = 0x08,
  set_features = 0x09,
  get_features = 0x0a,
  async_event_request = 0x0c,
  keep_alive = 0x18,
  doorbell_buffer_config = 0x7c,
};

/// Feature identifiers (NVMe Base 2.0, Figure 317; 20h: KV Command Set 1.0c, section 4.1.3).
enum class feature_id : std::uint8_t {
  arbitration = 0x01,
  power_management = 0x02,
  temperature_threshold = 0x04,
  number_of_queues = 0x07,
  interrupt_coalescing = 0x08,
  interrupt_vector_configuration = 0x09,
  async_event_configuration = 0x0b,
  keep_alive_timer = 0x0f,
  host_behavior_support = 0x16,
  command_set_profile = 0x19,
  key_value_configuration = 0x20,
};

/// Log page identifiers (NVMe Base 2.0, Figure 198).
enum class log_page_id : std::uint8_t {
  supported_log_pages = 0x00,
  error_information = 0x01,
  smart_health = 0x02,
  firmware_slot = 0x03,
  changed_namespaces = 0x04,
  commands_supported = 0x05,
};

/// Command set identifiers (NVMe Base 2.0, Figure 274).
enum class command_set_id : std::uint8_t { nvm = 0, kv = 1, zns = 2 };

/// @return the command's name as the specification has it, "unknown" for another opcode. Never null.
[[nodiscard]] constexpr const char* opcode_text(kv_opcode opc) noexcept {
  switch (opc) {
    case kv_opcode::flush: return "Flush";
    case kv_opcode::store: return "Store";
    case kv_opcode::retrieve: return "Retrieve";
    case kv_opcode::list: return "List";
    case kv_opcode::remove: return "Delete";
    case kv_opcode::exist: return "Exist";
    case kv_opcode::execute: return "Execute";
    default: return "unknown";
  }
}

/// @return the command's name as the specification has it, "unknown" for another opcode. Never null.
[[nodiscard]] constexpr const char* opcode_text(admin_opcode opc) noexcept {
  switch (opc) {
    case admin_opcode::delete_sq: return "Delete I/O Submission Queue";
    case admin_opcode::create_sq: return "Create I/O Submission Queue";
    case admin_opcode::get_log_page: return "Get Log Page";
    case admin_opcode::delete_cq: return "Delete I/O Completion Queue";
    case admin_opcode::create_cq: return "Create I/O Completion Queue";
    case admin_opcode::identify: return "Identify";
    case admin_opcode::abort: return "Abort";
    case admin_opcode::set_features: return "Set Features";
    case admin_opcode::get_features: return "Get Features";
    case admin_opcode::async_event_request: return "Asynchronous Event Request";
    case admin_opcode::keep_alive: return "Keep Alive";
    case admin_opcode::doorbell_buffer_config: return "Doorbell Buffer Config";
    default: return "unknown";
  }
}

}  // namespace nkv::inline NKV_ABI
