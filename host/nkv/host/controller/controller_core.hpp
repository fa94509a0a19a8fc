// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/command/admin.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/controller/admin_queue.hpp>
#include <nkv/host/controller/async_event.hpp>
#include <nkv/host/controller/controller_options.hpp>
#include <nkv/host/controller/namespace_info.hpp>
#include <nkv/host/controller/queue_memory.hpp>
#include <nkv/host/deadline_lock.hpp>
#include <nkv/host/memory/attachment.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// The controller that `controller` and `queue_pair` share: registers, admin queue, what Identify said, which queues
/// there are. Use `controller`; this is what it is made of.
///
/// Any thread. One call at a time has the controller; the others wait for it, which counts against their own deadlines.
class controller_core {
 public:
  /// The queues of one time between two enablings of the controller. A queue pair of an earlier one does not exist
  /// there any more.
  using epoch = std::uint64_t;

  struct granted_queue {
    std::uint16_t qid = 0;
    bool interrupts = false;
    epoch when = 0;
  };

  /// Enables the controller behind `transport` and identifies it.
  /// @return it, or
  ///         - client/timed_out         the deadline passed, or CSTS.RDY did not follow CC.EN within CAP.TO
  ///         - client/controller_fatal  CSTS.CFS
  ///         - client/protocol_error    registers that make no sense
  ///         - client/unsupported       memory pages above 2 MiB, doorbells further apart than a page, or no CC.CSS for
  ///         us
  ///         - a status of Identify, or what the transport says
  [[nodiscard]] static host::result<std::shared_ptr<controller_core>> create(
      std::unique_ptr<memory_transport> transport, const controller_options& options, deadline until) {
    host::result<std::shared_ptr<attachment>> a = attachment::create(std::move(transport));
    if (!a) return a.error();
    std::shared_ptr<controller_core> core(new controller_core(*std::move(a), options));
    if (const status s = core->bring_up(until); !s.ok()) return s;
    return core;
  }

  controller_core(const controller_core&) = delete;
  controller_core& operator=(const controller_core&) = delete;
  /// Shuts the controller down, where that was not done.
  ~controller_core() { static_cast<void>(shutdown(deadline::after_ms(options_.teardown_ms)).ok()); }

  // What it is. Does not change after create().

  [[nodiscard]] const std::shared_ptr<attachment>& attached() const noexcept { return attachment_; }
  [[nodiscard]] const controller_options& options() const noexcept { return options_; }
  [[nodiscard]] const controller_capabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  [[nodiscard]] const identify_controller& identity() const noexcept { return identity_; }
  [[nodiscard]] std::uint32_t page_bytes() const noexcept { return page_bytes_; }
  [[nodiscard]] std::uint32_t max_queue_pairs() const noexcept { return max_queue_pairs_; }

  // Admin commands
  // -----------------------------------------------------------------------------------------------------

  /// @see admin_queue::execute
  [[nodiscard]] completion execute(const sqe& command, mutable_byte_span into, deadline until) {
    // Before the lock: in a child it may be held for ever by a thread that was not forked.
    if (attachment_->forked()) return {client_status::forked, 0};
    const deadline_lock lock(control_, until);
    if (!lock) return {client_status::timed_out, 0};
    return execute_locked(command, into, until);
  }

  /// @param[out] page 4096 bytes
  [[nodiscard]] status identify(identify_cns cns, std::uint32_t nsid, command_set_id csi, mutable_byte_span page,
                                deadline until) {
    return execute(admin_identify(cns, nsid, {}, csi), page, until).status;
  }

  /// nsids of active namespaces, from one list of Identify, in rising order, at most `most` of them. A list that does
  /// not rise ends there.
  [[nodiscard]] host::result<std::vector<std::uint32_t>> active_list(identify_cns cns, command_set_id csi,
                                                                     std::size_t most, deadline until) {
    std::vector<std::uint32_t> all;
    const auto page = std::make_unique<identify_active_namespaces>();
    for (std::uint32_t after = 0;;) {
      const status s = identify(cns, after, csi, bytes_of(*page), until);
      if (!s.ok()) return s;
      std::size_t n = 0;
      for (const std::uint32_t nsid : page->nsid) {
        if (nsid <= after || nsid >= broadcast_nsid || all.size() >= most) break;
        all.push_back(nsid);
        after = nsid;
        ++n;
      }
      if (n < std::size(page->nsid) || all.size() >= most) return all;
    }
  }

