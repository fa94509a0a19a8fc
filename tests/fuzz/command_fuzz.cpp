// SPDX-License-Identifier: BSD-3-Clause
//
// The target's command decoder: a controller and a client in one thread, and the input says what the client does: the
// commands, PRP lists and SGLs that it writes, its doorbells, registers and memory. Whatever that is, the controller
// touches nothing but the client's regions, and every command has one completion.
#include <nkv/target/controller.hpp>
#include <nkv/target/memory_store.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;
using nkv_test::seed;
using target::progress;
using target::store_operation;
using target::store_result;

namespace {

nkv_test::reached reached{"commands answered, in each key encoding",
                          {"Delete SQ",
                           "Create SQ",
                           "Get Log Page",
                           "Delete CQ",
                           "Create CQ",
                           "Identify",
                           "Abort",
                           "Set Features",
                           "Get Features",
                           "Async Event",
                           "Keep Alive",
                           "Store inline",
                           "Store head",
                           "Retrieve inline",
                           "Retrieve head",
                           "Delete inline",
                           "Delete head",
                           "Exist inline",
                           "Exist head",
                           "List inline",
                           "List head",
                           "a long copy",
                           "a store that ends later",
                           "an unknown command",
                           "a PRP list",
                           "an SGL segment",
                           "a reset"}};

constexpr std::size_t page = 4096;
constexpr std::size_t data_bytes = 64 * page;
constexpr std::uint64_t data_iova = 0x5'0000'0000;

/// Ends nothing before it is told to.
class later_store final : public target::store {
 public:
  progress submit(store_operation& op) noexcept override {
    pending_.push_back(&op);
    return progress::later;
  }
  void cancel(store_operation& op) noexcept override {
    if (!obeys) return;
    const auto at = std::find(pending_.begin(), pending_.end(), &op);
    if (at == pending_.end()) return;
    pending_.erase(at);
    op.finish(store_result::aborted, 0);
  }
  [[nodiscard]] std::uint64_t max_value_bytes() const noexcept override { return 1 << 20; }
  [[nodiscard]] bool has_ttl() const noexcept override { return true; }

  void end(std::size_t which, unsigned how) {
    if (pending_.empty()) return;
    which %= pending_.size();
    store_operation* const op = pending_[which];
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(which));
    reached("a store that ends later");
    // What the client gave the command is there until it ends.
    if (op->verb == target::store_verb::retrieve)
      for (const mutable_byte_span& s : op->data) std::memset(s.data(), 0x77, s.size());
    op->finish(static_cast<store_result>(how % 9), how * 3u);
  }
  void end_all() {
    while (!pending_.empty()) end(0, 0);
  }

  bool obeys = true;

 private:
  std::vector<store_operation*> pending_;
};

struct silent_waker final : target::waker {
  void wake() noexcept override {}
};

struct free_memory {
  void operator()(std::byte* p) const { std::free(p); }
};
using memory = std::unique_ptr<std::byte, free_memory>;

memory make_memory(std::size_t bytes) { return memory(static_cast<std::byte*>(std::aligned_alloc(page, bytes))); }

class world {
 public:
  explicit world(std::uint64_t hash) : queue_iova_((hash & 0x7fff'ffff'f000u) | 0x1000'0000'0000'0000u) {
    const auto add = [this](std::uint32_t nsid, key_encoding encoding, std::shared_ptr<target::store> store,
                            auto&& change) {
      target::namespace_options o;
      o.nsid = nsid;
      o.key_encoding = encoding;
      change(o);
      require(subsystem_->add(std::make_shared<target::kv_namespace>(o, std::move(store))).ok(), "a namespace");
    };
    const auto same = [](target::namespace_options&) {};
    const auto memory_store = [] {
      target::memory_store_options o;
      o.capacity_bytes = 4 << 20;
      o.kept_block_bytes = 0;
      return std::make_shared<target::memory_store>(o);
    };
    add(1, key_encoding::inline_cdw, memory_store(), same);
    add(2, key_encoding::payload_head, memory_store(), same);
    add(3, key_encoding::inline_cdw, memory_store(), [](target::namespace_options& o) { o.read_only = true; });
    add(4, key_encoding::payload_head, memory_store(), [](target::namespace_options& o) {
      o.reads_head = false;
      o.max_key_bytes = 20;
      o.max_value_bytes = 5000;
    });
    add(5, key_encoding::inline_cdw, later_, same);
    add(6, key_encoding::payload_head, later_, same);

    target::controller_options o;
    o.max_io_queue_pairs = queues - 1;
    o.max_queue_entries = 64;
    o.max_transfer_bytes = 1 << 20;
    o.max_outstanding = 40;
    o.max_sgl_descriptors = 256;
    o.max_regions = 16;
    o.raise_interrupt = [](std::uint16_t) {};
    auto made = target::controller::create(subsystem_, std::move(o), doorbells_, waker_);
    require(made.has_value(), "a controller");
    c_ = *std::move(made);

    data_ = shared_data();
    std::memset(data_, 0, data_bytes);
    std::memset(fixed_.get(), 0xa5, fixed_bytes);
    map(data_iova, data_bytes, data_, true);
    map(data_iova + fixed_at, fixed_bytes, fixed_.get(), false);
    enable(16);
  }

