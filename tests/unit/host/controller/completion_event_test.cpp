// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/controller/completion_event.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

using namespace nkv;

namespace {

bool readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace

TEST_SUITE("host/controller/completion_event") {
  TEST_CASE("readable after a write, not after clear(), which never waits") {
    host::completion_event none;
    CHECK_FALSE(none.valid());
    CHECK(none.clear() == 0);
    auto made = host::completion_event::create();
    REQUIRE(made);
    const host::completion_event e = *std::move(made);
    CHECK(e.valid());
    CHECK_FALSE(readable(e.fd()));
    CHECK(e.clear() == 0);
    const std::uint64_t one = 1;
    REQUIRE(::write(e.fd(), &one, sizeof one) == sizeof one);
    REQUIRE(::write(e.fd(), &one, sizeof one) == sizeof one);
    CHECK(readable(e.fd()));
    CHECK(e.clear() == 2);
    CHECK_FALSE(readable(e.fd()));
  }
}
