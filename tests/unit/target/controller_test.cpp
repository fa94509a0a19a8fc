// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/endian.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/memory_store.hpp>
#include <support/raw_client.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace nkv;
using nkv_test::raw_client;
using target::controller;
using target::controller_options;
using target::progress;
using target::store_operation;
using target::store_result;

namespace {

status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }
status specific(std::uint8_t sc) { return {status_code_type::command_specific, sc}; }

constexpr std::size_t page = 4096;
constexpr std::uint64_t arena_iova = 0x5'0000'0000;
constexpr std::size_t arena_bytes = 8 << 20;

struct counting_waker final : target::waker {
  std::atomic<unsigned> woken{0};
  std::atomic<bool> hold{false};  ///< nobody who wakes leaves
  void wake() noexcept override {
    woken.fetch_add(1);
    while (hold) std::this_thread::yield();
  }
};

/// Ends nothing by itself: the test says which operation ends when, and with what.
class manual_store final : public target::store {
 public:
  progress submit(store_operation& op) noexcept override {
    pending.push_back(&op);
    keys.emplace_back(reinterpret_cast<const char*>(op.key.data()), op.key.size());
    return progress::later;
  }
  void cancel(store_operation& op) noexcept override {
    cancelled.push_back(&op);
    if (!obeys_cancel) return;
    pending.erase(std::find(pending.begin(), pending.end(), &op));
    op.finish(store_result::aborted, 0);
  }
  std::uint64_t max_value_bytes() const noexcept override { return 1 << 20; }

  void end(std::size_t which, store_result r, std::uint64_t length = 0) {
    store_operation* const op = pending[which];
    pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(which));
    op->finish(r, length);
  }
  void end_all(store_result r) {
    while (!pending.empty()) end(0, r);
  }

  bool obeys_cancel = false;
  std::vector<store_operation*> pending, cancelled;
  std::vector<std::string> keys;
};

struct free_memory {
  void operator()(std::byte* p) const { std::free(p); }
};

/// A controller and its client in one thread: every step of the client is a poll of the controller.
struct fixture {
  counting_waker waker;
  std::shared_ptr<target::subsystem> subsystem = std::make_shared<target::subsystem>();
  std::unique_ptr<std::byte, free_memory> arena{static_cast<std::byte*>(std::aligned_alloc(page, arena_bytes))};
  struct alignas(4096) doorbell_page {
    std::uint32_t words[1024] = {};
  };
  std::unique_ptr<doorbell_page> doorbells = std::make_unique<doorbell_page>();
  std::unique_ptr<controller> c;
  raw_client client{arena.get(), arena_bytes, arena_iova};

  explicit fixture(controller_options options = {},
                   std::shared_ptr<target::store> store = std::make_shared<target::memory_store>(),
                   target::namespace_options ns = {}) {
    REQUIRE(subsystem->add(std::make_shared<target::kv_namespace>(std::move(ns), std::move(store))).ok());
    auto made = controller::create(subsystem, std::move(options), doorbells->words, waker);
    REQUIRE(made.has_value());
    c = *std::move(made);
    REQUIRE(c->map_dma({arena_iova, arena_bytes, arena.get(), true, true}).ok());
    client.port.doorbells = doorbells->words;
    client.port.read = [this](std::uint32_t offset, unsigned width) {
      const auto r = c->read_register(offset, width);
      REQUIRE(r.has_value());
      return *r;
    };
    client.port.write = [this](std::uint32_t offset, unsigned width, std::uint64_t value) {
      REQUIRE(c->write_register(offset, width, value).ok());
    };
    client.port.step = [this] { c->poll(); };
  }

  raw_client::queue pair(std::uint16_t qid = 1, std::uint32_t depth = 16) {
    auto q = client.make_queue(qid, depth);
    REQUIRE(client.create_pair(q));
    return q;
  }
  void poll(unsigned times = 4) {
    while (times-- != 0) c->poll();
  }
  cqe admin(const sqe& s) { return client.run(client.admin, s); }
  cqe admin(std::uint32_t opc, std::uint32_t cdw10 = 0, std::uint32_t cdw11 = 0, std::uint32_t nsid = 0) {
    sqe s;
    s.dw[0] = opc;
    s.dw[1] = nsid;
    s.dw[10] = cdw10;
    s.dw[11] = cdw11;
    return admin(s);
  }
  sqe log_page(std::uint32_t lid, std::byte* to, std::uint32_t bytes, std::uint32_t csi = 0, bool retain = false) {
    sqe s;
    s.dw[0] = 0x02;
    s.dw[10] = lid | (retain ? 0x8000u : 0u) | (bytes / 4 - 1) << 16;
    s.dw[14] = csi << 24;
    client.prp(s, to, bytes);
    return s;
  }
  void hold_aer(std::uint16_t cid) {
    sqe s;
    s.dw[0] = 0x0c;
    client.post(client.admin, s, cid);
    client.ring(client.admin);
    poll();
  }
};

}  // namespace

