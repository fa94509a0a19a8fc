// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/memory_transport.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace nkv_test {

using namespace nkv;

/// A controller that does what a test says, written apart from the library's target and from its queues: it reads the
/// client's memory where the entries say that it lies. Nothing is mapped: a doorbell is a register write, and the
/// answer stands in the completion queue before the write returns, unless the test holds it back.
///
/// The script outlives the transport, which a controller owns; both share it.
struct script {
  struct answer {
    nkv::status status{};
    std::uint32_t dw0 = 0;
    bool hold = false;  ///< no completion until release()
  };
  struct held {
    std::uint16_t qid;
    std::uint16_t cid;
  };

  // Registers.
  std::uint64_t cap = 0x0000'0800'1401'00ff;  // IOCS, TO 10 s, CQR, MQES 256
  std::uint32_t vs = 0x00020000;
  std::uint32_t cc = 0;
  std::uint32_t csts = 0;
  std::uint32_t aqa = 0;
  std::uint64_t asq = 0;
  std::uint64_t acq = 0;
  bool never_ready = false;
  bool never_disables = false;
  bool fatal_on_enable = false;
  unsigned enables = 0;
  std::vector<std::uint32_t> cc_written;

  // The connection.
  std::atomic<bool> lost{false};
  std::atomic<bool> gone{false};
  bool by_fd = true;
  bool refuse_map = false;
  host::doorbell_page doorbells{};  ///< none unless a test has some
  bool refuse_unmap = false;
  std::map<std::uintptr_t, std::uint64_t> mapped;
  std::vector<std::uintptr_t> unmapped;
  unsigned resets = 0;

  // What it is.
  identify_controller identity{};
  std::map<std::uint32_t, unsigned> namespaces;       // nsid -> CSI
  std::map<std::uint32_t, identify_kv_namespace> kv;  // nsid -> CNS 05h
  bool has_cns07 = true;
  bool has_cns03 = true;
  bool kv_in_cns02 = true;
  std::uint32_t queues_granted = 64;

  /// Looks at a command first; what it does not answer is answered in the usual way.
  std::function<std::optional<answer>(std::uint16_t qid, const sqe&)> on_command;
  std::vector<sqe> admin_commands;
  std::vector<sqe> io_commands;

  struct queue {
    const sqe* sq = nullptr;
    cqe* cq = nullptr;
    std::uint32_t sq_entries = 0;
    std::uint32_t cq_entries = 0;
    std::uint32_t sq_head = 0;
    std::uint32_t cq_tail = 0;
    bool phase = true;
  };
  std::map<std::uint16_t, queue> queues;
  std::vector<held> held_back;
  std::vector<std::uint16_t> events;                             // CIDs of Asynchronous Event Requests
  std::vector<std::pair<std::uint16_t, std::uint16_t>> created;  // order of Create (sq = qid, cq = qid | 8000h)
  std::vector<std::uint16_t> deleted;
  bool sq_dirty_at_create = false;
  mutable std::recursive_mutex mutex;

  script() {
    identity.vid = 0x1234;
    identity.mdts = 0;
    identity.aerl = 3;
    identity.sqes = 0x66;
    identity.cqes = 0x44;
    identity.nn = 16;
    identity.sgls = sgls::byte_granular;
  }

  void add_kv(std::uint32_t nsid, std::uint16_t kvkml = 16, std::uint32_t kvvml = 1u << 20) {
    namespaces[nsid] = 1;
    kv[nsid].kvf[0].kvkml = kvkml;
    kv[nsid].kvf[0].kvvml = kvvml;
  }

  /// Completes what was held back, oldest first.
  void release(nkv::status s = {}, std::uint32_t dw0 = 0) {
    const std::lock_guard lock(mutex);
    for (const held& h : std::exchange(held_back, {})) complete(h.qid, h.cid, s, dw0);
  }
  void raise_event(std::uint32_t dw0, nkv::status s = {}) {
    const std::lock_guard lock(mutex);
    if (events.empty()) return;
    const std::uint16_t cid = events.front();
    events.erase(events.begin());
    complete(0, cid, s, dw0);
  }

  void complete(std::uint16_t qid, std::uint16_t cid, nkv::status s, std::uint32_t dw0) {
    const auto at = queues.find(qid);
    if (at == queues.end()) return;
    queue& q = at->second;
    const cqe entry = cqe::make(dw0, static_cast<std::uint16_t>(q.sq_head), qid, cid, s, q.phase);
    cqe& slot = q.cq[q.cq_tail];
    slot.dw[0] = entry.dw[0];
    slot.dw[1] = 0;
    slot.dw[2] = entry.dw[2];
    __atomic_store_n(&slot.dw[3], entry.dw[3], __ATOMIC_RELEASE);
    if (++q.cq_tail == q.cq_entries) {
      q.cq_tail = 0;
      q.phase = !q.phase;
    }
  }

