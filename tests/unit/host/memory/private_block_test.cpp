// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/private_block.hpp>
#include <nkv/host/memory/region.hpp>
#include <support/wipes_on_fork.hpp>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

using namespace nkv;
using host::private_block;

TEST_SUITE("host/memory/private_block") {
  TEST_CASE("create: zero, page aligned, and zero again in a child") {
    host::result<private_block> b = private_block::create(100);
    REQUIRE(b);
    const std::size_t page = host::region::page_bytes();
    CHECK(b->size_bytes() == page);
    CHECK(reinterpret_cast<std::uintptr_t>(b->data()) % page == 0);
    for (std::size_t i = 0; i < b->size_bytes(); ++i) REQUIRE(b->data()[i] == std::byte{0});
    if (!nkv_test::wipes_on_fork()) return;
    b->data()[5] = std::byte{9};
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(b->data()[5] == std::byte{0} ? 0 : 1);
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(WIFEXITED(how));
    CHECK(WEXITSTATUS(how) == 0);
    CHECK(b->data()[5] == std::byte{9});
  }

  TEST_CASE("move: the block has one owner") {
    host::result<private_block> b = private_block::create(1);
    REQUIRE(b);
    std::byte* const at = b->data();
    private_block other = *std::move(b);
    CHECK(other.data() == at);
    CHECK(b->data() == nullptr);
    private_block third;
    third = std::move(other);
    third.data()[0] = std::byte{1};
    CHECK(third.data() == at);
  }
}
