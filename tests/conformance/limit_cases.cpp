// SPDX-License-Identifier: BSD-3-Clause
#include <conformance/suite.hpp>

#include <algorithm>
#include <string>

using namespace nkv_test;

namespace {

struct limit_case : kv_case {
  std::string key = name(1);

  /// The same namespace as a client sees it that does not know its limits, so that the target has to refuse.
  [[nodiscard]] kv_namespace unlimited() const {
    nkv::namespace_profile p = profile;
    p.limits.max_value_bytes = 0xffffffffu;
    p.limits.max_transfer_bytes = 0;
    p.limits.max_key_bytes = nkv::max_key_bytes;
    p.limits.prp_list = true;
    return {ns.queue(), p};
  }

  /// How the target says that a value is too long, or a transfer.
  [[nodiscard]] bool says_too_long(status s) const {
    return is_kv_error(s, nkv::generic_status::invalid_value_size) ||
           s == generic(nkv::generic_status::invalid_field) || s == generic(nkv::generic_status::internal_error);
  }
};

}  // namespace

TEST_SUITE("conformance/limit") {
  TEST_CASE_FIXTURE(limit_case, "limit: what the target states makes sense") {
    CHECK(limits.max_value_bytes > 0);
    CHECK(profile.longest_key_bytes() >= 1);
    CHECK((limits.max_transfer_bytes == 0 || limits.max_transfer_bytes >= 4096));
    CHECK(limits.page_bytes >= 4096);
  }

  TEST_CASE_FIXTURE(limit_case,
                    "limit: the longest value -> stored and retrieved; one byte more -> refused, by both sides") {
    const std::uint64_t most = limits.max_value_bytes;
    if (!takes_value(bytes_of(key), most)) return skip("no command carries the longest value");
    if (most + 1 > target().memory().left_bytes()) return skip("the longest value is longer than the suite's memory");
    const auto size = static_cast<std::size_t>(most);
    REQUIRE(store(key, 1, size).status == status());
    expect_value(key, 1, size);
    {
      const buffer b = take(size + 1);
      const queue_mark mark = queue_mark::of(ns.queue());
      CHECK(ns.store(bytes_of(key), b.ref(), soon()).status == status(client::value_too_large));
      CHECK(queue_mark::of(ns.queue()) == mark);
      if (limits.takes_transfer(profile.head_bytes(bytes_of(key)) + size + 1)) {
        const outcome o = unlimited().store(bytes_of(key), b.ref(), soon());
        CHECK_MESSAGE(says_too_long(o.status), doctest::toString(o.status));
        // A buffer may be longer than any value.
        const outcome r = ns.retrieve(bytes_of(key), b.ref(), soon());
        CHECK(r.status == status());
        CHECK(b.holds(1, size));
        CHECK(b.untouched_from(size));
      }
    }
    expect_value(key, 1, size);
  }

  TEST_CASE_FIXTURE(limit_case, "limit: the longest value under the longest key -> stored and retrieved") {
    const std::string longest = name(2, profile.longest_key_bytes());
    if (!deletes(longest.size())) return skip("keys of that length cannot be deleted again");
    const auto size = static_cast<std::size_t>(longest_value(bytes_of(longest), 1u << 20));
    REQUIRE(store(longest, 1, size).status == status());
    expect_value(longest, 1, size);
  }

  TEST_CASE_FIXTURE(limit_case, "limit: a whole transfer -> taken; one byte more -> refused, by both sides") {
    const std::uint64_t most = limits.max_transfer_bytes;
    if (most == 0) return skip("no limit on transfers is stated");
    const std::uint64_t head = profile.head_bytes(bytes_of(key));
    if (most > limits.max_value_bytes) return skip("values are shorter than a transfer may be");
    const auto size = static_cast<std::size_t>(most - head);
    REQUIRE(store(key, 1, size).status == status());
    expect_value(key, 1, size);
    const buffer b = take(size + 1);
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(ns.store(bytes_of(key), b.ref(), soon()).status == status(client::value_too_large));
    CHECK(ns.retrieve(bytes_of(key), b.ref(), soon()).status == status(client::value_too_large));
    CHECK(ns.list({}, {b.ref().address, most + 1, 0}, b.data(), soon()).status == status(client::value_too_large));
    CHECK(queue_mark::of(ns.queue()) == mark);
    CHECK(says_too_long(unlimited().store(bytes_of(key), b.ref(), soon()).status));
    CHECK(says_too_long(unlimited().retrieve(bytes_of(key), b.ref(), soon()).status));
    CHECK(b.untouched_from(0));
    expect_value(key, 1, size);
  }

  TEST_CASE_FIXTURE(limit_case, "limit: the longest key -> taken; one byte more -> refused, by both sides") {
    const std::size_t longest = profile.longest_key_bytes();
    const std::string fits = name(2, longest);
    if (deletes(longest)) {
      REQUIRE(store(fits, 1, 10).status == status());
      expect_value(fits, 1, 10);
    }
    const std::string over = name(3, longest + 1);
    const buffer b = take(10);
    const queue_mark mark = queue_mark::of(ns.queue());
    CHECK(ns.store(bytes_of(over), b.ref(), soon()).status == status(client::bad_argument));
    CHECK(queue_mark::of(ns.queue()) == mark);
    if (nkv::carries(quirks.encoding, over.size())) {
      const outcome o = unlimited().store(bytes_of(over), b.ref(), soon());
      const bool refused = is_kv_error(o.status, nkv::generic_status::invalid_key_size) ||
                           o.status == generic(nkv::generic_status::invalid_field);
      CHECK_MESSAGE(refused, doctest::toString(o.status));
      CHECK_FALSE(unlimited().exist(bytes_of(over), soon()).ok());
    }
  }

  TEST_CASE_FIXTURE(limit_case,
                    "limit: key lengths that the encoding does not carry, on the wire -> refused by the target") {
    const buffer b = take(600);
    const auto refused = [this](const nkv::sqe& command) {
      const status s = raw(command).status;
      const bool said = quirks.encoding == nkv::key_encoding::inline_cdw
                            ? is_kv_error(s, nkv::generic_status::invalid_key_size)
                            : s == generic(nkv::generic_status::invalid_field);
      CHECK_MESSAGE(said, doctest::toString(s));
    };
    if (quirks.encoding == nkv::key_encoding::inline_cdw) {
      for (const std::uint32_t length : {0u, 17u, 255u}) {
        CAPTURE(length);
        for (const auto opcode :
             {nkv::kv_opcode::store, nkv::kv_opcode::retrieve, nkv::kv_opcode::exist, nkv::kv_opcode::remove}) {
          CAPTURE(static_cast<int>(opcode));
          nkv::sqe c;
          c.set_opc(opcode);
          c.set_nsid(profile.nsid);
          c.set_cdw(11, length);
          if (opcode == nkv::kv_opcode::store || opcode == nkv::kv_opcode::retrieve) {
            c.set_cdw(10, 10);
            c.set_dptr(nkv::data_pointer::prp(b.ref().address));
          }
          refused(c);
        }
      }
    } else {
      constexpr std::uint16_t lengths[] = {0, 0x0100, 0x0101, 0xff00, 0xffff};
      for (const std::uint16_t length : lengths) {
        CAPTURE(length);
        for (const auto opcode : {nkv::kv_opcode::store, nkv::kv_opcode::retrieve}) {
          b.wipe();
          nkv::store_le(b.data(), length);
          nkv::sqe c;
          c.set_opc(opcode);
          c.set_nsid(profile.nsid);
          c.set_cdw(10, 10);
          c.set_dptr(nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(b.ref().address, 600)));
          refused(c);
          CHECK(b.untouched_from(2));
        }
      }
    }
  }

  TEST_CASE_FIXTURE(limit_case, "limit: another namespace, an unknown opcode -> 0/0Bh, 0/01h") {
    const buffer b = take(64);
    for (const std::uint32_t nsid : {0x00fffffeu, 0xffffffffu, 0u}) {
      CAPTURE(nsid);
      nkv::namespace_profile p = profile;
      p.nsid = nsid;
      const kv_namespace elsewhere{ns.queue(), p};
      CHECK(elsewhere.store(bytes_of(key), b.ref(), soon()).status == generic(nkv::generic_status::invalid_nsid));
      CHECK(elsewhere.retrieve(bytes_of(key), b.ref(), soon()).status == generic(nkv::generic_status::invalid_nsid));
      CHECK(elsewhere.exist(bytes_of(key), soon()).status == generic(nkv::generic_status::invalid_nsid));
      CHECK(elsewhere.remove(bytes_of(key), soon()).status == generic(nkv::generic_status::invalid_nsid));
    }
    constexpr std::uint8_t unknown[] = {0x03, 0x7f, 0xc1, 0xff};
    for (const std::uint8_t opcode : unknown) {
      CAPTURE(opcode);
      nkv::sqe c;
      c.set_opc(opcode);
      c.set_nsid(profile.nsid);
      CHECK(raw(c).status == generic(nkv::generic_status::invalid_opcode));
    }
    CHECK(b.untouched_from(0));
    expect_absent(key);
  }

  TEST_CASE_FIXTURE(limit_case, "limit: an SGL shorter than the command's data -> an error, and nothing is stored") {
    if (!limits.sgl) return skip("no SGLs");
    REQUIRE(store(key, 1, 300).status == status());
    const buffer b = take(600);
    b.fill(2);
    nkv::data_pointer data = nkv::data_pointer::sgl(nkv::sgl_descriptor::data_block(b.ref().address, 400));
    if (quirks.encoding == nkv::key_encoding::payload_head) nkv::write_head(b.data(), bytes_of(key));
    const auto c = nkv::kv_store(profile.nsid, bytes_of(key), quirks.encoding, data, 500);
    REQUIRE(c);
    const status s = raw(*c).status;
    if (const std::size_t head = profile.head_bytes(bytes_of(key)); s.ok() && head != 0) {
      const outcome o = ns.retrieve(bytes_of(key), b.ref(), soon());
      CHECK(o.status == status());
      check_length(o, 400 - head);
      return skip("the target goes by the SGL's length alone");
    }
    CHECK_MESSAGE(s == generic(nkv::generic_status::sgl_length_invalid), doctest::toString(s));
    expect_value(key, 1, 300);
  }
}