  ~world() {
    c_->close();
    for (unsigned i = 0; i < 10000 && !c_->quiet(); ++i) {
      later_->end_all();
      c_->poll();
    }
    require(c_->quiet(), "a closed controller comes to rest");
    const std::byte* const fixed = fixed_.get();
    require(fixed[0] == std::byte{0xa5} && std::memcmp(fixed, fixed + 1, fixed_bytes - 1) == 0,
            "what may only be read is not written");
  }

  void step(nkv_test::fuzz_input& in) {
    switch (in.byte() % 18) {
      case 0:
      case 1:
      case 2:
      case 3: return command(in);
      case 4: {
        const std::uint32_t at = in.take<std::uint32_t>();
        const byte_span from = in.bytes(in.byte());
        if (std::byte* const to = local(at, from.size())) std::memcpy(to, from.data(), from.size());
        return;
      }
      case 5: {  // an entry of a PRP list
        const std::uint32_t at = in.take<std::uint32_t>();
        const std::uint64_t entry = place(in.take<std::uint32_t>());
        if (std::byte* const to = local(at, sizeof entry)) std::memcpy(to, &entry, sizeof entry);
        return;
      }
      case 6: {  // a descriptor of an SGL
        const std::uint32_t at = in.take<std::uint32_t>();
        sgl_descriptor d;
        d.address = place(in.take<std::uint32_t>());
        d.length_bytes = in.take<std::uint32_t>();
        d.identifier = in.take<std::uint8_t>();
        if (std::byte* const to = local(at, sizeof d)) std::memcpy(to, &d, sizeof d);
        return;
      }
      case 7: return ring(in.byte() % queues);
      case 8:
        trusted_ = false;
        doorbells_[in.byte() % (2 * queues + 2)] = in.take<std::uint16_t>();
        return;
      case 9: {
        const unsigned width = (in.byte() & 1) != 0 ? 8 : 4;
        const std::uint32_t offset = in.take<std::uint16_t>() & (width == 8 ? 0xfff8u : 0xfffcu);
        trusted_ = false;
        static_cast<void>(c_->write_register(offset, width, in.take<std::uint64_t>()).ok());
        return;
      }
      case 10: {
        const unsigned width = in.byte();
        const auto r = c_->read_register(in.take<std::uint16_t>(), width);
        require(!r.has_value() || width == 4 || width == 8, "a register has a width");
        return;
      }
      case 11: poll(in.byte() % 8); return;
      case 12: reap_all(); return;
      case 13: return create_pair(1 + in.byte() % (queues - 1), 2 + in.byte() % 63);
      case 14: return delete_pair(1 + in.byte() % (queues - 1));
      case 15: {
        const unsigned what = in.byte();
        if (what % 4 == 0) return reset(what);
        if (what % 4 == 1) return change_namespaces();
        if (what % 4 == 2) return unmap_extra();
        return map_extra();
      }
      case 16: {
        const unsigned which = in.byte();
        return later_->end(which, in.byte());
      }
      default: later_->obeys = (in.byte() & 1) != 0; return;
    }
  }

  /// Whatever was begun ends; each command once.
  void drain() {
    for (unsigned round = 0; round < 1000; ++round) {
      for (unsigned q = 0; q < queues; ++q) ring(q);
      later_->end_all();
      const bool idle = poll(2) == 0;
      if (reap_all() == 0 && idle) break;
    }
    if (!trusted_ || !complete_ || csts() != 1) return;
    require(only_events_are_left(), "every command is completed");
  }

