// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/kv/quirks.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <type_traits>

using nkv::key_encoding;
using nkv::list_padding;
using nkv::quirks;

TEST_SUITE("kv/quirks") {
  static_assert(std::is_trivially_copyable_v<quirks> && sizeof(quirks) <= 16);
  static_assert(quirks::standard().encoding == key_encoding::inline_cdw);
  static_assert(quirks::standard().list_padding == list_padding::whole_entry);
  static_assert(quirks::standard().reports_true_length && quirks::standard().dropped_store_options == 0);

  TEST_CASE("exist_and_delete_carry: 16 bytes and more, head read or not") {
    const quirks inline_keys = quirks::of(key_encoding::inline_cdw);
    CHECK(inline_keys.list_padding == list_padding::as_found);
    CHECK_FALSE(inline_keys.exist_and_delete_carry(0));
    CHECK(inline_keys.exist_and_delete_carry(1));
    CHECK(inline_keys.exist_and_delete_carry(16));
    CHECK_FALSE(inline_keys.exist_and_delete_carry(17));
    quirks heads = quirks::of(key_encoding::payload_head);
    CHECK_FALSE(heads.exist_and_delete_carry(0));
    CHECK(heads.exist_and_delete_carry(16));
    CHECK_FALSE(heads.exist_and_delete_carry(17));
    CHECK_FALSE(heads.exist_and_delete_carry(255));
    heads.reads_head_without_data_direction = true;
    CHECK(heads.exist_and_delete_carry(17));
    CHECK(heads.exist_and_delete_carry(255));
    CHECK_FALSE(heads.exist_and_delete_carry(256));
    // The quirk is of heads: without them it reaches no further.
    quirks both = inline_keys;
    both.reads_head_without_data_direction = true;
    CHECK_FALSE(both.exist_and_delete_carry(17));
  }

  TEST_CASE("profiles: what is known of each target") {
    const quirks forwarder = quirks::rados_nkv_forwarder();
    CHECK(forwarder.encoding == key_encoding::payload_head);
    CHECK(forwarder.exist_reports_length);
    CHECK(forwarder.list_reports_length);
    CHECK_FALSE(forwarder.list_continues);
    CHECK(forwarder.reports_true_length);
    CHECK(forwarder.sgl_ignores_granularity);
    CHECK_FALSE(forwarder.reads_head_without_data_direction);
    // TTL, ephemeral and touch are dropped there; must-exist, must-not-exist and "do not compress" are not refused.
    CHECK(forwarder.dropped_store_options == 0x38);

    const quirks in_tree = quirks::rados_nkv_in_tree();
    CHECK(in_tree.encoding == key_encoding::inline_cdw);
    CHECK_FALSE(in_tree.exist_reports_length);
    CHECK_FALSE(in_tree.list_reports_length);
    CHECK(in_tree.list_padding == list_padding::whole_entry);
    CHECK_FALSE(in_tree.execute_result_after_head);

    CHECK(quirks::qemu_kv().list_padding == list_padding::key_only);
    CHECK(quirks::qemu_kv().encoding == key_encoding::inline_cdw);

    const quirks kvssd = quirks::vfio_user_kvssd();
    CHECK(kvssd.list_padding == list_padding::remainder);
    CHECK_FALSE(kvssd.reports_true_length);
    CHECK_FALSE(kvssd.list_continues);
  }
}
