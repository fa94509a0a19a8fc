// SPDX-License-Identifier: BSD-3-Clause
//
// A kernel has the target look through values and reads nothing of them but the result: how many words lie above a
// threshold, and the largest. Every lane asks about a value of its own.
#include "common/kernel.hpp"

/// What the target answers about a value.
struct survey {
  std::uint32_t above = 0;
  std::uint32_t largest = 0;
};
/// The number by which the target allows the operation.
constexpr std::uint32_t survey_op = 1;

/// Room for a command's payload (key length, key, input), whose place the result takes.
struct slot {
  alignas(8) std::byte bytes[32];
};

template <class Namespace>
struct survey_values {
  Namespace ns;
  const nkv::lineage_hash* names = nullptr;
  std::uint32_t values = 0;
  std::uint32_t threshold = 0;
  slot* slots = nullptr;      ///< one for each value, as this code reaches them
  std::uint64_t address = 0;  ///< and as the target does
  survey* results = nullptr;
  std::uint32_t* failures = nullptr;

  template <nkv::device::group Warp>
  NKV_HD void operator()(const Warp& warp, std::uint32_t index, std::uint32_t warps) const {
    for (std::uint32_t at = index * warp.size(); at < values; at += warps * warp.size()) {
      const std::uint32_t i = at + warp.rank();
      const bool mine = i < values;
      const nkv::key_view key = mine ? names[i].view() : nkv::key_view();
      std::byte* const bytes = mine ? slots[i].bytes : nullptr;
      for (std::uint32_t b = 0; mine && b < 4; ++b)
        bytes[nkv::execute_input_offset(key) + b] = static_cast<std::byte>(threshold >> (8 * b));
      const nkv::value_ref payload{address + i * sizeof(slot), sizeof(slot), 0};
      const nkv::outcome o =
          nkv::device::run_each(warp, ns, nkv::operation::execute(survey_op, key, payload, bytes, 4, sizeof(survey)),
                                nkv::device::deadline::after_ms(10'000), mine);
      if (!mine) continue;
      if (o.ok() && o.length_bytes == sizeof(survey)) {
        const std::byte* const result = bytes + nkv::execute_result_offset(ns.profile(), key);
        for (std::uint32_t b = 0; b < 4; ++b) {
          results[i].above |= static_cast<std::uint32_t>(result[b]) << (8 * b);
          results[i].largest |= static_cast<std::uint32_t>(result[4 + b]) << (8 * b);
        }
      } else {
        nkv::device::atomics::fetch_add(failures, std::uint32_t{1}, nkv::system_scope);
      }
    }
  }
};

#if NKV_CUDA || NKV_HIP

EXAMPLE_KERNEL void execute_value(survey_values<example::kernel_namespace<nkv::all_commands>> job,
                                  std::uint32_t warps) {
  job(nkv::device::warp_group::whole(), example::block_index(), warps);
}

#else

#include "common/session.hpp"

namespace {

/// The target's side: what stands beside the values.
std::vector<std::byte> take_survey(nkv::byte_span value, nkv::byte_span input) {
  std::uint32_t threshold = 0;
  std::memcpy(&threshold, input.data(), std::min(input.size(), sizeof threshold));
  survey found;
  for (std::size_t at = 0; at + 4 <= value.size(); at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, value.data() + at, 4);
    found.above += word > threshold ? 1u : 0u;
    found.largest = std::max(found.largest, word);
  }
  std::vector<std::byte> result(sizeof found);
  std::memcpy(result.data(), &found, sizeof found);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  example::arguments a(argc, argv);
  const std::uint32_t values = a.number("--values", 500, 1, 100'000);
  const std::uint32_t value_bytes = a.number("--value-kib", 64, 4, 1024) * 1024;
  nkv::target::namespace_options offers;
  offers.operations[survey_op] = {take_survey};
  example::session s(argv[0], a, nkv::target::memory_subsystem(offers));

  const std::uint32_t threshold = 0xf000'0000;
  const std::size_t names_bytes = sizeof(nkv::lineage_hash) * values;
  const std::size_t results_at = names_bytes + sizeof(slot) * values;
  const std::size_t failures_at = results_at + sizeof(survey) * values;
  const auto lists = s.allocate(failures_at + sizeof(std::uint32_t));
  auto* const names = reinterpret_cast<nkv::lineage_hash*>(lists.host);
  auto* const slots = reinterpret_cast<slot*>(lists.host + names_bytes);
  auto* const results = reinterpret_cast<survey*>(lists.host + results_at);
  auto* const failures = reinterpret_cast<std::uint32_t*>(lists.host + failures_at);
  const auto value = s.allocate(value_bytes);
  auto* const words = reinterpret_cast<std::uint32_t*>(value.host);
  const nkv::lineage_salt salt({.model = "example-7b", .dtype = "u32", .tenant = "surveyed"});
  std::vector<survey> wanted(values);
  for (std::uint32_t v = 0; v < values; ++v) {
    for (std::uint32_t i = 0; i < value_bytes / 4; ++i) {
      words[i] = example::pattern(v, i);
      wanted[v].above += words[i] > threshold ? 1u : 0u;
      wanted[v].largest = std::max(wanted[v].largest, words[i]);
    }
    names[v] = nkv::lineage_hash().child(salt, {&v, 1});
    s.store(names[v], value.value(0, value_bytes));
  }

  s.run("execute_value", [&](const auto& ns) {
    return survey_values<std::decay_t<decltype(ns)>>{ns,
                                                     lists.for_kernel(names),
                                                     values,
                                                     threshold,
                                                     lists.for_kernel(slots),
                                                     lists.all.address + names_bytes,
                                                     lists.for_kernel(results),
                                                     lists.for_kernel(failures)};
  });

  if (*failures != 0)
    example::fail(std::to_string(*failures) + " values were not surveyed: has the target operation 1?");
  for (std::uint32_t v = 0; v < values; ++v) {
    if (results[v].above != wanted[v].above || results[v].largest != wanted[v].largest)
      example::fail("value " + std::to_string(v) + ": another result than the host's");
  }
  s.report(std::to_string(values) + " values of " + std::to_string(value_bytes / 1024) +
               " KiB surveyed where they are, " + std::to_string(sizeof(survey)) +
               " bytes read of each: every result is the host's",
           values);
}

#endif
