// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/doorbell_memory.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>

using nkv::target::vfio_user::doorbell_memory;

TEST_SUITE("target/vfio_user/doorbell_memory") {
  TEST_CASE("open: doorbells of zeros that a client maps and cannot resize") {
    doorbell_memory m;
    REQUIRE(m.open() == 0);
    for (std::size_t i = 0; i < 1024; ++i) REQUIRE(m.doorbells()[i] == 0);
    auto* theirs =
        static_cast<std::uint32_t*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd(), 0x1000));
    REQUIRE(theirs != MAP_FAILED);
    theirs[2] = 5;
    CHECK(m.doorbells()[2] == 5);
    ::munmap(theirs, 4096);
    CHECK(::ftruncate(m.fd(), 0) != 0);
    CHECK(::ftruncate(m.fd(), 1 << 20) != 0);
    CHECK(::fcntl(m.fd(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
    CHECK((::fcntl(m.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}
