// SPDX-License-Identifier: BSD-3-Clause
//
// Threads: their order, what they do together, and what ends them.
#include "ptx/ptx_machine.hpp"

#include "ptx/ptx_text.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>

using nkv_test::ptx_answer;
using nkv_test::ptx_entry;
using nkv_test::ptx_expression;
using nkv_test::ptx_options;
using nkv_test::ptx_result;
using nkv_test::ptx_schedule;
using nkv_test::run_text;
namespace ptx_class = nkv_test::ptx_class;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Runs `body` with every schedule and some seeds and asks for the words of each.
template <class Check>
void each_schedule(const std::string& text, std::uint32_t threads, const Check& check) {
  for (const auto schedule : {ptx_schedule::round_robin, ptx_schedule::random, ptx_schedule::bursts}) {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      CAPTURE(static_cast<int>(schedule));
      CAPTURE(seed);
      ptx_options o;
      o.schedule = schedule;
      o.seed = seed;
      o.most_steps = 1'000'000;
      const ptx_answer r = run_text(text, threads, 0, 0, 0, o);
      CHECK_MESSAGE(r.result.finished(), r.result.error);
      check(r);
    }
  }
}

void fails(const std::string& body, const std::string& why, std::uint32_t threads = 1, std::uint64_t steps = 100000) {
  CAPTURE(body);
  ptx_options o;
  o.most_steps = steps;
  const ptx_answer r = run_text(ptx_expression(body), threads, 0, 0, 0, o);
  CHECK(r.result.ended == ptx_result::end::failed);
  CAPTURE(r.result.error);
  CHECK(contains(r.result.error, why));
}

}  // namespace

TEST_CASE("ptx machine: what must not be touched is an error that names thread and line") {
  fails("mov.u32 %r0, %r7; cvt.u64.u32 %d0, %r0;", "is read before it was written");
  fails("@%p7 mov.u32 %r0, 1; mov.u64 %d0, 0;", "is read before it was written");
  fails("div.u32 %r0, %r1, %r2; mov.u64 %d0, 0;", "division by zero");
  fails("rem.s64 %d0, %d1, %d2;", "division by zero");
  fails("ld.u32 %r0, [%d1]; mov.u64 %d0, 0;", "outside of allocated memory");
  fails("ld.u64 %d0, [%d9+8];", "8 bytes into out of 8");
  fails("ld.u64 %d0, [%d9-8];", "8 bytes before out");
  fails("st.u32 [%d9+8], 1; mov.u64 %d0, 0;", "thread 0 at line");
  fails("ld.u32 %r0, [%d9+2]; mov.u64 %d0, 0;", "misaligned");
  fails("ld.v2.u32 {%r0, %r5}, [%d9+4]; mov.u64 %d0, 0;", "misaligned");
  fails(".shared .u32 m; ld.shared.u32 %r0, [m+4]; mov.u64 %d0, 0;", "shared address");
  fails(".local .u64 m; ld.local.u64 %d0, [m+4096];", "local access outside");
  fails("mov.u64 %d5, a; ld.global.u64 %d0, [%d5];", "a global access that reaches local memory");
  fails("cvta.to.shared.u64 %d0, %d9;", "which is not shared");
  ptx_options o;
  o.uninitialised_reads_zero = true;
  CHECK(run_text(ptx_expression("mov.u64 %d0, %d7;"), 1, 0, 0, 0, o).words[0] == 0);
}

TEST_CASE("ptx machine: memory of the caller's is reached once it is registered") {
  const std::string text = ptx_entry("ld.u32 %r5, [%d1]; add.u32 %r5, %r5, 1; st.u32 [%d1], %r5;");
  std::uint32_t word[4] = {7, 7, 7, 7};
  const auto address = reinterpret_cast<std::uint64_t>(word);
  nkv_test::kernel_run run(text);
  const auto go = [&](std::uint64_t at) {
    return run.run("k", {1, 1, 1}, {1, 1, 1}, std::uint64_t{0}, at, std::uint64_t{0}, std::uint64_t{0});
  };
  CHECK_FALSE(go(address).finished());
  run.memory().add("word", word, 8);
  CHECK(go(address).finished());
  CHECK(go(address + 4).finished());
  CHECK_FALSE(go(address + 8).finished());
  CHECK(word[0] == 8);
  CHECK(word[1] == 8);
  CHECK(word[2] == 7);
  CHECK_THROWS_AS(run.memory().add("again", word + 1, 8), nkv_test::ptx_error);
}

