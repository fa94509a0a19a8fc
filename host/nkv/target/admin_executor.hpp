// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/endian.hpp>
#include <nkv/base/status.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/async_events.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/identify_pages.hpp>
#include <nkv/target/request.hpp>
#include <nkv/target/scatter_list.hpp>
#include <nkv/target/subsystem.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// The admin commands that have nothing to do with how queues are made: Identify, features, log pages, asynchronous
/// events, Keep Alive. One for each controller, whatever the transport. Not for concurrent use.
class admin_executor {
 public:
  enum class outcome : std::uint8_t {
    done,     ///< the reply is set
    held,     ///< an Asynchronous Event Request that waits
    unknown,  ///< not a command of these
  };

  /// Errors that Get Log Page 01h shows, newest first.
  struct error_entry {
    std::uint64_t count = 0;
    std::uint16_t sqid = 0;
    std::uint16_t cid = 0xffff;
    std::uint16_t status_field = 0;
  };

  admin_executor(std::shared_ptr<subsystem> s, controller_identity identity, std::uint16_t max_io_queue_pairs)
      : subsystem_(std::move(s)), identity_(identity), max_io_queue_pairs_(max_io_queue_pairs) {
    table_ = subsystem_->namespaces();
    version_ = subsystem_->version();
    reset();
  }

  /// As after power on, the namespaces excepted.
  void reset() noexcept {
    features_ = {};
    events_.clear();
    changed_all_ = false;
    changed_.clear();
    delete_reports_absent_.clear();
    std::fill(std::begin(errors_), std::end(errors_), error_entry{});
    error_count_ = 0;
  }

  /// @param data the command's data pointer, opened
  /// @param queues_exist whether an I/O queue exists: the number of queues is then fixed
  template <class Data>
  [[nodiscard]] outcome execute(const sqe& c, Data& data, bool queues_exist, reply& answer) noexcept {
    answer = {};
    switch (static_cast<admin_opcode>(c.opc())) {
      case admin_opcode::identify: answer.status = identify(c, data); return outcome::done;
      case admin_opcode::get_log_page: answer.status = get_log_page(c, data); return outcome::done;
      case admin_opcode::set_features: answer = set_features(c, data, queues_exist); return outcome::done;
      case admin_opcode::get_features: answer = get_features(c, data); return outcome::done;
      case admin_opcode::keep_alive: return outcome::done;
      case admin_opcode::async_event_request:
        if (events_.hold(c.cid())) return outcome::held;
        answer.status = {status_code_type::command_specific, command_status::aer_limit_exceeded};
        return outcome::done;
      default: return outcome::unknown;
    }
  }

  /// The namespace, or null. Valid until look_again() or the next change of the subsystem that it sees.
  [[nodiscard]] const std::shared_ptr<kv_namespace>* find(std::uint32_t nsid) const noexcept {
    const auto at =
        std::lower_bound(table_->begin(), table_->end(), nsid,
                         [](const std::shared_ptr<kv_namespace>& ns, std::uint32_t id) { return ns->nsid() < id; });
    return at != table_->end() && (*at)->nsid() == nsid ? &*at : nullptr;
  }

  /// Takes over changes of the subsystem's namespaces, and raises the event. Cheap where there are none.
  /// @return whether there were any
  bool look_again() noexcept {
    if (subsystem_->version() == version_) return false;
    version_ = subsystem_->version();
    const std::shared_ptr<const namespace_table> before = std::exchange(table_, subsystem_->namespaces());
    note_changes(*before, *table_);
    events_.raise(async_event::namespaces_changed);
    return true;
  }

  void note_error(std::uint16_t sqid, std::uint16_t cid, status s) noexcept {
    ++error_count_;
    std::move_backward(std::begin(errors_), std::end(errors_) - 1, std::end(errors_));
    errors_[0] = {
        error_count_, sqid, cid,
        static_cast<std::uint16_t>((static_cast<unsigned>(s.sc()) << 1) | (static_cast<unsigned>(s.sct()) << 9))};
  }

