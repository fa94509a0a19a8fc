// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

using nkv::client_status;
using nkv::key_encoding;
using nkv::key_view;
using nkv::namespace_profile;
using nkv::status;

namespace {

constexpr status bad_argument{client_status::bad_argument};
constexpr status too_large{client_status::value_too_large};

namespace_profile of(key_encoding encoding, std::uint32_t max_key_bytes) {
  namespace_profile p;
  p.quirks = nkv::quirks::of(encoding);
  p.limits.max_key_bytes = max_key_bytes;
  return p;
}

}  // namespace

TEST_SUITE("kv/namespace_profile") {
  static_assert(std::is_trivially_copyable_v<namespace_profile> && std::is_aggregate_v<namespace_profile>);
  static_assert(namespace_profile{}.nsid == 1 && !namespace_profile{}.read_only);

  TEST_CASE("check_key: the namespace's limit and the encoding's -> the lesser") {
    const std::vector<std::byte> bytes(300);
    const auto key = [&](std::size_t n) { return key_view{bytes.data(), n}; };
    const namespace_profile plain = of(key_encoding::inline_cdw, 16);
    CHECK(plain.check_key(key(0)) == bad_argument);
    CHECK(plain.check_key(key(16)).ok());
    CHECK(plain.check_key(key(17)) == bad_argument);
    // A namespace that announces more than its encoding carries.
    CHECK(of(key_encoding::inline_cdw, 255).check_key(key(17)) == bad_argument);
    CHECK(of(key_encoding::inline_cdw, 8).check_key(key(9)) == bad_argument);
    CHECK(of(key_encoding::inline_cdw, 8).check_key(key(8)).ok());
    CHECK(of(key_encoding::payload_head, 16).check_key(key(17)) == bad_argument);
    CHECK(of(key_encoding::payload_head, 255).check_key(key(255)).ok());
    CHECK(of(key_encoding::payload_head, 255).check_key(key(256)) == bad_argument);
    CHECK(of(key_encoding::payload_head, 1000).check_key(key(256)) == bad_argument);
    CHECK(of(key_encoding::payload_head, 0).check_key(key(1)) == bad_argument);
  }

  TEST_CASE("check_value: at the value's limit and one beyond") {
    const nkv::key key = *nkv::key::from_text("0123456789abcdef");
    namespace_profile p = of(key_encoding::inline_cdw, 16);
    p.limits.max_value_bytes = 1000;
    CHECK(p.check_value(key, 0).ok());
    CHECK(p.check_value(key, 1000).ok());
    CHECK(p.check_value(key, 1001) == too_large);
    CHECK(p.check_value(key, ~std::uint64_t{0}) == too_large);
    p.limits.max_value_bytes = ~std::uint64_t{0};
    CHECK(p.check_value(key, 0xffffffff).ok());
    CHECK(p.check_value(key, 0x100000000) == too_large);
    // A sum with the head that would wrap to a small number.
    p.quirks.encoding = key_encoding::payload_head;
    CHECK(p.check_value(key, ~std::uint64_t{0} - 4) == too_large);
    CHECK(p.check_value(key, 0xffffffff) == too_large);
    CHECK(p.check_value(key, 0xffffffff - 18).ok());
    CHECK(p.check_value(key, 0xffffffff - 17) == too_large);
  }

  TEST_CASE("check_value: a head in front -> counts towards MDTS, but not towards the value's limit") {
    const nkv::key key = *nkv::key::from_text("0123456789abcdef");
    namespace_profile p = of(key_encoding::payload_head, 255);
    p.limits.max_value_bytes = 128 * 1024;
    CHECK(p.head_bytes(key) == 18);
    CHECK(p.check_value(key, 128 * 1024).ok());
    p.limits.max_transfer_bytes = 128 * 1024;
    CHECK(p.check_value(key, 128 * 1024) == too_large);
    CHECK(p.check_value(key, 128 * 1024 - 18).ok());
    CHECK(p.check_value(key, 128 * 1024 - 17) == too_large);
    p.quirks.encoding = key_encoding::inline_cdw;
    CHECK(p.head_bytes(key) == 0);
    CHECK(p.check_value(key, 128 * 1024).ok());
  }
}
