// SPDX-License-Identifier: BSD-3-Clause
//
// The model controller: it does what a KV controller does, and every rule it holds its client to is broken here once.
// Commands are written by hand, by the documents.
#include "ptx/nvme_model.hpp"

#include "ptx/ptx_text.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using nkv_test::nvme_model;
using nkv_test::nvme_model_options;
using nkv_test::ptx_memory;

namespace {

using dwords = std::array<std::uint32_t, 16>;

/// A client with 16-byte keys that does everything right by itself.
struct client {
  explicit client(const nvme_model_options& options = {}) : model(memory, options), n(options.sq_entries), phase(true) {
    value = memory.allocate("value", 3 * 4096, 4096);
    list = memory.allocate("list", 4096, 4096);
  }

  /// An opcode with an inline key of one letter.
  static dwords make(std::uint8_t opcode, std::uint16_t cid, char key = 'k') {
    dwords d{};
    d[0] = opcode | static_cast<std::uint32_t>(cid) << 16;
    d[1] = 1;
    d[2] = static_cast<std::uint32_t>(key);
    d[11] = 1;
    return d;
  }
  /// One with data in one SGL block.
  dwords with_data(std::uint8_t opcode, std::uint16_t cid, std::uint32_t bytes, char key = 'k') const {
    dwords d = make(opcode, cid, key);
    d[0] |= 1u << 14;
    block(d, reinterpret_cast<std::uint64_t>(value), bytes, 0);
    d[10] = bytes;
    return d;
  }
  static void block(dwords& d, std::uint64_t address, std::uint32_t bytes, std::uint32_t type) {
    d[6] = static_cast<std::uint32_t>(address);
    d[7] = static_cast<std::uint32_t>(address >> 32);
    d[8] = bytes;
    d[9] = type << 28;
  }
  static void prp(dwords& d, std::uint64_t one, std::uint64_t two) {
    d[6] = static_cast<std::uint32_t>(one);
    d[7] = static_cast<std::uint32_t>(one >> 32);
    d[8] = static_cast<std::uint32_t>(two);
    d[9] = static_cast<std::uint32_t>(two >> 32);
  }
  void post(const dwords& d) {
    std::memcpy(model.sq()[tail].dw, d.data(), sizeof d);
    tail = (tail + 1) % n;
  }
  void ring() { model.ring(model.sq_doorbell(), tail); }
  void send(const dwords& d) {
    post(d);
    ring();
  }
  void ticks(unsigned count = 1) {
    while (count-- != 0) model.tick();
  }
  /// Takes one completion. @return {cid, status field without the phase, dw0}, or cid FFFFFFFFh
  std::array<std::uint32_t, 3> take() {
    const nkv::cqe& e = model.cq()[head];
    if ((e.dw[3] >> 16 & 1u) != (phase ? 1u : 0u)) return {0xffffffffu, 0, 0};
    if (++head == model.options().cq_entries) {
      head = 0;
      phase = !phase;
    }
    return {e.dw[3] & 0xffffu, e.dw[3] >> 17, e.dw[0]};
  }
  void ring_head() { model.ring(model.cq_doorbell(), head); }

  [[nodiscard]] bool refused(const std::string& text) const {
    for (const std::string& e : model.errors()) {
      if (e.find(text) != std::string::npos) return true;
    }
    return false;
  }

  ptx_memory memory;
  nvme_model model;
  std::byte* value = nullptr;
  std::byte* list = nullptr;
  std::uint32_t n;
  std::uint32_t tail = 0;
  std::uint32_t head = 0;
  bool phase;
};

using taken = std::array<std::uint32_t, 3>;

}  // namespace

