// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/endian.hpp>
#include <nkv/base/status.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execute_service.hpp>
#include <nkv/target/execute/execution.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/request.hpp>
#include <nkv/target/store.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// What of a controller the KV commands depend on.
struct kv_execution_context {
  std::uint64_t max_transfer_bytes = 0;  ///< MDTS, head included; 0: no limit
  bool sgl = true;                       ///< without, a command with an SGL is refused
  bool delete_reports_absent = false;    ///< EDNEK of the namespace: feature 20h, bit 0
};

/// Executes KV commands on a namespace's store: checks, in the namespace's key encoding; the store's operation; the
/// status and DW0 of the answer. Knows nothing of queues or transports.
///
/// `Data` is data_pointer_reader, or staged_data where a transport brings the data itself; begin() takes from it what
/// the command needs and keeps none of it but spans. Statuses by encoding:
///
///     | outcome                              | inline_cdw      | payload_head        |
///     | - | - | - |
///     | key absent (Retrieve, Exist, touch, Store if it exists; Delete with EDNEK) | 0/87h | 1/87h |
///     | key exists (Store if it does not)    | 0/89h           | 1/89h               |
///     | value longer than the buffer         | 0/00h, DW0 more | 1/81h, DW0 as well  |
///     | key length                           | 0/86h           | 0/02h               |
///     | value longer than the namespace takes| 0/85h           | 0/02h               |
///     | no room in the namespace             | 0/81h           | 0/81h               |
///     | no memory                            | 0/81h           | 0/06h               |
///     | the store's back end out of reach; denies; failed     | 0/82h, 2/86h, 0/06h | 0/82h, 2/86h, 0/06h |
///     | a Store or Delete of which the store does not know whether it happens | 7/4Eh | 7/4Eh |
///     | SGL shorter than the command's data  | 0/0Fh           | 0/0Fh               |
///     | Store or Delete, namespace read-only | 1/82h           | 1/82h               |
///     | reserved bit, options that conflict, TTL of 0, more than MDTS, an unwanted SGL | 0/02h | 0/02h |
///     | DW0 of Exist, of List                | 0, 0            | value's length, length of the whole listing |
///     | Execute of what the namespace does not allow        | 0/01h | 0/01h |
///     | Execute on a value that is too long for the operation | 0/85h | 0/85h |
///     | Execute of a program that may write, namespace read-only | 1/82h | 1/82h |
///     | Execute whose module is absent, not the one allowed, or none | 0/02h | 0/02h |
///     | Execute of an engine that could not be loaded       | 7/4Fh | 7/4Fh |
///     | Execute beyond its limits, or aborted; one that failed | 0/07h, 0/06h | 0/07h, 0/06h |
///     | Execute while as many are under way as may          | 0/21h | 0/21h |
///     | Execute's result longer than wanted   | 1/81h, DW0 more | 1/81h, DW0 more     |
struct kv_executor {
  /// Begins the command in `r.command` on `ns`.
  /// @param r its operation's `home` is set. Unless the answer is `done`, left alone until proceed() or the store's
  ///        finish() has ended it; `ns` lives until then
  /// @return done: r.reply is set
  template <class Data>
  [[nodiscard]] static progress begin(request& r, const kv_namespace& ns, const kv_execution_context& context,
                                      Data& data) noexcept {
    r.ns = &ns;
    r.data.clear();
    r.execute.reset();
    r.absent_is_error = context.delete_reports_absent;
    const sqe& c = r.command;
    // Not fused, a known data format; CDW11 bits 31:16 are reserved for every KV command.
    if (c.fuse() != 0 || static_cast<unsigned>(c.data_format()) == 3 || (c.cdw(11) >> 16) != 0 ||
        (!context.sgl && c.data_format() != psdt::prp))
      return ended(r, generic_status::invalid_field);
    r.op.must_exist = r.op.must_not_exist = r.op.no_compress = r.op.ephemeral = r.op.touch = r.op.raw = false;
    r.op.count_all = r.op.object_name = false;
    r.op.whole = nullptr;
    r.op.ttl_s = 0;
    r.op.page = nullptr;
    switch (static_cast<kv_opcode>(c.opc())) {
      case kv_opcode::store: return store(r, context, data);
      case kv_opcode::retrieve: return retrieve(r, context, data);
      case kv_opcode::remove: return key_only(r, store_verb::remove, data);
      case kv_opcode::exist: return key_only(r, store_verb::exist, data);
      case kv_opcode::list: return list(r, context, data);
      case kv_opcode::execute: return execute(r, context, data);
      default: return ended(r, generic_status::invalid_opcode);
    }
  }

