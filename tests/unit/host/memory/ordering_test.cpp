// SPDX-License-Identifier: BSD-3-Clause
#include <nkv/host/memory/ordering.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

using namespace nkv;
using enum host::memory_place;
using enum host::gpu_vendor;
using enum host::value_order;
using host::check_order;
using host::ordering_of;
using host::remote_writes;
using host::visibility;

namespace {

// The rows of the README's table.
constexpr const char* table = R"(| host memory | host memory | ordered | ordered | ordered |
| host memory | GPU memory | visibility step | ordered | fine-grained value |
| host memory | fine-grained GPU memory | visibility step | ordered | visibility step |
| GPU memory | host memory | refused | refused | refused |
| GPU memory | GPU memory | ordered | ordered | refused |
| GPU memory | fine-grained GPU memory | ordered | ordered | refused |
| fine-grained GPU memory | host memory | refused | refused | refused |
| fine-grained GPU memory | GPU memory | ordered | ordered | fine-grained value |
| fine-grained GPU memory | fine-grained GPU memory | ordered | ordered | ordered |
)";

const char* text(host::memory_place place) {
  switch (place) {
    case host_memory: return "host memory";
    case gpu_plain: return "GPU memory";
    case gpu_fine_grained: return "fine-grained GPU memory";
  }
  return "";
}

}  // namespace

TEST_SUITE("host/memory/ordering") {
  TEST_CASE("ordering_of: the README's table is what the code says") {
    std::string made;
    for (const auto queue : {host_memory, gpu_plain, gpu_fine_grained})
      for (const auto value : {host_memory, gpu_plain, gpu_fine_grained}) {
        made += std::string("| ") + text(queue) + " | " + text(value) + " | ";
        made += std::string(order_text(ordering_of(queue, value, nvidia, remote_writes::unordered))) + " | ";
        made += std::string(order_text(ordering_of(queue, value, nvidia, remote_writes::owner))) + " | ";
        made += std::string(order_text(ordering_of(queue, value, amd, remote_writes::unordered))) + " |\n";
      }
    CHECK(made == table);
  }

  TEST_CASE("ordering_of: every combination, for every attribute") {
    for (const auto writes : {remote_writes::unordered, remote_writes::owner, remote_writes::all_devices}) {
      for (const auto vendor : {nvidia, amd}) {
        CHECK(ordering_of(host_memory, host_memory, vendor, writes) == ordered);
        CHECK(ordering_of(gpu_plain, host_memory, vendor, writes) == refused);
        CHECK(ordering_of(gpu_fine_grained, host_memory, vendor, writes) == refused);
        CHECK(ordering_of(gpu_fine_grained, gpu_fine_grained, vendor, writes) == ordered);
      }
      CHECK(ordering_of(gpu_plain, gpu_plain, nvidia, writes) == ordered);
      CHECK(ordering_of(gpu_plain, gpu_fine_grained, nvidia, writes) == ordered);
      CHECK(ordering_of(gpu_fine_grained, gpu_plain, nvidia, writes) == ordered);
      const auto across = writes == remote_writes::unordered ? needs_visibility_step : ordered;
      CHECK(ordering_of(host_memory, gpu_plain, nvidia, writes) == across);
      CHECK(ordering_of(host_memory, gpu_fine_grained, nvidia, writes) == across);

      CHECK(ordering_of(gpu_plain, gpu_plain, amd, writes) == refused);
      CHECK(ordering_of(gpu_plain, gpu_fine_grained, amd, writes) == refused);
      CHECK(ordering_of(gpu_fine_grained, gpu_plain, amd, writes) == needs_fine_grained);
      CHECK(ordering_of(host_memory, gpu_plain, amd, writes) == needs_fine_grained);
      CHECK(ordering_of(host_memory, gpu_fine_grained, amd, writes) == needs_visibility_step);
    }
  }

  TEST_CASE("check_order: a visibility step is undertaken in so many words; nothing undoes a refusal") {
    constexpr auto none = remote_writes::unordered;
    const status no = client_status::unsupported;
    static_assert(check_order(host_memory, host_memory, nvidia, none, visibility::by_completion).ok());
    CHECK(check_order(host_memory, gpu_plain, nvidia, none, visibility::by_completion) == no);
    CHECK(check_order(host_memory, gpu_plain, nvidia, none, visibility::by_step) == status());
    CHECK(check_order(host_memory, gpu_plain, nvidia, remote_writes::owner, visibility::by_completion) == status());
    CHECK(check_order(host_memory, gpu_plain, amd, none, visibility::by_step) == no);
    CHECK(check_order(gpu_plain, host_memory, nvidia, none, visibility::by_step) == no);
    CHECK(check_order(gpu_plain, host_memory, nvidia, none, visibility::between_kernels) == no);
  }

  TEST_CASE("check_order: AMD's ordinary memory is for values that no kernel uses at the time, and for no queue") {
    constexpr auto none = remote_writes::unordered;
    const status no = client_status::unsupported;
    for (const auto queue : {host_memory, gpu_fine_grained}) {
      CHECK(check_order(queue, gpu_plain, amd, none, visibility::between_kernels) == status());
      CHECK(check_order(queue, gpu_plain, amd, none, visibility::by_step) == no);
      CHECK(check_queue_place(queue, amd) == status());
    }
    CHECK(check_order(host_memory, gpu_fine_grained, amd, none, visibility::between_kernels) == status());
    CHECK(check_order(gpu_plain, gpu_plain, amd, none, visibility::between_kernels) == no);
    CHECK(check_queue_place(gpu_plain, amd) == no);
    CHECK(check_queue_place(gpu_plain, nvidia) == status());
  }
}
