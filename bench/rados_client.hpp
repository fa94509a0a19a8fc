// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "failure.hpp"
#include "rados_load.hpp"

#include <nkv/client/operation.hpp>
#include <nkv/host/connect.hpp>

#include <poll.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace bench::rados {

/// One namespace of the target, in memory that the target maps. Sleeps where nothing has come.
class nkv_client {
 public:
  static constexpr std::uint32_t most_depth = 64;

  nkv_client(const std::string& endpoint, std::uint32_t nsid, std::uint64_t memory_bytes)
      : controller_(must(nkv::host::connect(endpoint), "connect")),
        ns_(must(controller_.open_namespace(nsid, options()), "the namespace")),
        memory_(must(controller_.allocate(memory_bytes), "memory")) {
    std::memset(memory_.data(), 'v', memory_bytes);
  }

  [[nodiscard]] std::byte* data() const { return memory_.data(); }

  window run(const load& l, unsigned ms) {
    struct slot {
      nkv::kv_ticket ticket;
      std::string key;
      std::uint64_t began_ns = 0;
    };
    std::vector<slot> slots(l.depth);
    const auto ns = ns_.ref();
    std::uint32_t next = 0, under_way = 0;
    const auto begin = [&](std::uint32_t i) {
      slot& s = slots[i];
      s.key = key_of(l.block_bytes, next++ % l.values());
      const nkv::value_ref where{memory_.value().address + std::uint64_t{i} * l.block_bytes, l.block_bytes, 0};
      s.began_ns = now_ns();
      const auto t = ns.submit(l.what == verb::store ? nkv::operation::store(view_of(s.key), where)
                                                     : nkv::operation::retrieve(view_of(s.key), where));
      if (!t) throw failure(l.name(), t.error());
      s.ticket = *t;
    };
    window_clock clock(ms);
    for (std::uint32_t i = 0; i < l.depth; ++i) {
      begin(i);
      ++under_way;
    }
    const nkv::host::completion_event& event = ns_.queue().event();
    for (std::uint64_t idle_since_ns = now_ns(); under_way != 0;) {
      bool any = false;
      for (std::uint32_t i = 0; i < l.depth; ++i) {
        slot& s = slots[i];
        if (!s.ticket.valid()) continue;
        const nkv::outcome o = ns.poll(s.ticket);
        if (o.status == nkv::status(nkv::client_status::would_block)) continue;
        any = true;
        clock.ended(s.began_ns);
        s.ticket = {};
        if (!o.ok() || (l.what == verb::retrieve && o.length_bytes != l.block_bytes)) throw failure(l.name(), o.status);
        if (clock.over()) {
          --under_way;
        } else {
          begin(i);
        }
      }
      if (any) {
        idle_since_ns = now_ns();
      } else if (now_ns() - idle_since_ns > spin_ns) {
        pollfd readable{event.fd(), POLLIN, 0};
        if (::poll(&readable, 1, 10'000) != 1) throw failure(l.name() + ": no completion within 10 seconds");
        event.clear();
        idle_since_ns = now_ns();
      }
    }
    return clock.result();
  }

  /// One Execute, for as long as it takes. @return its result
  std::uint64_t execute(std::uint32_t op_id, const std::string& key, nkv::status& how) {
    const nkv::key_view k = view_of(key);
    const nkv::value_ref payload{memory_.value().address, 256, 0};
    const nkv::outcome o = ns_.run(nkv::operation::execute(op_id, k, payload, memory_.data(), 0, 8));
    how = o.status;
    std::uint64_t out = 0;
    if (o.ok()) std::memcpy(&out, memory_.data() + nkv::execute_result_offset(ns_.profile(), k), sizeof out);
    return out;
  }
  /// One Retrieve into the memory's beginning.
  void retrieve(const std::string& key, std::uint32_t bytes) {
    const nkv::outcome o = ns_.run(nkv::operation::retrieve(view_of(key), {memory_.value().address, bytes, 0}));
    if (!o.ok()) throw failure("Retrieve", o.status);
  }
  void store(const std::string& key, nkv::byte_span value) {
    if (const nkv::outcome o = ns_.store(view_of(key), value); !o.ok()) throw failure("Store", o.status);
  }

 private:
  static constexpr std::uint64_t spin_ns = 10'000;  // a cache hit's time, and little beside a cluster's

  template <class T>
  static T must(nkv::host::result<T> r, const char* what) {
    if (!r) throw failure(what, r.error());
    return *std::move(r);
  }
  static nkv::host::namespace_options options() {
    nkv::host::namespace_options o;
    o.queue.entries = 2 * most_depth;
    o.queue.completion_event = true;
    return o;
  }

  nkv::host::controller controller_;
  nkv::host::kv_namespace<nkv::exclusive> ns_;
  nkv::host::registration memory_;
};

}  // namespace bench::rados
