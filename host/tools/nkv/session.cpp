// SPDX-License-Identifier: BSD-3-Clause
#include "nkv/session.hpp"

#include "common/human.hpp"
#include "common/key_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace tools {

using nkv::client_status;
using nkv::status;

namespace {

constexpr std::uint64_t first_room_bytes = std::uint64_t{1} << 20;

bool is(status s, client_status what) { return s == status(what); }

exit_code code_of(status s) {
  if (s.is_key_does_not_exist() || s.is_key_exists()) return exit_unmet;
  if (!s.is_client()) return exit_refused;
  if (is(s, client_status::disconnected) || is(s, client_status::controller_fatal)) return exit_connection;
  if (is(s, client_status::timed_out) || is(s, client_status::outcome_unknown) || is(s, client_status::queue_full))
    return exit_timeout;
  if (is(s, client_status::encoding_unknown) || is(s, client_status::not_found)) return exit_usage;
  return exit_refused;
}

nlohmann::json json_of(status s) {
  nlohmann::json out = {{"text", nkv::host::describe(s)}};
  if (!s.is_client()) {
    out["sct"] = static_cast<unsigned>(s.sct());
    out["sc"] = s.sc();
  }
  return out;
}

std::uint32_t only_kv_namespace(const nkv::host::controller& controller, const global_options& options) {
  const auto all = controller.namespaces(options.deadline());
  if (!all) throw failure(exit_connection, "namespaces: " + nkv::host::describe(all.error()));
  std::vector<std::uint32_t> kv;
  for (const nkv::host::namespace_info& info : *all)
    if (info.is_kv()) kv.push_back(info.nsid);
  if (kv.size() == 1) return kv.front();
  if (kv.empty()) throw failure(exit_usage, "there is no KV namespace behind " + options.endpoint);
  throw failure(exit_usage,
                fmt::format("there are several KV namespaces, say which with --nsid: {}", fmt::join(kv, ", ")));
}

}  // namespace

nlohmann::json json_of(nkv::key_view key) {
  nlohmann::json out = {{"key_hex", hex_of(key)}};
  if (is_text(key)) out["key"] = std::string(characters(key));
  return out;
}

nkv::key typed_key(const std::string& typed, const global_options& options) {
  const nkv::result<nkv::key> key = key_from(typed, options.hex_keys);
  if (key) return *key;
  throw failure(exit_usage, options.hex_keys
                                ? fmt::format("\"{}\" is no key: expected 1 to 255 pairs of hexadecimal digits", typed)
                                : fmt::format("a key has 1 to 255 bytes, this one {}", typed.size()));
}

nkv::host::controller connect(const global_options& options, bool wake) {
  if (options.endpoint.empty())
    throw failure(exit_usage, "no endpoint: give --endpoint or set NKV_ENDPOINT, e.g. vfio-user:DIR");
  nkv::host::endpoint_error wrong;
  const auto where = nkv::host::endpoint::parse(options.endpoint, &wrong);
  if (!where)
    throw failure(exit_usage,
                  fmt::format("endpoint \"{}\", character {}: {}", options.endpoint, wrong.offset + 1, wrong.text));
  nkv::host::connect_options how;
  how.vfio_user.allow_unsealed = options.allow_unsealed;
  how.vfio_user.wake = wake;
  auto controller = nkv::host::connect(*where, how, options.deadline());
  if (!controller)
    throw failure(exit_connection,
                  fmt::format("cannot connect to {}: {}", options.endpoint, nkv::host::describe(controller.error())),
                  {{"status", json_of(controller.error())}});
  return *std::move(controller);
}

session::session(const global_options& options) : options_(options), controller_(connect(options)) {
  const std::uint32_t nsid = options.nsid != 0 ? options.nsid : only_kv_namespace(controller_, options);
  auto opened = controller_.open_namespace(nsid, options.opening(), options.deadline());
  if (!opened) {
    std::string text = fmt::format("cannot open namespace {}: {}", nsid, nkv::host::describe(opened.error()));
    if (is(opened.error(), client_status::encoding_unknown)) text += " (--key-encoding)";
    throw failure(code_of(opened.error()), text, {{"status", json_of(opened.error())}, {"nsid", nsid}});
  }
  ns_.emplace(*std::move(opened));
}

