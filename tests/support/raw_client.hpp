// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/host/clock.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sqe.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace nkv_test {

/// How a raw_client reaches its controller.
struct controller_port {
  std::function<std::uint64_t(std::uint32_t offset, unsigned width)> read;
  std::function<void(std::uint32_t offset, unsigned width, std::uint64_t value)> write;
  std::uint32_t* doorbells = nullptr;  ///< the word at BAR0 + 1000h
  std::function<void()> step;          ///< lets the controller run: polls it, or passes time
  std::function<void()> rung = [] {};  ///< after each doorbell store: wakes a sleeper
};

/// A client in the barest form, written from the specification and not with the library's own: SQEs by hand, one
/// command at a time or many. Everything it owns lies in one arena, which the controller knows at `iova_base`.
class raw_client {
 public:
  static constexpr std::size_t page = 4096;

  /// Pages of zeros, from the arena.
  raw_client(std::byte* arena, std::size_t arena_bytes, std::uint64_t iova_base)
      : arena_(arena), size_(arena_bytes), iova_(iova_base) {}

  controller_port port;

  struct queue {
    std::uint16_t qid = 0;
    std::uint32_t depth = 0;
    std::byte* sq = nullptr;
    std::byte* cq = nullptr;
    std::uint32_t tail = 0;
    std::uint32_t head = 0;
    bool phase = true;
    bool elide_head = false;
    std::map<std::uint16_t, nkv::cqe> done;
  };

