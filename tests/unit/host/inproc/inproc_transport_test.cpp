// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/inproc/inproc_transport.hpp>

#include <doctest/doctest.h>

#include <memory>

using namespace nkv;

namespace {

/// Remembers what it is asked.
struct recording final : host::memory_transport {
  struct log {
    std::uint32_t offset = 0;
    unsigned width = 0;
    std::uint64_t value = 0;
    const std::byte* mapped = nullptr;
    const std::byte* unmapped = nullptr;
    bool reset = false, destroyed = false;
  };
  log& l;
  std::uint32_t word = 0;
  explicit recording(log& to) : l(to) {}
  ~recording() override { l.destroyed = true; }
  nkv::result<std::uint64_t> read_register(std::uint32_t offset, unsigned width, host::deadline) override {
    l.offset = offset;
    l.width = width;
    return std::uint64_t{42};
  }
  status write_register(std::uint32_t offset, unsigned width, std::uint64_t value, host::deadline) override {
    l.offset = offset;
    l.width = width;
    l.value = value;
    return {};
  }
  status map_dma(const host::dma_memory& m, host::deadline) override {
    l.mapped = m.address;
    return {};
  }
  status unmap_dma(const host::dma_memory& m, host::deadline) override {
    l.unmapped = m.address;
    return client_status::timed_out;
  }
  status reset(host::deadline) override {
    l.reset = true;
    return {};
  }
  host::doorbell_page doorbells() const noexcept override {
    host::doorbell_page p;
    p.base = const_cast<std::uint32_t*>(&word);
    return p;
  }
  bool shares_by_fd() const noexcept override { return true; }
  bool connected() noexcept override { return true; }
  bool peer_gone() noexcept override { return true; }
};

struct service final : host::inproc_service {
  recording::log l;
  bool full = false;
  host::result<std::unique_ptr<host::memory_transport>> connect(host::deadline) override {
    if (full) return status{client_status::busy};
    return std::unique_ptr<host::memory_transport>(new recording(l));
  }
};

}  // namespace

TEST_SUITE("host/inproc/inproc_transport") {
  TEST_CASE("connect: by name; the service's refusal is passed on; every call reaches the controller") {
    const auto until = host::deadline::after_ms(1000);
    CHECK(host::inproc_transport::connect("transport test", until).error() == status{client_status::not_found});
    const auto s = std::make_shared<service>();
    REQUIRE(host::inproc_registry::process().add("transport test", s).ok());
    s->full = true;
    CHECK(host::inproc_transport::connect("transport test", until).error() == status{client_status::busy});
    s->full = false;
    {
      auto made = host::inproc_transport::connect("transport test", until);
      REQUIRE(made.has_value());
      host::inproc_transport& t = **made;
      CHECK(*t.read_register(8, 4, until) == 42);
      CHECK(s->l.offset == 8);
      CHECK(t.write_register(0x28, 8, 7, until).ok());
      CHECK(s->l.width == 8);
      CHECK(s->l.value == 7);
      std::byte b{};
      CHECK(t.map_dma({&b, 1, -1, 0}, until).ok());
      CHECK(s->l.mapped == &b);
      CHECK(t.unmap_dma({&b, 1, -1, 0}, until) == status{client_status::timed_out});
      CHECK(s->l.unmapped == &b);
      CHECK(t.reset(until).ok());
      CHECK(s->l.reset);
      CHECK(t.doorbells().base != nullptr);
      CHECK(!t.shares_by_fd());  // any memory of this process
      CHECK(t.connected());
      CHECK(t.peer_gone());
      CHECK(!s->l.destroyed);
    }
    CHECK(s->l.destroyed);
    host::inproc_registry::process().remove("transport test", s.get());
  }
}