  /// What the controller says of namespace `nsid`: its command set by CNS 03h, and what KV has to say by CNS 05h. Where
  /// CNS 03h does not tell, a place in the KV command set's own list (CNS 07h) does.
  /// @return it; client/not_found for an nsid that is not active; a status of Identify
  [[nodiscard]] nkv::result<namespace_info> identify_namespace(std::uint32_t nsid, deadline until) {
    if (nsid == 0 || nsid >= broadcast_nsid) return status{client_status::not_found};
    namespace_info info;
    info.nsid = nsid;
    const auto page = std::make_unique<std::byte[]>(identify_bytes);
    const mutable_byte_span whole{page.get(), identify_bytes};
    const status described = identify(identify_cns::namespace_descriptors, nsid, command_set_id::nvm, whole, until);
    if (described.ok()) {
      info.csi = csi_of_namespace_descriptors(page.get());
    } else if (described.is_client()) {
      return described;
    } else if (described == status(status_code_type::generic, generic_status::invalid_nsid)) {
      return status{client_status::not_found};
    }
    if (info.csi == namespace_info::unknown_command_set) {
      const auto kv = active_list(identify_cns::csi_active_namespaces, command_set_id::kv, max_namespaces, until);
      if (!kv && kv.error().is_client()) return kv.error();
      if (kv && std::binary_search(kv->begin(), kv->end(), nsid)) info.csi = static_cast<unsigned>(command_set_id::kv);
    }
    if (!info.is_kv()) {
      // CNS 03h of an nsid that is not active may succeed with nothing in it.
      if (info.csi != namespace_info::unknown_command_set) return info;
      const auto active = active_list(identify_cns::active_namespaces, command_set_id::nvm, max_namespaces, until);
      if (!active && active.error().is_client()) return active.error();
      if (active && !std::binary_search(active->begin(), active->end(), nsid)) return status{client_status::not_found};
      return info;
    }
    const status s = identify(identify_cns::csi_namespace, nsid, command_set_id::kv, whole, until);
    if (!s.ok()) {
      if (s == status(status_code_type::generic, generic_status::invalid_nsid)) return status{client_status::not_found};
      return s;
    }
    identify_kv_namespace kv;
    std::memcpy(static_cast<void*>(&kv), page.get(), sizeof kv);
    info.format = kv.active_format();
    info.used = kv.nuse;
    info.counts_formats_from_1 = kv.counts_formats_from_1();
    info.vendor_capabilities = kv.vendor[0];
    return info;
  }

  /// Every active namespace, of any command set, by rising nsid; at most 1024.
  [[nodiscard]] host::result<std::vector<namespace_info>> namespaces(deadline until) {
    auto active = active_list(identify_cns::active_namespaces, command_set_id::nvm, max_namespaces, until);
    if (!active && active.error().is_client()) return active.error();
    // Some targets list there what belongs to the NVM command set only.
    const auto kv = active_list(identify_cns::csi_active_namespaces, command_set_id::kv, max_namespaces, until);
    if (!kv && kv.error().is_client()) return kv.error();
    if (!active && !kv) return active.error();
    std::vector<std::uint32_t> nsids;
    if (active) nsids = *active;
    if (kv) nsids.insert(nsids.end(), kv->begin(), kv->end());
    std::sort(nsids.begin(), nsids.end());
    nsids.erase(std::unique(nsids.begin(), nsids.end()), nsids.end());
    if (nsids.size() > max_namespaces) nsids.resize(max_namespaces);
    std::vector<namespace_info> all;
    for (const std::uint32_t nsid : nsids) {
      const nkv::result<namespace_info> info = identify_namespace(nsid, until);
      if (info) {
        all.push_back(*info);
      } else if (info.error().is_client() && !(info.error() == status(client_status::not_found))) {
        return info.error();
      }
      // One that went away meanwhile, or that only this one cannot be asked about, does not hide the others.
    }
    return all;
  }

  // Queues
  // -------------------------------------------------------------------------------------------------------------

