// SPDX-License-Identifier: BSD-3-Clause
//
// What nvcc makes of integer arithmetic, run by the interpreter, against the same function compiled for this processor.
#include "ptx/kernels/arithmetic.hpp"
#include "ptx/kernel_run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

using nkv_test::kernel_run;
using nkv_test::ptx_result;

namespace {

std::string text() { return kernel_run::read_file(kernel_run::compiled("arithmetic")); }

}  // namespace

TEST_CASE("arithmetic kernels: as the host computes") {
  std::vector<std::uint64_t> numbers;
  constexpr std::uint64_t edges[] = {0,
                                     1,
                                     2,
                                     7,
                                     0x7f,
                                     0x80,
                                     0xff,
                                     0x7fff,
                                     0x8000,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0x100000000,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     0xffffffffffffffff};
  for (const std::uint64_t a : edges) {
    for (const std::uint64_t b : edges) {
      numbers.push_back(a);
      numbers.push_back(b);
      numbers.push_back(edges[(a ^ b) % std::size(edges)]);
    }
  }
  std::uint64_t x = 88172645463325252u;
  for (int i = 0; i < 600; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    // Of every size.
    numbers.push_back(x >> (i % 60));
  }
  kernel_run run(text());
  run.options.schedule = nkv_test::ptx_schedule::bursts;
  const auto count = static_cast<std::uint32_t>(numbers.size() / 3 * nkv_test::arithmetic_operations);
  auto* in = run.memory().allocate_array<std::uint64_t>("numbers", numbers.size());
  auto* out = run.memory().allocate_array<std::uint64_t>("out", count);
  std::copy(numbers.begin(), numbers.end(), in);
  const ptx_result r = run.run("compute", {(count + 127) / 128, 1, 1}, {128, 1, 1}, in, out, count);
  REQUIRE_MESSAGE(r.finished(), r.error);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t* n = in + 3 * (i / nkv_test::arithmetic_operations);
    const unsigned operation = i % nkv_test::arithmetic_operations;
    if (out[i] == nkv_test::arithmetic(operation, n[0], n[1], n[2])) continue;
    CAPTURE(operation);
    CAPTURE(n[0]);
    CAPTURE(n[1]);
    CAPTURE(n[2]);
    CHECK(out[i] == nkv_test::arithmetic(operation, n[0], n[1], n[2]));
  }
}

TEST_CASE("arithmetic kernels: what a warp does together comes out as it must, in any order") {
  kernel_run run(text());
  for (const auto schedule :
       {nkv_test::ptx_schedule::round_robin, nkv_test::ptx_schedule::random, nkv_test::ptx_schedule::bursts}) {
    run.options.schedule = schedule;
    run.options.seed += 1;
    auto* out = run.memory().allocate_array<std::uint32_t>("out", 5);
    const ptx_result r = run.run("together", {3, 1, 1}, {64, 1, 1}, out);
    REQUIRE_MESSAGE(r.finished(), r.error);
    CHECK(out[0] == 191 * 192 / 2);
    CHECK(out[1] == 96);
    CHECK(out[2] == 192);
    CHECK(out[3] == 192);
    CHECK(out[4] == ((31u << 16) | 1u));
    CHECK(r.of(nkv_test::ptx_class::collective) > 0);
  }
}
