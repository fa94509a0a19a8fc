// SPDX-License-Identifier: BSD-3-Clause
//
// Objects of 80 and 126 MiB, the blocks of large models, in shards of 32 MiB over the embedded target.
#include <system/system.hpp>

#include <array>
#include <cstring>

using namespace nkv_test;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t shard_bytes = 32 * mib;
constexpr std::size_t page_bytes = 4096;

template <class Byte>
nkv::local_range<Byte> range_of(const nkv::host::registration& memory, std::size_t offset, std::size_t size) {
  return {*memory.value(offset, size), memory.controller_side(offset)};
}

/// Whole objects in memory of their own; the writer's and the reader's memory.
struct rig {
  rig(const nkv::host::controller& c, std::size_t object_bytes)
      : object(allocate(c, object_bytes)), work(allocate(c, 2 * page_bytes + shard_bytes)) {}

  nkv::sharded_writer_memory writer_memory() {
    nkv::sharded_writer_memory m;
    m.manifest = range_of<std::byte>(work, 0, page_bytes);
    m.head = range_of<std::byte>(work, page_bytes, page_bytes);
    m.staging = range_of<std::byte>(work, 2 * page_bytes, shard_bytes);
    m.slots = writer_slots;
    return m;
  }
  nkv::sharded_reader_memory reader_memory() {
    nkv::sharded_reader_memory m;
    m.manifest = range_of<std::byte>(work, 0, page_bytes);
    m.bounce = range_of<std::byte>(work, 2 * page_bytes, shard_bytes);
    m.slots = reader_slots;
    return m;
  }

  nkv::host::registration object, work;
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
  TEST_CASE("80 and 126 MiB: stored in 32 MiB shards, read whole and in part, replaced and removed") {
    served target(served::inproc, "plain");
    const nkv::host::controller c = target.connect();
    rig r(c, 126 * mib);
    std::byte* const bytes = r.object.controller_side(0);
    for (const std::uint32_t nsid : {1u, 2u}) {
      CAPTURE(nsid);
      const opened<nkv::exclusive> ns = open<nkv::exclusive>(c, nsid, 16);
      nkv::sharded_writer writer(ns.ref(), r.writer_memory());
      nkv::sharded_reader reader(ns.ref(), r.reader_memory());
      CHECK(writer.usual_shard_bytes() == shard_bytes);

      // Twice the same key: the second replaces the first.
      std::uint64_t nonce = 1;
      for (const std::size_t size : {80 * mib, 126 * mib}) {
        CAPTURE(size);
        fill_pattern(bytes, size, nonce);
        // In one range, and in ranges that cut across the shards.
        const nkv::local_range<const std::byte> whole[] = {range_of<const std::byte>(r.object, 0, size)};
        const std::size_t cut = 40 * mib + 12;
        const nkv::local_range<const std::byte> parts[] = {range_of<const std::byte>(r.object, 0, cut),
                                                           range_of<const std::byte>(r.object, cut, size - cut)};
        const bool one = size == 80 * mib;
        const nkv::span<const nkv::local_range<const std::byte>> sources =
            one ? nkv::span<const nkv::local_range<const std::byte>>(whole)
                : nkv::span<const nkv::local_range<const std::byte>>(parts);
        const nkv::sharded_outcome put = writer.put(bytes_of("block"), sources, numbered(nonce), soon());
        REQUIRE(put.status == status());
        CHECK(put.written.shards == (size + shard_bytes - 1) / shard_bytes);
        CHECK(put.previous.shards == (one ? 0u : 3u));
        CHECK(put.previous_left == 0);
        CHECK(keys_of(ns.ref(), r.work) == put.written.shards + 1);

        REQUIRE(reader.open(bytes_of("block"), soon()) == status());
        CHECK(reader.length_bytes() == size);
        CHECK(reader.manifest().layout().shard_bytes() == shard_bytes);
        std::memset(bytes, 0x77, size);
        const nkv::local_range<std::byte> all[] = {range_of<std::byte>(r.object, 0, size)};
        REQUIRE(reader.read(0, all, soon()) == status());
        CHECK(pattern_difference(bytes, size, nonce) == size);

        // A part from the middle of a shard to the middle of the next, scattered: what is around it stays.
        const std::size_t from = 31 * mib + 5;
        const std::size_t first = 3 * mib - 1;
        const std::size_t second = 70'001;
        std::vector<std::byte> expected(first + second);
        std::memcpy(expected.data(), bytes + from, expected.size());
        std::memset(bytes, 0x77, size);
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
  }
}