  /// Creates the completion queue, then the submission queue, over `memory`.
  /// @param event_fd an eventfd for the interrupts of the completion queue; -1: it has none
  /// @return their id; client/queue_full where all queue pairs are in use; a status of the controller. Where the fate
  /// of
  ///         a queue is not known (timed out), its id is not used again before a reset, and `fate_known` is false
  [[nodiscard]] nkv::result<granted_queue> create_queues(const queue_memory& memory, int event_fd, bool& fate_known,
                                                         deadline until) {
    fate_known = true;
    if (attachment_->forked()) return status{client_status::forked};
    const deadline_lock lock(control_, until);
    if (!lock) return status{client_status::timed_out};
    if (const status s = attachment_->usable(); !s.ok()) return s;
    const std::uint16_t qid = free_qid();
    if (qid == 0) return status{client_status::queue_full};
    const bool interrupts = event_fd >= 0;
    if (interrupts) {
      if (const status s = attachment_->transport().set_interrupt(qid, event_fd, until); !s.ok()) return s;
    }
    qids_[qid].taken = true;
    const queue_shape shape = memory.shape();
    status s = execute_locked(admin_create_cq(qid, shape.cq_entries, memory.cq_address(), interrupts,
                                              interrupts ? qid : std::uint16_t{0}),
                              {}, until)
                   .status;
    if (!s.ok()) {
      fate_known = !s.is_client();
      if (fate_known) qids_[qid].taken = false;
      return s;
    }
    s = execute_locked(admin_create_sq(qid, shape.sq_entries, memory.sq_address(), qid), {}, until).status;
    if (!s.ok()) {
      fate_known = !s.is_client() && execute_locked(admin_delete_cq(qid), {}, until).status.ok();
      if (fate_known) qids_[qid].taken = false;
      return s;
    }
    live_.push_back(qid);
    return granted_queue{qid, interrupts, epoch_};
  }

  /// Deletes the submission queue, then the completion queue.
  /// @return whether the controller uses neither any more
  [[nodiscard]] bool delete_queues(const granted_queue& queue, deadline until) {
    const deadline_lock lock(control_, until);
    if (!lock) return false;
    if (queue.when != epoch_) return true;  // a reset took them away
    if (!attachment_->usable().ok()) return attachment_->liveness() == queue_liveness::fenced;
    const bool gone = delete_locked(queue.qid, until);
    // Best effort: a vector that no completion queue names is never raised.
    if (queue.interrupts) static_cast<void>(attachment_->transport().set_interrupt(queue.qid, -1, until).ok());
    return gone;
  }

  // Its life
  // -----------------------------------------------------------------------------------------------------------

  /// Looks at the connection and at CSTS.
  /// @return success; client/disconnected; client/controller_fatal: CSTS.CFS, or the controller was disabled by
  /// somebody
  ///         else; a failed read. After the first two, queues are lost (and fenced, where that is certain)
  [[nodiscard]] status check(deadline until) {
    if (attachment_->forked()) return client_status::forked;
    if (attachment_->look() != queue_liveness::open) {
      return fatal_ ? status(client_status::controller_fatal) : status(client_status::disconnected);
    }
    const nkv::result<std::uint32_t> csts = read32(reg::csts, until);
    if (!csts) {
      attachment_->look();
      return csts.error();
    }
    const controller_status now{*csts};
    if (now.ready() && !now.fatal()) return {};
    const deadline_lock lock(control_, until);
    if (!lock) return client_status::timed_out;
    // A reset of ours, which was under way, is none of this.
    const nkv::result<std::uint32_t> again = read32(reg::csts, until);
    if (!again) return again.error();
    if (controller_status{*again}.ready() && !controller_status{*again}.fatal()) return {};
    fatal_ = true;
    attachment_->declare_lost();
    return client_status::controller_fatal;
  }

  /// The next thing that the controller has to say, if any.
  /// @return it; client/would_block where there is none; what check() returns
  [[nodiscard]] nkv::result<async_event> poll_event(deadline until) {
    if (attachment_->forked()) return status{client_status::forked};
    const deadline_lock lock(control_, until);
    if (!lock) return status{client_status::timed_out};
    if (const status s = attachment_->usable(); !s.ok()) return s;
    for (std::size_t i = 0; i < events_.size();) {
      const completion c = admin_.ref().poll(events_[i]);
      if (c.status.is_client()) {
        ++i;
        continue;
      }
      static_cast<void>(admin_.ref().consume(events_[i]).ok());
      events_.erase(events_.begin() + static_cast<std::ptrdiff_t>(i));
      if (!c.status.ok()) continue;  // this controller takes no more of them
      const async_event event = async_event::from_dw0(c.dw0);
      // Reading the page that the event names lets the next event of its kind come.
      std::byte page[512];
      static_cast<void>(
          execute_locked(admin_get_log_page(static_cast<log_page_id>(event.log_page), broadcast_nsid, sizeof page, {}),
                         {page, sizeof page}, until)
              .status.ok());
      request_event();
      return event;
    }
    return status{client_status::would_block};
  }

