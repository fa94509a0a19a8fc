// SPDX-License-Identifier: BSD-3-Clause
//
// A target in another process that lies (support/foreign_lies.hpp), and the whole client against it: brought up by
// somebody honest and lied to afterwards, and lied to from its first message on. Every call ends by its deadline in a
// status that fits the lie; what is said of a value is right or is not taken for it; nothing is written beyond where it
// was to go; and with the lie over, a new client works.
#include <support/foreign_lies.hpp>
#include <support/guarded_bytes.hpp>
#include <system/system.hpp>

#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <set>

using namespace nkv_test;
using nkv::status_code_type;
using nkv_test::foreign::lie;
using nkv_test::foreign::lies;
namespace host = nkv::host;

namespace {

// Ways in which a call may end.
constexpr unsigned fine = 1;         // success, or a miss
constexpr unsigned late = 2;         // its deadline, and where nobody knows what became of a Store
constexpr unsigned lost = 4;         // the connection or the controller
constexpr unsigned malformed = 8;    // what came makes no sense
constexpr unsigned too_large = 16;   // more than the buffer
constexpr unsigned refused = 32;     // by the target: a status of NVMe, or an errno
constexpr unsigned other_kind = 64;  // not a target for us: unsupported, no such namespace, of another command set
constexpr unsigned anything = 127;

unsigned kind_of(status s) {
  if (s.ok() || s.is_key_does_not_exist()) return fine;
  if (!s.is_client() || s == status(client::system_error)) return refused;
  if (s == status(client::timed_out) || s == status(client::queue_full) || s == status(client::busy)) return late;
  if (s == status(client::outcome_unknown)) return late | lost;
  if (s == status(client::disconnected) || s == status(client::controller_fatal)) return lost;
  if (s == status(client::protocol_error) || s == status(client::truncated)) return malformed;
  if (s == status(client::value_too_large)) return too_large;
  if (s == status(client::unsupported) || s == status(client::not_found) || s == status(client::encoding_unknown) ||
      s == status(client::wrong_command_set))
    return other_kind;
  return 0;
}

/// A lie, and what it may come to.
struct told {
  lie which;
  std::uint32_t one_in;
  unsigned bringing_up;   ///< connect() and open_namespace() under it
  unsigned operations;    ///< of a client that was brought up before
  std::uint64_t call_ms;  ///< the deadline of a call
  bool reset_heals;       ///< a reset of the controller is enough once it is over
};

constexpr std::uint64_t ample = 20'000;
constexpr std::uint64_t brief = 40;

constexpr told all[] = {
    {lie::cid_never_sent, 2, fine, fine, ample, true},
    {lie::completed_twice, 2, fine, fine, ample, true},
    {lie::wrong_sqid, 2, fine, fine, ample, true},
    {lie::wrong_phase, 2, fine, fine, ample, true},
    {lie::sq_head_beyond, 1, fine, fine, ample, true},
    {lie::length_beyond, 2, fine | too_large, fine | too_large, ample, true},
    {lie::any_status, 3, fine | refused | too_large | malformed | other_kind, fine | refused | too_large, ample, true},
    {lie::late, 6, fine | late | other_kind | lost, fine | late, brief, true},
    {lie::never, 6, fine | late | other_kind | lost, fine | late, brief, true},
    {lie::phase_stuck, 20, fine | late | other_kind | lost, fine | late, brief, true},
    {lie::ring_flooded, 10, fine | late | other_kind | lost, fine | late, brief, true},
    {lie::fatal, 8, fine | late | lost | other_kind, fine | late | lost, brief, true},
    {lie::list_noise, 2, fine, fine | malformed | late, 200, true},
    {lie::identify_noise, 2, anything, fine, 1000, true},
    {lie::registers_noise, 2, anything, fine | late | lost | malformed, brief, false},
    {lie::closes_in_message, 4, fine | lost | malformed, fine | lost | late, brief, false},
    {lie::stops_in_message, 4, fine | lost | late | malformed, fine | lost | late, brief, false},
    {lie::wrong_message_id, 1, malformed, fine | lost | malformed | late, brief, false},
    {lie::out_of_order, 1, malformed, fine | lost | malformed | late, brief, false},
    {lie::reply_too_long, 1, malformed, fine | lost | malformed | late, brief, false},
    {lie::reply_too_short, 1, malformed, fine | lost | malformed | late, brief, false},
    {lie::too_many_fds, 1, malformed, fine | lost | malformed | late, brief, false},
    {lie::map_fails, 1, refused, fine | refused, ample, true},
    {lie::unmap_fails, 1, fine, fine, ample, true},
    {lie::no_fd, 1, fine, fine, ample, true},
    {lie::foreign_fd, 1, other_kind, fine, ample, true},
    {lie::short_fd, 1, malformed, fine, ample, true},
    {lie::unsealed_fd, 1, other_kind, fine, ample, true},
    {lie::bar_shrinks, 1, fine, fine, ample, true},
};

/// A call that is over by its deadline is over soon after it, on a busy machine and under a sanitizer too.
constexpr std::uint64_t slack_ms = 5000;

/// What clients of one lie came to. Any thread.
class verdict {
 public:
  explicit verdict(const told& t) : told_(t) {}

