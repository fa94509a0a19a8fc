// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/registration.hpp>

#include <support/scripted_controller.hpp>

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

using namespace nkv;
using host::attachment;
using host::memory_options;
using host::registration;
using nkv_test::script;
using nkv_test::scripted_transport;

namespace {

struct fixture {
  std::shared_ptr<script> s = std::make_shared<script>();
  std::shared_ptr<attachment> a = *attachment::create(std::make_unique<scripted_transport>(s));
};

host::deadline soon() { return host::deadline::after_ms(1000); }
bool mapped(const void* at) { return ::msync(const_cast<void*>(at), 4096, MS_ASYNC) == 0; }

struct memfd_arena {
  int fd = ::memfd_create("arena", MFD_CLOEXEC);
  std::size_t size = 64 * 1024;
  std::byte* at = nullptr;
  memfd_arena() {
    REQUIRE(::ftruncate(fd, static_cast<off_t>(size)) == 0);
    at = static_cast<std::byte*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(at != MAP_FAILED);
  }
  memfd_arena(const memfd_arena&) = delete;
  memfd_arena& operator=(const memfd_arena&) = delete;
  ~memfd_arena() {
    ::munmap(at, size);
    ::close(fd);
  }
};

}  // namespace

TEST_SUITE("host/memory/registration") {
  TEST_CASE("allocate: zero copy, of the length asked for, mapped until its end") {
    fixture f;
    std::byte* at = nullptr;
    {
      host::result<registration> r = registration::allocate(f.a, 5000, {}, soon());
      REQUIRE(r);
      at = r->data();
      CHECK(r->kind() == registration::zero_copy);
      CHECK(r->size_bytes() == 5000);
      CHECK(f.s->mapped.at(reinterpret_cast<std::uintptr_t>(at)) == 8192);
      CHECK(r->value().address == reinterpret_cast<std::uintptr_t>(at));
      CHECK(r->value().length_bytes == 5000);
    }
    CHECK(f.s->mapped.empty());
    CHECK(!mapped(at));
  }

  TEST_CASE("value: parts, and nothing beyond the end") {
    fixture f;
    host::result<registration> r = registration::allocate(f.a, 5000, {}, soon());
    REQUIRE(r);
    const auto base = reinterpret_cast<std::uintptr_t>(r->data());
    CHECK(r->value(0, 5000)->address == base);
    CHECK(r->value(4999, 1)->address == base + 4999);
    CHECK(r->value(5000, 0)->length_bytes == 0);
    const status bad = client_status::bad_argument;
    CHECK(r->value(5000, 1).error() == bad);
    CHECK(r->value(4999, 2).error() == bad);
    CHECK(r->value(5001, 0).error() == bad);
    CHECK(r->value(1, ~std::size_t{0}).error() == bad);
    CHECK(r->value(~std::size_t{0}, 1).error() == bad);
    CHECK(r->stage_in(4999, 2) == bad);
    CHECK(r->stage_out(1, ~std::size_t{0}) == bad);
    CHECK(r->controller_side(5001) == nullptr);
  }

  TEST_CASE("caller_memory: with a descriptor -> zero copy, in place") {
    fixture f;
    memfd_arena arena;
    host::result<registration> r = registration::caller_memory(f.a, arena.at + 4096, 10000, arena.fd, 4096, {}, soon());
    REQUIRE(r);
    CHECK(r->kind() == registration::zero_copy);
    CHECK(r->value(16, 100)->address == reinterpret_cast<std::uintptr_t>(arena.at) + 4096 + 16);
    CHECK(f.s->mapped.at(reinterpret_cast<std::uintptr_t>(arena.at) + 4096) == 12288);
    CHECK(r->stage_in(0, 10000).ok());
    CHECK(r->stage_out(0, 10000).ok());
    CHECK(f.a->count().staged_in == 0);
    CHECK(f.a->count().staged_out == 0);
    CHECK(r->release(soon()).ok());
    CHECK(f.s->mapped.empty());
    CHECK(r->data() == nullptr);
    CHECK(r->value(0, 0).error() == status(client_status::bad_argument));
    CHECK(mapped(arena.at));
  }

  TEST_CASE("caller_memory: a descriptor that does not hold the memory -> bad_argument") {
    fixture f;
    memfd_arena arena;
    const status bad = client_status::bad_argument;
    const auto attempt = [&](std::byte* at, std::size_t n, std::uint64_t offset) {
      return registration::caller_memory(f.a, at, n, arena.fd, offset, {}, soon()).error();
    };
    CHECK(attempt(arena.at + 1, 100, 0) == bad);
    CHECK(attempt(arena.at, 100, 1) == bad);
    CHECK(attempt(arena.at, arena.size + 1, 0) == bad);
    CHECK(attempt(arena.at, arena.size, 4096) == bad);
    CHECK(attempt(arena.at, 1, std::uint64_t{1} << 40) == bad);
    CHECK(attempt(nullptr, 1, 0) == bad);
    CHECK(attempt(arena.at, 0, 0) == bad);
    CHECK(attempt(arena.at, arena.size, 0).ok());
    CHECK(registration::caller_memory(f.a, arena.at, 4096, 9999, 0, {}, soon()).error() ==
          status(client_status::system_error));
    CHECK(f.s->mapped.empty());
  }

  TEST_CASE("caller_memory: without one -> staged: a copy, both ways, counted") {
    fixture f;
    std::vector<std::byte> mine(10000, std::byte{3});
    host::result<registration> r = registration::caller_memory(f.a, mine.data() + 1, 9999, -1, 0, {}, soon());
    REQUIRE(r);
    CHECK(r->kind() == registration::staged);
    CHECK(r->data() == mine.data() + 1);
    CHECK(r->controller_side(0) != mine.data() + 1);
    CHECK(r->value(7, 100)->address == reinterpret_cast<std::uintptr_t>(r->controller_side(7)));
    CHECK(f.s->mapped.size() == 1);
    CHECK(f.s->mapped.begin()->first == reinterpret_cast<std::uintptr_t>(r->controller_side(0)));

    CHECK(r->stage_in(10, 100).ok());
    CHECK(r->controller_side(10)[0] == std::byte{3});
    CHECK(r->controller_side(109)[0] == std::byte{3});
    CHECK(r->controller_side(9)[0] == std::byte{0});
    CHECK(r->controller_side(110)[0] == std::byte{0});
    CHECK(f.a->count().staged_in == 100);

    std::memset(r->controller_side(20), 8, 50);
    CHECK(r->stage_out(20, 50).ok());
    CHECK(mine[1 + 19] == std::byte{3});
    CHECK(mine[1 + 20] == std::byte{8});
    CHECK(mine[1 + 69] == std::byte{8});
    CHECK(mine[1 + 70] == std::byte{3});
    CHECK(f.a->count().staged_out == 50);
  }

  TEST_CASE("caller_memory: staging not allowed -> staged_refused; a target in the process -> zero copy") {
    fixture f;
    std::vector<std::byte> mine(100);
    memory_options strict;
    strict.allow_staging = false;
    CHECK(registration::caller_memory(f.a, mine.data(), 100, -1, 0, strict, soon()).error() ==
          status(client_status::staged_refused));
    CHECK(f.s->mapped.empty());
    f.s->by_fd = false;
    const host::result<registration> r = registration::caller_memory(f.a, mine.data(), 100, -1, 0, strict, soon());
    REQUIRE(r);
    CHECK(r->kind() == registration::zero_copy);
    CHECK(r->value().address == reinterpret_cast<std::uintptr_t>(mine.data()));
  }

  TEST_CASE("caller_memory: a range that touches one that is registered -> bad_argument") {
    fixture f;
    memfd_arena arena;
    const auto attempt = [&](std::size_t at, std::size_t n) {
      return registration::caller_memory(f.a, arena.at + at, n, arena.fd, at, {}, soon());
    };
    host::result<registration> whole = attempt(4096, 8192);
    REQUIRE(whole);
    const status bad = client_status::bad_argument;
    CHECK(attempt(4096, 8192).error() == bad);
    CHECK(attempt(0, 4097).error() == bad);
    CHECK(attempt(8192, 4096).error() == bad);
    CHECK(attempt(0, arena.size).error() == bad);
    CHECK(attempt(0, 4096).error().ok());
    CHECK(attempt(12288, 4096).error().ok());
    CHECK(whole->release(soon()).ok());
    CHECK(attempt(4096, 8192).error().ok());
  }

  TEST_CASE("map refused by the target -> its errno, and the memory is free again") {
    fixture f;
    f.s->refuse_map = true;
    const host::result<registration> r = registration::allocate(f.a, 4096, {}, soon());
    CHECK(r.error() == status(client_status::system_error));
    CHECK(r.error().detail() == 22);
    CHECK(f.a->mapped_bytes() == 0);
    CHECK(f.a->count().buried == 0);
    CHECK(f.a->count().abandoned == 0);
  }

  TEST_CASE("a map that nobody answered -> the memory is kept, since the target may have done it") {
    fixture f;
    f.s->lost = true;
    CHECK(registration::allocate(f.a, 4096, {}, soon()).error() == status(client_status::disconnected));
    CHECK(f.a->count().buried == 4096);
    f.s->gone = true;
    CHECK(f.a->look() == queue_liveness::fenced);
    CHECK(f.a->count().buried == 0);
  }

  TEST_CASE("the target does not let go, or is lost and may live -> owned memory stays mapped for ever") {
    fixture f;
    std::byte* at = nullptr;
    SUBCASE("it refuses") { f.s->refuse_unmap = true; }
    SUBCASE("it is lost") {}
    {
      host::result<registration> r = registration::allocate(f.a, 4096, {}, soon());
      REQUIRE(r);
      at = r->data();
      if (!f.s->refuse_unmap) f.s->lost = true;
      CHECK(r->release(soon()) == status(client_status::disconnected));
      CHECK(r->data() == at);
    }
    CHECK(mapped(at));
    CHECK(f.a->count().abandoned == 4096);
    ::munmap(at, 4096);
  }

  TEST_CASE("lost, and the target's process has ended -> given back") {
    fixture f;
    host::result<registration> r = registration::allocate(f.a, 4096, {}, soon());
    REQUIRE(r);
    std::byte* const at = r->data();
    f.s->lost = true;
    CHECK(r->release(soon()) == status(client_status::disconnected));
    f.s->gone = true;
    CHECK(r->release(soon()).ok());
    CHECK(!mapped(at));
    CHECK(f.a->count().abandoned == 0);
    CHECK(f.a->liveness() == queue_liveness::fenced);
  }

  TEST_CASE("the caller's memory of a lost target -> counted as not quiesced") {
    fixture f;
    std::vector<std::byte> mine(100);
    f.s->by_fd = false;
    {
      const host::result<registration> r = registration::caller_memory(f.a, mine.data(), 100, -1, 0, {}, soon());
      REQUIRE(r);
      f.s->lost = true;
    }
    CHECK(f.a->count().unquiesced == 100);
    CHECK(registration::allocate(f.a, 4096, {}, soon()).error() == status(client_status::disconnected));
  }

  TEST_CASE("move: one owner; assignment ends what was there") {
    fixture f;
    host::result<registration> r = registration::allocate(f.a, 4096, {}, soon());
    REQUIRE(r);
    registration second = *std::move(r);
    CHECK(r->data() == nullptr);
    CHECK(f.s->mapped.size() == 1);
    host::result<registration> third = registration::allocate(f.a, 4096, {}, soon());
    REQUIRE(third);
    CHECK(f.s->mapped.size() == 2);
    second = *std::move(third);
    CHECK(f.s->mapped.size() == 1);
    second = registration{};
    CHECK(f.s->mapped.empty());
  }
}
