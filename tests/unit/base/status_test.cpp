// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

using nkv::client_status;
using nkv::status;
using nkv::status_code_type;

TEST_SUITE("base/status") {
  static_assert(sizeof(status) == 4 && std::is_trivially_copyable_v<status>);
  static_assert(status{}.ok() && status{} && !status{}.is_client());
  static_assert(!status{client_status::would_block}.ok());
  static_assert(status{client_status::would_block}.is_client());
  static_assert(status{status_code_type::generic, 0x87}.sc() == 0x87);
  static_assert(status{status_code_type::command_specific, 0x81}.sct() == status_code_type::command_specific);
  static_assert(!std::is_convertible_v<status, bool> && !std::is_convertible_v<status, int>);
  static_assert(!std::is_convertible_v<int, status>);

  TEST_CASE("from_cqe: the status field -> type, code and DNR, whatever the other bits") {
    // P bit 0, SC 8:1, SCT 11:9, CRD 13:12, M 14, DNR 15.
    static_assert(status::from_cqe(0x0000).ok());
    static_assert(status::from_cqe(0x0001).ok());
    CHECK(status::from_cqe(0x7001).ok());
    CHECK(status::from_cqe(0x010e) == status(status_code_type::generic, 0x87));
    CHECK(status::from_cqe(0x010f) == status(status_code_type::generic, 0x87));
    CHECK(status::from_cqe(0x030e) == status(status_code_type::command_specific, 0x87));
    CHECK(status::from_cqe(0x01fe) == status(status_code_type::generic, 0xff));
    CHECK(status::from_cqe(0x0e00) == status(status_code_type::vendor, 0));
    CHECK(status::from_cqe(0x0600) == status(status_code_type::path, 0));
    CHECK(status::from_cqe(0x810e).dnr());
    CHECK_FALSE(status::from_cqe(0x710e).dnr());
    // Success with DNR set is success.
    CHECK(status::from_cqe(0x8001).ok());
    // A controller cannot make one of the client's own: SCT has three bits.
    for (unsigned field = 0; field < 0x10000; ++field)
      if (status::from_cqe(static_cast<std::uint16_t>(field)).is_client()) FAIL("a client status from field " << field);
  }

  TEST_CASE("equality: DNR and detail -> explain, and do not tell apart") {
    CHECK(status(status_code_type::generic, 6, true) == status(status_code_type::generic, 6));
    CHECK(status(status_code_type::generic, 6, true).dnr());
    CHECK(status(client_status::system_error, 5) == status(client_status::system_error, 13));
    CHECK(status(status_code_type::generic, 0x87) != status(status_code_type::command_specific, 0x87));
    CHECK(status(status_code_type::generic, 1) != status(client_status::would_block));
  }

  TEST_CASE("detail: of a client status alone -> the errno, and never DNR") {
    const status s{client_status::system_error, 0x8005};
    CHECK(s.detail() == 0x8005);
    CHECK_FALSE(s.dnr());
    CHECK(status(status_code_type::generic, 6, true).detail() == 0);
  }

  TEST_CASE("a missing and an existing key: under either type and no other -> recognised") {
    for (unsigned sct = 0; sct < 8; ++sct) {
      const auto type = static_cast<status_code_type>(sct);
      CHECK(status(type, 0x87).is_key_does_not_exist() == (sct <= 1));
      CHECK(status(type, 0x89).is_key_exists() == (sct <= 1));
      CHECK_FALSE(status(type, 0x89).is_key_does_not_exist());
      CHECK_FALSE(status(type, 0x87).is_key_exists());
      CHECK_FALSE(status(type, 0x86).is_key_does_not_exist());
      CHECK_FALSE(status(type, 0x88).is_key_exists());
    }
    CHECK_FALSE(status(static_cast<client_status>(0x87)).is_key_does_not_exist());
    CHECK_FALSE(status(static_cast<client_status>(0x89)).is_key_exists());
    CHECK_FALSE(status{}.is_key_does_not_exist());
  }
}
