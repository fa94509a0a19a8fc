// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/list_padding.hpp>

#include <cstddef>
#include <cstdint>

namespace nkv::inline NKV_ABI {

/// How one target differs from the next, in one small value that is consulted where a command is built and where its
/// completion is read. Filled from what Identify says, what the probe found and what is known of the implementation.
///
/// The defaults are those of the KV Command Set. A plain value; host and device.
struct quirks {
  key_encoding encoding = key_encoding::inline_cdw;
  nkv::list_padding list_padding = list_padding::whole_entry;
  /// payload_head: Exist and Delete, whose opcodes say "no data", read the head all the same. Without it they know keys
  /// to 16 bytes from the command dwords, and longer ones can be neither deleted nor asked for.
  bool reads_head_without_data_direction = false;
  /// DW0 of a Retrieve is the value's whole length. Without it DW0 is not looked at, and a full buffer tells nothing of
  /// what was left out.
  bool reports_true_length = true;
  /// DW0 of an Exist that finds the key is the value's length.
  bool exist_reports_length = false;
  /// DW0 of a List is the length of the whole listing, which may be more than the buffer took.
  bool list_reports_length = false;
  /// A List goes through the keys in an order of its own that a start key continues. Without it a listing is taken in
  /// one piece, and its order means nothing.
  bool list_continues = true;
  /// SGL blocks of any address and length are taken although SGLS asks for dwords.
  bool sgl_ignores_granularity = false;
  /// Execute writes its result behind the `[u16][key]` head of its data. Without it the result overwrites the head.
  bool execute_result_after_head = false;
  /// Store options (CDW11 bits 15:8) that are taken and then not honoured; a Store that asks for one is refused.
  std::uint8_t dropped_store_options = 0;

  /// Whether Exist and Delete reach a key of this length.
  [[nodiscard]] NKV_HD constexpr bool exist_and_delete_carry(std::size_t key_bytes) const noexcept {
    if (!carries(encoding, key_bytes)) return false;
    return key_bytes <= max_inline_key_bytes || reads_head_without_data_direction;
  }

  /// The KV Command Set as it is written.
  [[nodiscard]] NKV_HD static constexpr quirks standard() noexcept { return {}; }

  /// RADOS-NKV's SPDK fork with KV inside the target (kvdev): the standard's encoding.
  [[nodiscard]] NKV_HD static constexpr quirks rados_nkv_in_tree() noexcept { return {}; }

  /// RADOS-NKV's forwarding target (bdev_kvrados), the newest version: keys in the payload, listings in hash order, of
  /// the Store options only must-exist and must-not-exist reach the executor ("do not compress" is harmless to lose).
  /// Earlier versions read the head of Exist and Delete too: set reads_head_without_data_direction for those.
  [[nodiscard]] NKV_HD static constexpr quirks rados_nkv_forwarder() noexcept {
    quirks q;
    q.encoding = key_encoding::payload_head;
    q.exist_reports_length = true;
    q.list_reports_length = true;
    q.list_continues = false;
    q.sgl_ignores_granularity = true;
    q.execute_result_after_head = true;
    q.dropped_store_options = 0x38;  // TTL valid, ephemeral, touch
    return q;
  }

  /// What is safe to assume of a namespace of which only the encoding is known; how it pads List pages is found.
  [[nodiscard]] NKV_HD static constexpr quirks of(key_encoding encoding) noexcept {
    quirks q;
    q.encoding = encoding;
    q.list_padding = list_padding::as_found;
    // The head's block is as long as the key makes it, so targets of this encoding take any length.
    q.sgl_ignores_granularity = encoding == key_encoding::payload_head;
    return q;
  }

  /// QEMU's KV controller as AirMettle has it.
  [[nodiscard]] NKV_HD static constexpr quirks qemu_kv() noexcept {
    quirks q;
    q.list_padding = list_padding::key_only;
    return q;
  }

  /// The KV SSD model on libvfio-user: no length in DW0, its own padding, listings in slot order that an absent start
  /// key begins anew.
  [[nodiscard]] NKV_HD static constexpr quirks vfio_user_kvssd() noexcept {
    quirks q;
    q.list_padding = list_padding::remainder;
    q.reports_true_length = false;
    q.list_continues = false;
    return q;
  }
};

}  // namespace nkv::inline NKV_ABI
