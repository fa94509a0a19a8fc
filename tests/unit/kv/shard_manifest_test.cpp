// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/shard_manifest.hpp>

#include <support/bytes.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

using nkv::client_status;
using nkv::key_view;
using nkv::shard_checksum;
using nkv::shard_checksum_kind;
using nkv::shard_keys;
using nkv::shard_layout;
using nkv::shard_manifest;
using nkv::shard_nonce;
using nkv::status;
using nkv_test::span_of;
using nkv_test::to_text;

namespace {

constexpr shard_nonce nonce = shard_nonce::from_words(0x1122334455667788u, 0x99aabbccddeeff00u);
const status refused{client_status::protocol_error};

key_view object() { return key_view::from_text("object"); }

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>((i * 7 + i / 251) & 0xffu);
  return out;
}

/// The manifest of 2500 bytes in shards of 1000.
std::vector<std::byte> written(shard_checksum_kind kind = shard_checksum_kind::xxh64_blocks) {
  const std::vector<std::byte> data = pattern(2500);
  const shard_layout layout = *shard_layout::of(2500, 1000);
  const shard_manifest m(layout, kind, nonce);
  const shard_keys keys(object(), nonce);
  std::vector<std::byte> value(static_cast<std::size_t>(m.size_bytes()), std::byte{0xee});
  for (std::uint32_t i = 0; kind != shard_checksum_kind::none && i < 3; ++i)
    shard_manifest::write_entry(value.data(), i,
                                shard_checksum::of(span_of(data).subspan(i * 1000, 1000), keys.of(i).seed()));
  m.write_head(value.data(), shard_manifest::seed_of(object()));
  return value;
}

status read_error(const std::vector<std::byte>& value) {
  return shard_manifest::read(span_of(value), shard_manifest::seed_of(object())).error();
}

/// A manifest with a field changed and its checksums right: what a hostile target can make.
std::vector<std::byte> forged(const std::function<void(std::byte*)>& change) {
  std::vector<std::byte> value = written();
  change(value.data());
  nkv::store_le(
      value.data() + shard_manifest::at_head_checksum,
      nkv::xxh64::of(span_of(value).subspan(0, shard_manifest::at_head_checksum), shard_manifest::seed_of(object())));
  return value;
}

}  // namespace

