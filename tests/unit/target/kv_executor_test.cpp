// SPDX-License-Identifier: BSD-3-Clause
#include <support/gated_store.hpp>

#include <nkv/base/endian.hpp>
#include <nkv/target/data_pointer_reader.hpp>
#include <nkv/target/kv_executor.hpp>
#include <nkv/target/memory_store.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace nkv;
using target::kv_executor;
using target::progress;

namespace {

status generic(std::uint8_t sc) { return {status_code_type::generic, sc}; }
status specific(std::uint8_t sc) { return {status_code_type::command_specific, sc}; }

constexpr std::uint8_t store_opc = 0x01, retrieve_opc = 0x02, list_opc = 0x06, delete_opc = 0x10, exist_opc = 0x14;
constexpr std::uint32_t must_exist = 0x100, must_not_exist = 0x200, no_compress = 0x400, ttl_valid = 0x800,
                        ephemeral = 0x1000, touch = 0x2000, raw = 0x100;

/// One namespace, and commands written by hand whose data lies in `data`.
struct fixture {
  std::uint64_t now_ns = 1;
  std::shared_ptr<target::memory_store> store;
  target::kv_namespace ns;
  target::kv_execution_context context;
  target::request r;
  std::vector<std::byte> data;

  static target::namespace_options options(key_encoding e) {
    target::namespace_options o;
    o.key_encoding = e;
    o.max_value_bytes = 1 << 20;
    return o;
  }
  explicit fixture(target::namespace_options o)
      : store(std::make_shared<target::memory_store>(
            target::memory_store_options{.capacity_bytes = 4 << 20, .now_ns = [this] { return now_ns; }})),
        ns(std::move(o), store) {}
  explicit fixture(key_encoding e) : fixture(options(e)) {}

  target::reply run(const sqe& c) {
    r.command = c;
    target::staged_data d({data.data(), data.size()});
    progress p = kv_executor::begin(r, ns, context, d);
    while (p == progress::more) p = kv_executor::proceed(r);
    REQUIRE(p == progress::done);
    return r.reply;
  }

  static sqe command(std::uint8_t opc, std::uint32_t cdw10 = 0, std::uint32_t cdw11 = 0) {
    sqe c;
    c.dw[0] = opc;
    c.dw[1] = 1;
    c.dw[10] = cdw10;
    c.dw[11] = cdw11;
    return c;
  }
  void set_data(std::string_view text) {
    data.assign(reinterpret_cast<const std::byte*>(text.data()),
                reinterpret_cast<const std::byte*>(text.data()) + text.size());
  }
  std::string text(std::size_t from = 0) const {
    return {reinterpret_cast<const char*>(data.data()) + from, data.size() - from};
  }
};

struct inline_fixture : fixture {
  inline_fixture() : fixture(key_encoding::inline_cdw) {}
  using fixture::fixture;

  static sqe keyed(std::uint8_t opc, std::string_view key, std::uint32_t cdw10 = 0, std::uint32_t options = 0) {
    sqe c = command(opc, cdw10, static_cast<std::uint32_t>(key.size()) | options);
    std::uint32_t k[4] = {};
    std::memcpy(k, key.data(), std::min<std::size_t>(key.size(), 16));
    c.dw[2] = k[0];
    c.dw[3] = k[1];
    c.dw[14] = k[2];
    c.dw[15] = k[3];
    return c;
  }
  target::reply put(std::string_view key, std::string_view value, std::uint32_t options = 0, std::uint32_t cdw12 = 0) {
    set_data(value);
    sqe c = keyed(store_opc, key, static_cast<std::uint32_t>(value.size()), options);
    c.dw[12] = cdw12;
    return run(c);
  }
  target::reply get(std::string_view key, std::uint32_t room, std::uint32_t options = 0) {
    data.assign(room, std::byte{'.'});
    return run(keyed(retrieve_opc, key, room, options));
  }
};

struct head_fixture : fixture {
  head_fixture() : fixture(key_encoding::payload_head) {}
  using fixture::fixture;

  static std::string head(std::string_view key) {
    std::string h(2, '\0');
    h[0] = static_cast<char>(key.size());
    h[1] = static_cast<char>(key.size() >> 8);
    return h.append(key);
  }
  target::reply put(std::string_view key, std::string_view value, std::uint32_t options = 0, std::uint32_t cdw12 = 0) {
    set_data(head(key).append(value));
    sqe c = command(store_opc, static_cast<std::uint32_t>(value.size()), options);
    c.dw[12] = cdw12;
    return run(c);
  }
  target::reply get(std::string_view key, std::uint32_t room) {
    set_data(head(key).append(room, '.'));
    return run(command(retrieve_opc, room));
  }
  target::reply keyed(std::uint8_t opc, std::string_view key) {
    set_data(head(key));
    return run(command(opc));
  }
};

}  // namespace

