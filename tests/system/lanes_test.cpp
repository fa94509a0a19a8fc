// SPDX-License-Identifier: BSD-3-Clause
//
// What a kernel's warps and blocks do, done by threads as their lanes: the device's collective operations against the
// embedded target in another process.
#include <system/system.hpp>

#include <nkv/device/collective.hpp>
#include <nkv/device/host_group.hpp>

using namespace nkv_test;

namespace {

constexpr std::uint32_t lanes = 64;
constexpr std::size_t lane_slice_bytes = 8 * 1024;

nkv::device::deadline device_soon() { return nkv::device::deadline::after_ms(60'000); }

/// A lane's four operations of a round, with keys and bytes of its own.
template <class Group, class Ns>
void round_of(const Group& threads, const Ns& ns, const nkv::host::registration& memory, std::uint32_t id,
              std::uint32_t round, complaints& wrong) {
  char key[16];
  std::snprintf(key, sizeof key, "l%u.%u", id, round % 3);
  const std::size_t size = 1 + (id * 131 + round * 17) % 3000;
  const std::uint64_t seed = std::uint64_t{id} * 1'000'000 + round;
  const std::size_t at = id * lane_slice_bytes;
  fill_pattern(memory.data() + at, size, seed);
  const outcome stored = run_each(threads, ns, operation::store(bytes_of(key), *memory.value(at, size)), device_soon());
  wrong.expect(stored.ok(), "store", stored.status);
  const outcome found = run_each(
      threads, ns, operation::retrieve(bytes_of(key), *memory.value(at + 4096, 4096), {}, seed), device_soon());
  wrong.expect(found.ok() && found.length_bytes == size && found.user_tag == seed, "retrieve", found.status);
  wrong.expect(pattern_difference(memory.data() + at + 4096, size, seed) == size, "another lane's value");
  // Those that take no part wait with the others.
  const bool removes = (id + round) % 4 == 0;
  const outcome removed = run_each(threads, ns, operation::remove(bytes_of(key)), device_soon(), removes);
  wrong.expect(removes ? removed.ok() : removed.status == status(client::would_block), "remove", removed.status);
  const outcome there = run_each(threads, ns, operation::exist(bytes_of(key)), device_soon());
  wrong.expect(removes ? there.status.is_key_does_not_exist() : there.ok(), "exist", there.status);
}

/// @param entries of the queue that all lanes share, whether there is room for all of them or not
void on_lanes(served::kind_type kind, std::uint32_t nsid, std::uint32_t entries, std::uint32_t rounds) {
  served target(kind, "plain");
  const nkv::host::controller c = target.connect();
  const opened<nkv::shared> ns = open<nkv::shared>(c, nsid, entries);
  const nkv::host::registration memory = allocate(c, lanes * lane_slice_bytes);
  complaints wrong;
  nkv::device::host_lanes all(lanes);
  nkv::device::host_lanes even(lanes / 2);
  nkv::device::host_lanes odd(lanes / 2);
  std::vector<std::thread> threads;
  for (std::uint32_t id = 0; id < lanes; ++id) {
    threads.emplace_back([&, id] {
      const nkv::device::host_group together(all, id);
      const nkv::device::host_group side(id % 2 == 0 ? even : odd, id / 2);
      for (std::uint32_t round = 0; round < rounds; ++round) {
        // The two sides of a branch use the queue at the same time, each as a group of its own.
        if (round % 2 == 0)
          round_of(together, ns.ref(), memory, id, round, wrong);
        else
          round_of(side, ns.ref(), memory, id, round, wrong);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  wrong.check();
  const nkv::queue_counters& counters = ns.ref().queue().counters();
  CHECK(ns.ref().queue().outstanding() == 0);
  CHECK(counters.stray_completions == 0);
  CHECK(counters.late_completions == 0);
  CHECK(c.check(soon()) == status());
}

/// What a group asks of many keys at once, of every length that the namespace takes.
void ask_together(std::uint32_t nsid, std::uint32_t entries, std::size_t longest_key_bytes) {
  served target(served::vfio_user, "plain");
  const nkv::host::controller c = target.connect();
  const opened<nkv::shared> ns = open<nkv::shared>(c, nsid, entries);
  constexpr std::size_t keys = 300;
  constexpr std::size_t page_bytes = 16 * 1024;
  const nkv::host::registration memory = allocate(c, keys * 16 + 2 * page_bytes);
  std::vector<std::string> names;
  std::vector<key_view> views;
  for (std::size_t i = 0; i < keys; ++i) {
    names.push_back("k" + std::to_string(i));
    names.back().resize(std::max(names.back().size(), longest_key_bytes - i % longest_key_bytes), '.');
  }
  for (const std::string& n : names) views.push_back(bytes_of(n));
  std::vector<outcome> outcomes(keys);
  std::vector<std::uint64_t> found(5);
  std::vector<nkv::kv_ticket> tickets(keys);
  complaints wrong;
  nkv::device::host_lanes all(lanes);
  std::vector<std::thread> threads;
  for (std::uint32_t id = 0; id < lanes; ++id) {
    threads.emplace_back([&, id] {
      const nkv::device::host_group group(all, id);
      // Values of every length, of every second key.
      const auto store = [&](std::size_t i) noexcept {
        return operation::store(views[2 * i], *memory.value(i * 16, 1 + i % 16), {}, i);
      };
      const nkv::span<outcome> half(outcomes.data(), keys / 2);
      wrong.expect(run_all(group, ns.ref(), store, half, device_soon()) == 0, "stores");
      const auto there = exist_all(group, ns.ref(), nkv::span<const key_view>(views.data(), keys),
                                   nkv::span<std::uint64_t>(found.data(), found.size()), device_soon());
      wrong.expect(there && *there == keys / 2, "exist", there.error());
      for (std::size_t i = 0; i < keys; ++i)
        wrong.expect((found[i / 64] >> i % 64 & 1u) == (i % 2 == 0 ? 1u : 0u), "a bit");

      std::size_t listed = 0;
      const outcome list = for_each_key(group, ns.ref(), {}, *memory.value(keys * 16, page_bytes),
                                        memory.data() + keys * 16, device_soon(), [&listed](key_view) noexcept {
                                          ++listed;
                                          return true;
                                        });
      wrong.expect(list.ok() && listed == keys / 2, "list", list.status);

      // As many tickets as there is room for, and whichever ends first.
      for (std::size_t at = 0; at < keys; at += lanes) {
        const std::size_t i = at + id;
        const bool mine = i < keys;
        const auto t = submit_each(group, ns.ref(), operation::exist(mine ? views[i] : key_view(), i), mine,
                                   nkv::submit_mode::defer);
        if (mine) tickets[i] = t.value_or(nkv::kv_ticket{});
      }
      ring(group, ns.ref());
      const std::uint32_t sent = ns.ref().queue().capacity() < keys ? ns.ref().queue().capacity() : keys;
      for (std::uint32_t n = 0; n <= sent; ++n) {
        const nkv::any_outcome any =
            wait_any(group, ns.ref(), nkv::span<nkv::kv_ticket>(tickets.data(), keys), device_soon());
        if (n == sent) {
          wrong.expect(any.index == keys && any.value.status == status(client::stale_ticket), "all have ended");
          break;
        }
        wrong.expect(any.index < keys && any.value.user_tag == any.index &&
                         (any.index % 2 == 0 ? any.value.ok() : any.value.status.is_key_does_not_exist()),
                     "any", any.value.status);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  wrong.check();
  CHECK(ns.ref().queue().outstanding() == 0);
  CHECK(ns.ref().queue().counters().stray_completions == 0);
}

}  // namespace

TEST_SUITE("system/lanes") {
  TEST_CASE("64 lanes that also diverge, room for all -> 50,000 operations, each its own outcome") {
    on_lanes(served::vfio_user, 1, 128, 200);
  }
  TEST_CASE("64 lanes, keys in heads, room for 31 at once -> 50,000 operations, each its own outcome") {
    on_lanes(served::vfio_user, 2, 32, 200);
  }
  TEST_CASE("64 lanes ask of 300 keys: which exist, what is listed, which ends first") {
    ask_together(1, 512, 16);
    ask_together(2, 64, 255);
  }
  TEST_CASE("64 lanes at depth 2 -> one at a time") { on_lanes(served::vfio_user, 1, 2, 2); }
}
