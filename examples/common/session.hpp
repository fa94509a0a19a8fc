// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The host side that all examples have in common: command line, target, memory, and who runs the kernel.
#include "gpu.hpp"
#include "lanes.hpp"

#include <nkv/device/device.hpp>
#include <nkv/host/host.hpp>
#include <nkv/target/target.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace example {

[[noreturn]] inline void fail(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::exit(1);
}

template <class Result>
inline auto need(Result&& result, const char* what) {
  if (!result) fail(std::string(what) + ": " + nkv::host::describe(result.error()));
  return *std::forward<Result>(result);
}

/// `--name value` pairs; anything else ends the program.
class arguments {
 public:
  arguments(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) given_.emplace_back(argv[i], argv[i + 1]);
    if (argc % 2 == 0) fail(std::string("a value is missing after ") + argv[argc - 1]);
  }
  std::string text(const char* name, const char* otherwise) {
    for (auto at = given_.begin(); at != given_.end(); ++at) {
      if (at->first != name) continue;
      std::string value = at->second;
      given_.erase(at);
      return value;
    }
    return otherwise;
  }
  std::uint32_t number(const char* name, std::uint32_t otherwise, std::uint32_t least, std::uint32_t most) {
    const std::string value = text(name, "");
    if (value.empty()) return otherwise;
    char* end = nullptr;
    const unsigned long n = std::strtoul(value.c_str(), &end, 10);
    if (*end != '\0' || n < least || n > most)
      fail(std::string(name) + " is a number from " + std::to_string(least) + " to " + std::to_string(most));
    return static_cast<std::uint32_t>(n);
  }
  /// After all others.
  void end() const {
    if (!given_.empty()) fail("not understood: " + given_.front().first);
  }

 private:
  std::vector<std::pair<std::string, std::string>> given_;
};

/// Memory that the host, the target and the kernel reach.
struct memory {
  nkv::host::pinned_memory owned;
  std::byte* host = nullptr;
  std::byte* kernel = nullptr;  ///< the same bytes as the kernel reaches them
  nkv::value_ref all{};         ///< and as the target does

  [[nodiscard]] nkv::value_ref value(std::uint64_t offset_bytes, std::uint64_t length_bytes) const {
    return need(all.part(offset_bytes, length_bytes), "value");
  }
  /// A pointer into the memory, as the kernel has it.
  template <class T>
  [[nodiscard]] T* for_kernel(T* at) const {
    return reinterpret_cast<T*>(kernel + (reinterpret_cast<std::byte*>(at) - host));
  }
};