 private:
  static constexpr unsigned queues = 5;
  static constexpr std::size_t fixed_bytes = 2 * page;
  static constexpr std::size_t extra_bytes = 2 * page;
  static constexpr std::uint64_t fixed_at = 0x100'0000;
  static constexpr std::uint64_t extra_at = 0x200'0000;

  struct ring_pair {
    bool live = false;
    std::uint32_t depth = 0;
    std::uint32_t tail = 0;
    std::uint32_t sq_head = 0;
    std::uint32_t head = 0;
    bool phase = true;
    // Of the exact size, so that an entry beyond it is seen.
    std::unique_ptr<std::byte[]> sq, cq;
  };
  struct sent {
    std::uint8_t opc;
    std::uint32_t nsid;
    bool prp_list;
    bool sgl_segment;
  };

  static std::byte* shared_data() {
    static const memory one = make_memory(data_bytes);
    return one.get();
  }

  void map(std::uint64_t iova, std::size_t bytes, std::byte* at, bool writable) {
    require(c_->map_dma({iova, bytes, at, true, writable}).ok(), "memory can be mapped");
  }

  /// An address of client memory, mostly.
  [[nodiscard]] static std::uint64_t place(std::uint32_t value) {
    constexpr std::uint64_t bases[4] = {data_iova, data_iova, data_iova + fixed_at, data_iova + extra_at};
    return bases[value & 3] + (value >> 2) % (data_bytes + 2 * page);
  }
  /// The memory there, where the client may write.
  [[nodiscard]] std::byte* local(std::uint32_t value, std::size_t bytes) const {
    const std::uint64_t at = (value >> 2) % (data_bytes + 2 * page);
    if (bytes == 0) return nullptr;
    if ((value & 3) == 3) return extra_ != nullptr && at + bytes <= extra_bytes ? extra_.get() + at : nullptr;
    return (value & 3) < 2 && at + bytes <= data_bytes ? data_ + at : nullptr;
  }

  // Queues

