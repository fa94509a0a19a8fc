// SPDX-License-Identifier: BSD-3-Clause
#include <unit/client/sharded_objects.hpp>
#include <unit/device/on_lanes.hpp>

#include <doctest/doctest.h>
#include <nkv/device/shard_team.hpp>

#include <atomic>
#include <string>
#include <vector>

using namespace nkv_test;
using nkv::client_status;
using nkv::key_encoding;
using nkv::status;
using nkv::device::shard_team;

namespace {

/// What the threads of a team have in common, and the objects that each makes of it.
template <class Sharing>
struct team_rig {
  explicit team_rig(const model_namespace<Sharing>& of) : ns(of), manifest(4096), head(256), staging(3 * shard_bytes) {}

  auto writer(const nkv::device::host_group& threads, std::vector<nkv::shard_slot>& slots) {
    nkv::sharded_writer_memory m;
    m.manifest = range_of(manifest.data(), manifest.size());
    m.head = range_of(head.data(), head.size());
    m.staging = range_of(staging.data(), staging.size());
    m.slots = slots;
    return nkv::sharded_writer(ns.ref, m, shard_team(threads));
  }
  auto reader(const nkv::device::host_group& threads, std::vector<nkv::shard_slot>& slots) {
    nkv::sharded_reader_memory m;
    m.manifest = range_of(manifest.data(), manifest.size());
    m.bounce = range_of(staging.data(), staging.size());
    m.slots = slots;
    return nkv::sharded_reader(ns.ref, m, shard_team(threads));
  }

  const model_namespace<Sharing>& ns;
  std::vector<std::byte> manifest, head, staging;
};

nkv::sharded_put_options options(unsigned nonce, std::size_t shard) {
  nkv::sharded_put_options o = writer_rig<nkv::shared>::options(nonce);
  o.shard_bytes = shard;
  return o;
}

}  // namespace

