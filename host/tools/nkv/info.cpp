// SPDX-License-Identifier: BSD-3-Clause
#include "common/human.hpp"
#include "common/table.hpp"
#include "nkv/command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace tools {

namespace {

/// A field of Identify: blanks or NULs at the end are padding, and what cannot be printed is a question mark.
template <std::size_t N>
std::string text_field(const char (&field)[N]) {
  std::string text(field, std::find(field, field + N, '\0'));
  text.erase(text.find_last_not_of(' ') + 1);
  std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

std::string_view name_of(nkv::key_encoding e) {
  return e == nkv::key_encoding::inline_cdw ? "inline_cdw" : "payload_head";
}

nlohmann::json describe_namespace(const nkv::host::controller& controller, const nkv::host::namespace_info& info,
                                  const global_options& options) {
  nlohmann::json out = {{"nsid", info.nsid}, {"kv", info.is_kv()}};
  if (!info.is_kv()) return out;
  out["max_key_bytes"] = info.format.kvkml;
  out["max_value_bytes"] = info.format.kvvml;
  if (info.format.mnks != 0) out["max_keys"] = info.format.mnks;
  const auto ns = controller.open_namespace(info.nsid, options.opening(), options.deadline());
  if (!ns) {
    out["error"] = nkv::host::describe(ns.error());
    return out;
  }
  const nkv::namespace_profile& profile = ns->profile();
  out["key_encoding"] = name_of(profile.quirks.encoding);
  out["longest_key_bytes"] = profile.longest_key_bytes();
  out["ttl"] = (profile.quirks.dropped_store_options & 0x8u) == 0;
  out["queue_entries"] = ns->queue().capacity() + 1;
  return out;
}

nlohmann::json describe_all(const global_options& options) {
  const nkv::host::controller controller = connect(options);
  const nkv::identify_controller& id = controller.identity();
  const std::uint32_t vs = controller.version();
  nlohmann::json out = {
      {"endpoint", options.endpoint},
      {"model", text_field(id.mn)},
      {"serial", text_field(id.sn)},
      {"firmware", text_field(id.fr)},
      {"subnqn", text_field(id.subnqn)},
      {"controller_id", id.cntlid},
      {"nvme_version", fmt::format("{}.{}.{}", vs >> 16, (vs >> 8) & 0xffu, vs & 0xffu)},
      {"max_queue_entries", controller.capabilities().max_queue_entries()},
      {"max_queue_pairs", controller.max_queue_pairs()},
      {"sgl", (id.sgls & nkv::sgls::supported_mask) != 0},
      {"doorbells", controller.doorbells_mapped() ? "mapped" : "messages"},
  };
  nkv::limits l;
  l.set_mdts(id.mdts, controller.capabilities().min_page_bytes());
  out["max_transfer_bytes"] = l.max_transfer_bytes;
  const auto all = controller.namespaces(options.deadline());
  if (!all) throw failure(exit_connection, "namespaces: " + nkv::host::describe(all.error()));
  out["namespaces"] = nlohmann::json::array();
  for (const nkv::host::namespace_info& info : *all) {
    if (options.nsid == 0 || options.nsid == info.nsid)
      out["namespaces"].push_back(describe_namespace(controller, info, options));
  }
  return out;
}

void print(const nlohmann::json& all) {
  const auto text = [&](const char* name) { return all[name].get<std::string>(); };
  const auto number = [&](const char* name) { return all[name].get<std::uint64_t>(); };
  table head({{""}, {""}});
  head.add({"endpoint", text("endpoint")});
  head.add({"model", text("model")});
  head.add({"serial", text("serial")});
  head.add({"firmware", text("firmware")});
  head.add({"subsystem", text("subnqn")});
  head.add({"NVMe version", text("nvme_version")});
  head.add(
      {"queues", fmt::format("{} pairs of up to {} entries", number("max_queue_pairs"), number("max_queue_entries"))});
  head.add({"transfer",
            number("max_transfer_bytes") == 0 ? "any length" : "up to " + human_bytes(number("max_transfer_bytes"))});
  head.add({"data", all["sgl"].get<bool>() ? "PRP and SGL" : "PRP"});
  head.add({"doorbells", text("doorbells")});
  fmt::print("{}\n", head.text());
  table list({{"nsid", table::align::right},
              {"command set"},
              {"key encoding"},
              {"longest key", table::align::right},
              {"longest value", table::align::right},
              {"TTL"}});
  for (const nlohmann::json& ns : all["namespaces"]) {
    const std::string nsid = fmt::format("{}", ns["nsid"].get<std::uint32_t>());
    if (!ns["kv"].get<bool>()) {
      list.add({nsid, "other"});
    } else if (ns.contains("error")) {
      list.add({nsid, "KV", ns["error"].get<std::string>()});
    } else {
      list.add({nsid, "KV", ns["key_encoding"].get<std::string>(),
                human_bytes(ns["longest_key_bytes"].get<std::uint64_t>()),
                human_bytes(ns["max_value_bytes"].get<std::uint64_t>()), ns["ttl"].get<bool>() ? "yes" : "no"});
    }
  }
  fmt::print("{}", list.text());
}

}  // namespace

void add_info(CLI::App& app, program& p) {
  CLI::App* command = app.add_subcommand("info", "Show the controller and its namespaces");
  command->callback([&p] {
    p.run = [&p] {
      const nlohmann::json all = describe_all(p.options);
      if (p.options.json) {
        fmt::print("{}\n", all.dump());
      } else {
        print(all);
      }
    };
  });
}

}  // namespace tools