/// A target (one of its own in this process unless `--endpoint` names another), memory that it reaches, and who runs an
/// example's kernel: the GPU, or host threads as its lanes.
class session {
 public:
  /// @param program argv[0]: the compiled kernels are beside it, with .ptx or .hsaco behind its name, unless
  ///                `--kernels` says where
  /// @param own     what serves where no `--endpoint` is given
  session(const char* program, arguments& a,
          std::shared_ptr<nkv::target::subsystem> own = nkv::target::memory_subsystem()) {
    std::string endpoint = a.text("--endpoint", "");
    const std::string initiator = a.text("--initiator", "auto");
    const std::string kernels = a.text("--kernels", "");
    if (initiator != "auto" && initiator != "simt" && initiator != "cuda" && initiator != "hip")
      fail("--initiator is auto, simt, cuda or hip");
    for (const std::string vendor : {"cuda", "hip"}) {
      if (gpu_.driver() != nullptr || (initiator != "auto" && initiator != vendor)) continue;
      const std::string missing =
          gpu_.open(vendor, !kernels.empty() ? kernels : std::string(program) + kernel_suffix(vendor));
      if (!missing.empty() && initiator == vendor) fail("--initiator " + vendor + ": " + missing);
      if (!missing.empty()) std::printf("not on a GPU by %s: %s\n", vendor.c_str(), missing.c_str());
    }
    const bool on_gpu = gpu_.driver() != nullptr;
    warps_ = a.number("--warps", on_gpu ? 64 : 4, 1, 1024);
    lanes_ = a.number("--lanes", on_gpu ? 32 : 8, 1, 32);
    a.end();

    if (endpoint.empty()) endpoint = serve(std::move(own));
    // A kernel wakes nobody: the target has to look now and then.
    nkv::host::connect_options how;
    how.vfio_user.wake = !on_gpu;
    controller_ = need(nkv::host::connect(endpoint, how), "connect");
    // One queue for what the host does before and after, and one for the kernel, with room for every lane twice.
    host_ = need(controller_->open_namespace(1), "open namespace 1");
    nkv::host::namespace_options wide;
    wide.queue.entries = 2 * warps_ * lanes_ + 1;
    wide.queue.gpu = gpu_.driver();
    kernel_ = need(controller_->open_namespace<nkv::shared>(1, wide), "open namespace 1");
    if (on_gpu) doorbells_of_gpu_ = need(controller_->map_doorbells(gpu_.driver()), "the doorbells, for the GPU");
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session() {
    kernel_.reset();
    host_.reset();
    controller_.reset();
    server_.reset();
    if (!folder_.empty()) ::rmdir(folder_.c_str());
  }

  [[nodiscard]] std::uint32_t warps() const { return warps_; }
  [[nodiscard]] std::uint32_t lanes() const { return lanes_; }
  [[nodiscard]] const nkv::host::kv_namespace<>& ns() const { return *host_; }

  /// New memory, zero at the start.
  [[nodiscard]] memory allocate(std::size_t size_bytes) const {
    std::vector<std::shared_ptr<nkv::host::gpu_driver>> gpus;
    if (gpu_.driver() != nullptr) gpus.push_back(gpu_.driver());
    memory m{need(controller_->allocate_pinned(size_bytes, gpus), "allocate"), nullptr, nullptr, {}};
    m.host = m.owned.data();
    m.kernel = gpus.empty() ? m.host : m.owned.on_device();
    m.all = need(m.owned.value(0, size_bytes), "value");
    return m;
  }
  void store(nkv::key_view key, const nkv::value_ref& value) const {
    const nkv::outcome o = host_->run(nkv::operation::store(key, value));
    if (!o.ok()) fail("Store: " + nkv::host::describe(o.status));
  }

  /// Runs the job on every lane of every warp, and waits for the last.
  /// @param name of the kernel
  /// @param make `job make(ns)`: ns is what the kernel uses the namespace by. A job is called with the calling lane's
  ///             warp, the warp's index, and how many there are
  template <class Make>
  void run(const char* name, Make&& make) {
    const std::uint64_t begin_ns = nkv::host::steady_clock::now_ns();
    if (gpu_.driver() != nullptr) {
      using queue = nkv::device::queue_pair_ref<nkv::shared>;
      const nkv::device::namespace_ref<nkv::shared> ns(
          need(kernel_->queue().device_ref<queue>(doorbells_of_gpu_), "the queue, for the GPU"), kernel_->profile());
      const std::string wrong = gpu_.run(name, make(ns), warps_, lanes_);
      if (!wrong.empty()) fail(wrong);
    } else {
      const std::uint32_t before = counters().sq_doorbells;
      run_on_lanes(make(kernel_->ref()), warps_, lanes_);
      doorbells_ = counters().sq_doorbells - before;
    }
    ms_ = (nkv::host::steady_clock::now_ns() - begin_ns) / 1'000'000;
  }

  /// Who ran the job, what it did, and what that took of the queue.
  void report(const std::string& what, std::uint64_t operations) const {
    if (counters().stray_completions != 0 || counters().late_completions != 0) fail("completions of nobody's");
    std::printf("%s\n%llu operations, ", what.c_str(), static_cast<unsigned long long>(operations));
    // Device code does not count them.
    if (gpu_.driver() == nullptr) std::printf("%u submission doorbells, ", doorbells_);
    std::printf("%llu ms, by %u warps of %u lanes: %s\n", static_cast<unsigned long long>(ms_), warps_, lanes_,
                gpu_.driver() == nullptr ? "host threads, no GPU" : gpu_.name().c_str());
  }

 private:
  /// Over vfio-user, which a kernel can use too. @return the endpoint
  std::string serve(std::shared_ptr<nkv::target::subsystem> own) {
    char folder[] = "/tmp/nkv-XXXXXX";
    if (::mkdtemp(folder) == nullptr) fail("no folder in /tmp");
    folder_ = folder;
    if (const nkv::status s = poller_.start(); !s.ok()) fail("the target: " + nkv::host::describe(s));
    server_.emplace(std::move(own), poller_);
    if (const nkv::status s = server_->start(folder_); !s.ok()) fail("the target: " + nkv::host::describe(s));
    return "vfio-user:" + folder_;
  }

  [[nodiscard]] const nkv::queue_counters& counters() const { return kernel_->ref().queue().counters(); }

  gpu gpu_;
  std::uint32_t warps_ = 0;
  std::uint32_t lanes_ = 0;
  std::string folder_;
  nkv::target::poller poller_;
  std::optional<nkv::target::vfio_user::server> server_;
  std::optional<nkv::host::controller> controller_;
  nkv::host::gpu_doorbells doorbells_of_gpu_;
  std::optional<nkv::host::kv_namespace<>> host_;
  std::optional<nkv::host::kv_namespace<nkv::shared>> kernel_;
  std::uint64_t ms_ = 0;
  std::uint32_t doorbells_ = 0;
};

}  // namespace example