TEST_SUITE("conformance/refusal") {
  TEST_CASE_FIXTURE(limit_case, "refusal: whatever the client refuses -> the queue is as before") {
    const buffer b = take(4096);
    const queue_mark mark = queue_mark::of(ns.queue());
    const key_view k = bytes_of(key);
    const auto untouched = [&] { return queue_mark::of(ns.queue()) == mark && b.untouched_from(0); };

    SUBCASE("both conditions") {
      CHECK(ns.store(k, b.ref(), soon(), {.must_exist = true, .must_not_exist = true}).status ==
            status(client::bad_argument));
    }
    SUBCASE("touch with a value") {
      CHECK(ns.store(k, b.ref(), soon(), {.touch = true}).status == status(client::bad_argument));
    }
    SUBCASE("a value beyond 32 bits, or nearly 64") {
      for (const std::uint64_t length : {0x1'0000'0000u, 0xffff'ffff'ffff'ffffu}) {
        CHECK(ns.store(k, {b.ref().address, length, 0}, soon()).status == status(client::value_too_large));
        CHECK(ns.retrieve(k, {b.ref().address, length, 0}, soon()).status == status(client::value_too_large));
      }
    }
    SUBCASE("a List buffer without room for the count, or without local memory") {
      CHECK(ns.list({}, b.ref(3), b.data(), soon()).status == status(client::bad_argument));
      CHECK(ns.list({}, nkv::value_ref{}, b.data(), soon()).status == status(client::bad_argument));
      CHECK(ns.list({}, b.ref(), nullptr, soon()).status == status(client::bad_argument));
    }
    SUBCASE("an Execute whose payload or result does not fit its buffer") {
      CHECK(ns.execute(1, k, b.ref(8), b.data(), 16, 0, soon()).status == status(client::bad_argument));
      CHECK(ns.execute(1, k, b.ref(16), b.data(), 0, 17, soon()).status == status(client::bad_argument));
      CHECK(ns.execute(1, k, b.ref(), nullptr, 0, 16, soon()).status == status(client::bad_argument));
      CHECK(ns.execute(1, {}, b.ref(), b.data(), 0, 16, soon()).status == status(client::bad_argument));
    }
    SUBCASE("a read-only namespace") {
      nkv::namespace_profile p = profile;
      p.read_only = true;
      const kv_namespace frozen{ns.queue(), p};
      CHECK(frozen.store(k, b.ref(), soon()).status == specific(nkv::command_status::namespace_read_only));
      CHECK(frozen.remove(k, soon()).status == specific(nkv::command_status::namespace_read_only));
    }
    SUBCASE("Store options that the target is known to drop") {
      nkv::namespace_profile p = profile;
      p.quirks.dropped_store_options = 0x38;
      const kv_namespace forwarder{ns.queue(), p};
      CHECK(forwarder.store(k, b.ref(), soon(), {.ttl_s = 5}).status == status(client::unsupported));
      CHECK(forwarder.store(k, b.ref(), soon(), {.ephemeral = true}).status == status(client::unsupported));
      CHECK(forwarder.store(k, {}, soon(), {.touch = true}).status == status(client::unsupported));
    }
    SUBCASE("more pages than PRPs are taken for") {
      nkv::namespace_profile p = profile;
      p.limits.sgl = false;
      p.limits.prp_list = false;
      const kv_namespace two_pages{ns.queue(), p};
      const buffer large = take(3 * 4096);
      const status want = quirks.encoding == nkv::key_encoding::inline_cdw && takes_value(k, large.size())
                              ? status(client::unsupported)
                              : two_pages.store(k, large.ref(), soon()).status;
      CHECK(two_pages.store(k, large.ref(), soon()).status == want);
      CHECK_FALSE(two_pages.store(k, large.ref(), soon()).ok());
    }
    SUBCASE("a head where no SGLs are taken") {
      if (quirks.encoding == nkv::key_encoding::payload_head) {
        nkv::namespace_profile p = profile;
        p.limits.sgl = false;
        const kv_namespace no_sgl{ns.queue(), p};
        CHECK(no_sgl.store(k, b.ref(16), soon()).status == status(client::unsupported));
        CHECK(no_sgl.retrieve(k, b.ref(16), soon()).status == status(client::unsupported));
      }
    }
    SUBCASE("a bitmap too short for an Exist of many keys") {
      const std::vector<key_view> keys(65, k);
      std::uint64_t word = 0x5555;
      CHECK(ns.exist({keys.data(), keys.size()}, {&word, 1}, soon()) == status(client::bad_argument));
      CHECK(word == 0x5555);
    }
    SUBCASE("one bad key among many") {
      const std::vector<key_view> keys = {k, k, key_view{}, k};
      std::uint64_t word = 0;
      CHECK(ns.exist({keys.data(), keys.size()}, {&word, 1}, soon()) == status(client::bad_argument));
      CHECK(ns.longest_prefix({keys.data(), keys.size()}, soon()).error() == status(client::bad_argument));
    }
    CHECK(untouched());
  }
}