TEST_SUITE("target/kv_executor") {
  TEST_CASE("inline: Store, Retrieve, Exist, Delete of every key length; the key's bytes in CDW2, 3, 14, 15") {
    inline_fixture f;
    const std::string all = "0123456789abcdef";
    for (std::size_t n = 1; n <= 16; ++n) {
      const std::string key = all.substr(0, n);
      CHECK(f.put(key, "value of " + key).status.ok());
    }
    for (std::size_t n = 1; n <= 16; ++n) {
      const std::string key = all.substr(0, n);
      const target::reply got = f.get(key, 25);
      CHECK(got.status.ok());
      CHECK(got.dw0 == 9 + n);
      CHECK(f.text() == ("value of " + key + std::string(16 - n, '.')));
      const target::reply there = f.run(f.keyed(exist_opc, key));
      CHECK(there.status.ok());
      CHECK(there.dw0 == 0);
      CHECK(f.run(f.keyed(delete_opc, key)).status.ok());
      CHECK(f.run(f.keyed(exist_opc, key)).status == generic(0x87));
    }
    CHECK(f.store->usage().keys == 0);
  }

  TEST_CASE("inline: unused key bytes do not matter") {
    inline_fixture f;
    CHECK(f.put("abc", "v").status.ok());
    sqe c = f.keyed(exist_opc, "abc");
    c.dw[2] |= 0xff000000u;
    c.dw[3] = c.dw[14] = c.dw[15] = 0xffffffffu;
    CHECK(f.run(c).status.ok());
  }

  TEST_CASE("inline: a key length of 0 or above 16 -> 0/86h, whatever the command; so is one above the namespace's") {
    inline_fixture f;
    for (const std::uint8_t opc : {store_opc, retrieve_opc, delete_opc, exist_opc})
      for (const std::uint32_t kl : {0u, 17u, 255u}) CHECK(f.run(f.command(opc, 0, kl)).status == generic(0x86));
    CHECK(f.run(f.command(list_opc, 64, 17)).status == generic(0x86));
    auto o = fixture::options(key_encoding::inline_cdw);
    o.max_key_bytes = 8;
    inline_fixture g(o);
    CHECK(g.put("12345678", "v").status.ok());
    CHECK(g.put("123456789", "v").status == generic(0x86));
  }

  TEST_CASE("inline: misses and conditions -> 0/87h, 0/89h") {
    inline_fixture f;
    CHECK(f.get("k", 10).status == generic(0x87));
    CHECK(f.get("k", 10).dw0 == 0);
    CHECK(f.put("k", "1", must_exist).status == generic(0x87));
    CHECK(f.put("k", "1", must_not_exist).status.ok());
    CHECK(f.put("k", "2", must_not_exist).status == generic(0x89));
    CHECK(f.put("k", "3", must_exist).status.ok());
    CHECK(f.get("k", 1).status.ok());
    CHECK(f.text() == "3");
    CHECK(f.put("k", "4", no_compress).status.ok());
  }

  TEST_CASE("inline: a buffer that is short, empty or long -> success and the true length") {
    inline_fixture f;
    CHECK(f.put("k", "0123456789").status.ok());
    for (const std::uint32_t room : {0u, 1u, 9u, 10u, 11u}) {
      const target::reply got = f.get("k", room);
      CHECK(got.status.ok());
      CHECK(got.dw0 == 10);
      CHECK(f.text() == std::string("0123456789.").substr(0, room));
    }
    CHECK(f.get("k", 10, raw).status.ok());
    CHECK(f.put("empty", "").status.ok());
    CHECK(f.get("empty", 3).dw0 == 0);
    CHECK(f.text() == "...");
  }

  TEST_CASE("inline: a value at the limit, and one byte more -> 0/85h") {
    inline_fixture f;
    CHECK(f.put("k", std::string(1 << 20, 'v')).status.ok());
    CHECK(f.put("k", std::string((1 << 20) + 1, 'v')).status == generic(0x85));
    CHECK(f.get("k", 2 << 20).dw0 == 1 << 20);  // room beyond the longest value is no error
  }

  TEST_CASE("inline: no room in the namespace -> 0/81h; data shorter than CDW10 -> 0/0Fh; beyond MDTS -> 0/02h") {
    inline_fixture f;
    const std::string v(1 << 20, 'v');
    CHECK(f.put("1", v).status.ok());
    CHECK(f.put("2", v).status.ok());
    CHECK(f.put("3", v).status.ok());
    CHECK(f.put("4", v).status == generic(0x81));
    f.set_data("123");
    CHECK(f.run(f.keyed(store_opc, "k", 4)).status == generic(0x0f));
    CHECK(f.run(f.keyed(retrieve_opc, "1", 4)).status == generic(0x0f));
    f.context.max_transfer_bytes = 4096;
    CHECK(f.put("1", std::string(4096, 'v')).status.ok());
    CHECK(f.put("1", std::string(4097, 'v')).status == generic(0x02));
    CHECK(f.get("1", 4096).status.ok());
    CHECK(f.get("1", 4097).status == generic(0x02));
    f.data.resize(8192);
    CHECK(f.run(f.keyed(list_opc, "", 4096)).status.ok());
    CHECK(f.run(f.keyed(list_opc, "", 4100)).status == generic(0x02));
  }

  TEST_CASE("any: options that conflict, unknown or reserved bits, a TTL of 0 -> 0/02h and nothing stored") {
    inline_fixture f;
    CHECK(f.put("k", "v", must_exist | must_not_exist).status == generic(0x02));
    CHECK(f.put("k", "v", ttl_valid, 0).status == generic(0x02));
    CHECK(f.put("k", "v", touch).status == generic(0x02));  // with a value
    CHECK(f.put("k", "", touch | must_not_exist).status == generic(0x02));
    CHECK(f.put("k", "", touch | ephemeral).status == generic(0x02));
    for (unsigned bit = 14; bit < 32; ++bit) CHECK(f.put("k", "v", 1u << bit).status == generic(0x02));
    CHECK(f.store->usage().keys == 0);
    CHECK(f.put("k", "v").status.ok());
    for (unsigned bit = 9; bit < 32; ++bit) CHECK(f.get("k", 1, 1u << bit).status == generic(0x02));
    for (unsigned bit = 8; bit < 32; ++bit) {
      CHECK(f.run(f.keyed(exist_opc, "k", 0, 1u << bit)).status == generic(0x02));
      CHECK(f.run(f.keyed(delete_opc, "k", 0, 1u << bit)).status == generic(0x02));
      f.data.resize(64);
      CHECK(f.run(f.keyed(list_opc, "", 64, 1u << bit)).status == generic(0x02));
    }
    for (const std::uint32_t bits : {0x100u, 0x200u, 0x300u, 0xc000u}) {  // fused; PSDT 11b
      sqe c = f.keyed(exist_opc, "k");
      c.dw[0] |= bits;
      CHECK(f.run(c).status == generic(0x02));
    }
    CHECK(f.store->usage().keys == 1);
  }

  TEST_CASE("any: an SGL where none is taken -> 0/02h and nothing stored; PRPs as ever") {
    inline_fixture f;
    f.context.sgl = false;
    f.set_data("value");
    for (const unsigned format : {1u, 2u}) {
      sqe c = f.keyed(store_opc, "k", 5);
      c.dw[0] |= format << 14;
      CHECK(f.run(c).status == generic(0x02));
    }
    CHECK(f.store->usage().keys == 0);
    CHECK(f.run(f.keyed(store_opc, "k", 5)).status.ok());
    CHECK(f.store->usage().keys == 1);
  }

  TEST_CASE("any: other opcodes -> 0/01h, Execute among them") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      fixture f(e);
      for (unsigned opc = 0; opc < 256; ++opc) {
        if (opc == store_opc || opc == retrieve_opc || opc == list_opc || opc == delete_opc || opc == exist_opc)
          continue;
        CHECK(f.run(f.command(static_cast<std::uint8_t>(opc))).status == generic(0x01));
      }
    }
  }

  TEST_CASE("TTL, ephemeral, touch: kept, not dropped") {
    inline_fixture f;
    CHECK(f.put("k", "v", ttl_valid, 10).status.ok());
    f.now_ns += 9'000'000'000;
    CHECK(f.put("k", "", touch).status.ok());
    f.now_ns += 9'000'000'000;
    CHECK(f.get("k", 1).status.ok());
    CHECK(f.put("k", "", touch | ttl_valid, 2).status.ok());
    f.now_ns += 2'000'000'000;
    CHECK(f.get("k", 1).status == generic(0x87));
    CHECK(f.put("k", "", touch).status == generic(0x87));
    CHECK(f.put("e", std::string(1 << 20, 'e'), ephemeral).status.ok());
    for (const char* k : {"1", "2", "3"}) CHECK(f.put(k, std::string(1 << 20, 'v')).status.ok());
    CHECK(f.get("e", 1).status == generic(0x87));
    // CDW12 means nothing without its bit.
    CHECK(f.put("k", "v", 0, 1).status.ok());
    f.now_ns += 2'000'000'000;
    CHECK(f.get("k", 1).status.ok());
  }

  TEST_CASE("a store without times to live: TTL and touch -> 0/02h, never success") {
    struct plain_store final : target::store {
      progress submit(target::store_operation& op) noexcept override {
        op.result = target::store_result::ok;
        return progress::done;
      }
      std::uint64_t max_value_bytes() const noexcept override { return 100; }
    };
    target::kv_namespace ns({}, std::make_shared<plain_store>());
    target::request r;
    target::staged_data none({});
    r.command = inline_fixture::keyed(store_opc, "k", 0, ttl_valid);
    r.command.dw[12] = 5;
    REQUIRE(kv_executor::begin(r, ns, {}, none) == progress::done);
    CHECK(r.reply.status == generic(0x02));
    r.command = inline_fixture::keyed(store_opc, "k", 0, touch);
    REQUIRE(kv_executor::begin(r, ns, {}, none) == progress::done);
    CHECK(r.reply.status == generic(0x02));
    r.command = inline_fixture::keyed(store_opc, "k", 0, ephemeral);
    REQUIRE(kv_executor::begin(r, ns, {}, none) == progress::done);
    CHECK(r.reply.status.ok());
  }

  TEST_CASE("Delete: an absent key is success; with EDNEK 0/87h, in payload_head 1/87h") {
    inline_fixture f;
    CHECK(f.run(f.keyed(delete_opc, "k")).status.ok());
    f.context.delete_reports_absent = true;
    CHECK(f.run(f.keyed(delete_opc, "k")).status == generic(0x87));
    CHECK(f.put("k", "v").status.ok());
    CHECK(f.run(f.keyed(delete_opc, "k")).status.ok());
    head_fixture h;
    CHECK(h.keyed(delete_opc, "k").status.ok());
    h.context.delete_reports_absent = true;
    CHECK(h.keyed(delete_opc, "k").status == specific(0x87));
  }

  TEST_CASE("read-only: Store and Delete -> 1/82h, the others work") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      auto o = fixture::options(e);
      o.read_only = true;
      fixture f(o);
      f.set_data(std::string("\x01\0k", 3) + std::string(100, '\0'));
      CHECK(f.run(inline_fixture::keyed(store_opc, "k", 1)).status == specific(0x82));
      CHECK(f.run(inline_fixture::keyed(delete_opc, "k")).status == specific(0x82));
      const auto sct = e == key_encoding::inline_cdw ? status_code_type::generic : status_code_type::command_specific;
      CHECK(f.run(inline_fixture::keyed(exist_opc, "k")).status == status{sct, 0x87});
      CHECK(f.run(inline_fixture::keyed(retrieve_opc, "k", 1)).status == status{sct, 0x87});
      f.data.assign(64, std::byte{});
      CHECK(f.run(fixture::command(list_opc, 64)).status.ok());
    }
  }

  TEST_CASE("inline List: the page's bytes; from a start key; DW0 is 0; less room than a count -> 0/02h") {
    inline_fixture f;
    for (const char* k : {"b", "aa", "ccc"}) CHECK(f.put(k, "v").status.ok());
    f.data.assign(32, std::byte{0xee});
    target::reply r = f.run(f.keyed(list_opc, "", 32));
    CHECK(r.status.ok());
    CHECK(r.dw0 == 0);
    CHECK(f.text() == std::string("\3\0\0\0"
                                  "\2\0aa"
                                  "\1\0b\0"
                                  "\3\0ccc\0\0\0"
                                  "\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee\xee",
                                  32));
    f.data.assign(15, std::byte{0xee});
    r = f.run(f.keyed(list_opc, "b", 15));
    CHECK(r.status.ok());
    CHECK(f.text() == std::string("\1\0\0\0"
                                  "\1\0b\0"
                                  "\xee\xee\xee\xee\xee\xee\xee",
                                  15));
    for (const std::uint32_t room : {0u, 3u}) CHECK(f.run(f.keyed(list_opc, "", room)).status == generic(0x02));
    f.data.assign(4, std::byte{0xee});
    CHECK(f.run(f.keyed(list_opc, "", 4)).status.ok());
    CHECK(f.text() == std::string(4, '\0'));
  }

  TEST_CASE("payload_head: Store, Retrieve, Exist, Delete of key lengths to 255") {
    head_fixture f;
    for (const std::size_t n : {1u, 2u, 8u, 15u, 16u, 17u, 100u, 254u, 255u}) {
      const std::string key(n, static_cast<char>('a' + n % 26));
      CHECK(f.put(key, "value").status.ok());
      target::reply got = f.get(key, 7);
      CHECK(got.status.ok());
      CHECK(got.dw0 == 5);
      CHECK(f.text(2 + n) == "value..");
      CHECK(f.text().substr(0, 2 + n) == f.head(key));  // the head stays
      got = f.keyed(exist_opc, key);
      CHECK(got.status.ok());
      CHECK(got.dw0 == 5);
      CHECK(f.keyed(delete_opc, key).status.ok());
      CHECK(f.keyed(exist_opc, key).status == specific(0x87));
      CHECK(f.get(key, 7).status == specific(0x87));
    }
    CHECK(f.store->usage().keys == 0);
  }

  TEST_CASE("payload_head: CDW key slots and length mean nothing to Store and Retrieve") {
    head_fixture f;
    f.set_data(f.head("real") + "v");
    CHECK(f.run(inline_fixture::keyed(store_opc, "false", 1)).status.ok());
    CHECK(f.get("real", 1).status.ok());
    CHECK(f.keyed(exist_opc, "false").status == specific(0x87));
    f.set_data(f.head("real") + ".");
    sqe c = inline_fixture::keyed(retrieve_opc, "false", 1);
    c.dw[11] = 0xff;
    CHECK(f.run(c).status.ok());
    CHECK(f.text(6) == "v");
  }

  TEST_CASE("payload_head: conditions -> 1/87h, 1/89h; a short buffer -> 1/81h with the true length") {
    head_fixture f;
    CHECK(f.put("k", "1", must_exist).status == specific(0x87));
    CHECK(f.put("k", "0123456789", must_not_exist).status.ok());
    CHECK(f.put("k", "2", must_not_exist).status == specific(0x89));
    for (const std::uint32_t room : {0u, 1u, 9u}) {
      const target::reply got = f.get("k", room);
      CHECK(got.status == specific(0x81));
      CHECK(got.dw0 == 10);
    }
    CHECK(f.get("k", 10).status.ok());
    CHECK(f.get("k", 10).dw0 == 10);
    CHECK(f.put("k", "", touch).status.ok());
    CHECK(f.put("absent", "", touch).status == specific(0x87));
  }

  TEST_CASE("payload_head: a bad head -> 0/02h: length 0, above 255, above the namespace's; what a probe sees") {
    head_fixture f;
    for (const std::uint8_t opc : {store_opc, retrieve_opc}) {
      f.data.assign(600, std::byte{});
      CHECK(f.run(inline_fixture::keyed(opc, "random-16-bytes!", 0)).status == generic(0x02));
      CHECK(f.run(inline_fixture::keyed(opc, "random-16-bytes!", 16)).status == generic(0x02));
      store_le<std::uint16_t>(f.data.data(), 256);
      CHECK(f.run(f.command(opc, 1)).status == generic(0x02));
      store_le<std::uint16_t>(f.data.data(), 0x0101);
      CHECK(f.run(f.command(opc, 1)).status == generic(0x02));
      store_le<std::uint16_t>(f.data.data(), 0xffff);
      CHECK(f.run(f.command(opc, 1)).status == generic(0x02));
    }
    auto o = fixture::options(key_encoding::payload_head);
    o.max_key_bytes = 20;
    head_fixture g(o);
    CHECK(g.put(std::string(20, 'k'), "v").status.ok());
    CHECK(g.put(std::string(21, 'k'), "v").status == generic(0x02));
  }

  TEST_CASE("payload_head: data that ends in the head or in the value -> 0/0Fh") {
    head_fixture f;
    const std::string whole = f.head("key") + "value";
    for (std::size_t n = 0; n < whole.size(); ++n) {
      f.set_data(whole.substr(0, n));
      CHECK(f.run(f.command(store_opc, 5)).status == generic(0x0f));
      CHECK(f.run(f.command(retrieve_opc, 5)).status == generic(0x0f));
    }
    f.set_data(whole + "more");  // longer is as good
    CHECK(f.run(f.command(store_opc, 5)).status.ok());
    CHECK(f.get("key", 20).dw0 == 5);
    CHECK(f.run(f.command(store_opc, 1 << 21)).status == generic(0x02));  // longer than the namespace takes
  }

  TEST_CASE("payload_head: MDTS counts the head") {
    head_fixture f;
    f.context.max_transfer_bytes = 4096;
    CHECK(f.put("k", std::string(4093, 'v')).status.ok());
    CHECK(f.put("k", std::string(4094, 'v')).status == generic(0x02));
    CHECK(f.get("k", 4093).status.ok());
    CHECK(f.get("k", 4094).status == generic(0x02));
  }

  TEST_CASE(
      "payload_head: Exist and Delete take the key from the dwords where these give a length, else from the head") {
    head_fixture f;
    CHECK(f.put("in-cdw", "v").status.ok());
    CHECK(f.put("in-head", "v").status.ok());
    f.set_data(f.head("absent"));
    CHECK(f.run(inline_fixture::keyed(exist_opc, "in-cdw")).status.ok());
    f.data.clear();
    CHECK(f.run(inline_fixture::keyed(exist_opc, "in-cdw")).status.ok());
    CHECK(f.run(inline_fixture::keyed(exist_opc, "none")).status == specific(0x87));
    CHECK(f.keyed(exist_opc, "in-head").status.ok());
    // No key at all, or one that is too long for the dwords.
    f.data.clear();
    CHECK(f.run(f.command(exist_opc)).status == generic(0x02));
    CHECK(f.run(f.command(delete_opc)).status == generic(0x02));
    CHECK(f.run(f.command(exist_opc, 0, 17)).status == generic(0x02));
    f.data.assign(2, std::byte{});
    CHECK(f.run(f.command(delete_opc)).status == generic(0x02));
  }

  TEST_CASE("payload_head without reads_head: Exist and Delete know only the dwords") {
    auto o = fixture::options(key_encoding::payload_head);
    o.reads_head = false;
    head_fixture f(o);
    const std::string long_key(17, 'k');
    CHECK(f.put(long_key, "v").status.ok());
    CHECK(f.put("short", "v").status.ok());
    CHECK(f.keyed(exist_opc, long_key).status == generic(0x02));
    CHECK(f.keyed(delete_opc, long_key).status == generic(0x02));
    CHECK(f.get(long_key, 1).status.ok());
    f.data.clear();
    CHECK(f.run(inline_fixture::keyed(exist_opc, "short")).status.ok());
    CHECK(f.run(inline_fixture::keyed(delete_opc, "short")).status.ok());
    CHECK(f.store->usage().keys == 1);
  }

  TEST_CASE("payload_head List: start key at the head of the buffer that it fills; DW0 is the whole listing's length") {
    head_fixture f;
    for (const char* k : {"b", "aa", "ccc"}) CHECK(f.put(k, "v").status.ok());
    f.data.assign(20, std::byte{0});
    target::reply r = f.run(f.command(list_opc, 20));
    CHECK(r.status.ok());
    CHECK(r.dw0 == 20);
    CHECK(f.text() == std::string("\3\0\0\0"
                                  "\2\0aa"
                                  "\1\0b\0"
                                  "\3\0ccc\0\0\0",
                                  20));
    f.set_data(f.head("b") + std::string(9, '\xee'));
    r = f.run(f.command(list_opc, 12));
    CHECK(r.status.ok());
    CHECK(r.dw0 == 16);
    CHECK(f.text() == std::string("\1\0\0\0"
                                  "\1\0b\0"
                                  "\xee\xee\xee\xee",
                                  12));
    // CDW slots are no start key, a long start key is one.
    f.data.assign(64, std::byte{0});
    sqe c = inline_fixture::keyed(list_opc, "ccc", 64);
    CHECK(f.run(c).dw0 == 20);
    f.set_data(f.head(std::string(100, 'b')) + std::string(10, '\0'));
    CHECK(f.run(f.command(list_opc, 112)).dw0 == 12);
    // A start key that does not end within the buffer, or no key.
    f.set_data(f.head("bcd") + std::string(100, '\0'));
    CHECK(f.run(f.command(list_opc, 4)).status == generic(0x02));
    CHECK(f.run(f.command(list_opc, 5)).status.ok());
    f.data.assign(600, std::byte{1});
    CHECK(f.run(f.command(list_opc, 600)).status == generic(0x02));
  }

  TEST_CASE("finish: what a store may answer, in both encodings") {
    struct answering_store final : target::store {
      target::store_result answer{};
      progress submit(target::store_operation& op) noexcept override {
        op.result = answer;
        op.true_length = 0;
        return progress::done;
      }
      std::uint64_t max_value_bytes() const noexcept override { return 100; }
    };
    using target::store_result;
    const struct {
      store_result result;
      status in_cdw, in_head;
    } table[] = {
        {store_result::ok, {}, {}},
        {store_result::absent, generic(0x87), specific(0x87)},
        {store_result::present, generic(0x89), specific(0x89)},
        {store_result::capacity_exceeded, generic(0x81), generic(0x81)},
        {store_result::no_memory, generic(0x81), generic(0x06)},
        {store_result::invalid, generic(0x02), generic(0x02)},
        {store_result::unsupported, generic(0x01), generic(0x01)},
        {store_result::aborted, generic(0x07), generic(0x07)},
        {store_result::unavailable, generic(0x82), generic(0x82)},
        {store_result::unknown, {nkv::status_code_type::vendor, 0x4e}, {nkv::status_code_type::vendor, 0x4e}},
        {store_result::denied, {nkv::status_code_type::media, 0x86}, {nkv::status_code_type::media, 0x86}},
        {store_result::failed, generic(0x06), generic(0x06)},
    };
    for (const auto& row : table) {
      for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
        auto s = std::make_shared<answering_store>();
        s->answer = row.result;
        target::kv_namespace ns(fixture::options(e), s);
        target::request r;
        r.command = inline_fixture::keyed(exist_opc, "k");
        target::staged_data none({});
        REQUIRE(kv_executor::begin(r, ns, {}, none) == progress::done);
        CHECK(r.reply.status == (e == key_encoding::inline_cdw ? row.in_cdw : row.in_head));
      }
    }
  }

  TEST_CASE(
      "payload_head over PRPs: a head that crosses a page, at every offset; PRP2 is a page or a list as the whole is") {
    head_fixture f;
    constexpr std::size_t page = 4096;
    struct aligned_memory {
      alignas(4096) std::byte bytes[8 * page] = {};
    };
    const auto m = std::make_unique<aligned_memory>();
    target::dma_map map;
    REQUIRE(map.add({0x10000, sizeof m->bytes, m->bytes, true, true}).ok());
    target::data_pointer_reader reader(map);
    const std::string key(255, 'k');
    const std::string head = head_fixture::head(key);
    for (const std::size_t value : {0u, 1u, 100u, 4096u, 9000u}) {
      for (const std::size_t before : {1u, 2u, 3u, 100u, 256u, 257u, 258u, 4096u}) {
        // `before` bytes of the data lie in PRP1's page; pages 3, 5, 6 follow it.
        std::string all = head + std::string(value, 'v');
        std::size_t at = page - before % page;
        if (before == page) at = 0;
        const std::size_t offset = at;
        const std::size_t after[] = {3 * page, 5 * page, 6 * page};
        std::vector<std::size_t> place(all.size());
        for (std::size_t i = 0; i < all.size(); ++i)
          place[i] =
              i < page - offset ? offset + i : after[(i - (page - offset)) / page] + (i - (page - offset)) % page;
        for (std::size_t i = 0; i < all.size(); ++i) m->bytes[place[i]] = static_cast<std::byte>(all[i]);
        const std::size_t rest = all.size() > page - offset ? all.size() - (page - offset) : 0;
        std::uint64_t prp2 = 0x10000 + 3 * page;
        if (rest > page) {
          prp2 = 0x10000 + 7 * page;
          for (std::size_t i = 0; i < 3; ++i) store_le<std::uint64_t>(m->bytes + 7 * page + 8 * i, 0x10000 + after[i]);
        }
        f.r.command = f.command(store_opc, static_cast<std::uint32_t>(value));
        f.r.command.set_dptr(data_pointer::prp(0x10000 + offset, prp2));
        reader.open(f.r.command.dptr());
        REQUIRE(kv_executor::begin(f.r, f.ns, f.context, reader) == progress::done);
        CHECK(f.r.reply.status.ok());
        f.r.command.set_opc(kv_opcode::retrieve);
        for (std::size_t i = 257; i < all.size(); ++i) m->bytes[place[i]] = std::byte{'.'};
        reader.open(f.r.command.dptr());
        REQUIRE(kv_executor::begin(f.r, f.ns, f.context, reader) == progress::done);
        CHECK(f.r.reply.status.ok());
        CHECK(f.r.reply.dw0 == value);
        std::string back;
        for (const std::size_t p : place) back += static_cast<char>(m->bytes[p]);
        CHECK(back == all);
      }
    }
  }

  TEST_CASE("payload_head over SGLs: the head only readable, the value only writable") {
    head_fixture f;
    CHECK(f.put("key", "value").status.ok());
    std::byte head[5], value[8] = {}, segment[32];
    std::memcpy(head, f.head("key").data(), 5);
    target::dma_map map;
    REQUIRE(map.add({0x1000, 5, head, true, false}).ok());
    REQUIRE(map.add({0x2000, 8, value, false, true}).ok());
    REQUIRE(map.add({0x3000, 32, segment, true, false}).ok());
    const sgl_descriptor d[] = {sgl_descriptor::data_block(0x1000, 5), sgl_descriptor::data_block(0x2000, 8)};
    std::memcpy(segment, d, 32);
    target::data_pointer_reader reader(map);
    f.r.command = f.command(retrieve_opc, 8);
    for (const psdt format : {psdt::sgl, psdt::sgl_metadata_segment}) {
      data_pointer p = data_pointer::sgl(sgl_descriptor::last_segment(0x3000, 2));
      p.format = format;
      f.r.command.set_dptr(p);
      reader.open(f.r.command.dptr());
      REQUIRE(kv_executor::begin(f.r, f.ns, f.context, reader) == progress::done);
      CHECK(f.r.reply.status.ok());
      CHECK(std::memcmp(value, "value\0\0\0", 8) == 0);
    }
    f.r.command.set_opc(kv_opcode::store);
    reader.open(f.r.command.dptr());
    REQUIRE(kv_executor::begin(f.r, f.ns, f.context, reader) == progress::done);
    CHECK(f.r.reply.status == generic(0x04));
  }
}

