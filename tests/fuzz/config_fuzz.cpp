// SPDX-License-Identifier: BSD-3-Clause
//
// The text of a configuration of nkv-target: it is refused in a few words, or it is one that can be served.
#include <nkv/host/vfio_user/json_number.hpp>
#include <nkv/target/config.hpp>

#include <algorithm>
#include <set>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;

namespace {

nkv_test::reached reached{"fields accepted",
                          {"poller",
                           "spin_us",
                           "foreign_poll_us",
                           "subsystems",
                           "subnqn",
                           "serial",
                           "model",
                           "max_controllers",
                           "max_queue_entries",
                           "max_io_queue_pairs",
                           "max_transfer_bytes",
                           "namespaces",
                           "nsid",
                           "name",
                           "nguid",
                           "key_encoding",
                           "read_only",
                           "max_key_bytes",
                           "max_value_bytes",
                           "max_keys",
                           "optimal_granularity_bytes",
                           "reads_head",
                           "store",
                           "type",
                           "capacity_bytes",
                           "kept_block_bytes",
                           "listeners",
                           "endpoint",
                           "socket_mode",
                           "max_clients",
                           "map_doorbells",
                           "accept_unsealed",
                           "accept_dma_buf",
                           "refused"}};

void note_fields(const nlohmann::json& json) {
  if (json.is_object()) {
    for (const auto& member : json.items()) {
      reached(member.key());
      note_fields(member.value());
    }
  } else if (json.is_array()) {
    for (const auto& element : json) note_fields(element);
  }
}

/// What the client's own little reader of numbers says of the same text.
void compare_numbers(std::string_view text, const nlohmann::json& json) {
  if (text.find('\\') != text.npos || !json.is_object()) return;
  for (const auto& outer : json.items()) {
    if (!outer.value().is_object()) continue;
    for (const auto& inner : outer.value().items()) {
      const auto got = host::vfio_user::find_json_number(text, {outer.key(), inner.key()});
      const bool number = inner.value().is_number_unsigned();
      // It gives up where a value that it skips is nested too deep; what it finds is right.
      if (got) require(number && *got == inner.value().get<std::uint64_t>(), "a number is the text's");
    }
  }
}

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  folder.add(R"({})");
  folder.add(R"({"poller":{"spin_us":7,"foreign_poll_us":9},"listeners":[{"endpoint":"vfio-user:/run/a"}]})");
  folder.add(R"({"subsystems":[{"subnqn":"nqn.a","serial":"s","model":"m","max_controllers":4,"max_queue_entries":64,)"
             R"("max_io_queue_pairs":2,"max_transfer_bytes":"64KiB","namespaces":[{"nsid":1,"name":"n",)"
             R"("nguid":"000102030405060708090a0b0c0d0e0f","key_encoding":"inline_cdw","read_only":false,)"
             R"("max_key_bytes":16,"max_value_bytes":"1 MiB","max_keys":5,"optimal_granularity_bytes":512,)"
             R"("store":{"type":"memory","capacity_bytes":"1 GB","kept_block_bytes":0}},)"
             R"({"nsid":2,"key_encoding":"payload_head","reads_head":true}]}],)"
             R"("listeners":[{"endpoint":"vfio-user:/a","subnqn":"nqn.a","socket_mode":"0600","max_clients":3,)"
             R"("map_doorbells":true,"accept_unsealed":false,"accept_dma_buf":true}]})");
  folder.add(R"({"subsystems":[{"namespaces":[{"nsid":1},{"nsid":2}]}]})");
  folder.add(R"({"subsystems":[{"subnqn":"a"},{"subnqn":"b"}]})");
  folder.add(R"({"subsystems":[{"max_controllers":1,"max_queue_entries":2,"max_transfer_bytes":8192}]})");
  folder.add(R"({"listeners":[{"endpoint":"vfio-user:a"},{"endpoint":"vfio-user:b"}]})");
  folder.add(R"({"subsystems":[{"subnqn":"a"},{"subnqn":"b"}],"listeners":[{"endpoint":"vfio-user:b","subnqn":"b"}]})");
  folder.add(R"([[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]])");
  folder.add(R"({"a":{"b":18446744073709551615,"c":-1,"d":1e3}})");
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

/// Plain bytes seldom make one value another's double, or a number the least or the most: every fourth time a word of
/// the text takes the place of another, or a number from the edge does.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  if (seed % 4 != 0) return LLVMFuzzerMutate(data, size, most);
  const std::string text(data, data + size);
  std::vector<std::string_view> words;
  constexpr std::string_view others = "\"{}[],: \t\n";
  for (std::size_t at = 0; (at = text.find_first_not_of(others, at)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(others, at), text.size());
    words.push_back(std::string_view(text).substr(at, end - at));
    at = end;
  }
  if (words.empty()) return LLVMFuzzerMutate(data, size, most);
  constexpr std::string_view edges[] = {"0", "1", "2", "65536", "1024", "1025", "4294967296", "18446744073709551616"};
  const std::string_view from =
      seed % 8 == 0 ? words[seed / 8 % words.size()] : edges[seed / 8 % (sizeof edges / sizeof edges[0])];
  const std::string_view to = words[seed / 4096 % words.size()];
  std::string changed = text;
  changed.replace(static_cast<std::size_t>(to.data() - text.data()), to.size(), from);
  if (changed.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> copy(data, data + size);
  const std::string_view text{copy.data(), copy.size()};
  const target::json_parsed json = target::parse_json(text);
  require(json.value.has_value() == json.error.empty(), "a value or an error");
  if (json.value) compare_numbers(text, *json.value);

  const target::config_parsed parsed = target::parse_config(text);
  const std::string error = parsed.error.text();
  require(parsed.options.has_value() == error.empty(), "a configuration or an error");
  if (!parsed.options) {
    reached("refused");
    // A duplicate's path repeats the text's own names.
    require(error.size() <= 600 + size, "an error is short");
    return 0;
  }
  require(json.value.has_value(), "a configuration is JSON");
  note_fields(*json.value);
  const target::target_options& o = *parsed.options;
  require(!o.subsystems.empty() && o.subsystems.size() <= 64 && o.listeners.size() <= 64, "so many");
  require(o.poller.foreign_poll_us >= 1 && o.poller.foreign_poll_us <= 1'000'000, "a poll has an interval");
  std::set<std::string> names;
  for (const target::configured_subsystem& s : o.subsystems) {
    require(names.insert(s.options.subnqn).second, "a subsystem's name is its own");
    require(
        s.options.max_controllers >= 1 && s.controller.max_io_queue_pairs >= 1 && s.controller.max_queue_entries >= 2,
        "a subsystem has room for a client");
    require(s.controller.max_io_queue_pairs <= 64 && s.controller.max_queue_entries <= 65536, "queues that there are");
    std::set<std::uint32_t> nsids;
    for (const target::configured_namespace& ns : s.namespaces) {
      require(ns.options.nsid != 0 && nsids.insert(ns.options.nsid).second, "an nsid is its own");
      require(ns.options.max_key_bytes <= longest_key_bytes(ns.options.key_encoding), "keys that the encoding takes");
      require(ns.options.max_value_bytes <= target::longest_value_bytes, "values that the store takes");
    }
    const auto made = target::make_subsystem(s);
    require(made != nullptr && made->namespaces()->size() == s.namespaces.size(), "a subsystem can be made");
  }
  std::set<std::string> endpoints;
  for (const target::listener_options& l : o.listeners) {
    require(names.count(l.subnqn) != 0, "a listener has a subsystem");
    require(endpoints.insert(l.endpoint).second, "an endpoint is its own");
    const auto folder = target::vfio_user_directory(l.endpoint);
    require(folder && !folder->empty() && folder->size() + 6 <= 107, "a listener's socket fits its address");
    require(l.socket_mode <= 07777, "a mode has four digits");
    require(l.max_clients >= 1 && l.max_clients <= 1024, "a listener takes clients");
  }
  return 0;
}