  void write_cc(std::uint32_t value) {
    cc_written.push_back(value);
    const bool was = (cc & 1u) != 0;
    cc = value;
    if (!was && (value & 1u) != 0) {
      ++enables;
      if (never_ready) return;
      if (fatal_on_enable) {
        csts |= 2u;
        return;
      }
      queue q;
      q.sq = reinterpret_cast<const sqe*>(asq);
      q.cq = reinterpret_cast<cqe*>(acq);
      q.sq_entries = (aqa & 0xfffu) + 1;
      q.cq_entries = ((aqa >> 16) & 0xfffu) + 1;
      queues[0] = q;
      csts = 1;
    }
    if (was && (value & 1u) == 0) {
      if (never_disables) return;
      csts = 0;
      queues.clear();
      held_back.clear();
      events.clear();
    }
    if (((value >> 14) & 3u) != 0) csts |= 8u;
  }

  void ring(std::uint16_t qid, std::uint32_t tail) {
    const auto at = queues.find(qid);
    if (at == queues.end() || tail >= at->second.sq_entries) return;
    while (at->second.sq_head != tail) {
      const sqe command = at->second.sq[at->second.sq_head];
      at->second.sq_head = (at->second.sq_head + 1) % at->second.sq_entries;
      run(qid, command);
      if (queues.find(qid) == queues.end()) return;
    }
  }

  void run(std::uint16_t qid, const sqe& command) {
    (qid == 0 ? admin_commands : io_commands).push_back(command);
    if (on_command) {
      if (const std::optional<answer> a = on_command(qid, command)) {
        if (a->hold) {
          held_back.push_back({qid, command.cid()});
        } else {
          complete(qid, command.cid(), a->status, a->dw0);
        }
        return;
      }
    }
    if (qid != 0) {
      complete(qid, command.cid(), {status_code_type::generic, generic_status::key_does_not_exist}, 0);
      return;
    }
    if (command.opc() == static_cast<std::uint8_t>(admin_opcode::async_event_request)) {
      events.push_back(command.cid());
      return;
    }
    const answer a = admin(command);
    complete(0, command.cid(), a.status, a.dw0);
  }

  template <class T>
  static answer page(const sqe& command, const T& data) {
    static_assert(sizeof data == identify_bytes);
    std::memcpy(reinterpret_cast<void*>(command.dptr().low), &data, sizeof data);
    return {};
  }
  static answer refuse(std::uint8_t sc, status_code_type sct = status_code_type::generic) {
    return {{sct, sc}, 0, false};
  }

  answer admin(const sqe& command) {
    const auto qid = static_cast<std::uint16_t>(command.cdw(10));
    const std::uint32_t entries = (command.cdw(10) >> 16) + 1;
    switch (static_cast<admin_opcode>(command.opc())) {
      case admin_opcode::identify: return identify(command);
      case admin_opcode::set_features:
        if ((command.cdw(10) & 0xffu) == 7) return {{}, (queues_granted - 1) | ((queues_granted - 1) << 16), false};
        return {};
      case admin_opcode::create_cq: {
        if (entries > (cap & 0xffffu) + 1)
          return refuse(command_status::invalid_queue_size, status_code_type::command_specific);
        queue& q = queues[qid];
        q.cq = reinterpret_cast<cqe*>(command.dptr().low);
        q.cq_entries = entries;
        created.emplace_back(std::uint16_t{1}, qid);
        return {};
      }
      case admin_opcode::create_sq: {
        const auto at = queues.find(qid);
        if (at == queues.end()) return refuse(command_status::invalid_cq, status_code_type::command_specific);
        if (entries > (cap & 0xffffu) + 1)
          return refuse(command_status::invalid_queue_size, status_code_type::command_specific);
        at->second.sq = reinterpret_cast<const sqe*>(command.dptr().low);
        at->second.sq_entries = entries;
        for (std::uint32_t i = 0; i < entries; ++i)
          for (const std::uint32_t dw : at->second.sq[i].dw) sq_dirty_at_create = sq_dirty_at_create || dw != 0;
        // As SPDK's target does: whatever stood there before is gone.
        std::memset(reinterpret_cast<void*>(command.dptr().low), 0, sizeof(sqe) * entries);
        created.emplace_back(std::uint16_t{0}, qid);
        return {};
      }
      case admin_opcode::delete_sq: {
        const auto at = queues.find(qid);
        if (at == queues.end() || at->second.sq == nullptr)
          return refuse(command_status::invalid_qid, status_code_type::command_specific);
        at->second.sq = nullptr;
        at->second.sq_entries = 0;
        std::erase_if(held_back, [qid](const held& h) { return h.qid == qid; });
        deleted.push_back(qid);
        return {};
      }
      case admin_opcode::delete_cq: {
        const auto at = queues.find(qid);
        if (at == queues.end()) return refuse(command_status::invalid_qid, status_code_type::command_specific);
        if (at->second.sq != nullptr)
          return refuse(command_status::invalid_queue_deletion, status_code_type::command_specific);
        queues.erase(at);
        deleted.push_back(static_cast<std::uint16_t>(qid | 0x8000u));
        return {};
      }
      case admin_opcode::get_log_page: return {};
      default: return refuse(generic_status::invalid_opcode);
    }
  }

