// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/ptx_memory.hpp"

#include <nkv/spec/cqe.hpp>
#include <nkv/spec/sqe.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace nkv_test {

struct nvme_model_options {
  std::uint32_t sq_entries = 16;
  std::uint32_t cq_entries = 32;
  std::uint16_t qid = 1;
  std::uint32_t nsid = 1;
  bool payload_head = false;       ///< RADOS-NKV's encoding: `[u16 length][key]` in front of the data
  bool result_after_head = false;  ///< Execute leaves the head where it is
  std::uint64_t latency_ticks = 0;
  bool out_of_order = false;  ///< completes what is due in a drawn order, each after up to twice the latency
  bool torn = false;          ///< an entry's dwords are written in several ticks, DW0 wrong at first and DW3 last
  std::uint64_t fetch_every_ticks = 0;  ///< 0: fetches when the doorbell is written
  std::uint64_t seed = 1;
  bool kernel_writes_cq = false;  ///< a kernel's stores into the completion queue are let through
};

/// What becomes of the n-th command fetched, from 0.
struct nvme_fate {
  bool never = false;            ///< no completion, and nothing is done
  std::uint64_t not_before = 0;  ///< the tick of the model's clock from which it may complete
  std::optional<std::pair<std::uint8_t, std::uint8_t>> status{};  ///< type and code; nothing is done then
};

/// An NVMe KV controller with one queue pair in guest memory: fetches, carries out and completes commands, and holds
/// its client to the rules. Whatever breaks one is in errors(). It decodes commands by the documents, with none of
/// nkv's encoders.
class nvme_model {
 public:
  nvme_model(ptx_memory& memory, const nvme_model_options& options)
      : memory_(memory), options_(options), random_(options.seed * 2654435761u + 88172645463325252u) {
    sq_ = memory.allocate_array<nkv::sqe>("submission queue", options.sq_entries, 4096);
    cq_ = memory.allocate_array<nkv::cqe>("completion queue", options.cq_entries, 4096);
    doorbells_ = memory.allocate_array<std::uint32_t>("doorbells", 2, 4096);
    for (std::uint32_t i = 0; i < options.sq_entries; ++i) poison(i);
    if (!options.kernel_writes_cq) memory.make_read_only(cq_);
    memory.set_watch(doorbells_, [this](std::uint64_t at, std::uint32_t bytes) { rung(at, bytes); });
  }
  nvme_model(const nvme_model&) = delete;
  nvme_model& operator=(const nvme_model&) = delete;

  // ---- For the client ----
  [[nodiscard]] nkv::sqe* sq() const { return sq_; }
  [[nodiscard]] nkv::cqe* cq() const { return cq_; }
  [[nodiscard]] std::uint32_t* sq_doorbell() const { return doorbells_; }
  [[nodiscard]] std::uint32_t* cq_doorbell() const { return doorbells_ + 1; }
  [[nodiscard]] const nvme_model_options& options() const { return options_; }

  /// A doorbell store from the host's side; a kernel's is seen by itself.
  void ring(std::uint32_t* doorbell, std::uint32_t value) {
    *doorbell = value;
    rung(reinterpret_cast<std::uint64_t>(doorbell), 4);
  }

  /// One tick of its clock: to be an agent of the kernel's machine.
  void tick() {
    ++now_;
    if (options_.fetch_every_ticks != 0 && now_ % options_.fetch_every_ticks == 0) fetch();
    work();
  }
  [[nodiscard]] std::uint64_t now() const { return now_; }

  // ---- For the test ----
  std::map<std::string, std::string>& values() { return values_; }
  std::map<std::uint64_t, nvme_fate> fates;
  /// Whatever the client did wrong; a test wants none.
  [[nodiscard]] const std::vector<std::string>& errors() const { return errors_; }
  [[nodiscard]] std::string error_text() const {
    std::string s;
    for (const std::string& e : errors_) s += e + "\n";
    return s;
  }
  [[nodiscard]] std::uint64_t sq_doorbells() const { return sq_doorbells_; }
  [[nodiscard]] std::uint64_t cq_doorbells() const { return cq_doorbells_; }
  [[nodiscard]] std::uint64_t fetched() const { return fetched_; }
  [[nodiscard]] std::uint64_t completed() const { return completed_; }
  [[nodiscard]] std::size_t most_outstanding() const { return most_outstanding_; }
  [[nodiscard]] std::size_t outstanding() const { return cids_.size(); }
  /// Opcodes of the commands fetched, in order.
  [[nodiscard]] const std::vector<std::uint8_t>& opcodes() const { return opcodes_; }
  /// Commands fetched, as they stood in the ring.
  [[nodiscard]] const std::vector<nkv::sqe>& commands() const { return commands_; }