  /// The key that the command's dwords hold, before anything was checked; empty where they hold none. Lives as long as
  /// `r` and until begin().
  [[nodiscard]] static byte_span probable_key(request& r) noexcept {
    const std::uint32_t length = r.command.cdw(11) & 0xffu;
    if (length > max_inline_key_bytes) return {};
    copy_inline_key(r);
    return {r.head, length};
  }

  /// Goes on after `more`. @return done: r.reply is set
  [[nodiscard]] static progress proceed(request& r) noexcept {
    const progress p = r.ns->store().proceed(r.op);
    return p == progress::done ? finish(r) : p;
  }

  /// Asks that the command end soon, as store::cancel() does.
  static void cancel(request& r) noexcept {
    if (r.execute != nullptr && r.execute->begun) return r.ns->executions().cancel(*r.execute);
    if (r.execute != nullptr) r.execute->cancelled = true;
    r.ns->store().cancel(r.op);
  }

  /// Turns what the store says into r.reply. For operations that came back after `later`, or were cancelled.
  /// @return done; or later, for an Execute whose value is there and whose run is still to come: its operation comes
  ///         back a second time
  [[nodiscard]] static progress finish(request& r) noexcept {
    if (r.execute != nullptr && r.execute->ended) return finish_run(r);
    const bool head = r.ns->key_encoding() == key_encoding::payload_head;
    const auto sct = head ? status_code_type::command_specific : status_code_type::generic;
    r.reply = {};
    switch (r.op.result) {
      case store_result::ok:
        if (r.op.verb == store_verb::retrieve) {
          if (r.execute != nullptr) return begin_run(r);
          r.reply.dw0 = dw0_of(r.op.true_length);
          if (head && r.op.true_length > r.op.data_bytes)
            r.reply.status = {status_code_type::command_specific, command_status::value_truncated};
        } else if (head && (r.op.verb == store_verb::exist || r.op.verb == store_verb::list)) {
          r.reply.dw0 = dw0_of(r.op.true_length);
        }
        break;
      case store_result::absent:
        if (r.op.verb != store_verb::remove || r.absent_is_error)
          r.reply.status = {sct, generic_status::key_does_not_exist};
        break;
      case store_result::present: r.reply.status = {sct, generic_status::key_exists}; break;
      case store_result::capacity_exceeded: r.reply.status = generic(generic_status::capacity_exceeded); break;
      case store_result::no_memory:
        r.reply.status = generic(head ? generic_status::internal_error : generic_status::capacity_exceeded);
        break;
      case store_result::invalid: r.reply.status = generic(generic_status::invalid_field); break;
      case store_result::unsupported: r.reply.status = generic(generic_status::invalid_opcode); break;
      case store_result::aborted: r.reply.status = generic(generic_status::abort_requested); break;
      case store_result::unavailable: r.reply.status = generic(generic_status::namespace_not_ready); break;
      case store_result::unknown: r.reply.status = {status_code_type::vendor, vendor_status::outcome_unknown}; break;
      case store_result::denied: r.reply.status = {status_code_type::media, media_status::access_denied}; break;
      case store_result::failed: r.reply.status = generic(generic_status::internal_error); break;
    }
    return progress::done;
  }

 private:
  // Bits of CDW11 15:8.
  static constexpr std::uint32_t must_exist = 0x01, must_not_exist = 0x02, no_compress = 0x04, ttl_valid = 0x08,
                                 ephemeral = 0x10, touch = 0x20, raw = 0x01;

  /// Of an Execute: key and input.
  static constexpr std::uint64_t max_payload_bytes = std::uint64_t{1} << 20;

  static status generic(std::uint8_t sc) noexcept { return {status_code_type::generic, sc}; }