TEST_SUITE("target/controller") {
  TEST_CASE("registers: CAP, VS and the rest after power on; accesses of other widths or places -> bad_argument") {
    fixture f;
    const std::uint64_t cap = *f.c->read_register(0, 8);
    CHECK((cap & 0xffff) == 1023);
    CHECK((cap >> 16 & 1) == 1);        // CQR
    CHECK((cap >> 24 & 0xff) == 20);    // TO: 10 s
    CHECK((cap >> 32 & 0xf) == 0);      // DSTRD
    CHECK((cap >> 37 & 0xff) == 0x40);  // CSS: I/O command sets only
    CHECK((cap >> 48 & 0xf) == 0);      // MPSMIN
    CHECK(*f.c->read_register(4, 4) == cap >> 32);
    CHECK(*f.c->read_register(8, 4) == 0x20000);
    CHECK(*f.c->read_register(0x1c, 4) == 0);
    CHECK(*f.c->read_register(0x14, 4) == 0x60);
    CHECK(*f.c->read_register(0xff8, 8) == 0);
    for (const unsigned width : {0u, 1u, 2u, 16u}) {
      CHECK(f.c->read_register(0, width).error() == status{client_status::bad_argument});
      CHECK(f.c->write_register(0x14, width, 1) == status{client_status::bad_argument});
    }
    CHECK(f.c->read_register(2, 4).error() == status{client_status::bad_argument});
    CHECK(f.c->read_register(4, 8).error() == status{client_status::bad_argument});
    CHECK(f.c->read_register(0x1000, 4).error() == status{client_status::bad_argument});
    CHECK(f.c->write_register(0x2000, 4, 0) == status{client_status::bad_argument});
    CHECK(f.c->write_register(0xfffffffc, 4, 0) == status{client_status::bad_argument});
    CHECK(f.c->write_register(0x1ffc, 4, 1) == status{client_status::bad_argument});  // the asleep word is no doorbell
    CHECK(f.c->write_register(0, 8, ~0ull).ok());
    CHECK(*f.c->read_register(0, 8) == cap);
    CHECK(f.c->write_register(0x24, 4, 0xffffffff).ok());
    CHECK(*f.c->read_register(0x24, 4) == 0x0fff0fff);
    CHECK(f.c->write_register(0x28, 4, 0x12345678).ok());
    CHECK(f.c->write_register(0x2c, 4, 0x9abc).ok());
    CHECK(*f.c->read_register(0x28, 8) == 0x9abc12345000);
  }

  TEST_CASE("create: impossible options -> bad_argument, too many controllers -> busy, an id comes back") {
    counting_waker w;
    target::subsystem_options so;
    so.max_controllers = 1;
    auto s = std::make_shared<target::subsystem>(so);
    alignas(64) std::uint32_t words[1024] = {};
    const auto with = [&](auto&& change) {
      controller_options o;
      change(o);
      return controller::create(s, o, words, w).error();
    };
    CHECK(with([](auto& o) { o.max_queue_entries = 1; }) == status{client_status::bad_argument});
    CHECK(with([](auto& o) { o.max_queue_entries = 65537; }) == status{client_status::bad_argument});
    CHECK(with([](auto& o) { o.max_io_queue_pairs = 0; }) == status{client_status::bad_argument});
    CHECK(with([](auto& o) { o.max_io_queue_pairs = 511; }) == status{client_status::bad_argument});
    CHECK(with([](auto& o) { o.max_transfer_bytes = 4096; }) == status{client_status::bad_argument});
    auto one = controller::create(s, {}, words, w);
    REQUIRE(one.has_value());
    CHECK(controller::create(s, {}, words, w).error() == status{client_status::busy});
    *one = nullptr;
    CHECK(controller::create(s, {}, words, w).has_value());
  }

  TEST_CASE("enable: ready; disable: not ready, and again") {
    fixture f;
    for (int i = 0; i < 3; ++i) {
      const std::size_t mark = f.client.mark();
      CHECK(f.client.enable() == 1);
      CHECK(f.c->enabled());
      CHECK(f.client.disable() == 0);
      CHECK(!f.c->enabled());
      f.client.release(mark);
    }
  }

  TEST_CASE("enable: CC, AQA, ASQ or ACQ that cannot be -> CFS; a reset clears it") {
    fixture f;
    const auto attempt = [&](std::uint32_t cc, std::uint32_t aqa, std::uint64_t asq, std::uint64_t acq) {
      f.client.port.write(reg::cc, 4, 0);
      CHECK(f.client.port.read(reg::csts, 4) == 0);
      f.client.port.write(reg::aqa, 4, aqa);
      f.client.port.write(reg::asq, 8, asq);
      f.client.port.write(reg::acq, 8, acq);
      f.client.port.write(reg::cc, 4, cc);
      return f.client.port.read(reg::csts, 4);
    };
    const std::uint64_t sq = arena_iova, cq = arena_iova + 0x10000;
    CHECK(attempt(0x460061, 0x1f001f, sq, cq) == 1);
    CHECK(attempt(0x460001, 0x1f001f, sq, cq) == 2);           // CSS NVM
    CHECK(attempt(0x460071, 0x1f001f, sq, cq) == 2);           // CSS admin only
    CHECK(attempt(0x460061 | 5 << 7, 0x1f001f, sq, cq) == 2);  // MPS beyond the maximum
    CHECK(attempt(0x460061 | 4 << 7, 0x1f001f, sq, cq) == 1);
    CHECK(attempt(0x460061 | 4 << 7, 0x1f001f, sq + 0x1000, cq) == 2);  // not at one of these pages
    CHECK(attempt(0x460061 | 1 << 11, 0x1f001f, sq, cq) == 2);          // arbitration
    CHECK(attempt(0x460061, 0x1f0000, sq, cq) == 2);                    // one entry
    CHECK(attempt(0x460061, 0x00001f, sq, cq) == 2);
    CHECK(attempt(0x460061, 0x1f001f, 0, cq) == 2);  // not the client's memory
    CHECK(attempt(0x460061, 0x1f001f, sq, arena_iova + arena_bytes) == 2);
    CHECK(attempt(0x460061, 0xfff0fff, arena_iova + arena_bytes - 0x1000, cq) == 2);  // beyond its end
    CHECK(attempt(0x460061, 0x1f001f, sq, cq) == 1);
  }

  TEST_CASE("shutdown: SHST says when it is done; nothing is fetched afterwards; a reset ends it") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    f.client.port.write(reg::cc, 4, 0x464061);
    CHECK((f.client.wait_csts([](std::uint32_t s) { return (s >> 2 & 3) == 2; }) & 0xf) == 0x9);
    f.client.post(q, f.client.kv(0x14, "k"), 1);
    f.client.ring(q);
    f.poll();
    f.client.reap(q);
    CHECK(q.done.empty());
    CHECK(f.client.disable() == 0);
    CHECK(f.client.enable() == 1);
  }

  TEST_CASE("reset: registers, queues, doorbells and features as after power on; client memory stays") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    CHECK(f.admin(0x09, 0x04, 300).status().ok());
    f.c->reset();
    CHECK(f.client.port.read(reg::csts, 4) == 0);
    CHECK(f.client.port.read(reg::cc, 4) == 0);
    CHECK(f.client.port.read(reg::aqa, 4) == 0);
    CHECK(f.client.port.read(reg::asq, 8) == 0);
    for (const std::uint32_t word : f.doorbells->words) CHECK(word == 0);
    CHECK(f.c->dma_regions().size() == 1);
    REQUIRE(f.client.enable() == 1);
    CHECK(f.admin(0x0a, 0x04).dw0() == 343);
    CHECK(f.admin(0x00, 1).status() == specific(0x01));  // the queue is gone
    static_cast<void>(q);
  }

  TEST_CASE("queues: every refusal of Create and Delete") {
    controller_options o;
    o.max_io_queue_pairs = 4;
    o.max_queue_entries = 256;
    o.interrupt_vectors = 2;
    fixture f(o);
    REQUIRE(f.client.enable() == 1);
    auto q = f.client.make_queue(1, 256);
    const auto changed = [](const sqe& from, unsigned dw, std::uint32_t value) {
      sqe s = from;
      s.dw[dw] = value;
      return s;
    };
    const sqe cq = f.client.create_cq_sqe(q), sq = f.client.create_sq_sqe(q, 1);
    for (const sqe& s : {cq, sq}) {
      for (const std::uint32_t qid : {0u, 5u, 0xffffu})
        CHECK(f.admin(changed(s, 10, qid | 15 << 16)).status() == specific(0x01));
      CHECK(f.admin(changed(s, 10, 1)).status() == specific(0x02));              // one entry
      CHECK(f.admin(changed(s, 10, 1 | 256 << 16)).status() == specific(0x02));  // more than MQES
      CHECK(f.admin(changed(s, 10, 1 | 0xffff0000u)).status() == specific(0x02));
      CHECK(f.admin(changed(s, 11, s.dw[11] & ~1u)).status() == generic(0x02));  // not contiguous
      CHECK(f.admin(changed(s, 6, s.dw[6] + 16)).status() == generic(0x13));
    }
    CHECK(f.admin(changed(changed(cq, 6, 0), 7, 0)).status() == generic(0x02));
    CHECK(f.admin(changed(cq, 11, 3 | 2 << 16)).status() == specific(0x08));
    CHECK(f.admin(sq).status() == specific(0x00));  // no such CQ yet
    CHECK(f.admin(cq).status().ok());
    CHECK(f.admin(cq).status() == specific(0x01));  // twice
    CHECK(f.admin(changed(changed(sq, 6, 0), 7, 0)).status() == generic(0x02));
    for (const std::uint32_t cqid : {0u, 2u, 4u, 5u, 0xffffu})
      CHECK(f.admin(changed(sq, 11, 1 | cqid << 16)).status() == specific(0x00));
    CHECK(f.admin(sq).status().ok());
    CHECK(f.admin(sq).status() == specific(0x01));
    CHECK(f.admin(0x04, 1).status() == specific(0x0c));  // CQ before its SQ
    for (const std::uint32_t opc : {0x00u, 0x04u})
      for (const std::uint32_t qid : {0u, 2u, 5u, 0xffffu}) CHECK(f.admin(opc, qid).status() == specific(0x01));
    CHECK(f.admin(0x00, 1).status().ok());
    CHECK(f.admin(0x00, 1).status() == specific(0x01));
    CHECK(f.admin(0x04, 1).status().ok());
    CHECK(f.admin(0x04, 1).status() == specific(0x01));
    CHECK(f.client.create_pair(q));
  }

  TEST_CASE("queues: entry sizes other than 64 and 16 -> 1/02h") {
    fixture f;
    REQUIRE(f.client.enable(32, 0x560061) == 1);
    auto q = f.client.make_queue(1, 16);
    CHECK(f.admin(f.client.create_cq_sqe(q)).status() == specific(0x02));
    f.client.port.write(reg::cc, 4, 0x450061);
    CHECK(f.admin(f.client.create_cq_sqe(q)).status().ok());
    CHECK(f.admin(f.client.create_sq_sqe(q, 1)).status() == specific(0x02));
  }

  TEST_CASE("queues: all 64 pairs at the greatest depth work side by side") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    std::vector<raw_client::queue> queues;
    for (std::uint16_t qid = 1; qid <= 64; ++qid) queues.push_back(f.pair(qid, 1024));
    for (auto& q : queues) f.client.post(q, f.client.kv(0x14, "k"), q.qid);
    for (auto& q : queues) f.client.ring(q);
    for (auto& q : queues) {
      const auto e = f.client.wait(q, q.qid);
      REQUIRE(e.has_value());
      CHECK(e->status() == generic(0x87));
      CHECK(e->sqid() == q.qid);
      CHECK(e->sqhd() == 1);
    }
    CHECK(f.c->read_register(0, 8).has_value());
  }

  TEST_CASE("queues: several submission queues with one completion queue") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto shared = f.client.make_queue(3, 4);
    auto other = f.client.make_queue(2, 16);
    REQUIRE(f.admin(f.client.create_cq_sqe(shared)).status().ok());
    REQUIRE(f.admin(f.client.create_sq_sqe(shared, 3)).status().ok());
    REQUIRE(f.admin(f.client.create_sq_sqe(other, 3)).status().ok());
    CHECK(f.admin(0x00, 3).status().ok());
    CHECK(f.admin(0x04, 3).status() == specific(0x0c));  // the other still uses it
    for (std::uint16_t i = 0; i < 12; ++i)
      f.client.post(other, f.client.kv(0x14, "k"), static_cast<std::uint16_t>(100 + i));
    f.client.ring(other);
    for (std::uint16_t i = 0; i < 12; ++i) {
      const auto e = f.client.wait(shared, static_cast<std::uint16_t>(100 + i));
      REQUIRE(e.has_value());
      CHECK(e->sqid() == 2);
    }
  }

  TEST_CASE("queues: depth 2, many laps, every phase right") {
    fixture f;
    REQUIRE(f.client.enable(2) == 1);
    auto q = f.pair(1, 2);
    std::byte* const data = f.client.pages(1);
    for (int i = 0; i < 100; ++i) {
      data[0] = static_cast<std::byte>(i);
      const cqe e = f.client.run(q, f.client.kv(0x01, "k", data, 1));
      CHECK(e.status().ok());
      CHECK(e.sqhd() == 1);
      data[0] = std::byte{0xff};
      CHECK(f.client.run(q, f.client.kv(0x02, "k", data, 1)).sqhd() == 0);
      CHECK(data[0] == static_cast<std::byte>(i));
    }
  }

  TEST_CASE("queues: nothing is posted to a completion queue that is full, nothing is lost") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.client.make_queue(1, 4);
    auto sq = f.client.make_queue(1, 16);
    q.sq = sq.sq;
    REQUIRE(f.admin(f.client.create_cq_sqe(q)).status().ok());
    REQUIRE(f.admin(f.client.create_sq_sqe(sq, 1)).status().ok());
    for (std::uint16_t i = 0; i < 15; ++i) f.client.post(sq, f.client.kv(0x14, "k"), i);
    f.client.ring(sq);
    f.poll(10);
    // Three completions and an untouched fourth entry.
    CHECK(load_le<std::uint32_t>(q.cq + 2 * 16 + 12) != 0);
    CHECK(load_le<std::uint32_t>(q.cq + 3 * 16 + 12) == 0);
    f.c->set_client_can_wake(true);
    CHECK(f.c->needs_polling());  // room may come without a wake-up
    std::vector<std::uint16_t> order;
    for (std::uint16_t i = 0; i < 15; ++i) {
      const auto e = f.client.wait(q, i);
      REQUIRE(e.has_value());
    }
    f.poll();
    CHECK(!f.c->needs_polling());
    CHECK(q.done.empty());
  }

  TEST_CASE("doorbells: tail beyond the queue, backwards -> one event, that queue stops, others go on") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto bad = f.pair(1, 8);
    auto good = f.pair(2, 8);
    f.hold_aer(900);
    f.hold_aer(901);
    SUBCASE("beyond") { f.client.ring_word(2, 8); }
    SUBCASE("far beyond") { f.client.ring_word(2, 0xffffffff); }
    SUBCASE("upper half") { f.client.ring_word(2, 0x10001); }
    SUBCASE("backwards") {
      // Fetch the first of several, then take a later one back: nothing is fetched while the completion queue is full.
      for (std::uint16_t i = 0; i < 7; ++i) f.client.post(bad, f.client.kv(0x14, "k"), i);
      f.client.ring(bad);
      f.poll();
      for (std::uint16_t i = 10; i < 15; ++i) f.client.post(bad, f.client.kv(0x14, "k"), i);
      f.client.ring(bad);  // cannot be fetched: no completion was taken
      f.poll();
      f.client.ring_word(2, (bad.tail + 7) % 8);
    }
    SUBCASE("completion queue head beyond the queue") { f.client.ring_word(3, 8); }
    SUBCASE("completion queue head past the tail") { f.client.ring_word(3, 1); }
    SUBCASE("completion queue head beyond the queue, though no further on than its tail") {
      for (int i = 0; i < 6; ++i) CHECK(f.client.run(bad, f.client.kv(0x14, "k")).status() == generic(0x87));
      for (std::uint16_t i = 0; i < 3; ++i) f.client.post(bad, f.client.kv(0x14, "k"), i);
      f.client.ring(bad);
      f.poll();
      f.client.ring_word(3, 8);
    }
    f.poll();
    const auto e = f.client.wait(f.client.admin, 900);
    REQUIRE(e.has_value());
    CHECK(e->status().ok());
    CHECK(e->dw0() == 0x010100);  // error, invalid doorbell write value, log page 01h
    f.client.reap(bad);
    bad.done.clear();
    f.client.post(bad, f.client.kv(0x14, "k"), 50);
    f.client.ring(bad);
    CHECK(f.client.run(good, f.client.kv(0x14, "k")).status() == generic(0x87));
    f.poll();
    f.client.reap(bad);
    CHECK(bad.done.empty());
    CHECK(f.client.admin.done.empty());  // once
    std::byte* const log = f.client.pages(1);
    CHECK(f.admin(f.log_page(1, log, 64)).status().ok());
    CHECK(load_le<std::uint64_t>(log) == 1);
    CHECK(load_le<std::uint16_t>(log + 8) == 1);
    // The queue can be deleted and made anew.
    CHECK(f.admin(0x00, 1).status().ok());
    CHECK(f.admin(0x04, 1).status().ok());
    auto again = f.client.make_queue(1, 8);
    CHECK(f.client.create_pair(again));
    CHECK(f.client.run(again, f.client.kv(0x14, "k")).status() == generic(0x87));
  }

  TEST_CASE("doorbells: an invalid value of an admin queue's -> CFS, which a reset clears") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    SUBCASE("tail") { f.client.ring_word(0, 32); }
    SUBCASE("head") { f.client.ring_word(1, 5); }
    f.poll();
    CHECK((f.client.port.read(reg::csts, 4) & 2) == 2);
    CHECK(f.client.disable() == 0);
    CHECK(f.client.enable() == 1);
    CHECK(f.admin(0x18).status().ok());
  }

  TEST_CASE("doorbells: the same tail again is nothing new; a doorbell of no queue by register -> event") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    f.client.post(q, f.client.kv(0x14, "k"), 1);
    f.client.ring(q);
    CHECK(f.client.wait(q, 1).has_value());
    f.client.ring(q);
    f.poll();
    f.client.reap(q);
    CHECK(q.done.empty());
    // By a register access, as where the page cannot be mapped.
    f.client.post(q, f.client.kv(0x14, "k"), 2);
    f.client.port.write(0x1008, 4, q.tail);
    CHECK(f.client.wait(q, 2).has_value());
    f.hold_aer(900);
    f.client.port.write(0x1000 + 8 * 9, 4, 1);
    const auto e = f.client.wait(f.client.admin, 900);
    REQUIRE(e.has_value());
    CHECK(e->dw0() == 0x010000);  // write to an invalid doorbell register
  }

  TEST_CASE("commands: the SQE is copied before it is looked at, so that a later change means nothing") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    std::byte* const data = f.client.pages(1);
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t slot = q.tail;
      f.client.post(q, f.client.kv(0x01, "k", data, 10), static_cast<std::uint16_t>(i));
      f.client.ring(q);
      f.poll();
      std::memset(q.sq + slot * 64, 0xff, 64);
      CHECK(f.client.wait(q, static_cast<std::uint16_t>(i)).has_value());
    }
  }

  TEST_CASE("commands: a wrong nsid -> 0/0Bh; one that is no command -> 0/01h with any nsid; admin by SGL -> 0/02h") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    for (const std::uint32_t nsid : {0u, 2u, 1025u, 0xffffffffu}) {
      CHECK(f.client.run(q, f.client.kv(0x14, "k", nullptr, 0, nsid)).status() == generic(0x0b));
      CHECK(f.client.run(q, f.client.kv(0x55, "k", nullptr, 0, nsid)).status() == generic(0x01));
    }
    CHECK(f.client.run(q, f.client.kv(0x83, "k")).status() == generic(0x01));
    sqe s = f.client.identify(1, f.client.pages(1));
    s.dw[0] |= 0x4000;
    CHECK(f.admin(s).status() == generic(0x02));
    for (const std::uint32_t opc : {0x7cu, 0x7fu, 0x0du, 0x80u, 0xffu, 0x10u})
      CHECK(f.admin(opc).status() == generic(0x01));
    CHECK(f.admin(0x18).status().ok());  // Keep Alive
  }

  TEST_CASE("asynchronous store: completions in the order in which the store ends, each with its CID") {
    auto store = std::make_shared<manual_store>();
    {
      fixture f({}, store);
      REQUIRE(f.client.enable() == 1);
      auto q = f.pair();
      std::byte* const data = f.client.pages(4);
      for (std::uint16_t i = 0; i < 4; ++i)
        f.client.post(q, f.client.kv(0x02, std::string(1, static_cast<char>('a' + i)), data + i * page, 100),
                      static_cast<std::uint16_t>(10 + i));
      f.client.ring(q);
      f.poll();
      REQUIRE(store->pending.size() == 4);
      CHECK(store->keys == std::vector<std::string>{"a", "b", "c", "d"});
      CHECK(!f.c->quiet());
      CHECK(f.c->uses(f.arena.get(), arena_bytes));
      CHECK(f.c->uses(data + 2 * page + 99, 1));
      CHECK(!f.c->uses(data + 2 * page + 100, 1));
      f.client.reap(q);
      CHECK(q.done.empty());
      // From another thread, third first.
      std::thread([&] {
        std::memset(store->pending[2]->data[0].data(), 'x', 100);
        store->end(2, store_result::ok, 100);
      }).join();
      CHECK(f.waker.woken == 1);
      auto e = f.client.wait(q, 12);
      REQUIRE(e.has_value());
      CHECK(e->dw0() == 100);
      CHECK(e->sqhd() == 4);
      CHECK(data[2 * page] == std::byte{'x'});
      store->end(2, store_result::absent);
      e = f.client.wait(q, 13);
      REQUIRE(e.has_value());
      CHECK(e->status() == generic(0x87));
      store->end(1, store_result::failed);
      store->end(0, store_result::ok, 7);
      CHECK(f.client.wait(q, 11)->status() == generic(0x06));
      CHECK(f.client.wait(q, 10)->dw0() == 7);
      CHECK(f.c->quiet());
    }
  }

  TEST_CASE("asynchronous store: commands outstanding count as places of the completion queue") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.client.make_queue(1, 3);
    auto sq = f.client.make_queue(1, 16);
    q.sq = sq.sq;
    REQUIRE(f.admin(f.client.create_cq_sqe(q)).status().ok());
    REQUIRE(f.admin(f.client.create_sq_sqe(sq, 1)).status().ok());
    for (std::uint16_t i = 0; i < 6; ++i) f.client.post(sq, f.client.kv(0x14, "k"), i);
    f.client.ring(sq);
    f.poll();
    CHECK(store->pending.size() == 2);
    for (std::uint16_t i = 0; i < 6; ++i) {
      REQUIRE(!store->pending.empty());
      store->end(0, store_result::ok);
      CHECK(f.client.wait(q, i).has_value());
      f.poll();
    }
  }

  TEST_CASE("asynchronous store: no more outstanding than the option allows; admin commands are served all the same") {
    auto store = std::make_shared<manual_store>();
    controller_options o;
    o.max_outstanding = 3;
    fixture f(o, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    for (std::uint16_t i = 0; i < 8; ++i) f.client.post(q, f.client.kv(0x14, "k"), i);
    f.client.ring(q);
    f.poll();
    CHECK(store->pending.size() == 3);
    CHECK(f.admin(0x18).status().ok());
    for (std::uint16_t i = 0; i < 8; ++i) {
      store->end(0, store_result::ok);
      CHECK(f.client.wait(q, i).has_value());
      f.poll();
    }
  }

  TEST_CASE("Abort: a held AER; a waiting command where the store obeys; else DW0 bit 0") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    const auto abort = [&](std::uint32_t sqid, std::uint32_t cid) { return f.admin(0x08, sqid | cid << 16); };
    f.hold_aer(900);
    cqe e = abort(0, 900);
    CHECK(e.status().ok());
    CHECK(e.dw0() == 0);
    REQUIRE(f.client.wait(f.client.admin, 900).has_value());
    CHECK(abort(0, 900).dw0() == 1);
    CHECK(abort(1, 5).dw0() == 1);
    f.client.post(q, f.client.kv(0x14, "k"), 5);
    f.client.ring(q);
    f.poll();
    CHECK(abort(2, 5).dw0() == 1);
    CHECK(abort(1, 6).dw0() == 1);
    CHECK(store->cancelled.empty());
    CHECK(abort(1, 5).dw0() == 1);  // asked for, not yet done
    CHECK(store->cancelled.size() == 1);
    store->end(0, store_result::aborted);
    CHECK(f.client.wait(q, 5)->status() == generic(0x07));
    CHECK(abort(1, 5).dw0() == 1);
  }

  TEST_CASE("Abort: no held AER is completed where the completion queue has room for one answer only") {
    fixture f;
    REQUIRE(f.client.enable(2) == 1);
    f.hold_aer(900);
    CHECK(f.admin(0x08, 900 << 16).dw0() == 1);
    f.poll();
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    CHECK(f.admin(0x18).status().ok());
  }

  TEST_CASE("Abort: a long copy ends at once and changes nothing") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    std::byte* const data = f.client.pages(512);
    sqe s = f.client.kv(0x01, "k");
    s.dw[10] = 2 << 20;
    f.client.sgl(s, sgl_descriptor::data_block(f.client.iova(data), 2 << 20));
    f.client.post(q, s, 5);
    f.client.post(q, s, 6);
    f.client.ring(q);
    f.poll(2);
    CHECK(!f.c->quiet());
    for (const std::uint32_t cid : {6u, 5u}) {
      const cqe e = f.admin(0x08, 1 | cid << 16);
      CHECK(e.dw0() == 0);
      CHECK(f.client.wait(q, static_cast<std::uint16_t>(cid))->status() == generic(0x07));
    }
    CHECK(f.c->quiet());
    CHECK(f.client.run(q, f.client.kv(0x14, "k")).status() == generic(0x87));
  }

  TEST_CASE("long copies: short commands are served between their slices, and they end in turn") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    std::byte* const data = f.client.pages(1024);
    for (std::size_t i = 0; i < (4 << 20); ++i) data[i] = static_cast<std::byte>(i * 7 + (i >> 12));
    const auto big = [&](std::uint8_t opc, const char* key, std::size_t offset) {
      sqe s = f.client.kv(opc, key);
      s.dw[10] = 2 << 20;
      f.client.sgl(s, sgl_descriptor::data_block(f.client.iova(data) + offset, 2 << 20));
      return s;
    };
    f.client.post(q, big(0x01, "a", 0), 1);
    f.client.post(q, big(0x01, "b", 2 << 20), 2);
    f.client.ring(q);
    f.poll(2);
    CHECK(f.client.run(q, f.client.kv(0x14, "a")).status() == generic(0x87));
    f.client.reap(q);
    CHECK(q.done.empty());
    CHECK(f.client.wait(q, 1)->status().ok());
    CHECK(q.done.empty());
    CHECK(f.client.wait(q, 2)->status().ok());
    const std::vector<std::byte> before(data, data + (4 << 20));
    std::memset(data, 0, 4 << 20);
    f.client.post(q, big(0x02, "b", 2 << 20), 3);
    f.client.post(q, big(0x02, "a", 0), 4);
    f.client.ring(q);
    CHECK(f.client.wait(q, 3)->dw0() == 2 << 20);
    CHECK(f.client.wait(q, 4)->dw0() == 2 << 20);
    CHECK(std::equal(before.begin(), before.end(), data));
  }

  TEST_CASE("Delete SQ: outstanding commands are cancelled, and the answer follows the last of them") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    for (std::uint16_t i = 0; i < 3; ++i) f.client.post(q, f.client.kv(0x14, "k"), i);
    f.client.ring(q);
    f.poll();
    sqe del;
    del.dw[0] = 0x00;
    del.dw[10] = 1;
    f.client.post(f.client.admin, del, 77);
    f.client.ring(f.client.admin);
    f.poll();
    CHECK(store->cancelled.size() == 3);
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    CHECK(f.admin(0x00, 1).status() == specific(0x01));  // being deleted
    CHECK(f.admin(0x04, 1).status() == specific(0x0c));
    store->end(1, store_result::ok);
    store->end(0, store_result::aborted);
    f.poll();
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    store->end(0, store_result::aborted);
    CHECK(f.client.wait(f.client.admin, 77)->status().ok());
    f.client.reap(q);
    CHECK(q.done.size() == 3);
    CHECK(f.admin(0x04, 1).status().ok());
  }

  TEST_CASE("Delete SQ: a long copy is cut off with 0/08h") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    sqe s = f.client.kv(0x01, "k");
    s.dw[10] = 2 << 20;
    f.client.sgl(s, sgl_descriptor::data_block(f.client.iova(f.client.pages(512)), 2 << 20));
    f.client.post(q, s, 5);
    f.client.ring(q);
    f.poll(2);
    CHECK(f.admin(0x00, 1).status().ok());
    CHECK(f.client.wait(q, 5)->status() == generic(0x08));
  }

  TEST_CASE("reset under I/O: RDY falls when the store is through, no completion is posted, late ends harm nothing") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    for (std::uint16_t i = 0; i < 3; ++i) f.client.post(q, f.client.kv(0x14, "k"), i);
    f.client.ring(q);
    f.poll();
    SUBCASE("CC.EN") { f.client.port.write(reg::cc, 4, 0x460060); }
    SUBCASE("CC.EN and on again") {
      f.client.port.write(reg::cc, 4, 0x460060);
      f.client.port.write(reg::cc, 4, 0x460061);
    }
    SUBCASE("whole") { f.c->reset(); }
    f.poll();
    CHECK(store->cancelled.size() == 3);
    CHECK((f.client.port.read(reg::csts, 4) & 1) == 1);
    store->end(2, store_result::ok);
    store->end(0, store_result::aborted);
    f.poll();
    CHECK((f.client.port.read(reg::csts, 4) & 1) == 1);
    store->end(0, store_result::ok);
    f.poll();
    CHECK(f.c->quiet());
    f.client.reap(q);
    CHECK(q.done.empty());
    const bool again = (f.client.port.read(reg::cc, 4) & 1) != 0;
    CHECK((f.client.port.read(reg::csts, 4) & 1) == (again ? 1 : 0));
    if (!again) CHECK(f.client.enable() == 1);
  }

  TEST_CASE("close: quiet when the store is through; then it may be destroyed") {
    auto store = std::make_shared<manual_store>();
    store->obeys_cancel = true;
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    f.client.post(q, f.client.kv(0x14, "k"), 1);
    f.client.ring(q);
    f.poll();
    CHECK(!f.c->quiet());
    f.c->close();
    CHECK(!f.c->quiet());  // given back, not taken yet
    f.poll();
    CHECK(f.c->quiet());
    f.client.port.write(reg::cc, 4, 0x460061);
    CHECK(f.client.port.read(reg::csts, 4) == 0);
  }

  TEST_CASE("close: while a store's thread is still on its way out the poller has work, so that it sees it gone") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    f.client.post(q, f.client.kv(0x14, "k"), 1);
    f.client.ring(q);
    f.poll();
    f.c->close();
    CHECK(f.c->poll() == 0);
    f.waker.hold = true;
    const unsigned before = f.waker.woken;
    std::thread giver([&] { store->end(0, store_result::ok); });
    while (f.waker.woken == before) std::this_thread::yield();
    CHECK(f.c->poll() != 0);  // takes it
    CHECK(!f.c->quiet());
    CHECK(f.c->poll() != 0);
    f.waker.hold = false;
    giver.join();
    CHECK(f.c->poll() == 0);
    CHECK(f.c->quiet());
  }

  TEST_CASE("unmap: commands are refused the memory, queues in it stop; where it is an admin queue -> CFS") {
    fixture f;
    struct alignas(4096) block {
      std::byte b[4 * page];
    };
    const auto extra = std::make_unique<block>();
    std::memset(extra->b, 0, sizeof extra->b);
    REQUIRE(f.c->map_dma({0x1000, sizeof extra->b, extra->b, true, true}).ok());
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair(1, 8);
    sqe s = f.client.kv(0x01, "k");
    s.dw[10] = 16;
    s.set_dptr(data_pointer::prp(0x1000));
    CHECK(f.client.run(q, s).status().ok());
    // A queue whose completions go to that memory.
    auto other = f.client.make_queue(2, 8);
    sqe cq = f.client.create_cq_sqe(other);
    cq.dw[6] = 0x2000;
    cq.dw[7] = 0;
    CHECK(f.admin(cq).status().ok());
    CHECK(f.admin(f.client.create_sq_sqe(other, 2)).status().ok());
    // One whose commands lie in it.
    auto third = f.client.make_queue(3, 8);
    CHECK(f.admin(f.client.create_cq_sqe(third)).status().ok());
    sqe sq = f.client.create_sq_sqe(third, 3);
    sq.dw[6] = 0x3000;
    sq.dw[7] = 0;
    CHECK(f.admin(sq).status().ok());
    third.sq = extra->b + 0x2000;
    target::dma_region removed;
    CHECK(f.c->unmap_dma(0x1000, 1) == status{client_status::not_found});
    CHECK(f.c->unmap_dma(0x1000, sizeof extra->b, &removed).ok());
    CHECK(removed.local == extra->b);
    std::memset(extra->b, 0xee, sizeof extra->b);
    CHECK(f.client.run(q, s).status() == generic(0x04));
    f.client.post(other, f.client.kv(0x14, "k"), 1);
    f.client.ring(other);
    f.poll();
    for (const std::byte b : extra->b) CHECK(b == std::byte{0xee});
    f.client.post(third, f.client.kv(0x14, "k"), 1);
    f.client.ring(third);
    f.poll();
    f.client.reap(third);
    CHECK(third.done.empty());
    CHECK(f.client.run(q, f.client.kv(0x14, "k")).status().ok());
    CHECK(f.client.port.read(reg::csts, 4) == 1);
    CHECK(f.c->unmap_dma(arena_iova, arena_bytes).ok());
    CHECK((f.client.port.read(reg::csts, 4) & 2) == 2);
    f.poll();
    f.client.port.write(reg::cc, 4, 0);
    CHECK(f.client.port.read(reg::csts, 4) == 0);
  }

  TEST_CASE("AER: four are held, a fifth -> 1/05h; a reset drops them") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    for (std::uint16_t i = 0; i < 4; ++i) f.hold_aer(static_cast<std::uint16_t>(900 + i));
    CHECK(f.admin(0x0c).status() == specific(0x05));
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    f.client.disable();
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    REQUIRE(f.client.enable() == 1);
    f.hold_aer(900);
    CHECK(f.client.admin.done.empty());
  }

  TEST_CASE("namespaces: added and removed while a client is connected; a notice if wanted, and the list of changes") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    std::byte* const log = f.client.pages(1);
    f.hold_aer(900);
    target::namespace_options o;
    o.nsid = 7;
    const auto seven = std::make_shared<target::kv_namespace>(o, std::make_shared<target::memory_store>());
    REQUIRE(f.subsystem->add(seven).ok());
    CHECK(f.client.run(q, f.client.kv(0x14, "k", nullptr, 0, 7)).status() == generic(0x87));
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());  // not wanted so far
    CHECK(f.admin(f.log_page(4, log, 4096)).status().ok());
    CHECK(load_le<std::uint32_t>(log) == 7);
    CHECK(f.admin(0x09, 0x0b, 0x100).status().ok());
    REQUIRE(f.subsystem->remove(7).ok());
    const auto e = f.client.wait(f.client.admin, 900);
    REQUIRE(e.has_value());
    CHECK(e->dw0() == 0x040002);
    CHECK(f.client.run(q, f.client.kv(0x14, "k", nullptr, 0, 7)).status() == generic(0x0b));
    // Not told again before the log was read.
    f.hold_aer(901);
    REQUIRE(f.subsystem->add(seven).ok());
    f.poll();
    f.client.reap(f.client.admin);
    CHECK(f.client.admin.done.empty());
    CHECK(f.admin(f.log_page(4, log, 4096)).status().ok());
    CHECK(f.client.wait(f.client.admin, 901).has_value());
  }

  TEST_CASE("namespaces: one that is removed under an asynchronous command lives until that ends") {
    auto store = std::make_shared<manual_store>();
    fixture f({}, store);
    const std::weak_ptr<manual_store> alive = store;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair();
    f.client.post(q, f.client.kv(0x14, "k"), 1);
    f.client.ring(q);
    f.poll();
    REQUIRE(f.subsystem->remove(1).ok());
    f.poll();
    store_operation* const op = store->pending[0];
    store = nullptr;
    CHECK(!alive.expired());
    op->finish(store_result::ok, 0);
    CHECK(f.client.wait(q, 1)->status().ok());
    CHECK(alive.expired());
  }

  TEST_CASE("interrupts: once a poll for a queue that wants them, none for others") {
    controller_options o;
    std::vector<std::uint16_t> raised;
    o.raise_interrupt = [&](std::uint16_t v) { raised.push_back(v); };
    fixture f(o);
    REQUIRE(f.client.enable() == 1);
    auto q = f.client.make_queue(1, 16);
    CHECK(f.admin(f.client.create_cq_sqe(q, 3 | 9 << 16)).status().ok());
    CHECK(f.admin(f.client.create_sq_sqe(q, 1)).status().ok());
    auto silent = f.pair(2);
    CHECK(raised.empty());
    for (std::uint16_t i = 0; i < 5; ++i) f.client.post(q, f.client.kv(0x14, "k"), i);
    f.client.ring(q);
    f.poll();
    CHECK(raised == std::vector<std::uint16_t>{9});
    f.client.run(silent, f.client.kv(0x14, "k"));
    CHECK(raised.size() == 1);
  }

  TEST_CASE("needs_polling: while a client is live that cannot wake") {
    fixture f;
    CHECK(!f.c->needs_polling());
    REQUIRE(f.client.enable() == 1);
    CHECK(f.c->needs_polling());
    f.c->set_client_can_wake(true);
    CHECK(!f.c->needs_polling());
    CHECK(f.c->asleep_word() == f.doorbells->words + 1023);
  }

  TEST_CASE("hostile: random admin and I/O commands and doorbells over valid memory end in statuses") {
    fixture f;
    REQUIRE(f.client.enable() == 1);
    auto q = f.pair(1, 64);
    std::uint64_t state = 88172645463325252u;
    const auto random = [&] {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      return static_cast<std::uint32_t>(state >> 16);
    };
    std::byte* const data = f.client.pages(64);
    for (std::size_t i = 0; i < 64 * page; i += 4) store_le(data + i, random() % 3 == 0 ? random() : 0u);
    unsigned answered = 0;
    for (unsigned i = 0; i < 20000; ++i) {
      sqe s;
      for (std::uint32_t& dw : s.dw) dw = random() % 4 == 0 ? random() : random() % 8;
      s.dw[0] &= 0xffffc0ffu;
      if (random() % 2 == 0) {
        s.dw[6] = static_cast<std::uint32_t>(f.client.iova(data) + random() % (64 * page));
        s.dw[7] = static_cast<std::uint32_t>(f.client.iova(data) >> 32);
        s.dw[8] = random() % 2 == 0 ? random() % 0x10000
                                    : static_cast<std::uint32_t>(f.client.iova(data) + random() % 64 * page);
        s.dw[9] = random() % 2 == 0 ? 0x30000000u : static_cast<std::uint32_t>(f.client.iova(data) >> 32);
      }
      s.dw[1] = 1;
      s.set_cid(static_cast<std::uint16_t>(i % 1000));
      raw_client::queue& where = random() % 4 == 0 ? f.client.admin : q;
      // Not those that end the conversation by themselves.
      const std::uint8_t opc = s.opc();
      if (&where == &f.client.admin && (opc == 0x00 || opc == 0x04 || opc == 0x0c)) continue;
      f.client.post(where, s, s.cid());
      f.client.ring(where);
      REQUIRE(f.client.wait(where, s.cid()).has_value());
      ++answered;
    }
    CHECK(answered > 15000);
    CHECK(f.client.port.read(reg::csts, 4) == 1);
  }
}
