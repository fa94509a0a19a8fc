// SPDX-License-Identifier: BSD-3-Clause
//
// A controller that lies: its capabilities, Identify pages, statuses, values and List pages come from the input. The
// client comes to an end, points it at no memory but what was registered, and gives its own caller no nonsense.
#include <sched.h>
#include <time.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

/// Everything here runs on one thread, so that who waits waits for nothing: time goes by where the client looks at it,
/// and a lost connection costs a run no time.
namespace {
std::uint64_t now_ns = 1'000'000'000;

int nkv_test_clock_gettime(clockid_t, timespec* t) noexcept {
  now_ns += 1'000'000;
  *t = {static_cast<time_t>(now_ns / 1'000'000'000), static_cast<long>(now_ns % 1'000'000'000)};
  return 0;
}
int nkv_test_sched_yield() noexcept {
  now_ns += 1'000'000;
  return 0;
}
int nkv_test_nanosleep(const timespec* t, timespec*) noexcept {
  now_ns += static_cast<std::uint64_t>(t->tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t->tv_nsec);
  return 0;
}
}  // namespace
// The headers above have the real ones; the library's below get these.
#define clock_gettime nkv_test_clock_gettime
#define sched_yield nkv_test_sched_yield
#define nanosleep nkv_test_nanosleep

#include <support/attach_scripted.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fuzz.hpp"

using namespace nkv;
using nkv_test::require;
using nkv_test::script;
using nkv_test::seed;

namespace {

nkv_test::reached reached{"outcomes",
                          {"brought up",
                           "not brought up",
                           "namespaces listed",
                           "a KV namespace",
                           "another command set",
                           "no such namespace",
                           "inline_cdw found",
                           "payload_head found",
                           "encoding_unknown",
                           "wrong_command_set",
                           "no key format",
                           "Store",
                           "Retrieve",
                           "Delete",
                           "Exist",
                           "List",
                           "value_too_large",
                           "a malformed List page",
                           "an event",
                           "a PRP list",
                           "SGL",
                           "a lost connection"}};

/// What the controller answers: records of the input, one for each command that asks for one.
class liar {
 public:
  liar(nkv_test::fuzz_input& in, script& s) : in_(in), script_(s) {}

  std::optional<script::answer> operator()(std::uint16_t qid, const sqe& c) {
    // One that goes on for ever hangs up some day.
    if (++commands_ == most_commands) script_.gone = script_.lost = true;
    if (qid != 0) return io(c);
    if (nkv_test::is_admin(c, admin_opcode::identify)) return identify(c);
    if (nkv_test::is_admin(c, admin_opcode::get_log_page)) {
      require(inside(c.dptr().low, 4 * ((c.cdw(10) >> 16) + 1)), "a log page goes to registered memory");
      return std::nullopt;
    }
    if (!in_.done() && nkv_test::is_admin(c, admin_opcode::set_features) && (c.cdw(10) & 0xff) == 7)
      return script::answer{{}, in_.take<std::uint32_t>(), false};
    return std::nullopt;
  }

 private:
  /// Whether the controller may reach this.
  [[nodiscard]] bool inside(std::uint64_t address, std::uint64_t bytes) const {
    const auto next = script_.mapped.upper_bound(address);
    if (next == script_.mapped.begin()) return false;
    const auto& [begin, length] = *std::prev(next);
    return address - begin < length && bytes <= length - (address - begin);
  }

  static script::answer failed(unsigned sc, unsigned sct) {
    return {{static_cast<status_code_type>(sct % 4), static_cast<std::uint8_t>(sc)}, 0, false};
  }

