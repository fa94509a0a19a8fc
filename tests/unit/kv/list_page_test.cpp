// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/list_page.hpp>
#include <nkv/spec/status_code.hpp>

#include <support/bytes.hpp>
#include <support/guarded_bytes.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

using nkv::client_status;
using nkv::find_list_padding;
using nkv::key_view;
using nkv::list_padding;
using nkv::list_page;
using nkv::status;
using nkv_test::hex;
using nkv_test::span_of;

namespace {

constexpr status protocol_error{client_status::protocol_error};
constexpr status truncated{client_status::truncated};
constexpr status bad_argument{client_status::bad_argument};
constexpr list_padding all_paddings[] = {list_padding::whole_entry, list_padding::key_only, list_padding::remainder};

// A writer of the test's own: padding spelt out, not taken from the library.
std::vector<std::byte> page_of(const std::vector<std::string>& keys, list_padding padding, unsigned fill = 0,
                               bool pad_last = true) {
  std::vector<std::byte> out(4);
  out[0] = static_cast<std::byte>(keys.size() & 0xffu);
  out[1] = static_cast<std::byte>(keys.size() >> 8);
  for (const std::string& key : keys) {
    out.push_back(static_cast<std::byte>(key.size() & 0xffu));
    out.push_back(static_cast<std::byte>(key.size() >> 8));
    for (const char c : key) out.push_back(static_cast<std::byte>(c));
    std::size_t pad = 0;
    switch (padding) {
      case list_padding::whole_entry: pad = (4 - (2 + key.size()) % 4) % 4; break;
      case list_padding::key_only: pad = (4 - key.size() % 4) % 4; break;
      case list_padding::remainder: pad = (2 + key.size()) % 4; break;
      case list_padding::as_found: break;  // not a way to write
    }
    if (!pad_last && &key == &keys.back()) pad = 0;
    for (std::size_t i = 0; i < pad; ++i) out.push_back(static_cast<std::byte>(fill));
  }
  return out;
}

std::vector<std::string> read(list_page page, status* end = nullptr) {
  std::vector<std::string> out;
  while (!page.done()) {
    const nkv::result<key_view> key = page.next();
    if (!key) break;
    out.emplace_back(reinterpret_cast<const char*>(key->data()), key->size());
  }
  if (end != nullptr) *end = page.error();
  return out;
}

std::vector<std::string> random_keys(std::mt19937& random, std::size_t count) {
  std::vector<std::string> keys(count);
  for (std::string& key : keys) {
    key.resize(1 + random() % (random() % 8 == 0 ? 255 : 20));
    for (char& c : key) c = static_cast<char>(random());
  }
  return keys;
}

constexpr bool two_keys_at_compile_time() {
  const auto bytes = hex<16>("02000000 0100 61 00 0300 626364 000000");
  list_page page{bytes.span(), list_padding::whole_entry};
  const nkv::result<key_view> a = page.next();
  const nkv::result<key_view> b = page.next();
  return a && b && *a == *nkv::key::from_text("a") && *b == *nkv::key::from_text("bcd") && page.done() &&
         page.error().ok();
}

}  // namespace

