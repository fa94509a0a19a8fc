// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/spec/status_code.hpp>
#include <nkv/target/kv_namespace.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace target {

/// What a subsystem is, as a configuration gives it. A plain aggregate.
struct subsystem_options {
  std::string subnqn = "nqn.2026-11.io.nkv:default";  ///< at most 223 bytes
  std::string serial = "NKV0000000001";               ///< at most 20 ASCII characters
  std::string model = "nkv embedded target";          ///< at most 40 ASCII characters
  std::uint16_t max_controllers = 1024;
};

/// The namespaces of a subsystem at one moment, by rising nsid.
using namespace_table = std::vector<std::shared_ptr<kv_namespace>>;

/// A name, namespaces, and controller ids: what all controllers that serve it share. Any thread.
class subsystem {
 public:
  static constexpr std::uint32_t max_nsid = 1024;  ///< also the most namespaces: an active list has one page
  static constexpr std::uint16_t no_cntlid = 0xffff;

  explicit subsystem(subsystem_options options = {})
      : options_(std::move(options)),
        table_(std::make_shared<const namespace_table>()),
        cntlids_(std::clamp<std::size_t>(options_.max_controllers, 1, 0xffef), false) {}
  subsystem(const subsystem&) = delete;
  subsystem& operator=(const subsystem&) = delete;

  [[nodiscard]] const subsystem_options& options() const noexcept { return options_; }

  /// Controllers see the namespace from their next look on, and tell their clients.
  /// @return bad_argument for a null pointer or an nsid that is 0, above max_nsid or taken
  [[nodiscard]] status add(std::shared_ptr<kv_namespace> ns) {
    if (ns == nullptr || ns->nsid() == 0 || ns->nsid() > max_nsid) return client_status::bad_argument;
    const std::lock_guard lock(mutex_);
    auto table = std::make_shared<namespace_table>(*table_);
    const auto at = first_from(*table, ns->nsid());
    if (at != table->end() && (*at)->nsid() == ns->nsid()) return client_status::bad_argument;
    table->insert(at, std::move(ns));
    publish(std::move(table));
    return {};
  }

  /// Commands that have begun go on; the namespace and its store live until the last of them ends.
  /// @return not_found
  [[nodiscard]] status remove(std::uint32_t nsid) {
    const std::lock_guard lock(mutex_);
    auto table = std::make_shared<namespace_table>(*table_);
    const auto at = first_from(*table, nsid);
    if (at == table->end() || (*at)->nsid() != nsid) return client_status::not_found;
    table->erase(at);
    publish(std::move(table));
    return {};
  }

  /// The namespaces as they are now. The table does not change; the next one is another.
  [[nodiscard]] std::shared_ptr<const namespace_table> namespaces() const {
    const std::lock_guard lock(mutex_);
    return table_;
  }
  /// Changes with every add() and remove(); cheap enough to look at again and again.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }

  /// @return a controller id that nobody has, or no_cntlid where all are taken
  [[nodiscard]] std::uint16_t allocate_cntlid() noexcept {
    const std::lock_guard lock(mutex_);
    // Onwards from the last one, so that an id comes back late: clients may still know the old controller by it.
    for (std::size_t n = 0; n < cntlids_.size(); ++n) {
      const std::size_t at = (next_cntlid_ + n) % cntlids_.size();
      if (cntlids_[at]) continue;
      cntlids_[at] = true;
      next_cntlid_ = at + 1;
      return static_cast<std::uint16_t>(at + 1);
    }
    return no_cntlid;
  }
  void release_cntlid(std::uint16_t cntlid) noexcept {
    const std::lock_guard lock(mutex_);
    if (cntlid != 0 && cntlid <= cntlids_.size()) cntlids_[cntlid - 1u] = false;
  }

 private:
  static namespace_table::iterator first_from(namespace_table& table, std::uint32_t nsid) noexcept {
    return std::lower_bound(table.begin(), table.end(), nsid,
                            [](const std::shared_ptr<kv_namespace>& ns, std::uint32_t id) { return ns->nsid() < id; });
  }
  void publish(std::shared_ptr<const namespace_table> table) noexcept {
    table_ = std::move(table);
    version_.fetch_add(1, std::memory_order_release);
  }

  const subsystem_options options_;
  mutable std::mutex mutex_;
  std::shared_ptr<const namespace_table> table_;
  std::atomic<std::uint64_t> version_{1};
  std::vector<bool> cntlids_;
  std::size_t next_cntlid_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
