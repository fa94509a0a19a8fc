// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/target/execute/execution.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/list_page_writer.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a completion carries.
struct reply {
  nkv::status status;
  std::uint32_t dw0 = 0;
};

/// One command from its arrival to its completion: the private copy of its SQE, the operation made of it, and the
/// memory that it names. Reused for one command after the other; nothing here is allocated in the steady state.
struct request {
  store_operation op;
  sqe command;  ///< copied once, before any of it is looked at
  target::reply reply;
  const kv_namespace* ns = nullptr;
  scatter_list data;
  list_page_writer page;
  std::byte head[max_head_bytes];      ///< the key of payload_head with its length in front, or the key alone
  std::unique_ptr<execution> execute;  ///< an Execute, while it lasts
  bool absent_is_error = false;        ///< Delete: EDNEK was set when the command began

  // For whoever drives requests: a controller.
  std::shared_ptr<const kv_namespace> keep;  ///< set once the command outlives the call that began it
  std::uint16_t sqid = 0;
  bool dropped = false;  ///< its completion is not wanted any more
  bool copying = false;  ///< the store said `more`
  request* next = nullptr;
  request* previous = nullptr;
  request* next_copying = nullptr;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
