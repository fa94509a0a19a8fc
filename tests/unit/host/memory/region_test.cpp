// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/region.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

using namespace nkv;
using host::region;

TEST_SUITE("host/memory/region") {
  TEST_CASE("create: whole pages, aligned, zero, backed by its descriptor") {
    const host::result<region> r = region::create(5000);
    REQUIRE(r);
    CHECK(r->size_bytes() == 8192);
    CHECK(reinterpret_cast<std::uintptr_t>(r->data()) % 4096 == 0);
    for (std::size_t i = 0; i < r->size_bytes(); ++i) REQUIRE(r->data()[i] == std::byte{0});
    struct stat what{};
    REQUIRE(::fstat(r->fd(), &what) == 0);
    CHECK(what.st_size == 8192);
    r->data()[4097] = std::byte{7};
    std::byte seen{};
    REQUIRE(::pread(r->fd(), &seen, 1, 4097) == 1);
    CHECK(seen == std::byte{7});
    CHECK(::fcntl(r->fd(), F_GETFD) == FD_CLOEXEC);
    CHECK(r->dma().address == r->data());
    CHECK(r->dma().length_bytes == 8192);
    CHECK(r->dma().fd == r->fd());
  }

  TEST_CASE("create: nobody who has the descriptor can shrink or grow it, or lift the seals") {
    const host::result<region> r = region::create(8192);
    REQUIRE(r);
    const int peers = ::dup(r->fd());
    CHECK(::ftruncate(peers, 4096) == -1);
    CHECK(errno == EPERM);
    CHECK(::ftruncate(peers, 16384) == -1);
    CHECK(::fcntl(peers, F_ADD_SEALS, F_SEAL_WRITE) == -1);
    CHECK(::fcntl(peers, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    ::close(peers);
  }

  TEST_CASE("create: an alignment above the page -> an address of it, and nothing beside it mapped") {
    host::region_options how;
    how.alignment_bytes = std::size_t{2} << 20;
    host::result<region> r = region::create(4096, how);
    REQUIRE(r);
    std::byte* const at = r->data();
    CHECK(reinterpret_cast<std::uintptr_t>(at) % how.alignment_bytes == 0);
    CHECK(::msync(at, 4096, MS_ASYNC) == 0);
    *r = region{};
    CHECK(::msync(at, 4096, MS_ASYNC) == -1);
    CHECK(errno == ENOMEM);
  }

  TEST_CASE("create: sizes and alignments that cannot be -> bad_argument") {
    CHECK(region::create(0).error() == status(client_status::bad_argument));
    CHECK(region::create(~std::size_t{0}).error() == status(client_status::bad_argument));
    host::region_options how;
    how.alignment_bytes = 12288;
    CHECK(region::create(4096, how).error() == status(client_status::bad_argument));
  }

  TEST_CASE("create: huge pages -> memory of 2 MiB pages, or an errno that says why not") {
    host::region_options how;
    how.hugetlb = true;
    const host::result<region> r = region::create(4096, how);
    if (r) {
      CHECK(r->size_bytes() == region::huge_page_bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(r->data()) % region::huge_page_bytes == 0);
    } else {
      CHECK(r.error() == status(client_status::system_error));
      CHECK(r.error().detail() != 0);
    }
  }

  TEST_CASE("move: the memory has one owner") {
    host::result<region> r = region::create(4096);
    REQUIRE(r);
    std::byte* const at = r->data();
    region second = *std::move(r);
    CHECK(second.data() == at);
    CHECK(r->empty());
    region third;
    third = std::move(second);
    CHECK(third.data() == at);
    CHECK(::msync(at, 4096, MS_ASYNC) == 0);
  }

  TEST_CASE("abandon: the memory stays mapped, the owner forgets it") {
    std::byte* at = nullptr;
    int fd = -1;
    {
      host::result<region> r = region::create(4096);
      REQUIRE(r);
      at = r->data();
      fd = r->fd();
      r->abandon();
      CHECK(r->empty());
      CHECK(r->fd() == -1);
    }
    CHECK(::msync(at, 4096, MS_ASYNC) == 0);
    CHECK(::fcntl(fd, F_GETFD) == -1);
    at[0] = std::byte{1};
    ::munmap(at, 4096);
  }
}
