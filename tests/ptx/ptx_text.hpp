// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "ptx/kernel_run.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace nkv_test {

/// A PTX module of one entry `k` around hand-written instructions. There are registers %p0.., %h0.. (16 bits), %r0..
/// (32) and %d0.. (64); %d1, %d2, %d3, %r1.. and %h1.. hold the three arguments, %r9 the thread's number in its block
/// and %d9 the address of the 64-bit word in which this thread leaves its result.
inline std::string ptx_entry(const std::string& body, const std::string& before = "") {
  return ".version 8.7\n.target sm_90\n.address_size 64\n" + before + R"(
.visible .entry k(.param .u64 out, .param .u64 a, .param .u64 b, .param .u64 c)
{
  .reg .pred %p<10>;
  .reg .b16 %h<10>;
  .reg .b32 %r<40>;
  .reg .b64 %d<40>;
  ld.param.u64 %d8, [out];
  ld.param.u64 %d1, [a];
  ld.param.u64 %d2, [b];
  ld.param.u64 %d3, [c];
  cvt.u32.u64 %r1, %d1;
  cvt.u32.u64 %r2, %d2;
  cvt.u32.u64 %r3, %d3;
  cvt.u16.u64 %h1, %d1;
  cvt.u16.u64 %h2, %d2;
  cvt.u16.u64 %h3, %d3;
  mov.u32 %r9, %tid.x;
  mul.wide.u32 %d9, %r9, 8;
  add.s64 %d9, %d8, %d9;
)" + body +
         "\n  ret;\n}\n";
}
/// The same for instructions that leave their result in %d0.
inline std::string ptx_expression(const std::string& body) { return ptx_entry(body + "\n  st.global.u64 [%d9], %d0;"); }

struct ptx_answer {
  ptx_result result;
  std::vector<std::uint64_t> words;  ///< what each thread left; 0xeeee... where it left nothing
};

/// Runs `text` with `threads` threads in one block.
inline ptx_answer run_text(const std::string& text, std::uint32_t threads = 1, std::uint64_t a = 0, std::uint64_t b = 0,
                           std::uint64_t c = 0, const ptx_options& options = {}) {
  kernel_run run(text);
  run.options = options;
  auto* out = run.memory().allocate_array<std::uint64_t>("out", threads);
  for (std::uint32_t t = 0; t < threads; ++t) out[t] = 0xeeeeeeeeeeeeeeeeu;
  ptx_answer answer;
  answer.result = run.run("k", {1, 1, 1}, {threads, 1, 1}, out, a, b, c);
  answer.words.assign(out, out + threads);
  return answer;
}

}  // namespace nkv_test