  [[nodiscard]] async_events& events() noexcept { return events_; }
  /// Feature 0Bh.
  [[nodiscard]] std::uint32_t wanted_notices() const noexcept { return features_.async_events; }
  /// Feature 0Fh, ms; 0: none. Enforced by transports that have no other way to notice that a client is gone.
  [[nodiscard]] std::uint32_t keep_alive_ms() const noexcept { return features_.keep_alive_ms; }
  /// Feature 20h, bit 0 (EDNEK), of a namespace: whether Delete of an absent key is an error.
  [[nodiscard]] bool delete_reports_absent(std::uint32_t nsid) const noexcept {
    if (delete_reports_absent_.empty()) return false;
    const auto at = delete_reports_absent_.find(nsid);
    return at != delete_reports_absent_.end() && at->second;
  }
  [[nodiscard]] const controller_identity& identity() const noexcept { return identity_; }
  [[nodiscard]] const std::shared_ptr<subsystem>& shared_subsystem() const noexcept { return subsystem_; }

  /// Counted for the SMART log page.
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;

 private:
  static status generic(std::uint8_t sc) noexcept { return {status_code_type::generic, sc}; }
  static status invalid_field() noexcept { return generic(generic_status::invalid_field); }

  struct feature_values {
    std::uint32_t arbitration = 0;
    std::uint32_t power = 0;
    std::uint32_t temperature = 343;
    std::uint32_t coalescing = 0;
    std::uint32_t async_events = 0;
    std::uint32_t keep_alive_ms = 0;
    std::byte host_behavior[512] = {};
  };

  /// Sends the beginning of a page that was built in private memory.
  template <class Data>
  status send(Data& data, const void* page, std::size_t bytes) noexcept {
    list_.clear();
    data.expect(bytes);
    const status s = data.take(bytes, dma_access::write, list_);
    if (!s.ok()) return s;
    scatter_cursor{}.write(list_.spans(), static_cast<const std::byte*>(page), bytes);
    return {};
  }

  // Identify
  // ------------------------------------------------------------------------------------------------------------

  template <class Data>
  status identify(const sqe& c, Data& data) noexcept {
    const auto cns = static_cast<identify_cns>(c.cdw(10) & 0xffu);
    const std::uint32_t csi = c.cdw(11) >> 24;
    const std::uint32_t nsid = c.nsid();
    alignas(64) std::byte page[identify_bytes] = {};
    const auto as = [&page]<class Page>(Page&& p) { std::memcpy(page, &p, sizeof page); };
    const bool kv = csi == static_cast<std::uint32_t>(command_set_id::kv);
    const bool nvm = csi == static_cast<std::uint32_t>(command_set_id::nvm);
    switch (cns) {
      case identify_cns::controller: {
        identify_controller p;
        identify_page::controller(p, subsystem_->options(), identity_);
        as(p);
        break;
      }
      case identify_cns::active_namespaces:
      case identify_cns::csi_active_namespaces: {
        if (nsid >= 0xfffffffeu) return generic(generic_status::invalid_nsid);
        if (cns == identify_cns::csi_active_namespaces && !kv) {
          if (!nvm) return invalid_field();
          break;  // none is NVM
        }
        identify_active_namespaces p;
        identify_page::active_namespaces(p, *table_, nsid);
        as(p);
        break;
      }
      case identify_cns::command_set_vector: {
        identify_command_set_vector p;
        p.combination[0] = 1u << static_cast<unsigned>(command_set_id::kv);
        as(p);
        break;
      }
      case identify_cns::csi_controller: {
        if (nvm) break;  // all zero: no limits of its own
        if (!kv) return invalid_field();
        identify_kv_controller p;
        p.ver = 0x00010000;
        as(p);
        break;
      }
      case identify_cns::namespace_nvm:
      case identify_cns::namespace_descriptors:
      case identify_cns::csi_namespace:
      case identify_cns::csi_independent_namespace: {
        if (nsid == 0 || (nsid > subsystem::max_nsid && nsid != 0xffffffffu))
          return generic(generic_status::invalid_nsid);
        const auto* const found = find(nsid);
        if (cns == identify_cns::csi_namespace && !kv) {
          if (!nvm) return invalid_field();
          break;  // all zero: not a namespace of that command set
        }
        if (found == nullptr) {
          // An inactive nsid has an empty page where the specification says so; the list of descriptors it refuses.
          if (cns == identify_cns::namespace_descriptors || nsid == 0xffffffffu)
            return generic(generic_status::invalid_nsid);
          break;
        }
        const kv_namespace& ns = **found;
        if (cns == identify_cns::namespace_descriptors) {
          identify_page::namespace_descriptors(page, subsystem_->options(), ns);
        } else if (cns == identify_cns::csi_namespace) {
          identify_kv_namespace p;
          identify_page::kv_namespace_page(p, subsystem_->options(), ns);
          as(p);
        } else if (cns == identify_cns::csi_independent_namespace) {
          identify_independent_namespace p;
          p.nmic = 0x01;
          p.nsattr = ns.read_only() ? 1 : 0;
          p.nstat = 0x01;  // ready
          as(p);
        } else {
          // NSZE and NCAP as RADOS-NKV's in-tree target has them: the longest value. No LBA format is there.
          store_le<std::uint64_t>(page, ns.max_value_bytes());
          store_le<std::uint64_t>(page + 8, ns.max_value_bytes());
        }
        break;
      }
      default: return invalid_field();
    }
    return send(data, page, sizeof page);
  }