TEST_CASE("nvme model: stores, retrieves, asks, lists and deletes, with nothing to complain of") {
  client c;
  std::memcpy(c.value, "abcdefgh", 8);
  c.send(c.with_data(0x01, 5, 8));
  c.ticks();
  CHECK(c.take() == taken{5, 0, 0});
  CHECK(c.model.values()["k"] == "abcdefgh");
  std::memset(c.value, 0, 8);
  c.send(c.with_data(0x02, 6, 4));
  c.send(client::make(0x14, 7));
  c.send(client::make(0x14, 8, 'x'));
  c.ticks();
  CHECK(c.take() == taken{6, 0, 8});  // the whole length, of which 4 bytes came
  CHECK(std::memcmp(c.value, "abcd\0\0\0\0", 8) == 0);
  CHECK(c.take() == taken{7, 0, 0});
  CHECK(c.take() == taken{8, 0x87, 0});
  CHECK(c.take()[0] == 0xffffffffu);
  c.model.values()["m"] = "2";
  dwords l = c.with_data(0x06, 9, 64);
  c.send(l);
  c.ticks();
  CHECK(c.take() == taken{9, 0, 0});
  CHECK(std::memcmp(c.value, "\2\0\0\0\1\0k\0\1\0m\0", 12) == 0);
  c.send(client::make(0x10, 10));
  c.send(client::make(0x10, 11));
  c.ticks();
  CHECK(c.take() == taken{10, 0, 0});
  CHECK(c.take() == taken{11, 0x87, 0});
  CHECK(c.model.error_text() == "");
  CHECK(c.model.sq_doorbells() == 7);
  CHECK(c.model.most_outstanding() == 3);
}

TEST_CASE("nvme model: a key in the payload's head") {
  nvme_model_options o;
  o.payload_head = true;
  client c(o);
  auto* head = c.memory.allocate("head", 64);
  std::memcpy(head, "\3\0abc", 5);
  std::memcpy(c.value, "value", 5);
  const std::uint64_t blocks[4] = {reinterpret_cast<std::uint64_t>(head), 5, reinterpret_cast<std::uint64_t>(c.value),
                                   5};
  std::memcpy(c.list, blocks, sizeof blocks);
  dwords d{};
  d[0] = 0x4001;
  d[1] = 1;
  client::block(d, reinterpret_cast<std::uint64_t>(c.list), 32, 3);
  d[10] = 5;
  c.send(d);
  c.ticks();
  CHECK(c.take() == taken{0, 0, 0});
  CHECK(c.model.values()["abc"] == "value");
  // A short buffer: 1/81h and the true length.
  std::memset(c.value, 0, 8);
  const std::uint64_t two = 2;
  std::memcpy(c.list + 24, &two, 8);
  d[0] = 0x4002;
  d[10] = 2;
  c.send(d);
  c.ticks();
  CHECK(c.take() == taken{0, 0x181, 5});
  CHECK(std::memcmp(c.value, "va\0\0", 4) == 0);
  // Exist by the head alone, by the dwords alone.
  dwords e{};
  e[0] = 0x4014;
  e[1] = 1;
  client::block(e, reinterpret_cast<std::uint64_t>(head), 5, 0);
  c.send(e);
  c.send(client::make(0x14, 1, 'z'));
  c.ticks();
  CHECK(c.take() == taken{0, 0, 0});
  CHECK(c.take() == taken{1, 0x187, 0});
  // Execute: the result over the head.
  std::memcpy(c.value, "\3\0abcinput", 10);
  dwords x{};
  x[0] = 0x4083;
  x[1] = 1;
  client::block(x, reinterpret_cast<std::uint64_t>(c.value), 16, 0);
  x[10] = 10;
  x[12] = 16;
  x[13] = 12;
  c.send(x);
  c.ticks();
  CHECK(c.take() == taken{0, 0, 5});
  CHECK(std::memcmp(c.value, "input", 5) == 0);
  CHECK(c.model.error_text() == "");
}

TEST_CASE("nvme model: PRPs, one page, two, a list") {
  client c;
  c.model.values()["k"] = std::string(10000, 'x');
  for (const std::uint32_t bytes : {100u, 5000u, 10000u}) {
    CAPTURE(bytes);
    std::memset(c.value, 0, 3 * 4096);
    const auto at = reinterpret_cast<std::uint64_t>(c.value) + 256;
    const std::uint64_t pages[2] = {at - 256 + 4096, at - 256 + 8192};
    std::memcpy(c.list, pages, sizeof pages);
    dwords d = client::make(0x02, 3);
    d[10] = bytes;
    client::prp(d, at, bytes <= 3840 ? 0 : bytes <= 3840 + 4096 ? pages[0] : reinterpret_cast<std::uint64_t>(c.list));
    c.send(d);
    c.ticks();
    CHECK(c.take() == taken{3, 0, 10000});
    CHECK(c.value[255] == std::byte{0});
    CHECK(c.value[256] == std::byte{'x'});
    CHECK(c.value[255 + bytes] == std::byte{'x'});
    CHECK(c.value[256 + bytes] == std::byte{0});
  }
  CHECK(c.model.error_text() == "");
}

