// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/atomic.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/admin_executor.hpp>
#include <nkv/target/data_pointer_reader.hpp>
#include <nkv/target/dma_map.hpp>
#include <nkv/target/kv_executor.hpp>
#include <nkv/target/poller.hpp>
#include <nkv/target/request.hpp>
#include <nkv/target/store.hpp>
#include <nkv/target/subsystem.hpp>
#include <nkv/target/waker.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// The page of doorbells, BAR0 offset 1000h: its last word says whether the target sleeps.
inline constexpr std::size_t doorbell_page_bytes = 4096;
inline constexpr std::size_t asleep_word_offset = 0xffc;

/// How a controller presents itself. A plain aggregate.
struct controller_options {
  std::uint32_t max_queue_entries = 1024;                       ///< CAP.MQES as a count, 2 to 65536
  std::uint16_t max_io_queue_pairs = 64;                        ///< 1 to 510
  std::uint64_t max_transfer_bytes = std::uint64_t{256} << 20;  ///< MDTS, rounded down to a power of two pages; 0: none
  bool sgl = true;                                              ///< I/O commands may use SGLs; else PRPs alone
  std::uint8_t max_page_shift_from_4k = 4;                      ///< CAP.MPSMAX
  std::uint16_t interrupt_vectors = 0;                          ///< 0: any vector is accepted and none raised
  std::uint32_t max_outstanding = 4096;                         ///< commands that may wait for an asynchronous store
  std::uint32_t max_sgl_descriptors = 65536;                    ///< of one command
  std::size_t max_regions = 4096;                               ///< of client memory
  std::uint16_t pci_vendor = 0;
  /// Called on the poller's thread, at most once a poll for each vector with new completions.
  std::function<void(std::uint16_t vector)> raise_interrupt;
};

/// An NVMe controller of the memory-based transport model: registers, queues in client memory, doorbells in a page that
/// the client may have mapped. Whoever serves it maps client memory, passes on register accesses, and polls it.
///
/// A client cannot harm it: an SQE is copied once and only the copy is looked at, every address goes through the
/// client's own regions, every doorbell value is checked, and every loop over client data is bounded. What a client
/// does wrong ends in a status, in an event and a stopped queue, or in CSTS.CFS, for that client alone.
///
/// Commands are fetched only while their completion queue has room for their completions, so a completion never waits.
///
/// Everything on one thread, the poller's. Asynchronous stores give operations back from theirs by finished_operations.
class controller final : public pollable {
 public:
  /// @param doorbells doorbell_page_bytes of zeros, 4-byte aligned, which may be shared with the client; lives longer
  /// @param w wakes the thread that polls; lives longer
  /// @return the controller; busy where the subsystem has as many as it may; bad_argument for impossible options
  [[nodiscard]] static host::result<std::unique_ptr<controller>> create(std::shared_ptr<target::subsystem> s,
                                                                        controller_options options,
                                                                        std::uint32_t* doorbells, waker& w) {
    if (s == nullptr || doorbells == nullptr || options.max_queue_entries < 2 || options.max_queue_entries > 65536 ||
        options.max_io_queue_pairs < 1 || options.max_io_queue_pairs > 510 || options.max_page_shift_from_4k > 15 ||
        options.max_outstanding < 1)
      return status{client_status::bad_argument};
    controller_identity identity;
    identity.pci_vendor = options.pci_vendor;
    identity.sgl = options.sgl;
    if (options.max_transfer_bytes != 0) {
      if (options.max_transfer_bytes < 2 * 4096) return status{client_status::bad_argument};
      while (identity.mdts < 31 && (std::uint64_t{2 * 4096} << identity.mdts) <= options.max_transfer_bytes)
        ++identity.mdts;
    }
    identity.cntlid = s->allocate_cntlid();
    if (identity.cntlid == subsystem::no_cntlid) return status{client_status::busy};
    return std::unique_ptr<controller>(new controller(std::move(s), std::move(options), identity, doorbells, w));
  }
  /// @pre quiet()
  ~controller() {
    while (free_ != nullptr) delete std::exchange(free_, free_->next);
    admin_.shared_subsystem()->release_cntlid(admin_.identity().cntlid);
  }

  // Registers
  // ------------------------------------------------------------------------------------------------------------

  /// @param offset below 1000h, a multiple of `width_bytes`, which is 4 or 8. Reserved registers read as 0.
  /// @return bad_argument
  [[nodiscard]] result<std::uint64_t> read_register(std::uint32_t offset, unsigned width_bytes) const noexcept {
    if (!valid_access(offset, width_bytes) || offset >= reg::doorbells) return status{client_status::bad_argument};
    std::uint64_t value = register_dword(offset);
    if (width_bytes == 8) value |= std::uint64_t{register_dword(offset + 4)} << 32;
    return value;
  }

