// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <conformance/pattern.hpp>
#include <support/target_process.hpp>
#include <support/target_shapes.hpp>

#include <doctest/doctest.h>
#include <nkv/host/connect.hpp>
#include <nkv/host/describe.hpp>
#include <nkv/nkv.hpp>
#include <nkv/target/inproc_server.hpp>

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// What a failed check prints of a status.
namespace doctest {
template <>
struct StringMaker<nkv::status> {
  static String convert(const nkv::status& s) { return nkv::host::describe(s).c_str(); }
};
}  // namespace doctest

namespace nkv_test {

using client = nkv::client_status;
using nkv::key_view;
using nkv::operation;
using nkv::outcome;
using nkv::status;

constexpr std::size_t page = 4096;
constexpr std::byte blank{0xa5};  ///< of memory that nothing has been read into
template <class Sharing>
using opened = nkv::host::kv_namespace<Sharing>;
template <class Sharing>
using kv = typename opened<Sharing>::ref_type;

inline nkv::host::deadline in_ms(std::uint64_t ms) { return nkv::host::deadline::after_ms(ms); }
/// Long enough for anything that ends at all, on a busy machine and under a sanitizer too.
inline nkv::host::deadline soon() { return in_ms(60'000); }

inline key_view bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// A target of its own for one test case, in this process or in another, over a gated_store unless told otherwise.
class served {
 public:
  enum kind_type { inproc, vfio_user };

  explicit served(kind_type kind, const std::string& shape = "gated") : kind_(kind), shape_(shape) {
    if (kind == vfio_user) {
      endpoint_ = "vfio-user:" + folder_.path();
      start();
      return;
    }
    static std::atomic<unsigned> count{0};
    const std::string name = "system-" + std::to_string(count++);
    endpoint_ = "inproc:" + name;
    const target_shape made = target_shape::named(shape);
    REQUIRE(made.subsystem != nullptr);
    nkv::target::inproc_server_options options;
    options.controller = made.controller;
    server_ = std::make_unique<nkv::target::inproc_server>(name, made.subsystem, options);
    REQUIRE(server_->error() == status());
  }

  /// vfio_user: starts the process again after it has ended.
  void start() {
    const std::string error = process_.start(NKV_TEST_TARGET, {folder_.path(), shape_});
    REQUIRE_MESSAGE(error.empty(), error);
  }

  [[nodiscard]] kind_type kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& endpoint() const noexcept { return endpoint_; }
  /// Where a served::vfio_user has its socket.
  [[nodiscard]] const std::string& folder() const noexcept { return folder_.path(); }
  [[nodiscard]] target_process& process() noexcept { return process_; }
  /// inproc: ends the server.
  void stop() { server_.reset(); }

  [[nodiscard]] nkv::host::controller connect(const nkv::host::connect_options& options = {}) const {
    auto c = nkv::host::connect(endpoint_, options, soon());
    REQUIRE_MESSAGE(c, nkv::host::describe(c.error()));
    return *std::move(c);
  }

 private:
  const kind_type kind_;
  const std::string shape_;
  temporary_folder folder_;
  target_process process_;
  std::unique_ptr<nkv::target::inproc_server> server_;
  std::string endpoint_;
};

template <class Sharing>
inline opened<Sharing> open(const nkv::host::controller& c, std::uint32_t nsid, std::uint32_t entries) {
  nkv::host::namespace_options how;
  how.queue.entries = entries;
  auto ns = c.open_namespace<Sharing>(nsid, how, soon());
  REQUIRE_MESSAGE(ns, nkv::host::describe(ns.error()));
  return *std::move(ns);
}

inline nkv::host::registration allocate(const nkv::host::controller& c, std::size_t size_bytes) {
  auto memory = c.allocate(size_bytes, {}, soon());
  REQUIRE_MESSAGE(memory, nkv::host::describe(memory.error()));
  return *std::move(memory);
}

/// Runs `body(served::kind_type)` over both transports.
template <class Body>
inline void over_both(Body&& body) {
  for (const served::kind_type kind : {served::inproc, served::vfio_user}) {
    CAPTURE(static_cast<int>(kind));
    body(kind);
  }
}

/// What went wrong on other threads, where the checks of the test framework are not for use. Any thread.
class complaints {
 public:
  void add(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (count_++ < 5) text_ += text + "\n";
  }
  void expect(bool good, const char* what, status s = {}) {
    if (!good) add(std::string(what) + ": " + nkv::host::describe(s));
  }
  [[nodiscard]] bool any() const {
    const std::lock_guard lock(mutex_);
    return count_ != 0;
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  void check() const {
    const std::lock_guard lock(mutex_);
    CHECK_MESSAGE(count_ == 0, count_ << " things went wrong:\n" << text_);
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  unsigned count_ = 0;
};

/// Whether `condition` becomes true; it is asked again and again for up to a minute.
template <class Condition>
inline bool becomes(Condition&& condition) {
  const nkv::host::deadline until = soon();
  for (std::uint32_t spins = 0; !condition(); ++spins) {
    if (until.expired()) return false;
    nkv::host::steady_clock::relax(spins);
  }
  return true;
}

/// How long `what` takes.
template <class What>
inline std::uint64_t ms_of(What&& what) {
  const std::uint64_t begin = nkv::host::steady_clock::now_ns();
  what();
  return (nkv::host::steady_clock::now_ns() - begin) / 1'000'000;
}

/// Stores `size` bytes of the pattern of `seed` from `memory` at `offset`.
template <class Ns>
inline outcome put(const Ns& ns, std::string_view key, const nkv::host::registration& memory, std::size_t offset,
                   std::size_t size, std::uint64_t seed, nkv::host::deadline until = soon()) {
  fill_pattern(memory.data() + offset, size, seed);
  return ns.store(bytes_of(key), *memory.value(offset, size), until);
}

/// Whether `key` holds `size` bytes of the pattern of `seed`; uses `memory` at `offset`.
template <class Ns>
inline bool holds(const Ns& ns, std::string_view key, const nkv::host::registration& memory, std::size_t offset,
                  std::size_t size, std::uint64_t seed) {
  std::memset(memory.data() + offset, 0x77, size);
  const outcome o = ns.retrieve(bytes_of(key), *memory.value(offset, size), soon());
  return o.ok() && o.length_bytes == size && pattern_difference(memory.data() + offset, size, seed) == size;
}

/// Puts a value behind a key that is held: the Store, too, is let through only by the release.
template <class Ns>
inline void put_held(const Ns& ns, std::string_view key, const nkv::host::registration& memory, std::size_t offset,
                     std::size_t size, std::uint64_t seed) {
  fill_pattern(memory.data() + offset, size, seed);
  const auto t = ns.submit(operation::store(bytes_of(key), *memory.value(offset, size)));
  REQUIRE(t);
  static_cast<void>(ns.exist(bytes_of("release"), soon()).ok());
  REQUIRE(ns.wait(*t, soon()).status == status());
}

/// Lets all held operations go on.
template <class Ns>
inline void release(const Ns& ns) {
  CHECK(ns.exist(bytes_of("release"), soon()).status.is_key_does_not_exist());
}

}  // namespace nkv_test
