// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/inproc/registry.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

using namespace nkv;

namespace {
struct nothing final : host::inproc_service {
  host::result<std::unique_ptr<host::memory_transport>> connect(host::deadline) override {
    return status{client_status::busy};
  }
};
}  // namespace

TEST_SUITE("host/inproc/registry") {
  TEST_CASE("add, find, remove: a name leads to one service; empty or taken names and no service are refused") {
    host::inproc_registry r;
    const auto a = std::make_shared<nothing>(), b = std::make_shared<nothing>();
    CHECK(r.add("", a) == status{client_status::bad_argument});
    CHECK(r.add("a", nullptr) == status{client_status::bad_argument});
    CHECK(r.add("b", b).ok());
    CHECK(r.add("a", a).ok());
    CHECK(r.add("a", b) == status{client_status::busy});
    CHECK(r.find("a") == a);
    CHECK(r.find("A") == nullptr);
    CHECK(r.names() == std::vector<std::string>{"a", "b"});
    r.remove("a", b.get());  // not its
    CHECK(r.find("a") == a);
    r.remove("a", a.get());
    r.remove("a", a.get());
    CHECK(r.find("a") == nullptr);
    CHECK(a.use_count() == 1);
  }

  TEST_CASE("process: one for all") { CHECK(&host::inproc_registry::process() == &host::inproc_registry::process()); }
}