std::uint64_t session::longest_value(std::size_t key_bytes) const {
  const nkv::limits& l = profile().limits;
  const std::uint64_t head = profile().quirks.encoding == nkv::key_encoding::payload_head ? 2 + key_bytes : 0;
  std::uint64_t most = std::min<std::uint64_t>(l.max_value_bytes, 0xffffffffu - head);
  if (l.max_transfer_bytes > head) most = std::min(most, l.max_transfer_bytes - head);
  return most;
}

nkv::host::registration session::allocate(std::uint64_t bytes) const {
  auto memory =
      controller_.allocate(std::max<std::size_t>(static_cast<std::size_t>(bytes), 1), {}, options_.deadline());
  if (!memory)
    throw failure(code_of(memory.error()), fmt::format("cannot register {} of memory: {}", human_bytes(bytes),
                                                       nkv::host::describe(memory.error())));
  return *std::move(memory);
}

failure session::failure_of(const nkv::outcome& o, const nkv::operation& op) const {
  exit_code code = code_of(o.status);
  std::string text = nkv::host::describe(o, op, profile().nsid);
  if (code == exit_timeout && is(o.status, client_status::outcome_unknown)) {
    // Which of the two: a target that is only slow is still there, or does not answer this either.
    const status now = controller_.check(nkv::host::deadline::after_ms(100));
    if (!now.ok() && code_of(now) == exit_connection) {
      code = exit_connection;
      text += ": the connection was lost";
    }
  }
  nlohmann::json details = op.key.empty() ? nlohmann::json::object() : json_of(op.key);
  details["opcode"] = nkv::opcode_text(op.opcode);
  details["nsid"] = profile().nsid;
  details["status"] = json_of(o.status);
  if (o.length_known && is(o.status, client_status::value_too_large)) details["length_bytes"] = o.length_bytes;
  return {code, std::move(text), std::move(details)};
}

nkv::outcome session::run(const nkv::operation& op) const {
  const nkv::outcome o = ns_->run(op, options_.deadline());
  if (!o) throw failure_of(o, op);
  return o;
}

session::value session::retrieve(nkv::key_view key, const nkv::retrieve_options& how, nkv::outcome& last) const {
  const std::uint64_t most = longest_value(key.size());
  std::uint64_t room = std::min(first_room_bytes, most);
  for (;;) {
    value out;
    out.memory = allocate(room);
    const nkv::operation op = nkv::operation::retrieve(key, {out.memory.value().address, room}, how);
    last = ns_->run(op, options_.deadline());
    if (last.status.is_key_does_not_exist()) return out;
    if (last.ok()) {
      out.length_bytes = last.length_bytes;
      // Without a length a full buffer may be the beginning of more.
      if (last.length_known || room == most) return out;
    } else if (!is(last.status, client_status::value_too_large)) {
      throw failure_of(last, op);
    }
    // The value may grow between two Retrieves; there is more room each time, so this ends.
    const std::uint64_t needed = last.length_known ? std::max(last.length_bytes, room + 1) : room * 2;
    if (room == most || (last.length_known && needed > most)) throw failure_of(last, op);
    room = std::min(needed, most);
  }
}

session::value session::retrieve(nkv::key_view key, const nkv::retrieve_options& how) const {
  nkv::outcome last;
  value v = retrieve(key, how, last);
  if (last.ok()) return v;
  throw failure_of(last, nkv::operation::retrieve(key, {}));
}

std::optional<session::value> session::retrieve_if_there(nkv::key_view key) const {
  nkv::outcome last;
  value v = retrieve(key, {}, last);
  if (last.ok()) return v;
  return std::nullopt;
}

void session::store(nkv::key_view key, nkv::byte_span bytes, const nkv::store_options& how) const {
  const nkv::host::registration memory = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(memory.data(), bytes.data(), bytes.size());
  run(nkv::operation::store(key, {memory.value().address, bytes.size()}, how));
}

}  // namespace tools
