// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/command/admin.hpp>

#include "golden_admin.hpp"
#include "golden_check.hpp"

#include <doctest/doctest.h>

namespace golden = nkv_test::golden;
using namespace nkv;

namespace {

constexpr std::uint32_t nsid = golden::nsid;
constexpr std::uint64_t page = 0x1122334455667000;
constexpr data_pointer data = data_pointer::prp(page);

}  // namespace

TEST_SUITE("command/admin") {
  TEST_CASE("admin_identify: every CNS that the library asks for -> the 64 bytes") {
    NKV_CHECK_GOLDEN(golden::identify_controller, admin_identify(identify_cns::controller, 0, data));
    NKV_CHECK_GOLDEN(golden::identify_active_namespaces, admin_identify(identify_cns::active_namespaces, 0, data));
    NKV_CHECK_GOLDEN(golden::identify_namespace_descriptors,
                     admin_identify(identify_cns::namespace_descriptors, nsid, data));
    NKV_CHECK_GOLDEN(golden::identify_kv_namespace,
                     admin_identify(identify_cns::csi_namespace, nsid, data, command_set_id::kv));
    NKV_CHECK_GOLDEN(golden::identify_kv_controller,
                     admin_identify(identify_cns::csi_controller, 0, data, command_set_id::kv));
    NKV_CHECK_GOLDEN(golden::identify_kv_active_namespaces,
                     admin_identify(identify_cns::csi_active_namespaces, 0, data, command_set_id::kv));
    NKV_CHECK_GOLDEN(golden::identify_command_set_vector,
                     admin_identify(identify_cns::command_set_vector, 0, data, command_set_id::nvm, 0x1234));
  }

  TEST_CASE("admin_create_cq and admin_create_sq: sizes from 2 to 65536 -> the 64 bytes, 0's based") {
    NKV_CHECK_GOLDEN(golden::create_cq, admin_create_cq(3, 1024, page));
    NKV_CHECK_GOLDEN(golden::create_cq_interrupts, admin_create_cq(3, 1024, page, true, 0x0102));
    NKV_CHECK_GOLDEN(golden::create_cq_smallest, admin_create_cq(1, 2, page));
    NKV_CHECK_GOLDEN(golden::create_cq_greatest, admin_create_cq(0xffff, 65536, page));
    NKV_CHECK_GOLDEN(golden::create_sq, admin_create_sq(3, 1024, page, 0x0405));
    NKV_CHECK_GOLDEN(golden::create_sq_greatest, admin_create_sq(0xffff, 65536, page, 0xffff));
  }

  TEST_CASE("admin_delete_sq and admin_delete_cq -> the 64 bytes") {
    NKV_CHECK_GOLDEN(golden::delete_sq, admin_delete_sq(0x0203));
    NKV_CHECK_GOLDEN(golden::delete_cq, admin_delete_cq(0x0203));
  }

  TEST_CASE("admin_set_features and admin_get_features -> the 64 bytes") {
    NKV_CHECK_GOLDEN(golden::set_number_of_queues,
                     admin_set_features(feature_id::number_of_queues, number_of_queues(64, 32)));
    NKV_CHECK_GOLDEN(golden::set_key_value_configuration,
                     admin_set_features(feature_id::key_value_configuration, 1, nsid, true));
    NKV_CHECK_GOLDEN(golden::set_with_data, admin_set_features(feature_id::host_behavior_support, 0, 0, false, data));
    NKV_CHECK_GOLDEN(golden::get_number_of_queues, admin_get_features(feature_id::number_of_queues));
    NKV_CHECK_GOLDEN(golden::get_key_value_configuration,
                     admin_get_features(feature_id::key_value_configuration, nsid, 3));
    // Select has three bits; more would reach into reserved ones.
    CHECK(admin_get_features(feature_id::number_of_queues, 0, 8).cdw(10) == 0x07);
  }

  TEST_CASE("admin_abort -> the 64 bytes") { NKV_CHECK_GOLDEN(golden::abort, admin_abort(0x0203, 0x0405)); }

  TEST_CASE("admin_get_log_page: a page, the shortest, and far into a long one -> the 64 bytes") {
    NKV_CHECK_GOLDEN(golden::get_log_commands,
                     admin_get_log_page(log_page_id::commands_supported, 0, 4096, data, 0, command_set_id::kv));
    NKV_CHECK_GOLDEN(golden::get_log_far,
                     admin_get_log_page(log_page_id::smart_health, 0xffffffff, 1u << 20, data, 0x1122334455667788));
    NKV_CHECK_GOLDEN(golden::get_log_shortest, admin_get_log_page(log_page_id::error_information, 0, 4, data));
  }

  TEST_CASE("admin_async_event_request, admin_keep_alive, admin_doorbell_buffer_config -> the 64 bytes") {
    NKV_CHECK_GOLDEN(golden::async_event_request, admin_async_event_request());
    NKV_CHECK_GOLDEN(golden::keep_alive, admin_keep_alive());
    NKV_CHECK_GOLDEN(golden::doorbell_buffer_config, admin_doorbell_buffer_config(page, golden::prp2));
  }
}