  // Log pages
  // -----------------------------------------------------------------------------------------------------------

  template <class Data>
  status get_log_page(const sqe& c, Data& data) noexcept {
    const std::uint32_t lid = c.cdw(10) & 0xffu;
    const bool retain = (c.cdw(10) & 0x8000u) != 0;
    // NUMD, 0's based, in dwords.
    const std::uint64_t wanted = (((std::uint64_t{c.cdw(11)} & 0xffffu) << 16 | c.cdw(10) >> 16) + 1) * 4;
    const std::uint64_t offset = std::uint64_t{c.cdw(13)} << 32 | c.cdw(12);
    alignas(64) std::byte page[4096] = {};
    std::size_t bytes = 0;
    bool changes_read = false;
    switch (static_cast<log_page_id>(lid)) {
      case log_page_id::supported_log_pages:
        bytes = 1024;
        for (std::size_t l = 0; l <= 5; ++l) page[4 * l] = std::byte{1};
        break;
      case log_page_id::error_information:
        bytes = 64 * error_entries;
        for (std::size_t i = 0; i < error_entries; ++i) {
          if (errors_[i].count == 0) continue;
          std::byte* const e = page + 64 * i;
          store_le(e, errors_[i].count);
          store_le(e + 8, errors_[i].sqid);
          store_le(e + 10, errors_[i].cid);
          store_le(e + 12, errors_[i].status_field);
          store_le<std::uint16_t>(e + 14, 0xffff);  // no location in a command
        }
        break;
      case log_page_id::smart_health:
        bytes = 512;
        store_le<std::uint16_t>(page + 1, 300);  // kelvin
        page[3] = std::byte{100};
        page[4] = std::byte{10};
        store_le<std::uint64_t>(page + 64, reads);
        store_le<std::uint64_t>(page + 80, writes);
        store_le<std::uint64_t>(page + 112, 1);  // power cycles
        store_le<std::uint64_t>(page + 176, error_count_);
        break;
      case log_page_id::firmware_slot:
        bytes = 512;
        page[0] = std::byte{1};
        {
          identify_controller p;
          identify_page::controller(p, subsystem_->options(), identity_);
          std::memcpy(page + 8, p.fr, sizeof p.fr);
        }
        break;
      case log_page_id::changed_namespaces:
        bytes = 4096;
        if (changed_all_) {
          store_le<std::uint32_t>(page, 0xffffffffu);
        } else {
          std::size_t n = 0;
          for (const std::uint32_t nsid : changed_) store_le(page + 4 * n++, nsid);
        }
        changes_read = !retain;
        break;
      case log_page_id::commands_supported: {
        bytes = 4096;
        const std::uint32_t csi = c.cdw(14) >> 24;
        if (csi > 1) return invalid_field();
        using a = admin_opcode;
        for (const a opc : {a::delete_sq, a::create_sq, a::get_log_page, a::delete_cq, a::create_cq, a::identify,
                            a::abort, a::set_features, a::get_features, a::async_event_request, a::keep_alive})
          page[4 * static_cast<std::size_t>(opc)] = std::byte{1};
        if (csi == static_cast<std::uint32_t>(command_set_id::kv)) {
          using k = kv_opcode;
          for (const k opc : {k::retrieve, k::list, k::exist})
            page[1024 + 4 * static_cast<std::size_t>(opc)] = std::byte{1};
          // Bit 1: changes the namespace's content.
          for (const k opc : {k::store, k::remove}) page[1024 + 4 * static_cast<std::size_t>(opc)] = std::byte{3};
        }
        break;
      }
      default: return {status_code_type::command_specific, command_status::invalid_log_page};
    }
    if (offset % 4 != 0 || offset > bytes) return invalid_field();
    const status s =
        send(data, page + offset, static_cast<std::size_t>(std::min<std::uint64_t>(wanted, bytes - offset)));
    if (!s.ok()) return s;
    if (!retain) events_.acknowledge(static_cast<log_page_id>(lid));
    if (changes_read) {
      changed_.clear();
      changed_all_ = false;
    }
    return {};
  }