 private:
  using dwords = std::array<std::uint32_t, 16>;
  struct command {
    dwords dw{};
    std::uint64_t number = 0;
    std::uint64_t due = 0;
    [[nodiscard]] std::uint16_t cid() const { return static_cast<std::uint16_t>(dw[0] >> 16); }
  };
  struct answer {
    std::uint8_t sct = 0;
    std::uint8_t sc = 0;
    std::uint32_t dw0 = 0;
  };
  struct block {
    std::byte* at;
    std::size_t bytes;
  };

  void wrong(const std::string& text) {
    if (errors_.size() < 50) errors_.push_back("tick " + std::to_string(now_) + ": " + text);
  }
  std::uint64_t draw() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return (random_ * 0x2545f4914f6cdd1du) >> 20;
  }

  static std::uint32_t poison_of(std::uint32_t entry, std::uint32_t dword) {
    return 0xb1e55ed0u ^ (entry * 0x01010101u) ^ (dword << 24) ^ (dword << 4);
  }
  void poison(std::uint32_t entry) {
    for (std::uint32_t n = 0; n < 16; ++n) sq_[entry].dw[n] = poison_of(entry, n);
  }

  // ---- Doorbells ----
  void rung(std::uint64_t at, std::uint32_t bytes) {
    const auto base = reinterpret_cast<std::uint64_t>(doorbells_);
    if (bytes != 4) return wrong("a doorbell store of " + std::to_string(bytes) + " bytes");
    if (at == base) return sq_rung(doorbells_[0]);
    cq_rung(doorbells_[1]);
  }

  void sq_rung(std::uint32_t value) {
    ++sq_doorbells_;
    const std::uint32_t n = options_.sq_entries;
    if (value >= n) return wrong("SQ tail " + std::to_string(value) + " of " + std::to_string(n) + " entries");
    const std::uint32_t forward = (value + n - tail_) % n;
    const std::uint32_t free = n - 1 - (tail_ + n - head_) % n;
    if (forward == 0) return wrong("SQ tail " + std::to_string(value) + " is written again");
    if (forward > free)
      return wrong("SQ tail goes from " + std::to_string(tail_) + " to " + std::to_string(value) +
                   ", backward or over " + std::to_string(free) + " free entries");
    for (; tail_ != value; tail_ = (tail_ + 1) % n) {
      dwords dw;
      std::memcpy(dw.data(), sq_[tail_].dw, sizeof dw);
      for (std::uint32_t i = 0; i < 16; ++i) {
        if (dw[i] == poison_of(tail_, i))
          wrong("entry " + std::to_string(tail_) + " is rung with dword " + std::to_string(i) + " not written");
      }
      rung_.push_back(dw);
    }
    if (options_.fetch_every_ticks == 0) fetch();
  }

  void cq_rung(std::uint32_t value) {
    ++cq_doorbells_;
    const std::uint32_t n = options_.cq_entries;
    if (value >= n) return wrong("CQ head " + std::to_string(value) + " of " + std::to_string(n) + " entries");
    const std::uint32_t forward = (value + n - cq_head_) % n;
    const std::uint32_t posted = (cq_tail_ + n - cq_head_) % n;
    if (forward == 0) return wrong("CQ head " + std::to_string(value) + " is written again");
    if (forward > posted)
      return wrong("CQ head goes from " + std::to_string(cq_head_) + " to " + std::to_string(value) + " with " +
                   std::to_string(posted) + " entries there");
    cq_head_ = value;
  }

  void fetch() {
    while (head_ != tail_) {
      command c;
      std::memcpy(c.dw.data(), sq_[head_].dw, sizeof c.dw);
      if (c.dw != rung_.front())
        wrong("entry " + std::to_string(head_) + " was changed between its doorbell and its fetch");
      rung_.pop_front();
      poison(head_);
      head_ = (head_ + 1) % options_.sq_entries;
      c.number = fetched_++;
      c.due = now_ + options_.latency_ticks;
      if (options_.out_of_order) c.due += draw() % (options_.latency_ticks + 1);
      opcodes_.push_back(static_cast<std::uint8_t>(c.dw[0]));
      nkv::sqe kept;
      std::memcpy(kept.dw, c.dw.data(), sizeof kept.dw);
      commands_.push_back(kept);
      if (c.cid() == 0xffff) wrong("CID FFFFh");
      if (!cids_.insert(c.cid()).second) wrong("CID " + std::to_string(c.cid()) + " is outstanding already");
      most_outstanding_ = std::max(most_outstanding_, cids_.size());
      pending_.push_back(c);
    }
  }

  // ---- Completion ----
  void work() {
    if (torn_) return tear();
    while (!torn_) {
      if ((cq_tail_ + 1) % options_.cq_entries == cq_head_) return;
      const std::size_t chosen = choose();
      if (chosen == pending_.size()) return;
      const command c = pending_[chosen];
      pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(chosen));
      const auto fate = fates.find(c.number);
      answer a;
      if (fate != fates.end() && fate->second.status) {
        a.sct = fate->second.status->first;
        a.sc = fate->second.status->second;
      } else {
        a = carry_out(c);
      }
      std::array<std::uint32_t, 4> dw{};
      dw[0] = a.dw0;
      // How far it has fetched when it writes this.
      dw[2] = head_ | static_cast<std::uint32_t>(options_.qid) << 16;
      const std::uint32_t status =
          (phase_ ? 1u : 0u) | static_cast<std::uint32_t>(a.sc) << 1 | static_cast<std::uint32_t>(a.sct) << 9;
      dw[3] = c.cid() | status << 16;
      completing_ = dw;
      if (options_.torn) {
        torn_ = true;
        step_ = 0;
        return tear();
      }
      std::memcpy(cq_[cq_tail_].dw, dw.data(), sizeof dw);
      posted();
    }
  }
  void posted() {
    ++completed_;
    // Free once its entry can be seen.
    cids_.erase(static_cast<std::uint16_t>(completing_[3]));
    if (++cq_tail_ == options_.cq_entries) {
      cq_tail_ = 0;
      phase_ = !phase_;
    }
  }
  void tear() {
    nkv::cqe& e = cq_[cq_tail_];
    switch (step_++) {
      case 0: e.dw[0] = ~completing_[0] ^ 0x5a5a5a5au; break;
      case 1: e.dw[2] = completing_[2]; break;
      case 2: e.dw[0] = completing_[0]; break;
      case 3: e.dw[1] = completing_[1]; break;
      default:
        e.dw[3] = completing_[3];
        torn_ = false;
        posted();
        break;
    }
  }
  [[nodiscard]] bool may_complete(const command& c) const {
    const auto f = fates.find(c.number);
    return f == fates.end() || (!f->second.never && now_ >= f->second.not_before);
  }
  /// Which pending command completes now; their number where none does.
  std::size_t choose() {
    std::vector<std::size_t> due;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      if (!may_complete(pending_[i])) continue;
      if (pending_[i].due <= now_) due.push_back(i);
      // One that is held up for itself does not hold up the others.
      if (!options_.out_of_order) break;
    }
    if (due.empty()) return pending_.size();
    return options_.out_of_order ? due[draw() % due.size()] : due.front();
  }

  // ---- Commands ----
  static std::uint64_t quad(const dwords& dw, unsigned n) {
    return dw[n] | static_cast<std::uint64_t>(dw[n + 1]) << 32;
  }
  static std::string name(const command& c) {
    return "command " + std::to_string(c.number) + " (opcode " + ptx_hex(c.dw[0] & 0xff) + ")";
  }

  /// Memory of the guest, or null and an error.
  std::byte* guest(const command& c, std::uint64_t address, std::uint64_t bytes) {
    if (!memory_.holds(address, bytes)) {
      wrong(name(c) + " names " + std::to_string(bytes) + " bytes at " + ptx_hex(address) +
            " that are no guest's: " + memory_.describe(address));
      return nullptr;
    }
    return reinterpret_cast<std::byte*>(address);
  }

  /// What the data pointer names. @param bytes how much is to be moved, which PRPs do not say themselves
  /// @return false for a pointer that is wrong
  bool data_of(const command& c, std::uint64_t bytes, std::vector<block>& out) {
    const unsigned psdt = c.dw[0] >> 14 & 3u;
    const std::uint64_t low = quad(c.dw, 6);
    const std::uint64_t high = quad(c.dw, 8);
    if (psdt == 0) return prps(c, bytes, low, high, out);
    if (psdt != 1) {
      wrong(name(c) + " has PSDT " + std::to_string(psdt));
      return false;
    }
    const auto type = static_cast<unsigned>(high >> 60);
    if (low == 0 && high == 0) return true;
    if (type == 0) return sgl_block(c, low, high, out);
    if (type != 3) {
      wrong(name(c) + " has an SGL descriptor of type " + std::to_string(type));
      return false;
    }
    const auto length = static_cast<std::uint32_t>(high);
    if (length == 0 || length % 16 != 0 || (high >> 32 & 0xffffff) != 0) {
      wrong(name(c) + " has a last segment of " + std::to_string(length) + " bytes or with reserved bytes set");
      return false;
    }
    const std::byte* list = guest(c, low, length);
    if (list == nullptr) return false;
    for (std::uint32_t at = 0; at < length; at += 16) {
      std::uint64_t half[2];
      std::memcpy(half, list + at, sizeof half);
      if (half[1] >> 60 != 0) {
        wrong(name(c) + " has a segment with a descriptor that is no data block");
        return false;
      }
      if (!sgl_block(c, half[0], half[1], out)) return false;
    }
    return true;
  }
  bool sgl_block(const command& c, std::uint64_t low, std::uint64_t high, std::vector<block>& out) {
    if ((high >> 32) != 0) {
      wrong(name(c) + " has a data block with reserved bytes or a subtype set");
      return false;
    }
    const auto length = static_cast<std::uint32_t>(high);
    std::byte* at = guest(c, low, length);
    if (at == nullptr) return false;
    out.push_back({at, length});
    return true;
  }
  bool prps(const command& c, std::uint64_t bytes, std::uint64_t prp1, std::uint64_t prp2, std::vector<block>& out) {
    if (bytes == 0) {
      if (prp1 != 0 || prp2 != 0) wrong(name(c) + " has PRPs and no data");
      return true;
    }
    if (prp1 % 4 != 0) wrong(name(c) + " has a PRP1 that is no multiple of 4");
    const auto page = [&](std::uint64_t address, bool first) {
      if (!first && address % 4096 != 0) {
        wrong(name(c) + " has a PRP entry with an offset");
        return false;
      }
      const std::uint64_t n = std::min<std::uint64_t>(bytes, 4096 - address % 4096);
      std::byte* at = guest(c, address, n);
      if (at == nullptr) return false;
      out.push_back({at, static_cast<std::size_t>(n)});
      bytes -= n;
      return true;
    };
    if (!page(prp1, true)) return false;
    if (bytes == 0) {
      if (prp2 != 0) wrong(name(c) + " has a PRP2 that it does not need");
      return true;
    }
    if (bytes <= 4096) return page(prp2, false);
    if (prp2 % 8 != 0) wrong(name(c) + " has a PRP list at an odd address");
    std::uint64_t at = prp2;
    while (bytes != 0) {
      const std::byte* entry = guest(c, at, 8);
      if (entry == nullptr) return false;
      std::uint64_t value = 0;
      std::memcpy(&value, entry, sizeof value);
      // The last entry of a page leads on where there is more than it could name.
      if (at % 4096 == 4088 && bytes > 4096) {
        at = value;
        continue;
      }
      if (!page(value, false)) return false;
      at += 8;
    }
    return true;
  }

  static std::string gather(const std::vector<block>& blocks) {
    std::string s;
    for (const block& b : blocks) s.append(reinterpret_cast<const char*>(b.at), b.bytes);
    return s;
  }
  static void scatter(const std::vector<block>& blocks, std::size_t from, const std::string& bytes) {
    std::size_t at = 0;
    std::size_t done = 0;
    for (const block& b : blocks) {
      for (std::size_t i = 0; i < b.bytes && done < bytes.size(); ++i, ++at) {
        if (at >= from) b.at[i] = static_cast<std::byte>(bytes[done++]);
      }
    }
  }
  static std::size_t room(const std::vector<block>& blocks) {
    std::size_t n = 0;
    for (const block& b : blocks) n += b.bytes;
    return n;
  }

  /// The key in CDW2, 3, 14 and 15, unused bytes zero.
  std::string inline_key(const command& c) {
    const std::uint32_t length = c.dw[11] & 0xff;
    const std::uint32_t words[4] = {c.dw[2], c.dw[3], c.dw[14], c.dw[15]};
    std::string key(reinterpret_cast<const char*>(words), sizeof words);
    if (length > 16) {
      wrong(name(c) + " has an inline key of " + std::to_string(length) + " bytes");
      return {};
    }
    for (std::size_t i = length; i < 16; ++i) {
      if (key[i] != 0) wrong(name(c) + " has bytes behind its key");
    }
    key.resize(length);
    return key;
  }
  void zero(const command& c, std::initializer_list<unsigned> which) {
    for (const unsigned n : which) {
      if (c.dw[n] != 0)
        wrong(name(c) + " has CDW" + std::to_string(n) + " " + ptx_hex(c.dw[n]) + ", which is reserved");
    }
  }

  answer miss() const { return {static_cast<std::uint8_t>(options_.payload_head ? 1 : 0), 0x87, 0}; }

  answer carry_out(const command& c) {
    const answer invalid{0, 0x02, 0};
    const auto opcode = static_cast<std::uint8_t>(c.dw[0]);
    if ((c.dw[0] & 0x3f00u) != 0) wrong(name(c) + " has reserved or fused bits in CDW0");
    if (c.dw[1] != options_.nsid) {
      wrong(name(c) + " is for namespace " + std::to_string(c.dw[1]));
      return {0, 0x0b, 0};
    }
    zero(c, {4, 5});
    const bool bare = opcode == 0x10 || opcode == 0x14;
    const bool head = options_.payload_head || opcode == 0x83;
    if (opcode != 0x83) {
      zero(c, {13});
      if ((c.dw[11] >> 16) != 0) wrong(name(c) + " has CDW11 bits 31:16 set");
      if (opcode != 0x01) zero(c, {12});
      if (bare) zero(c, {10});
    }
    std::uint64_t moved = bare ? 0 : c.dw[10];
    if (opcode == 0x83) moved = std::max<std::uint64_t>(c.dw[10], c.dw[12] + (options_.result_after_head ? 258u : 0u));
    std::vector<block> data;
    if (!data_of(c, moved, data)) return {0, 0x0f, 0};
    std::string key;
    std::size_t at = 0;
    if (head && !(bare && data.empty())) {
      // A List's start key stands in its buffer and is overwritten; elsewhere the head stays.
      const std::string all = gather(data);
      if (all.size() < 2) {
        wrong(name(c) + " has no room for a head");
        return invalid;
      }
      const std::size_t length =
          static_cast<unsigned char>(all[0]) | static_cast<std::size_t>(static_cast<unsigned char>(all[1])) << 8;
      if (length > 255 || 2 + length > all.size()) {
        wrong(name(c) + " has a head of " + std::to_string(length) + " bytes in " + std::to_string(all.size()));
        return invalid;
      }
      key = all.substr(2, length);
      at = opcode == 0x06 ? 0 : 2 + length;
    }
    if (head && !bare) {
      zero(c, {2, 3, 14, 15});
      if ((c.dw[11] & 0xff) != 0) wrong(name(c) + " has a key length in CDW11 besides its head");
    } else {
      const std::string inlined = inline_key(c);
      if (head && !key.empty() && !inlined.empty() && key != inlined) wrong(name(c) + " has two different keys");
      if (key.empty()) key = inlined;
    }
    if (bare && !head && (quad(c.dw, 6) != 0 || quad(c.dw, 8) != 0)) wrong(name(c) + " has a data pointer");
    if (key.empty() && opcode != 0x06) {
      wrong(name(c) + " has no key");
      return {0, 0x86, 0};
    }
    const std::size_t space = room(data) - at;
    if (opcode == 0x01 || opcode == 0x02 || opcode == 0x06) {
      if ((c.dw[0] >> 14 & 3u) != 0 && space != c.dw[10])
        wrong(name(c) + " has " + std::to_string(space) + " bytes of data and says " + std::to_string(c.dw[10]));
    }
    switch (opcode) {
      case 0x01: return store(c, key, gather(data).substr(at));
      case 0x02: {
        if ((c.dw[11] & 0xfe00) != 0) wrong(name(c) + " has reserved options");
        const auto v = values_.find(key);
        if (v == values_.end()) return miss();
        scatter(data, at, v->second.substr(0, space));
        const auto length = static_cast<std::uint32_t>(v->second.size());
        if (length > space && options_.payload_head) return {1, 0x81, length};
        return {0, 0, length};
      }
      case 0x06: return list(key, data, space);
      case 0x10: return values_.erase(key) != 0 ? answer{} : miss();
      case 0x14: {
        const auto v = values_.find(key);
        return v == values_.end() ? miss() : answer{};
      }
      case 0x83: return execute(c, key, data, at);
      default: wrong(name(c) + " is unknown"); return {0, 0x01, 0};
    }
  }

  answer store(const command& c, const std::string& key, const std::string& value) {
    const std::uint32_t options = c.dw[11] >> 8 & 0xff;
    if ((options & 0xc0) != 0) wrong(name(c) + " has reserved options");
    if ((options & 0x08) == 0 && c.dw[12] != 0) wrong(name(c) + " has a time to live that is not valid");
    const auto type = static_cast<std::uint8_t>(options_.payload_head ? 1 : 0);
    const bool there = values_.count(key) != 0;
    if ((options & 1) != 0 && !there) return miss();
    if ((options & 2) != 0 && there) return {type, 0x89, 0};
    if ((options & 0x20) != 0) return there ? answer{} : miss();
    values_[key] = value;
    return {};
  }

  answer list(const std::string& start, const std::vector<block>& data, std::size_t space) {
    std::string page(4, '\0');
    std::uint32_t count = 0;
    for (auto v = values_.lower_bound(start); v != values_.end(); ++v) {
      const std::size_t entry = (2 + v->first.size() + 3) / 4 * 4;
      if (page.size() + entry > space) break;
      std::string e;
      e.push_back(static_cast<char>(v->first.size()));
      e.push_back('\0');
      e += v->first;
      e.resize(entry, '\0');
      page += e;
      ++count;
    }
    std::memcpy(page.data(), &count, sizeof count);
    scatter(data, 0, page);
    return {};
  }

  /// Operations: 10 the value's length in 8 bytes, 11 the value, 12 the input.
  answer execute(const command& c, const std::string& key, const std::vector<block>& data, std::size_t at) {
    zero(c, {2, 3, 11, 14, 15});
    const auto v = values_.find(key);
    if (v == values_.end()) return miss();
    if (c.dw[10] < at) {
      wrong(name(c) + " has a payload shorter than its head");
      return {0, 0x02, 0};
    }
    const std::string input = gather(data).substr(at, c.dw[10] - at);
    std::string result;
    switch (c.dw[13]) {
      case 10: {
        const std::uint64_t n = v->second.size();
        result.assign(reinterpret_cast<const char*>(&n), sizeof n);
        break;
      }
      case 11: result = v->second; break;
      case 12: result = input; break;
      default: return {0, 0x01, 0};
    }
    const auto whole = static_cast<std::uint32_t>(result.size());
    const std::size_t from = options_.result_after_head ? at : 0;
    const std::size_t space = std::min<std::size_t>(c.dw[12], room(data) - from);
    scatter(data, from, result.substr(0, space));
    if (whole > space && options_.payload_head) return {1, 0x81, whole};
    return {0, 0, whole};
  }

  ptx_memory& memory_;
  nvme_model_options options_;
  std::uint64_t random_;
  nkv::sqe* sq_ = nullptr;
  nkv::cqe* cq_ = nullptr;
  std::uint32_t* doorbells_ = nullptr;
  std::uint64_t now_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t cq_tail_ = 0;
  std::uint32_t cq_head_ = 0;
  bool phase_ = true;
  bool torn_ = false;
  unsigned step_ = 0;
  std::array<std::uint32_t, 4> completing_{};
  std::deque<dwords> rung_;
  std::vector<command> pending_;
  std::set<std::uint16_t> cids_;
  std::map<std::string, std::string> values_;
  std::vector<std::string> errors_;
  std::vector<std::uint8_t> opcodes_;
  std::vector<nkv::sqe> commands_;
  std::uint64_t sq_doorbells_ = 0;
  std::uint64_t cq_doorbells_ = 0;
  std::uint64_t fetched_ = 0;
  std::uint64_t completed_ = 0;
  std::size_t most_outstanding_ = 0;
};

}  // namespace nkv_test