  answer identify(const sqe& command) {
    const auto cns = static_cast<identify_cns>(command.cdw(10) & 0xffu);
    const unsigned csi = command.cdw(11) >> 24;
    const std::uint32_t nsid = command.nsid();
    switch (cns) {
      case identify_cns::controller: return page(command, identity);
      case identify_cns::active_namespaces:
      case identify_cns::csi_active_namespaces: {
        const bool by_csi = cns == identify_cns::csi_active_namespaces;
        if (by_csi && !has_cns07) return refuse(generic_status::invalid_field);
        identify_active_namespaces list;
        std::size_t n = 0;
        for (const auto& [id, its] : namespaces)
          if (id > nsid && n < 1024 && (by_csi ? its == csi : its != 1 || kv_in_cns02)) list.nsid[n++] = id;
        return page(command, list);
      }
      case identify_cns::namespace_descriptors: {
        if (!has_cns03) return refuse(generic_status::invalid_field);
        std::byte list[identify_bytes]{};
        const auto at = namespaces.find(nsid);
        if (at == namespaces.end()) return refuse(generic_status::invalid_nsid);
        // An NGUID first, so that whoever looks at the first descriptor alone is found out.
        list[0] = std::byte{2};
        list[1] = std::byte{16};
        list[20] = std::byte{4};
        list[21] = std::byte{1};
        list[24] = static_cast<std::byte>(at->second);
        std::memcpy(reinterpret_cast<void*>(command.dptr().low), list, sizeof list);
        return {};
      }
      case identify_cns::csi_namespace: {
        const auto at = kv.find(nsid);
        if (csi != 1 || at == kv.end()) return refuse(generic_status::invalid_nsid);
        return page(command, at->second);
      }
      default: return refuse(generic_status::invalid_field);
    }
  }
};

class scripted_transport final : public host::memory_transport {
 public:
  explicit scripted_transport(std::shared_ptr<script> s) : script_(std::move(s)) {}

  [[nodiscard]] nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width,
                                                         host::deadline) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->lost) return status{client_status::disconnected};
    switch (offset) {
      case reg::cap: return width == 8 ? script_->cap : script_->cap & 0xffffffffu;
      case reg::vs: return std::uint64_t{script_->vs};
      case reg::cc: return std::uint64_t{script_->cc};
      case reg::csts: return std::uint64_t{script_->csts};
      default: return std::uint64_t{0};
    }
  }
  [[nodiscard]] status write_register(std::uint32_t offset, unsigned, std::uint64_t value, host::deadline) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->lost) return client_status::disconnected;
    const auto low = static_cast<std::uint32_t>(value);
    switch (offset) {
      case reg::cc: script_->write_cc(low); break;
      case reg::aqa: script_->aqa = low; break;
      case reg::asq: script_->asq = value; break;
      case reg::acq: script_->acq = value; break;
      default: {
        const std::uint32_t stride = 4u << ((script_->cap >> 32) & 0xfu);
        const std::uint32_t index = (offset - reg::doorbells) / stride;
        if (offset >= reg::doorbells && index % 2 == 0) script_->ring(static_cast<std::uint16_t>(index / 2), low);
      }
    }
    return {};
  }
  [[nodiscard]] status map_dma(const host::dma_memory& m, host::deadline) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->lost) return client_status::disconnected;
    if (script_->refuse_map) return {client_status::system_error, 22};
    if (script_->by_fd && m.fd < 0) return client_status::staged_refused;
    script_->mapped[reinterpret_cast<std::uintptr_t>(m.address)] = m.length_bytes;
    return {};
  }
  [[nodiscard]] status unmap_dma(const host::dma_memory& m, host::deadline) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->lost) return client_status::disconnected;
    if (script_->refuse_unmap) return {client_status::system_error, 16};
    script_->mapped.erase(reinterpret_cast<std::uintptr_t>(m.address));
    script_->unmapped.push_back(reinterpret_cast<std::uintptr_t>(m.address));
    return {};
  }
  [[nodiscard]] status reset(host::deadline) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->resets;
    return script_->lost ? status(client_status::disconnected) : status(client_status::unsupported);
  }
  [[nodiscard]] host::doorbell_page doorbells() const noexcept override { return script_->doorbells; }
  [[nodiscard]] bool shares_by_fd() const noexcept override { return script_->by_fd; }
  [[nodiscard]] bool connected() noexcept override { return !script_->lost; }
  [[nodiscard]] bool peer_gone() noexcept override { return script_->gone; }

 private:
  std::shared_ptr<script> script_;
};

}  // namespace nkv_test