TEST_CASE("ptx machine: trap ends the launch") {
  const ptx_answer r = run_text(ptx_expression("trap; mov.u64 %d0, 0;"));
  CHECK(r.result.ended == ptx_result::end::trapped);
  CHECK(contains(r.result.error, "trapped"));
}

TEST_CASE("ptx machine: special registers of a launch") {
  const std::string text = ptx_entry(R"(
    mov.u32 %r10, %tid.x; mov.u32 %r11, %tid.y; mov.u32 %r12, %tid.z;
    mov.u32 %r13, %ctaid.x; mov.u32 %r14, %ctaid.y; mov.u32 %r15, %laneid; mov.u32 %r16, %warpid;
    mov.u32 %r17, %ntid.y; mov.u32 %r18, %nctaid.x; mov.u32 %r19, %lanemask_lt; mov.u32 %r20, %lanemask_ge;
    mov.u32 %r21, %ntid.x; mad.lo.s32 %r22, %r11, %r21, %r10; mad.lo.s32 %r22, %r12, 20, %r22;
    mad.lo.s32 %r23, %r14, %r18, %r13; mad.lo.s32 %r24, %r23, 60, %r22;
    mul.wide.u32 %d9, %r24, 32; add.s64 %d9, %d8, %d9;
    st.v2.u32 [%d9], {%r15, %r16}; st.v2.u32 [%d9+8], {%r19, %r20}; st.v2.u32 [%d9+16], {%r17, %r18};
    mov.u64 %d5, %clock64; st.u64 [%d9+24], %d5;)");
  nkv_test::kernel_run run(text);
  auto* out = run.memory().allocate_array<std::uint32_t>("out", 4 * 60 * 8);
  const ptx_result r = run.run("k", {2, 2, 1}, {5, 4, 3}, out, std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0});
  CHECK_MESSAGE(r.finished(), r.error);
  for (std::uint32_t t = 0; t < 240; ++t) {
    const std::uint32_t* w = out + std::size_t{8} * t;
    const std::uint32_t lane = t % 60 % 32;
    CHECK(w[0] == lane);
    CHECK(w[1] == t % 60 / 32);
    CHECK(w[2] == (1u << lane) - 1);
    CHECK(w[3] == ~((1u << lane) - 1));
    CHECK(w[4] == 4);
    CHECK(w[5] == 2);
  }
  CHECK(r.per_thread.size() == 240);
}

TEST_CASE("ptx machine: atomics and barriers count threads, in any order") {
  const std::string text = ptx_entry(R"(
    .shared .u32 m;
    setp.eq.s32 %p1, %r9, 0;
    @%p1 st.shared.u32 [m], 0;
    bar.sync 0;
    atom.shared.add.u32 %r5, [m], 1;
    bar.sync 0;
    ld.shared.u32 %r6, [m];
    mov.b64 %d0, {%r5, %r6};
    st.global.u64 [%d9], %d0;)");
  each_schedule(text, 100, [](const ptx_answer& r) {
    std::set<std::uint32_t> tickets;
    for (const std::uint64_t w : r.words) {
      CHECK((w >> 32) == 100);
      tickets.insert(static_cast<std::uint32_t>(w));
    }
    CHECK(tickets.size() == 100);
  });
}

TEST_CASE("ptx machine: one seed is one interleaving, another is another") {
  const std::string text = ptx_entry(
      ".shared .u32 m; mov.u32 %r5, 0; L: add.u32 %r5, %r5, 1; st.shared.u32 [m], %r9; "
      "setp.lt.u32 %p1, %r5, 20; @%p1 bra L; ld.shared.u32 %r6, [m]; cvt.u64.u32 %d0, "
      "%r6; st.global.u64 [%d9], %d0;");
  std::set<std::vector<std::uint64_t>> seen;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    ptx_options o;
    o.seed = seed;
    const auto first = run_text(text, 8, 0, 0, 0, o).words;
    CHECK(first == run_text(text, 8, 0, 0, 0, o).words);
    seen.insert(first);
  }
  CHECK(seen.size() > 4);
}