  std::optional<script::answer> identify(const sqe& c) {
    require(inside(c.dptr().low, identify_bytes), "an Identify page goes to registered memory");
    const unsigned cns = nkv_test::cns_of(c);
    const auto kept = kept_.find(cns);
    if (kept != kept_.end()) return give(c, kept->second);
    if (in_.done()) return std::nullopt;
    const unsigned how = in_.byte();
    page answer;
    switch (how & 7) {
      case 0: return std::nullopt;
      case 2: {
        const unsigned sc = in_.byte();
        return failed(sc, in_.byte());
      }
      case 3: answer.bytes.fill(static_cast<std::byte>(in_.byte())); break;
      case 4: {  // nsids that rise
        std::uint32_t at = in_.take<std::uint32_t>();
        const std::uint32_t by = in_.take<std::uint8_t>();
        for (std::size_t i = 0; i < identify_bytes; i += 4, at += by) store_le(answer.bytes.data() + i, at);
        break;
      }
      default: break;
    }
    for (unsigned patches = (how >> 3) & 7; patches != 0; --patches) {
      const std::size_t at = in_.take<std::uint16_t>() % identify_bytes;
      const byte_span from = in_.bytes(in_.byte());
      if (!from.empty()) std::memcpy(answer.bytes.data() + at, from.data(), std::min(from.size(), identify_bytes - at));
    }
    if ((how & 0x80) != 0) kept_[cns] = answer;
    return give(c, answer);
  }

  struct page {
    std::array<std::byte, identify_bytes> bytes{};
  };
  static script::answer give(const sqe& c, const page& p) {
    std::memcpy(reinterpret_cast<void*>(c.dptr().low), p.bytes.data(), identify_bytes);
    return {};
  }

  std::optional<script::answer> io(const sqe& c) {
    std::vector<mutable_byte_span> data = pieces(c);
    if (in_.done()) return std::nullopt;
    const unsigned how = in_.byte();
    script::answer a;
    switch (how % 4) {
      case 0: return std::nullopt;
      case 1: {
        const unsigned sc = in_.byte();
        a = failed(sc, in_.byte());
        break;
      }
      default: break;
    }
    a.dw0 = in_.take<std::uint32_t>();
    byte_span from = in_.bytes(in_.take<std::uint16_t>());
    for (const mutable_byte_span& to : data) {
      const std::size_t n = std::min(from.size(), to.size());
      if (n != 0) std::memcpy(to.data(), from.data(), n);
      from = from.subspan(n);
    }
    return a;
  }

  /// The memory that a command names, all of it registered. What its length is the command says.
  std::vector<mutable_byte_span> pieces(const sqe& c) const {
    std::vector<mutable_byte_span> all;
    const auto add = [&](std::uint64_t address, std::uint64_t bytes) {
      require(inside(address, bytes), "a command's data is registered memory");
      all.emplace_back(reinterpret_cast<std::byte*>(address), static_cast<std::size_t>(bytes));
    };
    const data_pointer p = c.dptr();
    if (p.format != psdt::prp) {
      reached("SGL");
      sgl_descriptor first = p.sgl1();
      if (first.type() == sgl_type::data_block) {
        add(first.address, first.length_bytes);
      } else {
        require(inside(first.address, first.length_bytes) && first.length_bytes % sizeof first == 0, "an SGL segment");
        for (std::uint32_t at = 0; at < first.length_bytes; at += static_cast<std::uint32_t>(sizeof first)) {
          sgl_descriptor d;
          std::memcpy(&d, reinterpret_cast<const void*>(first.address + at), sizeof d);
          require(d.type() == sgl_type::data_block, "an SGL of data blocks");
          add(d.address, d.length_bytes);
        }
      }
      return all;
    }
    const auto opc = static_cast<kv_opcode>(c.opc());
    if (p.low == 0 || opc == kv_opcode::remove || opc == kv_opcode::exist) return all;
    // By PRPs: without a head in front (the client takes SGLs for that, or one page).
    const std::uint64_t page_bytes = 4096u << ((script_.cap >> 48) & 0xf);
    std::uint64_t left = c.cdw(10);
    const std::uint64_t first = std::min(left, page_bytes - p.low % page_bytes);
    add(p.low, first);
    left -= first;
    if (left == 0) return all;
    if (left <= page_bytes) {
      add(p.high, left);
      return all;
    }
    reached("a PRP list");
    std::uint64_t list = p.high;
    while (left != 0) {
      require(inside(list, 8), "a PRP list is registered memory");
      std::uint64_t entry = 0;
      std::memcpy(&entry, reinterpret_cast<const void*>(list), 8);
      if (list % page_bytes == page_bytes - 8 && left > page_bytes) {
        list = entry;
        continue;
      }
      list += 8;
      const std::uint64_t n = std::min(left, page_bytes);
      add(entry, n);
      left -= n;
    }
    return all;
  }