  [[nodiscard]] std::uint64_t sq_iova(unsigned q) const { return queue_iova_ + q * 0x10'0000u; }
  [[nodiscard]] std::uint64_t cq_iova(unsigned q) const { return sq_iova(q) + 0x8'0000u; }

  void make_ring(unsigned q, std::uint32_t depth) {
    ring_pair& r = rings_[q];
    if (r.depth != 0) {
      require(c_->unmap_dma(sq_iova(q), r.depth * sizeof(sqe)).ok() &&
                  c_->unmap_dma(cq_iova(q), r.depth * sizeof(cqe)).ok(),
              "a queue's memory can be taken back");
    }
    r = {};
    r.depth = depth;
    r.sq = std::make_unique<std::byte[]>(depth * sizeof(sqe));
    r.cq = std::make_unique<std::byte[]>(depth * sizeof(cqe));
    map(sq_iova(q), depth * sizeof(sqe), r.sq.get(), true);
    map(cq_iova(q), depth * sizeof(cqe), r.cq.get(), true);
  }

  void enable(std::uint32_t depth) {
    make_ring(0, depth);
    write(reg::aqa, 4, (depth - 1) | (depth - 1) << 16);
    write(reg::asq, 8, sq_iova(0));
    write(reg::acq, 8, cq_iova(0));
    write(reg::cc, 4, 0x460061);
    require(csts() == 1, "it is ready");
    rings_[0].live = true;
  }
  [[nodiscard]] std::uint64_t csts() const {
    const auto r = c_->read_register(reg::csts, 4);
    require(r.has_value(), "a register can be read");
    return *r;
  }
  void write(std::uint32_t offset, unsigned width, std::uint64_t value) {
    require(c_->write_register(offset, width, value).ok(), "a register can be written");
  }

  [[nodiscard]] bool room(const ring_pair& r) const { return r.live && (r.tail + 1) % r.depth != r.sq_head; }

  bool post(unsigned q, sqe s, const sent& what) {
    ring_pair& r = rings_[q];
    if (!room(r)) return false;
    s.set_cid(next_cid_++);
    outstanding_[{q, s.cid()}] = what;
    std::memcpy(r.sq.get() + r.tail * sizeof s, &s, sizeof s);
    r.tail = (r.tail + 1) % r.depth;
    return true;
  }
  void ring(unsigned q) {
    if (rings_[q].live) __atomic_store_n(doorbells_ + 2 * q, rings_[q].tail, __ATOMIC_RELEASE);
  }
  /// @return how much was done
  unsigned poll(unsigned times) {
    unsigned done = 0;
    while (times-- != 0) done += c_->poll();
    if (csts() != 1) complete_ = false;
    return done;
  }
  /// @return how many completions there were
  unsigned reap_all() {
    unsigned n = 0;
    for (unsigned q = 0; q < queues; ++q) n += reap(q);
    return n;
  }
  unsigned reap(unsigned q) {
    ring_pair& r = rings_[q];
    if (!r.live) return 0;
    unsigned n = 0;
    for (; n < 2 * r.depth; ++n) {
      cqe e;
      std::memcpy(&e, r.cq.get() + r.head * sizeof e, sizeof e);
      if (e.phase() != r.phase) break;
      if (++r.head == r.depth) {
        r.head = 0;
        r.phase = !r.phase;
      }
      answered(q, e);
    }
    doorbells_[2 * q + 1] = r.head;
    return n;
  }
  void answered(unsigned q, const cqe& e) {
    if (!trusted_) return;
    require(e.sqid() == q, "a completion names its queue");
    require(e.sqhd() < rings_[q].depth, "the head is in the queue");
    const auto at = outstanding_.find({q, e.cid()});
    require(at != outstanding_.end(), "a command has one completion");
    const sent what = at->second;
    outstanding_.erase(at);
    rings_[q].sq_head = e.sqhd();
    note(q, what, e);
  }
  static void note(unsigned q, const sent& what, const cqe& e) {
    const bool unknown = e.status() == status(status_code_type::generic, generic_status::invalid_opcode);
    if (unknown) reached("an unknown command");
    if (!e.status().ok() && !e.status().is_key_does_not_exist() && (q != 0 || what.opc != 0x0c)) return;
    if (what.prp_list) reached("a PRP list");
    if (what.sgl_segment) reached("an SGL segment");
    if (q == 0) {
      switch (static_cast<admin_opcode>(what.opc)) {
        case admin_opcode::delete_sq: reached(0); break;
        case admin_opcode::create_sq: reached(1); break;
        case admin_opcode::get_log_page: reached(2); break;
        case admin_opcode::delete_cq: reached(3); break;
        case admin_opcode::create_cq: reached(4); break;
        case admin_opcode::identify: reached(5); break;
        case admin_opcode::abort: reached(6); break;
        case admin_opcode::set_features: reached(7); break;
        case admin_opcode::get_features: reached(8); break;
        case admin_opcode::async_event_request: reached(9); break;
        case admin_opcode::keep_alive: reached(10); break;
        default: require(false, "an unknown command succeeds");
      }
      return;
    }
    const unsigned head = what.nsid % 2 == 0 ? 1 : 0;
    switch (static_cast<kv_opcode>(what.opc)) {
      case kv_opcode::store: reached(11 + head); break;
      case kv_opcode::retrieve: reached(13 + head); break;
      case kv_opcode::remove: reached(15 + head); break;
      case kv_opcode::exist: reached(17 + head); break;
      case kv_opcode::list: reached(19 + head); break;
      default: require(false, "an unknown command succeeds");
    }
  }
  [[nodiscard]] bool only_events_are_left() const {
    return std::all_of(outstanding_.begin(), outstanding_.end(), [](const auto& entry) {
      return entry.first.first == 0 && entry.second.opc == static_cast<std::uint8_t>(admin_opcode::async_event_request);
    });
  }

  /// An admin command of the client's own, to its end.
  bool run(const sqe& s) {
    const std::uint16_t cid = next_cid_;
    for (unsigned i = 0; i < 100 && !room(rings_[0]); ++i) {
      ring(0);
      poll(1);
      reap(0);
    }
    if (!post(0, s, {s.opc(), 0, false, false})) return false;
    ring(0);
    for (unsigned i = 0; i < 100 && outstanding_.count({0u, cid}) != 0; ++i) {
      poll(4);
      reap_all();
      if (i > 2) later_->end_all();
    }
    const bool ended = outstanding_.count({0u, cid}) == 0;
    require(ended || !trusted_ || !complete_, "a command of the client's own ends");
    return ended;
  }
  void create_pair(unsigned q, std::uint32_t depth) {
    if (rings_[q].live || !trusted_ || !complete_ || !rings_[0].live) return;
    make_ring(q, depth);
    sqe s;
    s.set_opc(admin_opcode::create_cq);
    s.set_dptr(data_pointer::prp(cq_iova(q)));
    s.dw[10] = q | (depth - 1) << 16;
    s.dw[11] = 3 | q << 16;
    if (!run(s)) return;
    s.set_opc(admin_opcode::create_sq);
    s.set_dptr(data_pointer::prp(sq_iova(q)));
    s.dw[11] = 1 | q << 16;
    if (!run(s)) return;
    rings_[q].live = true;
  }
  void delete_pair(unsigned q) {
    if (!rings_[q].live || !trusted_ || !complete_) return;
    sqe s;
    s.set_opc(admin_opcode::delete_sq);
    s.dw[10] = q;
    if (!run(s)) return;
    reap(q);
    rings_[q].live = false;
    // What was not fetched has no completion.
    std::erase_if(outstanding_, [q](const auto& entry) { return entry.first.first == q; });
    s.set_opc(admin_opcode::delete_cq);
    static_cast<void>(run(s));
  }

  // What else a client does

  void reset(unsigned how) {
    if (how % 8 == 0) {
      write(reg::cc, 4, 0x460060);
    } else {
      c_->reset();
      write(reg::cc, 4, 0x460060);
    }
    for (unsigned i = 0; i < 10000 && csts() != 0; ++i) {
      c_->poll();
      if (i > 2) later_->end_all();
    }
    require(csts() == 0, "a reset comes to an end");
    require(c_->quiet(), "after a reset nothing is outstanding");
    outstanding_.clear();
    for (ring_pair& r : rings_) r.live = false;
    enable(2 + how % 62);
    trusted_ = complete_ = true;
    reached("a reset");
  }

  void change_namespaces() {
    if (subsystem_->remove(7).ok()) return;
    target::namespace_options o;
    o.nsid = 7;
    target::memory_store_options m;
    m.capacity_bytes = 1 << 16;
    require(subsystem_->add(std::make_shared<target::kv_namespace>(o, std::make_shared<target::memory_store>(m))).ok(),
            "a namespace can come");
  }

  void map_extra() {
    if (extra_ != nullptr) return;
    extra_ = make_memory(extra_bytes);
    std::memset(extra_.get(), 0, extra_bytes);
    map(data_iova + extra_at, extra_bytes, extra_.get(), true);
  }
  void unmap_extra() {
    if (extra_ == nullptr) return;
    require(c_->unmap_dma(data_iova + extra_at, extra_bytes).ok(), "memory can be taken back");
    for (unsigned i = 0; i < 10000 && c_->uses(extra_.get(), extra_bytes); ++i) {
      later_->end_all();
      c_->poll();
    }
    require(!c_->uses(extra_.get(), extra_bytes), "memory comes free");
    // From here on whoever touches it is found.
    extra_ = nullptr;
    // Queues may have been there.
    complete_ = complete_ && queues_are_mine_;
  }

  void command(nkv_test::fuzz_input& in) {
    const unsigned how = in.byte();
    const unsigned q = (how & 7) % queues;
    sqe s;
    s.set_opc(in.take<std::uint8_t>());
    const unsigned nsid = in.byte();
    s.set_nsid(nsid == 0xff ? 0xffffffffu : nsid % 9);
    s.dw[10] = in.take<std::uint32_t>();
    s.dw[11] = in.take<std::uint32_t>();
    s.dw[12] = in.take<std::uint32_t>();
    s.dw[13] = in.take<std::uint32_t>();
    for (const unsigned i : {2u, 3u, 14u, 15u}) s.dw[i] = in.take<std::uint32_t>();
    sent what{s.opc(), s.nsid(), false, false};
    const unsigned form = (how >> 4) & 7;
    switch (form) {
      case 0: {
        const std::uint64_t low = in.take<std::uint64_t>();
        s.set_dptr({low, in.take<std::uint64_t>(), psdt::prp});
        s.dw[0] |= (in.byte() & 0xffu) << 8;
        break;
      }
      case 1: {
        const std::uint64_t first = place(in.take<std::uint32_t>());
        s.set_dptr(data_pointer::prp(first, place(in.take<std::uint32_t>())));
        what.prp_list = q != 0 && s.dw[10] > 2 * page;
        break;
      }
      case 2: {
        const std::uint64_t at = place(in.take<std::uint32_t>());
        s.set_dptr(data_pointer::sgl(sgl_descriptor::data_block(at, in.take<std::uint32_t>())));
        break;
      }
      case 3:
      case 4: {
        const std::uint64_t at = place(in.take<std::uint32_t>());
        const std::uint32_t count = in.take<std::uint16_t>();
        s.set_dptr(data_pointer::sgl(form == 3 ? sgl_descriptor::last_segment(at, count)
                                               : sgl_descriptor::segment(at, count)));
        what.sgl_segment = q != 0;
        break;
      }
      case 5: {
        sgl_descriptor d;
        d.address = place(in.take<std::uint32_t>());
        d.length_bytes = in.take<std::uint32_t>();
        d.identifier = in.take<std::uint8_t>();
        s.set_dptr(data_pointer::sgl(d));
        break;
      }
      case 6: s.set_dptr(data_pointer::prp(place(in.take<std::uint32_t>()))); break;
      default: break;
    }
    if (q == 0) {
      // Queues of other shapes than the client keeps its books of.
      const std::uint8_t opc = s.opc();
      if (opc == 0x01 || opc == 0x05) {
        queues_are_mine_ = trusted_ = false;
      } else if (opc == 0x00 || opc == 0x04) {
        complete_ = false;
      }
    }
    if (!post(q, s, what)) return;
    if ((how & 8) != 0) return;
    ring(q);
    if (c_->poll() != 0 && !c_->quiet() && q != 0 && (nsid % 9 == 1 || nsid % 9 == 2)) reached("a long copy");
  }

  silent_waker waker_;
  std::shared_ptr<target::subsystem> subsystem_ = std::make_shared<target::subsystem>();
  std::shared_ptr<later_store> later_ = std::make_shared<later_store>();
  std::byte* data_ = nullptr;
  memory fixed_ = make_memory(fixed_bytes);
  memory extra_;
  alignas(page) std::uint32_t doorbells_[1024] = {};
  const std::uint64_t queue_iova_;  ///< where no input can know it: queues are not the data of commands
  std::unique_ptr<target::controller> c_;
  ring_pair rings_[queues];
  std::map<std::pair<unsigned, std::uint16_t>, sent> outstanding_;
  std::uint16_t next_cid_ = 1;
  bool trusted_ = true;   ///< the client keeps to the rules of queues: completions can be told apart
  bool complete_ = true;  ///< nothing keeps a command from its completion
  bool queues_are_mine_ = true;
};

// Seeds
// ---------------------------------------------------------------------------------------------------------------------

constexpr unsigned form_prp = 1, form_block = 2, form_last = 3, form_one_prp = 6, form_none = 7;

std::uint32_t at_data(std::uint32_t offset) { return offset << 2; }

seed command(unsigned q, unsigned form, unsigned opc, unsigned nsid, std::uint32_t cdw10 = 0, std::uint32_t cdw11 = 0,
             std::uint32_t cdw12 = 0, std::uint32_t key = 0) {
  return seed{}.u8(0).u8(q | form << 4).u8(opc).u8(nsid).u32(cdw10).u32(cdw11).u32(cdw12).u32(0).u32(key).u32(0).u64(0);
}
seed bytes_at(std::uint32_t offset, std::string_view text) {
  return seed{}.u8(4).u32(at_data(offset)).u8(static_cast<unsigned>(text.size())).text(text);
}
seed pair(unsigned q, unsigned depth) { return seed{}.u8(13).u8(q - 1).u8(depth - 2); }

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  const std::string_view head_key{"\3\0key", 5};
  // The admin commands.
  seed admin;
  for (const unsigned cns : {0u, 1u, 2u, 3u, 5u, 6u, 7u, 8u, 0x1cu})
    admin.add(command(0, form_one_prp, 0x06, 1, cns, 1 << 24).u32(at_data(0)));
  for (unsigned log = 0; log < 6; ++log) admin.add(command(0, form_one_prp, 0x02, 0xff, log | 127 << 16).u32(0));
  for (const unsigned feature : {1u, 2u, 4u, 7u, 8u, 9u, 0xbu, 0xfu, 0x16u, 0x19u, 0x20u}) {
    admin.add(command(0, form_one_prp, 0x0a, 1, feature).u32(0));
    admin.add(command(0, form_one_prp, 0x09, 1, feature, 0x100).u32(0)).add(seed{}.u8(12));
  }
  admin.add(command(0, form_none, 0x18, 0)).add(command(0, form_none, 0x0c, 0)).add(seed{}.u8(15).u8(1).u8(11).u8(4));
  admin.add(seed{}.u8(12)).add(command(0, form_none, 0x0c, 0)).add(command(0, form_none, 0x08, 0, 40 << 16));
  admin.add(command(0, form_none, 0x55, 0));
  folder.add(admin);
  folder.add(seed{}.add(pair(1, 8)).add(pair(2, 64)).u8(14).u8(0).u8(14).u8(1).u8(15).u8(0).add(pair(3, 2)));
  // Every KV command, in both encodings.
  for (const unsigned opc : {0x01u, 0x02u, 0x10u, 0x14u, 0x06u, 0x83u}) {
    folder.add(seed{}
                   .add(pair(1, 8))
                   .add(bytes_at(0, "a value of some length"))
                   .add(command(1, form_prp, 0x01, 1, 22, 3, 0, 0x79656b).u32(0).u32(0))
                   .add(command(1, form_prp, opc, 1, opc == 0x10 || opc == 0x14 ? 0 : 64, 3, 0, 0x79656b).u32(0).u32(0))
                   .u8(12));
    folder.add(seed{}
                   .add(pair(2, 8))
                   .add(bytes_at(page, head_key))
                   .add(command(2, form_block, 0x01, 2, 64).u32(at_data(page)).u32(256))
                   .add(command(2, form_block, opc, 2, opc == 0x10 || opc == 0x14 ? 0 : 64).u32(at_data(page)).u32(256))
                   .u8(12));
    folder.add(seed{}
                   .add(pair(1, 8))
                   .add(bytes_at(0, head_key))
                   .add(command(1, form_prp, opc, 5, 64, 3).u32(0).u32(0))
                   .add(command(1, form_prp, opc, 6, 64, 0).u32(0).u32(0))
                   .add(command(0, form_none, 0x08, 0, 1 | 6 << 16))
                   .u8(16)
                   .u8(0)
                   .u8(0)
                   .u8(11)
                   .u8(4)
                   .u8(12));
  }
  // A PRP list; SGLs with a segment; a long copy from them.
  seed list;
  list.add(pair(1, 8));
  for (unsigned i = 0; i < 5; ++i) list.u8(5).u32(at_data(0x8000 + 8 * i)).u32(at_data((2 + i) * page));
  list.add(command(1, form_prp, 0x01, 1, 5 * page, 3, 0, 0x79656b).u32(0).u32(at_data(0x8000)));
  list.add(command(1, form_prp, 0x02, 1, 5 * page, 3, 0, 0x79656b).u32(0).u32(at_data(0x8000))).u8(12);
  folder.add(list);
  seed sgl;
  sgl.add(pair(1, 8)).add(bytes_at(0, head_key));
  for (unsigned i = 0; i < 6; ++i) sgl.u8(6).u32(at_data(0x30000 + 16 * i)).u32(0).u32(0x20000).u8(0);
  sgl.add(command(1, form_last, 0x01, 1, 5 * 0x20000, 3, 0, 0x79656b).u32(at_data(0x30000)).u16(6));
  sgl.add(command(1, form_last, 0x02, 2, 100).u32(at_data(0x30000)).u16(6));
  sgl.add(command(1, form_last, 0x02, 1, 5 * 0x20000, 3, 0, 0x79656b).u32(at_data(0x30000)).u16(6)).u8(11).u8(7).u8(12);
  folder.add(sgl);
  // Memory that goes while commands use it; bad doorbells; registers.
  folder.add(seed{}.add(pair(1, 8)).u8(15).u8(3).add(command(1, form_one_prp, 0x02, 5, 64, 3).u32(3)).u8(15).u8(2));
  folder.add(seed{}.add(pair(1, 8)).u8(8).u8(2).u16(9).u8(11).u8(3).u8(8).u8(3).u16(7).u8(11).u8(3).u8(15).u8(4));
  folder.add(seed{}.u8(9).u8(0).u16(0x14).u64(0x464061).u8(11).u8(2).u8(9).u8(1).u16(0x28).u64(0x123456000));
  folder.add(seed{}.u8(10).u8(8).u16(0).u8(10).u8(4).u16(0x1000).u8(9).u8(0).u16(0x1008).u64(1));
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint64_t hash = 14695981039346656037u;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 1099511628211u;
  nkv_test::fuzz_input in(data, size);
  world w(hash);
  while (!in.done()) w.step(in);
  w.drain();
  return 0;
}
