// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <support/faulty_store.hpp>
#include <support/gated_store.hpp>

#include <nkv/kv/key_encoding.hpp>
#include <nkv/target/controller.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/subsystem.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace nkv_test {

/// An embedded target that tests serve, in this process or in another: namespaces and what the controller offers.
struct target_shape {
  std::shared_ptr<nkv::target::subsystem> subsystem;  ///< null for a name that there is not
  nkv::target::controller_options controller;

  /// plain   1 inline_cdw, 2 payload_head, 3 and 4 the same read-only, 5 payload_head whose Exist and Delete do not
  ///         read the head
  /// narrow  transfers to 16 KiB; 1 inline_cdw, keys to 8 bytes, values to 10000; 2 payload_head, keys to 40 bytes,
  ///         values to 100000 (more than one transfer); 3 and 4 as in plain
  /// bounded 1 inline_cdw, values to 16 MiB; 2 payload_head, values to 64 MiB; 3 and 4 as in plain
  /// gated   1 inline_cdw, 2 payload_head, over a gated_store
  /// faulty:LIE:FILE  the same, over a faulty_store that lies and has FILE and a number
  static target_shape named(const std::string& name) {
    target_shape shape;
    auto s = std::make_shared<nkv::target::subsystem>();
    using nkv::key_encoding;
    const auto add = [&s](nkv::target::namespace_options options, std::shared_ptr<nkv::target::store> store) {
      return s->add(std::make_shared<nkv::target::kv_namespace>(std::move(options), std::move(store))).ok();
    };
    const auto memory = [] { return std::make_shared<nkv::target::memory_store>(); };
    const auto options = [](std::uint32_t nsid, key_encoding encoding) {
      nkv::target::namespace_options o;
      o.nsid = nsid;
      o.key_encoding = encoding;
      return o;
    };
    const auto read_only = [&options](std::uint32_t nsid, key_encoding encoding) {
      nkv::target::namespace_options o = options(nsid, encoding);
      o.read_only = true;
      return o;
    };
    bool good = true;
    if (name == "plain") {
      good =
          add(options(1, key_encoding::inline_cdw), memory()) && add(options(2, key_encoding::payload_head), memory());
      nkv::target::namespace_options no_head = options(5, key_encoding::payload_head);
      no_head.reads_head = false;
      good = good && add(no_head, memory());
    } else if (name == "narrow") {
      shape.controller.max_transfer_bytes = 16 * 1024;
      nkv::target::namespace_options one = options(1, key_encoding::inline_cdw);
      one.max_key_bytes = 8;
      one.max_value_bytes = 10'000;
      nkv::target::namespace_options two = options(2, key_encoding::payload_head);
      two.max_key_bytes = 40;
      two.max_value_bytes = 100'000;
      good = add(one, memory()) && add(two, memory());
    } else if (name == "bounded") {
      nkv::target::namespace_options one = options(1, key_encoding::inline_cdw);
      one.max_value_bytes = std::uint64_t{16} << 20;
      nkv::target::namespace_options two = options(2, key_encoding::payload_head);
      two.max_value_bytes = std::uint64_t{64} << 20;
      good = add(one, memory()) && add(two, memory());
    } else if (name == "gated") {
      good = add(options(1, key_encoding::inline_cdw), std::make_shared<gated_store>()) &&
             add(options(2, key_encoding::payload_head), std::make_shared<gated_store>());
    } else if (name.rfind("faulty:", 0) == 0) {
      const std::size_t file = name.find(':', 7) + 1;
      const auto faulty = [&](const char* number) {
        return std::make_shared<faulty_store>(name.substr(file) + number, name.substr(7, file - 8));
      };
      good = add(options(1, key_encoding::inline_cdw), faulty("1")) &&
             add(options(2, key_encoding::payload_head), faulty("2"));
    } else {
      return shape;
    }
    if (name != "gated" && name.rfind("faulty:", 0) != 0)
      good = good && add(read_only(3, key_encoding::inline_cdw), memory()) &&
             add(read_only(4, key_encoding::payload_head), memory());
    if (good) shape.subsystem = std::move(s);
    return shape;
  }
};

}  // namespace nkv_test