TEST_SUITE("kv/list_page") {
  static_assert(std::is_trivially_copyable_v<list_page>);
  static_assert(two_keys_at_compile_time());

  TEST_CASE("next: a page written out by hand, 16-byte keys -> each padding's own") {
    // Two keys of 16 bytes: 20 bytes from one to the next, or 18.
    const auto whole =
        hex<44>("02000000 1000 30313233343536373839616263646566 0000 1000 66656463626139383736353433323130 0000");
    const auto key_only =
        hex<40>("02000000 1000 30313233343536373839616263646566 1000 66656463626139383736353433323130");
    const std::vector<std::string> expected = {"0123456789abcdef", "fedcba9876543210"};
    CHECK(read(list_page{whole.span(), list_padding::whole_entry}) == expected);
    CHECK(read(list_page{whole.span(), list_padding::remainder}) == expected);
    CHECK(read(list_page{key_only.span(), list_padding::key_only}) == expected);
    // A 3-byte key under the third way: 5 bytes, and 5 mod 4 of padding.
    const auto odd = hex<18>("02000000 0300 616263 00 0500 6465666768 00");
    CHECK(read(list_page{odd.span(), list_padding::remainder}) == std::vector<std::string>{"abc", "defgh"});
  }

  TEST_CASE("next: random keys, each padding, whatever the padding holds -> the keys") {
    std::mt19937 random(3);
    for (unsigned round = 0; round < 600; ++round) {
      const std::vector<std::string> keys = random_keys(random, random() % 40);
      for (const list_padding padding : all_paddings) {
        const std::vector<std::byte> bytes = page_of(keys, padding, random() & 0xffu, (round & 1) != 0);
        status end;
        CHECK(read(list_page{bytes, padding}, &end) == keys);
        CHECK(end.ok());
      }
    }
  }

  TEST_CASE("next: an empty page -> done at once, and bad_argument to who asks all the same") {
    const auto none = hex<4>("00000000");
    list_page page{none.span(), list_padding::whole_entry};
    CHECK(page.done());
    CHECK(page.error().ok());
    CHECK(page.count() == 0);
    CHECK(page.next().error() == bad_argument);
    CHECK(page.done());
    CHECK(page.error().ok());
    list_page cut{none.span().subspan(0, 3), list_padding::whole_entry};
    CHECK(cut.done());
    CHECK(cut.next().error() == truncated);
  }

  TEST_CASE("next: counts kept as the page is read") {
    const std::vector<std::byte> bytes = page_of({"a", "bb", "ccc"}, list_padding::whole_entry);
    list_page page{bytes, list_padding::whole_entry};
    CHECK(page.count() == 3);
    CHECK(page.taken() == 0);
    CHECK(page.next().has_value());
    CHECK(page.taken() == 1);
    CHECK_FALSE(page.done());
    CHECK(page.next().has_value());
    CHECK(page.next().has_value());
    CHECK(page.taken() == 3);
    CHECK(page.done());
  }

  TEST_CASE("next: cut at every byte -> the keys before the cut, then truncated") {
    const std::vector<std::string> keys = {"a", "0123456789abcdef", "xyz", std::string(255, 'k')};
    nkv_test::guarded_bytes memory(4096);
    for (const list_padding padding : all_paddings) {
      const std::vector<std::byte> bytes = page_of(keys, padding, 0, false);
      for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        const nkv::mutable_byte_span page = memory.last(cut);
        if (cut != 0) std::memcpy(page.data(), bytes.data(), cut);
        status end;
        const std::vector<std::string> found = read(list_page{page, padding}, &end);
        CHECK(end == truncated);
        CHECK(found.size() < keys.size());
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == keys[i]);
      }
    }
  }

  TEST_CASE("next: lengths of 0, 256 and more, or above the namespace's longest -> protocol_error, for good") {
    const auto zero = hex<12>("02000000 0000 0000 0100 61 00");
    list_page page{zero.span(), list_padding::whole_entry};
    CHECK(page.next().error() == protocol_error);
    CHECK(page.done());
    CHECK(page.error() == protocol_error);
    CHECK(page.next().error() == protocol_error);
    CHECK(page.taken() == 0);
    std::vector<std::byte> bytes(4 + 2 + 1000);
    bytes[0] = std::byte{1};
    bytes[4] = std::byte{0};
    bytes[5] = std::byte{1};
    CHECK(list_page{bytes, list_padding::whole_entry}.next().error() == protocol_error);
    bytes[4] = std::byte{255};
    bytes[5] = std::byte{0};
    CHECK(list_page{bytes, list_padding::whole_entry}.next()->size() == 255);
    CHECK(list_page{bytes, list_padding::whole_entry, 1000}.next()->size() == 255);
    bytes[4] = std::byte{0};
    bytes[5] = std::byte{1};
    CHECK(list_page{bytes, list_padding::whole_entry, 1000}.next().error() == protocol_error);
    bytes[4] = std::byte{255};
    bytes[5] = std::byte{0};
    CHECK(list_page{bytes, list_padding::whole_entry, 254}.next().error() == protocol_error);
    bytes[4] = std::byte{17};
    CHECK(list_page{bytes, list_padding::whole_entry, 16}.next().error() == protocol_error);
    CHECK(list_page{bytes, list_padding::whole_entry, 17}.next()->size() == 17);
  }

  TEST_CASE("next: a count of four thousand million -> ends with the page") {
    std::vector<std::byte> bytes = page_of({"a", "b", "c"}, list_padding::whole_entry);
    for (std::size_t i = 0; i < 4; ++i) bytes[i] = std::byte{0xff};
    status end;
    CHECK(read(list_page{bytes, list_padding::whole_entry}, &end).size() == 3);
    CHECK(end == truncated);
  }

  TEST_CASE("next and find_list_padding: random bytes of every size -> an end, every key inside, no byte beyond") {
    std::mt19937 random(5);
    nkv_test::guarded_bytes memory(2048);
    unsigned keys_seen = 0;
    for (unsigned round = 0; round < 60000; ++round) {
      const std::size_t size = random() % (round % 16 == 0 ? 2000 : 64);
      const nkv::mutable_byte_span page = memory.last(size);
      for (std::byte& b : page) b = static_cast<std::byte>(random() & 0xffu);
      // Plausible pages go deeper than noise: a small count, and lengths whose high byte is zero.
      if (round % 4 != 0 && size >= 4) {
        page[1] = page[2] = page[3] = std::byte{0};
        std::size_t at = 4;
        while (at + 2 <= size) {
          page[at] = static_cast<std::byte>(random() % 24);
          page[at + 1] = random() % 32 == 0 ? std::byte{1} : std::byte{0};
          at += 2 + static_cast<std::size_t>(page[at]) + random() % 4;
        }
      }
      // A copy that ends where its allocation does, for AddressSanitizer.
      const std::vector<std::byte> copy(page.begin(), page.end());
      for (const list_padding padding : all_paddings) {
        list_page reader{page, padding, 1 + random() % 255};
        list_page other{copy, padding};
        std::size_t steps = 0;
        while (!reader.done()) {
          const nkv::result<key_view> key = reader.next();
          ++steps;
          if (!key) break;
          ++keys_seen;
          if (key->size() == 0 || key->data() < page.data() + 6 || key->data() + key->size() > page.data() + size)
            FAIL("a key outside of its page, round " << round);
          unsigned sum = 0;
          for (const std::byte b : key->bytes()) sum += static_cast<unsigned>(b);
          for (const std::byte b : reader.last_padding()) sum += static_cast<unsigned>(b);
          CHECK(sum != 0xffffffffu);
        }
        if (steps > size) FAIL("more steps than bytes");
        while (!other.done()) static_cast<void>(other.next().has_value());
      }
      static_cast<void>(find_list_padding(page).has_value());
      static_cast<void>(find_list_padding(copy, 16).has_value());
    }
    CHECK(keys_seen > 10000);
  }

  TEST_CASE("find_list_padding: pages of each way -> that way, where the page can tell") {
    // Binary keys of 16 bytes, as hashes are, and texts of mixed lengths.
    std::mt19937 random(13);
    for (unsigned round = 0; round < 300; ++round) {
      std::vector<std::string> hashes(2 + random() % 60);
      for (std::string& key : hashes) {
        key.resize(16);
        for (char& c : key) c = static_cast<char>(random());
      }
      CHECK(*find_list_padding(span_of(page_of(hashes, list_padding::whole_entry)), 16) == list_padding::whole_entry);
      CHECK(*find_list_padding(span_of(page_of(hashes, list_padding::key_only)), 16) == list_padding::key_only);
      // At even lengths the third way is the specification's.
      CHECK(*find_list_padding(span_of(page_of(hashes, list_padding::remainder)), 16) == list_padding::whole_entry);
      std::vector<std::string> odd(2 + random() % 60);
      for (std::string& key : odd) {
        key.resize(2 * (random() % 8) + 1);
        for (char& c : key) c = static_cast<char>('a' + random() % 26);
      }
      for (const list_padding padding : all_paddings) {
        const std::vector<std::byte> bytes = page_of(odd, padding);
        const nkv::result<list_padding> found = find_list_padding(bytes, 16);
        REQUIRE(found);
        // Whatever is found reads the page as it was written.
        CHECK(read(list_page{bytes, *found}) == odd);
        CHECK(read(list_page{bytes, list_padding::as_found, 16}) == odd);
      }
    }
  }

  TEST_CASE("find_list_padding: ambiguous pages -> the specification's way") {
    CHECK(*find_list_padding(span_of(page_of({}, list_padding::key_only))) == list_padding::whole_entry);
    CHECK(*find_list_padding(span_of(page_of({"0123456789abcdef"}, list_padding::key_only))) ==
          list_padding::whole_entry);
    CHECK(*find_list_padding(span_of(page_of({"abc"}, list_padding::remainder))) == list_padding::whole_entry);
    CHECK(*find_list_padding(span_of(page_of({"abcdef", "ghijkl"}, list_padding::remainder))) ==
          list_padding::whole_entry);
    // What lies behind the last entry belongs to nobody.
    std::vector<std::byte> stale = page_of({"0123456789abcdef"}, list_padding::whole_entry, 0, false);
    stale.resize(64, std::byte{0xaa});
    CHECK(*find_list_padding(stale) == list_padding::whole_entry);
  }

  TEST_CASE("as_found: a page that fits in no way -> malformed, as in the specification's way") {
    std::vector<std::byte> bytes = page_of({"abc", "defgh"}, list_padding::whole_entry);
    bytes[4] = std::byte{0};
    CHECK(list_page{bytes, list_padding::as_found}.next().error() == protocol_error);
    CHECK(list_page{{bytes.data(), 3}, list_padding::as_found}.error() == status{nkv::client_status::truncated});
    CHECK(list_page{span_of(page_of({}, list_padding::remainder)), list_padding::as_found}.done());
  }

  TEST_CASE("rest_bytes: what is left behind the entries read") {
    const std::vector<std::byte> bytes = page_of({"ab", "cd"}, list_padding::whole_entry);
    list_page page{bytes, list_padding::whole_entry};
    CHECK(page.rest_bytes() == bytes.size() - 4);
    REQUIRE(page.next());
    CHECK(page.rest_bytes() == bytes.size() - 8);
    REQUIRE(page.next());
    CHECK(page.rest_bytes() == bytes.size() - 12);
  }

  TEST_CASE("find_list_padding: padding that is not zero -> still found") {
    const std::vector<std::string> keys = {"0123456789abcdef", "123456789abcdef0", "23456789abcdef01"};
    CHECK(*find_list_padding(span_of(page_of(keys, list_padding::whole_entry, 0xee)), 16) == list_padding::whole_entry);
    const std::vector<std::string> odd = {"abcde", "fghij", "klmno"};
    CHECK(*find_list_padding(span_of(page_of(odd, list_padding::key_only, 0xee)), 16) == list_padding::key_only);
  }

  TEST_CASE("find_list_padding: zeros that look like padding -> the way whose padding is zero") {
    // Read in the specification's way this page has sound lengths too, but its padding would be a length.
    const auto bytes =
        hex<40>("02000000 1000 30313233343536373839616263646566 1000 0500 32313039383736353433323130 66");
    CHECK(read(list_page{bytes.span(), list_padding::whole_entry}).size() == 2);
    CHECK(*find_list_padding(bytes.span(), 16) == list_padding::key_only);
  }

  TEST_CASE("find_list_padding: a page that the buffer cut short -> as far as it goes") {
    const std::vector<std::string> keys = {"0123456789abcdef", "123456789abcdef0", "23456789abcdef01"};
    for (const list_padding padding : {list_padding::whole_entry, list_padding::key_only}) {
      std::vector<std::byte> bytes = page_of(keys, padding);
      bytes.resize(50);
      const nkv::result<list_padding> found = find_list_padding(bytes, 16);
      REQUIRE(found);
      CHECK(*found == padding);
    }
  }

  TEST_CASE("find_list_padding: complete in one way, cut short in the specification's -> the complete one") {
    // In the specification's way the second length is C8h, which ends beyond the page; its padding is zero even so.
    const auto bytes = hex<16>("02000000 0100 61 00c800 0100 62 000000");
    CHECK(read(list_page{bytes.span(), list_padding::whole_entry}).size() == 1);
    CHECK(*find_list_padding(bytes.span()) == list_padding::key_only);
    CHECK(read(list_page{bytes.span(), list_padding::key_only}) == std::vector<std::string>{"a", "b"});
  }

  TEST_CASE("find_list_padding: no way fits, or there is no count -> a status that says so") {
    const auto bad = hex<12>("02000000 0000 6161 ffff 6161");
    CHECK(find_list_padding(bad.span()).error() == protocol_error);
    for (std::size_t size = 0; size < 4; ++size)
      CHECK(find_list_padding(bad.span().subspan(0, size)).error() == truncated);
  }
}