  /// Disables the controller and enables it again. All queue pairs end: their commands as disconnected, and nothing is
  /// written into any memory any more. Registered memory stays registered.
  /// @return success; client/timed_out: the controller did not follow, and its queues stay lost; client/disconnected; a
  ///         status of bringing it up
  [[nodiscard]] status reset(deadline until) {
    if (attachment_->forked()) return client_status::forked;
    const deadline_lock lock(control_, until);
    if (!lock) return client_status::timed_out;
    if (closed_ || !attachment_->transport().connected()) {
      attachment_->look();
      return client_status::disconnected;
    }
    attachment_->declare_lost();
    status s = disable(until);
    if (!s.ok() && !until.expired() && attachment_->transport().reset(until).ok()) s = wait_ready(false, until);
    if (!s.ok()) {
      attachment_->look();
      return s;
    }
    attachment_->declare_fenced();
    forget_queues();
    s = start(until);
    return s.ok() ? introduce(until, false) : s;
  }

  /// Ends everything in order: I/O queues deleted, submission before completion; a normal shutdown; the controller
  /// disabled; memory taken back. Queue pairs and registrations that still exist are dead; the connection closes when
  /// the last of them is gone. Done once; later calls do nothing.
  /// @return success where the controller followed to the end
  [[nodiscard]] status shutdown(deadline until) {
    if (attachment_->forked()) return client_status::forked;
    const deadline_lock lock(control_, until);
    if (!lock) return client_status::timed_out;
    if (closed_) return {};
    closed_ = true;
    status s{};
    if (attachment_->look() == queue_liveness::open && enabled_) {
      while (!live_.empty() && !until.expired()) {
        if (!delete_locked(live_.back(), until)) break;
      }
      s = notify_shutdown(until);
    }
    if (attachment_->transport().connected()) {
      attachment_->declare_lost();
      const status disabled = disable(until);
      if (disabled.ok()) attachment_->declare_fenced();
      if (s.ok()) s = disabled;
    } else {
      attachment_->look();
      s = client_status::disconnected;
    }
    if (attachment_->liveness() == queue_liveness::fenced) attachment_->unmap_all(until);
    forget_queues();
    admin_.dispose(until);
    return s;
  }

 private:
  static constexpr std::uint32_t broadcast_nsid = 0xffffffffu;
  static constexpr std::size_t max_namespaces = 1024;
  static constexpr std::uint32_t max_page_bytes = 2u << 20;
  static constexpr std::uint32_t max_stride_bytes = 4096;
  static constexpr std::size_t max_events = 4;
  static constexpr std::uint32_t namespace_attribute_notices = 0x100;

  controller_core(std::shared_ptr<attachment> a, const controller_options& options)
      : attachment_(std::move(a)), options_(options) {}

  template <class T>
  static mutable_byte_span bytes_of(T& page) noexcept {
    return {reinterpret_cast<std::byte*>(&page), sizeof page};
  }

  [[nodiscard]] nkv::result<std::uint32_t> read32(std::uint32_t offset, deadline until) {
    const nkv::result<std::uint64_t> r = attachment_->transport().read_register(offset, 4, until);
    if (!r) return r.error();
    return static_cast<std::uint32_t>(*r);
  }
  [[nodiscard]] status write32(std::uint32_t offset, std::uint32_t value, deadline until) {
    return attachment_->transport().write_register(offset, 4, value, until);
  }

  [[nodiscard]] completion execute_locked(const sqe& command, mutable_byte_span into, deadline until) {
    if (const status s = attachment_->usable(); !s.ok()) return {s, 0};
    return admin_.execute(command, into, until);
  }