  std::byte* pages(std::size_t count) {
    if (used_ + count * page > size_) throw std::runtime_error("arena is full");
    std::byte* const p = arena_ + used_;
    used_ += count * page;
    std::memset(p, 0, count * page);
    return p;
  }
  std::uint64_t iova(const void* p) const {
    return iova_ + static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - arena_);
  }
  std::size_t mark() const { return used_; }
  void release(std::size_t mark) { used_ = mark; }

  /// Registers to CSTS.RDY. @return CSTS
  std::uint32_t enable(std::uint32_t depth = 32, std::uint32_t cc = 0x460061) {
    admin = make_queue(0, depth);
    port.write(nkv::reg::aqa, 4, (depth - 1) | (depth - 1) << 16);
    port.write(nkv::reg::asq, 8, iova(admin.sq));
    port.write(nkv::reg::acq, 8, iova(admin.cq));
    port.write(nkv::reg::cc, 4, cc);
    return wait_csts([](std::uint32_t csts) { return (csts & 3) != 0; });
  }
  std::uint32_t disable() {
    port.write(nkv::reg::cc, 4, 0x460060);
    return wait_csts([](std::uint32_t csts) { return (csts & 1) == 0; });
  }
  template <class F>
  std::uint32_t wait_csts(F&& until) {
    const auto deadline = nkv::host::deadline::after_ms(10'000);
    for (;;) {
      const auto csts = static_cast<std::uint32_t>(port.read(nkv::reg::csts, 4));
      if (until(csts) || deadline.expired()) return csts;
      port.step();
    }
  }

  queue make_queue(std::uint16_t qid, std::uint32_t depth) {
    queue q;
    q.qid = qid;
    q.depth = depth;
    q.sq = pages((depth * 64 + page - 1) / page);
    q.cq = pages((depth * 16 + page - 1) / page);
    return q;
  }
  nkv::sqe create_cq_sqe(const queue& q, std::uint32_t cdw11 = 1) const {
    nkv::sqe c;
    c.dw[0] = 0x05;
    c.dw[6] = static_cast<std::uint32_t>(iova(q.cq));
    c.dw[7] = static_cast<std::uint32_t>(iova(q.cq) >> 32);
    c.dw[10] = q.qid | (q.depth - 1) << 16;
    c.dw[11] = cdw11;
    return c;
  }
  nkv::sqe create_sq_sqe(const queue& q, std::uint16_t cqid) const {
    nkv::sqe c;
    c.dw[0] = 0x01;
    c.dw[6] = static_cast<std::uint32_t>(iova(q.sq));
    c.dw[7] = static_cast<std::uint32_t>(iova(q.sq) >> 32);
    c.dw[10] = q.qid | (q.depth - 1) << 16;
    c.dw[11] = 1u | static_cast<std::uint32_t>(cqid) << 16;
    return c;
  }
  /// Both queues of a pair. @return whether they were created
  bool create_pair(queue& q) {
    return run(admin, create_cq_sqe(q)).status().ok() && run(admin, create_sq_sqe(q, q.qid)).status().ok();
  }

  /// Writes an SQE with this CID at the tail, without ringing.
  void post(queue& q, const nkv::sqe& command, std::uint16_t cid) {
    nkv::sqe c = command;
    c.set_cid(cid);
    std::memcpy(q.sq + q.tail * 64, c.dw, 64);
    q.tail = (q.tail + 1) % q.depth;
  }
  void ring(queue& q) { ring_word(2u * q.qid, q.tail); }
  void ring_word(std::size_t index, std::uint32_t value) {
    __atomic_exchange_n(port.doorbells + index, value, __ATOMIC_SEQ_CST);
    port.rung();
  }

  /// Takes the completions that are there.
  void reap(queue& q) {
    bool any = false;
    for (;;) {
      auto* const dw = reinterpret_cast<std::uint32_t*>(q.cq + q.head * 16);
      const std::uint32_t dw3 = __atomic_load_n(dw + 3, __ATOMIC_ACQUIRE);
      if (((dw3 >> 16) & 1) != (q.phase ? 1u : 0u)) break;
      nkv::cqe e;
      e.dw[0] = dw[0];
      e.dw[1] = dw[1];
      e.dw[2] = dw[2];
      e.dw[3] = dw3;
      if (!q.done.emplace(e.cid(), e).second) throw std::runtime_error("two completions of one command");
      if (++q.head == q.depth) {
        q.head = 0;
        q.phase = !q.phase;
      }
      any = true;
    }
    if (any && !q.elide_head) ring_word(2u * q.qid + 1u, q.head);
  }
  /// Waits for a command's completion, 10 s at most.
  std::optional<nkv::cqe> wait(queue& q, std::uint16_t cid, std::uint64_t timeout_ms = 10'000) {
    const auto deadline = nkv::host::deadline::after_ms(timeout_ms);
    for (;;) {
      reap(q);
      if (const auto at = q.done.find(cid); at != q.done.end()) {
        const nkv::cqe e = at->second;
        q.done.erase(at);
        return e;
      }
      if (deadline.expired()) return std::nullopt;
      port.step();
    }
  }
  nkv::cqe run(queue& q, const nkv::sqe& c) {
    const std::uint16_t cid = next_cid_++;
    post(q, c, cid);
    ring(q);
    const auto e = wait(q, cid);
    if (!e) throw std::runtime_error("no completion");
    return *e;
  }

  /// A KV command with an inline key and PRPs over `bytes` bytes at `data`, within one or two pages.
  nkv::sqe kv(std::uint8_t opc, std::string_view key, const void* data = nullptr, std::uint32_t bytes = 0,
              std::uint32_t nsid = 1) const {
    nkv::sqe c;
    c.dw[0] = opc;
    c.dw[1] = nsid;
    std::uint32_t k[4] = {};
    std::memcpy(k, key.data(), key.size());
    c.dw[2] = k[0];
    c.dw[3] = k[1];
    c.dw[14] = k[2];
    c.dw[15] = k[3];
    c.dw[10] = bytes;
    c.dw[11] = static_cast<std::uint32_t>(key.size());
    if (bytes != 0) prp(c, data, bytes);
    return c;
  }
  void prp(nkv::sqe& c, const void* data, std::uint32_t bytes) const {
    const std::uint64_t prp1 = iova(data);
    const std::uint64_t prp2 = (prp1 % page) + bytes > page ? prp1 / page * page + page : 0;
    c.set_dptr(nkv::data_pointer::prp(prp1, prp2));
  }
  static void sgl(nkv::sqe& c, const nkv::sgl_descriptor& d) { c.set_dptr(nkv::data_pointer::sgl(d)); }

  nkv::sqe identify(std::uint32_t cns, std::byte* to, std::uint32_t nsid = 0, std::uint32_t csi = 0) const {
    nkv::sqe c;
    c.dw[0] = 0x06;
    c.dw[1] = nsid;
    c.dw[10] = cns;
    c.dw[11] = csi << 24;
    prp(c, to, 4096);
    return c;
  }

  queue admin;

 private:
  std::byte* arena_;
  std::size_t size_;
  std::uint64_t iova_;
  std::size_t used_ = 0;
  std::uint16_t next_cid_ = 1;
};

}  // namespace nkv_test
