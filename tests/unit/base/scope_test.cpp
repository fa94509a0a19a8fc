// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/scope.hpp>

#include <doctest/doctest.h>

#include <type_traits>

namespace {

template <nkv::scope S>
constexpr nkv::scope named(nkv::scope_constant<S>) {
  return S;
}

}  // namespace

TEST_SUITE("base/scope") {
  static_assert(std::is_empty_v<nkv::scope_constant<nkv::scope::system>>);
  static_assert(nkv::scope_constant<nkv::scope::block>::value == nkv::scope::block);

  TEST_CASE("scope constants: passed as arguments -> each names its own scope") {
    CHECK(named(nkv::thread_scope) == nkv::scope::thread);
    CHECK(named(nkv::block_scope) == nkv::scope::block);
    CHECK(named(nkv::device_scope) == nkv::scope::device);
    CHECK(named(nkv::system_scope) == nkv::scope::system);
  }

  TEST_CASE("scope: wider scopes come later") {
    CHECK(nkv::scope::thread < nkv::scope::block);
    CHECK(nkv::scope::block < nkv::scope::device);
    CHECK(nkv::scope::device < nkv::scope::system);
  }
}
