// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <nkv/base/config.hpp>
#include <nkv/base/span.hpp>
#include <nkv/target/execute/execute_binding.hpp>
#include <nkv/target/execute/execute_runtime.hpp>
#include <nkv/target/execute/program.hpp>
#include <nkv/target/execute/program_source.hpp>
#include <nkv/target/store.hpp>
#include <nkv/target/waker.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace nkv::inline NKV_ABI {
namespace target {

/// Makes programs of modules that are stored: fetches a module from its store, compares its SHA-256 with the
/// allowlist's, has the runtime compile it, and keeps the program by that hash, so that each is made once. Not the name
/// but the hash says which module it is: one that takes another's place is refused, and does not disturb what was made
/// of the first.
///
/// Needs libcrypto (nkv::execute). Any thread; load() one call at a time.
class module_loader final : public program_source {
 public:
  using runtimes = std::map<std::string, std::shared_ptr<execute_runtime>>;

  /// @param engines by the names that bindings give; null: one that could not be loaded
  explicit module_loader(runtimes engines, program_source_options options = {})
      : engines_(std::move(engines)), options_(options) {}

  [[nodiscard]] std::shared_ptr<const program> find(const execute_binding& b) noexcept override {
    const std::lock_guard lock(mutex_);
    try {
      const auto found = by_key_.find(key_of(b));
      if (found == by_key_.end()) return nullptr;
      kept_.splice(kept_.begin(), kept_, found->second);
      return found->second->program;
    } catch (...) {
      return nullptr;
    }
  }

  [[nodiscard]] run_result load(const execute_binding& b, store& own, std::string& why) noexcept override {
    try {
      if (find(b) != nullptr) return run_result::ok;
      const auto engine = engines_.find(b.runtime);
      if (engine == engines_.end() || engine->second == nullptr) {
        why = "no runtime \"" + b.runtime + '"';
        return run_result::no_runtime;
      }
      held_value module;
      if (engine->second->needs_module()) {
        if (const run_result r = fetch(b.module, b.module.store != nullptr ? *b.module.store : own, module, why);
            r != run_result::ok)
          return r;
        if (!is(module.bytes, b.sha256)) {
          why = "its SHA-256 is not the one allowed";
          return run_result::not_allowed;
        }
      }
      std::shared_ptr<const program> made = engine->second->prepare(module.bytes, b.function, why);
      if (made == nullptr) return why.empty() ? run_result::no_memory : run_result::not_allowed;
      keep(key_of(b), std::move(made), module.bytes.size());
      return run_result::ok;
    } catch (...) {
      return run_result::no_memory;
    }
  }

  /// How many programs are kept. Any thread.
  [[nodiscard]] std::size_t programs() const noexcept {
    const std::lock_guard lock(mutex_);
    return by_key_.size();
  }

 private:
  using key = std::tuple<std::string, std::string, std::array<std::byte, 32>>;
  struct kept {
    module_loader::key key;
    std::shared_ptr<const target::program> program;
    std::uint64_t bytes;
  };

  static key key_of(const execute_binding& b) { return {b.runtime, b.function, b.sha256}; }

  static bool is(byte_span module, const std::array<std::byte, 32>& wanted) noexcept {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    return EVP_Digest(module.data(), module.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1 &&
           length == wanted.size() && CRYPTO_memcmp(digest.data(), wanted.data(), wanted.size()) == 0;
  }

  /// Waits for one operation of a store, on a thread that may.
  class waiting final : public waker {
   public:
    void wake() noexcept override {
      const std::lock_guard lock(mutex_);
      woken_ = true;
      changed_.notify_one();
    }
    void wait(finished_operations& home) noexcept {
      std::unique_lock lock(mutex_);
      while (home.take() == nullptr) {
        changed_.wait(lock, [this] { return woken_; });
        woken_ = false;
      }
      lock.unlock();
      // The giver may still be on its way out.
      while (!home.idle()) std::this_thread::yield();
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = false;
  };

  run_result fetch(const module_location& where, store& from, held_value& module, std::string& why) const {
    waiting thread;
    finished_operations home(thread);
    store_operation op;
    op.home = &home;
    op.verb = store_verb::retrieve;
    op.key = {reinterpret_cast<const std::byte*>(where.name.data()), where.name.size()};
    op.object_name = where.is_object_name;
    op.data_bytes = options_.max_module_bytes;
    op.whole = &module;
    progress p = from.submit(op);
    while (p == progress::more) p = from.proceed(op);
    if (p == progress::later) thread.wait(home);
    if (op.result == store_result::no_memory) return run_result::no_memory;
    if (op.result == store_result::absent) why = "there is no such module";
    if (op.result != store_result::ok && why.empty()) why = "the module cannot be read";
    if (op.result == store_result::ok && op.true_length > options_.max_module_bytes)
      why = "the module is longer than this target takes";
    if (why.empty() && (module.keep == nullptr || module.bytes.size() != op.true_length))
      why = "the module cannot be read whole";
    return why.empty() ? run_result::ok : run_result::not_allowed;
  }

  void keep(key k, std::shared_ptr<const program> made, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    kept_.push_front({std::move(k), std::move(made), bytes});
    by_key_[kept_.front().key] = kept_.begin();
    bytes_ += bytes;
    // The newest stays in any case.
    while (by_key_.size() > 1 && (by_key_.size() > options_.max_programs || bytes_ > options_.max_program_bytes)) {
      bytes_ -= kept_.back().bytes;
      by_key_.erase(kept_.back().key);
      kept_.pop_back();
    }
  }

  const runtimes engines_;
  const program_source_options options_;

  mutable std::mutex mutex_;
  std::list<kept> kept_;
  std::map<key, std::list<kept>::iterator> by_key_;
  std::uint64_t bytes_ = 0;
};

}  // namespace target
}  // namespace nkv::inline NKV_ABI
