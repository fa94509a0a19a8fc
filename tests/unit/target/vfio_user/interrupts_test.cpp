// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/target/vfio_user/interrupts.hpp>

#include <doctest/doctest.h>
#include <sys/eventfd.h>

#include <array>
#include <initializer_list>

using nkv::host::unique_fd;
using nkv::target::vfio_user::interrupts;
namespace wire = nkv::host::vfio_user;

namespace {

constexpr std::uint32_t set_eventfds = wire::irq_set::data_eventfd | wire::irq_set::action_trigger;

struct fixture {
  interrupts lines{4};
  std::array<unique_fd, 4> events;

  fixture() {
    for (unique_fd& e : events) e.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  int set(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
          std::initializer_list<int> with = {}, nkv::byte_span data = {}) {
    wire::irq_set request;
    request.flags = flags;
    request.index = index;
    request.start = start;
    request.count = count;
    wire::received_fds fds;
    for (const int fd : with) REQUIRE(fds.add(unique_fd(::dup(fd))));
    return lines.set(request, data, fds);
  }
  std::uint64_t count(std::size_t i) {
    std::uint64_t n = 0;
    return ::read(events[i].get(), &n, sizeof(n)) == sizeof(n) ? n : 0;
  }
};

}  // namespace

TEST_SUITE("target/vfio_user/interrupts") {
  TEST_CASE("count: one INTx, the MSI-X vectors, no MSI") {
    const interrupts i(65);
    CHECK(i.count(0) == 1);
    CHECK(i.count(1) == 0);
    CHECK(i.count(2) == 65);
    CHECK(i.count(3) == 1);
    CHECK(i.count(4) == 1);
    CHECK(i.count(5) == 0);
    CHECK(i.count(0xffffffff) == 0);
  }

  TEST_CASE("raise: the vector's eventfd and no other; taken away, nothing") {
    fixture f;
    REQUIRE(f.set(set_eventfds, 2, 1, 2, {f.events[1].get(), f.events[2].get()}) == 0);
    f.lines.raise(1);
    f.lines.raise(1);
    f.lines.raise(3);
    f.lines.raise(99);
    CHECK(f.count(1) == 2);
    CHECK(f.count(2) == 0);
    CHECK(f.set(set_eventfds, 2, 1, 1) == 0);
    f.lines.raise(1);
    f.lines.raise(2);
    CHECK(f.count(1) == 0);
    CHECK(f.count(2) == 1);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_trigger, 2, 0, 0) == 0);
    f.lines.raise(2);
    CHECK(f.count(2) == 0);
  }

  TEST_CASE("raise: INTx for vector 0 where MSI-X is not used; masked, it waits for the unmasking") {
    fixture f;
    REQUIRE(f.set(set_eventfds, 0, 0, 1, {f.events[0].get()}) == 0);
    f.lines.raise(0);
    CHECK(f.count(0) == 1);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_mask, 0, 0, 1) == 0);
    f.lines.raise(0);
    CHECK(f.count(0) == 0);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_unmask, 0, 0, 1) == 0);
    CHECK(f.count(0) == 1);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_unmask, 0, 0, 1) == 0);
    CHECK(f.count(0) == 0);
  }

  TEST_CASE("set: a client triggers its own, all or by booleans") {
    fixture f;
    REQUIRE(f.set(set_eventfds, 2, 0, 2, {f.events[0].get(), f.events[1].get()}) == 0);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_trigger, 2, 0, 2) == 0);
    CHECK(f.count(0) == 1);
    CHECK(f.count(1) == 1);
    const std::byte which[2] = {std::byte{0}, std::byte{1}};
    CHECK(f.set(wire::irq_set::data_bool | wire::irq_set::action_trigger, 2, 0, 2, {}, {which, 2}) == 0);
    CHECK(f.count(0) == 0);
    CHECK(f.count(1) == 1);
    CHECK(f.set(wire::irq_set::data_bool | wire::irq_set::action_trigger, 2, 0, 2, {}, {which, 1}) == EINVAL);
  }

  TEST_CASE("set: what makes no sense -> EINVAL") {
    fixture f;
    const int e = f.events[0].get();
    CHECK(f.set(set_eventfds, 5, 0, 1, {e}) == EINVAL);
    CHECK(f.set(set_eventfds, 1, 0, 1, {e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 4, 1, {e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 3, 2, {e, e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 0xffffffff, 2, {e, e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 1, 0xffffffff, {e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 0, 2, {e}) == EINVAL);
    CHECK(f.set(set_eventfds, 2, 0, 0) == EINVAL);
    CHECK(f.set(0, 2, 0, 1) == EINVAL);
    CHECK(f.set(wire::irq_set::data_none, 2, 0, 1) == EINVAL);
    CHECK(f.set(wire::irq_set::data_none | wire::irq_set::action_mask, 2, 0, 0) == EINVAL);
    CHECK(f.set(set_eventfds | wire::irq_set::data_none, 2, 0, 1, {e}) == EINVAL);
    CHECK(f.set(wire::irq_set::data_eventfd | wire::irq_set::action_mask, 2, 0, 1, {e}) == EINVAL);
    f.lines.raise(0);
    CHECK(f.count(0) == 0);
  }

  TEST_CASE("set: only eventfds, which never block the poller") {
    fixture f;
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    CHECK(f.set(set_eventfds, 2, 0, 1, {ends[1]}) == EINVAL);
    ::close(ends[0]);
    ::close(ends[1]);
    const unique_fd blocking(::eventfd(0, EFD_CLOEXEC));
    REQUIRE(f.set(set_eventfds, 2, 0, 1, {blocking.get()}) == 0);
    CHECK((::fcntl(blocking.get(), F_GETFL) & O_NONBLOCK) != 0);
    // Filled to the brim, and made blocking again: the next one is dropped and nobody waits.
    const std::uint64_t most = 0xfffffffffffffffe;
    REQUIRE(::write(blocking.get(), &most, sizeof(most)) == sizeof(most));
    REQUIRE(::fcntl(blocking.get(), F_SETFL, 0) == 0);
    f.lines.raise(0);
    std::uint64_t n = 0;
    CHECK(::read(blocking.get(), &n, sizeof(n)) == sizeof(n));
    CHECK(n == most);
  }
}