TEST_CASE("ptx machine: a warp's collectives") {
  const auto one = [](const std::string& body, const auto& expected, std::uint32_t threads = 32) {
    CAPTURE(body);
    each_schedule(ptx_entry(body + " cvt.u64.u32 %d0, %r0; st.global.u64 [%d9], %d0;"), threads,
                  [&](const ptx_answer& r) {
                    for (std::uint32_t t = 0; t < threads; ++t) {
                      CAPTURE(t);
                      CHECK(r.words[t] == expected(t));
                    }
                  });
  };
  const std::string all = "mov.u32 %r8, -1; ";
  const std::string odd = "and.b32 %r7, %r9, 1; setp.eq.s32 %p1, %r7, 1; ";
  one(odd + "vote.sync.ballot.b32 %r0, %p1, -1;", [](std::uint32_t) { return 0xaaaaaaaau; });
  one(odd + "vote.sync.ballot.b32 %r0, !%p1, -1;", [](std::uint32_t) { return 0x55555555u; });
  one(odd + "vote.sync.any.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;", [](std::uint32_t) { return 1u; });
  one(odd + "vote.sync.all.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;", [](std::uint32_t) { return 0u; });
  one(odd + "vote.sync.uni.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;", [](std::uint32_t) { return 0u; });
  one("shfl.sync.idx.b32 %r0, %r9, 5, 31, -1;", [](std::uint32_t) { return 5u; });
  one("shfl.sync.down.b32 %r0|%p1, %r9, 3, 31, -1; @!%p1 add.u32 %r0, %r0, 100;",
      [](std::uint32_t t) { return t + 3 < 32 ? t + 3 : t + 100; });
  one("shfl.sync.up.b32 %r0|%p1, %r9, 3, 0, -1; @!%p1 add.u32 %r0, %r0, 100;",
      [](std::uint32_t t) { return t >= 3 ? t - 3 : t + 100; });
  one("shfl.sync.bfly.b32 %r0, %r9, 5, 31, -1;", [](std::uint32_t t) { return t ^ 5; });
  // Segments of 8: the mask in bits 12:8.
  one("shfl.sync.idx.b32 %r0, %r9, 2, 0x181f, -1;", [](std::uint32_t t) { return (t & 24) + 2; });
  one("shfl.sync.down.b32 %r0, %r9, 1, 0x1807, -1;", [](std::uint32_t t) { return t % 8 == 7 ? t : t + 1; });
  one("shr.u32 %r5, %r9, 4; match.any.sync.b32 %r0, %r5, -1;",
      [](std::uint32_t t) { return t < 16 ? 0xffffu : 0xffff0000u; });
  one("match.all.sync.b32 %r0|%p1, 3, -1; @%p1 sub.u32 %r0, %r0, 1;", [](std::uint32_t) { return 0xfffffffeu; });
  one("match.all.sync.b32 %r0|%p1, %r9, -1; @%p1 sub.u32 %r0, %r0, 1;", [](std::uint32_t) { return 0u; });
  one("redux.sync.add.u32 %r0, %r9, -1;", [](std::uint32_t) { return 496u; });
  one("sub.s32 %r5, %r9, 5; redux.sync.min.s32 %r0, %r5, -1;", [](std::uint32_t) { return 0xfffffffbu; });
  one("sub.s32 %r5, %r9, 5; redux.sync.max.u32 %r0, %r5, -1;", [](std::uint32_t) { return 0xffffffffu; });
  one("or.b32 %r5, %r9, 64; redux.sync.and.b32 %r0, %r5, -1;", [](std::uint32_t) { return 64u; });
  one("redux.sync.xor.b32 %r0, %r9, -1;", [](std::uint32_t) { return 0u; });
  one("redux.sync.or.b32 %r0, %r9, -1;", [](std::uint32_t) { return 31u; });
  one("elect.sync %r0|%p1, -1; @%p1 add.u32 %r0, %r0, 7;", [](std::uint32_t t) { return t == 0 ? 7u : 0u; });
  // Halves of a warp, each for itself, at two places in the text.
  one("setp.lt.u32 %p1, %r9, 16; @%p1 bra A; shfl.sync.idx.b32 %r0, %r9, 16, 31, 0xffff0000; bra E; A: "
      "shfl.sync.idx.b32 %r0, %r9, 0, 31, 0xffff; E: bar.warp.sync -1;",
      [](std::uint32_t t) { return t < 16 ? 0u : 16u; });
  // One mask, two places: the lanes meet all the same.
  one("setp.lt.u32 %p1, %r9, 16; @%p1 bra A; vote.sync.ballot.b32 %r0, %p1, -1; bra E; A: vote.sync.ballot.b32 %r0, "
      "%p1, -1; E:",
      [](std::uint32_t) { return 0xffffu; });
  // A last warp of 5 lanes.
  one(
      "setp.eq.s32 %p1, %r9, %r9; vote.sync.ballot.b32 %r0, %p1, -1;",
      [](std::uint32_t t) { return t < 32 ? 0xffffffffu : 0x1fu; }, 37);
  static_cast<void>(all);
}

