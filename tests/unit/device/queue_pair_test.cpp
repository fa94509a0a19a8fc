// SPDX-License-Identifier: BSD-3-Clause
#include <doctest/doctest.h>
#include <nkv/device/queue_pair.hpp>

#include <type_traits>

namespace {

/// Passed to a kernel by value, so a plain value it must be.
template <class T>
constexpr bool passes_by_value = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;

}  // namespace

TEST_SUITE("device/queue pair") {
  TEST_CASE("what a kernel takes is a plain value, and the same type on the host") {
    using namespace nkv::device;
    static_assert(passes_by_value<namespace_ref<nkv::exclusive>>);
    static_assert(passes_by_value<namespace_ref<nkv::block_shared, bar_doorbell>>);
    static_assert(passes_by_value<namespace_ref<nkv::shared, shared_doorbell, nkv::plain_commands>>);
    static_assert(std::is_same_v<namespace_ref<nkv::shared>::queue_type, nkv::device::queue_pair_ref<nkv::shared>>);
    CHECK(!namespace_ref<nkv::exclusive>().plain().has_value());
  }
}
