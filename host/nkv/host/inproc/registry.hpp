// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/status.hpp>
#include <nkv/host/clock.hpp>
#include <nkv/host/memory_transport.hpp>
#include <nkv/host/result.hpp>
#include <nkv/spec/status_code.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nkv::inline NKV_ABI {
namespace host {

/// Something in this process that gives out controllers: what `inproc:NAME` leads to.
class inproc_service {
 public:
  inproc_service() = default;
  inproc_service(const inproc_service&) = delete;
  inproc_service& operator=(const inproc_service&) = delete;
  virtual ~inproc_service() = default;

  /// The way to a controller of the caller's own. Any thread.
  /// @return disconnected where the service has ended, busy where it has as many clients as it takes, timed_out
  [[nodiscard]] virtual host::result<std::unique_ptr<memory_transport>> connect(deadline until) = 0;
};

/// The names of the services of this process. Any thread.
class inproc_registry {
 public:
  /// The one that endpoints are looked up in.
  [[nodiscard]] static inproc_registry& process() {
    static inproc_registry registry;
    return registry;
  }

  /// @return bad_argument for an empty name or no service, busy for a name that is taken
  [[nodiscard]] status add(std::string_view name, std::shared_ptr<inproc_service> service) {
    if (name.empty() || service == nullptr) return client_status::bad_argument;
    const std::lock_guard lock(mutex_);
    return services_.emplace(name, std::move(service)).second ? status{} : status{client_status::busy};
  }
  /// Takes the name away where it still leads to `service`. Connections stay.
  void remove(std::string_view name, const inproc_service* service) {
    std::shared_ptr<inproc_service> last;  // declared before the lock: destroyed after it is released
    const std::lock_guard lock(mutex_);
    const auto at = services_.find(name);
    if (at == services_.end() || at->second.get() != service) return;
    last = std::move(at->second);
    services_.erase(at);
  }
  /// @return the service, null where there is none of that name
  [[nodiscard]] std::shared_ptr<inproc_service> find(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto at = services_.find(name);
    return at == services_.end() ? nullptr : at->second;
  }
  /// All names, in order.
  [[nodiscard]] std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    all.reserve(services_.size());
    for (const auto& [name, service] : services_) all.push_back(name);
    return all;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<inproc_service>, std::less<>> services_;
};

}  // namespace host
}  // namespace nkv::inline NKV_ABI