  /// Runs `call(deadline)`, which returns a status. @return how it ended
  template <class Call>
  unsigned operator()(const char* what, unsigned allowed, std::uint64_t ms, Call&& call) {
    const std::uint64_t begin = host::steady_clock::now_ns();
    const status s = call(in_ms(ms));
    const std::uint64_t took_ms = (host::steady_clock::now_ns() - begin) / 1'000'000;
    ++calls_;
    if (took_ms > ms + slack_ms) wrong_.add(std::string(what) + ": took " + std::to_string(took_ms) + " ms");
    if (s.sct() == static_cast<status_code_type>(lies::false_type) && s.sc() == lies::false_code)
      wrong_.add(std::string(what) + ": took a completion for its own that was not");
    wrong_.expect((kind_of(s) & allowed) != 0, what, s);
    return kind_of(s);
  }
  template <class Call>
  unsigned operation(const char* what, Call&& call) {
    return (*this)(what, told_.operations, told_.call_ms, [&](host::deadline until) { return call(until); });
  }
  void expect(bool good, const char* what, status s = {}) { wrong_.expect(good, what, s); }
  [[nodiscard]] bool any() const { return wrong_.any(); }
  [[nodiscard]] const told& lie_told() const { return told_; }
  void check() const {
    CHECK(calls_ > 0);
    wrong_.check();
  }