TEST_CASE("ptx machine: activemask names lanes that stand at one place") {
  each_schedule(ptx_entry("activemask.b32 %r0; mov.u32 %r5, %lanemask_eq; and.b32 %r6, %r0, %r5; mov.b64 %d0, {%r0, "
                          "%r6}; st.global.u64 [%d9], %d0;"),
                40, [](const ptx_answer& r) {
                  for (std::uint32_t t = 0; t < 40; ++t) {
                    CHECK((r.words[t] >> 32) == 1u << t % 32);
                    if (t >= 32) CHECK((r.words[t] & 0xffffff00u) == 0);
                  }
                });
}

TEST_CASE("ptx machine: the lanes that activemask names are told the same, on each side of a branch") {
  each_schedule(
      ptx_entry("and.b32 %r5, %r9, 3; setp.eq.s32 %p1, %r5, 0; @%p1 bra A; activemask.b32 %r0; bra E; A: "
                "activemask.b32 %r0; or.b32 %r1, %r0, 0; E: mov.b64 %d0, {%r0, %r5}; st.global.u64 [%d9], %d0;"),
      64, [](const ptx_answer& r) {
        for (std::uint32_t t = 0; t < 64; ++t) {
          const auto mask = static_cast<std::uint32_t>(r.words[t]);
          CHECK((mask >> t % 32 & 1u) != 0);
          for (std::uint32_t lane = 0; lane < 32; ++lane) {
            if ((mask >> lane & 1u) == 0) continue;
            CHECK(static_cast<std::uint32_t>(r.words[t / 32 * 32 + lane]) == mask);
            CHECK((lane % 4 == 0) == (t % 4 == 0));
          }
        }
      });
  fails("setp.eq.s32 %p1, %r9, 0; @%p1 activemask.b32 %r0;", "under a predicate");
}

TEST_CASE("ptx machine: barriers with a count, arrivals and reductions") {
  each_schedule(
      ptx_entry("setp.lt.u32 %p1, %r9, 32; @%p1 bra A; bar.arrive 1, 64; bra E; A: bar.sync 1, 64; E: and.b32 "
                "%r5, %r9, 1; setp.eq.s32 %p2, %r5, 1; bar.red.popc.u32 %r6, 0, %p2; bar.red.and.pred %p3, "
                "0, %p2; selp.b32 %r7, 1, 0, %p3; mov.b64 %d0, {%r6, %r7}; st.global.u64 [%d9], %d0;"),
      64, [](const ptx_answer& r) {
        for (const std::uint64_t w : r.words) CHECK(w == 32);
      });
  fails("bar.sync 0, 33; mov.u64 %d0, 0;", "a multiple of 32");
  fails("bar.sync 16; mov.u64 %d0, 0;", "barrier 16");
}

TEST_CASE("ptx machine: threads that have exited are not waited for at a barrier of all") {
  each_schedule(ptx_entry("setp.lt.u32 %p1, %r9, 3; @%p1 exit; bar.sync 0; mov.u64 %d0, 5; st.global.u64 [%d9], %d0;"),
                8, [](const ptx_answer& r) { CHECK(r.words[7] == 5); });
}

TEST_CASE("ptx machine: a wait without end is named with its places") {
  // Lane 1 never comes.
  fails("setp.eq.s32 %p1, %r9, 1; @%p1 bra L; bar.warp.sync 3; L: mov.u64 %d0, 0;", "exit", 2);
  fails("setp.eq.s32 %p1, %r9, 1; @%p1 bra L; bar.warp.sync 3; L: bar.sync 0; mov.u64 %d0, 0;", "deadlock", 2);
  fails("setp.eq.s32 %p1, %r9, 1; @%p1 bra L; bar.warp.sync 3; L: bar.sync 0; mov.u64 %d0, 0;", "bar.warp.sync (pc", 2);
  fails("setp.eq.s32 %p1, %r9, 1; @%p1 bra L; vote.sync.any.pred %p2, %p1, 3; L: bar.warp.sync 3; mov.u64 %d0, 0;",
        "deadlock", 2);
  fails("mov.u64 %d0, 0; L: bra L;", "no end after 1000 steps", 1, 1000);
  fails("mov.u64 %d0, 0; L: nanosleep.u32 10; bra L;", "no end after", 1, 1000);
  // A lane of the mask that is gone.
  fails(
      "setp.eq.s32 %p1, %r9, 1; @%p1 exit; mov.u32 %r5, 0; L: add.u32 %r5, %r5, 1; setp.lt.u32 %p2, %r5, 50; @%p2 bra "
      "L; "
      "bar.warp.sync 3; mov.u64 %d0, 0;",
      "exited", 2);
  fails("bar.warp.sync 2; mov.u64 %d0, 0;", "not in its own mask", 2);
  fails("setp.eq.s32 %p1, %r9, 1; @%p1 bra L; shfl.sync.idx.b32 %r0, %r9, 1, 31, 1; L: mov.u64 %d0, 0;",
        "which is not in mask", 2);
}