TEST_CASE("nvme model: every broken rule is told") {
  const auto told = [](const std::string& text, const auto& break_it, const nvme_model_options& o = {}) {
    CAPTURE(text);
    client c(o);
    break_it(c);
    c.ticks(5);
    CAPTURE(c.model.error_text());
    CHECK(c.refused(text));
  };
  const auto exist = [](std::uint16_t cid) { return client::make(0x14, cid); };
  // Doorbells.
  told("is written again", [&](client& c) {
    c.send(exist(1));
    c.ring();
  });
  told("is written again", [&](client& c) { c.model.ring(c.model.sq_doorbell(), 0); });
  told(
      "backward or over",
      [&](client& c) {
        c.post(exist(1));
        c.post(exist(2));
        c.ring();
        c.model.ring(c.model.sq_doorbell(), 1);
      },
      [] {
        nvme_model_options o;
        o.fetch_every_ticks = 50;
        return o;
      }());
  told(
      "backward or over 1 free",
      [&](client& c) {
        for (std::uint16_t i = 0; i < 2; ++i) c.send(exist(i));
        c.model.ring(c.model.sq_doorbell(), 0);
      },
      [] {
        nvme_model_options o;
        o.sq_entries = 4;
        o.fetch_every_ticks = 50;
        return o;
      }());
  told("SQ tail 16 of 16", [&](client& c) { c.model.ring(c.model.sq_doorbell(), 16); });
  told("CQ head 32 of 32", [&](client& c) { c.model.ring(c.model.cq_doorbell(), 32); });
  told("with 0 entries there", [&](client& c) { c.model.ring(c.model.cq_doorbell(), 1); });
  told("CQ head 1 is written again", [&](client& c) {
    c.send(exist(1));
    c.ticks();
    static_cast<void>(c.take());
    c.ring_head();
    c.ring_head();
  });
  // Entries.
  told("dword 7 not written", [&](client& c) {
    const dwords d = exist(1);
    for (unsigned i = 0; i < 16; ++i) {
      if (i != 7) c.model.sq()[0].dw[i] = d[i];
    }
    c.tail = 1;
    c.ring();
  });
  told("dword 0 not written", [&](client& c) { c.model.ring(c.model.sq_doorbell(), 1); });
  told(
      "entry 0 is rung with dword 0 not written",
      [&](client& c) {
        c.send(exist(1));
        c.send(exist(2));
        c.ticks(2);
        // What stands in entry 0 is of the lap before.
        c.model.ring(c.model.sq_doorbell(), 1);
      },
      [] {
        nvme_model_options o;
        o.sq_entries = 2;
        return o;
      }());
  told(
      "was changed between",
      [&](client& c) {
        c.send(exist(1));
        c.model.sq()[0].dw[2] ^= 1;
        c.ticks(60);
      },
      [] {
        nvme_model_options o;
        o.fetch_every_ticks = 50;
        return o;
      }());
  told("is outstanding already", [&](client& c) {
    c.send(exist(1));
    c.send(exist(1));
  });
  told("CID FFFFh", [&](client& c) { c.send(exist(0xffff)); });
  // Commands.
  const auto changed = [&](unsigned dw, std::uint32_t value) {
    return [=](client& c) {
      dwords d = client::make(0x14, 1);
      d[dw] |= value;
      c.send(d);
    };
  };
  told("CDW4", changed(4, 1));
  told("CDW5", changed(5, 1));
  told("CDW10", changed(10, 1));
  told("CDW12", changed(12, 1));
  told("CDW13", changed(13, 1));
  told("CDW11 bits 31:16", changed(11, 1u << 20));
  told("bytes behind its key", changed(15, 1));
  told("inline key of 33", changed(11, 32));
  told("fused bits", changed(0, 0x100));
  told("PSDT 2", changed(0, 0x8000));
  told("namespace 3", changed(1, 2));
  told("PRPs and no data", changed(6, 4));
  told("has no key", [](client& c) {
    dwords d = client::make(0x14, 1);
    d[2] = d[11] = 0;
    c.send(d);
  });
  told("is unknown", [](client& c) { c.send(client::make(0x55, 1)); });
  told("that are no guest's", [](client& c) {
    dwords d = c.with_data(0x02, 1, 64);
    client::block(d, reinterpret_cast<std::uint64_t>(c.value) + 3 * 4096 - 32, 64, 0);
    c.send(d);
  });
  told("of type 1", [](client& c) {
    dwords d = c.with_data(0x02, 1, 64);
    client::block(d, reinterpret_cast<std::uint64_t>(c.value), 64, 1);
    c.send(d);
  });
  told("reserved bytes", [](client& c) {
    dwords d = c.with_data(0x02, 1, 64);
    d[9] |= 1;
    c.send(d);
  });
  told("64 bytes of data and says 65", [](client& c) {
    dwords d = c.with_data(0x01, 1, 64);
    d[10] = 65;
    c.send(d);
  });
  told("time to live that is not valid", [](client& c) {
    dwords d = c.with_data(0x01, 1, 64);
    d[12] = 65;
    c.send(d);
  });
  told("reserved options", [](client& c) {
    dwords d = c.with_data(0x01, 1, 64);
    d[11] |= 0x8000;
    c.send(d);
  });
  told("a PRP2 that it does not need", [](client& c) {
    dwords d = client::make(0x02, 1);
    d[10] = 64;
    client::prp(d, reinterpret_cast<std::uint64_t>(c.value), reinterpret_cast<std::uint64_t>(c.value) + 4096);
    c.send(d);
  });
  told("a PRP entry with an offset", [](client& c) {
    dwords d = client::make(0x02, 1);
    d[10] = 8192;
    client::prp(d, reinterpret_cast<std::uint64_t>(c.value), reinterpret_cast<std::uint64_t>(c.value) + 4096 + 8);
    c.send(d);
  });
  nvme_model_options head;
  head.payload_head = true;
  told(
      "a head of 300 bytes",
      [](client& c) {
        dwords d = c.with_data(0x02, 1, 64);
        d[2] = d[11] = 0;
        std::memcpy(c.value, "\x2c\1", 2);
        c.send(d);
      },
      head);
  told(
      "a key length in CDW11 besides its head",
      [](client& c) {
        dwords d = c.with_data(0x02, 1, 64);
        d[2] = 0;
        std::memcpy(c.value, "\1\0k", 3);
        c.send(d);
      },
      head);
}