 private:
  const told told_;
  complaints wrong_;
  std::atomic<unsigned> calls_{0};
};

/// Memory of the caller's, shared with the target, between two pages that nobody may touch.
class fenced_memory {
 public:
  explicit fenced_memory(std::size_t bytes)
      : bytes_(bytes), fd_(::memfd_create("fenced", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    REQUIRE(::ftruncate(fd_.get(), static_cast<off_t>(bytes)) == 0);
    REQUIRE(::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
    void* const at = ::mmap(nullptr, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    base_ = static_cast<std::byte*>(at);
    REQUIRE(::mmap(base_ + page, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_.get(), 0) == base_ + page);
  }
  fenced_memory(const fenced_memory&) = delete;
  fenced_memory& operator=(const fenced_memory&) = delete;
  ~fenced_memory() { ::munmap(base_, bytes_ + 2 * page); }

  [[nodiscard]] std::byte* data() const { return base_ + page; }
  [[nodiscard]] std::size_t size() const { return bytes_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  static constexpr std::size_t page = 4096;
  std::size_t bytes_;
  host::unique_fd fd_;
  std::byte* base_ = nullptr;
};

constexpr std::size_t slot_bytes = 4096;
constexpr std::size_t slots = 32;
constexpr unsigned threads = 2;
constexpr unsigned rounds = 4;
constexpr std::byte fence{0xa5};

using shared_ref = kv<nkv::shared>;

/// One thread's work over registered memory, in which each use has a slot of its own that ends the memory or is
/// followed by bytes that stay as they are.
class worker {
 public:
  worker(verdict& v, const shared_ref& ns, const host::registration& memory, unsigned number)
      : verdict_(v), ns_(ns), memory_(memory), number_(number), next_(number * slots) {
    std::memset(memory_.data() + number * slots * slot_bytes, static_cast<int>(fence), slots * slot_bytes);
  }

  void work() {
    for (unsigned round = 0; round < rounds && !verdict_.any(); ++round) {
      const std::string key = "t" + std::to_string(number_) + "r" + std::to_string(round);
      const std::uint64_t seed = number_ * 100 + round;
      const std::size_t size = 1 + (seed * 613) % 4000;
      if (!store_and_retrieve(key, size, seed) || !ask(key) || !list() || !many(key, seed)) return;
      const unsigned removed =
          verdict_.operation("remove", [&](host::deadline until) { return ns_.remove(bytes_of(key), until).status; });
      if (removed == lost) return;
    }
  }
  /// That nothing was written where nothing was to go.
  void check_fences() {
    for (const auto& [slot, used] : used_) {
      const std::byte* const from = memory_.data() + slot * slot_bytes;
      verdict_.expect(fill_difference(from, slot_bytes - used, fence) == slot_bytes - used, "bytes before a value");
    }
  }

 private:
  /// Room for `size` bytes at the end of a slot that no command had, null where there is none left.
  std::byte* room(std::size_t size, std::size_t& offset) {
    if (next_ == (number_ + 1) * slots) return nullptr;
    offset = (next_ + 1) * slot_bytes - size;
    used_.emplace_back(next_++, size);
    return memory_.data() + offset;
  }

  bool store_and_retrieve(const std::string& key, std::size_t size, std::uint64_t seed) {
    std::size_t offset = 0;
    std::byte* at = room(size, offset);
    if (at == nullptr) return false;
    fill_pattern(at, size, seed);
    const unsigned stored = verdict_.operation("store", [&](host::deadline until) {
      return ns_.store(bytes_of(key), *memory_.value(offset, size), until).status;
    });
    if (stored == lost) return false;
    at = room(size, offset);
    if (at == nullptr) return false;
    outcome o;
    verdict_.operation("retrieve", [&](host::deadline until) {
      o = ns_.retrieve(bytes_of(key), *memory_.value(offset, size), until);
      return o.status;
    });
    if (o.ok()) {
      verdict_.expect(!o.length_known || o.length_bytes <= size, "a value of more than there was room for");
      verdict_.expect(o.length_bytes == size && pattern_difference(at, size, seed) == size, "another value");
    }
    if (stored == fine && verdict_.lie_told().operations == fine)
      verdict_.expect(o.ok(), "a value that was stored is there", o.status);
    return kind_of(o.status) != lost;
  }
  bool ask(const std::string& key) {
    const std::string names[] = {key, "none", key, "nobody", key};
    std::array<key_view, 5> keys;
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = bytes_of(names[i]);
    std::uint64_t found = 0;
    const unsigned asked =
        verdict_.operation("exist", [&](host::deadline until) { return ns_.exist(keys, {&found, 1}, until); });
    if (asked == fine && verdict_.lie_told().operations == fine) verdict_.expect(found == 0b10101, "which keys exist");
    return asked != lost;
  }
  bool list() {
    std::size_t offset = 0;
    std::byte* const at = room(slot_bytes, offset);
    if (at == nullptr) return false;
    const unsigned listed = verdict_.operation("list", [&](host::deadline until) {
      return ns_
          .for_each_key({}, *memory_.value(offset, slot_bytes), at, until,
                        [this](key_view k) {
                          verdict_.expect(!k.empty() && k.size() <= 16, "a key has a length");
                          volatile std::byte sink{};
                          for (std::size_t i = 0; i < k.size(); ++i) sink = k[i];
                          static_cast<void>(sink);
                          return true;
                        })
          .status;
    });
    return listed != lost;
  }
  bool many(const std::string& key, std::uint64_t seed) {
    constexpr std::size_t size = 512;
    constexpr std::size_t count = 3;
    std::vector<operation> what;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) names.push_back(key + "-" + std::to_string(i));
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t offset = 0;
      std::byte* const at = room(size, offset);
      if (at == nullptr) return false;
      fill_pattern(at, size, seed + i);
      what.push_back(operation::store(bytes_of(names[i]), *memory_.value(offset, size)));
    }
    std::vector<nkv::batch_entry> entries(count);
    nkv::batch b(ns_, {what.data(), what.size()}, {entries.data(), entries.size()});
    verdict_.expect(b.submit().ok(), "a batch");
    verdict_.operation("batch", [&](host::deadline until) { return b.wait(until); });
    if (!b.ended()) b.cancel();
    for (std::size_t i = 0; i < count; ++i) {
      const status s = b.result_of(i).status;
      verdict_.expect(s == status(client::cancelled) || (kind_of(s) & verdict_.lie_told().operations) != 0, "batched",
                      s);
    }
    return ns_.queue().liveness() == nkv::queue_liveness::open;
  }

  verdict& verdict_;
  const shared_ref ns_;
  const host::registration& memory_;
  const unsigned number_;
  std::size_t next_;
  std::vector<std::pair<std::size_t, std::size_t>> used_;
};

host::connect_options quick_to_leave() {
  host::connect_options how;
  how.controller.teardown_ms = 200;
  return how;
}

/// A server in a process of its own that says what it is told to.
class liar {
 public:
  explicit liar(const std::string& modes = "plain") {
    REQUIRE(lies_.open(folder_.path() + "/lies", true));
    lies_.seed(seed());
    const std::string error = process_.start(NKV_FOREIGN_SERVER, {folder_.path(), "--mode", modes});
    REQUIRE_MESSAGE(error.empty(), error);
  }
  /// NKV_SEED, or 1.
  static std::uint64_t seed() {
    const char* const text = std::getenv("NKV_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  }
  [[nodiscard]] std::string endpoint() const { return "vfio-user:" + folder_.path(); }
  [[nodiscard]] lies& what() { return lies_; }
  [[nodiscard]] target_process& process() { return process_; }

  /// A client that nobody lies to finds everything in order.
  void honest() {
    lies_.tell(lie::none, 1);
    auto c = host::connect(endpoint(), {}, soon());
    REQUIRE_MESSAGE(c, host::describe(c.error()));
    const auto ns = c->open_namespace<nkv::exclusive>(1, {}, soon());
    REQUIRE_MESSAGE(ns, host::describe(ns.error()));
    works(*ns);
  }
  template <class Ns>
  static void works(const Ns& ns) {
    std::vector<std::byte> value(3000);
    fill_pattern(value.data(), value.size(), 7);
    CHECK(ns.store(bytes_of("honest"), {value.data(), value.size()}, soon()).status == status());
    const auto got = ns.retrieve_all(bytes_of("honest"), soon());
    REQUIRE(got);
    CHECK(*got == value);
    unsigned seen = 0;
    const outcome listed = ns.for_each_key(
        {},
        [&seen](key_view k) {
          seen += k == bytes_of("honest") ? 1u : 0u;
          return true;
        },
        soon());
    CHECK(listed.status == status());
    CHECK(seen == 1);
    CHECK(ns.remove(bytes_of("honest"), soon()).status == status());
    CHECK(ns.exist(bytes_of("honest"), soon()).status.is_key_does_not_exist());
  }

 private:
  temporary_folder folder_;
  lies lies_;
  target_process process_;
};

/// The calls over plain memory, the value right in front of a page that nobody may touch.
template <class Ns>
void staged_calls(verdict& v, const Ns& ns, unsigned times) {
  for (unsigned i = 0; i < times && !v.any(); ++i) {
    const std::string key = "staged" + std::to_string(i);
    const std::size_t size = 1 + i * 1711 % 5000;
    std::vector<std::byte> value(size);
    fill_pattern(value.data(), size, i);
    v.operation("staged store",
                [&](host::deadline until) { return ns.store(bytes_of(key), {value.data(), size}, until).status; });
    guarded_bytes room(size);
    outcome o;
    v.operation("staged retrieve", [&](host::deadline until) {
      o = ns.retrieve(bytes_of(key), room.last(size), until);
      return o.status;
    });
    if (o.ok()) v.expect(o.length_bytes <= size, "a value of more than there was room for");
    v.operation("retrieve_all", [&](host::deadline until) {
      const auto whole = ns.retrieve_all(bytes_of(key), until);
      return whole ? status() : whole.error();
    });
    v.operation("staged list",
                [&](host::deadline until) { return ns.for_each_key({}, [](key_view) { return true; }, until).status; });
  }
}

/// Brought up by somebody honest, and lied to from then on.
void lied_to_later(liar& server, const told& t) {
  verdict v(t);
  const fenced_memory memory(threads * slots * slot_bytes);
  server.what().tell(lie::none, 1);
  {
    auto c = host::connect(server.endpoint(), quick_to_leave(), soon());
    REQUIRE_MESSAGE(c, host::describe(c.error()));
    const auto registered = c->register_memory(memory.data(), memory.size(), memory.fd(), 0, {}, soon());
    REQUIRE(registered);
    {
      auto many = c->open_namespace<nkv::shared>(1, {}, soon());
      auto one = c->open_namespace<nkv::exclusive>(1, {}, soon());
      REQUIRE(many);
      REQUIRE(one);
      server.what().tell(t.which, t.one_in);
      std::vector<std::unique_ptr<worker>> workers;
      std::vector<std::thread> running;
      for (unsigned i = 0; i < threads; ++i)
        workers.push_back(std::make_unique<worker>(v, many->ref(), *registered, i));
      for (const auto& w : workers) running.emplace_back([&w] { w->work(); });
      staged_calls(v, *one, 2);
      // What goes by message: registers, memory, admin commands.
      const unsigned by_message = t.operations | t.bringing_up | lost;
      const std::uint64_t message_ms = t.reset_heals ? ample : t.call_ms;
      for (int i = 0; i < 3; ++i) {
        v("check", by_message | late, message_ms, [&](host::deadline until) { return c->check(until); });
        v("allocate", by_message | late, message_ms, [&](host::deadline until) {
          const auto more = c->allocate(8192, {}, until);
          return more ? status() : more.error();
        });
        v("namespaces", by_message | late, t.call_ms, [&](host::deadline until) {
          const auto n = c->namespaces(until);
          return n ? status() : n.error();
        });
      }
      staged_calls(v, *one, 1);
      for (std::thread& r : running) r.join();
      for (const auto& w : workers) w->check_fences();
      server.what().tell(lie::none, 1);
    }
    const status healed = c->reset(in_ms(5000));
    // A message that a busy machine did not answer within a brief deadline is the end of a connection, too.
    const bool cut = t.call_ms < ample && healed == status(client::disconnected);
    if (t.reset_heals && !cut) {
      REQUIRE_MESSAGE(healed.ok(), host::describe(healed));
      const auto again = c->open_namespace<nkv::exclusive>(1, {}, soon());
      REQUIRE_MESSAGE(again, host::describe(again.error()));
      liar::works(*again);
    }
  }
  v.check();
}

/// Lied to from the first message on.
void lied_to_at_once(liar& server, const told& t) {
  verdict v(t);
  server.what().tell(t.which, t.one_in);
  for (int tries = 0; tries < 2; ++tries) {
    const std::uint64_t ms = t.call_ms == ample ? ample : 150;
    std::optional<host::controller> c;
    v("connect", t.bringing_up, ms, [&](host::deadline until) {
      auto made = host::connect(server.endpoint(), quick_to_leave(), until);
      if (!made) return made.error();
      c.emplace(*std::move(made));
      return status();
    });
    if (!c) continue;
    std::optional<opened<nkv::shared>> ns;
    v("open_namespace", t.bringing_up, ms, [&](host::deadline until) {
      auto made = c->open_namespace<nkv::shared>(1, {}, until);
      if (!made) return made.error();
      ns.emplace(*std::move(made));
      return status();
    });
    // What it was told of the target may be anything by now.
    verdict lenient(told{t.which, t.one_in, anything, anything, brief, false});
    if (ns) staged_calls(t.bringing_up == fine ? v : lenient, *ns, 1);
    if (ns && t.bringing_up != fine) lenient.check();
  }
  v.check();
}

/// Runs `body` in a child. @return how it ended, as of waitpid()
template <class Body>
int in_a_child(Body&& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // What a sanitizer or the test framework would make of a signal is none of ours.
    ::signal(SIGBUS, SIG_DFL);
    body();
    ::_exit(0);
  }
  int how = 0;
  REQUIRE(::waitpid(child, &how, 0) == child);
  return how;
}

}  // namespace

TEST_SUITE("hostile/lying_target") {
  TEST_CASE("every lie: a status that fits, by the deadline; nothing beyond its room; and afterwards all is well") {
    liar server;
    std::printf("NKV_SEED=%llu\n", static_cast<unsigned long long>(liar::seed()));
    server.honest();
    std::set<lie> seen;
    for (const told& t : all) {
      const std::string name = foreign::lie_names[static_cast<std::size_t>(t.which)];
      CAPTURE(name);
      CHECK(seen.insert(t.which).second);
      const std::uint64_t ms = ms_of([&] {
        lied_to_later(server, t);
        server.honest();
        lied_to_at_once(server, t);
        server.honest();
      });
      const std::uint64_t times = server.what().told(t.which);
      CHECK(times > 0);
      std::printf("%-18s told %llu times, %llu ms\n", name.c_str(), static_cast<unsigned long long>(times),
                  static_cast<unsigned long long>(ms));
    }
    CHECK(seen.size() + 1 == static_cast<std::size_t>(lie::count));
  }

  TEST_CASE("doorbells that shrink: refused unless asked for; asked for and mapped, the process ends by SIGBUS") {
    liar server("unsealed");
    const host::connect_options plain;
    CHECK(host::connect(server.endpoint(), plain, soon()).error() == status(client::unsupported));
    const auto use_after_the_cut = [&](const host::connect_options& how) {
      auto c = host::connect(server.endpoint(), how, soon());
      if (!c) ::_exit(2);
      const auto ns = c->open_namespace<nkv::exclusive>(1, {}, soon());
      if (!ns) ::_exit(3);
      const std::uint64_t before = server.what().told(lie::bar_shrinks);
      server.what().tell(lie::bar_shrinks, 1);
      static_cast<void>(c->check(soon()).ok());
      if (server.what().told(lie::bar_shrinks) == before) ::_exit(4);
      server.what().tell(lie::none, 1);
      if (!ns->exist(bytes_of("k"), soon()).status.is_key_does_not_exist()) ::_exit(5);
    };
    host::connect_options asked_for;
    asked_for.vfio_user.allow_unsealed = true;
    asked_for.vfio_user.map_doorbells = false;
    // Over the socket nothing is lost with them.
    int how = in_a_child([&] { use_after_the_cut(asked_for); });
    CHECK(WIFEXITED(how));
    CHECK(WEXITSTATUS(how) == 0);

    // The memory of this one's doorbells is gone; another has them again.
    liar other("unsealed");
    asked_for.vfio_user.map_doorbells = true;
    how = in_a_child([&] {
      auto c = host::connect(other.endpoint(), asked_for, soon());
      if (!c || !c->doorbells_mapped()) ::_exit(2);
      const auto ns = c->open_namespace<nkv::exclusive>(1, {}, soon());
      if (!ns) ::_exit(3);
      other.what().tell(lie::bar_shrinks, 1);
      static_cast<void>(c->check(soon()).ok());
      other.what().tell(lie::none, 1);
      static_cast<void>(ns->exist(bytes_of("k"), in_ms(100)).ok());
      ::_exit(6);
    });
    CHECK(WIFSIGNALED(how));
    CHECK(WTERMSIG(how) == SIGBUS);
  }
}
