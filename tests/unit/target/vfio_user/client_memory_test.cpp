// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/client_memory.hpp>
#include <support/vfio_user_peer.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <memory>

using namespace nkv;
using host::unique_fd;
using target::vfio_user::client_memory;
using target::vfio_user::client_memory_options;
namespace wire = nkv::host::vfio_user;

namespace {

struct no_waker final : target::waker {
  void wake() noexcept override {}
};

struct fixture {
  explicit fixture(client_memory_options options = {}) {
    auto made = target::controller::create(std::make_shared<target::subsystem>(), {}, doorbells, waker);
    REQUIRE(made);
    controller = *std::move(made);
    memory.emplace(*controller, options);
  }
  ~fixture() {
    memory.reset();
    controller.reset();
  }
  int map(int fd, std::uint64_t address, std::uint64_t size, std::uint64_t offset = 0, std::uint32_t flags = 3) {
    wire::dma_map request;
    request.flags = flags;
    request.offset = offset;
    request.address = address;
    request.size = size;
    const unique_fd copy(fd < 0 ? -1 : ::dup(fd));
    return memory->map(request, copy);
  }

  alignas(64) std::uint32_t doorbells[1024] = {};
  no_waker waker;
  std::unique_ptr<target::controller> controller;
  std::optional<client_memory> memory;
};

unique_fd sealed(std::uint64_t bytes) { return unique_fd(nkv_test::make_memory(bytes, F_SEAL_SHRINK)); }

}  // namespace

TEST_SUITE("target/vfio_user/client_memory") {
  TEST_CASE("map: the file's bytes, at any offset, with the access that was given") {
    fixture f;
    const unique_fd fd = sealed(0x4000);
    const char text[] = "here";
    REQUIRE(::pwrite(fd.get(), text, sizeof(text), 0x1234) == sizeof(text));
    REQUIRE(f.map(fd.get(), 0x7000000000, 0x100, 0x1234) == 0);
    REQUIRE(f.map(fd.get(), 0x8000000000, 0x4000, 0, 1) == 0);
    const auto regions = f.controller->dma_regions();
    REQUIRE(regions.size() == 2);
    CHECK(regions[0].iova == 0x7000000000);
    CHECK(regions[0].length_bytes == 0x100);
    CHECK(std::memcmp(regions[0].local, text, sizeof(text)) == 0);
    CHECK(regions[0].readable);
    CHECK(regions[0].writable);
    CHECK(regions[1].readable);
    CHECK_FALSE(regions[1].writable);
    regions[0].local[0] = std::byte{'H'};
    char c = 0;
    REQUIRE(::pread(fd.get(), &c, 1, 0x1234) == 1);
    CHECK(c == 'H');
  }

  TEST_CASE("map: refusals") {
    fixture f;
    const unique_fd fd = sealed(0x4000);
    CHECK(f.map(-1, 0x1000, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0x1000, 0, 0) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0x1000, 0, 4) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0x4001) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0x1000, 0x3001) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, 0x1000, ~std::uint64_t{0}) == EINVAL);
    CHECK(f.map(fd.get(), 0x1000, ~std::uint64_t{0}, 2) == EINVAL);
    CHECK(f.map(fd.get(), ~std::uint64_t{0} - 0xffe, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), ~std::uint64_t{0} - 0xfff, 0x1000) == 0);
    CHECK(f.memory->region_count() == 1);
  }

  TEST_CASE("map: an overlap -> EINVAL, an identical repeat -> success and nothing new") {
    fixture f;
    const unique_fd fd = sealed(0x4000);
    const unique_fd other = sealed(0x4000);
    REQUIRE(f.map(fd.get(), 0x10000, 0x2000) == 0);
    CHECK(f.map(fd.get(), 0x10000, 0x2000) == 0);
    CHECK(f.memory->region_count() == 1);
    CHECK(f.map(other.get(), 0x10000, 0x2000) == EINVAL);
    CHECK(f.map(fd.get(), 0x10000, 0x2000, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), 0x10000, 0x2000, 0, 1) == EINVAL);
    CHECK(f.map(fd.get(), 0x10000, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), 0x11fff, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), 0xf001, 0x1000) == EINVAL);
    CHECK(f.map(fd.get(), 0xf000, 0x4000) == EINVAL);
    CHECK(f.map(fd.get(), 0x12000, 0x1000) == 0);
    CHECK(f.map(fd.get(), 0xf000, 0x1000) == 0);
    CHECK(f.memory->region_count() == 3);
  }

  TEST_CASE("map: what may shrink, or is no memory -> EPERM unless accepted") {
    const unique_fd unsealed(nkv_test::make_memory(0x1000, 0));
    nkv_test::temporary_folder folder;
    const unique_fd file(::open((folder.path() + "/f").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(file.get(), 0x1000) == 0);
    const unique_fd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const unique_fd in(ends[0]);
    const unique_fd out(ends[1]);
    for (const bool accept : {false, true}) {
      client_memory_options options;
      options.accept_unsealed = accept;
      fixture f(options);
      CHECK(f.map(unsealed.get(), 0x1000, 0x1000) == (accept ? 0 : EPERM));
      CHECK(f.map(file.get(), 0x2000, 0x1000) == (accept ? 0 : EPERM));
      CHECK(f.map(zero.get(), 0x3000, 0x1000) == EPERM);
      CHECK(f.map(in.get(), 0x4000, 0x1000) == EPERM);
    }
  }

  TEST_CASE("map: a file that cannot be written is not mapped for writing") {
    fixture f;
    const unique_fd fd(nkv_test::make_memory(0x1000, F_SEAL_SHRINK | F_SEAL_WRITE));
    CHECK(f.map(fd.get(), 0x1000, 0x1000) == EPERM);
    CHECK(f.map(fd.get(), 0x1000, 0x1000, 0, 1) == 0);
  }

  TEST_CASE("map: as many regions and bytes as allowed, then ENOSPC, and room again after an unmap") {
    client_memory_options options;
    options.max_regions = 3;
    options.max_bytes = 0x4000;
    fixture f(options);
    const unique_fd fd = sealed(0x8000);
    CHECK(f.map(fd.get(), 0x10000, 0x5000) == ENOSPC);
    CHECK(f.map(fd.get(), 0x10000, 0x3000) == 0);
    CHECK(f.map(fd.get(), 0x20000, 0x2000) == ENOSPC);
    CHECK(f.map(fd.get(), 0x20000, 0x800) == 0);
    CHECK(f.map(fd.get(), 0x30000, 0x800) == 0);
    CHECK(f.map(fd.get(), 0x40000, 0x1) == ENOSPC);
    CHECK(f.memory->begin_unmap(0x10000, 0x3000));
    CHECK(f.memory->finish_unmap());
    CHECK(f.map(fd.get(), 0x40000, 0x3000) == 0);
  }

  TEST_CASE("unmap: exactly what was mapped, once") {
    fixture f;
    const unique_fd fd = sealed(0x4000);
    REQUIRE(f.map(fd.get(), 0x10000, 0x2000) == 0);
    CHECK_FALSE(f.memory->begin_unmap(0x10000, 0x1000));
    CHECK_FALSE(f.memory->begin_unmap(0x11000, 0x1000));
    CHECK_FALSE(f.memory->begin_unmap(0x20000, 0x2000));
    CHECK(f.memory->begin_unmap(0x10000, 0x2000));
    CHECK_FALSE(f.memory->begin_unmap(0x10000, 0x2000));
    CHECK(f.controller->dma_regions().empty());
    CHECK(f.memory->finish_unmap());
    CHECK(f.memory->region_count() == 0);
  }
}
