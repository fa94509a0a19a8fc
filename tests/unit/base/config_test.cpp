// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/config.hpp>

#include <doctest/doctest.h>

#include <string_view>

#define NKV_TEST_TEXT_OF(x) #x
#define NKV_TEST_TEXT(x) NKV_TEST_TEXT_OF(x)

namespace nkv::inline NKV_ABI {
struct config_test_probe;
}

TEST_SUITE("base/config") {
  // A macro that is not defined is 0 in an #if but an error in an expression: these are defined, whatever compiles.
  static_assert(NKV_CUDA == 0 || NKV_CUDA == 1);
  static_assert(NKV_HIP == 0 || NKV_HIP == 1);
  static_assert(NKV_ON_CUDA + NKV_ON_HIP + NKV_ON_X86 + NKV_ON_ARM64 <= 1);

  TEST_CASE("worlds: compiled as plain C++ -> no GPU") {
    CHECK(NKV_CUDA == 0);
    CHECK(NKV_HIP == 0);
    CHECK(NKV_ON_CUDA == 0);
    CHECK(NKV_ON_HIP == 0);
#if defined(__x86_64__)
    CHECK(NKV_ON_X86 == 1);
#elif defined(__aarch64__)
    CHECK(NKV_ON_ARM64 == 1);
#endif
    CHECK(std::string_view(NKV_TEST_TEXT(NKV_HD)).empty());
  }

  TEST_CASE("version: the inline namespace names it") {
    CHECK(NKV_VERSION_PATCH >= 0);
    CHECK(std::string_view(NKV_TEST_TEXT(NKV_ABI)) ==
          "v" NKV_TEST_TEXT(NKV_VERSION_MAJOR) "_" NKV_TEST_TEXT(NKV_VERSION_MINOR));
  }
}