  /// Writes a register; what is read-only or reserved stays. From 1000h on, with 4 bytes: rings a doorbell.
  /// @return bad_argument
  [[nodiscard]] status write_register(std::uint32_t offset, unsigned width_bytes, std::uint64_t value) noexcept {
    if (!valid_access(offset, width_bytes)) return client_status::bad_argument;
    if (offset >= reg::doorbells) {
      if (width_bytes != 4 || offset >= reg::doorbells + asleep_word_offset) return client_status::bad_argument;
      ring((offset - reg::doorbells) / 4, static_cast<std::uint32_t>(value));
      return {};
    }
    write_dword(offset, static_cast<std::uint32_t>(value));
    if (width_bytes == 8) write_dword(offset + 4, static_cast<std::uint32_t>(value >> 32));
    return {};
  }

  /// As a controller that was just made, client memory excepted: registers, queues, features, doorbells.
  void reset() noexcept {
    aqa_ = 0;
    asq_ = acq_ = 0;
    cc_ = 0;
    interrupt_mask_ = 0;
    begin_reset();
  }

  // Client memory
  // --------------------------------------------------------------------------------------------------------

  /// Lets commands reach a region. @return as dma_map::add
  [[nodiscard]] status map_dma(const dma_region& region) { return map_.add(region); }

  /// No later command reaches the region; queues in it stop, and where one is an admin queue CSTS.CFS is set. Commands
  /// that have begun may still use it: see uses().
  /// @return as dma_map::remove
  [[nodiscard]] status unmap_dma(std::uint64_t iova, std::uint64_t length_bytes,
                                 dma_region* removed = nullptr) noexcept {
    const status s = map_.remove(iova, length_bytes, removed);
    if (!s.ok()) return s;
    const auto gone = [&](std::uint64_t base) { return base - iova < length_bytes; };
    bool admin = false;
    for (const auto& q : sqs_)
      if (q != nullptr && q->base != nullptr && gone(q->iova)) {
        q->base = nullptr;
        admin = admin || q->qid == 0;
      }
    for (const auto& q : cqs_)
      if (q != nullptr && q->base != nullptr && gone(q->iova)) {
        q->base = nullptr;
        admin = admin || q->qid == 0;
      }
    if (admin) fail();
    return {};
  }