TEST_SUITE("kv/shard_manifest") {
  static_assert(std::is_trivially_copyable_v<shard_manifest>);

  // Computed with Python's struct, hashlib and xxhash from the layout in the header.
  TEST_CASE("write_head: three shards -> the bytes of an independent implementation") {
    std::string digits = to_text(span_of(written()));
    digits.erase(std::remove(digits.begin(), digits.end(), ' '), digits.end());
    CHECK(digits ==
          "6e6b7673686172640100010000000000c409000000000000e80300000000000003000000000000008877665544332211"
          "00ffeeddccbbaa9903702cff83aa79600000000000000000000000000000000000000000000000000000000000000000"
          "0000000000000000000000000000000000000000000000002086d58ef6b6af45b4c428440ea4909d0f0355392d8ed122"
          "f32558298f1aa214");
  }

  TEST_CASE("read: what was written -> the same") {
    const std::vector<std::byte> value = written();
    const auto m = shard_manifest::read(span_of(value), shard_manifest::seed_of(object()));
    REQUIRE(m);
    CHECK(m->layout().length_bytes() == 2500);
    CHECK(m->layout().shard_bytes() == 1000);
    CHECK(m->layout().count() == 3);
    CHECK(m->nonce() == nonce);
    CHECK(m->kind() == shard_checksum_kind::xxh64_blocks);
    CHECK(m->size_bytes() == value.size());
    CHECK(shard_manifest::read_entry(value.data(), 2) ==
          shard_checksum::of(span_of(pattern(2500)).subspan(2000), shard_keys(object(), nonce).of(2).seed()));
    CHECK(shard_manifest::read_head(span_of(value).subspan(0, 128), shard_manifest::seed_of(object())).has_value());

    const std::vector<std::byte> plain = written(shard_checksum_kind::none);
    CHECK(plain.size() == shard_manifest::head_bytes);
    REQUIRE(read_error(plain).ok());
  }

  TEST_CASE("read: any bit of it flipped -> refused") {
    std::vector<std::byte> value = written();
    for (std::size_t bit = 0; bit < 8 * value.size(); ++bit) {
      CAPTURE(bit);
      value[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      CHECK(read_error(value) == refused);
      value[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    }
    CHECK(read_error(value).ok());
  }

  TEST_CASE("read: any other length -> refused") {
    const std::vector<std::byte> value = written();
    for (std::size_t size = 0; size < value.size(); ++size)
      CHECK(read_error(std::vector<std::byte>(value.begin(), value.begin() + static_cast<std::ptrdiff_t>(size))) ==
            refused);
    std::vector<std::byte> longer = value;
    longer.resize(value.size() + 8);
    CHECK(read_error(longer) == refused);
  }

  TEST_CASE("read: another object's -> refused") {
    const std::vector<std::byte> value = written();
    const std::uint64_t other = shard_manifest::seed_of(key_view::from_text("objecu"));
    CHECK(shard_manifest::read(span_of(value), other).error() == refused);
  }

  TEST_CASE("read: hostile fields under right checksums -> refused") {
    using m = shard_manifest;
    const auto u32 = [](std::size_t at, std::uint32_t v) { return [=](std::byte* p) { nkv::store_le(p + at, v); }; };
    const auto u64 = [](std::size_t at, std::uint64_t v) { return [=](std::byte* p) { nkv::store_le(p + at, v); }; };
    CHECK(read_error(forged([](std::byte*) {})).ok());
    for (const std::uint32_t count : {0u, 2u, 4u, 0x10000003u, 0x20000003u, 0xffffffffu})
      CHECK(read_error(forged(u32(m::at_count, count))) == refused);
    for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{2000}, std::uint64_t{3001}, ~std::uint64_t{0}})
      CHECK(read_error(forged(u64(m::at_length, length))) == refused);
    for (const std::uint64_t shard : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32, ~std::uint64_t{0}})
      CHECK(read_error(forged(u64(m::at_shard_bytes, shard))) == refused);
    // Consistent, but far beyond the value that it stands in, or beyond what anybody may have.
    CHECK(read_error(forged([&](std::byte* p) {
            u64(m::at_length, nkv::max_shards)(p);
            u64(m::at_shard_bytes, 1)(p);
            u32(m::at_count, nkv::max_shards)(p);
          })) == refused);
    CHECK(read_error(forged([&](std::byte* p) {
            u64(m::at_length, 0xffffffffu)(p);
            u64(m::at_shard_bytes, 1)(p);
            u32(m::at_count, 0xffffffffu)(p);
          })) == refused);
    CHECK(read_error(forged([&](std::byte* p) {
            u64(m::at_nonce, 0)(p);
            u64(m::at_nonce + 8, 0)(p);
          })) == refused);
    CHECK(read_error(forged(u64(m::at_entries_checksum, 1))) == refused);
    // A count of entries that is right for the value's length, but of another kind.
    CHECK(read_error(forged([](std::byte* p) { p[m::at_kind] = std::byte{0}; })) == refused);
  }

  TEST_CASE("read: another version or kind under right checksums -> unsupported; what is reserved is not looked at") {
    using m = shard_manifest;
    CHECK(read_error(forged([](std::byte* p) { p[m::at_version] = std::byte{2}; })) ==
          status(client_status::unsupported));
    CHECK(read_error(forged([](std::byte* p) { p[m::at_version + 1] = std::byte{1}; })) ==
          status(client_status::unsupported));
    CHECK(read_error(forged([](std::byte* p) { p[m::at_kind] = std::byte{2}; })) == status(client_status::unsupported));
    CHECK(read_error(forged([](std::byte* p) {
            for (std::size_t i = 11; i < 16; ++i) p[i] = std::byte{0xff};
            for (std::size_t i = 36; i < 40; ++i) p[i] = std::byte{0xff};
            for (std::size_t i = 64; i < 120; ++i) p[i] = std::byte{0xff};
          })).ok());
  }
}
