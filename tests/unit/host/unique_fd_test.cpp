// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/unique_fd.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include <utility>

using nkv::host::unique_fd;

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int fresh() { return ::eventfd(0, EFD_CLOEXEC); }

}  // namespace

TEST_SUITE("host/unique_fd") {
  TEST_CASE("destructor and reset: close once") {
    const int fd = fresh();
    {
      unique_fd owner(fd);
      CHECK(owner.valid());
      CHECK(owner.get() == fd);
      CHECK(is_open(fd));
    }
    CHECK_FALSE(is_open(fd));
    unique_fd owner(fresh());
    const int second = owner.get();
    owner.reset();
    CHECK_FALSE(owner.valid());
    CHECK_FALSE(is_open(second));
  }

  TEST_CASE("move: the source holds nothing, the target's old one is closed") {
    unique_fd a(fresh());
    unique_fd b(fresh());
    const int from_a = a.get();
    const int from_b = b.get();
    b = std::move(a);
    CHECK(b.get() == from_a);
    CHECK_FALSE(a.valid());
    CHECK_FALSE(is_open(from_b));
    unique_fd c(std::move(b));
    CHECK(c.get() == from_a);
    CHECK_FALSE(b.valid());
    CHECK(is_open(from_a));
  }

  TEST_CASE("release: the caller's own") {
    unique_fd a(fresh());
    const int fd = a.release();
    a.reset();
    CHECK(is_open(fd));
    ::close(fd);
  }

  TEST_CASE("duplicate: another descriptor, closed on exec") {
    const unique_fd a(fresh());
    const unique_fd b = a.duplicate();
    REQUIRE(b.valid());
    CHECK(b.get() != a.get());
    CHECK((::fcntl(b.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_FALSE(unique_fd{}.duplicate().valid());
  }
}
