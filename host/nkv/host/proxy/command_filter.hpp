// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/prp.hpp>
#include <nkv/spec/sgl.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// Which commands a proxy carries: the six of a KV namespace, for one namespace, with data in known memory alone.
///
/// What a PRP list or SGL segment itself says is not read: its writer could change it afterwards. It must lie in the
/// scratch; the addresses in it are the business of the controller below, which reaches what was mapped for it.
/// Any thread may use a const filter.
class command_filter {
 public:
  command_filter() = default;
  /// @param nsid       of the namespace
  /// @param read_only  whether Store and Delete are refused
  /// @param page_bytes CC.MPS, a power of two
  /// @param scratch    where lists and heads lie, as the controller sees it
  /// @param data       where values lie, as the controller sees it; one piece of data lies in one of them
  command_filter(std::uint32_t nsid, bool read_only, std::uint32_t page_bytes, const value_ref& scratch,
                 std::vector<value_ref> data)
      : data_(std::move(data)), scratch_(scratch), nsid_(nsid), page_bytes_(page_bytes), read_only_(read_only) {
    data_.push_back(scratch);
  }

  /// @return success where the command may go on, else how a controller would end it:
  ///         - 0/01h  not an opcode of the six
  ///         - 0/02h  fused, PSDT of neither form, a metadata pointer, or a data pointer where there is no data
  ///         - 0/04h  its data lie where it may not point to
  ///         - 0/0Bh  another namespace
  ///         - 0/0Dh  its SGL segment lies outside the scratch, or is of no whole descriptors
  ///         - 0/11h  an SGL descriptor that is neither a data block nor a last segment
  ///         - 1/82h  a Store or Delete where the namespace is read-only
  [[nodiscard]] status check(const sqe& command) const noexcept {
    using namespace generic_status;
    std::uint64_t data_bytes = 0;
    switch (static_cast<kv_opcode>(command.opc())) {
      case kv_opcode::store:
      case kv_opcode::retrieve:
      case kv_opcode::list: data_bytes = command.cdw(10); break;
      case kv_opcode::execute: data_bytes = std::max(command.cdw(10), command.cdw(12)); break;
      case kv_opcode::remove:
      case kv_opcode::exist: break;
      default: return refused(invalid_opcode);
    }
    if (command.fuse() != 0 || command.mptr() != 0) return refused(invalid_field);
    if (command.nsid() != nsid_) return refused(invalid_nsid);
    // An Execute may read alone, which the controller below knows.
    if (read_only_ && (command.opc() == static_cast<std::uint8_t>(kv_opcode::store) ||
                       command.opc() == static_cast<std::uint8_t>(kv_opcode::remove)))
      return {status_code_type::command_specific, command_status::namespace_read_only, true};
    const data_pointer where = command.dptr();
    switch (where.format) {
      case psdt::prp: return check_prp(where, data_bytes);
      case psdt::sgl: return check_sgl(where.sgl1());
      default: return refused(invalid_field);
    }
  }

 private:
  static status refused(std::uint8_t sc) noexcept { return {status_code_type::generic, sc, true}; }

  [[nodiscard]] status check_prp(const data_pointer& where, std::uint64_t data_bytes) const noexcept {
    if (data_bytes == 0) return where.low == 0 && where.high == 0 ? status{} : refused(generic_status::invalid_field);
    const std::uint64_t first = std::min<std::uint64_t>(data_bytes, page_bytes_ - (where.low & (page_bytes_ - 1u)));
    if (!reachable(where.low, first)) return refused(generic_status::data_transfer_error);
    // The second is a page or a list, which the lengths in an Execute do not tell: an entry's worth of it is looked at.
    if (where.high != 0 && !reachable(where.high, sizeof(prp_entry)))
      return refused(generic_status::data_transfer_error);
    return {};
  }

  [[nodiscard]] status check_sgl(const sgl_descriptor& d) const noexcept {
    if (d.subtype() != 0) return refused(generic_status::sgl_type_invalid);
    switch (d.type()) {
      case sgl_type::data_block:
        return reachable(d.address, d.length_bytes) ? status{} : refused(generic_status::data_transfer_error);
      case sgl_type::last_segment:
        if (d.length_bytes == 0 || d.length_bytes % sizeof(sgl_descriptor) != 0 ||
            !inside(scratch_, d.address, d.length_bytes))
          return refused(generic_status::invalid_sgl_segment);
        return {};
      default: return refused(generic_status::sgl_type_invalid);
    }
  }

  /// In this order, so that no sum wraps.
  static bool inside(const value_ref& range, std::uint64_t address, std::uint64_t length_bytes) noexcept {
    return address >= range.address && length_bytes <= range.length_bytes &&
           address - range.address <= range.length_bytes - length_bytes;
  }
  [[nodiscard]] bool reachable(std::uint64_t address, std::uint64_t length_bytes) const noexcept {
    return std::any_of(data_.begin(), data_.end(),
                       [&](const value_ref& range) { return inside(range, address, length_bytes); });
  }

  std::vector<value_ref> data_;
  value_ref scratch_{};
  std::uint32_t nsid_ = 0;
  std::uint32_t page_bytes_ = 4096;
  bool read_only_ = false;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
