// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "golden_kv.hpp"

#include <support/bytes.hpp>

#include <nkv/base/result.hpp>
#include <nkv/spec/sqe.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>

namespace nkv_test::golden {

constexpr bool matches(const nkv::sqe& made, const block<64>& expected) { return bytes_of(made.dw) == expected; }
constexpr bool matches(const nkv::result<nkv::sqe>& made, const block<64>& expected) {
  return made.has_value() && matches(*made, expected);
}

/// The same in memory, as the controller reads it, over a slot that is full of something else.
inline void check(const nkv::sqe& made, const block<64>& expected) {
  nkv::sqe slot;
  for (std::uint32_t& dword : slot.dw) dword = 0xffffffff;
  slot = made;
  block<64> in_memory{};
  std::memcpy(in_memory.bytes, &slot, 64);
  CHECK(to_text(in_memory.span()) == to_text(expected.span()));
}
inline void check(const nkv::result<nkv::sqe>& made, const block<64>& expected) {
  REQUIRE(made.has_value());
  check(*made, expected);
}

}  // namespace nkv_test::golden

/// One vector, compared by the compiler and again when the test runs.
#define NKV_CHECK_GOLDEN(vector, ...)                                \
  do {                                                               \
    static_assert(::nkv_test::golden::matches(__VA_ARGS__, vector)); \
    INFO(#vector);                                                   \
    ::nkv_test::golden::check(__VA_ARGS__, vector);                  \
  } while (false)