TEST_SUITE("device/shard team") {
  TEST_CASE("the checksum that all work out is one thread's, for every length and number of threads") {
    std::vector<std::byte> bytes = object_bytes(5 * nkv::shard_checksum::block_bytes + 77, 4);
    constexpr std::size_t block = nkv::shard_checksum::block_bytes;
    for (const std::uint32_t count : {1u, 2u, 3u, 8u}) {
      for (const std::size_t size :
           {std::size_t{0}, std::size_t{1}, block - 1, block, block + 1, 3 * block, bytes.size()}) {
        CAPTURE(count);
        CAPTURE(size);
        const nkv::byte_span shard(bytes.data(), size);
        std::atomic<std::uint32_t> right{0};
        on_lanes(count, [&](const auto& threads) {
          if (shard_team(threads).checksum(shard, 99) == nkv::shard_checksum::of(shard, 99)) right.fetch_add(1);
        });
        CHECK(right == count);
      }
    }
  }

  TEST_CASE_TEMPLATE("what a team writes anybody reads, in whole and in part, cut as it may be; and removes", Sharing,
                     nkv::exclusive, nkv::shared) {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<Sharing> ns(encoding);
      team_rig<Sharing> rig(ns);
      unsigned nonce = 1;
      for (const auto& cuts : {std::vector<std::size_t>{100000}, {1500, 0, 3}, {300}}) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{999}, std::size_t{7300}}) {
          CAPTURE(size);
          ++nonce;
          const std::vector<std::byte> object = object_bytes(size, nonce);
          const auto sources = pieces_of(object.data(), size, cuts);
          std::vector<std::byte> whole(size), part(size / 2);
          const auto to_whole = pieces_of(whole.data(), whole.size(), cuts);
          const auto to_part = pieces_of(part.data(), part.size(), cuts);
          std::atomic<std::uint32_t> right{0};
          on_lanes(3, [&](const auto& threads) {
            std::vector<nkv::shard_slot> slots(3);
            auto writer = rig.writer(threads, slots);
            if (writer.put(text_key("object"), sources, options(nonce, shard_bytes), soon()).ok()) right.fetch_add(1);
            threads.sync();
            auto reader = rig.reader(threads, slots);
            if (reader.open(text_key("object"), soon()).ok() && reader.length_bytes() == size) right.fetch_add(1);
            // Right in every thread's eyes.
            if (reader.read(0, to_whole, soon()).ok() && whole == object) right.fetch_add(1);
            if (reader.read(size / 3, to_part, soon()).ok() &&
                std::equal(part.begin(), part.end(), object.begin() + static_cast<std::ptrdiff_t>(size / 3)))
              right.fetch_add(1);
          });
          CHECK(right == 12);
          CHECK(is_object(ns, text_key("object"), object));
        }
      }
      std::atomic<std::uint32_t> removed{0};
      on_lanes(4, [&](const auto& threads) {
        std::vector<nkv::shard_slot> slots(2);
        auto writer = rig.writer(threads, slots);
        const auto done = writer.remove(text_key("object"), soon());
        if (done.ok() && done.previous_left == 0) removed.fetch_add(1);
        auto reader = rig.reader(threads, slots);
        if (reader.open(text_key("object"), soon()).is_key_does_not_exist()) removed.fetch_add(1);
      });
      CHECK(removed == 8);
      CHECK(ns.values().empty());
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("a shard of blocks that several hash, damaged in any of them: all are told which") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    team_rig<nkv::shared> rig(ns);
    constexpr std::size_t shard = 3 * nkv::shard_checksum::block_bytes + 500;
    const std::vector<std::byte> object = object_bytes(2 * shard, 7);
    writer_rig<nkv::shared> w(ns, 2);
    const auto sources = pieces_of(object.data(), object.size(), {1000000});
    REQUIRE(w.writer.put(text_key("object"), sources, options(5, shard), soon()).ok());
    const std::map<std::string, std::string> intact = ns.values();
    // Any but the manifest.
    std::string shard_key;
    for (const auto& [key, value] : intact)
      if (value.size() == shard) shard_key = key;
    REQUIRE_FALSE(shard_key.empty());
    for (const std::size_t at : {std::size_t{0}, nkv::shard_checksum::block_bytes + 3, shard - 1}) {
      ns.values() = intact;
      ns.values()[shard_key][at] ^= 1;
      std::vector<std::byte> found(object.size());
      const auto to = pieces_of(found.data(), found.size(), {1000000});
      std::atomic<std::uint32_t> told{0};
      on_lanes(3, [&](const auto& threads) {
        std::vector<nkv::shard_slot> slots(2);
        auto reader = rig.reader(threads, slots);
        if (!reader.open(text_key("object"), soon()).ok()) return;
        if (reader.read(0, to, soon()) == status(client_status::protocol_error)) told.fetch_add(1);
      });
      CHECK(told == 3);
    }
  }

  TEST_CASE("the leader's deadline ends it for all, and nobody's memory is let go of too early") {
    model_namespace<nkv::shared> ns(key_encoding::inline_cdw);
    team_rig<nkv::shared> rig(ns);
    const std::vector<std::byte> object = object_bytes(3000, 1);
    const auto sources = pieces_of(object.data(), object.size(), {100000});
    std::atomic<std::uint32_t> right{0};
    ns.hold = true;
    on_lanes(3, [&](const auto& threads) {
      std::vector<nkv::shard_slot> slots(2);
      auto writer = rig.writer(threads, slots);
      const auto until = nkv::host::deadline::after_ms(threads.rank() == 0 ? 5 : 100000);
      const auto late = writer.put(text_key("object"), sources, options(9, shard_bytes), until);
      if (late.status == status(client_status::timed_out)) right.fetch_add(1);
      if (!writer.quiesced()) right.fetch_add(1);
      if (writer.put(text_key("object"), sources, options(9, shard_bytes), soon()).status ==
          status(client_status::busy))
        right.fetch_add(1);
      threads.sync();
      if (threads.rank() == 1) ns.hold = false;
      while (!writer.quiesced()) std::this_thread::yield();
      if (writer.put(text_key("object"), sources, options(10, shard_bytes), soon()).ok()) right.fetch_add(1);
    });
    CHECK(right == 12);
    CHECK(is_object(ns, text_key("object"), object));
    CHECK(ns.ref.queue().outstanding() == 0);
  }
}
