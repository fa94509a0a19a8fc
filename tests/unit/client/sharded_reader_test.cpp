// SPDX-License-Identifier: BSD-3-Clause
#include "unit/client/sharded_objects.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace nkv;
using namespace nkv_test;

namespace {

const status damaged{client_status::protocol_error};

using map = std::map<std::string, std::string>;

}  // namespace

TEST_SUITE("client/sharded_reader") {
  TEST_CASE_TEMPLATE("read: every part, into every cut -> its bytes and no others", Sharing, exclusive, shared) {
    for (const key_encoding encoding : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      model_namespace<Sharing> ns(encoding);
      const std::vector<std::byte> object = object_bytes(3500, 5);
      writer_rig<Sharing> w(ns, 4);
      REQUIRE(w.put(text_key("object"), object, 1).ok());
      const std::size_t ends[] = {0, 1, 999, 1000, 1001, 1500, 2000, 2999, 3000, 3001, 3499, 3500};
      for (const std::size_t commands : {1u, 3u}) {
        for (const std::size_t bounced : {1u, 4u}) {
          reader_rig<Sharing> r(ns, commands, bounced);
          REQUIRE(r.reader.open(text_key("object"), soon()).ok());
          CHECK(r.reader.is_open());
          CHECK(r.reader.length_bytes() == 3500);
          CHECK(r.reader.manifest().layout().count() == 4);
          for (const std::size_t from : ends) {
            for (const std::size_t to : ends) {
              if (to < from) continue;
              for (const auto& cuts : all_cuts) {
                if (cuts[0] == 1 && to - from > 1001) continue;
                std::vector<std::byte> out;
                REQUIRE(r.read(from, to - from, out, cuts).ok());
                REQUIRE(std::equal(out.begin(), out.end(), object.begin() + static_cast<std::ptrdiff_t>(from)));
              }
            }
          }
        }
      }
      CHECK(ns.ref.queue().outstanding() == 0);
    }
  }

  TEST_CASE("read: memory around the ranges stays as it was") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    std::vector<std::byte> all(4000, std::byte{0x5a});
    const std::vector<reader_rig<exclusive>::destination_type> to = {
        range_of(all.data() + 2000, 700), range_of(all.data() + 10, 1300), range_of(all.data() + 1500, 1)};
    REQUIRE(r.reader.read(700, to, soon()).ok());
    std::vector<std::byte> expected(4000, std::byte{0x5a});
    std::copy_n(object.begin() + 700, 700, expected.begin() + 2000);
    std::copy_n(object.begin() + 1400, 1300, expected.begin() + 10);
    std::copy_n(object.begin() + 2700, 1, expected.begin() + 1500);
    CHECK(all == expected);
  }

  TEST_CASE("read: whole shards, each in one range -> straight there; anything else needs the bounce memory") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns, 4, 0);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    std::vector<std::byte> out;
    CHECK(r.read(0, 3500, out, {100000}).ok());
    CHECK(out == object);
    CHECK(r.read(0, 3500, out, {1000}).ok());
    CHECK(out == object);
    CHECK(r.read(1000, 2500, out, {2000, 500}).ok());
    CHECK(std::equal(out.begin(), out.end(), object.begin() + 1000));
    CHECK(r.read(0, 0, out, {1}).ok());
    const std::size_t before = ns.opcodes.size();
    const status bad{client_status::bad_argument};
    CHECK(r.read(0, 999, out, {100000}) == bad);
    CHECK(r.read(1, 1999, out, {100000}) == bad);
    CHECK(r.read(0, 1001, out, {100000}) == bad);
    CHECK(r.read(0, 2000, out, {1500}) == bad);
    CHECK(ns.opcodes.size() == before);
    CHECK(out == std::vector<std::byte>(2000, std::byte{0x5a}));
  }

  TEST_CASE("open: nothing there, something else, or not the room -> said so") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    reader_rig<exclusive> r(ns);
    CHECK(r.reader.open(text_key("o"), soon()).is_key_does_not_exist());
    CHECK(!r.reader.is_open());
    ns.values()["o"] = "a plain value";
    CHECK(r.reader.open(text_key("o"), soon()) == damaged);
    ns.values()["o"] = std::string(3000, 'x');
    CHECK(r.reader.open(text_key("o"), soon()) == damaged);
    ns.values()["o"] = std::string();
    CHECK(r.reader.open(text_key("o"), soon()) == damaged);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("other"), object_bytes(3500, 1), 1).ok());
    ns.values()["o"] = ns.values()["other"];
    CHECK(r.reader.open(text_key("o"), soon()) == damaged);
    std::vector<std::byte> out;
    CHECK(r.read(0, 0, out, {1}) == status(client_status::bad_argument));

    reader_rig<exclusive> exact(ns, 1, 0, 128 + 8 * 4);
    CHECK(exact.reader.open(text_key("other"), soon()).ok());
    reader_rig<exclusive> small(ns, 1, 0, 128 + 8 * 4 - 1);
    CHECK(small.reader.open(text_key("other"), soon()) == status(client_status::value_too_large));
    CHECK(small.reader.needed_bytes() == 128 + 8 * 4);
    for (const std::size_t room : {0u, 127u}) {
      reader_rig<exclusive> none(ns, 1, 0, room);
      CHECK(none.reader.open(text_key("other"), soon()) == status(client_status::bad_argument));
    }
    reader_rig<exclusive> slotless(ns, 0);
    CHECK(slotless.reader.open(text_key("other"), soon()) == status(client_status::bad_argument));
    CHECK(r.reader.open({}, soon()) == status(client_status::bad_argument));
    model_namespace<exclusive> narrow(key_encoding::inline_cdw,
                                      [](namespace_profile& p) { p.limits.max_key_bytes = 8; });
    reader_rig<exclusive> n(narrow);
    CHECK(n.reader.open(text_key("o"), soon()) == status(client_status::unsupported));
  }

  TEST_CASE("open: a target that never tells lengths -> the manifest does") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw,
                                  [](namespace_profile& p) { p.quirks.reports_true_length = false; });
    ns.reports_length = false;
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    CHECK(is_object(ns, text_key("o"), object));
    reader_rig<exclusive> small(ns, 1, 0, 128 + 8 * 4 - 1);
    CHECK(small.reader.open(text_key("o"), soon()) == status(client_status::value_too_large));
    CHECK(small.reader.needed_bytes() == 128 + 8 * 4);
    REQUIRE(w.put(text_key("o"), object_bytes(100, 6), 2).ok());
    CHECK(ns.values().size() == 2);
    // A shard that is shorter than it was leaves the buffer's end alone: only the checksum tells.
    ns.values()[shard_text(text_key("o"), 2, 0)].resize(99);
    CHECK(!is_object(ns, text_key("o"), object_bytes(100, 6)));
  }

  TEST_CASE("read: any bit of the manifest or of a shard flipped -> refused") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(1100, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns);
    std::string& manifest = ns.values()["o"];
    for (std::size_t bit = 0; bit < 8 * manifest.size(); ++bit) {
      manifest[bit / 8] = static_cast<char>(manifest[bit / 8] ^ (1 << (bit % 8)));
      REQUIRE(r.reader.open(text_key("o"), soon()) == damaged);
      manifest[bit / 8] = static_cast<char>(manifest[bit / 8] ^ (1 << (bit % 8)));
    }
    std::string& shard = ns.values()[shard_text(text_key("o"), 1, 1)];
    std::vector<std::byte> out;
    for (std::size_t bit = 0; bit < 8 * shard.size(); bit += 7) {
      shard[bit / 8] = static_cast<char>(shard[bit / 8] ^ (1 << (bit % 8)));
      REQUIRE(r.read_all(text_key("o"), out) == damaged);
      REQUIRE(r.reader.failed_shard() == 1);
      REQUIRE(r.reader.is_open());
      // Also where only a part is wanted, and not where it is another shard's.
      REQUIRE(r.read(1000, 10, out, {100}) == damaged);
      REQUIRE(r.read(0, 1000, out, {100}).ok());
      shard[bit / 8] = static_cast<char>(shard[bit / 8] ^ (1 << (bit % 8)));
    }
    CHECK(r.read_all(text_key("o"), out).ok());
    CHECK(out == object);
  }

  TEST_CASE("read: shards swapped, of another object or writing, missing or of another length -> refused") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const key_view o = text_key("o");
    const std::vector<std::byte> object = object_bytes(4000, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("p"), object, 1).ok());
    const map others = ns.values();
    REQUIRE(w.put(o, object, 1).ok());
    const map first = ns.values();
    REQUIRE(w.put(o, object, 2).ok());
    const map good = ns.values();
    const auto shard = [&](unsigned i) { return shard_text(o, 2, i); };
    const std::pair<unsigned, std::function<void(map&)>> harm[] = {
        {0, [&](map& m) { std::swap(m[shard(0)], m[shard(3)]); }},
        {1, [&](map& m) { m[shard(1)] = std::string(1000, 'q'); }},
        {2, [&](map& m) { m.erase(shard(2)); }},
        {2, [&](map& m) { m[shard(2)].resize(999); }},
        {2, [&](map& m) { m[shard(2)] += "x"; }},
        {3, [&](map& m) { m[shard(3)].clear(); }},
    };
    reader_rig<exclusive> r(ns, 1);
    std::vector<std::byte> out;
    for (const auto& [which, change] : harm) {
      CAPTURE(which);
      map m = good;
      change(m);
      ns.values() = m;
      CHECK(r.read_all(o, out) == damaged);
      CHECK(r.reader.failed_shard() == which);
      // The reader is good for what is whole.
      CHECK(r.read(which == 0 ? 1000 : 0, 1000, out, {100000}).ok());
      // Length and presence are seen in any case.
      const status unverified = r.read(which * 1000, 1000, out, {100000}, {false});
      CHECK(unverified.ok() == (m.count(shard(which)) != 0 && m[shard(which)].size() == 1000));
    }
    // Checksums fit one key each: equal bytes under equal numbers of other objects and writings have other checksums.
    const auto entry = [](const map& m, const char* k, std::uint32_t i) {
      return shard_manifest::read_entry(reinterpret_cast<const std::byte*>(m.at(k).data()), i);
    };
    for (std::uint32_t i = 0; i < 4; ++i) {
      CHECK(entry(first, "o", i) != entry(good, "o", i));
      CHECK(entry(first, "o", i) != entry(others, "p", i));
    }
  }

  TEST_CASE("read: replaced meanwhile -> busy and open anew; removed meanwhile -> 87h; never a mixture") {
    const key_view o = text_key("o");
    const std::vector<std::byte> before = object_bytes(5000, 1);
    const std::vector<std::byte> after = object_bytes(3300, 2);
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(o, before, 1).ok());
    const map first = ns.values();
    REQUIRE(w.put(o, after, 2).ok());
    const map second = ns.values();
    for (unsigned at = 0; at < 5; ++at) {
      for (const bool removed : {false, true}) {
        CAPTURE(at);
        ns.decide = nullptr;
        ns.values() = first;
        reader_rig<exclusive> r(ns, 1);
        REQUIRE(r.reader.open(o, soon()).ok());
        unsigned retrieved = 0;
        ns.decide = [&](kv_opcode, const std::string&) {
          if (retrieved++ == at) ns.values() = removed ? map() : second;
          return fate::done;
        };
        std::vector<std::byte> out;
        const status s = r.read(0, 5000, out, {100000});
        if (removed) {
          CHECK(s.is_key_does_not_exist());
          CHECK(!r.reader.is_open());
          continue;
        }
        CHECK(s == status(client_status::busy));
        REQUIRE(r.reader.is_open());
        CHECK(r.reader.length_bytes() == 3300);
        REQUIRE(r.read(0, 3300, out, {100000}).ok());
        CHECK(out == after);
      }
    }
    // Replaced, but the old shards are still there: what was opened is what is read.
    ns.decide = nullptr;
    ns.values() = first;
    reader_rig<exclusive> r(ns);
    REQUIRE(r.reader.open(o, soon()).ok());
    for (const auto& [k, v] : second) ns.values()[k] = v;
    std::vector<std::byte> out;
    REQUIRE(r.read(0, 5000, out, {100000}).ok());
    CHECK(out == before);
  }

  TEST_CASE("a writer at work beside readers -> every object read is one that was written, whole") {
    model_namespace<shared> ns(key_encoding::payload_head);
    const auto object = [](unsigned i) { return object_bytes(1000 + i % 7 * 700, i); };
    std::atomic<unsigned> written{0};
    std::atomic<bool> failed{false};
    {
      writer_rig<shared> w(ns, 4);
      REQUIRE(w.put(text_key("o"), object(0), 1).ok());
    }
    std::thread writer([&] {
      writer_rig<shared> w(ns, 4);
      for (unsigned i = 1; i < 60; ++i) {
        if (!w.put(text_key("o"), object(i), i + 1).ok()) failed = true;
        written = i;
      }
    });
    unsigned whole = 0, busy = 0;
    const auto until = soon();
    do {
      const unsigned least = written;
      reader_rig<shared> r(ns, 3);
      std::vector<std::byte> out;
      const status s = r.read_all(text_key("o"), out);
      if (s.ok()) {
        ++whole;
        bool known = false;
        for (unsigned i = least; i < 60 && !known; ++i) known = out == object(i);
        REQUIRE(known);
      } else {
        REQUIRE(s == status(client_status::busy));
        ++busy;
      }
    } while (written < 59 && !until.expired());
    writer.join();
    CHECK(!failed);
    CHECK(whole + busy > 0);
    CHECK(is_object(ns, text_key("o"), object(59)));
    CHECK(ns.values().size() == 1 + (object(59).size() + 999) / 1000);
  }

  TEST_CASE("read: a Retrieve that fails -> its status, and the reader stays open") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    const std::string bad = shard_text(text_key("o"), 1, 2);
    ns.decide = [&](kv_opcode, const std::string& k) { return k == bad ? fate::refused : fate::done; };
    std::vector<std::byte> out;
    CHECK(r.read(0, 3500, out, {700}) == internal_error);
    CHECK(r.reader.failed_shard() == 2);
    ns.decide = nullptr;
    CHECK(r.read(0, 3500, out, {700}).ok());
    CHECK(out == object);
  }

  TEST_CASE("a deadline that passes -> timed_out, and nothing else may use the memory until it is quiet") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    ns.hold = true;
    std::vector<std::byte> out(3500);
    const auto to = pieces_of(out.data(), out.size(), {700});
    CHECK(r.reader.read(0, to, shortly()) == status(client_status::timed_out));
    CHECK(!r.reader.quiesced());
    CHECK(r.reader.read(0, to, shortly()) == status(client_status::busy));
    CHECK(r.reader.open(text_key("o"), shortly()) == status(client_status::busy));
    ns.hold = false;
    const auto until = soon();
    while (!r.reader.quiesced() && !until.expired()) host::steady_clock::relax(0);
    CHECK(r.reader.is_open());
    REQUIRE(r.reader.read(0, to, soon()).ok());
    CHECK(out == object);
    ns.hold = true;
    CHECK(r.reader.open(text_key("o"), host::deadline()) == status(client_status::timed_out));
    CHECK(!r.reader.is_open());
    ns.fence();
    CHECK(r.reader.open(text_key("o"), soon()) == status(client_status::disconnected));
  }

  TEST_CASE("in steps: begin, poll, cancel -> at once, and the outcome is kept") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns, 2);
    REQUIRE(r.reader.begin_open(text_key("o")).ok());
    CHECK(!r.reader.ended());
    CHECK(r.reader.begin_open(text_key("o")) == status(client_status::busy));
    REQUIRE(r.reader.wait(soon()).ok());
    CHECK(r.reader.ended_as().ok());
    ns.decide = [](kv_opcode, const std::string&) { return fate::lost; };
    std::vector<std::byte> out(3500);
    const auto to = pieces_of(out.data(), out.size(), {100000});
    REQUIRE(r.reader.begin_read(0, to).ok());
    CHECK(!r.reader.poll());
    r.reader.cancel();
    CHECK(r.reader.ended());
    CHECK(r.reader.ended_as() == status(client_status::cancelled));
    CHECK(!r.reader.quiesced());
    CHECK(settle(ns, r.reader));
  }

  TEST_CASE("read: without checksums, or of memory that this code does not reach -> as told") {
    model_namespace<exclusive> ns(key_encoding::inline_cdw);
    const std::vector<std::byte> object = object_bytes(3500, 5);
    writer_rig<exclusive> w(ns, 4);
    REQUIRE(w.put(text_key("o"), object, 1).ok());
    reader_rig<exclusive> r(ns);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    std::vector<std::byte> out(3500);
    auto to = pieces_of(out.data(), out.size(), {100000});
    to[0].local = nullptr;
    const status bad{client_status::bad_argument};
    CHECK(r.reader.read(0, to, soon()) == bad);
    CHECK(r.reader.read(0, to, soon(), {false}).ok());
    CHECK(out == object);
    to = pieces_of(out.data(), 3000, {100000});
    to[0].local = nullptr;
    CHECK(r.reader.read(1, to, soon(), {false}) == bad);
    to = pieces_of(out.data(), 3500, {100000});
    for (const std::uint64_t offset : {std::uint64_t{1}, std::uint64_t{3501}, ~std::uint64_t{0}})
      CHECK(r.reader.read(offset, to, soon()) == bad);
    to[0].value.length_bytes = ~std::uint64_t{0};
    CHECK(r.reader.read(1, to, soon()) == bad);

    sharded_put_options plain = w.options(2);
    plain.checksums = false;
    REQUIRE(w.put(text_key("o"), object, plain).ok());
    CHECK(is_object(ns, text_key("o"), object));
    char& first = ns.values()[shard_text(text_key("o"), 2, 1)][0];
    first = static_cast<char>(first ^ 1);
    REQUIRE(r.reader.open(text_key("o"), soon()).ok());
    CHECK(r.read(0, 3500, out, {100000}).ok());
    CHECK(out != object);
  }
}