  /// Whether a command that has begun may still touch this memory. Becomes false by itself as such commands end.
  [[nodiscard]] bool uses(const std::byte* local, std::uint64_t length_bytes) const noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(local);
    for (const request* r = outstanding_; r != nullptr; r = r->next)
      for (const mutable_byte_span& s : r->data.spans()) {
        const auto at = reinterpret_cast<std::uintptr_t>(s.data());
        if (at < begin ? begin - at < s.size() : at - begin < length_bytes) return true;
      }
    return false;
  }

  [[nodiscard]] span<const dma_region> dma_regions() const noexcept { return map_.regions(); }

  // Life
  // -----------------------------------------------------------------------------------------------------------------

  /// Stops everything for good: nothing is fetched or completed any more, and what has begun is cancelled. The client's
  /// memory may go once quiet() holds; until then poll() must go on being called.
  void close() noexcept {
    closed_ = true;
    begin_reset();
  }

  /// No command is outstanding, and no thread of a store is about to give one back. After close() it stays so.
  [[nodiscard]] bool quiet() const noexcept { return outstanding_ == nullptr && finished_.idle(); }

  [[nodiscard]] bool enabled() const noexcept { return state_ == state::ready; }
  [[nodiscard]] std::uint16_t cntlid() const noexcept { return admin_.identity().cntlid; }

  /// Whether the client has what it takes to wake the poller. Where not, a live controller needs polling.
  void set_client_can_wake(bool can) noexcept { client_can_wake_ = can; }

  // pollable
  unsigned poll() noexcept override {
    unsigned done = take_finished();
    // After the take. Nobody is woken once that thread is gone, and somebody may be waiting for quiet().
    if (finished_.giving()) ++done;
    done += go_on_copying();
    if (state_ == state::resetting) return done + finish_reset();
    if (state_ == state::shutting_down) finish_shutdown();
    if (state_ != state::ready) return done;
    if (admin_.look_again()) ++done;
    blocked_on_cq_ = false;
    for (std::size_t i = 0; i < active_.size(); ++i) done += poll_queue(*active_[i]);
    if (state_ != state::ready) return done;
    if (admin_.events().waiting()) done += report_events();
    if (interrupts_waiting_) raise_interrupts();
    return done;
  }
  [[nodiscard]] std::uint32_t* asleep_word() noexcept override { return doorbells_ + asleep_word_offset / 4; }
  /// A client may also make room in a full completion queue without waking anybody.
  [[nodiscard]] bool needs_polling() noexcept override {
    return state_ == state::ready && (!client_can_wake_ || blocked_on_cq_);
  }

 private:
  enum class state : std::uint8_t { disabled, ready, resetting, shutting_down, shut_down, failed };

  struct completion_queue_state {
    std::uint16_t qid = 0;
    std::uint32_t entries = 0;
    std::uint32_t tail = 0;
    std::uint32_t head = 0;         ///< as far as the client has told
    std::uint32_t outstanding = 0;  ///< commands whose completions will come here
    std::uint32_t submission_queues = 0;
    std::uint64_t iova = 0;
    std::byte* base = nullptr;  ///< null: the memory is gone
    bool phase = true;
    bool stopped = false;
    bool interrupts = false;
    bool interrupt_waiting = false;
    std::uint16_t vector = 0;

    [[nodiscard]] std::uint32_t used() const noexcept { return tail >= head ? tail - head : tail + entries - head; }
    /// Whether there is room for one completion besides `more` that are not counted as outstanding yet.
    [[nodiscard]] bool has_room(std::uint32_t more = 0) const noexcept {
      return used() + outstanding + more < entries - 1;
    }
  };

  struct submission_queue_state {
    std::uint16_t qid = 0;
    std::uint32_t entries = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;         ///< as last read from the doorbell
    std::uint32_t outstanding = 0;  ///< commands not completed yet
    std::uint64_t iova = 0;
    const std::byte* base = nullptr;
    completion_queue_state* cq = nullptr;
    bool stopped = false;
    bool deleting = false;
    std::uint16_t delete_cid = 0;
  };

  controller(std::shared_ptr<target::subsystem> s, controller_options options, controller_identity identity,
             std::uint32_t* doorbells, waker& w)
      : options_(std::move(options)),
        doorbells_(doorbells),
        map_(options_.max_regions),
        reader_(map_, options_.max_sgl_descriptors),
        finished_(w),
        admin_(std::move(s), identity, options_.max_io_queue_pairs) {
    max_transfer_bytes_ = identity.mdts == 0 ? 0 : std::uint64_t{4096} << identity.mdts;
    sqs_.resize(options_.max_io_queue_pairs + 1u);
    cqs_.resize(options_.max_io_queue_pairs + 1u);
    active_.reserve(sqs_.size());
  }

  static status generic(std::uint8_t sc) noexcept { return {status_code_type::generic, sc}; }
  static status specific(std::uint8_t sc) noexcept { return {status_code_type::command_specific, sc}; }

  // Registers
  // ------------------------------------------------------------------------------------------------------------

  static bool valid_access(std::uint32_t offset, unsigned width_bytes) noexcept {
    return (width_bytes == 4 || width_bytes == 8) && offset % width_bytes == 0 &&
           offset < reg::doorbells + doorbell_page_bytes;
  }

  static constexpr std::uint32_t ready_timeout_500ms = 20;

  [[nodiscard]] std::uint64_t capabilities() const noexcept {
    return (options_.max_queue_entries - 1u) | (1u << 16) /* CQR */ | (std::uint64_t{ready_timeout_500ms} << 24) |
           (std::uint64_t{1} << 43) /* CSS bit 6: I/O command sets */ |
           (std::uint64_t{options_.max_page_shift_from_4k} << 52) | (std::uint64_t{1} << 59) /* CRMS: with media */;
  }

  [[nodiscard]] std::uint32_t register_dword(std::uint32_t offset) const noexcept {
    switch (offset) {
      case reg::cap: return static_cast<std::uint32_t>(capabilities());
      case reg::cap + 4: return static_cast<std::uint32_t>(capabilities() >> 32);
      case reg::vs: return nvme_version;
      case reg::intms:
      case reg::intmc: return interrupt_mask_;
      case reg::cc: return cc_;
      case reg::csts: return csts_;
      case reg::aqa: return aqa_;
      case reg::asq: return static_cast<std::uint32_t>(asq_);
      case reg::asq + 4: return static_cast<std::uint32_t>(asq_ >> 32);
      case reg::acq: return static_cast<std::uint32_t>(acq_);
      case reg::acq + 4: return static_cast<std::uint32_t>(acq_ >> 32);
      case 0x68: return ready_timeout_500ms;  // CRTO
      default: return 0;
    }
  }

  void write_dword(std::uint32_t offset, std::uint32_t value) noexcept {
    const auto low = [value](std::uint64_t r) { return (r & 0xffffffff00000000u) | value; };
    const auto high = [value](std::uint64_t r) { return (r & 0xffffffffu) | std::uint64_t{value} << 32; };
    switch (offset) {
      case reg::intms: interrupt_mask_ |= value; break;
      case reg::intmc: interrupt_mask_ &= ~value; break;
      case reg::cc: write_configuration(value); break;
      case reg::aqa: aqa_ = value & 0x0fff0fffu; break;
      case reg::asq: asq_ = low(asq_) & ~std::uint64_t{0xfff}; break;
      case reg::asq + 4: asq_ = high(asq_); break;
      case reg::acq: acq_ = low(acq_) & ~std::uint64_t{0xfff}; break;
      case reg::acq + 4: acq_ = high(acq_); break;
      default: break;
    }
  }

  void write_configuration(std::uint32_t value) noexcept {
    const controller_configuration before{cc_};
    const controller_configuration now{value};
    cc_ = value;
    if (closed_) return;
    if (before.enabled() && !now.enabled()) {
      begin_reset();
    } else if (!before.enabled() && now.enabled()) {
      if (state_ == state::disabled) enable();
      // Else a reset is not through yet, and enables when it is.
    } else if (now.enabled() && now.shutdown() != 0 && before.shutdown() == 0 &&
               (state_ == state::ready || state_ == state::failed)) {
      state_ = state::shutting_down;
      csts_ = (csts_ & ~0xcu) | 0x4u;
      cancel_outstanding();
      finish_shutdown();
    }
  }

  void enable() noexcept {
    const controller_configuration cc{cc_};
    const std::uint32_t sq_entries = (aqa_ & 0xfffu) + 1;
    const std::uint32_t cq_entries = ((aqa_ >> 16) & 0xfffu) + 1;
    const std::uint32_t shift = (cc_ >> 7) & 0xfu;
    // Round robin arbitration only; the command sets of CNS 1Ch only.
    if (cc.command_sets() != 6 || ((cc_ >> 11) & 7u) != 0 || shift > options_.max_page_shift_from_4k ||
        sq_entries < 2 || cq_entries < 2)
      return fail();
    reader_.set_page_bytes(cc.page_bytes());
    page_bytes_ = cc.page_bytes();
    admin_.reset();
    clear_doorbells();
    if (asq_ % page_bytes_ != 0 || acq_ % page_bytes_ != 0 || !make_cq(0, cq_entries, acq_, false, 0).ok() ||
        !make_sq(0, sq_entries, asq_, *cqs_[0]).ok()) {
      drop_queues();
      return fail();
    }
    state_ = state::ready;
    csts_ = 1;
  }

  /// Controller fatal status: only a reset helps.
  void fail() noexcept {
    csts_ |= 2u;
    if (state_ == state::resetting) return;
    state_ = state::failed;
    cancel_outstanding();
  }

  void begin_reset() noexcept {
    state_ = state::resetting;
    cancel_outstanding();
    finish_reset();
  }

  unsigned finish_reset() noexcept {
    if (outstanding_ != nullptr) return 0;
    drop_queues();
    csts_ = 0;
    state_ = state::disabled;
    blocked_on_cq_ = false;
    if (closed_) return 0;
    clear_doorbells();
    admin_.reset();
    if (controller_configuration{cc_}.enabled()) enable();
    return 1;
  }

  void finish_shutdown() noexcept {
    if (outstanding_ != nullptr) return;
    state_ = state::shut_down;
    csts_ = (csts_ & ~0xcu) | 0x8u;
  }

  // Doorbells
  // ------------------------------------------------------------------------------------------------------------

  /// Acquire: orders the client's SQE stores, released by its doorbell store, before the copies of the SQEs; for a
  /// completion queue, its loads of entries before the stores that reuse them.
  [[nodiscard]] std::uint32_t doorbell(std::size_t index) const noexcept {
    return native_atomics::load_acquire(doorbells_ + index, system_scope);
  }

  void clear_doorbells() noexcept {
    for (std::size_t i = 0; i < 2 * sqs_.size(); ++i) native_atomics::store_relaxed(doorbells_ + i, 0u, system_scope);
  }

  /// A doorbell that was written by a register access instead of in the shared page.
  void ring(std::size_t index, std::uint32_t value) noexcept {
    const std::size_t qid = index / 2;
    const bool there = qid < sqs_.size() && (index % 2 == 0 ? sqs_[qid] != nullptr : cqs_[qid] != nullptr);
    if (!there) {
      if (state_ == state::ready) {
        admin_.note_error(static_cast<std::uint16_t>(qid), 0xffff, generic(generic_status::invalid_field));
        admin_.events().raise(async_event::doorbell_unknown);
      }
      return;
    }
    native_atomics::store_release(doorbells_ + index, value, system_scope);
  }

  void invalid_doorbell(std::uint16_t qid) noexcept {
    admin_.note_error(qid, 0xffff, generic(generic_status::invalid_field));
    admin_.events().raise(async_event::doorbell_invalid);
    // With an admin queue stopped the event cannot be told.
    if (qid == 0) fail();
  }

  static std::uint32_t distance(std::uint32_t from, std::uint32_t to, std::uint32_t entries) noexcept {
    return to >= from ? to - from : to + entries - from;
  }

  /// Takes over the client's head. @return false where the queue is stopped
  bool update_head(completion_queue_state& cq) noexcept {
    if (cq.stopped) return false;
    const std::uint32_t head = doorbell(2u * cq.qid + 1u);
    if (head == cq.head) return true;
    if (head >= cq.entries || distance(cq.head, head, cq.entries) > cq.used()) {
      cq.stopped = true;
      invalid_doorbell(cq.qid);
      return false;
    }
    cq.head = head;
    return true;
  }

  // Queues
  // ---------------------------------------------------------------------------------------------------------------

  status make_cq(std::uint16_t qid, std::uint32_t entries, std::uint64_t iova, bool interrupts,
                 std::uint16_t vector) noexcept {
    std::byte* const base = map_.translate(iova, std::uint64_t{entries} * sizeof(cqe), dma_access::write);
    if (base == nullptr || reinterpret_cast<std::uintptr_t>(base) % alignof(cqe) != 0)
      return generic(generic_status::invalid_field);
    auto q = std::unique_ptr<completion_queue_state>(new (std::nothrow) completion_queue_state);
    if (q == nullptr) return generic(generic_status::internal_error);
    q->qid = qid;
    q->entries = entries;
    q->iova = iova;
    q->base = base;
    q->interrupts = interrupts;
    q->vector = vector;
    native_atomics::store_relaxed(doorbells_ + 2u * qid + 1u, 0u, system_scope);
    cqs_[qid] = std::move(q);
    return {};
  }

  status make_sq(std::uint16_t qid, std::uint32_t entries, std::uint64_t iova, completion_queue_state& cq) noexcept {
    const std::byte* const base = map_.translate(iova, std::uint64_t{entries} * sizeof(sqe), dma_access::read);
    if (base == nullptr) return generic(generic_status::invalid_field);
    auto q = std::unique_ptr<submission_queue_state>(new (std::nothrow) submission_queue_state);
    if (q == nullptr) return generic(generic_status::internal_error);
    q->qid = qid;
    q->entries = entries;
    q->iova = iova;
    q->base = base;
    q->cq = &cq;
    ++cq.submission_queues;
    native_atomics::store_relaxed(doorbells_ + 2u * qid, 0u, system_scope);
    active_.push_back(q.get());  // reserved
    sqs_[qid] = std::move(q);
    return {};
  }

  void drop_sq(std::uint16_t qid) noexcept {
    active_.erase(std::remove(active_.begin(), active_.end(), sqs_[qid].get()), active_.end());
    --sqs_[qid]->cq->submission_queues;
    sqs_[qid] = nullptr;
  }

  void drop_queues() noexcept {
    active_.clear();
    for (auto& q : sqs_) q = nullptr;
    for (auto& q : cqs_) q = nullptr;
    interrupts_waiting_ = false;
  }

  [[nodiscard]] bool io_queues_exist() const noexcept {
    return std::any_of(cqs_.begin() + 1, cqs_.end(), [](const auto& q) { return q != nullptr; });
  }

  unsigned poll_queue(submission_queue_state& sq) noexcept {
    completion_queue_state& cq = *sq.cq;
    // Beside the tail in the same line of the cache where the queues are a pair.
    if (!update_head(cq)) return 0;
    const std::uint32_t tail = doorbell(2u * sq.qid);
    if (tail != sq.tail) {
      if (sq.stopped || sq.deleting) return 0;
      // The tail moves forwards, and not past the head.
      if (tail >= sq.entries || distance(sq.head, tail, sq.entries) < distance(sq.head, sq.tail, sq.entries)) {
        sq.stopped = true;
        invalid_doorbell(sq.qid);
        return 1;
      }
      sq.tail = tail;
    }
    if (sq.head == sq.tail || sq.stopped || sq.deleting || sq.base == nullptr || cq.base == nullptr) return 0;
    unsigned done = 0;
    if (sq.qid == 0) {
      for (; done < burst && sq.head != sq.tail && fetch(sq, 0, admin_request_); ++done) {
        execute_admin(admin_request_, sq);
        // It may have reset, stopped or deleted anything.
        if (state_ != state::ready) return done + 1;
      }
      return done;
    }
    while (done < burst) {
      std::array<request*, fetched_at_once> fetched;
      unsigned n = 0;
      while (n < fetched.size() && sq.head != sq.tail) {
        request* const r = take_request();
        if (r == nullptr) break;  // as many outstanding as allowed: goes on when one ends
        if (!fetch(sq, n, *r)) {
          give_back(*r);
          break;
        }
        fetched[n++] = r;
      }
      if (n > 1) expect({fetched.data(), n});
      for (unsigned i = 0; i < n; ++i) execute(*fetched[i], sq);
      done += n;
      if (n < fetched.size()) break;
    }
    return done;
  }

  /// Copies the queue's next command.
  /// @param ahead of it so many were fetched and are not executed yet
  /// @return false where there is no room for its completion
  /// @pre there is one
  bool fetch(submission_queue_state& sq, std::uint32_t ahead, request& r) noexcept {
    if (!sq.cq->has_room(ahead)) {
      if (!update_head(*sq.cq)) return false;
      if (!sq.cq->has_room(ahead)) {
        blocked_on_cq_ = true;
        return false;
      }
    }
    // The only access to the client's entry: from here on nothing it writes there matters.
    copy_once(&r.command, sq.base + std::size_t{sq.head} * sizeof(sqe), sizeof(sqe));
    sq.head = sq.head + 1 == sq.entries ? 0 : sq.head + 1;
    r.sqid = sq.qid;
    return true;
  }

  /// Lets the store know of commands that it is about to be asked for.
  void expect(span<request* const> fetched) noexcept {
    const std::shared_ptr<kv_namespace>* const ns = admin_.find(fetched[0]->command.nsid());
    if (ns == nullptr) return;
    std::array<byte_span, fetched_at_once> keys;
    std::size_t n = 0;
    for (request* const r : fetched)
      if (r->command.nsid() == (*ns)->nsid()) {
        const byte_span key = kv_executor::probable_key(*r);
        if (!key.empty()) keys[n++] = key;
      }
    (*ns)->store().expect({keys.data(), n});
  }

  // Requests
  // -------------------------------------------------------------------------------------------------------------

  request* take_request() noexcept {
    if (free_ == nullptr) {
      if (requests_ >= options_.max_outstanding) return nullptr;
      free_ = new (std::nothrow) request;
      if (free_ == nullptr) return nullptr;
      ++requests_;
      free_->op.home = &finished_;
      free_->op.owner = free_;
      free_->next = nullptr;
    }
    return std::exchange(free_, free_->next);
  }

  void give_back(request& r) noexcept {
    r.next = free_;
    free_ = &r;
  }

  void keep_outstanding(request& r) noexcept {
    r.dropped = false;
    r.previous = nullptr;
    r.next = outstanding_;
    if (outstanding_ != nullptr) outstanding_->previous = &r;
    outstanding_ = &r;
  }

  void end_outstanding(request& r) noexcept {
    (r.previous != nullptr ? r.previous->next : outstanding_) = r.next;
    if (r.next != nullptr) r.next->previous = r.previous;
    r.execute.reset();  // what it holds of the store, before the namespace
    r.keep = nullptr;
    r.data.recycle();
    give_back(r);
  }

  // I/O commands
  // ---------------------------------------------------------------------------------------------------------

  void execute(request& r, submission_queue_state& sq) noexcept {
    const std::shared_ptr<kv_namespace>* const ns = admin_.find(r.command.nsid());
    const std::uint8_t opc = r.command.opc();
    if (ns == nullptr) {
      r.reply = {generic(generic_status::invalid_nsid), 0};
      // What is no command at all is that first.
      if (!known(opc)) r.reply.status = generic(generic_status::invalid_opcode);
    } else {
      kv_execution_context context;
      context.max_transfer_bytes = max_transfer_bytes_;
      context.sgl = admin_.identity().sgl;
      if (opc == static_cast<std::uint8_t>(kv_opcode::remove))
        context.delete_reports_absent = admin_.delete_reports_absent(r.command.nsid());
      reader_.open(r.command.dptr());
      const progress p = kv_executor::begin(r, **ns, context, reader_);
      (opc == static_cast<std::uint8_t>(kv_opcode::store) ? admin_.writes : admin_.reads) += 1;
      if (p != progress::done) {
        r.keep = *ns;
        r.copying = p == progress::more;
        keep_outstanding(r);
        ++sq.outstanding;
        ++sq.cq->outstanding;
        if (r.copying) begin_copying(r);
        return;
      }
    }
    post(*sq.cq, sq, r.command.cid(), r.reply);
    give_back(r);
  }

  static bool known(std::uint8_t opc) noexcept {
    switch (static_cast<kv_opcode>(opc)) {
      case kv_opcode::store:
      case kv_opcode::retrieve:
      case kv_opcode::remove:
      case kv_opcode::exist:
      case kv_opcode::list: return true;
      default: return false;
    }
  }

  /// Posts an outstanding command's completion and lets go of it.
  void complete(request& r) noexcept {
    submission_queue_state* const sq = sqs_[r.sqid].get();
    if (!r.dropped && sq != nullptr) {
      --sq->outstanding;
      --sq->cq->outstanding;
      post(*sq->cq, *sq, r.command.cid(), r.reply);
      if (sq->deleting && sq->outstanding == 0) finish_delete(*sq);
    }
    end_outstanding(r);
  }

  void begin_copying(request& r) noexcept {
    r.next_copying = nullptr;
    (first_copying_ != nullptr ? last_copying_->next_copying : first_copying_) = &r;
    last_copying_ = &r;
  }
  void end_copying(request& r) noexcept {
    r.copying = false;
    request* before = nullptr;
    for (request* at = first_copying_; at != &r; at = at->next_copying) before = at;
    (before != nullptr ? before->next_copying : first_copying_) = r.next_copying;
    if (last_copying_ == &r) last_copying_ = before;
  }

  unsigned take_finished() noexcept {
    unsigned n = 0;
    store_operation* op = finished_.take();
    while (op != nullptr) {
      store_operation* const next = op->next;
      request& r = *static_cast<request*>(op->owner);
      if (kv_executor::finish(r) == progress::done) complete(r);
      op = next;
      ++n;
    }
    return n;
  }

  /// One slice of the oldest long copy: the others wait, so that one value's memory at a time is in use, and the queues
  /// are looked at between two slices.
  unsigned go_on_copying() noexcept {
    if (first_copying_ == nullptr) return 0;
    request& r = *first_copying_;
    const progress p = kv_executor::proceed(r);
    if (p == progress::more) return 1;
    end_copying(r);
    if (p == progress::done) complete(r);
    return 1;
  }

  /// Ends one command as far as that is possible now. @return whether it has ended, with `s`
  bool cancel(request& r, status s) noexcept {
    kv_executor::cancel(r);
    if (!r.copying) return false;
    end_copying(r);
    r.reply = {s, 0};
    complete(r);
    return true;
  }

  /// Cancels everything; no completion is posted.
  void cancel_outstanding() noexcept {
    for (request* r = outstanding_; r != nullptr;) {
      request* const next = r->next;
      if (!r->dropped) {
        r->dropped = true;
        if (submission_queue_state* const sq = sqs_[r->sqid].get()) {
          --sq->outstanding;
          --sq->cq->outstanding;
        }
        cancel(*r, generic(generic_status::abort_requested));
      }
      r = next;
    }
  }

  // Completions
  // ----------------------------------------------------------------------------------------------------------

  void post(completion_queue_state& cq, const submission_queue_state& sq, std::uint16_t cid,
            const reply& answer) noexcept {
    if (cq.base == nullptr) return;
    const cqe e = cqe::make(answer.dw0, static_cast<std::uint16_t>(sq.head), sq.qid, cid, answer.status, cq.phase);
    auto* const at = reinterpret_cast<std::uint32_t*>(cq.base + std::size_t{cq.tail} * sizeof(cqe));
    native_atomics::store_relaxed(at, e.dw[0], system_scope);
    native_atomics::store_relaxed(at + 1, e.dw[1], system_scope);
    native_atomics::store_relaxed(at + 2, e.dw[2], system_scope);
    // Release: orders the three stores above, and the value's bytes before them, before the phase that the client
    // reads with acquire.
    native_atomics::store_release(at + 3, e.dw[3], system_scope);
    if (++cq.tail == cq.entries) {
      cq.tail = 0;
      cq.phase = !cq.phase;
    }
    if (cq.interrupts) cq.interrupt_waiting = interrupts_waiting_ = true;
  }

  void raise_interrupts() noexcept {
    interrupts_waiting_ = false;
    for (const auto& q : cqs_) {
      if (q == nullptr || !q->interrupt_waiting) continue;
      q->interrupt_waiting = false;
      if (options_.raise_interrupt) options_.raise_interrupt(q->vector);
    }
  }

  unsigned report_events() noexcept {
    submission_queue_state& sq = *sqs_[0];
    unsigned done = 0;
    while (sq.cq->has_room()) {
      std::uint16_t cid = 0;
      std::uint32_t dw0 = 0;
      if (!admin_.events().next(admin_.wanted_notices(), cid, dw0)) break;
      post(*sq.cq, sq, cid, {{}, dw0});
      ++done;
    }
    return done;
  }

  // Admin commands
  // -------------------------------------------------------------------------------------------------------

  void execute_admin(request& r, submission_queue_state& sq) noexcept {
    const sqe& c = r.command;
    reply answer;
    bool answered = true;
    reader_.open(c.dptr());
    if (c.fuse() != 0 || c.data_format() != psdt::prp) {
      answer.status = generic(generic_status::invalid_field);
    } else {
      switch (admin_.execute(c, reader_, io_queues_exist(), answer)) {
        case admin_executor::outcome::done: break;
        case admin_executor::outcome::held: answered = false; break;
        case admin_executor::outcome::unknown:
          switch (static_cast<admin_opcode>(c.opc())) {
            case admin_opcode::create_cq: answer.status = create_cq(c); break;
            case admin_opcode::create_sq: answer.status = create_sq(c); break;
            case admin_opcode::delete_cq: answer.status = delete_cq(c); break;
            case admin_opcode::delete_sq: answered = delete_sq(c, sq, answer.status); break;
            case admin_opcode::abort: answer = abort(c); break;
            default: answer.status = generic(generic_status::invalid_opcode); break;
          }
          break;
      }
    }
    if (answered) post(*sq.cq, sq, c.cid(), answer);
  }

  /// What Create I/O Submission Queue and Create I/O Completion Queue check alike.
  status check_create(const sqe& c, bool exists, unsigned entry_shift, unsigned wanted_shift) const noexcept {
    const std::uint32_t qid = c.cdw(10) & 0xffffu;
    const std::uint32_t entries = (c.cdw(10) >> 16) + 1;
    if (qid == 0 || qid > options_.max_io_queue_pairs || exists) return specific(command_status::invalid_qid);
    if (entries < 2 || entries > options_.max_queue_entries || entry_shift != wanted_shift)
      return specific(command_status::invalid_queue_size);
    if ((c.cdw(11) & 1u) == 0) return generic(generic_status::invalid_field);  // CAP.CQR: contiguous only
    if (c.dptr().low % page_bytes_ != 0) return generic(generic_status::invalid_prp_offset);
    return {};
  }

  status create_cq(const sqe& c) noexcept {
    const std::uint32_t qid = c.cdw(10) & 0xffffu;
    const bool interrupts = (c.cdw(11) & 2u) != 0;
    const auto vector = static_cast<std::uint16_t>(c.cdw(11) >> 16);
    const bool exists = qid < cqs_.size() && cqs_[qid] != nullptr;
    if (const status s = check_create(c, exists, (cc_ >> 20) & 0xfu, 4); !s.ok()) return s;
    if (interrupts && options_.interrupt_vectors != 0 && vector >= options_.interrupt_vectors)
      return specific(command_status::invalid_interrupt_vector);
    return make_cq(static_cast<std::uint16_t>(qid), (c.cdw(10) >> 16) + 1, c.dptr().low, interrupts, vector);
  }

  status create_sq(const sqe& c) noexcept {
    const std::uint32_t qid = c.cdw(10) & 0xffffu;
    const std::uint32_t cqid = c.cdw(11) >> 16;
    const bool exists = qid < sqs_.size() && sqs_[qid] != nullptr;
    if (const status s = check_create(c, exists, (cc_ >> 16) & 0xfu, 6); !s.ok()) return s;
    if (cqid == 0 || cqid >= cqs_.size() || cqs_[cqid] == nullptr) return specific(command_status::invalid_cq);
    return make_sq(static_cast<std::uint16_t>(qid), (c.cdw(10) >> 16) + 1, c.dptr().low, *cqs_[cqid]);
  }

  status delete_cq(const sqe& c) noexcept {
    const std::uint32_t qid = c.cdw(10) & 0xffffu;
    if (qid == 0 || qid >= cqs_.size() || cqs_[qid] == nullptr) return specific(command_status::invalid_qid);
    if (cqs_[qid]->submission_queues != 0) return specific(command_status::invalid_queue_deletion);
    cqs_[qid] = nullptr;
    return {};
  }

  /// @return whether it is done; else its completion follows the last one of the queue's commands
  bool delete_sq(const sqe& c, submission_queue_state& admin, status& s) noexcept {
    const std::uint32_t qid = c.cdw(10) & 0xffffu;
    if (qid == 0 || qid >= sqs_.size() || sqs_[qid] == nullptr || sqs_[qid]->deleting) {
      s = specific(command_status::invalid_qid);
      return true;
    }
    submission_queue_state& sq = *sqs_[qid];
    for (request* r = outstanding_; r != nullptr;) {
      request* const next = r->next;
      if (r->sqid == qid) cancel(*r, generic(generic_status::aborted_sq_deletion));
      r = next;
    }
    if (sq.outstanding == 0) {
      drop_sq(sq.qid);
      return true;
    }
    sq.deleting = true;
    sq.delete_cid = c.cid();
    ++admin.outstanding;
    ++admin.cq->outstanding;
    return false;
  }

  void finish_delete(submission_queue_state& sq) noexcept {
    submission_queue_state& admin = *sqs_[0];
    const std::uint16_t cid = sq.delete_cid;
    drop_sq(sq.qid);
    --admin.outstanding;
    --admin.cq->outstanding;
    post(*admin.cq, admin, cid, {});
  }

  /// DW0 bit 0: the command was not aborted.
  reply abort(const sqe& c) noexcept {
    const std::uint32_t sqid = c.cdw(10) & 0xffffu;
    const auto cid = static_cast<std::uint16_t>(c.cdw(10) >> 16);
    if (sqid == 0) {
      // Held requests have no place in the completion queue kept for them: there must be one besides Abort's own.
      submission_queue_state& sq = *sqs_[0];
      if (sq.cq->used() + sq.cq->outstanding + 1 >= sq.cq->entries - 1 || !admin_.events().abort(cid)) return {{}, 1u};
      post(*sq.cq, sq, cid, {generic(generic_status::abort_requested), 0});
      return {};
    }
    for (request* r = outstanding_; r != nullptr; r = r->next)
      if (r->sqid == sqid && r->command.cid() == cid && !r->dropped)
        return {{}, cancel(*r, generic(generic_status::abort_requested)) ? 0u : 1u};
    return {{}, 1u};
  }

  static constexpr unsigned burst = 32;  ///< commands of one queue before the next queue's turn
  static constexpr unsigned fetched_at_once = 8;

  const controller_options options_;
  std::uint32_t* const doorbells_;
  dma_map map_;
  data_pointer_reader reader_;
  finished_operations finished_;
  admin_executor admin_;
  std::uint64_t max_transfer_bytes_ = 0;

  state state_ = state::disabled;
  bool closed_ = false;
  bool client_can_wake_ = false;
  bool blocked_on_cq_ = false;
  bool interrupts_waiting_ = false;

  std::uint32_t cc_ = 0x60u;  ///< CSS as it must be
  std::uint32_t csts_ = 0;
  std::uint32_t aqa_ = 0;
  std::uint64_t asq_ = 0;
  std::uint64_t acq_ = 0;
  std::uint32_t interrupt_mask_ = 0;
  std::uint32_t page_bytes_ = 4096;

  std::vector<std::unique_ptr<submission_queue_state>> sqs_;
  std::vector<std::unique_ptr<completion_queue_state>> cqs_;
  std::vector<submission_queue_state*> active_;

  request* free_ = nullptr;
  request* outstanding_ = nullptr;
  std::uint32_t requests_ = 0;
  request* first_copying_ = nullptr;
  request* last_copying_ = nullptr;
  request admin_request_;  ///< admin commands do not outlive the look at them
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