  static progress ended(request& r, status s) noexcept {
    r.reply = {s, 0};
    return progress::done;
  }
  static progress ended(request& r, std::uint8_t generic_code) noexcept { return ended(r, generic(generic_code)); }

  static std::uint32_t dw0_of(std::uint64_t length) noexcept {
    return length > 0xffffffffu ? 0xffffffffu : static_cast<std::uint32_t>(length);
  }

  static bool has_head(const request& r) noexcept { return r.ns->key_encoding() == key_encoding::payload_head; }

  static progress submit(request& r, store_verb verb) noexcept {
    r.op.verb = verb;
    r.op.data = r.data.spans();
    r.op.data_bytes = r.data.bytes();
    const progress p = r.ns->store().submit(r.op);
    return p == progress::done ? finish(r) : p;
  }

  // Keys
  // ----------------------------------------------------------------------------------------------------------------

  /// The key in CDW2, 3, 14 and 15. @param sc what a bad length is answered with
  static status inline_key(request& r, std::uint8_t sc, bool may_be_empty = false) noexcept {
    const std::uint32_t length = r.command.cdw(11) & 0xffu;
    if (length > max_inline_key_bytes || length > r.ns->max_key_bytes() || (length == 0 && !may_be_empty))
      return generic(sc);
    copy_inline_key(r);
    r.op.key = {r.head, length};
    return {};
  }
  static void copy_inline_key(request& r) noexcept {
    const std::uint32_t words[4] = {r.command.cdw(2), r.command.cdw(3), r.command.cdw(14), r.command.cdw(15)};
    std::memcpy(r.head, words, sizeof words);
  }

  /// The key in the head of the data: `[u16 LE length][key]`, copied into r.head once and only looked at there.
  /// Moves `data` to the value that follows.
  /// @param value_bytes what follows the head
  template <class Data>
  static status head_key(request& r, Data& data, std::uint64_t value_bytes, std::uint64_t max_transfer_bytes) noexcept {
    // What PRP2 means depends on the whole length, the whole length on the key's. No valid length needs its high byte,
    // so the first byte of the data, which is always within PRP1's page, gives it.
    std::byte first{};
    if (const status s = data.first_byte(first); !s.ok()) return s;
    const auto length = static_cast<std::uint32_t>(first);
    if (length == 0 || length > r.ns->max_key_bytes()) return generic(generic_status::invalid_field);
    const std::uint64_t total = 2 + length + value_bytes;
    if (max_transfer_bytes != 0 && total > max_transfer_bytes) return generic(generic_status::invalid_field);
    data.expect(total);
    if (const status s = data.take(2 + length, dma_access::read, r.data); !s.ok()) return s;
    scatter_cursor{}.read(r.data.spans(), r.head, 2 + length);
    r.data.clear();
    if (load_le<std::uint16_t>(r.head) != length) return generic(generic_status::invalid_field);
    r.op.key = {r.head + 2, length};
    return {};
  }

  // Commands
  // ------------------------------------------------------------------------------------------------------------

  template <class Data>
  static progress store(request& r, const kv_execution_context& context, Data& data) noexcept {
    if (r.ns->read_only()) return ended(r, {status_code_type::command_specific, command_status::namespace_read_only});
    const std::uint32_t options = (r.command.cdw(11) >> 8) & 0xffu;
    const std::uint32_t length = r.command.cdw(10);
    store_operation& op = r.op;
    op.must_exist = (options & must_exist) != 0;
    op.must_not_exist = (options & must_not_exist) != 0;
    op.no_compress = (options & no_compress) != 0;
    op.ephemeral = (options & ephemeral) != 0;
    op.touch = (options & touch) != 0;
    const bool ttl = (options & ttl_valid) != 0;
    if (ttl) op.ttl_s = r.command.cdw(12);
    if ((options & ~0x3fu) != 0 || (op.must_exist && op.must_not_exist) || (ttl && op.ttl_s == 0) ||
        (op.touch && (length != 0 || op.must_not_exist || op.ephemeral)) ||
        ((ttl || op.touch) && !r.ns->store().has_ttl()))
      return ended(r, generic_status::invalid_field);
    if (length > r.ns->max_value_bytes())
      return ended(r, has_head(r) ? generic_status::invalid_field : generic_status::invalid_value_size);
    if (const status s = key_and_transfer(r, context, data, length, dma_access::read); !s.ok()) return ended(r, s);
    return submit(r, store_verb::store);
  }

