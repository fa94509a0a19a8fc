// SPDX-License-Identifier: BSD-3-Clause
//
// Clients that are processes of their own, stopped and killed with live queues; and a child that inherits its parent's.
#include <hostile/steady_client.hpp>
#include <support/wipes_on_fork.hpp>

#include <sys/wait.h>

using namespace nkv_test;

namespace {

/// A client in a child of this process: Retrieves under way that the target holds back, and operations without end. It
/// ends with this object. To be made before this process has threads.
class client_process {
 public:
  explicit client_process(const served& target) {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() == parent) work(target, ends[1]);
      ::_exit(1);
    }
    ::close(ends[1]);
    reports_ = ends[0];
  }
  client_process(const client_process&) = delete;
  client_process& operator=(const client_process&) = delete;
  ~client_process() { end(); }

  /// Whether it does something, from now on.
  [[nodiscard]] bool goes_on() const {
    char sink[65536];
    ::fcntl(reports_, F_SETFL, O_NONBLOCK);
    while (::read(reports_, sink, sizeof sink) > 0) {
    }
    pollfd wanted{reports_, POLLIN, 0};
    return ::poll(&wanted, 1, 60'000) == 1 && (wanted.revents & POLLIN) != 0;
  }
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    ::waitpid(pid_, &status, WUNTRACED);
  }
  void go_on() const { ::kill(pid_, SIGCONT); }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    ::close(reports_);
  }

 private:
  static void work(const served& target, int reports) {
    const auto c = nkv::host::connect(target.endpoint(), {}, soon());
    if (!c) return;
    const auto memory = c->allocate(16 * 4096, {}, soon());
    const auto ns = c->open_namespace<nkv::exclusive>(2, {}, soon());
    if (!memory || !ns) return;
    for (std::size_t i = 0; i < 4; ++i)
      if (!ns->ref().submit(operation::retrieve(bytes_of("hold a"), *memory->value((1 + i) * 4096, 4096)))) return;
    const std::string key = "child" + std::to_string(::getpid());
    for (std::uint64_t round = 0;; ++round) {
      if (!put(ns->ref(), key, *memory, 0, 1000, round).ok()) return;
      if (!holds(ns->ref(), key, *memory, 8 * 4096, 1000, round)) return;
      if (::write(reports, "", 1) != 1) return;
    }
  }

  pid_t pid_ = -1;
  int reports_ = -1;
};

}  // namespace

TEST_SUITE("hostile/client_process") {
  TEST_CASE("stopped: with live queues, and let go on -> another client loses nothing, and neither does it") {
    served target(served::vfio_user);
    client_process other(target);
    steady_client steady(target);
    REQUIRE(other.goes_on());
    REQUIRE(steady.goes_on());
    for (int i = 0; i < 3; ++i) {
      other.stop();
      CHECK(steady.goes_on(200));
      other.go_on();
      CHECK(other.goes_on());
    }
    steady.finish();
  }

  TEST_CASE("killed: with live queues, under way or stopped -> another client loses nothing") {
    served target(served::vfio_user);
    client_process first(target);
    client_process second(target);
    steady_client steady(target);
    REQUIRE(first.goes_on());
    REQUIRE(second.goes_on());
    first.end();
    CHECK(steady.goes_on(200));
    second.stop();
    second.end();
    CHECK(steady.goes_on(200));
    steady.finish();
    // What they held is let go of: a client as they were is served.
    client_process third(target);
    CHECK(third.goes_on());
  }

  TEST_CASE("forked: a child that uses its parent's queue -> client/forked, and the parent notices nothing") {
    if (!nkv_test::wipes_on_fork()) return;
    served target(served::vfio_user);
    auto c = nkv::host::connect(target.endpoint(), {}, soon());
    REQUIRE(c);
    const nkv::host::registration memory = allocate(*c, 3 * 4096);
    auto exclusive = c->open_namespace<nkv::exclusive>(1, {}, soon());
    auto shared = c->open_namespace<nkv::shared>(1, {}, soon());
    REQUIRE(exclusive);
    REQUIRE(shared);
    REQUIRE(put(exclusive->ref(), "parent", memory, 0, 1000, 1).ok());
    const auto held = exclusive->ref().submit(operation::retrieve(bytes_of("hold a"), *memory.value(8192, 4096)));
    REQUIRE(held);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const status forked = client::forked;
      const std::byte value[4] = {};
      int wrong = 0;
      if (!(exclusive->store(bytes_of("parent"), {value, 4}, soon()).status == forked)) wrong |= 1;
      if (!(shared->exist(bytes_of("parent"), soon()).status == forked)) wrong |= 2;
      if (!(exclusive->ref().submit(operation::remove(bytes_of("parent"))).error() == forked)) wrong |= 4;
      if (!(shared->ref().remove(bytes_of("parent"), soon()).status == forked)) wrong |= 8;
      if (!(exclusive->ref().wait(*held, soon()).status == forked)) wrong |= 16;
      if (!(c->check(soon()) == forked)) wrong |= 32;
      {
        const auto end = *std::move(exclusive);
        const auto too = *std::move(shared);
        const auto all = *std::move(c);
      }
      ::_exit(wrong);
    }
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    CHECK(WIFEXITED(how));
    CHECK(WEXITSTATUS(how) == 0);
    CHECK(holds(exclusive->ref(), "parent", memory, 4096, 1000, 1));
    release(shared->ref());
    CHECK(exclusive->ref().wait(*held, soon()).status.is_key_does_not_exist());
    CHECK(c->check(soon()) == status());
  }
}
