// SPDX-License-Identifier: BSD-3-Clause
//
// Objects of 80 and 126 MiB, the blocks of large models, over embedded targets that take values to 16 and 64 MiB.
#include <system/system.hpp>

#include <nkv/device/host_group.hpp>
#include <nkv/device/shard_team.hpp>

#include <array>
#include <cstring>

using namespace nkv_test;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t page_bytes = 4096;

template <class Byte>
nkv::local_range<Byte> range_of(const nkv::host::registration& memory, std::size_t offset, std::size_t size) {
  return {*memory.value(offset, size), memory.controller_side(offset)};
}

/// Whole objects in memory of their own; the writer's and the reader's memory.
struct sharded_rig {
  sharded_rig(const nkv::host::controller& c, std::size_t object_bytes, std::size_t shard_bytes)
      : object(allocate(c, object_bytes)), work(allocate(c, 2 * page_bytes + shard_bytes)), staged_bytes(shard_bytes) {}

  nkv::sharded_writer_memory writer_memory() {
    nkv::sharded_writer_memory m;
    m.manifest = range_of<std::byte>(work, 0, page_bytes);
    m.head = range_of<std::byte>(work, page_bytes, page_bytes);
    m.staging = range_of<std::byte>(work, 2 * page_bytes, staged_bytes);
    m.slots = writer_slots;
    return m;
  }
  nkv::sharded_reader_memory reader_memory() {
    nkv::sharded_reader_memory m;
    m.manifest = range_of<std::byte>(work, 0, page_bytes);
    m.bounce = range_of<std::byte>(work, 2 * page_bytes, staged_bytes);
    m.slots = reader_slots;
    return m;
  }

  nkv::host::registration object, work;
  std::size_t staged_bytes;
  std::array<nkv::shard_slot, 4> writer_slots{}, reader_slots{};
};

nkv::sharded_put_options numbered(std::uint64_t nonce) {
  nkv::sharded_put_options o;
  o.nonce = nkv::shard_nonce::from_words(nonce, 1);
  return o;
}

/// How many keys the namespace has.
template <class Ns>
std::size_t keys_of(const Ns& ns, const nkv::host::registration& memory) {
  std::size_t n = 0;
  const outcome o =
      ns.for_each_key({}, *memory.value(0, page_bytes), memory.controller_side(0), soon(), [&n](key_view) noexcept {
        ++n;
        return true;
      });
  CHECK(o.status == status());
  return n;
}

}  // namespace

