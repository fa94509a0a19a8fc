// SPDX-License-Identifier: BSD-3-Clause
//
// A target in another process behind a proxy: threads as the lanes of a kernel use the proxy's queue, whose thread
// carries their commands over vfio-user, a few at a time.
#include <system/system.hpp>

#include <nkv/device/collective.hpp>
#include <nkv/device/host_group.hpp>
#include <nkv/device/queue_pair.hpp>
#include <nkv/host/proxy/proxy.hpp>

#include <csignal>
#include <cstring>

using namespace nkv_test;

namespace {

constexpr std::uint32_t lanes = 16;
constexpr std::size_t slice_bytes = 32 * 1024;
constexpr std::size_t half_bytes = slice_bytes / 2;

nkv::device::deadline device_soon() { return nkv::device::deadline::after_ms(60'000); }

/// All six operations of one lane, each with its group; keys and bytes are its own.
template <class Ns>
void round_of(const nkv::device::host_group& group, const Ns& ns, const nkv::host::registration& memory,
              std::uint32_t id, std::uint32_t round, bool long_keys, complaints& wrong) {
  char key[64];
  std::snprintf(key, sizeof key, "p%02u.%u%s", id, round % 3,
                long_keys && round % 2 == 0 ? ".a-key-longer-than-16-bytes" : "");
  // Up to four pages, so that PRP lists or SGL segments in the scratch are used.
  const std::size_t size = 1 + (id * 131 + round * 1777) % (half_bytes - 1);
  const std::uint64_t seed = std::uint64_t{id} * 1'000'000 + round;
  const std::size_t at = id * slice_bytes;
  fill_pattern(memory.data() + at, size, seed);
  const outcome stored = run_each(group, ns, operation::store(bytes_of(key), *memory.value(at, size)), device_soon());
  wrong.expect(stored.ok(), "store", stored.status);

  const outcome found = run_each(
      group, ns, operation::retrieve(bytes_of(key), *memory.value(at + half_bytes, half_bytes)), device_soon());
  wrong.expect(found.ok() && found.length_bytes == size, "retrieve", found.status);
  wrong.expect(pattern_difference(memory.data() + at + half_bytes, size, seed) == size, "another lane's value");
  // A buffer that is too short: the whole length comes back all the same.
  const outcome cut =
      run_each(group, ns, operation::retrieve(bytes_of(key), *memory.value(at + half_bytes, size - 1)), device_soon());
  wrong.expect(cut.status == status(client::value_too_large) && cut.length_bytes == size, "short retrieve", cut.status);

  const outcome there = run_each(group, ns, operation::exist(bytes_of(key)), device_soon());
  wrong.expect(there.ok(), "exist", there.status);

  const nkv::value_ref page_of_keys = *memory.value(at + half_bytes, 4096);
  const outcome listed =
      run_each(group, ns, operation::list(bytes_of(key), page_of_keys, memory.data() + at + half_bytes), device_soon());
  wrong.expect(listed.ok(), "list", listed.status);
  bool first = true;
  nkv::key_walk walk(ns.profile(), bytes_of(key));
  static_cast<void>(walk.take(listed, {memory.data() + at + half_bytes, 4096}, [&](key_view k) {
    if (first) wrong.expect(k == bytes_of(key), "the first key of a list");
    first = false;
    return false;
  }));
  wrong.expect(!first, "a list without a key");

  const operation run = operation::execute(1, bytes_of(key), *memory.value(at + half_bytes, 4096),
                                           memory.data() + at + half_bytes, 8, 64);
  const outcome ran = run_each(group, ns, run, device_soon());
  // The embedded target has no such operation, and says so itself: the proxy refused nothing (see below).
  wrong.expect(ran.status == status(nkv::status_code_type::generic, nkv::generic_status::invalid_opcode), "execute",
               ran.status);

  const bool long_key = std::strlen(key) > 16;
  if (!long_key || ns.profile().quirks.exist_and_delete_carry(std::strlen(key))) {
    const outcome removed = run_each(group, ns, operation::remove(bytes_of(key)), device_soon());
    wrong.expect(removed.ok(), "remove", removed.status);
    const outcome gone = run_each(group, ns, operation::exist(bytes_of(key)), device_soon());
    wrong.expect(gone.status.is_key_does_not_exist(), "exist after remove", gone.status);
  }
}

void behind_a_proxy(std::uint32_t nsid, std::uint32_t entries, std::uint32_t lower_entries, std::uint32_t rounds) {
  served target(served::vfio_user, "plain");
  const nkv::host::controller c = target.connect();
  opened<nkv::exclusive> below = open<nkv::exclusive>(c, nsid, lower_entries);
  const nkv::host::registration memory = allocate(c, lanes * slice_bytes);
  nkv::host::proxy_options options;
  options.entries = entries;
  const nkv::host::proxy_layout layout = nkv::host::proxy_layout_of(below.profile().limits, options);
  const nkv::host::region queue = *nkv::host::region::create(layout.queue_bytes);
  const nkv::host::registration scratch = allocate(c, layout.scratch_bytes);
  auto made = nkv::host::proxy<nkv::shared>::create(std::move(below), {queue.data(), nullptr, &scratch, nullptr},
                                                    {memory.value()}, options);
  REQUIRE_MESSAGE(made, nkv::host::describe(made.error()));
  REQUIRE(made->start() == status());
  const nkv::device::namespace_ref<nkv::shared> ns =
      made->template ref<nkv::device::shared_doorbell, nkv::device::atomics>();

  complaints wrong;
  nkv::device::host_lanes all(lanes);
  std::vector<std::thread> threads;
  for (std::uint32_t id = 0; id < lanes; ++id) {
    threads.emplace_back([&, id] {
      const nkv::device::host_group group(all, id);
      for (std::uint32_t round = 0; round < rounds; ++round) round_of(group, ns, memory, id, round, nsid == 2, wrong);
    });
  }
  for (std::thread& t : threads) t.join();
  wrong.check();
  CHECK(ns.queue().outstanding() == 0);
  CHECK(ns.queue().counters().stray_completions == 0);
  CHECK(made->statistics().refused == 0);
  CHECK(made->statistics().bad_doorbells == 0);
  CHECK(made->statistics().forwarded >= std::uint64_t{lanes} * rounds * 6);
  CHECK(made->stop(soon()) == status());
  CHECK(c.check(soon()) == status());
}

}  // namespace

TEST_SUITE("system/proxy") {
  TEST_CASE("inline keys, 16 lanes, 7 commands at once below -> all six operations") { behind_a_proxy(1, 32, 8, 12); }
  TEST_CASE("keys in heads, depth 2 above -> all six operations") { behind_a_proxy(2, 2, 2, 2); }
  TEST_CASE("keys in heads, room for all -> all six operations") { behind_a_proxy(2, 64, 64, 12); }

  TEST_CASE("the target's process is killed under load -> everything under way ends, and the proxy is dead") {
    served target(served::vfio_user, "gated");
    const nkv::host::controller c = target.connect();
    opened<nkv::exclusive> below = open<nkv::exclusive>(c, 1, 16);
    const nkv::host::registration memory = allocate(c, page);
    const nkv::host::proxy_options options;
    const nkv::host::proxy_layout layout = nkv::host::proxy_layout_of(below.profile().limits, options);
    const nkv::host::region queue = *nkv::host::region::create(layout.queue_bytes);
    const nkv::host::registration scratch = allocate(c, layout.scratch_bytes);
    auto made = nkv::host::proxy<nkv::shared>::create(std::move(below), {queue.data(), nullptr, &scratch, nullptr},
                                                      {memory.value()}, options);
    REQUIRE(made);
    REQUIRE(made->start() == status());
    const auto ns = made->ref();
    std::vector<nkv::kv_ticket> tickets;
    for (int i = 0; i < 20; ++i)
      tickets.push_back(*ns.submit(i % 2 == 0 ? operation::store(bytes_of("hold"), *memory.value(0, 64))
                                              : operation::exist(bytes_of("hold"))));
    REQUIRE(becomes([&] { return made->statistics().forwarded == 15; }));
    target.process().end(SIGKILL);
    for (std::size_t i = 0; i < tickets.size(); ++i) {
      CHECK(ns.wait(tickets[i], soon()).status == status(i % 2 == 0 ? client::outcome_unknown : client::disconnected));
    }
    CHECK(becomes([&] { return made->liveness() == nkv::queue_liveness::fenced; }));
    for (const nkv::kv_ticket& t : tickets) CHECK(ns.queue().quiesced(t.ticket));
    CHECK(made->stop(soon()) == status(client::disconnected));
  }
}