  nkv_test::fuzz_input& in_;
  script& script_;
  std::map<unsigned, page> kept_;
  static constexpr unsigned most_commands = 100;
  unsigned commands_ = 0;
};

/// A failure that is no waiting.
void failed(status s) {
  require(!s.ok(), "a failure has a status");
  require(!(s == status(client_status::timed_out)), "nothing waits");
}

void use(const host::kv_namespace<>& ns, nkv_test::fuzz_input& in, host::deadline until) {
  const namespace_profile& profile = ns.profile();
  reached(profile.quirks.encoding == key_encoding::inline_cdw ? "inline_cdw found" : "payload_head found");
  require(profile.limits.max_key_bytes != 0 && profile.limits.max_key_bytes <= max_key_bytes, "keys have a length");
  const std::byte key_bytes[20] = {std::byte{'k'}};
  for (unsigned n = 0; n < 8 && !in.done(); ++n) {
    const unsigned what = in.byte();
    const key_view key{key_bytes, 1 + what / 8 % sizeof key_bytes};
    const std::size_t room = in.take<std::uint16_t>();
    outcome o;
    const char* goal = "";
    switch (what % 7) {
      case 0: {
        const std::vector<std::byte> value(room);
        o = ns.store(key, {value.data(), value.size()}, until);
        goal = "Store";
        break;
      }
      case 1: {
        std::vector<std::byte> value(room);
        o = ns.retrieve(key, {value.data(), value.size()}, until);
        if (o.ok() && o.length_known) require(o.length_bytes <= room, "a value that was read had room");
        goal = "Retrieve";
        break;
      }
      case 2:
        o = ns.remove(key, until);
        goal = "Delete";
        break;
      case 3:
        o = ns.exist(key, until);
        goal = "Exist";
        break;
      case 4:
      case 5: {
        unsigned keys = 0;
        o = ns.for_each_key(
            {},
            [&](key_view k) {
              require(!k.empty() && k.size() <= profile.limits.max_key_bytes, "a key has a length");
              // Every byte of it is there.
              volatile std::byte sink{};
              for (std::size_t i = 0; i < k.size(); ++i) sink = k[i];
              static_cast<void>(sink);
              return ++keys < 1000;
            },
            until);
        if (o.status == status(client_status::truncated) || o.status == status(client_status::protocol_error))
          reached("a malformed List page");
        goal = "List";
        break;
      }
      default: {
        const auto all = ns.retrieve_all(key, until);
        if (!all) {
          failed(all.error());
          if (all.error() == status(client_status::value_too_large)) reached("value_too_large");
        } else {
          require(all->size() <= (1u << 20), "a value has the length that may be staged");
          reached("Retrieve");
        }
        continue;
      }
    }
    if (o.ok()) {
      reached(goal);
    } else {
      failed(o.status);
      if (o.status == status(client_status::value_too_large)) reached("value_too_large");
    }
  }
}

void talk(const std::shared_ptr<script>& s, nkv_test::fuzz_input& in) {
  const host::deadline until = host::deadline::after_ms(60'000);
  host::controller_options options;
  options.queue_pairs = 1 + in.byte() % 4;
  const unsigned nsid = in.byte();
  const unsigned calls = in.byte();
  auto made = nkv_test::attach(s, until, options);
  if (!made) {
    failed(made.error());
    reached("not brought up");
    return;
  }
  reached("brought up");
  host::controller& c = *made;
  require(c.max_queue_pairs() >= 1 && c.max_queue_pairs() <= options.queue_pairs, "queue pairs were asked for");

  if ((calls & 1) != 0) {
    const auto all = c.namespaces(until);
    if (all) {
      require(all->size() <= 1024, "so many namespaces");
      std::uint32_t before = 0;
      for (const host::namespace_info& info : *all) {
        require(info.nsid > before && info.nsid < 0xffffffffu, "nsids rise");
        before = info.nsid;
      }
      if (!all->empty()) reached("namespaces listed");
    } else {
      failed(all.error());
    }
  }
  if ((calls & 2) != 0) {
    const auto info = c.identify_namespace(nsid, until);
    if (info) {
      require(info->nsid == nsid && info->csi <= 256, "a namespace is the one that was asked for");
      reached(info->is_kv() ? "a KV namespace" : "another command set");
    } else {
      failed(info.error());
      if (info.error() == status(client_status::not_found)) reached("no such namespace");
    }
  }
  if ((calls & 4) != 0) {
    s->raise_event(in.take<std::uint32_t>());
    const auto event = c.poll_event(until);
    if (event) {
      reached("an event");
    } else {
      failed(event.error());
    }
  }
  if ((calls & 8) != 0) {
    host::namespace_options how;
    how.queue.entries = 2 + in.byte() % 7;
    how.staging_bytes = 1 << 20;
    if ((calls & 16) != 0) how.encoding = (calls & 32) != 0 ? key_encoding::payload_head : key_encoding::inline_cdw;
    const auto ns = c.open_namespace(nsid, how, until);
    if (ns) {
      use(*ns, in, until);
    } else {
      failed(ns.error());
      if (ns.error() == status(client_status::encoding_unknown)) reached("encoding_unknown");
      if (ns.error() == status(client_status::wrong_command_set)) reached("wrong_command_set");
      if (ns.error() == status(client_status::protocol_error)) reached("no key format");
      if (ns.error() == status(client_status::not_found)) reached("no such namespace");
    }
  }
  if ((calls & 64) != 0) static_cast<void>(c.reset(until).ok());
  const status ended = c.shutdown(until);
  require(ended.ok() != s->lost, "a controller that follows is shut down");
  if (s->lost) reached("a lost connection");
  require(!until.expired(), "nothing waits");
}

// Seeds
// ---------------------------------------------------------------------------------------------------------------------

/// MQES 63, contiguous queues, I/O command sets.
constexpr std::uint64_t cap = 0x0000'0800'0001'003f;

struct call {
  unsigned calls;
  unsigned nsid = 1;
  std::uint64_t with_cap = cap;
};
seed begin(const call& c) { return seed{}.u64(c.with_cap).u8(3).u8(c.nsid).u8(c.calls).u8(0).u32(0x00030003); }
/// An Identify page of zeros with one patch.
seed patched(unsigned at, const seed& bytes, unsigned kept = 0) {
  return seed{}.u8(kept | 1 << 3 | 1).u16(at).u8(static_cast<unsigned>(bytes.size())).add(bytes);
}
seed data(unsigned dw0, const seed& bytes) {
  return seed{}.u8(2).u32(dw0).u16(static_cast<unsigned>(bytes.size())).add(bytes);
}
seed refusal(unsigned sc, unsigned sct) { return seed{}.u8(1).u8(sc).u8(sct).u32(0).u16(0); }

}  // namespace

void nkv_test::write_seeds(seed_folder& folder) {
  const seed key_format = seed{}.u16(255).u16(0).u32(1 << 20);
  const seed descriptors = patched(0, seed{}.u8(2).u8(16).u16(0).u64(0).u64(0).u8(4).u8(1).u16(0).u8(1));
  folder.add(begin({1 | 2 | 4 | 64}).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0x040002));
  folder.add(begin({2, 9}));
  folder.add(begin({2, 2}).add(patched(0, seed{}.u8(4).u8(1).u16(0).u8(0))));
  folder.add(begin({8, 2}).add(patched(0, seed{}.u8(4).u8(1).u16(0).u8(2))));
  folder.add(begin({8}).u8(0).add(patched(72, seed{}.u64(0))));
  folder.add(begin({1, 1, 0xffff'ffff'ffff'ffff}));
  folder.add(seed{}.u64(cap).u8(3).u8(1).u8(1).u8(2).u8(6).u8(0));
  // A controller of its own sort; more nsids than it answers for; a few, none known by CNS 03h.
  folder.add(seed{}.u64(cap).u8(3).u8(1).u8(1).u8(0x80 | 4).u32(1).u8(1));
  folder.add(begin({1}).u8(0x80 | 4).u32(1).u8(1).u8(0).u8(0x80 | 1).add(patched(72, key_format, 0x80)));
  const seed few = seed{}.u32(3).u32(7);
  folder.add(
      begin({1}).add(patched(0, few, 0x80)).add(patched(0, few, 0x80)).u8(0x80 | 1).add(patched(72, key_format, 0x80)));
  // Descriptors to the last bytes of the page.
  folder.add(begin({2}).u8(1 << 3 | 3).u8(29).u16(4092).u8(2).u8(4).u8(1));
  // An encoding is found, or none.
  const seed list_page = seed{}.u32(2).u16(3).text("abc").u8(0).u8(0).u8(0).u16(2).text("de");
  for (const unsigned miss : {0x87u, 0x02u, 0x55u}) {
    seed s = begin({8}).u8(3).u8(0).u8(0);
    s.add(refusal(miss, 0)).add(refusal(miss == 0x02 ? 0x87 : 0x55, 0));
    folder.add(s);
  }
  for (const unsigned head : {0u, 32u}) {
    seed s = begin({8 | 16 | head}).add(descriptors).add(patched(72, key_format)).u8(3);
    if (head != 0) s.add(refusal(0x87, 0));
    s.u8(0).u16(100).add(data(0, seed{}));
    s.u8(1).u16(100).add(data(7, seed{}.text("a value")));
    s.u8(2).u16(0).add(data(0, seed{}));
    s.u8(3).u16(0).add(data(0, seed{}));
    s.u8(4).u16(0).add(data(20, list_page)).add(data(4, seed{}.u32(0)));
    s.u8(6).u16(0).add(data(0x7fffffff, seed{}.text("x")));
    s.u8(4).u16(0).add(data(20, seed{}.u32(9).u16(300)));
    folder.add(s);
  }
  // Without SGLs: a PRP list.
  seed prp = seed{}.u64(cap).u8(3).u8(1).u8(8 | 16).add(patched(536, seed{}.u32(0))).u32(0x00030003);
  prp.add(descriptors).add(patched(72, key_format)).u8(3).u8(0).u16(20000).add(data(0, seed{}));
  prp.u8(1).u16(20000).add(data(20000, seed{}.text("a value")));
  folder.add(prp);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nkv_test::fuzz_input in(data, size);
  const auto s = std::make_shared<script>();
  s->add_kv(1);
  s->namespaces[2] = 0;
  // All that has no say in how long the client waits.
  const std::uint64_t said = in.take<std::uint64_t>();
  s->cap = (said == ~std::uint64_t{0} ? said : (said & 0xffff'ffff'00ff'ffff) | 20u << 24);
  // As on_command looks at the script that holds it, it does not outlive it.
  liar answers(in, *s);
  s->on_command = [&answers](std::uint16_t qid, const sqe& c) { return answers(qid, c); };
  talk(s, in);
  s->on_command = nullptr;
  return 0;
}