TEST_SUITE("system/sharded") {
  TEST_CASE("80 and 126 MiB in values of at most 16 or 64 MiB: read whole and in part, replaced, removed") {
    over_both([](served::kind_type kind) {
      served target(kind, "bounded");
      const nkv::host::controller c = target.connect();
      sharded_rig r(c, 126 * mib, 64 * mib);
      std::byte* const bytes = r.object.controller_side(0);
      for (const std::uint32_t nsid : {1u, 2u}) {
        CAPTURE(nsid);
        const std::size_t shard_bytes = (nsid == 1 ? 16 : 64) * mib;
        const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, nsid, 16);
        nkv::sharded_writer writer(ns.ref(), r.writer_memory());
        nkv::sharded_reader reader(ns.ref(), r.reader_memory());
        CHECK(writer.usual_shard_bytes() == (nsid == 1 ? 16 : 32) * mib);

        // Twice the same key: the second replaces the first.
        std::uint64_t nonce = 1;
        std::uint32_t before = 0;
        for (const std::size_t size : {80 * mib, 126 * mib}) {
          CAPTURE(size);
          fill_pattern(bytes, size, nonce);
          const auto too_long = ns.ref().store(bytes_of("block"), *r.object.value(0, size), soon());
          CHECK(too_long.status == status(client::value_too_large));
          // In one range, and in ranges that cut across the shards.
          const std::size_t cut = size == 80 * mib ? size : 40 * mib + 12;
          const nkv::local_range<const std::byte> sources[] = {range_of<const std::byte>(r.object, 0, cut),
                                                               range_of<const std::byte>(r.object, cut, size - cut)};
          nkv::sharded_put_options how = numbered(nonce);
          if (nsid == 2) how.shard_bytes = shard_bytes;
          const nkv::sharded_outcome put = writer.put(bytes_of("block"), sources, how, soon());
          REQUIRE(put.status == status());
          CHECK(put.written.shards == (size + shard_bytes - 1) / shard_bytes);
          CHECK(put.previous.shards == before);
          CHECK(put.previous_left == 0);
          CHECK(keys_of(ns.ref(), r.work) == put.written.shards + 1);
          before = put.written.shards;

          REQUIRE(reader.open(bytes_of("block"), soon()) == status());
          CHECK(reader.length_bytes() == size);
          CHECK(reader.manifest().layout().shard_bytes() == shard_bytes);
          std::memset(bytes, 0x77, size);
          const nkv::local_range<std::byte> all[] = {range_of<std::byte>(r.object, 0, size)};
          REQUIRE(reader.read(0, all, soon()) == status());
          CHECK(pattern_difference(bytes, size, nonce) == size);

          // A part from the middle of a shard to the middle of the next, scattered: what is around it stays.
          const std::size_t from = 63 * mib + 5;
          const std::size_t first = 3 * mib - 1;
          const std::size_t second = 70'001;
          std::vector<std::byte> expected(first + second);
          std::memcpy(expected.data(), bytes + from, expected.size());
          std::memset(bytes, 0x77, 12 * mib);
          const nkv::local_range<std::byte> scattered[] = {range_of<std::byte>(r.object, 8 * mib, first),
                                                           range_of<std::byte>(r.object, 1 * mib, second)};
          REQUIRE(reader.read(from, scattered, soon()) == status());
          CHECK(std::memcmp(bytes + 8 * mib, expected.data(), first) == 0);
          CHECK(std::memcmp(bytes + 1 * mib, expected.data() + first, second) == 0);
          CHECK(fill_difference(bytes, 1 * mib, std::byte{0x77}) == 1 * mib);
          CHECK(fill_difference(bytes + 8 * mib + first, mib, std::byte{0x77}) == mib);
          ++nonce;
        }
        const nkv::sharded_outcome removed = writer.remove(bytes_of("block"), soon());
        CHECK(removed.status == status());
        CHECK(removed.previous_left == 0);
        CHECK(keys_of(ns.ref(), r.work) == 0);
        CHECK(reader.open(bytes_of("block"), soon()).is_key_does_not_exist());
        CHECK(writer.quiesced());
        CHECK(reader.quiesced());
      }
    });
  }

  TEST_CASE("80 and 126 MiB by lanes together, as a kernel's warp does it: shards in values of 16 MiB") {
    served target(served::vfio_user, "bounded");
    const nkv::host::controller c = target.connect();
    sharded_rig r(c, 126 * mib, 16 * mib);
    std::byte* const bytes = r.object.controller_side(0);
    // The leader's alone.
    const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
    constexpr std::uint32_t lanes = 4;
    complaints wrong;
    for (const std::size_t size : {80 * mib, 126 * mib}) {
      CAPTURE(size);
      const std::uint64_t nonce = size / mib;
      fill_pattern(bytes, size, nonce);
      const nkv::local_range<const std::byte> source[] = {range_of<const std::byte>(r.object, 0, size)};
      const nkv::local_range<std::byte> all[] = {range_of<std::byte>(r.object, 0, size)};
      nkv::device::host_lanes together(lanes);
      std::vector<std::thread> threads;
      for (std::uint32_t rank = 0; rank < lanes; ++rank) {
        threads.emplace_back([&, rank] {
          const nkv::device::host_group group(together, rank);
          const nkv::device::shard_team team(group);
          std::array<nkv::shard_slot, 4> slots{};
          nkv::sharded_writer_memory writer_memory = r.writer_memory();
          writer_memory.slots = slots;
          nkv::sharded_writer writer(ns.ref(), writer_memory, team);
          const nkv::sharded_outcome put = writer.put(bytes_of("block"), source, numbered(nonce), soon());
          wrong.expect(put.ok() && put.written.shards == (size + 16 * mib - 1) / (16 * mib), "put", put.status);
          nkv::sharded_reader_memory reader_memory = r.reader_memory();
          reader_memory.slots = slots;
          nkv::sharded_reader reader(ns.ref(), reader_memory, team);
          const status opened = reader.open(bytes_of("block"), soon());
          wrong.expect(opened.ok() && reader.length_bytes() == size, "open", opened);
          group.sync();
          if (rank == 1) std::memset(bytes, 0x77, size);
          group.sync();
          const status read = reader.read(0, all, soon());
          wrong.expect(read.ok(), "read", read);
        });
      }
      for (std::thread& t : threads) t.join();
      CHECK(pattern_difference(bytes, size, nonce) == size);
    }
    wrong.check();
    CHECK(ns.ref().queue().outstanding() == 0);
  }

  TEST_CASE("a writer that stops anywhere: the old object or the new, whole, and what it left can be swept") {
    over_both([](served::kind_type kind) {
      served target(kind, "plain");
      const nkv::host::controller c = target.connect();
      constexpr std::size_t shard = 64 * 1024;
      constexpr std::size_t size = 9 * shard + 100;
      sharded_rig r(c, 2 * size, shard);
      std::byte* const bytes = r.object.controller_side(0);
      const nkv::local_range<const std::byte> source[] = {range_of<const std::byte>(r.object, 0, size)};
      const nkv::local_range<std::byte> back[] = {range_of<std::byte>(r.object, size, size)};
      const opened<nkv::exclusive> readers = open<nkv::exclusive>(c, 1, 16);
      std::uint64_t visible = 0;
      bool ended = false;
      unsigned replaced = 0;
      for (std::uint64_t nonce = 1, polls = 1; !ended; ++nonce, polls += 1 + polls / 4) {
        CAPTURE(nonce);
        const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, 1, 16);
        nkv::sharded_writer writer(ns.ref(), r.writer_memory());
        nkv::sharded_put_options how = numbered(nonce);
        how.shard_bytes = shard;
        fill_pattern(bytes, size, nonce);
        REQUIRE(writer.begin_put(bytes_of("o"), source, how).ok());
        for (std::uint64_t i = 0; i < polls && !ended; ++i) ended = writer.poll();
        writer.cancel();
        const nkv::sharded_outcome put = writer.ended_as();
        REQUIRE(becomes([&writer] { return writer.quiesced(); }));

        nkv::sharded_reader reader(readers.ref(), r.reader_memory());
        const status s = reader.open(bytes_of("o"), soon());
        const bool is_new = s.ok() && reader.manifest().nonce() == how.nonce;
        if (put.ok()) CHECK(is_new);
        if (is_new) {
          CHECK((put.ok() || put.status == status(client::outcome_unknown)));
          ++replaced;
        } else if (visible == 0) {
          CHECK(s.is_key_does_not_exist());
        }
        if (is_new) visible = nonce;
        if (visible != 0) {
          REQUIRE(s.ok());
          REQUIRE(reader.read(0, back, soon()) == status());
          CHECK(pattern_difference(bytes + size, size, visible) == size);
        }
        if (put.orphans != 0) {
          const status swept = writer.sweep(bytes_of("o"), put.written, soon()).status;
          CHECK(swept == (is_new ? status(client::busy) : status()));
        }
        if (put.previous_left != 0 && is_new) CHECK(writer.sweep(bytes_of("o"), put.previous, soon()).ok());
        CHECK(keys_of(readers.ref(), r.work) == (visible != 0 ? 1 + 10 : 0));
      }
      CHECK(replaced > 0);
    });
  }
}