TEST_CASE("ptx machine: time passes by ticks, and a sleeper sleeps") {
  const ptx_answer r = run_text(ptx_expression(
      "mov.u64 %d5, %globaltimer; nanosleep.u32 1000; mov.u64 %d6, %globaltimer; sub.s64 %d0, %d6, %d5;"));
  CHECK(r.words[0] >= 1000);
  CHECK(r.words[0] < 1010);
  // Another thread runs meanwhile, and every tick is a step of it.
  const ptx_answer two =
      run_text(ptx_expression("setp.eq.s32 %p1, %r9, 0; mov.u64 %d0, 0; @%p1 nanosleep.u32 500; @%p1 "
                              "bra E; L: add.s64 %d0, %d0, 1; setp.lt.u64 %p2, %d0, 1000; @%p2 bra "
                              "L; E: mov.u64 %d0, %globaltimer;"),
               2);
  CHECK_MESSAGE(two.result.finished(), two.result.error);
  CHECK(two.words[0] + 1000 < two.words[1]);
}

TEST_CASE("ptx machine: instructions are counted by what they are") {
  const ptx_answer r = run_text(ptx_expression(R"(
    mov.u64 %d0, 4;
    setp.eq.s32 %p1, %r9, 99;
    @%p1 st.u32 [%d9], 1;
    st.mmio.relaxed.sys.u32 [%d9], 1;
    st.release.sys.u32 [%d9], 1;
    ld.acquire.sys.u32 %r5, [%d9];
    fence.acq_rel.sys;
    fence.sc.sys;
    membar.gl;
    atom.add.acq_rel.sys.u32 %r6, [%d9], 1;
    div.u32 %r7, 4, 2;
    bar.warp.sync -1;
    bar.sync 0;
    .local .u32 m;
    st.local.u32 [m], 5;)"),
                                2);
  CHECK_MESSAGE(r.result.finished(), r.result.error);
  const ptx_result& c = r.result;
  // 13 of ptx_entry, 14 here, a store and a return.
  CHECK(c.per_thread == std::vector<std::uint64_t>{29, 29});
  CHECK(c.instructions == 58);
  CHECK(c.static_instructions == 29);
  CHECK(c.registers == 100);
  CHECK(c.of(ptx_class::store) == 2 * 3);
  CHECK(c.of(ptx_class::load) == 2 * 1);
  CHECK(c.of(ptx_class::local) == 2 * 1);
  CHECK(c.of(ptx_class::mmio) == 2 * 1);
  CHECK(c.of(ptx_class::fence) == 2 * 3);
  CHECK(c.of(ptx_class::atomic) == 2 * 1);
  CHECK(c.of(ptx_class::system_release) == 2 * 2);
  CHECK(c.of(ptx_class::system_acquire) == 2 * 2);
  CHECK(c.of(ptx_class::division) == 2 * 1);
  CHECK(c.of(ptx_class::collective) == 2 * 1);
  CHECK(c.of(ptx_class::barrier) == 2 * 1);
  CHECK(c.opcode("fence.acq_rel.sys") == 2);
  CHECK(c.opcode("fence") == 4);
  CHECK(c.opcode("membar.gl") == 2);
}

TEST_CASE("ptx machine: millions of steps take seconds") {
  ptx_options o;
  o.most_steps = 100'000'000;
  const auto from = std::chrono::steady_clock::now();
  const ptx_answer r = run_text(
      ptx_expression(
          "mov.u64 %d0, 0; L: add.s64 %d0, %d0, 1; ld.u64 %d5, [%d9]; setp.lt.u64 %p1, %d0, 10000; @%p1 bra L;"),
      256, 0, 0, 0, o);
  const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  CHECK_MESSAGE(r.result.finished(), r.result.error);
  CHECK(r.result.instructions > 10'000'000);
  std::printf("%.1f million PTX instructions a second, 256 threads\n",
              static_cast<double>(r.result.instructions) / s / 1e6);
}
