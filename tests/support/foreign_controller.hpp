// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/foreign_lies.hpp>
#include <support/foreign_memory.hpp>
#include <support/foreign_modes.hpp>
#include <support/foreign_store.hpp>

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test::foreign {

/// An NVMe controller with one KV namespace, nsid 1, written from the specifications alone: its own numbers and
/// offsets, and nothing of the library or its target, so that an error of theirs is not repeated here.
///
/// One thread. `doorbells` is a page that work() looks at, whoever writes it.
class controller {
 public:
  static constexpr std::uint32_t doorbell_bytes = 4096;
  static constexpr std::uint16_t most_queues = 128;

  controller(const modes& how, const memory& client, store& keys, lies& false_things, std::uint32_t* doorbells)
      : how_(how),
        memory_(client),
        store_(keys),
        lies_(false_things),
        doorbells_(doorbells),
        sqs_(most_queues),
        cqs_(most_queues) {}

  /// @param at offset in BAR0, below 1000h
  [[nodiscard]] std::uint64_t read_register(std::uint64_t at, std::size_t width) const {
    unsigned char file[0x50] = {};
    if (lies_.now(lie::registers_noise)) return lies_.random() << 32 ^ lies_.random();
    // CAP: MQES, CQR, TO 15 s, DSTRD 0, CSS bits 0 (at 37) and 6 (at 43), 4 KiB pages.
    std::uint64_t cap = (how_.entries - 1) | std::uint64_t{1} << 16 | std::uint64_t{30} << 24 | std::uint64_t{1} << 43;
    if (!how_.io_command_sets_only) cap |= std::uint64_t{1} << 37;
    put(file + 0x00, cap);
    put(file + 0x08, std::uint32_t{0x20000});
    put(file + 0x14, cc_);
    put(file + 0x1c, csts_);
    put(file + 0x24, aqa_);
    put(file + 0x28, asq_);
    put(file + 0x30, acq_);
    if (at + width > sizeof file) return 0;
    return width == 8 ? get<std::uint64_t>(file + at) : get<std::uint32_t>(file + at);
  }
  void write_register(std::uint64_t at, std::size_t width, std::uint64_t value) {
    const auto low = static_cast<std::uint32_t>(value);
    const auto half = [low](std::uint64_t& of, unsigned shift) {
      of = (of & ~(std::uint64_t{0xffffffff} << shift)) | std::uint64_t{low} << shift;
    };
    switch (at) {
      case 0x14: configure(low); break;
      case 0x24: aqa_ = low; break;
      case 0x28: width == 8 ? static_cast<void>(asq_ = value) : half(asq_, 0); break;
      case 0x2c: half(asq_, 32); break;
      case 0x30: width == 8 ? static_cast<void>(acq_ = value) : half(acq_, 0); break;
      case 0x34: half(acq_, 32); break;
      default: break;  // read-only or not there
    }
  }

  /// As a device reset does: everything but what is stored is as at the start.
  void reset() {
    for (auto& q : sqs_) q = {};
    for (auto& q : cqs_) q = {};
    late_.clear();
    std::memset(doorbells_, 0, doorbell_bytes);
    cc_ = csts_ = aqa_ = 0;
    asq_ = acq_ = 0;
    delete_of_absent_fails_ = false;
  }

  [[nodiscard]] bool enabled() const { return (csts_ & 1u) != 0; }

  /// Executes what the doorbells announce. @return whether there was anything
  bool work() {
    if (!enabled() || (csts_ & 2u) != 0) return false;
    bool any = carry_out_late();
    for (std::uint16_t id = 0; id < most_queues; ++id) {
      submission& sq = sqs_[id];
      if (sq.ring == nullptr) continue;
      const std::uint32_t tail = __atomic_load_n(doorbells_ + 2 * id, __ATOMIC_ACQUIRE) & 0xffff;
      if (tail >= sq.entries) {
        csts_ |= 2;  // an invalid doorbell value: this server gives up, so that a test sees it
        return true;
      }
      while (sqs_[id].ring != nullptr && sq.head != tail && has_room(sq.cqid)) {
        unsigned char command[64];
        std::memcpy(command, sq.ring + std::size_t{64} * sq.head, sizeof command);
        sq.head = (sq.head + 1) % sq.entries;
        any = true;
        if (lies_.now(lie::fatal)) {
          csts_ |= 2;
          return true;
        }
        if (lies_.now(lie::never)) continue;
        if (lies_.now(lie::late)) {
          late_.push_back({id, now_ns() + late_ns, {}});
          std::memcpy(late_.back().command, command, sizeof command);
          continue;
        }
        carry_out(id, command);
        if (!enabled()) return true;
      }
    }
    return any;
  }

 private:
  struct answer {
    unsigned type = 0;
    unsigned code = 0;
    std::uint32_t dw0 = 0;
    bool posted = true;
  };
  struct submission {
    unsigned char* ring = nullptr;
    std::uint32_t entries = 0;
    std::uint32_t head = 0;
    std::uint16_t cqid = 0;
  };
  struct completion_queue {
    unsigned char* ring = nullptr;
    std::uint32_t entries = 0;
    std::uint32_t tail = 0;
    unsigned phase = 1;
  };

  struct late_command {
    std::uint16_t sqid;
    std::uint64_t due_ns;
    unsigned char command[64];
  };

  static answer generic(unsigned code) { return {0, code, 0, true}; }
  static answer specific(unsigned code) { return {1, code, 0, true}; }
  /// 85h to 89h, under the type that this server has them under.
  [[nodiscard]] answer kv(unsigned code) const { return {how_.kv_status_type, code, 0, true}; }

  static constexpr unsigned invalid_opcode = 0x01;
  static constexpr unsigned invalid_field = 0x02;
  static constexpr unsigned internal_error = 0x06;
  static constexpr unsigned invalid_namespace = 0x0b;
  static constexpr unsigned sgl_length_invalid = 0x0f;
  static constexpr unsigned prp_offset_invalid = 0x13;
  static constexpr std::uint64_t page = 4096;

  // ---- Registers and rings ----

  void configure(std::uint32_t cc) {
    const bool was = (cc_ & 1u) != 0;
    const bool is = (cc & 1u) != 0;
    cc_ = cc;
    if (!was && is) {
      enable();
    } else if (was && !is) {
      for (auto& q : sqs_) q = {};
      for (auto& q : cqs_) q = {};
      late_.clear();
      csts_ = 0;
    } else if ((cc >> 14 & 3u) != 0) {
      csts_ = (csts_ & ~0xcu) | 0x8u;  // shutdown processing complete
    }
  }

  void enable() {
    const std::uint32_t css = cc_ >> 4 & 7u;
    const std::uint32_t sq = (aqa_ & 0xfffu) + 1;
    const std::uint32_t cq = (aqa_ >> 16 & 0xfffu) + 1;
    unsigned char* const sq_at = memory_.reach(asq_, std::uint64_t{64} * sq);
    unsigned char* const cq_at = memory_.reach(acq_, std::uint64_t{16} * cq);
    const bool good = (css == 6 || (css == 0 && !how_.io_command_sets_only)) && (cc_ >> 7 & 0xfu) == 0 &&
                      asq_ % page == 0 && acq_ % page == 0 && sq_at != nullptr && cq_at != nullptr;
    if (!good) {
      csts_ = 2;  // CFS
      return;
    }
    doorbells_[0] = doorbells_[1] = 0;
    clear(sq_at, std::size_t{64} * sq);
    clear(cq_at, std::size_t{16} * cq);
    sqs_[0] = {sq_at, sq, 0, 0};
    cqs_[0] = {cq_at, cq, 0, 1};
    csts_ = 1;
  }

  static void clear(unsigned char* at, std::size_t bytes) { std::memset(at, 0, bytes); }

  [[nodiscard]] bool has_room(std::uint16_t cqid) const {
    const completion_queue& q = cqs_[cqid];
    const std::uint32_t head = __atomic_load_n(doorbells_ + 2 * cqid + 1, __ATOMIC_ACQUIRE) & 0xffff;
    return (q.tail + 1) % q.entries != head % q.entries;
  }

  void carry_out(std::uint16_t sqid, const unsigned char* command) {
    const auto cid = get<std::uint16_t>(command + 2);
    lie_before(sqid, cid);
    answer a = sqid == 0 ? administer(command) : execute(command);
    if (!a.posted) return;
    if (lies_.now(lie::any_status)) {
      a.type = static_cast<unsigned>(lies_.random() % lies::false_type);
      a.code = 1 + static_cast<unsigned>(lies_.random() % 255);
    }
    const bool tells_length =
        sqid != 0 && (command[0] == op_retrieve || command[0] == op_exist || command[0] == op_list);
    if (tells_length && a.type == 0 && a.code == 0 && lies_.now(lie::length_beyond)) {
      const std::uint32_t room = get<std::uint32_t>(command + 40);
      const std::uint32_t lengths[] = {room + 1, room * 2 + 1, 0x7fffffff, 0xffffffff};
      a.dw0 = lengths[lies_.random() % 4];
    }
    complete(sqid, cid, a);
    if (sqs_[sqid].ring != nullptr && room(sqs_[sqid].cqid) > 0 && lies_.now(lie::completed_twice))
      post(sqid, cid, sqid, falsehood());
    if (sqs_[sqid].ring != nullptr && lies_.now(lie::ring_flooded)) {
      for (std::uint32_t n = 1 + static_cast<std::uint32_t>(lies_.random() % 300); n != 0; --n)
        post(sqid, one_far_from(cid), sqid, falsehood());
    }
  }

  /// A CID that the next commands will not have by chance: nobody could tell that from a completion of theirs.
  [[nodiscard]] std::uint16_t one_far_from(std::uint16_t cid) {
    return static_cast<std::uint16_t>((lies_.random() & 0x7fffu) | (~unsigned{cid} & 0x8000u));
  }

  /// Lies while a command is under way. That somebody believes them shows: there is time before its own completion.
  void lie_before(std::uint16_t sqid, std::uint16_t cid) {
    if (room(sqs_[sqid].cqid) < 2) return;
    if (lies_.now(lie::cid_never_sent)) {
      // Its place in a table of CIDs with another generation, and the one CID that nobody may use.
      const std::uint16_t cids[] = {static_cast<std::uint16_t>(cid ^ 0x8000), static_cast<std::uint16_t>(cid ^ 0x4000),
                                    0xffff};
      post(sqid, cids[lies_.random() % 3], sqid, falsehood());
    } else if (lies_.now(lie::wrong_sqid)) {
      post(sqid, cid, static_cast<std::uint16_t>(sqid + 1), falsehood());
    } else if (lies_.now(lie::wrong_phase)) {
      post(sqid, cid, sqid, falsehood(), before_its_lap);
    } else {
      return;
    }
    const timespec a_moment{0, 100'000};
    ::nanosleep(&a_moment, nullptr);
  }
  answer falsehood() { return {lies::false_type, lies::false_code, static_cast<std::uint32_t>(lies_.random()), true}; }

  /// @return whether there was anything
  bool carry_out_late() {
    bool any = false;
    for (std::size_t i = 0; i < late_.size();) {
      if (now_ns() < late_[i].due_ns) {
        ++i;
        continue;
      }
      const late_command its = late_[i];
      late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
      any = true;
      if (sqs_[its.sqid].ring == nullptr) continue;
      carry_out(its.sqid, its.command);
      if (!enabled()) break;
    }
    return any;
  }
  static std::uint64_t now_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
  }

  /// Entries that can be posted before the ring is full.
  [[nodiscard]] std::uint32_t room(std::uint16_t cqid) const {
    const completion_queue& q = cqs_[cqid];
    if (q.entries == 0) return 0;
    const std::uint32_t head = __atomic_load_n(doorbells_ + 2 * cqid + 1, __ATOMIC_ACQUIRE) & 0xffff;
    return (head % q.entries + q.entries - q.tail - 1) % q.entries;
  }

  void complete(std::uint16_t sqid, std::uint16_t cid, const answer& a) {
    post(sqid, cid, sqid, a, lies_.now(lie::phase_stuck) ? never_its_lap : its_lap);
  }

  enum lap { its_lap, before_its_lap, never_its_lap };
  /// @param named the queue that the entry says it is of
  void post(std::uint16_t sqid, std::uint16_t cid, std::uint16_t named, const answer& a, lap when = its_lap) {
    const submission& sq = sqs_[sqid];
    if (sq.ring == nullptr) return;
    completion_queue& q = cqs_[sq.cqid];
    unsigned char* const at = q.ring + std::size_t{16} * q.tail;
    const bool failed = a.type != 0 || a.code != 0;
    const std::uint32_t dnr = failed && !how_.never_dnr ? 1u << 31 : 0u;
    const std::uint32_t phase = when == its_lap ? q.phase : q.phase ^ 1;
    std::uint32_t head = sq.head;
    if (lies_.now(lie::sq_head_beyond)) head = 0x8000u | static_cast<std::uint32_t>(lies_.random() & 0x7fff);
    put(at + 0, a.dw0);
    put(at + 4, std::uint32_t{0});
    put(at + 8, head | std::uint32_t{named} << 16);
    // The phase goes last: with it the entry is there.
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(at + 12), cid | phase << 16 | a.code << 17 | a.type << 25 | dnr,
                     __ATOMIC_RELEASE);
    if (when == before_its_lap) return;
    if (++q.tail == q.entries) {
      q.tail = 0;
      q.phase ^= 1;
    }
  }

  // ---- Admin commands ----

  answer administer(const unsigned char* c) {
    const std::uint32_t cdw10 = get<std::uint32_t>(c + 40);
    const std::uint32_t cdw11 = get<std::uint32_t>(c + 44);
    if (c[1] >> 6 != 0 && how_.admin_prp_only) return generic(invalid_field);
    switch (c[0]) {
      case 0x00: return delete_sq(cdw10 & 0xffff);
      case 0x01: return create_sq(cdw10, cdw11, get<std::uint64_t>(c + 24));
      case 0x02: return how_.basic_admin ? answer{} : write_page(c, std::string(512, '\0'));
      case 0x04: return delete_cq(cdw10 & 0xffff);
      case 0x05: return create_cq(cdw10, cdw11, get<std::uint64_t>(c + 24));
      case 0x06: return identify(c);
      case 0x08: return how_.basic_admin ? generic(invalid_opcode) : answer{0, 0, 1, true};
      case 0x09: return set_feature(c, cdw10 & 0xff, cdw11);
      case 0x0a: return get_feature(c, cdw10 & 0xff);
      case 0x0c: return {0, 0, 0, false};  // an event that never comes
      case 0x18: return how_.basic_admin ? generic(invalid_opcode) : answer{};
      default: return generic(invalid_opcode);
    }
  }

  [[nodiscard]] static bool is_queue(std::uint32_t id) { return id != 0 && id < most_queues; }

  answer create_cq(std::uint32_t cdw10, std::uint32_t cdw11, std::uint64_t address) {
    const std::uint32_t id = cdw10 & 0xffff;
    const std::uint32_t entries = (cdw10 >> 16) + 1;
    if (!is_queue(id) || cqs_[id].ring != nullptr) return specific(0x01);
    if (entries < 2 || entries > how_.entries) return specific(0x02);
    if ((cdw11 & 1u) == 0) return generic(invalid_field);
    if (address % page != 0) return generic(prp_offset_invalid);
    unsigned char* const ring = memory_.reach(address, std::uint64_t{16} * entries);
    if (ring == nullptr) return generic(internal_error);
    clear(ring, std::size_t{16} * entries);
    doorbells_[2 * id + 1] = 0;
    cqs_[id] = {ring, entries, 0, 1};
    return {};
  }
  answer create_sq(std::uint32_t cdw10, std::uint32_t cdw11, std::uint64_t address) {
    const std::uint32_t id = cdw10 & 0xffff;
    const std::uint32_t entries = (cdw10 >> 16) + 1;
    const std::uint32_t cqid = cdw11 >> 16;
    if (!is_queue(id) || sqs_[id].ring != nullptr) return specific(0x01);
    if (entries < 2 || entries > how_.entries) return specific(0x02);
    if (!is_queue(cqid) || cqs_[cqid].ring == nullptr) return specific(0x00);
    if ((cdw11 & 1u) == 0) return generic(invalid_field);
    if (address % page != 0) return generic(prp_offset_invalid);
    unsigned char* const ring = memory_.reach(address, std::uint64_t{64} * entries);
    if (ring == nullptr) return generic(internal_error);
    clear(ring, std::size_t{64} * entries);
    doorbells_[2 * id] = 0;
    sqs_[id] = {ring, entries, 0, static_cast<std::uint16_t>(cqid)};
    return {};
  }
  answer delete_sq(std::uint32_t id) {
    if (!is_queue(id) || sqs_[id].ring == nullptr) return specific(0x01);
    sqs_[id] = {};
    std::erase_if(late_, [id](const late_command& its) { return its.sqid == id; });
    return {};
  }
  answer delete_cq(std::uint32_t id) {
    if (!is_queue(id) || cqs_[id].ring == nullptr) return specific(0x01);
    for (const submission& sq : sqs_)
      if (sq.ring != nullptr && sq.cqid == id) return specific(0x0c);
    cqs_[id] = {};
    return {};
  }

  answer set_feature(const unsigned char* c, std::uint32_t id, std::uint32_t value) {
    switch (id) {
      case 0x07: return {0, 0, granted_queues, true};
      case 0x0b: return {};
      case 0x20:
        if (!how_.has_features) return generic(invalid_field);
        if (get<std::uint32_t>(c + 4) != 1) return generic(invalid_namespace);
        delete_of_absent_fails_ = (value & 1u) != 0;
        return {};
      default: return generic(invalid_field);
    }
  }
  answer get_feature(const unsigned char* c, std::uint32_t id) {
    switch (id) {
      case 0x07: return {0, 0, granted_queues, true};
      case 0x20:
        if (!how_.has_features) return generic(invalid_field);
        if (get<std::uint32_t>(c + 4) != 1) return generic(invalid_namespace);
        return {0, 0, delete_of_absent_fails_ ? 1u : 0u, true};
      default: return generic(invalid_field);
    }
  }

  answer identify(const unsigned char* c) {
    const unsigned cns = c[40];
    const std::uint32_t nsid = get<std::uint32_t>(c + 4);
    const unsigned csi = c[47];
    std::string text(4096, '\0');
    auto* const p = reinterpret_cast<unsigned char*>(text.data());
    if (lies_.now(lie::identify_noise)) {
      lies_.fill(p, text.size());
      return write_page(c, text);
    }
    const auto list_of_one = [&] {
      if (nsid >= 0xfffffffe) return generic(invalid_namespace);
      if (nsid == 0) put(p, std::uint32_t{1});
      return write_page(c, text);
    };
    switch (cns) {
      case 0x00: return nsid == 1 ? write_page(c, text) : generic(invalid_namespace);
      case 0x01: fill_controller(p); return write_page(c, text);
      case 0x02: return list_of_one();
      case 0x03:
        if (nsid != 1) return generic(invalid_namespace);
        // An NGUID first, so that who looks for the command set has to walk.
        p[0] = 2;
        p[1] = 16;
        std::memset(p + 4, 0x5d, 16);
        p[20] = 4;
        p[21] = 1;
        p[24] = 1;
        return write_page(c, text);
      case 0x05:
        if (csi != 1) return generic(invalid_field);
        if (nsid != 1) return generic(invalid_namespace);
        fill_namespace(p);
        return write_page(c, text);
      case 0x06:
        if (csi != 1) return generic(invalid_field);
        put(p, std::uint32_t{0x00010000});
        return write_page(c, text);
      case 0x07: return csi != 1 || how_.csi_descriptor_only ? generic(invalid_field) : list_of_one();
      case 0x08:
        if (nsid != 1) return generic(invalid_namespace);
        p[14] = 1;
        return write_page(c, text);
      case 0x1c: put(p, std::uint64_t{how_.csi_descriptor_only ? 1u : 2u}); return write_page(c, text);
      default: return generic(invalid_field);
    }
  }

  static void words(unsigned char* to, std::size_t room, const char* text) {
    std::memset(to, ' ', room);
    std::memcpy(to, text, std::min(room, std::strlen(text)));
  }

  void fill_controller(unsigned char* p) const {
    put(p + 0, static_cast<std::uint16_t>(how_.spdk_names ? 0x4e58 : 0x1234));
    words(p + 4, 20, how_.spdk_names ? "SPDK1" : "FOREIGN0001");
    words(p + 24, 40, how_.spdk_names ? "SPDK bdev Controller" : "Foreign KV controller");
    words(p + 64, 8, "26.01");
    p[77] = how_.mdts;
    put(p + 78, std::uint16_t{1});
    put(p + 80, std::uint32_t{0x20000});
    p[111] = 1;
    p[258] = 3;
    p[259] = 3;
    p[512] = 0x66;
    p[513] = 0x44;
    put(p + 514, static_cast<std::uint16_t>(std::min(how_.entries, 0xffffu)));
    put(p + 516, std::uint32_t{1});
    put(p + 536, how_.sgls);
    std::memcpy(p + 768, "nqn.2026-11.test:foreign", 24);
  }

  void fill_namespace(unsigned char* p) const {
    put(p + 0, std::uint64_t{1} << 20);
    put(p + 16, std::uint64_t{store_.entries.size()});
    const auto format = [&](unsigned n, std::uint32_t key_bytes, std::uint32_t value_bytes) {
      put(p + 72 + 16 * n, static_cast<std::uint16_t>(key_bytes));
      put(p + 72 + 16 * n + 4, value_bytes);
      put(p + 72 + 16 * n + 8, std::uint32_t{0xffffffff});
    };
    p[25] = 1;
    if (how_.one_format_counted_as_two) {
      format(0, how_.key_bytes, how_.value_bytes);
    } else {
      // The second of two formats is in use.
      format(0, 8, 512);
      format(1, how_.key_bytes, how_.value_bytes);
      p[29] = 1;
    }
  }

  static constexpr std::uint32_t granted_queues = 0x007e007e;

  /// Writes the answer to an admin command, cut to what an Identify or a log page asks for.
  answer write_page(const unsigned char* c, std::string text) {
    if (c[0] == 0x02) {
      const std::uint64_t dwords = (get<std::uint32_t>(c + 40) >> 16) | std::uint64_t{get<std::uint16_t>(c + 44)} << 16;
      text.assign(static_cast<std::size_t>(std::min<std::uint64_t>((dwords + 1) * 4, page)), '\0');
    }
    std::vector<piece> to;
    const answer a = gather(c, text.size(), true, to);
    if (a.code != 0) return a;
    scatter(to, 0, text);
    return {};
  }

  // ---- Data pointers ----

  /// Where the data of a command is.
  /// @param exact an SGL is to name just `bytes`; else it says itself how many there are
  answer gather(const unsigned char* c, std::uint64_t bytes, bool exact, std::vector<piece>& to) const {
    const unsigned psdt = c[1] >> 6;
    if (psdt == 3) return generic(invalid_field);
    if (psdt == 0) return bytes == 0 ? answer{} : gather_prps(get<std::uint64_t>(c + 24), c + 32, bytes, to);
    if (how_.sgls == 0) return generic(invalid_field);
    answer a = gather_sgl(c + 24, to);
    std::uint64_t total = 0;
    for (const piece& p : to) total += p.bytes;
    if (a.code == 0 && exact && total != bytes) a = generic(sgl_length_invalid);
    return a;
  }

  answer gather_prps(std::uint64_t first, const unsigned char* second, std::uint64_t bytes,
                     std::vector<piece>& to) const {
    const auto add = [&](std::uint64_t address) {
      const std::uint64_t here = std::min(bytes, page - address % page);
      unsigned char* const at = memory_.reach(address, here);
      if (at == nullptr) return false;
      to.push_back({at, static_cast<std::size_t>(here)});
      bytes -= here;
      return true;
    };
    if (!add(first)) return generic(internal_error);
    if (bytes == 0) return {};
    const std::uint64_t prp2 = get<std::uint64_t>(second);
    if (bytes <= page || how_.two_pages) {
      if (bytes > page || prp2 % page != 0) return generic(prp_offset_invalid);
      return add(prp2) ? answer{} : generic(internal_error);
    }
    if (prp2 % 8 != 0) return generic(prp_offset_invalid);
    for (std::uint64_t at = prp2; bytes != 0; at += 8) {
      const unsigned char* entry = memory_.reach(at, 8);
      if (entry == nullptr) return generic(internal_error);
      // The last entry of a page leads to the next one, unless the data ends there.
      if (at % page == page - 8 && bytes > page && !how_.flat_prp_list) {
        at = get<std::uint64_t>(entry);
        if (at % page != 0) return generic(prp_offset_invalid);
        entry = memory_.reach(at, 8);
        if (entry == nullptr) return generic(internal_error);
      }
      const std::uint64_t address = get<std::uint64_t>(entry);
      if (address % page != 0) return generic(prp_offset_invalid);
      if (!add(address)) return generic(internal_error);
    }
    return {};
  }

  answer gather_sgl(const unsigned char* descriptor, std::vector<piece>& to) const {
    unsigned char current[16];
    std::memcpy(current, descriptor, sizeof current);
    for (unsigned segments = 0; segments < 64; ++segments) {
      const unsigned type = current[15] >> 4;
      const std::uint64_t address = get<std::uint64_t>(current);
      const std::uint32_t bytes = get<std::uint32_t>(current + 8);
      if (type == 0) return add_block(address, bytes, to) ? answer{} : generic(internal_error);
      if (type != 2 && type != 3) return generic(0x11);
      if (bytes == 0 || bytes % 16 != 0) return generic(0x0d);
      const unsigned char* const segment = memory_.reach(address, bytes);
      if (segment == nullptr) return generic(internal_error);
      bool goes_on = false;
      for (std::uint32_t at = 0; at < bytes; at += 16) {
        const unsigned char* const d = segment + at;
        if (d[15] >> 4 == 0) {
          if (!add_block(get<std::uint64_t>(d), get<std::uint32_t>(d + 8), to)) return generic(internal_error);
          if (how_.max_blocks != 0 && to.size() > how_.max_blocks) return generic(internal_error);
        } else if (at + 16 == bytes && type == 2) {
          std::memcpy(current, d, sizeof current);
          goes_on = true;
        } else {
          return generic(0x0e);
        }
      }
      if (!goes_on) return {};
    }
    return generic(0x0e);
  }
  bool add_block(std::uint64_t address, std::uint32_t bytes, std::vector<piece>& to) const {
    if (bytes == 0) return true;
    unsigned char* const at = memory_.reach(address, bytes);
    if (at == nullptr) return false;
    to.push_back({at, bytes});
    return true;
  }

  static std::string read_all(const std::vector<piece>& from) {
    std::string text;
    for (const piece& p : from) text.append(reinterpret_cast<const char*>(p.at), p.bytes);
    return text;
  }
  /// Writes `text` from byte `offset` of `to` on, as much as there is room for.
  static void scatter(const std::vector<piece>& to, std::size_t offset, const std::string& text) {
    std::size_t done = 0;
    for (const piece& p : to) {
      if (offset >= p.bytes) {
        offset -= p.bytes;
        continue;
      }
      const std::size_t here = std::min(p.bytes - offset, text.size() - done);
      std::memcpy(p.at + offset, text.data() + done, here);
      done += here;
      offset = 0;
    }
  }

  // ---- KV commands ----

  static constexpr unsigned op_store = 0x01;
  static constexpr unsigned op_retrieve = 0x02;
  static constexpr unsigned op_list = 0x06;
  static constexpr unsigned op_delete = 0x10;
  static constexpr unsigned op_exist = 0x14;

  answer execute(const unsigned char* c) {
    switch (c[0]) {
      case op_store:
      case op_retrieve:
      case op_list:
      case op_delete:
      case op_exist: break;
      default: return generic(invalid_opcode);
    }
    if (get<std::uint32_t>(c + 4) != 1) return generic(invalid_namespace);
    const std::uint32_t length = get<std::uint32_t>(c + 40);
    const bool has_data = c[0] == op_store || c[0] == op_retrieve || c[0] == op_list;
    if (has_data && how_.mdts != 0 && length > page << how_.mdts)
      return generic(how_.payload_head ? internal_error : invalid_field);
    if (how_.payload_head && has_data) return execute_with_head(c, length);

    const unsigned key_bytes = c[44];
    if (key_bytes > 16 || (key_bytes == 0 && c[0] != op_list))
      return how_.payload_head ? generic(invalid_field) : kv(0x86);
    // CDW2, CDW3, then CDW14, CDW15.
    std::string key(reinterpret_cast<const char*>(c + 8), 8);
    key.append(reinterpret_cast<const char*>(c + 56), 8);
    key.resize(key_bytes);
    const auto found = store_.entries.find(key);
    const bool there = found != store_.entries.end();
    std::vector<piece> data;
    switch (c[0]) {
      case op_store: {
        if (length > how_.value_bytes) return kv(0x85);
        if (const answer a = gather(c, length, true, data); a.code != 0) return a;
        return put_value(c[45], key, read_all(data));
      }
      case op_retrieve: {
        if (const answer a = gather(c, length, true, data); a.code != 0) return a;
        if (!there) return kv(0x87);
        scatter(data, 0, found->second.value);
        return {0, 0, how_.no_length ? 0 : static_cast<std::uint32_t>(found->second.value.size()), true};
      }
      case op_list: {
        if (length < 4) return generic(invalid_field);
        if (const answer a = gather(c, length, true, data); a.code != 0) return a;
        std::string all = listing(key, how_.slot_order ? store::order::of_slots : store::order::of_bytes, length);
        if (lies_.now(lie::list_noise)) all = list_noise(length);
        scatter(data, 0, all);
        return {};
      }
      case op_delete:
        if (there) store_.entries.erase(found);
        return there || (!delete_of_absent_fails_ && !how_.payload_head) ? answer{} : kv(0x87);
      default:
        if (!there) return kv(0x87);
        return {0, 0, how_.payload_head ? static_cast<std::uint32_t>(found->second.value.size()) : 0, true};
    }
  }

  /// As RADOS-NKV's forwarder: `[u16 length][key]` at the head of the data, the data's own length counts.
  answer execute_with_head(const unsigned char* c, std::uint32_t length) {
    std::vector<piece> data;
    if (const answer a = gather(c, length, false, data); a.code != 0) return a;
    const std::string text = read_all(data);
    const std::size_t key_bytes = text.size() < 2 ? 0 : get<std::uint16_t>(unsigned_bytes(text));
    const std::string key = text.size() < 2 + key_bytes ? std::string() : text.substr(2, key_bytes);
    if (c[0] == op_list) {
      const std::string all = listing(key, store::order::of_hashes, ~std::size_t{0});
      if (data.empty()) return generic(invalid_field);
      // The first block alone takes the listing: whole entries, which the count says.
      const std::size_t room = data[0].bytes;
      scatter({data[0]}, 0, listing(key, store::order::of_hashes, room));
      return {0, 0, static_cast<std::uint32_t>(all.size()), true};
    }
    if (key_bytes == 0 || key_bytes > how_.key_bytes || key.size() != key_bytes) return generic(invalid_field);
    const std::size_t at = 2 + key_bytes;
    if (c[0] == op_store) {
      if (text.size() - at > how_.value_bytes) return generic(invalid_field);
      return put_value(c[45], key, text.substr(at));
    }
    const auto found = store_.entries.find(key);
    if (found == store_.entries.end()) return kv(0x87);
    const std::string& value = found->second.value;
    const auto true_length = static_cast<std::uint32_t>(value.size());
    if (value.size() > text.size() - at) return {1, 0x81, true_length, true};
    scatter(data, at, value);
    return {0, 0, true_length, true};
  }

  static const unsigned char* unsigned_bytes(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  }

  answer put_value(unsigned options, const std::string& key, std::string value) {
    const bool there = store_.entries.count(key) != 0;
    const bool must_exist = (options & 1u) != 0;
    const bool must_not_exist = (options & 2u) != 0;
    if (must_exist && must_not_exist) return generic(invalid_field);
    if (must_exist && !there) return kv(0x87);
    if (must_not_exist && there) return kv(0x89);
    store_.set(key, std::move(value));
    return {};
  }

  /// A List page of at most `room` bytes.
  [[nodiscard]] std::string listing(const std::string& start, store::order how, std::size_t room) const {
    std::string text(4, '\0');
    std::uint32_t count = 0;
    for (const std::string& key : store_.keys(start, how)) {
      const std::size_t bytes = 2 + key.size();
      const std::size_t padding = how_.odd_padding ? bytes % 4 : (4 - bytes % 4) % 4;
      if (text.size() + bytes + padding > room) break;
      text += static_cast<char>(key.size() & 0xff);
      text += static_cast<char>(key.size() >> 8);
      text += key;
      text.append(padding, '\0');
      ++count;
    }
    put(reinterpret_cast<unsigned char*>(text.data()), count);
    return text;
  }

  /// A page of random bytes, or of random keys, of which one length or another is not true.
  std::string list_noise(std::size_t bytes) {
    std::string text(bytes, '\0');
    auto* const p = reinterpret_cast<unsigned char*>(text.data());
    lies_.fill(p, bytes);
    if (lies_.random() % 2 == 0) return text;
    put(p, static_cast<std::uint32_t>(lies_.random() % 64));
    for (std::size_t at = 4; at + 2 <= bytes; at += 4 + p[at]) {
      p[at] = static_cast<unsigned char>(lies_.random() % 20);
      p[at + 1] = lies_.random() % 16 == 0 ? 1 : 0;
    }
    return text;
  }

  static constexpr std::uint64_t late_ns = 60'000'000;

  const modes& how_;
  const memory& memory_;
  store& store_;
  lies& lies_;
  std::uint32_t* doorbells_;
  std::vector<submission> sqs_;
  std::vector<completion_queue> cqs_;
  std::uint32_t cc_ = 0;
  std::uint32_t csts_ = 0;
  std::uint32_t aqa_ = 0;
  std::uint64_t asq_ = 0;
  std::uint64_t acq_ = 0;
  std::vector<late_command> late_;
  bool delete_of_absent_fails_ = false;
};

}  // namespace nkv_test::foreign