  template <class Data>
  static progress retrieve(request& r, const kv_execution_context& context, Data& data) noexcept {
    const std::uint32_t options = (r.command.cdw(11) >> 8) & 0xffu;
    if ((options & ~raw) != 0) return ended(r, generic_status::invalid_field);
    r.op.raw = (options & raw) != 0;
    if (const status s = key_and_transfer(r, context, data, r.command.cdw(10), dma_access::write); !s.ok())
      return ended(r, s);
    return submit(r, store_verb::retrieve);
  }

  template <class Data>
  static status key_and_transfer(request& r, const kv_execution_context& context, Data& data, std::uint64_t length,
                                 dma_access want) noexcept {
    if (has_head(r)) {
      if (const status s = head_key(r, data, length, context.max_transfer_bytes); !s.ok()) return s;
    } else {
      if (const status s = inline_key(r, generic_status::invalid_key_size); !s.ok()) return s;
      if (context.max_transfer_bytes != 0 && length > context.max_transfer_bytes)
        return generic(generic_status::invalid_field);
      data.expect(length);
    }
    return data.take(length, want, r.data);
  }

  template <class Data>
  static progress key_only(request& r, store_verb verb, Data& data) noexcept {
    if (verb == store_verb::remove && r.ns->read_only())
      return ended(r, {status_code_type::command_specific, command_status::namespace_read_only});
    if ((r.command.cdw(11) >> 8) != 0) return ended(r, generic_status::invalid_field);
    // Clients of payload_head that know both kinds of target fill the command dwords where the key fits, and the head
    // in any case: the dwords then say it all, and nothing has to be read.
    const bool head = has_head(r) && (r.command.cdw(11) & 0xffu) == 0 && r.ns->options().reads_head && data.present();
    const status s = head          ? head_key(r, data, 0, 0)
                     : has_head(r) ? inline_key(r, generic_status::invalid_field)
                                   : inline_key(r, generic_status::invalid_key_size);
    return s.ok() ? submit(r, verb) : ended(r, s);
  }

  template <class Data>
  static progress list(request& r, const kv_execution_context& context, Data& data) noexcept {
    const std::uint32_t length = r.command.cdw(10);
    if (((r.command.cdw(11) >> 8) & 0xffu) != 0 || length < list_page_writer::header_bytes ||
        (context.max_transfer_bytes != 0 && length > context.max_transfer_bytes))
      return ended(r, generic_status::invalid_field);
    std::uint64_t taken = 0;
    if (has_head(r)) {
      // The start key lies at the head of the very buffer that the listing goes to.
      std::byte first{};
      if (const status s = data.first_byte(first); !s.ok()) return ended(r, s);
      const auto key_bytes = static_cast<std::uint32_t>(first);
      if (key_bytes > r.ns->max_key_bytes() || 2 + key_bytes > length) return ended(r, generic_status::invalid_field);
      data.expect(length);
      taken = 2 + key_bytes;
      if (const status s = data.take(taken, dma_access::read_write, r.data); !s.ok()) return ended(r, s);
      scatter_cursor{}.read(r.data.spans(), r.head, taken);
      if (load_le<std::uint16_t>(r.head) != key_bytes) return ended(r, generic_status::invalid_field);
      r.op.key = {r.head + 2, key_bytes};
      r.op.count_all = true;
    } else {
      if (const status s = inline_key(r, generic_status::invalid_key_size, true); !s.ok()) return ended(r, s);
      data.expect(length);
    }
    if (const status s = data.take(length - taken, dma_access::write, r.data); !s.ok()) return ended(r, s);
    r.page = list_page_writer{r.data.spans()};
    r.op.page = &r.page;
    return submit(r, store_verb::list);
  }