  void note_changes(const namespace_table& before, const namespace_table& after) noexcept {
    const auto add = [this](std::uint32_t nsid) {
      try {
        changed_.push_back(nsid);
        std::sort(changed_.begin(), changed_.end());
        changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
      } catch (const std::bad_alloc&) {
        changed_all_ = true;
      }
    };
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < before.size() || j < after.size()) {
      if (j == after.size() || (i < before.size() && before[i]->nsid() < after[j]->nsid())) {
        add(before[i++]->nsid());
      } else if (i == before.size() || after[j]->nsid() < before[i]->nsid()) {
        add(after[j++]->nsid());
      } else {
        if (before[i] != after[j]) add(after[j]->nsid());
        ++i;
        ++j;
      }
    }
    if (changed_.size() > 1024) changed_all_ = true;
  }

  // Features
  // ------------------------------------------------------------------------------------------------------------

  std::uint32_t queues_dw0() const noexcept {
    const std::uint32_t n = max_io_queue_pairs_ - 1u;
    return n << 16 | n;
  }

  template <class Data>
  reply set_features(const sqe& c, Data& data, bool queues_exist) noexcept {
    const auto fid = static_cast<feature_id>(c.cdw(10) & 0xffu);
    const std::uint32_t value = c.cdw(11);
    if ((c.cdw(10) & 0x80000000u) != 0)
      return {{status_code_type::command_specific, command_status::feature_not_saveable}, 0};
    switch (fid) {
      case feature_id::arbitration: features_.arbitration = value; return {};
      case feature_id::power_management:
        if ((value & 0x1fu) != 0) return {invalid_field(), 0};
        features_.power = value;
        return {};
      case feature_id::temperature_threshold: features_.temperature = value; return {};
      case feature_id::number_of_queues:
        if (queues_exist) return {generic(generic_status::command_sequence_error), 0};
        if ((value & 0xffffu) == 0xffffu || value >> 16 == 0xffffu) return {invalid_field(), 0};
        return {{}, queues_dw0()};
      case feature_id::interrupt_coalescing: features_.coalescing = value; return {};
      case feature_id::interrupt_vector_configuration: return {};
      case feature_id::async_event_configuration: features_.async_events = value; return {};
      case feature_id::keep_alive_timer: features_.keep_alive_ms = value; return {};
      case feature_id::host_behavior_support: {
        list_.clear();
        data.expect(sizeof features_.host_behavior);
        const status s = data.take(sizeof features_.host_behavior, dma_access::read, list_);
        if (!s.ok()) return {s, 0};
        scatter_cursor{}.read(list_.spans(), features_.host_behavior, sizeof features_.host_behavior);
        return {};
      }
      case feature_id::command_set_profile:
        if ((value & 0x1ffu) != 0)
          return {{status_code_type::command_specific, command_status::command_set_combination_rejected}, 0};
        return {};
      case feature_id::key_value_configuration: return {set_key_value(c.nsid(), (value & 1u) != 0), 0};
      default: return {invalid_field(), 0};
    }
  }

  status set_key_value(std::uint32_t nsid, bool on) noexcept {
    if (nsid != 0xffffffffu && find(nsid) == nullptr) return generic(generic_status::invalid_nsid);
    try {
      if (nsid != 0xffffffffu) {
        delete_reports_absent_[nsid] = on;
      } else {
        for (const auto& ns : *table_) delete_reports_absent_[ns->nsid()] = on;
      }
    } catch (const std::bad_alloc&) {
      return generic(generic_status::internal_error);
    }
    return {};
  }

  template <class Data>
  reply get_features(const sqe& c, Data& data) noexcept {
    const auto fid = static_cast<feature_id>(c.cdw(10) & 0xffu);
    const std::uint32_t select = (c.cdw(10) >> 8) & 7u;
    if (select > 3) return {invalid_field(), 0};
    const bool of_namespace = fid == feature_id::key_value_configuration;
    const feature_values defaults;
    // Nothing is saveable: the saved value is the default one.
    const feature_values& from = select == 0 ? features_ : defaults;
    std::uint32_t value = 0;
    switch (fid) {
      case feature_id::arbitration: value = from.arbitration; break;
      case feature_id::power_management: value = from.power; break;
      case feature_id::temperature_threshold: value = from.temperature; break;
      case feature_id::number_of_queues: value = queues_dw0(); break;
      case feature_id::interrupt_coalescing: value = from.coalescing; break;
      case feature_id::interrupt_vector_configuration: value = c.cdw(11) & 0xffffu; break;
      case feature_id::async_event_configuration: value = from.async_events; break;
      case feature_id::keep_alive_timer: value = from.keep_alive_ms; break;
      case feature_id::command_set_profile: break;
      case feature_id::host_behavior_support:
        if (select != 3) return {send(data, from.host_behavior, sizeof from.host_behavior), 0};
        break;
      case feature_id::key_value_configuration:
        if (find(c.nsid()) == nullptr) return {generic(generic_status::invalid_nsid), 0};
        value = select == 0 && delete_reports_absent(c.nsid()) ? 1 : 0;
        break;
      default: return {invalid_field(), 0};
    }
    // Supported capabilities: bit 2 changeable, bit 1 of a namespace, bit 0 saveable.
    if (select == 3) value = 0x4u | (of_namespace ? 0x2u : 0u);
    return {{}, value};
  }

  static constexpr std::size_t error_entries = 16;

  std::shared_ptr<subsystem> subsystem_;
  controller_identity identity_;
  std::uint16_t max_io_queue_pairs_;
  std::shared_ptr<const namespace_table> table_;
  std::uint64_t version_ = 0;
  feature_values features_;
  async_events events_;
  std::unordered_map<std::uint32_t, bool> delete_reports_absent_;
  std::vector<std::uint32_t> changed_;
  bool changed_all_ = false;
  error_entry errors_[error_entries];
  std::uint64_t error_count_ = 0;
  scatter_list list_;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