TEST_CASE("nvme model: a full completion queue waits for its head doorbell") {
  nvme_model_options o;
  o.sq_entries = 8;
  o.cq_entries = 4;
  client c(o);
  for (std::uint16_t i = 0; i < 6; ++i) c.send(client::make(0x14, i));
  c.ticks(10);
  CHECK(c.model.completed() == 3);
  CHECK(c.take()[0] == 0);
  CHECK(c.take()[0] == 1);
  c.ticks(10);
  CHECK(c.model.completed() == 3);
  c.ring_head();
  c.ticks(10);
  CHECK(c.model.completed() == 5);
  for (std::uint32_t i = 2; i < 5; ++i) CHECK(c.take()[0] == i);
  c.ring_head();
  c.ticks(10);
  CHECK(c.take()[0] == 5);
  CHECK(c.model.outstanding() == 0);
  CHECK(c.model.error_text() == "");
}

TEST_CASE("nvme model: latency, order, laziness, torn entries, fates") {
  nvme_model_options o;
  o.latency_ticks = 10;
  {
    client c(o);
    c.send(client::make(0x14, 1));
    c.ticks(9);
    CHECK(c.take()[0] == 0xffffffffu);
    c.ticks(1);
    CHECK(c.take()[0] == 1);
  }
  o.out_of_order = true;
  bool reordered = false;
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    o.seed = seed;
    client c(o);
    for (std::uint16_t i = 0; i < 8; ++i) c.send(client::make(0x14, i));
    c.ticks(30);
    for (std::uint32_t i = 0; i < 8; ++i) reordered = c.take()[0] != i || reordered;
    CHECK(c.model.completed() == 8);
  }
  CHECK(reordered);
  {
    nvme_model_options lazy;
    lazy.fetch_every_ticks = 20;
    client c(lazy);
    c.send(client::make(0x14, 1));
    c.ticks(19);
    CHECK(c.model.fetched() == 0);
    c.ticks(1);
    CHECK(c.model.fetched() == 1);
  }
  {
    nvme_model_options torn;
    torn.torn = true;
    client c(torn);
    c.model.values()["k"] = "12345";
    c.send(c.with_data(0x02, 1, 8));
    c.ticks(1);
    CHECK(c.model.cq()[0].dw[0] != 5);
    CHECK(c.model.cq()[0].dw[0] != 0);
    c.ticks(3);
    CHECK(c.take()[0] == 0xffffffffu);
    c.ticks(1);
    CHECK(c.take() == taken{1, 0, 5});
  }
  {
    client c;
    c.model.values()["k"] = "1";
    c.model.fates[0].not_before = 50;
    c.model.fates[1].status = {{2, 0x86}};
    c.model.fates[2].never = true;
    c.send(client::make(0x10, 1));
    c.ticks(40);
    CHECK(c.model.values().count("k") == 1);
    c.ticks(10);
    CHECK(c.take() == taken{1, 0, 0});
    CHECK(c.model.values().empty());
    c.send(client::make(0x14, 2));
    c.send(client::make(0x14, 3));
    c.ticks(1000);
    CHECK(c.take() == taken{2, 0x286, 0});
    CHECK(c.take()[0] == 0xffffffffu);
    CHECK(c.model.outstanding() == 1);
  }
}