  /// Execute is a Retrieve of the whole value, for a run on the namespace's execute_service; finish() puts the two
  /// together. Alike in both encodings: the key stands in the payload, and the result takes the payload's place.
  template <class Data>
  static progress execute(request& r, const kv_execution_context& context, Data& data) noexcept {
    std::shared_ptr<const execute_allowlist> allowed = r.ns->operations();
    const auto found = allowed->find(r.command.cdw(13));
    if (found == allowed->end()) return ended(r, generic_status::invalid_opcode);
    const execute_binding& binding = found->second;
    if (binding.writes && r.ns->read_only())
      return ended(r, {status_code_type::command_specific, command_status::namespace_read_only});
    const std::uint64_t payload = r.command.cdw(10);
    const std::uint64_t result = r.command.cdw(12);
    const std::uint64_t total = payload > result ? payload : result;
    if (payload < 3 || payload > max_payload_bytes ||
        (context.max_transfer_bytes != 0 && total > context.max_transfer_bytes))
      return ended(r, generic_status::invalid_field);
    data.expect(total);
    // All of it to read and to write, which a client's memory is.
    if (const status s = data.take(total, dma_access::read_write, r.data); !s.ok()) return ended(r, s);
    try {
      auto e = std::make_unique<execution>(std::move(allowed), binding, r.data.spans(), result);
      std::vector<std::byte> sent(payload);
      scatter_cursor{}.read(r.data.spans(), sent.data(), payload);
      const std::size_t key_bytes = load_le<std::uint16_t>(sent.data());
      if (key_bytes == 0 || key_bytes > r.ns->max_key_bytes() || 2 + key_bytes > payload)
        return ended(r, generic_status::invalid_field);
      std::memcpy(r.head, sent.data() + 2, key_bytes);
      e->input.assign(sent.begin() + static_cast<std::ptrdiff_t>(2 + key_bytes), sent.end());
      e->from = r.ns->shared_store();
      e->read_only = r.ns->read_only();
      e->operation = &r.op;
      r.op.key = {r.head, key_bytes};
      r.execute = std::move(e);
    } catch (...) {
      return ended(r, generic_status::internal_error);
    }
    r.op.verb = store_verb::retrieve;
    r.op.data = {};
    r.op.data_bytes = r.ns->max_value_bytes();
    r.op.whole = &r.execute->value;
    progress p = r.ns->store().submit(r.op);
    if (p == progress::done) p = finish(r);
    if (p == progress::done) r.execute.reset();
    return p;
  }

  /// The value is there: on to its run.
  static progress begin_run(request& r) noexcept {
    execution& e = *r.execute;
    if (r.op.true_length > r.op.data_bytes) return ended(r, generic_status::invalid_value_size);
    if (e.value.keep == nullptr || e.value.bytes.size() != r.op.true_length)
      return ended(r, generic_status::internal_error);
    if (e.cancelled) return ended(r, generic_status::abort_requested);
    e.begun = true;
    return r.ns->executions().begin(e) == progress::later ? progress::later : finish_run(r);
  }

  static progress finish_run(request& r) noexcept {
    const std::unique_ptr<execution> e = std::move(r.execute);
    const bool head = r.ns->key_encoding() == key_encoding::payload_head;
    switch (e->result) {
      case run_result::ok:
        r.reply = {};
        r.reply.dw0 = dw0_of(e->run.result_bytes());
        if (e->run.result_bytes() > r.command.cdw(12))
          r.reply.status = {status_code_type::command_specific, command_status::value_truncated};
        return progress::done;
      case run_result::killed: return ended(r, generic_status::abort_requested);
      case run_result::value_refused: return ended(r, generic_status::invalid_value_size);
      case run_result::no_memory:
        return ended(r, head ? generic_status::internal_error : generic_status::capacity_exceeded);
      case run_result::not_allowed: return ended(r, generic_status::invalid_field);
      case run_result::read_only:
        return ended(r, {status_code_type::command_specific, command_status::namespace_read_only});
      case run_result::no_runtime: return ended(r, {status_code_type::vendor, vendor_status::no_runtime});
      case run_result::busy: return ended(r, generic_status::command_interrupted);
      case run_result::failed: break;
    }
    return ended(r, generic_status::internal_error);
  }
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