  status bring_up(deadline until) {
    const std::lock_guard lock(control_);
    memory_transport& t = attachment_->transport();
    const nkv::result<std::uint64_t> cap = t.read_register(reg::cap, 8, until);
    if (!cap) return cap.error();
    capabilities_.raw = *cap;
    if (*cap == ~std::uint64_t{0} || capabilities_.max_queue_entries() < 2) return client_status::protocol_error;
    if (capabilities_.min_page_bytes() > max_page_bytes || capabilities_.doorbell_stride_bytes() > max_stride_bytes)
      return client_status::unsupported;
    page_bytes_ = capabilities_.min_page_bytes();
    const nkv::result<std::uint32_t> vs = read32(reg::vs, until);
    if (!vs) return vs.error();
    version_ = *vs;
    if (const status s = disable(until); !s.ok()) return s;

    host::result<admin_queue> q =
        admin_queue::create(attachment_, page_bytes_, capabilities_.doorbell_stride_bytes(), until);
    if (!q) return q.error();
    admin_ = *std::move(q);
    if (const status s = start(until); !s.ok()) return s;
    if (const status s =
            execute_locked(admin_identify(identify_cns::controller, 0, {}), bytes_of(identity_), until).status;
        !s.ok())
      return s;
    return introduce(until, true);
  }

  /// Enables the disabled controller with an empty admin queue.
  status start(deadline until) {
    fatal_ = false;
    attachment_->reopen();
    admin_.initialize();
    const status s = enable(until);
    if (!s.ok()) attachment_->declare_lost();
    return s;
  }

  /// Says what we want of a controller that was just enabled.
  /// @param first false: what it grants is what it granted before
  status introduce(deadline until, bool first) {
    if (const status s = ask_for_queues(until, first); !s.ok()) return s;
    if ((identity_.oaes & namespace_attribute_notices) != 0) {
      static_cast<void>(
          execute_locked(admin_set_features(feature_id::async_event_configuration, namespace_attribute_notices), {},
                         until)
              .status.ok());
    }
    const std::size_t events = std::min<std::size_t>(identity_.aerl + std::size_t{1}, max_events);
    for (std::size_t i = 0; i < events; ++i) request_event();
    return {};
  }

  status enable(deadline until) {
    if (const status s = write32(reg::aqa, admin_queue::attributes(), until); !s.ok()) return s;
    memory_transport& t = attachment_->transport();
    if (const status s = t.write_register(reg::asq, 8, admin_.sq_address(), until); !s.ok()) return s;
    if (const status s = t.write_register(reg::acq, 8, admin_.cq_address(), until); !s.ok()) return s;
    const std::uint32_t command_sets = capabilities_.supports_io_command_sets() ? 6 : 0;
    std::uint32_t shift = 0;
    while ((std::uint32_t{4096} << shift) < page_bytes_) ++shift;
    if (const status s = write32(reg::cc, controller_configuration::enable(command_sets, shift).raw, until); !s.ok())
      return s;
    if (const status s = wait_ready(true, until); !s.ok()) return s;
    enabled_ = true;
    return {};
  }

  /// CC.EN = 0, and CSTS.RDY = 0 seen: the controller touches no memory after that.
  status disable(deadline until) {
    const nkv::result<std::uint32_t> cc = read32(reg::cc, until);
    if (!cc) return cc.error();
    const controller_configuration now{*cc};
    if (now.enabled()) {
      if (const status s = write32(reg::cc, now.with_shutdown(0).disabled().raw, until); !s.ok()) return s;
    }
    if (const status s = wait_ready(false, until); !s.ok()) return s;
    enabled_ = false;
    return {};
  }

  status wait_ready(bool wanted, deadline until) {
    // CAP.TO bounds both directions (NVMe Base 2.0, Figure 36); 0 would be no time at all.
    const deadline promised = deadline::after_ms(std::max(capabilities_.ready_timeout_ms(), min_ready_ms));
    const deadline last = promised.at_ns() < until.at_ns() ? promised : until;
    for (std::uint32_t looks = 0;; ++looks) {
      const nkv::result<std::uint32_t> csts = read32(reg::csts, until);
      if (!csts) return csts.error();
      if (*csts == ~std::uint32_t{0}) return client_status::protocol_error;
      const controller_status now{*csts};
      if (wanted && now.fatal()) return client_status::controller_fatal;
      if (now.ready() == wanted) return {};
      if (last.expired()) return client_status::timed_out;
      pause(looks);
    }
  }