TEST_SUITE("target/kv_executor") {
  TEST_CASE("Execute with a payload that is none -> 0/02h, and the operation is not run") {
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      unsigned runs = 0;
      target::namespace_options o = fixture::options(e);
      o.operations[1] = {[&runs](byte_span, byte_span input) {
        ++runs;
        return std::vector<std::byte>(input.begin(), input.end());
      }};
      fixture f(o);
      const auto execute = [&](std::string_view payload, std::uint32_t payload_bytes, std::uint32_t op = 1) {
        f.set_data(payload);
        f.data.resize(4096);
        sqe c = fixture::command(0x83, payload_bytes);
        c.dw[12] = 8;
        c.dw[13] = op;
        return f.run(c).status;
      };
      const std::string_view good("\x01\0kinput", 8);
      CHECK(execute(good, 8).is_key_does_not_exist());
      CHECK(execute(good, 8, 2) == generic(generic_status::invalid_opcode));
      const status invalid = generic(generic_status::invalid_field);
      CHECK(execute(good, 0) == invalid);
      CHECK(execute(good, 2) == invalid);
      CHECK(execute(std::string_view("\0\0kinput", 8), 8) == invalid);
      CHECK(execute(std::string_view("\x07\0kinput", 8), 8) == invalid);
      CHECK(execute(std::string_view("\xff\xffkinput", 8), 8) == invalid);
      f.context.max_transfer_bytes = 7;
      CHECK(execute(good, 8) == invalid);
      f.context.max_transfer_bytes = 0;
      CHECK(execute(good, 5000) == generic(generic_status::sgl_length_invalid));
      CHECK(execute(good, 0xffff'ffff) == invalid);
      CHECK(runs == 0);
    }
  }

  TEST_CASE("Execute cancelled while its value is on its way -> 0/07h, and the operation is not run") {
    struct nobody final : target::waker {
      void wake() noexcept override {}
    } w;
    for (const key_encoding e : {key_encoding::inline_cdw, key_encoding::payload_head}) {
      CAPTURE(static_cast<int>(e));
      std::atomic<unsigned> runs = 0;
      target::namespace_options o = fixture::options(e);
      o.operations[1] = {[&runs](byte_span, byte_span) {
        ++runs;
        return std::vector<std::byte>();
      }};
      const auto s = std::make_shared<nkv_test::gated_store>();
      target::kv_namespace ns(o, s);
      target::finished_operations home(w);
      const auto wait = [&home] {
        while (home.take() == nullptr) std::this_thread::yield();
        while (!home.idle()) std::this_thread::yield();
      };
      // The store takes its time with this key, and does not cancel.
      const std::string_view name = "slow";
      target::store_operation put;
      put.home = &home;
      put.verb = target::store_verb::store;
      put.key = {reinterpret_cast<const std::byte*>(name.data()), name.size()};
      REQUIRE(s->submit(put) == progress::later);
      wait();
      for (const bool cancelled : {false, true}) {
        CAPTURE(cancelled);
        target::request r;
        r.op.home = &home;
        r.command = fixture::command(0x83, 6);
        r.command.dw[12] = 8;
        r.command.dw[13] = 1;
        std::byte data[8] = {std::byte{4}, std::byte{0}};
        std::memcpy(data + 2, name.data(), name.size());
        target::staged_data d({data, sizeof data});
        REQUIRE(kv_executor::begin(r, ns, {}, d) == progress::later);
        if (cancelled) kv_executor::cancel(r);
        wait();
        progress p = kv_executor::finish(r);
        CHECK((p == progress::done) == cancelled);
        if (p != progress::done) {
          wait();
          p = kv_executor::finish(r);
        }
        REQUIRE(p == progress::done);
        CHECK(r.reply.status == (cancelled ? generic(0x07) : status()));
        CHECK(runs == 1);
      }
    }
  }
}
