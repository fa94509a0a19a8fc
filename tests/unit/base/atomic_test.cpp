// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/atomic.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using nkv::native_atomics;
using nkv::plain_accesses;
using nkv::system_scope;

TEST_SUITE("base/atomic") {
  TEST_CASE_TEMPLATE("native_atomics: one thread -> the values of the integer operations", T, std::uint32_t,
                     std::uint64_t) {
    constexpr T top = static_cast<T>(~T{0});
    T word = 5;
    CHECK(native_atomics::load_relaxed(&word, system_scope) == 5);
    CHECK(native_atomics::load_acquire(&word, system_scope) == 5);
    native_atomics::store_relaxed(&word, T{6}, system_scope);
    CHECK(word == 6);
    native_atomics::store_release(&word, top, system_scope);
    CHECK(word == top);
    CHECK(native_atomics::exchange(&word, T{0xf0}, system_scope) == top);
    CHECK(native_atomics::fetch_or(&word, T{0x0f}, system_scope) == 0xf0);
    CHECK(native_atomics::fetch_and(&word, T{0x3c}, system_scope) == 0xff);
    CHECK(word == 0x3c);
    CHECK(native_atomics::fetch_add(&word, T{4}, system_scope) == 0x3c);
    CHECK(word == 0x40);
    CHECK(native_atomics::fetch_add(&word, top, system_scope) == 0x40);
    CHECK(word == 0x3f);
  }

  TEST_CASE_TEMPLATE("compare_exchange: expected or not -> replaced, or told what is there", T, std::uint32_t,
                     std::uint64_t) {
    T word = 1;
    T expected = 2;
    CHECK_FALSE(native_atomics::compare_exchange(&word, expected, T{9}, system_scope));
    CHECK(word == 1);
    CHECK(expected == 1);
    CHECK(native_atomics::compare_exchange(&word, expected, T{9}, system_scope));
    CHECK(word == 9);
    CHECK(expected == 1);
  }

  TEST_CASE("fetch_add: two threads -> no increment is lost") {
    constexpr std::uint32_t rounds = 100000;
    std::uint32_t word = 0;
    std::thread other([&] {
      for (std::uint32_t i = 0; i < rounds; ++i) native_atomics::fetch_add(&word, 1u, system_scope);
    });
    for (std::uint32_t i = 0; i < rounds; ++i) native_atomics::fetch_add(&word, 1u, system_scope);
    other.join();
    CHECK(native_atomics::load_acquire(&word, system_scope) == 2 * rounds);
  }

  TEST_CASE("store_release and load_acquire: a flag between two threads -> what came before it is seen") {
    // Judged by ThreadSanitizer where it is on: with relaxed accesses this is a race on `payload`.
    constexpr std::uint32_t rounds = 20000;
    std::uint32_t payload = 0;
    std::uint32_t flag = 0;
    std::uint32_t wrong = 0;
    std::thread reader([&] {
      for (std::uint32_t i = 1; i <= rounds; ++i) {
        while (native_atomics::load_acquire(&flag, system_scope) != 2 * i - 1) std::this_thread::yield();
        if (payload != i) ++wrong;
        native_atomics::store_release(&flag, 2 * i, system_scope);
      }
    });
    for (std::uint32_t i = 1; i <= rounds; ++i) {
      payload = i;
      native_atomics::store_release(&flag, 2 * i - 1, system_scope);
      while (native_atomics::load_acquire(&flag, system_scope) != 2 * i) std::this_thread::yield();
    }
    reader.join();
    CHECK(wrong == 0);
  }

  static_assert([] {
    std::uint32_t word = 0;
    plain_accesses::store_relaxed(&word, 3u, nkv::thread_scope);
    plain_accesses::store_release(&word, plain_accesses::load_relaxed(&word, nkv::thread_scope) + 1u,
                                  nkv::thread_scope);
    return plain_accesses::load_acquire(&word, nkv::thread_scope) == 4;
  }());

  TEST_CASE("plain_accesses: the policy's shape -> plain loads and stores") {
    std::uint64_t word = 0;
    plain_accesses::store_release(&word, std::uint64_t{7}, nkv::thread_scope);
    CHECK(plain_accesses::load_acquire(&word, nkv::thread_scope) == 7);
    plain_accesses::store_relaxed(&word, std::uint64_t{8}, nkv::thread_scope);
    CHECK(plain_accesses::load_relaxed(&word, nkv::thread_scope) == 8);
  }
}