TEST_CASE(
    "nvme model: a completion says how far the controller has fetched when it is written, also of an early command") {
  client c;
  c.model.fates[0].not_before = 5;
  c.send(client::make(0x14, 1));
  c.send(client::make(0x14, 2));
  c.ticks(6);
  CHECK((c.model.cq()[0].dw[3] & 0xffffu) == 2);
  CHECK((c.model.cq()[0].dw[2] & 0xffffu) == 2);
  CHECK((c.model.cq()[1].dw[3] & 0xffffu) == 1);
  CHECK((c.model.cq()[1].dw[2] & 0xffffu) == 2);
}

TEST_CASE("nvme model: a kernel's stores are seen as they are made") {
  nvme_model_options o;
  const auto run_with = [&](const std::string& body, const auto& check) {
    CAPTURE(body);
    nkv_test::kernel_run run(nkv_test::ptx_entry(body));
    nvme_model model(run.memory(), o);
    run.add_agent([&](std::uint64_t) { model.tick(); });
    const nkv_test::ptx_result r =
        run.run("k", {1, 1, 1}, {1, 1, 1}, model.sq_doorbell(), model.cq(), model.sq(), std::uint64_t{0});
    check(r, model);
  };
  run_with("st.u64 [%d8], %d3;", [](const auto& r, const auto& model) {
    CHECK(r.finished());
    CHECK(model.error_text().find("a doorbell store of 8 bytes") != std::string::npos);
  });
  run_with("st.u32 [%d1+4], 1;", [](const auto& r, const auto&) {
    CHECK(r.error.find("completion queue, which the kernel may only read") != std::string::npos);
  });
  // An Exist of a key of one byte, 16 dwords by hand, and the wait for its phase.
  run_with(R"(
    mov.u32 %r5, 0x00030014; mov.u32 %r6, 1; mov.u32 %r7, 0;
    st.v4.u32 [%d2], {%r5, %r6, 107, %r7}; st.v4.u32 [%d2+16], {%r7, %r7, %r7, %r7};
    st.v4.u32 [%d2+32], {%r7, %r7, %r7, %r6}; st.v4.u32 [%d2+48], {%r7, %r7, %r7, %r7};
    fence.acq_rel.sys; st.mmio.relaxed.sys.u32 [%d8], 1;
    L: ld.acquire.sys.u32 %r8, [%d1+12]; and.b32 %r10, %r8, 0x10000; setp.eq.s32 %p1, %r10, 0; @%p1 bra L;)",
           [](const auto& r, const auto& model) {
             CHECK_MESSAGE(r.finished(), r.error);
             CHECK(model.error_text() == "");
             CHECK(model.completed() == 1);
             CHECK(model.cq()[0].dw[3] == (3u | 1u << 16 | 0x87u << 17));
           });
}