  status notify_shutdown(deadline until) {
    const nkv::result<std::uint32_t> cc = read32(reg::cc, until);
    if (!cc) return cc.error();
    if (const status s = write32(reg::cc, controller_configuration{*cc}.with_shutdown(1).raw, until); !s.ok()) return s;
    for (std::uint32_t looks = 0;; ++looks) {
      const nkv::result<std::uint32_t> csts = read32(reg::csts, until);
      if (!csts) return csts.error();
      const controller_status now{*csts};
      if (now.shutdown() == 2 || !now.ready()) return {};
      if (now.fatal()) return client_status::controller_fatal;
      // A controller that does not answer it is disabled all the same.
      if (until.left_ns() < shutdown_reserve_ns) return client_status::timed_out;
      pause(looks);
    }
  }

  static void pause(std::uint32_t looks) noexcept {
    if (looks < looks_before_sleep) {
      steady_clock::relax(looks);
      return;
    }
    const timespec t{0, looks < 200 ? 100'000 : 1'000'000};
    ::nanosleep(&t, nullptr);
  }

  status ask_for_queues(deadline until, bool first) {
    const std::uint32_t asked = std::clamp<std::uint32_t>(options_.queue_pairs, 1, 65535 - 1);
    const completion c =
        execute_locked(admin_set_features(feature_id::number_of_queues, number_of_queues(asked, asked)), {}, until);
    if (c.status.is_client()) return c.status;
    if (!first) return {};
    max_queue_pairs_ = asked;
    if (c.status.ok()) {
      const std::uint32_t granted = std::min(c.dw0 & 0xffffu, c.dw0 >> 16) + 1;
      max_queue_pairs_ = std::min(asked, granted);
    }
    // A controller that does not know the feature says at Create how many it has.
    qids_.assign(max_queue_pairs_ + 1, {});
    return {};
  }

  void request_event() {
    const auto r = admin_.ref().reserve();
    if (!r) return;
    events_.push_back(admin_.ref().post(*r, admin_async_event_request()));
    admin_.ref().ring();
  }

  /// The lowest id of those that no reset took from a queue, or else of those whose reset is longest ago: a thread that
  /// looked just before a reset may still ring the queue that is gone, and the next queue is to have another's
  /// doorbell.
  [[nodiscard]] std::uint16_t free_qid() const noexcept {
    std::size_t best = 0;
    for (std::size_t q = 1; q < qids_.size(); ++q) {
      if (!qids_[q].taken && (best == 0 || qids_[q].reset_in < qids_[best].reset_in)) best = q;
    }
    return static_cast<std::uint16_t>(best);
  }

  bool delete_locked(std::uint16_t qid, deadline until) {
    live_.erase(std::remove(live_.begin(), live_.end(), qid), live_.end());
    const status sq = execute_locked(admin_delete_sq(qid), {}, until).status;
    if (!sq.ok()) return false;
    // With its submission queue gone no command can write into memory; what is left of the completion queue only keeps
    // the id from being used again, and the memory from being given back.
    if (!execute_locked(admin_delete_cq(qid), {}, until).status.ok()) return false;
    if (qid < qids_.size()) qids_[qid].taken = false;
    return true;
  }

  void forget_queues() {
    ++epoch_;
    for (qid_state& q : qids_) {
      if (q.taken) q = {false, epoch_};
    }
    live_.clear();
    events_.clear();
  }

  struct qid_state {
    bool taken = false;  // in use, or of unknown fate
    epoch reset_in = 0;  // the newest epoch that began while it was taken
  };

  static constexpr std::uint32_t min_ready_ms = 500;
  static constexpr std::uint32_t looks_before_sleep = 20;
  static constexpr std::uint64_t shutdown_reserve_ns = 200'000'000;

  std::shared_ptr<attachment> attachment_;
  const controller_options options_;
  controller_capabilities capabilities_{};
  std::uint32_t version_ = 0;
  std::uint32_t page_bytes_ = 4096;
  std::uint32_t max_queue_pairs_ = 0;
  identify_controller identity_{};

  std::mutex control_;  // what follows, and the registers
  admin_queue admin_;
  epoch epoch_ = 1;
  std::vector<qid_state> qids_;      // by id
  std::vector<std::uint16_t> live_;  // created and not deleted
  std::vector<ticket> events_;       // Asynchronous Event Requests
  bool enabled_ = false;
  bool closed_ = false;
  std::atomic<bool> fatal_{false};
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
