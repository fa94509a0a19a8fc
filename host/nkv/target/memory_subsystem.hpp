// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/target/kv_namespace.hpp>
#include <nkv/target/memory_store.hpp>
#include <nkv/target/subsystem.hpp>

#include <memory>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// A subsystem with one namespace in this process's memory: nsid 1 unless the options say otherwise.
/// @return the subsystem, or null for an nsid that none can have
[[nodiscard]] inline std::shared_ptr<subsystem> memory_subsystem(namespace_options ns = {},
                                                                 memory_store_options store = {}) {
  auto out = std::make_shared<subsystem>();
  auto held = std::make_shared<kv_namespace>(std::move(ns), std::make_shared<memory_store>(std::move(store)));
  if (!out->add(std::move(held)).ok()) return nullptr;
  return out;
}

}  // namespace target
}  // namespace nkv::inline NKV_ABI
